"""Can frequent classes teach rare ones how a class spreads? Diffusion in the space of embeddings.

    python -m benchmarks.embedding_diffusion [--steps 3000] [--set evaluation.resamples=2000 …]

Run it where the pipeline has run with AudioSet's YAMNet (`models: [yamnet]`, `classifier.init: audioset`). A small
network learns to denoise the embeddings of training clips of all classes, told the mean of one to eight other clips of
the same class. Told the mean of some of a rare class's clips, it makes embeddings that fill the class up. A logistic
regression learns real and made ones. Beside it are the same without made ones, with balanced weights; with embeddings
drawn from a normal distribution around the class's mean with the covariance that all classes share, which is the cheap
way to lend a rare class the others' spread; and shrinkage LDA, which is that idea without a draw.
"""

import argparse

import numpy as np
import torch
from diffusers import EDMEulerScheduler
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from benchmarks import inputs
from benchmarks.trials import Trial
from counterpoise.core import audio, tables
from counterpoise.diffusion import edm
from counterpoise.embeddings.embedder import Embedder
from counterpoise.ensembles import fusion
from stages.base import paths
from stages.base.work import run

DIMENSIONS = 64  # principal components of the training clips
TOLD = 8  # clips, at most, whose mean the network is told
REGULARISATION = 0.01  # scikit-learn's C, as of the class filter


class Denoiser(nn.Module):
    """F(x; c_noise, told) of vectors `[B, D, 1]`, as of :mod:`counterpoise.diffusion.edm`."""

    def __init__(self, dimensions: int, width: int = 256) -> None:
        super().__init__()
        self.direct = nn.Linear(2 * dimensions + 1, width)
        self.layers = nn.Sequential(
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, dimensions),
        )

    def forward(self, x: Tensor, c_noise: Tensor, told: Tensor) -> Tensor:
        return self.layers(self.direct(torch.cat([x[:, :, 0], told, c_noise[:, None]], dim=1)))[:, :, None]


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--set", nargs="+", default=[], dest="changes")
    options = parser.parse_args(given)
    p = inputs.parameters(options.changes)
    trial = Trial(p, None)

    # Embeddings of training and test clips, standardised, in their principal components
    embedder = Embedder.audioset(paths.PRETRAINED, trial.device)
    train = trial.table("none")
    form = p.audio

    def embedded(examples) -> np.ndarray:
        waves = (audio.read(path, form.sample_rate, form.channels) for path in examples.path)
        return np.stack([embedder.embed(torch.from_numpy(w)[None], form.sample_rate)[0].numpy() for w in waves])

    known, unknown = embedded(train), embedded(trial.test)
    mean, scale = known.mean(axis=0), known.std(axis=0) + 1e-6
    known, unknown = (known - mean) / scale, (unknown - mean) / scale
    parts = PCA(DIMENSIONS, random_state=0).fit(known)
    truth = np.array([trial.labels.index(label) for label in train.label])
    x = torch.tensor(parts.transform(known), dtype=torch.float32)
    size = x.std()
    x = x / size
    print(f"{parts.explained_variance_ratio_.sum():.2f} of the variance is in {DIMENSIONS} components")

    def classified(name: str, seed: int, vectors: np.ndarray, targets: np.ndarray, balanced: bool) -> None:
        weight = "balanced" if balanced else None
        model = LogisticRegression(C=REGULARISATION, class_weight=weight, max_iter=5000).fit(vectors, targets)
        counts = np.bincount(targets, minlength=len(trial.labels)) / len(targets)
        prior = trial.uniform if balanced else counts
        trial.add(name, seed, fusion.log_likelihoods(model.predict_proba(unknown), prior))

    plan = tables.read(paths.PLAN, tables.BALANCE).set_index("label").synthetic
    wanted = np.repeat(np.arange(len(trial.labels)), [int(plan[label]) for label in trial.labels])
    within = LedoitWolf().fit(np.concatenate([(own := known[truth == k]) - own.mean(axis=0) for k in set(truth)]))
    for seed in p.classifier.seeds:
        classified("logit adjustment", seed, known, truth, balanced=False)
        classified("balanced weights", seed, known, truth, balanced=True)
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=trial.uniform).fit(known, truth)
        trial.add("shrinkage LDA", seed, fusion.log_likelihoods(lda.predict_proba(unknown), trial.uniform))
        rng = np.random.default_rng(seed)
        noise = rng.multivariate_normal(np.zeros(known.shape[1]), within.covariance_, len(wanted), method="cholesky")
        normal = np.stack([known[truth == k].mean(axis=0) for k in range(len(trial.labels))])[wanted] + noise
        made = generate(learn(x, truth, options.steps, seed), x, truth, wanted, seed)
        diffused = parts.inverse_transform((made * size).numpy())
        for name, added in (("normal", normal), ("diffusion", diffused)):
            both, targets = np.concatenate([known, added]), np.concatenate([truth, wanted])
            classified(name, seed, both, targets, balanced=False)
            classified(f"{name}, weights", seed, both, targets, balanced=True)
    trial.report(
        ("diffusion", "logit adjustment"),
        ("diffusion", "balanced weights"),
        ("diffusion", "normal"),
        ("diffusion", "shrinkage LDA"),
    )


def told(x: Tensor, truth: np.ndarray, rows: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> Tensor:
    """The mean of one to TOLD clips of each class, without the clip itself where the class has others `[B, D]`."""
    means = []
    for row, k in zip(rows, classes):
        others = np.setdiff1d(np.flatnonzero(truth == k), [row])
        others = others if len(others) else np.flatnonzero(truth == k)
        means.append(x[rng.choice(others, min(len(others), rng.integers(1, TOLD + 1)), replace=False)].mean(dim=0))
    return torch.stack(means)


def learn(x: Tensor, truth: np.ndarray, steps: int, seed: int) -> Denoiser:
    """Classes are drawn equally often, and a class's clips equally often."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Denoiser(x.shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, steps)
    present, losses = np.unique(truth), []
    for _ in range(steps):
        classes = rng.choice(present, 64)
        rows = np.array([rng.choice(np.flatnonzero(truth == k)) for k in classes])
        y = x[rows][:, :, None]
        sigma = edm.sample_sigma(len(y), 0.0, 1.3, torch.default_generator)
        noisy = y + sigma[:, None, None] * torch.randn_like(y)
        output = network(*edm.network_input(noisy, sigma, 1.0), told(x, truth, rows, classes, rng))
        loss = (output - edm.network_target(y, noisy, sigma, 1.0)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    print(f"seed {seed}: loss {np.mean(losses[:100]):.3f} at first, {np.mean(losses[-300:]):.3f} at last")
    return network.eval()


@torch.inference_mode()
def generate(network: Denoiser, x: Tensor, truth: np.ndarray, wanted: np.ndarray, seed: int) -> Tensor:
    """An embedding of each wanted class, from noise, `[B, D]`."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    schedule = EDMEulerScheduler(sigma_min=0.02, sigma_max=80.0, sigma_data=1.0)
    schedule.set_timesteps(32)
    means = told(x, truth, np.full(len(wanted), -1), wanted, rng)
    sample = schedule.init_noise_sigma * torch.randn(len(wanted), x.shape[1], 1, generator=generator)
    for at in schedule.timesteps:
        output = network(schedule.scale_model_input(sample, at), at.expand(len(sample)), means)
        sample = schedule.step(output, at, sample).prev_sample
    return sample[:, :, 0]


if __name__ == "__main__":
    run(main)
