"""Early stopping by validation sampling: what a denoiser's variations are worth while it still learns.

They are made by the sampler that generates, and compared with validation clips. A training also stops being taken where
the denoiser has memorised its clips.
"""

import copy
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import pdist
from torch import Tensor

from counterpoise import codecs
from counterpoise.codecs.codec import Codec
from counterpoise.codecs.latents import Packed, Shelf
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core import audio, unfinished
from counterpoise.core.runtime import Runtime, seed_for
from counterpoise.diffusion.model import Model
from counterpoise.diffusion.settings import Diffusion
from counterpoise.embeddings.embedder import Embedder
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.spectrogram import MelSpectrogram
from counterpoise.generation import planning, sdedit
from counterpoise.generation.settings import Generate
from counterpoise.metrics import c2st, kad

FEWEST = 4  # validation clips below which a distance to them says nothing
MOST = 64  # real clips that are embedded
DEMOS = 2  # sounds that are kept of each validation
MEMORISED = 0.1  # share of near copies of other clips from which a denoiser is taken to have memorised them

Embed = Callable[
    [np.ndarray], np.ndarray
]  # from a wave `[channels, samples]` at the codec's rate to an embedding `[D]`


def embedding(weights: Path, features: Features, codec: Codec, device: torch.device) -> Embed:
    """AudioSet's YAMNet where its weights are at hand; elsewhere the mean and the spread of each mel band.

    It must depend on no clip, or a new clip of one class would train the denoisers of all others again.
    """
    if weights.exists():
        embedder = Embedder.audioset(weights, device)
        return lambda wave: embedder.embed(torch.from_numpy(wave)[None], codec.sample_rate)[0].numpy()
    spectrogram = MelSpectrogram(features, codec.sample_rate)
    return lambda wave: c2st.band_statistics(wave, spectrogram)


def begin(
    model: Model,
    label: str,
    packed: Packed,
    partition: pd.Series,
    weights: Path,
    features: Features,
    codec: CodecSettings,
    diffusion: Diffusion,
    generate: Generate,
    runtime: Runtime,
    device: torch.device,
    report: Callable[..., None],
    folder: Path,
) -> "ValidationSampling | None":
    """A class's validation sampling, or None where none is wanted or too few different clips are there, which is said.

    Args:
        weights: of AudioSet's YAMNet, which may be missing, and `features`: see :func:`embedding`.
        codec: which one; it is built only where there is a validation.

    The others are those of :class:`ValidationSampling`.
    """
    if not diffusion.validate_every:
        return None
    if (held_out := (partition == "val").sum()) < FEWEST:
        print(f"{label}: {held_out} validation clips are too few to compare with; every step is trained")
        return None
    built = codecs.build(codec, device)
    embed = embedding(weights, features, built, device)
    sampling = ValidationSampling(
        model, label, packed, partition, embed, built, diffusion, generate, runtime, device, report, folder
    )
    if not sampling.has_measure:
        print(f"{label}: most validation clips are one and the same sound; every step is trained")
        return None
    return sampling


