"""The denoiser's networks. It follows the latents: 2-D for a mel picture, 1-D for EnCodec's unordered channels."""

from pathlib import Path

import torch
from diffusers import ConfigMixin, ModelMixin, UNet1DModel, UNet2DModel
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from counterpoise.core import CounterpoiseError
from counterpoise.diffusion.edm import NOISE_EMBEDDING_SCALE
from counterpoise.diffusion.settings import Diffusion


class NetworkError(CounterpoiseError):
    """A network that cannot be built or read."""


# Folding 4 bands x 2 frames into channels makes a training step five to six times cheaper than the unfolded mel.
FOLD_BANDS, FOLD_FRAMES = 4, 2

# Frames at the lowest resolution, at least. On CPUs with AMX oneDNN's 3 x 3 convolutions of stride 2 in bfloat16 leave
# memory unwritten where their output is one wide, so that what follows is garbage which differs from call to call.
NARROWEST = 2

NORM_GROUPS = 8
HEAD_WIDTH = 32  # channels of an attention head; `UNet1DModel` has it built in


class MelUNet(nn.Module):
    """diffusers' `UNet2DModel` on a mel latent `[B, bands, T]`, folded to `[B, 8, bands / 4, T / 2]`.

    Attributes:
        frame_multiple: what T must be a multiple of.
        shortest: the least T.
    """

    def __init__(self, unet: UNet2DModel) -> None:
        super().__init__()
        self.unet = unet
        self.frame_multiple = FOLD_FRAMES * 2 ** (len(unet.config.block_out_channels) - 1)
        self.shortest = NARROWEST * self.frame_multiple

    @property
    def classes(self) -> int:
        """How many classes it was built for; 1 has no conditioning."""
        return self.unet.config.num_class_embeds or 1

    @property
    def outer(self) -> list[nn.Module]:
        """The layers between data and hidden channels."""
        return [self.unet.conv_in, self.unet.conv_out]

    def forward(self, x: Tensor, c_noise: Tensor, label: Tensor | None = None) -> Tensor:
        """F(x; c_noise, label): x `[B, bands, T]`, T a multiple of `frame_multiple`; c_noise and label `[B]`.

        A network for one class needs no label.

        Raises:
            ValueError: T is below `shortest`.
        """
        batch, bands, frames = x.shape
        if frames < self.shortest:
            raise ValueError(
                f"{frames} frames; this network takes {self.shortest} or more: lengthen shorter latents "
                "(counterpoise.codecs.latents.lengthened)"
            )
        folded = x.reshape(batch, bands // FOLD_BANDS, FOLD_BANDS, frames // FOLD_FRAMES, FOLD_FRAMES)
        folded = folded.permute(0, 2, 4, 1, 3).flatten(1, 2)
        label = label if self.classes > 1 else None
        out = self.unet(folded, c_noise * NOISE_EMBEDDING_SCALE, class_labels=label).sample
        out = out.unflatten(1, (FOLD_BANDS, FOLD_FRAMES)).permute(0, 3, 1, 4, 2)
        return out.reshape(batch, bands, frames)


class LatentUNet1D(ModelMixin, ConfigMixin):
    """diffusers' `UNet1DModel` beside a direct path from input to output.

    A convolutional path narrower than its input cannot copy the noise that it must predict at small sigma; the direct
    1 x 1 path, scaled by the noise level, can.
    """

    @register_to_config
    def __init__(self, channels: int, widths: list[int], layers: int, attention: bool, classes: int = 1) -> None:
        super().__init__()
        middle = len(widths) - 2
        embedding = 64
        self.unet = UNet1DModel(
            in_channels=channels,
            out_channels=channels,
            extra_in_channels=embedding,
            time_embedding_dim=embedding,
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            down_block_types=("DownBlock1DNoSkip", *["DownBlock1D"] * middle, _attend("AttnDownBlock1D", attention)),
            up_block_types=(_attend("AttnUpBlock1D", attention), *["UpBlock1D"] * middle, "UpBlock1DNoSkip"),
        )
        self.direct = nn.Conv1d(channels, channels, 1)
        self.gain = nn.Linear(embedding, channels)
        nn.init.zeros_(self.direct.bias)  # type: ignore[arg-type]
        nn.init.dirac_(self.direct.weight)
        # `UNet1DModel` knows no classes: each adds its own constant to the latent.
        self.offset = nn.Embedding(classes, channels)
        nn.init.zeros_(self.offset.weight)

    @property
    def classes(self) -> int:
        """How many classes it was built for."""
        return self.config.classes

    @property
    def outer(self) -> list[nn.Module]:
        """The layers between data and hidden channels."""
        first, last = self.unet.down_blocks[0].resnets[0], self.unet.up_blocks[-1].resnets[-1]
        return [self.direct, self.gain, first, last]

    @property
    def frame_multiple(self) -> int:
        # The middle block halves once more and pads by reflection, so 8 frames must reach it.
        return 8 * 2 ** (len(self.config.widths) - 1)

    @property
    def shortest(self) -> int:
        """The least T; no level of one-dimensional networks is narrower than four frames."""
        return self.frame_multiple

    def forward(self, x: Tensor, c_noise: Tensor, label: Tensor | None = None) -> Tensor:
        """F(x; c_noise, label): x `[B, C, T]`, T a multiple of `frame_multiple`; c_noise and label `[B]`."""
        label = torch.zeros(len(x), dtype=torch.long, device=x.device) if label is None else label
        x = x + self.offset(label)[:, :, None]
        gain = self.gain(self.unet.time_proj(c_noise).to(x.dtype))
        return self.unet(x, c_noise).sample + gain[:, :, None] * self.direct(x)


Denoiser = MelUNet | LatentUNet1D


def _attend(block: str, attention: bool) -> str:
    return block if attention else block.removeprefix("Attn")


def build(params: Diffusion, channels: int, picture: bool, seed: int, classes: int = 1) -> Denoiser:
    """A fresh network.

    Args:
        channels: of the latents.
        picture: the channels are ordered, as mel bands are.
        seed: of the first weights.
        classes: more than 1 conditions the network on the class.

    Raises:
        NetworkError: `diffusion.widths` does not fit the network, or the mel's bands cannot be halved so often.
    """
    divisor = NORM_GROUPS if picture else HEAD_WIDTH
    if any(width % divisor for width in params.widths):
        raise NetworkError(
            f"diffusion.widths is {params.widths}; with this codec every value must be a multiple of {divisor}. "
            "Change it in params.yaml."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if not picture:
            return LatentUNet1D(channels, params.widths, params.layers, params.attention, classes)
        multiple = FOLD_BANDS * 2 ** (len(params.widths) - 1)
        if channels % multiple:
            raise NetworkError(
                f"codec.mel.bands is {channels}; with {len(params.widths)} values in diffusion.widths it must be a "
                f"multiple of {multiple}. Change one of the two in params.yaml."
            )
        below = len(params.widths) - 1
        return MelUNet(
            UNet2DModel(
                in_channels=FOLD_BANDS * FOLD_FRAMES,
                out_channels=FOLD_BANDS * FOLD_FRAMES,
                block_out_channels=tuple(params.widths),
                layers_per_block=params.layers,
                down_block_types=("DownBlock2D",) * below + (_attend("AttnDownBlock2D", params.attention),),
                up_block_types=(_attend("AttnUpBlock2D", params.attention),) + ("UpBlock2D",) * below,
                add_attention=params.attention,
                attention_head_dim=min(HEAD_WIDTH, params.widths[-1]),
                norm_num_groups=NORM_GROUPS,
                num_class_embeds=classes if classes > 1 else None,
            )
        )


@torch.no_grad()
def specialise(network: Denoiser, label: int) -> Denoiser:
    """The network of one class out of a class-conditioned one: the same function of x and c_noise, without a label.

    `UNet2DModel` adds the class's embedding to that of the noise level, so it goes into the latter's last bias.
    """
    return network if network.classes == 1 else _with_embedding(network, _embeddings(network)[label])


@torch.no_grad()
def generalise(network: Denoiser) -> Denoiser:
    """The network of no class in particular: it gets the mean of all classes' embeddings, and no label."""
    return network if network.classes == 1 else _with_embedding(network, _embeddings(network).mean(dim=0))


def _embeddings(network: Denoiser) -> Tensor:
    """What each class adds, `[K, width]`."""
    return network.unet.class_embedding.weight if isinstance(network, MelUNet) else network.offset.weight


def _with_embedding(network: Denoiser, embedding: Tensor) -> Denoiser:
    """A class-conditioned network with one embedding `[width]` built in."""
    state = network.state_dict()
    if isinstance(network, MelUNet):
        bias = "unet.time_embedding.linear_2.bias"
        state[bias] = state[bias] + embedding
        del state["unet.class_embedding.weight"]
        single = MelUNet(UNet2DModel.from_config(network.unet.config, num_class_embeds=None))
    else:
        state["offset.weight"] = embedding[None]
        config = network.config
        single = LatentUNet1D(config.channels, config.widths, config.layers, config.attention)
    single.load_state_dict(state)
    return single.to(next(network.parameters()).device).eval()


def save(network: Denoiser, folder: Path) -> None:
    """Write the network as a diffusers model folder (config.json and safetensors)."""
    (network.unet if isinstance(network, MelUNet) else network).save_pretrained(folder)


def load(folder: Path) -> Denoiser:
    """Read what :func:`save` wrote, in eval mode.

    Raises:
        NetworkError: the folder is missing or holds another kind of model.
    """
    if not folder.is_dir():
        raise NetworkError(f"{folder} is missing: run `dvc repro train_diffusion`, or `dvc pull` if a remote holds it")
    kind = UNet2DModel.load_config(folder)["_class_name"]
    if kind == "UNet2DModel":
        return MelUNet(UNet2DModel.from_pretrained(folder, low_cpu_mem_usage=False)).eval()
    if kind == "LatentUNet1D":
        return LatentUNet1D.from_pretrained(folder, low_cpu_mem_usage=False).eval()
    raise NetworkError(f"{folder} holds a {kind}, not UNet2DModel or LatentUNet1D: run `dvc repro train_diffusion`")
