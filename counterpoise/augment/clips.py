"""Clips made without a diffusion model: classical variations, clips over backgrounds, round trips through the codec.

A round trip brings a clip back as the codec hears it, with nothing new in it: what an arm gains by round trips, it
gains by decoder artefacts and repetition.
"""

from pathlib import Path

import pandas as pd

from counterpoise.augment import effects
from counterpoise.codecs.codec import Codec
from counterpoise.codecs.latents import Shelf, batches, lengthened
from counterpoise.core import audio, unfinished
from counterpoise.core.audio import Audio
from counterpoise.core.progress import progress

MULTIPLE = 16  # latent frames; clips whose lengths are rounded up to the same multiple share a batch


def write_classic(lineage: pd.DataFrame, clips: pd.DataFrame, settings: Audio) -> None:
    """Write one classical variation a row; files that are there already stay.

    Args:
        lineage: columns `tables.LINEAGE`; the files of `path` are written.
        clips: the catalogue's rows of all roots.
        settings: the sample rate and the channels in which a classifier hears a clip.

    Raises:
        AudioError: a root cannot be read.
    """
    source = dict(zip(clips.clip_id, clips.path))
    for row in progress(lineage.itertuples(), total=len(lineage), desc="classic", unit="clip", disable=lineage.empty):
        path = Path(row.path)
        if not path.exists():
            wave = audio.read(source[row.root_clip_id], settings.sample_rate, settings.channels)
            with unfinished.keeping(path) as partial:
                audio.write_flac(partial, effects.augment(wave, settings.sample_rate, row.seed), settings.sample_rate)


def write_over_backgrounds(lineage: pd.DataFrame, clips: pd.DataFrame, settings: Audio) -> None:
    """Write each row's root over a sound of another class; files that are there already stay.

    Args:
        lineage: columns `tables.LINEAGE`, `strength` as signal-to-noise ratio in dB; the files of `path` are written.
        clips: the catalogue's rows of all roots and of all clips that are mixed in.
        settings: the sample rate and the channels in which a classifier hears a clip.

    Raises:
        AudioError: a clip cannot be read.
    """
    source = dict(zip(clips.clip_id, clips.path))
    for row in progress(
        lineage.itertuples(), total=len(lineage), desc="background", unit="clip", disable=lineage.empty
    ):
        path = Path(row.path)
        if not path.exists():
            wave, background = (
                audio.read(source[clip_id], settings.sample_rate, settings.channels)
                for clip_id in (row.root_clip_id, row.other_clip_id)
            )
            mixed = effects.over_background(wave, background, row.strength, row.seed)
            with unfinished.keeping(path) as partial:
                audio.write_flac(partial, mixed, settings.sample_rate)


def write_round_trips(lineage: pd.DataFrame, clips: pd.DataFrame, shelf: Shelf, codec: Codec, batch_size: int) -> None:
    """Write the decoded latent of each row's root, as long as the root is; files that are there already stay.

    A latent is lengthened beyond its end, as that of a variation is, so that neither its neighbours in the batch nor
    the decoder's edge are heard.

    Args:
        lineage: columns `tables.LINEAGE`; the files of `path` are written.
        clips: the catalogue's rows of all roots.
        shelf: holds the latents of all roots.
        batch_size: clips that are decoded together, at most.
    """
    seconds = dict(zip(clips.clip_id, clips.seconds))
    rows = list(lineage.itertuples())
    grouped = batches([shelf.frames(row.root_clip_id) for row in rows], MULTIPLE, batch_size)
    for batch in progress(grouped, desc="round trips", unit="batch", disable=lineage.empty):
        if all(Path(rows[i].path).exists() for i in batch):
            continue
        sources = [shelf[rows[i].root_clip_id] for i in batch]
        decoded = codec.decode(lengthened(sources, MULTIPLE)).cpu().numpy()
        for i, wave in zip(batch, decoded):
            samples = round(seconds[rows[i].root_clip_id] * codec.sample_rate)
            with unfinished.keeping(Path(rows[i].path)) as partial:
                audio.write_flac(partial, audio.fit(wave, samples), codec.sample_rate)