class ValidationSampling:
    """What one class's variations are worth at some step of the training.

    They are compared with held-out clips of the class as the codec gives them back, so that only the denoiser counts.

    Args:
        model: whose network is being trained.
        label: the class.
        packed: its latents.
        partition: of its clips, in the order of `packed`; the denoiser sees "train", "val" is held out.
        embed: from :func:`embedding`.
        diffusion: how many variations to make.
        generate: how; a validation starts from the class's own clips, whatever `start` says of other classes', and has
            no `finish`.
        report: gets the step, `kad` and `near_copies`.
        folder: for `demos/`, some of the sounds, and for what an interrupted training measured before.

    Raises:
        ValueError: fewer than FEWEST clips are held out.
    """

    def __init__(
        self,
        model: Model,
        label: str,
        packed: Packed,
        partition: pd.Series,
        embed: Embed,
        codec: Codec,
        diffusion: Diffusion,
        generate: Generate,
        runtime: Runtime,
        device: torch.device,
        report: Callable[..., None],
        folder: Path,
    ) -> None:
        start = "own" if generate.start == "cross" else generate.start
        changes = {"start": start, "keep": "all", "finish": "none"}  # a finish would hide what was memorised
        self._generate = generate.model_copy(update=changes)
        training, held_out = (packed.clips[(partition == name).to_numpy()] for name in ("train", "val"))
        if len(held_out) < FEWEST:
            raise ValueError(f"{len(held_out)} clips of {label} are held out; validation sampling needs {FEWEST}")
        shares = planning.share_out(training, label, diffusion.validation_samples, self._generate)
        self._lineage = planning.lineage(training, label, shares, self._generate, Path(), Path())
        self._model, self._shelf, self._codec, self._embed = model, Shelf([packed]), codec, embed
        self._runtime, self._device, self._report, self._folder = runtime, device, report, folder
        self._reported: set[int] = set()
        chosen = [
            sorted(clips.clip_id, key=lambda clip_id: seed_for("rehearsal", clip_id))[:MOST]
            for clips in (training, held_out)
        ]
        self._sources = training.set_index("clip_id").source_id[chosen[0]].tolist()
        self._seen, self._held_out = (np.stack([self._round_trip(clip_id) for clip_id in ids]) for ids in chosen)

    @property
    def has_measure(self) -> bool:
        """Whether the held-out clips differ: KAD is measured in units of their distances."""
        return bool(np.median(pdist(self._held_out)) > 0)

    def __call__(self, step: int, early: dict[str, Tensor]) -> float:
        """KAD of the variations to the held-out clips, or infinity where the denoiser has memorised its training clips.

        Args:
            step: of the training.
            early: see :meth:`Model.with_weak`.
        """
        # A copy, since sampling changes the layout of the weights in memory
        model = copy.deepcopy(self._model.with_weak(early)).to(self._device)
        made = dict(
            sdedit.make(model, self._lineage, self._shelf, self._codec, self._generate, self._runtime, self._device)
        )
        for clip_id in self._lineage.clip_id[:DEMOS]:
            with unfinished.keeping(self._folder / "demos" / f"step{step:05d}_{clip_id}.flac") as partial:
                audio.write_flac(partial, made[clip_id], self._codec.sample_rate)
        embedded = np.stack([self._embed(made[clip_id]) for clip_id in self._lineage.clip_id])
        distance = kad.kad(embedded, self._held_out)
        copies = float(np.mean([self._is_memorised(*pair) for pair in zip(embedded, self._lineage.source_id)]))
        measured = {at: values for at, values in self._measured().items() if at < step}
        measured[step] = {"kad": distance, "near_copies": copies}
        with unfinished.keeping(self._file) as partial:
            partial.write_text(json.dumps(measured))
        self.replay()
        return math.inf if copies > MEMORISED else distance

    def replay(self) -> None:
        """Report what was measured and is not reported yet, an interrupted training's validations, too."""
        for step, values in self._measured().items():
            if step not in self._reported:
                self._reported.add(step)
                self._report(step, **values)

    def finish(self, out: Path) -> None:
        """After the training: report what is not reported yet, and copy `demos/` to the class's model."""
        self.replay()
        but_checksums = shutil.ignore_patterns(f"*{unfinished.CHECKSUM}")
        shutil.copytree(self._folder / "demos", out / "demos", dirs_exist_ok=True, ignore=but_checksums)

    @property
    def _file(self) -> Path:
        return self._folder / "validations.json"

    def _measured(self) -> dict[int, dict[str, float]]:
        if not self._file.exists():
            return {}
        return {int(step): values for step, values in json.loads(self._file.read_text()).items()}

    def _is_memorised(self, embedding: np.ndarray, source: str) -> bool:
        """Whether a variation is a near copy of a clip that it did not start from; near its own it may well be."""
        others = np.array(self._sources) != source
        if not others.any():
            return False
        groups = [name for name in self._sources if name != source]
        return bool(kad.novelty(embedding[None], self._seen[others], real_groups=groups).near_copy[0])

    def _round_trip(self, clip_id: str) -> np.ndarray:
        return self._embed(self._codec.decode(self._shelf[clip_id][None])[0].cpu().numpy())
