"""What else may learn latents whose channels have no order: `python -m benchmarks.denoisers` tries it.

`pca=true` turns the channels into principal components of the training clips, which have an order, and which the
normaliser then gives one scale. `network=transformer` looks over frames instead of convolving them.
"""

from typing import Any

import torch
from diffusers import StableAudioDiTModel
from diffusers.models.embeddings import get_1d_rotary_pos_embed
from torch import Tensor, nn

from counterpoise.codecs.latents import Pool, Shelf

HEAD = 64


class FrameTransformer(nn.Module):
    """Stable Audio's transformer (Evans et al. 2024), which tells positions apart by rotation: frames are its tokens.

    The class and the noise level are a token before the first frame. As in :class:`LatentUNet1D` a direct path, scaled
    by the noise level, copies the noise.

    Args:
        channels: of the latents.
        width: of a token, a multiple of 64.
        layers: how many.
        classes: K.
        seed: of the first weights.
    """

    frame_multiple = shortest = 1

    def __init__(self, channels: int, width: int, layers: int, classes: int, seed: int) -> None:
        super().__init__()
        self.classes = classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.transformer = StableAudioDiTModel(
                in_channels=channels,
                out_channels=channels,
                num_layers=layers,
                attention_head_dim=HEAD,
                num_attention_heads=width // HEAD,
                num_key_value_attention_heads=width // HEAD,
                cross_attention_dim=width,
                cross_attention_input_dim=width,
                global_states_input_dim=width,
            )
            self.label = nn.Embedding(classes, width)
            self.direct = nn.Conv1d(channels, channels, 1)
            self.gain = nn.Sequential(nn.Linear(1, HEAD), nn.SiLU(), nn.Linear(HEAD, channels))
        nn.init.zeros_(self.direct.bias)  # type: ignore[arg-type]
        nn.init.dirac_(self.direct.weight)

    @property
    def outer(self) -> list[nn.Module]:
        """The layers between data and tokens."""
        inner = self.transformer
        return [self.direct, self.gain, inner.preprocess_conv, inner.proj_in, inner.proj_out, inner.postprocess_conv]

    def forward(self, x: Tensor, c_noise: Tensor, label: Tensor | None = None) -> Tensor:
        """F(x; c_noise, label): x `[B, C, T]`; c_noise and label `[B]`."""
        label = torch.zeros(len(x), dtype=torch.long, device=x.device) if label is None else label
        of_class = self.label(label)[:, None]
        rotation = get_1d_rotary_pos_embed(HEAD // 2, x.shape[2] + 1, use_real=True, repeat_interleave_real=False)
        made = self.transformer(x, c_noise, of_class, of_class, rotary_embedding=rotation, return_dict=False)[0]
        return made + self.gain(c_noise[:, None].to(x.dtype))[:, :, None] * self.direct(x)


def components(pool: Pool) -> Tensor:
    """The principal components of a pool's frames, the largest first: an orthogonal matrix `[C, C]`, a row each."""
    total, products, count = torch.zeros(pool.channels), torch.zeros(pool.channels, pool.channels), 0
    for i in range(len(pool)):
        latent = pool[i].double()
        total, products, count = total + latent.sum(1), products + latent @ latent.T, count + latent.shape[1]
    mean = total / count
    _, vectors = torch.linalg.eigh(products / count - mean[:, None] * mean)
    return vectors.flip(1).T.float().contiguous()


class Turned:
    """A pool or a shelf whose latents are seen in other directions: `matrix @ latent`."""

    def __init__(self, latents: Pool | Shelf, matrix: Tensor) -> None:
        self._latents, self._matrix = latents, matrix

    def __len__(self) -> int:
        return len(self._latents)  # type: ignore[arg-type]

    def __getitem__(self, which: Any) -> Tensor:
        return self._matrix @ self._latents[which]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._latents, name)
