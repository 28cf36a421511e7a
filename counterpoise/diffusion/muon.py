"""What a denoiser's weights are changed by: Muon for the hidden matrices, AdamW for all else.

torch has Muon, too, but for two dimensions and in bfloat16 alone, which takes thirty times as long on CPUs without
instructions for it, ten times the rest of a training step. Hence ours, in float32.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from counterpoise.diffusion.networks import Denoiser
from counterpoise.diffusion.settings import Diffusion

QUINTIC = (3.4445, -4.7750, 2.0315)  # coefficients of the iteration (Jordan et al.)
ITERATIONS = 5


def build(network: Denoiser, params: Diffusion) -> list[Optimizer]:
    """One optimiser, or two that share out a network's parameters; all step after each backward pass.

    Args:
        network: on the device where it is trained.
        params: which, and the learning rate; Muon's steps are scaled to the size of AdamW's.
    """
    if params.optimiser == "adamw":
        return [AdamW(network.parameters(), lr=params.learning_rate, fused=True)]
    outer = {id(parameter) for layer in network.outer for parameter in layer.parameters()}  # AdamW's, as embeddings are
    hidden = [
        layer.weight
        for layer in network.modules()
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)) and id(layer.weight) not in outer
    ]
    chosen = set(map(id, hidden))
    others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    return [Muon(hidden, params.learning_rate), AdamW(others, lr=params.learning_rate, fused=True)]


class Muon(Optimizer):
    """Nesterov momentum whose steps are made orthogonal: every direction of a weight matrix moves as far as any other.

    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"
    (https://kellerjordan.github.io/posts/muon/); scaled as in Liu et al. 2025, "Muon is Scalable for LLM Training",
    section 2.2, to a root mean square of 0.2 learning rates. A convolution's weight `[out, in, ...]` counts as a matrix
    `[out, in * ...]`.

    Args:
        weights: of two dimensions or more.
        lr: learning rate.
        momentum: share of the average of earlier gradients that is kept.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Change every weight that has a gradient; `closure` is not supported."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["average"] = torch.zeros_like(weight)
                average = state["average"]
                average.lerp_(weight.grad, 1 - group["momentum"])
                matrix = weight.grad.lerp(average, group["momentum"]).flatten(1)
                size = 0.2 * math.sqrt(max(matrix.shape)) * group["lr"]
                weight.sub_(orthogonal(matrix).view_as(weight), alpha=size)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly U Vᵀ of a matrix U S Vᵀ, `[rows, columns]`: all but tiny singular values come out between 0.7 and 1.2.

    Newton-Schulz as in Muon's description. Every iterate is a polynomial of one small symmetric matrix, times the first
    iterate, so that only small matrices are multiplied again and again.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp(min=1e-7)
    gram = wide @ wide.T
    product = identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        factor = a * identity + b * gram + c * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    wide = product @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
