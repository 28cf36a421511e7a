"""Is a sound none of the classes? Clips of classes that a run has never heard, against its own test clips.

    python -m benchmarks.open_set KNOWN… FULL [--arm none] [--model cnn]

KNOWN is a clone in which the pipeline has run without some classes, with a base that all classes share. FULL is a
clone that has these classes, too, and the same recordings: its test clips of them are foreign to KNOWN. Rows are
scores, see `counterpoise.open_set`; those of networks are means over seeds. One table for each KNOWN, and one of the
means over all.

Columns: the area under the ROC curve, with an interval over test recordings, which knows nothing of trainings; its
difference to the energy of two networks, the same way; the share of foreign clips that pass where 95 % of known test
clips do (FPR at 95 % TPR, a point of the curve); and what passes a threshold that 95 % of the validation clips reach:
of known test clips, and of foreign clips. No score and no threshold has seen a test clip or a foreign one.
"""

import argparse
import contextlib
import json
import math
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from counterpoise.classifiers.networks import io
from counterpoise.cli.params import Params
from counterpoise.codecs.latents import Normaliser, Packed, Shelf
from counterpoise.core import CounterpoiseError, runtime, tables
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.diffusion import networks
from counterpoise.diffusion_classifier import features, head, losses, posterior, table
from counterpoise.embeddings.cache import embed_clips
from counterpoise.ensembles import fusion
from counterpoise.evaluation import bootstrap
from counterpoise.open_set import detection, familiarity
from counterpoise.open_set.familiarity import Clusters, Explanations
from stages.base import paths
from stages.base.work import run
from stages.denoiser_losses import denoisers_of
from stages.evaluate import training_prior

ACCEPTED = 0.95  # of known clips
WEIGHT = 0.8  # of the denoisers beside a network, as in the system `none_denoisers`
CONTROL = "two networks: energy"  # as many models as a network and denoisers, and no diffusion
Scores = dict[str, np.ndarray]  # by name: [S, N], of S seeds and N clips


class OpenSetError(CounterpoiseError):
    """Two clones that cannot be compared; the message says why."""


@dataclass(frozen=True)
class Found:
    """What one score is worth: means over seeds, and over runs where there are several."""

    area: float
    areas: np.ndarray  # [B], on resampled recordings
    foreign_at_95: float
    known_accepted: float
    foreign_accepted: float


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("known", nargs="+", type=Path)
    parser.add_argument("full", type=Path)
    parser.add_argument("--arm", default="none")
    parser.add_argument("--model", default="cnn")
    options = parser.parse_args(given)
    workspaces, full = [one.resolve() for one in options.known], options.full.resolve()
    with contextlib.chdir(full):
        whole = Params.read()
        test = tables.read(paths.SPLITS / "test.csv", tables.EXAMPLES)
    weights, level = weights_of(test, whole), whole.evaluation.level
    test = test.assign(path=[str(full / path) for path in test.path])
    every: list[dict[str, Found]] = []
    for workspace in workspaces:
        with contextlib.chdir(workspace):
            p = Params.read()
            missing = foreign_classes(p, whole)
            clips = clips_of(options.arm, test[test.label.isin(missing)])
            if strangers := set(clips.source_id[clips.partition == "test"]) - set(weights.columns):
                raise OpenSetError(f"{full} does not test the recording {min(strangers)} of {workspace}: run both anew")
            scores = scores_of(p, clips, full, missing, options.arm, options.model)
        clips = clips[clips.partition != "train"].reset_index(drop=True)
        for label in missing if len(missing) > 1 else ():
            rows = ((clips.partition != "foreign") | (clips.label == label)).to_numpy()
            alone = {name: measured(one[:, rows], clips[rows], weights) for name, one in scores.items()}
            show(f"foreign: {label}", alone, level)
        every.append({name: measured(one, clips, weights) for name, one in scores.items()})
        show(f"foreign: {', '.join(missing)}", every[-1], level)
    if len(every) > 1:
        show(f"mean of {len(every)}", {name: mean([one[name] for one in every]) for name in every[0]}, level)


def foreign_classes(known: Params, full: Params) -> list[str]:
    """The classes that FULL has and KNOWN lacks; raises OpenSetError where there is none, or the codecs differ."""
    missing = [label for label in full.classes if label not in known.classes]
    if not missing:
        raise OpenSetError("KNOWN lacks none of FULL's classes: remove some from `classes` there, and run `dvc repro`")
    if known.codec != full.codec:
        raise OpenSetError("KNOWN and FULL have different sections `codec`: their latents cannot be compared")
    return missing


