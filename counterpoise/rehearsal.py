"""Variations made while a denoiser still learns, by the sampler that generates: are they good, does it recite?"""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from counterpoise import audio, quality, variations
from counterpoise.classifiers.embedder import Embedder
from counterpoise.codecs import Codec
from counterpoise.diffusion.model import Model
from counterpoise.judging import Judge
from counterpoise.latents import Packed, Shelf
from counterpoise.params import Diffusion, Generate, Runtime

FEWEST = 4  # held-out clips below which a distance to them says nothing
DEMOS = 2  # sounds that are kept of each rehearsal
RECITING = 0.1  # share of near copies of training clips from which a denoiser is taken to have memorised them


class Rehearsal:
    """What one class's variations are worth at some step of the training.

    Args:
        label: the class.
        training: its training clips, with the columns of `packed.clips`.
        held_out: clips of it that the denoiser does not see and that are not tested on; with a path.
        packed: its latents.
        judge: knows the training clips' embeddings.
        embedder: the judge's.
        diffusion: how many variations to make.
        generate: how; a rehearsal starts from the class's own clips, whatever `start` says of other classes'.
        report: gets the step, `kad` and `near_copies`.
        demos: folder for some of the sounds.
    """

    def __init__(
        self,
        label: str,
        training: pd.DataFrame,
        held_out: pd.DataFrame,
        packed: Packed,
        judge: Judge,
        embedder: Embedder,
        codec: Codec,
        diffusion: Diffusion,
        generate: Generate,
        runtime: Runtime,
        device: torch.device,
        report: Callable[..., None],
        demos: Path,
    ) -> None:
        start = "own" if generate.start == "cross" else generate.start
        self._generate = generate.model_copy(update={"start": start, "keep": "all"})
        shares = variations.share_out(training, label, diffusion.check_clips, self._generate)
        self._lineage = variations.lineage(training, label, shares, self._generate, Path(), Path())
        self._shelf, self._codec, self._embedder = Shelf([packed]), codec, embedder
        self._runtime, self._device, self._report, self._demos = runtime, device, report, demos
        self._seen, self._clips = judge.reference(label)
        waves = (audio.read(path, codec.sample_rate, codec.channels) for path in held_out.path)
        self._held_out = np.stack([self._embed(wave) for wave in waves])

    def __call__(self, step: int, model: Model) -> float:
        """KAD of the variations to the held-out clips, or infinity where the denoiser recites its training clips."""
        model = copy.deepcopy(model)  # sampling changes the layout of the weights in memory
        made = dict(
            variations.make(
                model, self._lineage, self._shelf, self._codec, self._generate, self._runtime, self._device
            )
        )
        self._demos.mkdir(parents=True, exist_ok=True)
        for clip_id in self._lineage.clip_id[:DEMOS]:
            file = self._demos / f"step{step:05d}_{clip_id}.flac"
            audio.write_flac(file, made[clip_id], self._codec.sample_rate)
        embedded = np.stack([self._embed(made[clip_id]) for clip_id in self._lineage.clip_id])
        kad = quality.kad(embedded, self._held_out)
        sources = self._clips.source_id.tolist()
        copies = float(quality.novelty(embedded, self._seen, real_groups=sources).near_copy.mean())
        self._report(step, kad=kad, near_copies=copies)
        return math.inf if copies > RECITING else kad

    def _embed(self, wave: np.ndarray) -> np.ndarray:
        return self._embedder.embed(torch.from_numpy(wave)[None], self._codec.sample_rate)[0].numpy()
