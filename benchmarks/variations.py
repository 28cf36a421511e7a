"""How good are the variations? Real recordings of one fold are varied, and judged by who knows another fold only.

    python -m benchmarks.variations FOLDER WEIGHTS [--folds 1 2] [--classes dog_bark …] [--clips N] [--work DIR]
                                    [--set diffusion.steps=600 …] [--strengths 1 2] [--starts own noise]
                                    [--picture FILE]

FOLDER has the layout of UrbanSound8K; WEIGHTS is anything that `yamnet.source` may be. Diffusion models see the clips
of the first fold (the first N of each class in a random order), the filter's judge too. The judge of the table is logistic
regression on AudioSet YAMNet embeddings of the second fold. Columns: recognised as its class; the same as a share of
the round trip's rate; mean cosine to the clip that it started from; near copies of any training clip of the class, %;
silent or clipped, %; KAD to the second fold's clips of the class; candidates that the filter kept, %. Parameters are
those of params.yaml with the changes of `--set`. Models are kept in DIR and used again, even if the
code has changed since.
"""

import argparse
import hashlib
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import soundfile
import torch
import yaml

from benchmarks.transfer import read
from counterpoise import (
    audio, catalog, checkpoint, classic, codecs, encoding, judging, params, quality, runtime, variations,
)  # fmt: skip
from counterpoise.classifiers import audioset
from counterpoise.classifiers.embedder import Embedder
from counterpoise.diffusion import networks, sampling, training
from counterpoise.judging import Judge
from counterpoise.latents import Normaliser, Packed, Pool

RATE = 16000  # Hz, in which sounds are judged