def weights_of(test: pd.DataFrame, p: Params) -> pd.DataFrame:
    """The bootstrap's weights of all test recordings, a column each: the same for every KNOWN."""
    recordings = test.drop_duplicates("source_id")
    strata = pd.factorize(recordings.label)[0]
    rng = np.random.default_rng(p.evaluation.seed)
    drawn = bootstrap.recording_weights(rng, strata, p.evaluation.resamples)
    return pd.DataFrame(drawn, columns=recordings.source_id.tolist())


def clips_of(arm: str, foreign: pd.DataFrame) -> pd.DataFrame:
    """Real training clips, then N clips that nothing was trained on: `tables.EXAMPLES` with a `partition`."""
    parts = {
        name: tables.read(paths.SPLITS / f"{name}.csv", tables.EXAMPLES) for name in (f"train_{arm}", "val", "test")
    }
    train, val, test = parts.values()
    train = train[~train.synthetic].drop_duplicates("clip_id")
    named = {"train": train, "val": val, "test": test, "foreign": foreign}
    return pd.concat([own.assign(partition=part) for part, own in named.items()], ignore_index=True)


def scores_of(p: Params, clips: pd.DataFrame, full: Path, missing: list[str], arm: str, model: str) -> Scores:
    """All scores of the clips that nothing was trained on, by models of KNOWN, which is the working directory."""
    labels, device = list(p.classes), runtime.setup(p.runtime)
    held_out = clips[clips.partition != "train"]
    validation = (held_out.partition == "val").to_numpy()
    foreign = [Packed(full / paths.LATENTS / f"{label}.safetensors") for label in missing]
    own = [Packed(paths.LATENTS / f"{label}.safetensors") for label in labels]
    found: Scores = {}

    # Networks, one or two
    prior = training_prior(arm, labels, p.classifier.real_last)
    heard = [of_network(p, clips, labels, f"{arm}-{model}/seed{seed}", device) for seed in p.classifier.seeds]
    log_p, logits, near = (np.stack(each) for each in zip(*heard))  # [S, N, K], [S, N, K], [S, N]
    likelihoods = np.stack([fusion.log_likelihoods(np.exp(one), prior) for one in log_p])
    found["softmax"] = softmax(log_p)
    found["softmax without prior"] = softmax(likelihoods)
    found["energy"] = np.stack([familiarity.energy(one) for one in logits])
    found["embeddings: Mahalanobis"] = near
    found["two networks: softmax"] = softmax((likelihoods + np.roll(likelihoods, -1, axis=0)) / 2)
    found["two networks: energy"] = familiarity.together([found["energy"], np.roll(found["energy"], -1, 0)], validation)

    # Denoisers
    measured_losses = losses_of(p, held_out, Shelf(foreign), labels, device)
    usual = Explanations.fit(measured_losses[validation])
    says = likelihoods_of(p, measured_losses, held_out, labels)
    found["denoisers: loss"] = familiarity.explained(measured_losses)[None]
    found["denoisers: no worse"] = usual.no_worse(measured_losses)[None]
    found["denoisers: typical"] = usual.typical(measured_losses)[None]
    found["denoisers: softmax"] = softmax(says[None])
    activations = features_of(p, clips, Shelf([*own, *foreign]), device)
    answers, _ = head.classify(activations, clips, labels)
    found["features: softmax"] = softmax(np.log(answers.iloc[:, 2:].to_numpy())[None])
    found["features: Mahalanobis"] = nearness(activations, clips)[None]

    # Both
    found["network and denoisers: softmax"] = softmax(likelihoods + WEIGHT * says)
    for name in ("denoisers: no worse", "denoisers: typical", "denoisers: softmax", "features: Mahalanobis"):
        found[f"energy and {name}"] = familiarity.together([found["energy"], found[name]], validation)
    return found


def softmax(log_likelihoods: np.ndarray) -> np.ndarray:
    """`[S, N, K]` to `[S, N]`."""
    return np.stack([familiarity.largest_probability(one) for one in log_likelihoods])


def nearness(representation: np.ndarray, clips: pd.DataFrame) -> np.ndarray:
    """How near held-out clips are to the training clips' classes, by what represents all of them, `[clips, F]`."""
    train = (clips.partition == "train").to_numpy()
    found = representation.astype(np.float64)
    return Clusters(found[train], clips.label[train].to_numpy()).nearness(found[~train])


