"""The denoiser's networks: shapes, folding, and what diffusers reads of them."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet1DModel, UNet2DModel
from settings import settings_of
from torch import nn

from counterpoise.diffusion import networks
from counterpoise.diffusion.settings import Diffusion


def settings(**change):
    return settings_of(Diffusion, **{"steps": 1, "batch_size": 1, "crop_frames": 8, "widths": [8, 16]} | change)


def picture(**change):
    return networks.build(settings(**change), 32, True, 0).eval()


def row(**change):
    return networks.build(settings(**{"widths": [32, 32]} | change), 6, False, 0).eval()


def example(network, channels, multiples=2, batch=2):
    generator = torch.Generator().manual_seed(0)
    frames = max(multiples * network.frame_multiple, network.shortest)
    x = torch.randn(batch, channels, frames, generator=generator)
    return x, torch.randn(batch, generator=generator) / 2


class Spy(nn.Module):
    """Stands for the UNet: notes what it gets and gives it back."""

    config = SimpleNamespace(block_out_channels=(8, 16, 24), num_class_embeds=None)

    def forward(self, x, step, class_labels):
        self.seen, self.step = x, step
        return SimpleNamespace(sample=x)


def test_folding_is_undone_and_keeps_neighbours_together():
    spy = Spy()
    network = networks.MelUNet(spy)
    x = torch.arange(2 * 32 * 16).reshape(2, 32, 16).float()
    assert torch.equal(network(x, torch.zeros(2)), x)
    assert spy.seen.shape == (2, 8, 8, 8)
    for band, frame in [(0, 0), (3, 1), (4, 2), (17, 5), (31, 15)]:
        channel = (band % 4) * 2 + frame % 2
        assert torch.equal(spy.seen[:, channel, band // 4, frame // 2], x[:, band, frame])


def test_the_noise_level_reaches_the_embedding_in_its_range():
    spy = Spy()
    c_noise = torch.tensor([0.02, 80.0]).log() / 4
    networks.MelUNet(spy)(torch.zeros(2, 32, 16), c_noise)
    assert torch.equal(spy.step, 1000 * c_noise) and spy.step.abs().max() < 1200


def test_a_2d_network_halves_as_often_as_its_frame_multiple_says():
    assert [picture(widths=widths).frame_multiple for widths in ([8, 8], [8, 8, 8])] == [4, 8]


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("multiples", [1, 2, 3, 5])
def test_every_multiple_of_frames_passes_through(attention, multiples):
    for network, channels in ((picture(attention=attention), 32), (row(attention=attention), 6)):
        x, c_noise = example(network, channels, multiples)
        out = network(x, c_noise)
        assert out.shape == x.shape and out.isfinite().all()


def test_more_resolutions_pass_through_too():
    for network, channels in ((picture(widths=[8, 8, 16]), 32), (row(widths=[32, 32, 64], layers=2), 6)):
        x, c_noise = example(network, channels, multiples=1)
        assert network(x, c_noise).shape == x.shape


def test_a_clip_does_not_notice_its_neighbours_in_the_batch():
    for network, channels in ((picture(), 32), (row(), 6)):
        x, c_noise = example(network, channels, batch=3)
        assert torch.allclose(network(x, c_noise)[1:2], network(x[1:2], c_noise[1:2]), atol=1e-5)


def test_the_output_depends_on_the_noise_level():
    for network, channels in ((picture(), 32), (row(), 6)):
        x, c_noise = example(network, channels)
        assert not torch.allclose(network(x, c_noise), network(x, c_noise + 0.5), atol=1e-3)


def test_the_1d_network_has_a_direct_path():
    """With a silent UNet the output is the input times a gain for each channel, so it can copy the noise."""
    network = row()
    for parameter in network.unet.up_blocks.parameters():
        nn.init.zeros_(parameter)
    x, c_noise = example(network, 6)
    ratio = network(x, c_noise) / x
    assert torch.allclose(ratio, ratio[:, :, :1].expand_as(ratio), rtol=1e-3) and ratio.abs().min() > 0


def test_bands_that_cannot_be_halved_so_often_are_named():
    with pytest.raises(networks.NetworkError, match="codec.mel.bands is 36.*3 values.*multiple of 16"):
        networks.build(settings(widths=[8, 16, 24]), 36, True, 0)
    assert networks.build(settings(widths=[8, 16, 24]), 48, True, 0).frame_multiple == 8


@pytest.mark.parametrize(("picture", "widths", "divisor"), [(True, [8, 12], 8), (False, [32, 48], 32)])
def test_widths_that_do_not_fit_are_named(picture, widths, divisor):
    named = rf"diffusion.widths is \[{widths[0]}, {widths[1]}\].*multiple of {divisor}"
    with pytest.raises(networks.NetworkError, match=named):
        networks.build(settings(widths=widths), 32, picture, 0)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_state_alone():
    for is_picture, widths in ((True, [8, 16]), (False, [32, 32])):
        state = torch.get_rng_state()
        first, second, other = (networks.build(settings(widths=widths), 32, is_picture, seed) for seed in (3, 3, 4))
        assert torch.equal(torch.get_rng_state(), state)
        weights = [torch.cat([p.flatten() for p in network.parameters()]) for network in (first, second, other)]
        assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_diffusers_opens_what_was_saved(tmp_path):
    network = picture()
    networks.save(network, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    x, c_noise = example(network, 32)
    with torch.no_grad():
        expected = network(x, c_noise)
        assert torch.equal(networks.MelUNet(UNet2DModel.from_pretrained(tmp_path).eval())(x, c_noise), expected)
        assert torch.equal(networks.load(tmp_path)(x, c_noise), expected)
    assert not networks.load(tmp_path).training


def test_the_1d_network_comes_back_as_it_was(tmp_path):
    network = row(attention=False)
    networks.save(network, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    back = networks.load(tmp_path)
    x, c_noise = example(network, 6)
    with torch.no_grad():
        assert torch.equal(back(x, c_noise), network(x, c_noise))
    assert isinstance(back, networks.LatentUNet1D) and not back.training
    assert back.frame_multiple == network.frame_multiple


def test_another_kind_of_model_is_refused(tmp_path):
    UNet1DModel(block_out_channels=(32, 32, 32)).save_pretrained(tmp_path)
    with pytest.raises(networks.NetworkError, match="holds a UNet1DModel.*dvc repro train_diffusion"):
        networks.load(tmp_path)


@pytest.mark.parametrize(("channels", "is_picture"), [(32, True), (6, False)])
def test_a_class_conditioned_network_tells_classes_apart_and_each_can_be_taken_out_of_it(channels, is_picture):
    change = {} if is_picture else {"widths": [32, 32]}
    together = networks.build(settings(**change), channels, is_picture, 0, classes=3).eval()
    with torch.no_grad():  # a fresh 1-D network knows no difference yet
        for name, parameter in together.named_parameters():
            if "offset" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    x, c_noise = example(together, channels)
    outputs = [together(x, c_noise, torch.tensor([label, label])) for label in range(3)]
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-3)
    for label, expected in enumerate(outputs):
        alone = networks.specialise(together, label)
        assert alone.classes == 1 and torch.allclose(alone(x, c_noise), expected, atol=1e-5)
    assert torch.equal(together(x, c_noise, torch.tensor([0, 0])), outputs[0])  # taking out leaves it as it was


@pytest.mark.parametrize(("channels", "is_picture"), [(32, True), (6, False)])
def test_a_class_conditioned_network_comes_back_from_its_folder(tmp_path, channels, is_picture):
    change = {} if is_picture else {"widths": [32, 32]}
    saved = networks.build(settings(**change), channels, is_picture, 0, classes=3).eval()
    networks.save(saved, tmp_path)
    loaded = networks.load(tmp_path)
    x, c_noise = example(saved, channels)
    label = torch.tensor([2, 1])
    assert loaded.classes == 3 and torch.equal(loaded(x, c_noise, label), saved(x, c_noise, label))


def test_a_network_of_one_class_is_taken_as_it_is():
    alone = picture()
    assert networks.specialise(alone, 0) is alone


@pytest.mark.parametrize(("channels", "is_picture"), [(32, True), (6, False)])
def test_a_network_of_no_class_gets_the_mean_of_all_embeddings(channels, is_picture):
    change = {} if is_picture else {"widths": [32, 32]}
    together = networks.build(settings(**change), channels, is_picture, 0, classes=3).eval()
    embedding = together.unet.class_embedding if is_picture else together.offset
    generator = torch.Generator().manual_seed(1)
    embedding.weight.data = torch.randn(embedding.weight.shape, generator=generator)
    x, c_noise = example(together, channels)
    general = networks.generalise(together)(x, c_noise)
    assert not torch.allclose(general, together(x, c_noise, torch.tensor([0, 0])), atol=1e-3)
    embedding.weight.data[2] = embedding.weight.data.mean(dim=0)
    assert torch.allclose(general, together(x, c_noise, torch.tensor([2, 2])), atol=1e-5)
    alone = picture()
    assert networks.generalise(alone) is alone
