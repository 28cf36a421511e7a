"""Classical variations as latents: where a variation may start, and what a denoiser may learn beside the real clips."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from counterpoise import codecs
from counterpoise.augment import effects
from counterpoise.codecs.codec import Codec
from counterpoise.codecs.latents import Packed, Pool, Writer, reflect
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core.progress import progress
from counterpoise.core.runtime import seed_for

MARGIN = 16  # latent frames beyond the end of a clip, so that neither codec nor stretch meets its edge


def augmented(latent: Tensor, codec: Codec, seed: int) -> Tensor:
    """The latent of a clip's classical variation, which is made of the sound that the codec gives back.

    Args:
        latent: `[C, T]`.
        seed: of :func:`effects.augment`.

    Returns:
        `[C, T]` on the CPU.
    """
    frames = latent.shape[1]
    sound = codec.decode(reflect(latent, frames + MARGIN)[None])[0].cpu().numpy()
    varied = effects.augment(sound, codec.sample_rate, seed)
    return codec.encode(torch.from_numpy(varied)[None])[0, :, :frames].cpu()


def pool(
    parts: Sequence[tuple[Packed, Sequence[int]]],
    copies: int,
    seed: int,
    codec: CodecSettings,
    device: torch.device,
    folder: Path,
    unlabelled: Sequence[tuple[Packed, Sequence[int]]] = (),
) -> Pool:
    """What a denoiser learns: its classes' training clips, classical variations of each, and clips without labels.

    Args:
        parts: as of :class:`Pool`.
        copies: variations of each clip, `diffusion.augmented`.
        seed: `diffusion.seed`.
        codec: which one; it is built only where clips are augmented.
        folder: for the variations' latents; those of an interrupted run are used again.
        unlabelled: packed files of clips without labels, and the rows of each that may be read. Such clips are many, so
            none is varied.

    Returns:
        A pool of the same classes in which each labelled clip's id occurs `copies + 1` times. Unlabelled clips have
        the number after the last class's.
    """
    classes, number = [*range(len(parts))], len(parts) if unlabelled else None
    of_unlabelled = [len(parts)] * len(unlabelled)
    if not copies:
        return Pool([*parts, *unlabelled], classes + of_unlabelled, number)
    built = codecs.build(codec, device)
    added = [
        _copies(packed, rows, copies, seed, built, folder / f"augmented_{label}.safetensors")
        if rows
        else (packed, rows)
        for label, (packed, rows) in enumerate(parts)
    ]
    return Pool([*parts, *added, *unlabelled], classes * 2 + of_unlabelled, number)


def _copies(
    packed: Packed, rows: Sequence[int], copies: int, seed: int, codec: Codec, path: Path
) -> tuple[Packed, Sequence[int]]:
    if not path.exists():
        clips = packed.clips.iloc[np.repeat(rows, copies)]
        writer, put = Writer(path, clips, packed.channels), 0
        for row in progress(rows, desc=f"augment {clips.label.iloc[0]}", unit="clip"):
            latent, clip_id = packed[row], packed.clips.clip_id.iloc[row]
            for number in range(copies):
                writer.put(put, augmented(latent, codec, seed_for("altered", seed, clip_id, number)))
                put += 1
        writer.close()
    return Packed(path), range(len(rows) * copies)
