"""One class's denoiser, with what is needed to sample from it, as a folder."""

from dataclasses import dataclass
from pathlib import Path

import torch

from counterpoise.diffusion import networks, sampling
from counterpoise.diffusion.networks import Denoiser
from counterpoise.latents import Normaliser


@dataclass
class Model:
    """A trained denoiser.

    Attributes:
        network: of the class.
        weak: the shared base's version of the class, which guidance pushes away from; None without a base.
        normaliser: of the latents that the network knows.
    """

    network: Denoiser
    weak: Denoiser | None
    normaliser: Normaliser

    def save(self, folder: Path) -> None:
        """Write `unet/`, perhaps `weak/`, `scheduler/` (all as diffusers does) and `normaliser.safetensors`."""
        folder.mkdir(parents=True, exist_ok=True)
        networks.save(self.network, folder / "unet")
        if self.weak is not None:
            networks.save(self.weak, folder / "weak")
        sampling.scheduler(self.normaliser.sigma_data).save_pretrained(folder / "scheduler")
        self.normaliser.save(folder / "normaliser.safetensors")

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Model":
        """Read what :meth:`save` wrote, in eval mode.

        Raises:
            NetworkError: a folder is missing or holds another kind of model.
        """
        weak = folder / "weak"
        return cls(
            networks.load(folder / "unet").to(device),
            networks.load(weak).to(device) if weak.exists() else None,
            Normaliser.load(folder / "normaliser.safetensors"),
        )
