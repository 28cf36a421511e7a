"""Classical variations as latents: where a variation may start, and what a denoiser may learn beside the real clips."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from counterpoise import classic, codecs, params
from counterpoise.codecs import Codec
from counterpoise.latents import Packed, Pool, Writer, reflect
from counterpoise.params import Diffusion
from counterpoise.runtime import seed_for

MARGIN = 16  # latent frames beyond the end of a clip, so that neither codec nor stretch meets its edge


def alter(latent: Tensor, codec: Codec, seed: int) -> Tensor:
    """The latent of a clip's classical variation, which is made of the sound that the codec gives back.

    Args:
        latent: `[C, T]`.
        seed: of :func:`classic.augment`.

    Returns:
        `[C, T]` on the CPU.
    """
    frames = latent.shape[1]
    sound = codec.decode(reflect(latent, frames + MARGIN)[None])[0].cpu().numpy()
    varied = classic.augment(sound, codec.sample_rate, seed)
    return codec.encode(torch.from_numpy(varied)[None])[0, :, :frames].cpu()


def pool(
    parts: Sequence[tuple[Packed, Sequence[int]]],
    diffusion: Diffusion,
    codec: params.Codec,
    device: torch.device,
    folder: Path,
) -> Pool:
    """What a denoiser learns: its classes' training clips, and `diffusion.altered` classical variations of each.

    Args:
        parts: as of :class:`Pool`.
        codec: which one; it is built only where clips are altered.
        folder: for the variations' latents; those of an interrupted run are used again.

    Returns:
        A pool of the same classes in which each clip's id occurs `altered + 1` times.
    """
    if not diffusion.altered:
        return Pool(parts)
    built = codecs.build(codec, device)
    copies = [
        _copies(packed, rows, diffusion, built, folder / f"altered_{label}.safetensors") if rows else (packed, rows)
        for label, (packed, rows) in enumerate(parts)
    ]
    return Pool([*parts, *copies], [*range(len(parts))] * 2)


def _copies(
    packed: Packed, rows: Sequence[int], diffusion: Diffusion, codec: Codec, path: Path
) -> tuple[Packed, Sequence[int]]:
    if not path.exists():
        clips = packed.clips.iloc[np.repeat(rows, diffusion.altered)]
        writer, put = Writer(path, clips, packed.channels), 0
        for row in tqdm(rows, desc=f"alter {clips.label.iloc[0]}", unit="clip"):
            latent, clip_id = packed[row], packed.clips.clip_id.iloc[row]
            for number in range(diffusion.altered):
                writer.put(put, alter(latent, codec, seed_for("altered", diffusion.seed, clip_id, number)))
                put += 1
        writer.close()
    return Packed(path), range(len(rows) * diffusion.altered)
