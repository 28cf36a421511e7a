"""The packages that a user would pick instead: the same clips, minutes and judge as our own diffusion.

    python -m benchmarks.peers FOLDER WEIGHTS [--minutes 5] [--threads 1] [--classes dog_bark …] [--only scratch …]
                               [--work DIR] [--environments DIR] [--set diffusion.attention=true …]

FOLDER, WEIGHTS, folds and judge are those of `benchmarks.variations`. Every entrant trains on a class's clips of the
first fold for `--minutes`, then makes one variation of each, from noise as strong as the clips themselves (sigma 1 of
ours; the nearest timestep of theirs), and as many sounds from noise alone. Nothing is filtered. Entrants:

    scratch    ours, diffusion.init=scratch. The steps that fit into the minutes are measured first, over 30 steps
    base       ours, tuned for the same minutes from a base of all classes that took `--base-minutes` before
    ddpm-1d    denoising-diffusion-pytorch (Phil Wang, MIT): `Unet1D` of its README on whole mels, bands as channels
    ddpm-2d    the same package: `Unet(dim=48, dim_mults=(1, 2))` on crops of the mel that is folded as for ours
    waveform   audio-diffusion-pytorch (Flavio Schneider, MIT): `UNetV0`, small, on waveforms, as the package intends

Mels of all entrants are normalised alike and decoded by the same codec. Where ours computes in bfloat16, so do they.
Each package has an environment of its own in `--environments`, made with pip, that borrows torch from this one; one
that cannot be made or fails is reported, the others go on, and the exit status is 1. Losses of different packages
cannot be compared; "x real time" is sampling with decoding. What an entrant made is kept in DIR, and used again if the
run is repeated. "recognised" alone flatters: noise looks like some class, too. Read it beside KAD and the anchors.
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmarks import inputs
from benchmarks.variations import LEARNED, RATE, Bench, key
from counterpoise.cli.params import Params
from counterpoise.codecs.latents import Normaliser, Pool, reflect
from counterpoise.core import audio
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.runtime import autocast, seed_for
from counterpoise.diffusion import model, networks, training
from counterpoise.diffusion.model import Model
from stages.base.work import run

WORKERS = Path(__file__).with_suffix("")
# torchvision (BSD-3) 0.29.1 is the one that belongs to torch 2.14.1. accelerate is Apache 2.0, the others MIT.
REQUIREMENTS = {
    "denoising_diffusion": [
        "denoising-diffusion-pytorch==2.3.4",
        "ema-pytorch==0.8.3",
        "torchvision==0.29.1",
        "accelerate==1.15.0",
        "einops==0.8.2",
    ],
    "audio_diffusion": ["audio-diffusion-pytorch==0.1.3", "a-unet==0.0.16", "einops==0.8.2"],
}
PEERS = {  # a worker, and which of its networks
    "ddpm-1d": ("denoising_diffusion", "1d"),
    "ddpm-2d": ("denoising_diffusion", "2d"),
    "waveform": ("audio_diffusion", "waveform"),
}
OURS = ["scratch", "base"]
STARTS = ["own", "noise"]
SIGMA = 1.0
MEL_FRAMES = 16  # the mels' length is a multiple of it, and 64 at least; that of waves of 256, and 2 ** 14 at least
COLUMNS = {
    "minutes": "{:.1f}",
    "steps": "{:.0f}",
    "parameters": "{:.2e}",
    "loss": "{:.3f}",
    "recognised": "{:.2f}",
    "cosine": "{:.2f}",
    "copies %": "{:.0f}",
    "bad %": "{:.0f}",
    "KAD": "{:.1f}",
    "x real time": "{:.1f}",
}


@dataclass
class Made:
    """What an entrant made of a class: for each start the sounds, the clips they start from, and seconds of sampling.

    `took` are the minutes, steps, last loss and parameters of its training.
    """

    took: dict[str, float]
    sounds: dict[str, list[np.ndarray]] = field(default_factory=dict)
    roots: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """The sounds as arrays; then the rest, whose presence says that all is there."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"{start} {i}": wave for start, waves in self.sounds.items() for i, wave in enumerate(waves)}
        np.savez(folder / "sounds.npz", **arrays)
        rest = {"took": self.took, "roots": self.roots, "seconds": self.seconds}
        (folder / "made.json").write_text(json.dumps(rest))

    @classmethod
    def load(cls, folder: Path) -> "Made":
        made = cls(**json.loads((folder / "made.json").read_text()))
        with np.load(folder / "sounds.npz") as arrays:
            made.sounds = {
                start: [arrays[f"{start} {i}"] for i in range(len(roots))] for start, roots in made.roots.items()
            }
        return made