class Bench:
    """One pair of folds: its clips, latents, judges and models."""

    def __init__(self, p: params.Params, folder: Path, weights: str, folds: list[int], clips: int, work: Path) -> None:
        self.p, self.work, self.device = p, work, runtime.setup(p.runtime)
        examples, fold, self.labels = read(folder, folds)
        examples["fold"] = fold
        examples["seconds"] = [soundfile.info(path).duration for path in examples.path]
        examples["turn"] = [runtime.seed_for("turn", clip_id) for clip_id in examples.clip_id]
        turn = examples.groupby(["fold", "label"]).turn.rank()
        self.seen = examples[(examples.fold == folds[0]) & (turn <= clips)].reset_index(drop=True)
        self.held_out = examples[examples.fold == folds[1]].reset_index(drop=True)
        audioset.convert(weights, work / "yamnet.safetensors")
        self.embedder = Embedder.audioset(work / "yamnet.safetensors", self.device)
        self.codec = codecs.build(p.codec, self.device)
        self.embedded = {name: self.embed_files(table) for name, table in (("seen", self.seen), ("out", self.held_out))}
        self.filter = Judge.fit(self.embedded["seen"], self.seen, self.labels, self.embedder.name)
        self.judge = Judge.fit(self.embedded["out"], self.held_out, self.labels, self.embedder.name)
        for label in self.labels:
            if not self.latents(label).exists():
                encoding.encode(self.codec, self.of(self.seen, label), self.latents(label), p.codec.batch_size)

    def of(self, table: pd.DataFrame, label: str) -> pd.DataFrame:
        return table[table.label == label].reset_index(drop=True)

    def latents(self, label: str) -> Path:
        return self.work / "latents" / f"{label}.safetensors"

    def pool(self, labels: list[str]) -> Pool:
        packed = [Packed(self.latents(label)) for label in labels]
        return Pool([(part, range(len(part))) for part in packed])

    def embed_files(self, table: pd.DataFrame) -> np.ndarray:
        return self.embed([audio.read(path, RATE, 1) for path in table.path])

    def embed(self, waves: list[np.ndarray]) -> np.ndarray:
        return np.stack([self.embedder.embed(torch.from_numpy(wave)[None], RATE)[0].numpy() for wave in waves])

    def trained(self, name: str, network, pool: Pool, normaliser: Normaliser, steps: int) -> networks.Denoiser:
        """The network, trained now or in an earlier run."""
        determinants = f"{steps} {self.p.diffusion!r} {pool.clip_ids}"
        key = hashlib.sha256(determinants.encode()).hexdigest()[:12]
        folder = self.work / "models" / f"{name}-{key}"
        if not folder.exists():
            start = time.perf_counter()
            state = checkpoint.Checkpoint(self.work / "unfinished" / f"{name}-{key}.pt")
            loss = training.train(
                network, pool, normaliser, steps, self.p.diffusion, self.p.runtime, self.device, state,
                lambda step, loss: None, name,
            )
            minutes = (time.perf_counter() - start) / 60
            print(f"{name}: {steps} steps, loss {loss:.3f}, {minutes:.1f} minutes", flush=True)
            networks.save(network, folder)
        return networks.load(folder).to(self.device)

    def model(self, label: str) -> tuple[networks.Denoiser, Normaliser]:
        """As the stages train_base and train_diffusion make it."""
        d = self.p.diffusion
        own, everything = self.pool([label]), self.pool(self.labels)
        if d.mode == "per_class" and d.init == "scratch":
            normaliser = Normaliser.fit(own)
            network = networks.build(d, own.channels, self.p.codec.name == "mel", d.seed)
        else:
            normaliser = Normaliser.fit(everything)
            fresh = networks.build(d, own.channels, self.p.codec.name == "mel", d.seed, len(self.labels))
            base = self.trained("base", fresh, everything, normaliser, d.base_steps)
            network = networks.specialise(base, self.labels.index(label))
        if d.mode == "per_class":
            network = self.trained(label, network, own, normaliser, d.steps)
        return network, normaliser

    def vary(self, label: str, generate: params.Generate) -> tuple[list[np.ndarray], pd.DataFrame, float]:
        """One variation of each clip; the sounds, their lineage, and the share of candidates that were kept."""
        network, normaliser = self.model(label)
        sampling.scheduler(normaliser.sigma_data).save_pretrained(self.work / "scheduler")
        shares = variations.share_out(self.seen, label, len(self.of(self.seen, label)), generate)
        amounts = variations.candidates(shares, generate)
        lineage = variations.lineage(self.seen, label, amounts, generate, Path(), Path())
        parents = {
            clip_id: (part, row)
            for part in (Packed(self.latents(name)) for name in self.labels)
            for row, clip_id in enumerate(part.clips.clip_id)
        }
        latent = {c: parents[c][0][parents[c][1]] for c in {*lineage.root_clip_id, *lineage.other_clip_id} - {""}}
        frames = [latent[root].shape[1] for root in lineage.root_clip_id]
        made: dict[int, np.ndarray] = {}
        start = time.perf_counter()
        for batch in sampling.batches(frames, lineage.strength.tolist(), network.frame_multiple, generate.batch_size):
            rows = lineage.iloc[batch]
            sources = [
                sampling.blend(latent[r.root_clip_id], latent[r.other_clip_id], r.seed) if r.other_clip_id
                else latent[r.root_clip_id]
                for r in rows.itertuples()
            ]
            schedule = sampling.load_scheduler(self.work / "scheduler", generate.solver, rows.strength.iloc[0])
            varied = sampling.vary(
                network, normaliser, schedule, sources, rows.seed.tolist(), generate, self.p.runtime, self.device
            )
            for index, wave, source in zip(batch, self.codec.decode(varied).cpu().numpy(), sources):
                made[index] = self.form(wave[:, : source.shape[1] * self.codec.hop])
        seconds = sum(wave.shape[1] for wave in made.values()) / RATE
        self.speed = seconds / (time.perf_counter() - start)
        waves = [made[index] for index in range(len(lineage))]
        if generate.keep == "all":
            return waves, lineage, 1.0
        embedded = self.embed(waves)
        said = pd.concat([
            judging.assess(self.filter, label, torch.from_numpy(wave)[None], one[None])
            for wave, one in zip(waves, embedded)
        ], ignore_index=True)  # fmt: skip
        kept = judging.choose(pd.concat([lineage.root_clip_id, said], axis=1), shares)
        chosen = [wave for wave, keep in zip(waves, kept) if keep]
        return chosen, lineage[kept].reset_index(drop=True), float((said.reason == "").mean())

    def form(self, wave: np.ndarray) -> np.ndarray:
        """As a file would hold it, at the rate of the judges."""
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
        cosine = quality.novelty(embedded, self.embedded["seen"], [ids.index(root) for root in roots]).root_cosine
        copies = quality.novelty(embedded, reference, real_groups=real.source_id.tolist()).near_copy
        bad = [bool(t(torch.from_numpy(w)[None])[0]) for w in waves for t in (quality.is_silent, quality.is_clipped)]
        return {
            "class": label, "what": name, "n": len(waves), "recognised": recognised.mean(), "cosine": cosine.mean(),
            "copies %": 100 * copies.mean(), "bad %": 100 * np.sum(bad) / len(waves),
            "KAD": quality.kad(embedded, self.embedded["out"][held_out]), "kept %": 100 * kept,
        }

    def anchors(self, label: str) -> list[dict]:
        """What is real, what the codec gives back, and what classical augmentation makes."""
        real = self.of(self.seen, label)
        waves = [audio.read(path, RATE, 1) for path in real.path]
        packed, back = Packed(self.latents(label)), []
        for row in range(len(packed)):
            latent = packed[row]
            decoded = self.codec.decode(latent[None])[0].cpu().numpy()
            back.append(self.form(decoded[:, : latent.shape[1] * self.codec.hop]))
        classical = [classic.augment(wave, RATE, seed) for seed, wave in enumerate(waves)]
        ids = real.clip_id.tolist()
        return [
            self.row(name, label, sounds, ids)
            for name, sounds in (("real", waves), ("round trip", back), ("classic", classical))
        ]


