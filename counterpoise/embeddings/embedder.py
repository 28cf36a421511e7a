"""One embedding a sound, by a frozen network."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from counterpoise.core import audio as sound
from counterpoise.core.windows import Windows
from counterpoise.embeddings.yamnet import YAMNET_SAMPLE_RATE, load_audioset


class Embedder:
    """A frozen network up to its last layer.

    Args:
        network: has `embed_waves`, from waves `[B, channels, samples]` to `[B, P, D]`, and a last layer `head`.
        sample_rate, channels, seconds: the form that it knows, in Hz and s; None takes sounds of any length.

    Attributes:
        name: for tables: "AudioSet YAMNet", "own cnn" or "own yamnet".
        width: numbers in an embedding.
    """

    def __init__(
        self,
        network: Any,
        name: str,
        sample_rate: int,
        channels: int,
        seconds: float | None,
        device: torch.device,
    ) -> None:
        self.name, self.width = name, network.head.in_features
        self._network, self._device = network.to(device).eval(), device
        self._sample_rate, self._channels = sample_rate, channels
        self._windows = None if seconds is None else Windows.of(seconds, sample_rate)  # None: any length

    @classmethod
    def audioset(cls, weights: Path, device: torch.device) -> "Embedder":
        """YAMNet as Google trained it, from a file of `audioset.convert`; raises AudioSetError."""
        return cls(load_audioset(weights), "AudioSet YAMNet", YAMNET_SAMPLE_RATE, 1, None, device)

    @torch.inference_mode()
    def embed(self, waves: Tensor, sample_rate: int) -> Tensor:
        """Embed sounds one by one, so that none depends on its neighbours.

        A sound is brought into the form that the network knows, as `audio.read` does. A network that knows one length
        hears a longer sound window by window. YAMNet takes any length, and pads the end with silence to whole patches.

        Args:
            waves: `[B, channels, samples]`.
            sample_rate: theirs, Hz.

        Returns:
            `[B, width]`, float32, on the CPU: the mean over a sound's windows and their patches.
        """
        embeddings = [self._embed(wave, sample_rate) for wave in waves]
        return torch.stack(embeddings) if embeddings else torch.empty(0, self.width)

    def _embed(self, wave: Tensor, sample_rate: int) -> Tensor:
        if len(wave) != self._channels:
            wave = wave.mean(dim=0, keepdim=True).expand(self._channels, -1)
        form = sound.resample(wave.float().cpu().numpy(), sample_rate, self._sample_rate)
        windows = [form] if self._windows is None else self._windows.cut(form)
        patches = [self._network.embed_waves(torch.from_numpy(one)[None].to(self._device))[0] for one in windows]
        return torch.cat(patches).mean(dim=0).float().cpu()