def train_for(
    minutes: float,
    name: str,
    network: networks.Denoiser,
    pool: Pool,
    normaliser: Normaliser,
    p: Params,
    device: torch.device,
) -> tuple[training.Trained, dict[str, float]]:
    """Train a network in place, for as many steps as 30 of them on a copy promise to fit.

    On a CPU the time is that of its processor, so that what else runs there counts little.

    Returns:
        What a training leaves, and the minutes, steps, last loss and parameters that it took.
    """
    settings = p.diffusion.model_copy(update={"checkpoint_every": sys.maxsize})

    def train(network: networks.Denoiser, steps: int, report: Callable[[int, float], None]) -> training.Trained:
        with tempfile.TemporaryDirectory() as nowhere:
            state = Checkpoint(Path(nowhere) / "none")
            return training.train(network, pool, normaliser, steps, settings, p.runtime, device, state, report, name)

    def now() -> float:
        return time.process_time() / p.runtime.threads if device.type == "cpu" else time.perf_counter()

    moments: list[float] = []
    train(copy.deepcopy(network), 30, lambda step, loss: moments.append(now()))
    per_step = (moments[-1] - moments[0]) / 20
    start, steps = now(), max(10, round(60 * minutes / per_step))
    trained = train(network, steps, lambda step, loss: None)
    return trained, {
        "minutes": (now() - start) / 60,
        "steps": steps,
        "loss": trained.loss,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


class Timed(Bench):
    """A bench whose denoisers, ours and theirs, train for minutes rather than for steps."""

    def timed_base(self, minutes: float) -> tuple[Path, dict[str, float]]:
        """The folder of a base of all classes, from this run or an earlier one, and what its training took."""
        d, everything = self.p.diffusion, self.learned(self.labels)
        learned = d.model_dump(include=LEARNED)
        folder = self.work / "peers" / f"base-{key(minutes, self.p.runtime, learned, everything.clip_ids)}"
        if not (folder / "took.json").exists():
            normaliser = Normaliser.fit(everything)
            network = networks.build(d, everything.channels, self.codec.picture, d.seed, len(self.labels))
            trained, took = train_for(minutes, "base", network, everything, normaliser, self.p, self.device)
            model.save_base(folder, network, trained.early, normaliser, self.labels, everything.clip_ids)
            (folder / "took.json").write_text(json.dumps(took))
        return folder, json.loads((folder / "took.json").read_text())

    def ours(self, label: str, init: str, minutes: float, base_minutes: float) -> Made:
        """Train a denoiser of the class and vary its clips, as the pipeline does."""
        own = self.learned([label])
        if init == "scratch":
            begun = Model.fresh(own, self.p.diffusion, self.codec.picture)
        else:
            begun = Model.of_base(self.timed_base(base_minutes)[0], label, tuned=True)
        trained, took = train_for(minutes, label, begun.network, own, begun.normaliser, self.p, self.device)
        made, finished = Made(took), begun.with_weak(trained.early).to(self.device)
        for start in STARTS:
            generate = self.p.generate.model_copy(update={"start": start, "strength": SIGMA, "keep": "all"})
            waves, lineage, _ = self.sample(label, finished, generate)
            made.sounds[start], made.roots[start] = waves, lineage.root_clip_id.tolist()
            made.seconds[start] = sum(wave.shape[1] for wave in waves) / RATE / self.speed
        return made

    def theirs(self, label: str, name: str, python: Path, minutes: float, sampling_steps: int) -> Made:
        """Run a package's worker on the class's mels or waves.

        Raises:
            subprocess.CalledProcessError: it failed; its last words are on standard error.
        """
        kind, network = PEERS[name]
        clips, pool = self.of(self.seen, label).set_index("clip_id"), self.pool([label])
        if network == "waveform":
            waves = [audio.read(clips.path[clip], self.codec.sample_rate, 1) for clip in pool.clip_ids]
            data, multiple, least = [torch.from_numpy(wave) for wave in waves], 256, 2**14
        else:
            normaliser = Normaliser.fit(pool)
            data, multiple, least = [normaliser(pool[i]) for i in range(len(pool))], MEL_FRAMES, 64
        lengths = [clip.shape[1] for clip in data]
        length = -(-max(*lengths, least) // multiple) * multiple
        seeds = torch.tensor([seed_for("peer", self.p.generate.seed, clip) for clip in pool.clip_ids])
        with autocast(self.p.runtime, self.device, amx=True):
            bf16 = ["--bf16"] if torch.is_autocast_enabled(self.device.type) else []
        with tempfile.TemporaryDirectory() as folder:
            given, answer = Path(folder) / "given.safetensors", Path(folder) / "made.safetensors"
            save_file({"data": torch.stack([reflect(clip, length) for clip in data]), "seeds": seeds}, given)
            options = [f"--minutes={minutes}", f"--sigma={SIGMA}", f"--sampling-steps={sampling_steps}", *bf16]
            options += [f"--threads={self.p.runtime.threads}", f"--seed={self.p.diffusion.seed}"]
            subprocess.run([python, WORKERS / f"{kind}.py", network, given, answer, *options], check=True)
            with safe_open(answer, framework="pt") as file:
                took = json.loads(file.metadata()["took"])
                varied = {start: file.get_tensor(start) for start in STARTS}
        made = Made(took)
        for start, batch in varied.items():
            begun = time.perf_counter()
            cut = [one[:, :length] for one, length in zip(batch, lengths)]
            waves = cut if network == "waveform" else [self.decode(normaliser.inverse(one)) for one in cut]
            made.sounds[start] = [self.form(wave.numpy()) for wave in waves]
            made.roots[start] = pool.clip_ids
            made.seconds[start] = took.pop(f"{start} seconds") + time.perf_counter() - begun
        return made

    def decode(self, latent: Tensor) -> Tensor:
        """`[C, T]` to `[1, T * hop]`."""
        return self.codec.decode(latent[None])[0].cpu()


def environment(folder: Path, kind: str) -> Path:
    """The python of an environment with a package; torch and all that it lacks come from the running one.

    Raises:
        subprocess.CalledProcessError: it cannot be made; pip's reason is on standard error.
    """
    python, complete, wanted = folder / "bin" / "python", folder / "complete", "\n".join(REQUIREMENTS[kind])
    if not complete.exists() or complete.read_text() != wanted:
        packages = "import sysconfig; print(sysconfig.get_path('purelib'))"
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, *REQUIREMENTS[kind]], check=True)
        here, there = (
            subprocess.run([each, "-c", packages], check=True, capture_output=True, text=True).stdout.strip()
            for each in (sys.executable, python)
        )
        (Path(there) / "borrowed.pth").write_text(f"{here}\n")
        subprocess.run([python, "-c", f"import {kind}_pytorch"], check=True)
        complete.write_text(wanted)
    return python


