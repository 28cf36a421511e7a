"""Clips of a few frames: no level of a denoiser is one frame wide, and what comes out is what was computed."""

import pytest
import torch
from settings import settings_of
from torch import nn

from counterpoise.codecs.latents import Normaliser, lengthened
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.runtime import Runtime, autocast
from counterpoise.diffusion import networks, sampling, training
from counterpoise.diffusion.settings import Diffusion
from counterpoise.diffusion_classifier import features, losses
from counterpoise.diffusion_classifier.settings import DiffusionClassifier

CPU, RUNTIME = torch.device("cpu"), settings_of(Runtime, device="cpu", threads=1, precision="fp32")
BANDS = 32
NORMALISER = Normaliser(torch.zeros(BANDS), torch.ones(BANDS), 1.0)
CLASSIFIER = settings_of(DiffusionClassifier, sigmas=[1.0], draws=1, seconds=None, batch_size=4, feature_sigma=0.6)
AMX = torch.cpu.get_capabilities().get("amx_tile", False)


class Clips(dict):
    """Latents by clip id, as a shelf has them."""

    def frames(self, clip_id: str) -> int:
        return self[clip_id].shape[1]


def denoiser(widths: list[int]) -> networks.Denoiser:
    """A network that has learned nothing, but computes like one that has."""
    network = networks.build(settings_of(Diffusion, widths=widths), BANDS, True, 0).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return network


def clips(network: networks.Denoiser) -> Clips:
    """A latent of every length that is short."""
    generator = torch.Generator().manual_seed(0)
    lengths = range(1, 2 * network.frame_multiple + 2)
    return Clips({str(length): torch.randn(BANDS, length, generator=generator) for length in lengths})


@pytest.fixture
def narrowest(monkeypatch):
    """The least width of what any convolution of a network puts out."""
    found: list[int] = []
    forward = nn.Conv2d.forward

    def noted(self, images):
        output = forward(self, images)
        found.append(output.shape[-1])
        return output

    monkeypatch.setattr(nn.Conv2d, "forward", noted)
    return lambda: min(found)


@pytest.mark.parametrize("widths", [[8, 16], [8, 16, 24]])
def test_no_level_is_narrower_than_two_however_short_a_clip_is(widths, narrowest, tmp_path):
    network = denoiser(widths)
    short = clips(network)
    for latent in short.values():
        made = sampling.sdedit(network, NORMALISER, [latent], 1.0, [0], "euler", 1, RUNTIME, CPU)
        assert made.shape[1] >= latent.shape[1] and made.isfinite().all()
    one = losses.Denoiser(network, None, NORMALISER, network.frame_multiple, network.shortest)
    checkpoint = Checkpoint(tmp_path / "losses.pt")
    assert (losses.measure([one], list(short), short, CLASSIFIER, RUNTIME, CPU, checkpoint) > 0).all()
    checkpoint = Checkpoint(tmp_path / "features.pt")
    features.measure(network, NORMALISER, list(short), short, CLASSIFIER, RUNTIME, CPU, checkpoint)
    assert narrowest() == 2


def test_training_crops_are_no_shorter_either(narrowest, tmp_path):
    network = denoiser([8, 16])

    class Pool(list):
        labels, unlabelled = [0, 0], None

    pool = Pool([torch.randn(BANDS, 3), torch.randn(BANDS, 40)])
    settings = settings_of(Diffusion, widths=[8, 16], crop_frames=1, batch_size=2)
    state = Checkpoint(tmp_path / "state.pt")
    training.train(network, pool, NORMALISER, 1, settings, RUNTIME, CPU, state, lambda *told: None, "short")
    assert narrowest() == 2


def test_a_latent_that_is_too_short_is_refused():
    network = denoiser([8, 16])
    assert (network.frame_multiple, network.shortest) == (4, 8)
    with pytest.raises(ValueError, match="4 frames; this network takes 8 or more"):
        network(torch.zeros(1, BANDS, 4), torch.zeros(1))


def test_long_clips_get_no_other_length():
    for frames, wanted in ((1, 8), (8, 8), (9, 12), (13, 16), (64, 64)):
        assert lengthened([torch.zeros(1, frames)], 4, 8).shape[2] == wanted


@pytest.mark.skipif(not AMX, reason="this CPU has no AMX, where oneDNN leaves memory unwritten")
@pytest.mark.parametrize("widths", [[8, 16], [32, 64, 96]])
def test_on_amx_a_short_clip_comes_out_finite_and_the_same_each_time(widths):
    network = denoiser(widths).to(memory_format=torch.channels_last)
    x = torch.randn(2, BANDS, network.shortest, generator=torch.Generator().manual_seed(0))
    found = []
    for _ in range(12):
        stirred = [torch.full((1000 * (k + 1),), float("nan")) for k in range(40)]  # what is freed is used again
        del stirred
        with torch.inference_mode(), autocast(settings_of(Runtime, device="cpu", precision="bf16"), CPU):
            found.append(network(x, torch.zeros(2)).float())
    assert all(one.isfinite().all() and torch.equal(one, found[0]) for one in found)
    torch.testing.assert_close(found[0], network(x, torch.zeros(2)), atol=0.1, rtol=0.1)
