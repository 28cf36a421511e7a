"""How a class's model begins: on its own or as a part of a base, and with what it is guided."""

import copy

import pandas as pd
import pytest
import torch
from settings import settings_of

from counterpoise.codecs.latents import Normaliser, Packed, Pool, Writer
from counterpoise.core import seen
from counterpoise.diffusion import networks
from counterpoise.diffusion.model import Model, of_no_class, save_base
from counterpoise.diffusion.settings import Diffusion

SETTINGS = settings_of(Diffusion, steps=1, batch_size=1, crop_frames=8, widths=[8, 16], seed=3)


def same(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def pool(tmp_path):
    """Three clips' latents `[16, 8]`."""
    clips = pd.DataFrame(
        {"clip_id": list("abc"), "label": "bark", "source_id": list("abc"), "fold": 1, "seconds": 0.1, "frames": 8}
    )
    writer = Writer(tmp_path / "bark.safetensors", clips, 16)
    for row in range(3):
        writer.put(row, 5 * torch.randn(16, 8, generator=torch.Generator().manual_seed(row)))
    writer.close()
    return Pool([(Packed(tmp_path / "bark.safetensors"), [0, 2])])


@pytest.fixture
def base(tmp_path):
    """A base of three classes, and what it was early in its training."""
    made = {name: networks.build(SETTINGS, 16, True, seed, 3).eval() for seed, name in enumerate(("unet", "early"))}
    early = made["early"].state_dict()
    save_base(tmp_path, copy.deepcopy(made["unet"]), early, NORMALISER, ["bark", "howl", "pant"], ["a", "b", "a"])
    return made


NORMALISER = Normaliser(torch.zeros(16), torch.ones(16), 1.0)


def test_a_class_of_its_own_begins_with_first_weights_and_its_own_scale(pool):
    model = Model.fresh(pool, SETTINGS, True)
    assert same(model.network, networks.build(SETTINGS, 16, True, SETTINGS.seed)) and model.weak is None
    assert torch.equal(model.normaliser.std, Normaliser.fit(pool).std)
    row = Model.fresh(pool, SETTINGS.model_copy(update={"widths": [32, 32]}), False)
    assert isinstance(row.network, networks.LatentUNet1D)


@pytest.mark.parametrize(("tuned", "weak"), [(True, "unet"), (False, "early")])
def test_a_part_of_the_base_is_guided_by_the_base_as_it_is_or_as_it_was_early(base, tmp_path, tuned, weak):
    model = Model.of_base(tmp_path, "pant", tuned)
    assert same(model.network, networks.specialise(base["unet"], 2))
    assert same(model.weak, networks.specialise(base[weak], 2)) and model.weak is not model.network
    assert not same(model.network, networks.specialise(base["unet"], 1))
    assert torch.equal(model.normaliser.std, NORMALISER.std)
    assert seen.read(tmp_path)["clip_ids"] == ["a", "b"]
    with torch.no_grad():
        next(model.network.parameters()).add_(1)  # training goes on
    assert same(model.weak, networks.specialise(base[weak], 2))


def test_without_a_base_the_weights_of_early_on_are_its_weak_version(pool):
    model = Model.fresh(pool, SETTINGS, True)
    before, other = model.network.state_dict(), networks.build(SETTINGS, 16, True, 9)
    before = {name: value.clone() for name, value in before.items()}
    guided = model.with_weak(other.state_dict())
    assert guided.network is model.network and guided.normaliser is model.normaliser and model.weak is None
    assert same(guided.weak, other) and not guided.weak.training
    assert all(torch.equal(before[name], value) for name, value in model.network.state_dict().items())


def test_with_a_base_its_weak_version_stays(base, tmp_path):
    model = Model.of_base(tmp_path, "bark", True)
    early = networks.build(SETTINGS, 16, True, 9).state_dict()
    assert same(model.with_weak(early).weak, networks.specialise(base["unet"], 0))


def test_both_networks_move_to_a_device(pool):
    begun = Model.fresh(pool, SETTINGS, picture=True)
    both = begun.with_weak(begun.network.state_dict()).to(torch.device("meta"))
    for network in (both.network, both.weak):
        assert {weight.device.type for weight in network.parameters()} == {"meta"}


def test_without_a_label_a_base_takes_a_sound_for_an_unlabelled_one_or_for_the_mean_of_all_classes(base, tmp_path):
    assert same(of_no_class(base["unet"], ["bark", "howl", "pant"]), networks.generalise(base["unet"]))
    labels, early = ["bark", "howl", "unlabelled"], base["early"].state_dict()
    save_base(tmp_path / "u", copy.deepcopy(base["unet"]), early, NORMALISER, labels, ["a"])
    assert same(of_no_class(base["unet"], labels), networks.specialise(base["unet"], 2))
    assert same(Model.of_base(tmp_path / "u", "howl", True).network, networks.specialise(base["unet"], 1))
