"""Can one small network know what a network and the denoisers know together? Distillation, on real and made clips.

    python -m benchmarks.student [--parts 3] [--work DIR] [--set classifier.steps=2400 …]

Run it where the pipeline has run with the arms none, classic and diffusion, a shared base (`diffusion.init`) and
validation clips. The teacher is a network of `none` and the base's denoisers, put together as the system
`none_denoisers`. It is cross-fitted: the training recordings are parted, and a clip is judged by a teacher that learned
from the other parts alone, and so is every clip that was made of it. Clips that the split leaves unused (`data.limit`)
are judged by the mean of all teachers; they stand for clips without labels.

Rows: networks that learn labels (`labels …`), students that learn the teacher's probabilities in their place
(`taught …`), students whose targets are half the one and half the other (`mixed …`), and students that learn the labels
of real clips, and of made ones what the run's own teacher says, which has heard all training clips (`judged …`). Each
of real clips alone, beside classical variations, beside diffusion's, beside unused clips. A student has the same
network and as many steps. The teacher speaks with the class frequencies of the student's table, and all rows have
these divided out. `none_denoisers` is the run's own teacher, whole.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks import inputs
from benchmarks.trials import MODEL, Trial
from counterpoise import codecs
from counterpoise.classifiers.networks import io
from counterpoise.classifiers.networks.network import Network
from counterpoise.codecs.encode import encode
from counterpoise.codecs.latents import Normaliser, Packed, Pool, Shelf
from counterpoise.core import tables
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.diffusion import networks
from counterpoise.diffusion import training as diffusion_training
from counterpoise.diffusion_classifier import losses, posterior
from counterpoise.diffusion_classifier.losses import Denoiser
from counterpoise.ensembles import fusion
from stages.base import paths
from stages.base.work import run

MADE = ("classic", "diffusion")
WEIGHTS = [1.0, 0.8]  # of the network and of the denoisers, as in the system `none_denoisers`


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("/tmp/counterpoise-student"))
    parser.add_argument("--set", nargs="+", default=[], dest="changes")
    options = parser.parse_args(given)
    p = inputs.parameters(options.changes)
    trial = Trial(p, options.work / f"{p.classifier.steps}")
    real = {arm: trial.table(arm) for arm in ("none", *MADE)}
    pool = pd.concat(real.values()).drop_duplicates("clip_id").reset_index(drop=True)
    unused = _unused(real["none"])

    # What teachers say of clips that they have not heard, nor the recordings these are made of
    taught = judge(trial, options.work / "teacher", options.parts, real["none"], pool, unused)

    whole = judge_whole(trial, options.work / "whole", pool)

    # Students beside networks that learn labels
    def students(kind: str, examples: pd.DataFrame, labelled: np.ndarray, ways: tuple[str, ...]) -> None:
        certain = np.eye(len(trial.labels))[[trial.labels.index(label) for label in examples.label]]
        prior = certain[labelled].mean(axis=0)
        said = taught.loc[examples.clip_id].to_numpy() * prior
        said /= said.sum(axis=1, keepdims=True)
        half = np.where(labelled[:, None], (certain + said) / 2, said)
        heard = whole.reindex(examples.clip_id).to_numpy() * prior
        heard /= heard.sum(axis=1, keepdims=True)
        judged = np.where(examples.synthetic.to_numpy()[:, None], heard, certain)
        for way, targets in (("labels", None), ("taught", said), ("mixed", half), ("judged", judged)):
            if way in ways:
                trial.learn(f"{way} {kind}", examples, prior=prior, taught=targets)

    for arm, examples in real.items():
        everything = np.ones(len(examples), bool)
        if arm == "none":
            students("real", examples, everything, ("labels", "taught", "mixed"))
        else:
            students(f"real, {arm}", examples, everything, ("labels", "taught", "mixed", "judged"))
    if len(unused):
        more = pd.concat([real["none"], unused], ignore_index=True)
        students("real, unused", more, np.arange(len(more)) < len(real["none"]), ("taught", "mixed"))
    trial.of_the_run("none_denoisers", "three_roundtrip")
    trial.report(
        ("mixed real", "labels real"),
        ("mixed real, classic", "labels real, classic"),
        ("mixed real, diffusion", "labels real, diffusion"),
        ("judged real, classic", "labels real, classic"),
        ("judged real, diffusion", "labels real, diffusion"),
        ("judged real, diffusion", "judged real, classic"),
        ("taught real, diffusion", "taught real"),
        ("none_denoisers", "judged real, diffusion"),
    )


def _unused(like: pd.DataFrame) -> pd.DataFrame:
    """The clips that train nothing and test nothing, as examples."""
    clips = tables.read(paths.ALL, tables.SPLIT)
    own = clips[clips.partition == "unused"].reset_index(drop=True)
    own = own.assign(root_clip_id=own.clip_id, synthetic=False, sha256=[tables.sha256(path) for path in own.path])
    return own[list(like.columns)].astype(tables.EXAMPLES)


def judge(
    trial: Trial, folder: Path, parts: int, real: pd.DataFrame, pool: pd.DataFrame, unused: pd.DataFrame
) -> pd.DataFrame:
    """The cross-fitted teacher's probabilities of every clip of the pool and of the unused ones, indexed by clip."""
    kept = folder / "probabilities.csv"
    if kept.exists():
        return pd.read_csv(kept, index_col="clip_id", dtype={"clip_id": str}, float_precision="round_trip")
    shelf = _shelf(trial, folder, pool)
    split = StratifiedGroupKFold(parts, shuffle=True, random_state=0).split(real, real.label, real.source_id)
    found, of_unused = [], []
    for number, (rest, part) in enumerate(split):
        own = pool[pool.source_id.isin(set(real.source_id.iloc[part]))]
        teacher = _teacher(trial, folder / str(number), number, real.iloc[rest].reset_index(drop=True), shelf)
        found.append(pd.DataFrame(teacher(own), index=own.clip_id))
        if len(unused):
            of_unused.append(teacher(unused))
    if of_unused:
        found.append(pd.DataFrame(np.mean(of_unused, axis=0), index=unused.clip_id))
    said = pd.concat(found).rename_axis("clip_id")
    print("the teacher is right about", f"{np.mean(_agree(said, real, trial.labels)):.3f} of real training clips")
    for kind in MADE:
        made = pool[pool.synthetic & pool.clip_id.str.contains("-classic") == (kind == "classic")]
        made = made[made.synthetic]
        print(f"and takes {np.mean(_agree(said, made, trial.labels)):.3f} of {kind} variations for their class")
    said.to_csv(kept)
    return said


