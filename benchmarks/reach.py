"""Attention over time for a mel's denoiser, which `python -m benchmarks.denoisers` tries: the option `rotary=true`."""

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import apply_rotary_emb, get_1d_rotary_pos_embed
from torch import Tensor, nn

from counterpoise.diffusion.networks import HEAD_WIDTH, NORM_GROUPS, MelUNet


class TimeAttention(nn.Module):
    """Each band looks over all of its frames, with rotary positions.

    Su, Lu, Pan, Murtadha, Wen & Liu, "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021, equation
    34. Scores depend on how far apart two frames are, so that what crops taught holds for whole clips.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NORM_GROUPS, channels)
        self.inwards = nn.Conv2d(channels, 3 * channels, 1)
        self.outwards = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.outwards.weight)
        nn.init.zeros_(self.outwards.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        """`[B, C, bands, T]` to the same shape."""
        batch, channels, bands, frames = x.shape
        q, k, v = self.inwards(self.norm(x)).chunk(3, dim=1)
        heads = channels // HEAD_WIDTH

        def rows(part: Tensor) -> Tensor:  # [B * bands, heads, T, width]
            part = part.permute(0, 2, 3, 1).reshape(batch * bands, frames, heads, HEAD_WIDTH)
            return part.transpose(1, 2)

        positions = get_1d_rotary_pos_embed(HEAD_WIDTH, frames, use_real=True)
        q, k = (apply_rotary_emb(rows(part), positions) for part in (q, k))
        out = F.scaled_dot_product_attention(q, k, rows(v))
        out = out.transpose(1, 2).reshape(batch, bands, frames, channels).permute(0, 3, 1, 2)
        return x + self.outwards(out.to(x.dtype))


def attend_over_time(network: MelUNet, seed: int) -> None:
    """Put such a layer into the middle of a network, in place."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.unet.mid_block.attentions[0] = TimeAttention(network.unet.config.block_out_channels[-1])
