"""How good are the variations? Real recordings of one fold are varied, and judged by what knows another fold only.

    python -m benchmarks.variations FOLDER WEIGHTS [--folds 1 2] [--classes dog_bark …] [--clips N] [--work DIR]
                                    [--set diffusion.steps=600 …] [--vary strength=1 strength=4,steps=8 start=noise]
                                    [--picture FILE] [--curves FILE]

FOLDER has the layout of UrbanSound8K; WEIGHTS is anything that `yamnet.source` may be. Diffusion models and the class
filter see the clips of the first fold (the first N of each class in a random order). The judge of the table is another
class filter, of the second fold. Both take embeddings of AudioSet's YAMNet, whatever `class_filter.embedding` says.
Columns: recognised as its class; the same as a share of the round trip's rate; mean cosine to the clip that it started
from; near copies of any training clip of the class, %; silent or clipped, %; KAD to the second fold's clips of the
class; candidates that the filter accepted, %.

Parameters are those of params.yaml with the changes of `--set`, and of each `--vary` for the section `generate` (a
range is written [1:5]). Every step is trained: no validation ends a class's training early. Models are kept in DIR and
used again, even if the code has changed since.
"""

import argparse
import copy
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from ruamel.yaml import YAML

from benchmarks import inputs
from counterpoise import codecs
from counterpoise.augment import effects, latents
from counterpoise.cli.params import Params
from counterpoise.codecs import encode
from counterpoise.codecs.latents import Normaliser, Packed, Pool, Shelf
from counterpoise.core import audio, runtime
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.diffusion import model, networks, training
from counterpoise.diffusion.model import Model
from counterpoise.embeddings import audioset
from counterpoise.embeddings.embedder import Embedder
from counterpoise.filtering import class_filter, herding
from counterpoise.filtering.class_filter import ClassFilter
from counterpoise.generation import planning, sdedit
from counterpoise.generation.settings import Generate
from counterpoise.metrics import kad, signal
from stages.base.work import run

RATE = 16000  # Hz, in which sounds are judged
LEARNED = {  # what a network's weights depend on
    "mode",
    "init",
    "base_steps",
    "augmented",
    "batch_size",
    "crop_frames",
    "widths",
    "layers",
    "attention",
    "optimiser",
    "learning_rate",
    "warmup_steps",
    "ema_decay",
    "noise_mean",
    "noise_std",
    "seed",
}