def _agree(said: pd.DataFrame, clips: pd.DataFrame, labels: list[str]) -> np.ndarray:
    return np.array(labels)[said.loc[clips.clip_id].to_numpy().argmax(axis=1)] == clips.label.to_numpy()


def _shelf(trial: Trial, folder: Path, pool: pd.DataFrame) -> Shelf:
    """The latents of all real clips, and of the made clips of the pool, which go through the codec for it."""
    made = pool[pool.synthetic]
    made = made.assign(seconds=[soundfile.info(path).duration for path in made.path], fold=0)
    packed = [Packed(paths.LATENTS / f"{label}.safetensors") for label in trial.labels]
    codec = codecs.build(trial.p.codec, trial.device)
    for label, own in made.groupby("label"):
        path = folder / "latents" / f"{label}.safetensors"
        if not path.exists():
            encode(codec, own, path, trial.p.codec.batch_size)
        packed.append(Packed(path))
    return Shelf(packed)


Teacher = Callable[[pd.DataFrame], np.ndarray]  # from examples to probabilities `[N, K]`, all classes alike


def _teacher(trial: Trial, folder: Path, number: int, real: pd.DataFrame, shelf: Shelf) -> Teacher:
    """A network and denoisers that learn these real clips."""
    p, labels = trial.p, trial.labels
    d = p.diffusion
    network = trial.network(f"teacher{number}", real, seed=number)
    counts = real.label.value_counts()
    prior = np.array([counts[label] for label in labels]) / len(real)
    packed = [Packed(paths.LATENTS / f"{label}.safetensors") for label in labels]
    pool = Pool([(one, one.rows(real.clip_id)) for one in packed])
    normaliser = Normaliser.fit(pool)
    base = networks.build(d, pool.channels, codecs.kind(p.codec.name).picture, d.seed, len(labels))
    diffusion_training.train(
        base,
        pool,
        normaliser,
        d.base_steps,
        d,
        p.runtime,
        trial.device,
        Checkpoint(folder / "base.pt"),
        lambda step, loss: None,
        f"base {number}",
    )
    return _together(trial, folder, network, prior, base, normaliser, shelf)


def judge_whole(trial: Trial, folder: Path, pool: pd.DataFrame) -> pd.DataFrame:
    """What the run's own network and denoisers, which have heard all training clips, say of the made clips."""
    made = pool[pool.synthetic]
    seed = trial.p.classifier.seeds[0]
    network, _ = io.load(paths.CLASSIFIER / f"none-{MODEL}/seed{seed}", trial.device)
    base = networks.load(paths.BASE / "unet").to(trial.device)
    normaliser = Normaliser.load(paths.BASE / "normaliser.safetensors")
    shelf = _shelf(trial, folder, pool)
    teacher = _together(trial, folder, network, trial.prior("none"), base, normaliser, shelf)
    said = pd.DataFrame(teacher(made), index=made.clip_id)
    for kind in MADE:
        own = made[made.clip_id.str.contains("-classic") == (kind == "classic")]
        print(f"the whole teacher takes {np.mean(_agree(said, own, trial.labels)):.3f} of {kind} variations for theirs")
    return said


def _together(
    trial: Trial,
    folder: Path,
    network: Network,
    prior: np.ndarray,
    base: networks.Denoiser,
    normaliser: Normaliser,
    shelf: Shelf,
) -> Teacher:
    """A network and denoisers, calibrated by the validation clips."""
    p, labels = trial.p, trial.labels
    denoisers = [Denoiser(base, k, normaliser, base.frame_multiple, base.shortest) for k in range(len(labels))]

    def measured(clip_ids: list[str], name: str) -> np.ndarray:
        settings, state = p.diffusion_classifier, Checkpoint(folder / f"{name}.pt")
        return losses.measure(denoisers, clip_ids, shelf, settings, p.runtime, trial.device, state)

    val = tables.read(paths.SPLITS / "val.csv", tables.EXAMPLES)
    truth = np.array([labels.index(label) for label in val.label])
    how, sigmas = p.diffusion_classifier.calibration, p.diffusion_classifier.sigmas
    heard = measured(val.clip_id.tolist(), "val")
    calibration = posterior.calibrate(how, heard, truth, sigmas, 1.0, np.zeros(len(labels)))

    def teacher(examples: pd.DataFrame) -> np.ndarray:
        said = fusion.log_likelihoods(trial.predict(network, examples), prior)
        name = "made" if examples.synthetic.any() else "unused"
        explained = calibration.log_likelihoods(measured(examples.clip_id.tolist(), name))
        return fusion.combine([said, explained], WEIGHTS, trial.uniform)

    return teacher


if __name__ == "__main__":
    run(main)
