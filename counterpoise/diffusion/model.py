"""One class's denoiser, with what is needed to sample from it: how it begins, and how it is kept as a folder."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from counterpoise.codecs.latents import Normaliser, Pool
from counterpoise.core import seen
from counterpoise.core.naming import UNLABELLED
from counterpoise.diffusion import networks, sampling
from counterpoise.diffusion.networks import Denoiser
from counterpoise.diffusion.settings import Diffusion


@dataclass
class Model:
    """A denoiser.

    Attributes:
        network: of the class.
        weak: what guidance pushes away from: the shared base's version of the class, or, without a base, what the
            network was early in its training; None until that is known.
        normaliser: of the latents that the network knows.
    """

    network: Denoiser
    weak: Denoiser | None
    normaliser: Normaliser

    @classmethod
    def fresh(cls, pool: Pool, params: Diffusion, picture: bool) -> "Model":
        """A network of the class's own, untrained.

        Args:
            pool: the class's training clips.
            picture: the latents' channels are ordered, as mel bands are.

        Raises:
            NetworkError: see :func:`networks.build`.
        """
        normaliser = Normaliser.fit(pool)
        return cls(networks.build(params, pool.channels, picture, params.seed), None, normaliser)

    @classmethod
    def of_base(cls, base: Path, label: str, tuned: bool) -> "Model":
        """One class's part of a base that all classes share.

        Args:
            base: a folder that :func:`save_base` wrote.
            label: the class's slug.
            tuned: the class's training goes on from here, so that guidance can push away from the base as it is.

        Raises:
            NetworkError: a folder is missing or holds another kind of model.
        """
        number = seen.read(base)["labels"].index(label)
        parts = ("unet", "unet" if tuned else "early")
        network, weak = (networks.specialise(networks.load(base / part), number) for part in parts)
        return cls(network, weak, Normaliser.load(base / "normaliser.safetensors"))

    def with_weak(self, early: dict[str, Tensor]) -> "Model":
        """The model as it is sampled from: where no base is its weak version, these weights of early on make one."""
        if self.weak is not None:
            return self
        weak = copy.deepcopy(self.network)
        weak.load_state_dict(early)
        return Model(self.network, weak.eval(), self.normaliser)

    def to(self, device: torch.device) -> "Model":
        """Move both networks."""
        self.network.to(device)
        if self.weak is not None:
            self.weak.to(device)
        return self

    def save(self, folder: Path, label: str, clip_ids: Iterable[str]) -> None:
        """Write `unet/`, perhaps `weak/`, `scheduler/` (all as diffusers does), `normaliser.safetensors`, `seen.json`.

        Args:
            label: the class.
            clip_ids: all clips that any of its weights learned from.
        """
        folder.mkdir(parents=True, exist_ok=True)
        networks.save(self.network, folder / "unet")
        if self.weak is not None:
            networks.save(self.weak, folder / "weak")
        sampling.scheduler(self.normaliser.sigma_data).save_pretrained(folder / "scheduler")
        self.normaliser.save(folder / "normaliser.safetensors")
        seen.write(folder, clip_ids, label=label)

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Model":
        """Read what :meth:`save` wrote, in eval mode.

        Raises:
            NetworkError: a folder is missing or holds another kind of model.
        """
        weak = folder / "weak"
        return cls(
            networks.load(folder / "unet"),
            networks.load(weak) if weak.exists() else None,
            Normaliser.load(folder / "normaliser.safetensors"),
        ).to(device)


def of_no_class(network: Denoiser, labels: list[str]) -> Denoiser:
    """A base of all classes that gets no label.

    Where it learned unlabelled clips it takes every sound for one of these. That is what it was trained to be told of a
    sound whose class nobody knows, as a network that is trained for classifier-free guidance is (Ho & Salimans 2022).
    Otherwise it gets the mean of all classes' embeddings: see :func:`networks.generalise`.

    Args:
        network: class-conditioned.
        labels: as of :func:`save_base`.
    """
    if UNLABELLED in labels:
        return networks.specialise(network, labels.index(UNLABELLED))
    return networks.generalise(network)


def save_base(
    folder: Path,
    network: Denoiser,
    early: dict[str, Tensor],
    normaliser: Normaliser,
    labels: list[str],
    clip_ids: list[str],
) -> None:
    """Write a base of all classes, for :meth:`Model.of_base`.

    Args:
        network: class-conditioned, trained.
        early: its weights early in the training.
        labels: the classes, as the network counts them; naming.UNLABELLED behind them if it learned such clips.
        clip_ids: the clips that it learned from.
    """
    networks.save(network, folder / "unet")
    network.load_state_dict(early)
    networks.save(network, folder / "early")
    normaliser.save(folder / "normaliser.safetensors")
    seen.write(folder, clip_ids, labels=labels)
