"""What changes a classifier's inputs in training: time shift, SpecAugment masks, a draw of patches.

Every random draw comes from a `torch.Generator` on the CPU, so that a seed means the same on every device.
"""

import torch
from torch import Tensor

from counterpoise.classifiers.networks.network import Network
from counterpoise.classifiers.settings import Classifier


def augmented(network: Network, wave: Tensor, settings: Classifier, generator: torch.Generator) -> Tensor:
    """An augmented pass: waves `[B, channels, samples]` to log-probabilities `[B, classes]`.

    Each clip is shifted in time. Of a network that looks at spectrograms, masks then hide parts; of one that looks at
    patches, `yamnet_patches` of each clip's are drawn.
    """
    inputs = network.frontend(time_shift(wave, settings.time_shift, generator))
    if network.takes == "patches":
        return network.classify(draw(inputs, settings.yamnet_patches, generator))
    return network.classify(mask(inputs, settings.mask_fraction, settings.masks, generator))


def time_shift(wave: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Roll each clip forward in time, round its end, by its own random share of its length.

    Args:
        wave: `[B, channels, samples]`.
        fraction: largest shift as a share of the length; shifts are uniform between 0 and this.
        generator: on the CPU.

    Returns:
        The same shape; every clip keeps all of its samples.
    """
    shifts = torch.rand(len(wave), generator=generator) * fraction * wave.shape[-1]
    return torch.stack([clip.roll(int(shift), dims=-1) for clip, shift in zip(wave, shifts, strict=True)])


def mask(spectrogram: Tensor, fraction: float, count: int, generator: torch.Generator) -> Tensor:
    """Hide random bands and spans of each clip under the clip's mean (SpecAugment: Park et al. 2019, section 2).

    Args:
        spectrogram: `[B, channels, bands, frames]`; the channels of a clip share their masks.
        fraction: widest mask as a share of the axis; widths are uniform between 0 and this.
        count: masks on each of the two axes; they may overlap.
        generator: on the CPU.

    Returns:
        The same shape.
    """
    clips = spectrogram.shape[0]
    mean = spectrogram.mean(dim=(1, 2, 3), keepdim=True)
    for axis in (2, 3):
        size = spectrogram.shape[axis]
        width = (torch.rand(clips, count, 1, generator=generator) * (int(fraction * size) + 1)).floor()
        start = (torch.rand(clips, count, 1, generator=generator) * (size - width + 1)).floor()
        position = torch.arange(size)
        hidden = ((position >= start) & (position < start + width)).any(dim=1)  # [B, size]
        shape = [clips, 1, 1, 1]
        shape[axis] = size
        spectrogram = torch.where(hidden.view(shape).to(spectrogram.device), mean, spectrogram)
    return spectrogram


def draw(patches: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """At most `count` different patches of each clip: `[B, P, ...]` to `[B, min(count, P), ...]`."""
    clips, available = patches.shape[:2]
    drawn = torch.rand(clips, available, generator=generator).argsort(dim=1)[:, :count].to(patches.device)
    return patches[torch.arange(clips, device=patches.device)[:, None], drawn]