@torch.inference_mode()
def of_network(
    p: Params, clips: pd.DataFrame, labels: list[str], name: str, device: torch.device
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-probabilities `[N, K]`, logits `[N, K]`, and nearness `[N]` by the network's embeddings."""
    network, card = io.load(paths.CLASSIFIER / name, device)
    if card.labels != labels:
        raise OpenSetError(f"{name} knows {', '.join(card.labels)}, and not {', '.join(labels)}: run `dvc repro`")
    embedded = embed_clips(network, clips, card.audio, p.runtime, device, cache=None)  # of each clip [W, P, D]
    is_held_out = (clips.partition != "train").to_numpy()
    held_out = [torch.from_numpy(one).to(device) for one, wanted in zip(embedded, is_held_out) if wanted]
    log_p = torch.stack([network.read_out(one).logsumexp(dim=0) - math.log(len(one)) for one in held_out])
    logits = torch.stack([network.head(one).mean(dim=(0, 1)) for one in held_out])
    means = np.stack([one.mean(axis=(0, 1)) for one in embedded])
    return log_p.double().cpu().numpy(), logits.double().cpu().numpy(), nearness(means, clips)


def losses_of(p: Params, held_out: pd.DataFrame, shelf: Shelf, labels: list[str], device: torch.device) -> np.ndarray:
    """`[N, K, L, D]`: of KNOWN's own clips as its run kept them, of the foreign ones measured now."""
    kept = tables.read(paths.DENOISER_LOSSES / "losses.csv", table.schema(labels))
    is_foreign = held_out.partition == "foreign"
    denoisers = denoisers_of(p.diffusion_classifier, labels, device)
    with tempfile.TemporaryDirectory() as folder:
        state = Checkpoint(Path(folder) / "state.pt")
        foreign_ids = held_out.clip_id[is_foreign].tolist()
        found = losses.measure(denoisers, foreign_ids, shelf, p.diffusion_classifier, p.runtime, device, state)
    return np.concatenate([table.from_table(kept, held_out.clip_id[~is_foreign].tolist(), labels), found])


def likelihoods_of(p: Params, found: np.ndarray, held_out: pd.DataFrame, labels: list[str]) -> np.ndarray:
    """The denoisers' log-likelihoods `[N, K]`, calibrated by validation clips as KNOWN's run does."""
    validation = (held_out.partition == "val").to_numpy()
    truth = held_out.label[validation].map(labels.index).to_numpy()
    card, c = json.loads((paths.DENOISER_LOSSES / "card.json").read_text()), p.diffusion_classifier
    calibration = posterior.calibrate(
        c.calibration, found[validation], truth, c.sigmas, card["elements"], np.array(card["volumes"])
    )
    return calibration.log_likelihoods(found)


def features_of(p: Params, clips: pd.DataFrame, shelf: Shelf, device: torch.device) -> np.ndarray:
    """The base's activations `[clips, F]`, of training clips, too."""
    network = networks.generalise(networks.load(paths.BASE / "unet")).to(device)
    normaliser = Normaliser.load(paths.BASE / "normaliser.safetensors")
    with tempfile.TemporaryDirectory() as folder:
        state = Checkpoint(Path(folder) / "state.pt")
        return features.measure(
            network, normaliser, clips.clip_id.tolist(), shelf, p.diffusion_classifier, p.runtime, device, state
        )


def measured(scores: np.ndarray, clips: pd.DataFrame, weights: pd.DataFrame) -> Found:
    """What scores `[S, N]` are worth; `weights` has a column for each test recording."""
    part = {name: (clips.partition == name).to_numpy() for name in ("val", "test", "foreign")}
    known, foreign = scores[:, part["test"]], scores[:, part["foreign"]]
    ordered = detection.order(known, foreign).mean(axis=0)
    drawn = [weights[clips.source_id[part[name]]].to_numpy() for name in ("test", "foreign")]
    once = [np.ones((1, one.shape[1])) for one in drawn]
    least = detection.threshold(scores[:, part["val"]], ACCEPTED)
    return Found(
        area=float(detection.auroc(ordered, *once)[0]),
        areas=detection.auroc(ordered, *drawn),
        foreign_at_95=float(detection.share_accepted(foreign, detection.threshold(known, ACCEPTED)).mean()),
        known_accepted=float(detection.share_accepted(known, least).mean()),
        foreign_accepted=float(detection.share_accepted(foreign, least).mean()),
    )


def mean(found: list[Found]) -> Found:
    """Of one score over several runs; draws are paired, because the recordings are the same."""
    return Found(
        **{field.name: np.mean([getattr(one, field.name) for one in found], axis=0) for field in fields(Found)}
    )


def show(title: str, found: dict[str, Found], level: float) -> None:
    """Print one table."""

    def interval(draws: np.ndarray, sign: str = "") -> str:
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        return f"[{low:{sign}.3f}, {high:{sign}.3f}]"

    shown = Table("score", "AUROC", "against the control", "FPR at 95", "known passed", "foreign passed", title=title)
    base = found[CONTROL]
    for name, one in found.items():
        difference = f"{one.area - base.area:+.3f} {interval(one.areas - base.areas, '+')}"
        shares = (f"{share:.3f}" for share in (one.foreign_at_95, one.known_accepted, one.foreign_accepted))
        shown.add_row(name, f"{one.area:.3f} {interval(one.areas)}", "" if one is base else difference, *shares)
    Console(width=140).print(shown)


if __name__ == "__main__":
    run(main)