def picture(bench: Bench, labels: list[str], strengths: list[float], path: Path) -> None:
    """A clip of each class beside its variations, all decoded and encoded again: what can be heard."""
    figure, axes = plt.subplots(
        len(labels), 2 + len(strengths), figsize=(3 * (2 + len(strengths)), 1.7 * len(labels)), squeeze=False,
        sharex=True, sharey=True, layout="constrained",
    )  # fmt: skip
    mel = codecs.build(params.Codec(name="mel"), bench.device)
    for label, row in zip(labels, axes):
        first = bench.of(bench.seen, label).clip_id.iloc[0]
        sounds = [audio.read(bench.seen.set_index("clip_id").path[first], RATE, 1)]
        latent = Packed(bench.latents(label))[0]
        sounds.append(bench.form(bench.codec.decode(latent[None])[0].cpu().numpy()))
        for strength in strengths:
            generate = bench.p.generate.model_copy(update={"start": "own", "strength": strength, "keep": "all"})
            waves, lineage, _ = bench.vary(label, generate)
            sounds.append(waves[lineage.root_clip_id.tolist().index(first)])
        titles = ["source", "round trip", *(f"σ = {strength:g}" for strength in strengths)]
        for axis, title, wave in zip(row, titles, sounds):
            image = mel.encode(torch.from_numpy(wave)[None])[0].cpu()
            top = image.max()
            extent = (0, image.shape[1] * mel.hop / RATE, 0, len(image))
            axis.imshow(image, origin="lower", aspect="auto", vmin=top - 9, vmax=top, cmap="magma", extent=extent)
            axis.set_title(f"{label}: {title}" if title == "source" else title, fontsize=9)
    figure.supxlabel("seconds")
    figure.supylabel("mel band")
    figure.savefig(path, dpi=80)


def changed(values: dict, changes: list[str]) -> dict:
    """params.yaml's values with `section.key=value` put in."""
    for change in changes:
        path, _, value = change.partition("=")
        *sections, key = path.split(".")
        section = values
        for name in sections:
            section = section[name]
        section[key] = yaml.safe_load(value)
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights")
    parser.add_argument("--folds", nargs=2, type=int, default=[1, 2])
    parser.add_argument("--classes", nargs="+", default=["dog_bark", "car_horn", "gun_shot", "siren", "drilling"])
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--work", type=Path, default=Path("/tmp/counterpoise-variations"))
    parser.add_argument("--set", nargs="+", default=[], dest="changes")
    parser.add_argument("--starts", nargs="+", default=["own", "noise"])
    parser.add_argument("--strengths", nargs="+", type=float, default=[])
    parser.add_argument("--no-anchors", action="store_true")
    parser.add_argument("--picture", type=Path, help="draw spectrograms into this file and make no table")
    arguments = parser.parse_args()

    values = yaml.safe_load(Path("params.yaml").read_text())
    p = params.Params.model_validate(changed(values, arguments.changes))
    work = arguments.work / f"{arguments.folds[0]}-{arguments.clips}"
    (work / "latents").mkdir(parents=True, exist_ok=True)
    bench = Bench(p, arguments.folder, arguments.weights, arguments.folds, arguments.clips, work)
    if arguments.picture:
        picture(bench, arguments.classes, arguments.strengths or [p.generate.strength], arguments.picture)
        return
    rows = []
    for label in arguments.classes:
        first = [] if arguments.no_anchors else bench.anchors(label)
        ceiling = first[1]["recognised"] if first else np.nan
        for start in arguments.starts:
            for strength in (arguments.strengths or [p.generate.strength]) if start != "noise" else [0.0]:
                generate = p.generate.model_copy(update={"start": start, "strength": strength})
                waves, lineage, kept = bench.vary(label, generate)
                name = start if start == "noise" else f"{start}, σ {strength}"
                first.append(bench.row(name, label, waves, lineage.root_clip_id.tolist(), kept))
        for row in first:
            row["of round trip"] = row.get("recognised", 0) / ceiling
        rows += first
        print(pd.DataFrame(first).round(2).to_string(index=False), f"\n  {bench.speed:.1f} times real time", flush=True)
    print("\nmean over classes")
    print(pd.DataFrame(rows).drop(columns="class").groupby("what", sort=False).mean().round(3).to_string())


if __name__ == "__main__":
    main()
