"""Clips through a codec into packed latents."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from counterpoise.codecs.codec import Codec
from counterpoise.codecs.latents import Writer
from counterpoise.core import audio
from counterpoise.core.progress import progress


def encode(codec: Codec, clips: pd.DataFrame, path: Path, batch_size: int) -> None:
    """Encode one class's clips into a packed file, a batch in memory at a time.

    Clips of like length share a batch. Each goes on for longer than the codec sees, so that a clip's latent does not
    depend on its neighbours in the batch.

    Args:
        clips: rows of the catalogue; their order is the order in the file.
    """
    frames = np.ceil(clips.seconds * codec.sample_rate / codec.hop).astype(int).clip(lower=1)
    writer = Writer(path, clips.assign(frames=frames), codec.latent_channels)
    order = np.argsort(clips.seconds.to_numpy(), kind="stable")
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    for batch in progress(batches, desc=f"encode {clips.label.iloc[0]}", unit="batch"):
        for row, latent in zip(batch, codec.encode(extended_waves(codec, clips.path.iloc[batch]))):
            writer.put(row, latent)
    writer.close()


def extended_waves(codec: Codec, paths: Sequence[str]) -> Tensor:
    """Audio `[B, channels, samples]`; each clip goes back and forth until one second after the longest.

    Silence there would change the clip's own frames: EnCodec's 48 kHz model measures loudness over whole seconds, and
    the end of a clip of 4 s would come back 13 dB too quiet.
    """
    waves = [audio.read(path, codec.sample_rate, codec.channels) for path in paths]
    samples = max(wave.shape[1] for wave in waves) + codec.sample_rate
    return torch.from_numpy(np.stack([np.pad(w, ((0, 0), (0, samples - w.shape[1])), mode="reflect") for w in waves]))
