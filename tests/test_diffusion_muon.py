"""Which weights which optimiser moves, on small networks of both kinds."""

import copy

import pytest
import torch
from settings import settings_of
from torch.optim import AdamW

from counterpoise.diffusion import muon, networks
from counterpoise.diffusion.settings import Diffusion


def settings(picture=True, **change):
    widths = [8, 16] if picture else [32, 32]
    return settings_of(Diffusion, **{"steps": 1, "batch_size": 1, "crop_frames": 16, "widths": widths} | change)


def network(picture):
    return networks.build(settings(picture), 16, picture, seed=0, classes=3)


def backward(net):
    x = torch.randn(2, 16, net.shortest, generator=torch.Generator().manual_seed(1))
    net(x, torch.zeros(2), torch.tensor([0, 2])).square().mean().backward()


def moved(net, steppers):
    """The names of the parameters that one step of these changes."""
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    for each in steppers:
        each.step()
    return {name for name, value in net.named_parameters() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("picture", [True, False])
def test_hidden_matrices_are_muons_and_all_else_is_adamws(picture):
    net = network(picture)
    chosen, adamw = muon.build(net, settings(picture))
    assert isinstance(chosen, muon.Muon) and isinstance(adamw, AdamW)
    backward(net)
    by_muon = moved(net, [chosen])
    by_adamw = moved(net, [adamw])
    assert not by_muon & by_adamw
    assert by_muon and all(net.get_parameter(name).ndim > 1 for name in by_muon)
    outer = {"unet.conv_in.weight", "unet.conv_out.weight", "unet.class_embedding.weight"}
    if not picture:
        first, last = "unet.down_blocks.0.resnets.0", "unet.up_blocks.1.resnets.2"
        outer = {"direct.weight", "gain.weight", "offset.weight", f"{first}.conv_1.weight", f"{last}.conv_2.weight"}
    assert outer <= by_adamw
    learned = {name for name, value in net.named_parameters() if value.grad is not None and value.grad.any()}
    assert learned <= by_muon | by_adamw


def test_a_step_is_orthogonal_and_as_large_as_adamws():
    """Liu et al. 2025: an update's root mean square is 0.2 of the learning rate, which is AdamW's usual one."""
    net = network(True)
    chosen, _ = muon.build(net, settings(learning_rate=1e-2))
    weight = net.unet.mid_block.resnets[0].conv1.weight
    before = weight.detach().clone()
    weight.grad = 7 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    chosen.step()
    step = (weight.detach() - before).flatten(1) / 1e-2
    assert step.square().mean().sqrt() == pytest.approx(0.2, rel=0.25)
    spread = torch.linalg.svdvals(step)
    assert spread.max() / spread.min() < 2.5


def test_the_state_can_be_kept():
    net, twin = network(True), network(True)
    ours, theirs = muon.build(net, settings()), muon.build(twin, settings())
    for _ in range(2):
        net.zero_grad()
        backward(net)
        for each in ours:
            each.step()
    twin.load_state_dict(net.state_dict())
    for each, other in zip(ours, theirs):
        other.load_state_dict(copy.deepcopy(each.state_dict()))
    for pair in ((net, ours), (twin, theirs)):
        pair[0].zero_grad()
        backward(pair[0])
        for each in pair[1]:
            each.step()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), twin.parameters()))


@pytest.mark.parametrize("shape", [(24, 24), (24, 150), (150, 24), (1, 9)])
def test_an_orthogonal_matrix_has_the_directions_of_the_first(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-4  # its size does not matter
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    found = u.T @ muon.orthogonal(matrix) @ v.T
    big = s > 0.05 * s.max()  # smaller ones are brought up less far
    assert ((found.diagonal() > 0.6) & (found.diagonal() < 1.25))[big].all()
    assert (found - found.diagonal().diag()).abs().max() < 1e-3


@pytest.mark.parametrize("shape", [(24, 60), (60, 24)])
def test_steps_are_those_of_torchs_muon(shape):
    """Which computes in bfloat16, hence the tolerance; without momentum, or Nesterov's, they differ by far more."""
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(shape, generator=generator)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    mine = muon.Muon([ours], lr=0.1)
    reference = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        ours.grad = torch.randn(shape, generator=generator)
        theirs.grad = ours.grad.clone()
        mine.step()
        reference.step()
    assert (ours - theirs).norm() < 0.05 * (theirs - start).norm()


def test_no_gradient_is_no_step():
    assert not muon.orthogonal(torch.zeros(3, 5)).any()
    net = network(True)
    assert not moved(net, muon.build(net, settings()))


def test_adamw_alone():
    net = network(True)
    (only,) = muon.build(net, settings(optimiser="adamw"))
    assert isinstance(only, AdamW)
    backward(net)
    assert {"unet.conv_in.weight", "unet.mid_block.resnets.0.conv1.weight"} <= moved(net, [only])