class Bench:
    """One pair of folds: its clips, latents, class filters and models."""

    def __init__(self, p: Params, folder: Path, weights: str, folds: list[int], clips: int, work: Path) -> None:
        self.p, self.work, self.device = p, work, runtime.setup(p.runtime)
        self.curve: list[dict] | None = None  # a list to measure on the way, when networks are trained
        self.losses: list[float] = []  # of the training that runs, since it was measured last
        examples, self.labels = inputs.clips(folder, folds)
        examples["turn"] = [runtime.seed_for("turn", clip_id) for clip_id in examples.clip_id]
        turn = examples.groupby(["fold", "label"]).turn.rank()
        self.seen = examples[(examples.fold == folds[0]) & (turn <= clips)].reset_index(drop=True)
        self.held_out = examples[examples.fold == folds[1]].reset_index(drop=True)
        audioset.convert(weights, work / "yamnet.safetensors")
        self.embedder = Embedder.audioset(work / "yamnet.safetensors", self.device)
        self.codec = codecs.build(p.codec, self.device)
        self.embedded = {name: self.embed_files(table) for name, table in (("seen", self.seen), ("out", self.held_out))}
        self.filter = ClassFilter.fit(self.embedded["seen"], self.seen, self.labels, self.embedder.name)
        self.judge = ClassFilter.fit(self.embedded["out"], self.held_out, self.labels, self.embedder.name)
        for label in self.labels:
            if not self.latents(label).exists():
                encode.encode(self.codec, self.of(self.seen, label), self.latents(label), p.codec.batch_size)

    def of(self, table: pd.DataFrame, label: str) -> pd.DataFrame:
        return table[table.label == label].reset_index(drop=True)

    def latents(self, label: str) -> Path:
        return self.work / "latents" / f"{label}.safetensors"

    def pool(self, labels: list[str]) -> Pool:
        return Pool(self.parts(labels))

    def parts(self, labels: list[str]) -> list[tuple[Packed, range]]:
        packed = [Packed(self.latents(label)) for label in labels]
        return [(part, range(len(part))) for part in packed]

    def learned(self, labels: list[str]) -> Pool:
        """The clips of these classes, and what `diffusion.augmented` puts beside them."""
        d = self.p.diffusion
        folder = self.work / key(labels, d.augmented, d.seed)
        return latents.pool(self.parts(labels), d.augmented, d.seed, self.p.codec, self.device, folder)

    def embed_files(self, table: pd.DataFrame) -> np.ndarray:
        return self.embed([audio.read(path, RATE, 1) for path in table.path])

    def embed(self, waves: list[np.ndarray]) -> np.ndarray:
        return np.stack([self.embedder.embed(torch.from_numpy(wave)[None], RATE)[0].numpy() for wave in waves])

    def model(self, label: str) -> Model:
        """As the stages train_base and train_diffusion make it, but that all steps are trained; or from an earlier run.

        With a curve to measure it is trained anew.
        """
        d = self.p.diffusion
        if d.mode == "conditional":
            return Model.of_base(self.base(), label, tuned=False).to(self.device)
        own = self.learned([label])
        if d.init == "scratch":
            begun = Model.fresh(own, d, self.codec.picture)
        else:
            begun = Model.of_base(self.base(), label, tuned=True)
        anew, steps = self.curve is not None, d.budget(len(self.pool([label])))
        folder = self.folder(label, steps, own, *([d.validate_every] if anew else []))
        if anew or not (folder / "seen.json").exists():
            validate = self.validation(label, begun.network, begun.normaliser) if anew else None
            early = self.train(folder, label, begun.network, own, begun.normaliser, steps, validate)
            begun.with_weak(early).save(folder, label, own.clip_ids)
        return Model.load(folder, self.device)

    def base(self) -> Path:
        """The folder of the base of all classes, trained now or in an earlier run."""
        d, everything = self.p.diffusion, self.learned(self.labels)
        folder = self.folder("base", d.base_steps, everything)
        if not (folder / "seen.json").exists():
            normaliser = Normaliser.fit(everything)
            network = networks.build(d, everything.channels, self.codec.picture, d.seed, len(self.labels))
            early = self.train(folder, "base", network, everything, normaliser, d.base_steps)
            model.save_base(folder, network, early, normaliser, self.labels, everything.clip_ids)
        return folder

    def folder(self, name: str, steps: int, pool: Pool, *more: object) -> Path:
        """Where a network is kept that learned this pool with the present parameters."""
        learned = self.p.diffusion.model_dump(include=LEARNED)
        return self.work / "models" / f"{name}-{key(steps, learned, pool.clip_ids, *more)}"

    def train(
        self,
        folder: Path,
        name: str,
        network: networks.Denoiser,
        pool: Pool,
        normaliser: Normaliser,
        steps: int,
        validate: Callable[[int, dict], float] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Train in place; unfinished work is kept, but where there is a validation. The weights of early on."""
        start, self.losses = time.perf_counter(), []
        unfinished = self.work / "unfinished" / f"{folder.name}.pt"
        if validate:
            unfinished.unlink(missing_ok=True)
        trained = training.train(
            network,
            pool,
            normaliser,
            steps,
            self.p.diffusion,
            self.p.runtime,
            self.device,
            Checkpoint(unfinished),
            lambda step, loss: self.losses.append(loss),
            name,
            validate,
        )
        minutes = (time.perf_counter() - start) / 60
        print(f"{name}: {steps} steps, loss {trained.loss:.3f}, {minutes:.1f} minutes", flush=True)
        unfinished.unlink(missing_ok=True)
        return trained.early

    def validation(
        self, label: str, network: networks.Denoiser, normaliser: Normaliser
    ) -> Callable[[int, dict], float]:
        """Prints, while a class is trained, how good its variations without guidance are by now; never ends it."""
        generate = self.p.generate.model_copy(update={"keep": "all"})
        start, measuring = time.perf_counter(), 0.0

        def validate(step: int, early: dict) -> float:
            nonlocal measuring
            began = time.perf_counter()
            waves, lineage, _ = self.sample(label, Model(copy.deepcopy(network), None, normaliser), generate)
            row = self.row(f"{step} steps", label, waves, lineage.root_clip_id.tolist())
            row |= {"loss": np.mean(self.losses), "minutes": (began - start - measuring) / 60}
            self.losses = []
            self.curve.append(row | {"step": step})
            measuring += time.perf_counter() - began
            print({name: round(float(value), 2) for name, value in row.items() if isinstance(value, float)}, flush=True)
            return -step

        return validate

    def vary(self, label: str, generate: Generate) -> tuple[list[np.ndarray], pd.DataFrame, float]:
        """One variation of each clip; the sounds, their lineage, and the share of candidates that were accepted."""
        return self.sample(label, self.model(label), generate)

    def sample(
        self, label: str, model: Model, generate: Generate, shares: dict[str, int] | None = None
    ) -> tuple[list[np.ndarray], pd.DataFrame, float]:
        """The same with a model at hand; sets `speed`, sound made and decoded over time, as times real time."""
        shares = shares or planning.share_out(self.seen, label, len(self.of(self.seen, label)), generate)
        amounts = planning.candidates(shares, generate)
        lineage = planning.lineage(self.seen, label, amounts, generate, Path(), Path())
        shelf = Shelf([Packed(self.latents(name)) for name in self.labels])
        start = time.perf_counter()
        made = dict(sdedit.make(model, lineage, shelf, self.codec, generate, self.p.runtime, self.device))
        took = time.perf_counter() - start
        self.speed = sum(wave.shape[1] for wave in made.values()) / self.codec.sample_rate / took
        waves = [self.form(made[clip_id]) for clip_id in lineage.clip_id]
        if generate.keep == "all":
            return waves, lineage, 1.0
        return self.chosen(label, waves, lineage, shares)

    def chosen(
        self, label: str, waves: list[np.ndarray], lineage: pd.DataFrame, shares: dict[str, int]
    ) -> tuple[list[np.ndarray], pd.DataFrame, float]:
        """What the filter keeps of candidates: the sounds, their lineage, and the share that it accepted."""
        verdicts, embedded = class_filter.examine_all(
            self.filter, label, waves, lambda wave: self.embedder.embed(wave, RATE)
        )
        verdicts["root_clip_id"] = lineage.root_clip_id
        kept = herding.choose(self.filter, label, verdicts, embedded, shares)
        sounds = [wave for wave, keep in zip(waves, kept) if keep]
        return sounds, lineage[kept].reset_index(drop=True), float((verdicts.reason == "").mean())

    def form(self, wave: np.ndarray) -> np.ndarray:
        """As a file would hold it, at the rate of the class filters."""
        wave = wave / max(1.0, float(np.abs(wave).max()) / 0.999)
        return audio.resample(wave.astype(np.float32), self.codec.sample_rate, RATE)

    def row(self, name: str, label: str, waves: list[np.ndarray], roots: list[str], kept: float = 1.0) -> dict:
        """A line of the table."""
        if not waves:
            return {"class": label, "what": name, "n": 0, "kept %": 100 * kept}
        real, held_out = self.of(self.seen, label), (self.held_out.label == label).to_numpy()
        reference = self.embedded["seen"][(self.seen.label == label).to_numpy()]
        embedded, ids = self.embed(waves), self.seen.clip_id.tolist()
        recognised = self.judge.probabilities(embedded).argmax(axis=1) == self.labels.index(label)
        cosine = kad.novelty(embedded, self.embedded["seen"], [ids.index(root) for root in roots]).root_cosine
        copies = kad.novelty(embedded, reference, real_groups=real.source_id.tolist()).near_copy
        bad = [bool(t(torch.from_numpy(w)[None])[0]) for w in waves for t in (signal.is_silent, signal.is_clipped)]
        return {
            "class": label,
            "what": name,
            "n": len(waves),
            "recognised": recognised.mean(),
            "cosine": cosine.mean(),
            "copies %": 100 * copies.mean(),
            "bad %": 100 * np.sum(bad) / len(waves),
            "KAD": kad.kad(embedded, self.embedded["out"][held_out]) if len(waves) > 1 else np.nan,
            "kept %": 100 * kept,
        }

    def anchors(self, label: str, candidates: float | None = None) -> list[dict]:
        """What is real, what the codec gives back, and what classical augmentation makes.

        Args:
            candidates: classical variations of each clip, of which the filter chooses as it does among the model's.
        """
        real = self.of(self.seen, label)
        waves = [audio.read(path, RATE, 1) for path in real.path]
        packed, back = Packed(self.latents(label)), []
        for row in range(len(packed)):
            latent = packed[row]
            decoded = self.codec.decode(latent[None])[0].cpu().numpy()
            back.append(self.form(decoded[:, : latent.shape[1] * self.codec.hop]))
        classical = [effects.augment(wave, RATE, seed) for seed, wave in enumerate(waves)]
        ids = real.clip_id.tolist()
        rows = [
            self.row(name, label, sounds, ids)
            for name, sounds in (("real", waves), ("round trip", back), ("classic", classical))
        ]

        if candidates is None:
            return rows

        best = self.p.generate.model_copy(update={"keep": "best", "candidates": candidates, "start": "own"})
        shares = planning.share_out(self.seen, label, len(real), best)
        lineage = planning.lineage(self.seen, label, planning.candidates(shares, best), best, Path(), Path())
        sound = dict(zip(ids, waves))
        varied = [effects.augment(sound[row.root_clip_id], RATE, row.seed) for row in lineage.itertuples()]
        kept, lineage, accepted = self.chosen(label, varied, lineage, shares)
        name = f"classic, best of {candidates:g}"
        return [*rows, self.row(name, label, kept, lineage.root_clip_id.tolist(), accepted)]


def key(*determinants: object) -> str:
    """A name for what depends on these alone."""
    return hashlib.sha256(repr(determinants).encode()).hexdigest()[:12]


def picture(bench: Bench, labels: list[str], settings: dict[str, Generate], path: Path) -> None:
    """A clip of each class beside its variations, all decoded and encoded again: what can be heard."""
    columns = 2 + len(settings)
    figure, axes = plt.subplots(
        len(labels),
        columns,
        figsize=(3 * columns, 1.7 * len(labels)),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    mel = codecs.build(bench.p.codec.model_copy(update={"name": "mel"}), bench.device)
    for label, row in zip(labels, axes):
        first = bench.of(bench.seen, label).clip_id.iloc[0]
        sounds = [audio.read(bench.seen.set_index("clip_id").path[first], RATE, 1)]
        latent = Packed(bench.latents(label))[0]
        sounds.append(bench.form(bench.codec.decode(latent[None])[0].cpu().numpy()))
        for generate in settings.values():
            generate = generate.model_copy(update={"keep": "all"})
            sounds += bench.sample(label, bench.model(label), generate, {first: 1})[0]
        titles = ["source", "round trip", *settings]
        for axis, title, wave in zip(row, titles, sounds):
            image = mel.encode(torch.from_numpy(wave)[None])[0].cpu()
            top = image.max()
            extent = (0, image.shape[1] * mel.hop / RATE, 0, len(image))
            axis.imshow(image, origin="lower", aspect="auto", vmin=top - 9, vmax=top, cmap="magma", extent=extent)
            axis.set_title(f"{label}: {title}" if title == "source" else title, fontsize=9)
    figure.supxlabel("seconds")
    figure.supylabel("mel band")
    figure.savefig(path, dpi=80)


def curves(bench: Bench, labels: list[str], path: Path) -> None:
    """Train each class anew, measure on the way, and draw what loss, recognition and KAD do with the minutes."""
    bench.curve = []
    for label in labels:
        bench.model(label)
    table = pd.DataFrame(bench.curve)
    table.drop(columns=["what", "kept %"]).to_csv(path.with_suffix(".csv"), index=False, float_format="%.4g")
    draw_curves(table, path)


def draw_curves(table: pd.DataFrame, path: Path) -> None:
    """A panel a measure, a line a class, against minutes."""
    measures = ("loss", "recognised", "cosine", "KAD")
    figure, axes = plt.subplots(1, len(measures), figsize=(13, 3.2), layout="constrained")
    for axis, measure in zip(axes, measures):
        for label, line in table.groupby("class", sort=False):
            axis.plot(line.minutes, line[measure], marker="o", markersize=3, label=label)
        axis.set(xlabel="minutes of the class's training", title=measure)
    axes[0].legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=100)


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights")
    parser.add_argument("--folds", nargs=2, type=int, default=[1, 2])
    parser.add_argument("--classes", nargs="+", default=["dog_bark", "car_horn", "gun_shot", "siren", "drilling"])
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--work", type=Path, default=Path("/tmp/counterpoise-variations"))
    parser.add_argument("--set", nargs="+", default=[], dest="changes")
    parser.add_argument("--vary", nargs="+", default=[""], help="settings of generate, e.g. strength=1,steps=8")
    parser.add_argument("--no-anchors", action="store_true")
    parser.add_argument("--picture", type=Path, help="draw spectrograms into this file and make no table")
    parser.add_argument("--curves", type=Path, help="train, measuring on the way, into this picture and a table")
    arguments = parser.parse_args(given)

    p = inputs.parameters(arguments.changes)
    work = arguments.work / f"{arguments.folds[0]}-{arguments.clips}"
    (work / "latents").mkdir(parents=True, exist_ok=True)
    made_of = f"{p.codec!r} {arguments.folder.resolve()}"
    if (work / "made_of.txt").exists() and (work / "made_of.txt").read_text() != made_of:
        parser.error(f"{work} was made from other sounds or with another codec: choose another --work")
    (work / "made_of.txt").write_text(made_of)
    bench = Bench(p, arguments.folder, arguments.weights, arguments.folds, arguments.clips, work)
    settings = {name: settled(p.generate, name) for name in arguments.vary}
    if arguments.picture:
        return picture(bench, arguments.classes, settings, arguments.picture)
    if arguments.curves:
        return curves(bench, arguments.classes, arguments.curves)
    candidates = max((one.candidates for one in settings.values() if one.keep == "best"), default=None)
    rows = []
    for label in arguments.classes:
        own = [] if arguments.no_anchors else bench.anchors(label, candidates)
        ceiling = own[1]["recognised"] if own else np.nan
        for name, generate in settings.items():
            waves, lineage, kept = bench.vary(label, generate)
            row = bench.row(name or "default", label, waves, lineage.root_clip_id.tolist(), kept)
            own.append(row | {"x real time": bench.speed})
        for row in own:
            row["of round trip"] = row.get("recognised", 0) / ceiling
        rows += own
        print(pd.DataFrame(own).round(2).to_string(index=False), "\n", flush=True)
    print("mean over classes")
    print(pd.DataFrame(rows).drop(columns="class").groupby("what", sort=False).mean().round(3).to_string())


def settled(generate: Generate, changes: str) -> Generate:
    """The section `generate` with "key=value,key=value" put in."""
    pairs = (pair.split("=") for pair in changes.split(",") if pair)
    values = {key: YAML(typ="safe").load(value.replace(":", ",")) for key, value in pairs}
    return Generate.model_validate(generate.model_dump() | values)


if __name__ == "__main__":
    run(main)