def line(label: str, what: str, row: dict[str, float]) -> str:
    """A row of the table, of the width of its header."""
    cells = [form.format(row[name]) if name in row else "" for name, form in COLUMNS.items()]
    return f"{label:<17}{what:<27}" + "".join(f"{cell:>{len(name) + 3}}" for name, cell in zip(COLUMNS, cells))


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--base-minutes", type=float, default=10.0)
    parser.add_argument("--sampling-steps", type=int, default=15, help="of the packages; ours takes generate.steps")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folds", nargs=2, type=int, default=[1, 2])
    parser.add_argument("--classes", nargs="+", default=["dog_bark", "gun_shot", "siren"])
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--only", nargs="+", choices=[*OURS, *PEERS], default=[*OURS, *PEERS])
    parser.add_argument("--work", type=Path, default=Path("/tmp/counterpoise-variations"))
    parser.add_argument("--environments", type=Path, default=Path("/tmp/counterpoise-peers"))
    parser.add_argument("--set", nargs="+", default=[], dest="changes")
    asked = parser.parse_args(given)

    changes = [*asked.changes, "codec.name=mel", "diffusion.mode=per_class", f"runtime.threads={asked.threads}"]
    p = inputs.parameters(changes)
    failed: dict[str, str] = {}
    pythons = {}
    for kind in sorted({PEERS[name][0] for name in asked.only if name in PEERS}):
        try:
            pythons[kind] = environment(asked.environments / kind, kind)
        except (subprocess.CalledProcessError, OSError) as error:
            failed[kind] = f"its environment cannot be made: {error}"
            print(f"FAILED {kind}: {failed[kind]}", file=sys.stderr, flush=True)

    work = asked.work / f"{asked.folds[0]}-{asked.clips}"
    (work / "latents").mkdir(parents=True, exist_ok=True)
    bench = Timed(p, asked.folder, asked.weights, asked.folds, asked.clips, work)
    if "base" in asked.only:
        _, took = bench.timed_base(asked.base_minutes)
        print(f"base of all classes: {took['minutes']:.1f} minutes, {took['steps']} steps, loss {took['loss']:.3f}")
    print(line("class", "what", {}).rstrip() + "".join(f"{name:>{len(name) + 3}}" for name in COLUMNS), flush=True)
    rows = []
    for label in asked.classes:
        for row in bench.anchors(label):
            print(line(label, row["what"], row), flush=True)
        for name in asked.only:
            settings = (name, label, asked.minutes, p.runtime, p.diffusion.seed, bench.pool([label]).clip_ids)
            if name in PEERS:
                kind = PEERS[name][0]
                if kind not in pythons:
                    continue
                sources = [(WORKERS / file).read_text() for file in ("timed.py", f"{kind}.py")]
                folder = work / "peers" / key(settings, asked.sampling_steps, REQUIREMENTS[kind], sources)
            else:
                learned = p.diffusion.model_dump(include=LEARNED)
                folder = work / "peers" / key(settings, learned, p.generate, asked.base_minutes)
            try:
                if not (folder / "made.json").exists():
                    if name in PEERS:
                        made = bench.theirs(label, name, pythons[kind], asked.minutes, asked.sampling_steps)
                    else:
                        made = bench.ours(label, name, asked.minutes, asked.base_minutes)
                    made.save(folder)
            except subprocess.CalledProcessError as error:
                failed[f"{name} of {label}"] = str(error)
                print(f"FAILED {name} of {label}: {error}", file=sys.stderr, flush=True)
                continue
            made = Made.load(folder)
            for start in STARTS:
                what = f"{name}, {'σ 1' if start == 'own' else 'noise'}"
                speed = sum(wave.shape[1] for wave in made.sounds[start]) / RATE / made.seconds[start]
                row = bench.row(what, label, made.sounds[start], made.roots[start]) | made.took
                rows.append(row | {"x real time": speed})
                print(line(label, what, rows[-1]), flush=True)
    means = pd.DataFrame(rows, columns=["what", *COLUMNS]).groupby("what", sort=False).mean()
    for what, row in means.iterrows():
        print(line("mean", str(what), row.to_dict()))
    if failed:
        sys.exit("\n".join(["", "FAILED", *(f"{name}: {reason}" for name, reason in failed.items())]))


if __name__ == "__main__":
    run(main)
