"""Sampling: batches, seeds, and the probability-flow ODE against one that can be solved by hand."""

import pytest
import torch
from settings import settings_of
from torch import nn

from counterpoise.codecs.latents import Normaliser, reflect
from counterpoise.core.runtime import Runtime
from counterpoise.diffusion import edm, networks, sampling
from counterpoise.diffusion.settings import Diffusion

CPU, RUNTIME = torch.device("cpu"), settings_of(Runtime, device="cpu", threads=1, precision="fp32")
BANDS = 16


class Gaussian(nn.Module):
    """The perfect denoiser of latents whose every value is drawn from N(mean, std^2) on its own."""

    frame_multiple = shortest = 4

    def __init__(self, mean, std, sigma_data):
        super().__init__()
        self.mean, self.std, self.sigma_data = mean, std, sigma_data

    def forward(self, scaled, c_noise, label=None):
        sigma = (4 * c_noise).exp()
        x = scaled * (sigma**2 + self.sigma_data**2).sqrt()[:, None, None]
        weight = (self.std**2 / (self.std**2 + sigma**2))[:, None, None]
        return edm.network_target(weight * x + (1 - weight) * self.mean, x, sigma, self.sigma_data)


@pytest.fixture
def unet():
    """A network that has learned nothing, but computes like one that has."""
    settings = settings_of(Diffusion, steps=1, batch_size=1, crop_frames=8, widths=[8, 16])
    return networks.build(settings, BANDS, True, 0).eval()


@pytest.fixture
def normaliser():
    return Normaliser(torch.linspace(-9, -5, BANDS), torch.linspace(1, 3, BANDS), 1.0)


@pytest.fixture
def sources():
    generator = torch.Generator().manual_seed(0)
    return [-7 + 2 * torch.randn(BANDS, frames, generator=generator) for frames in (30, 31, 32, 29)]


@pytest.fixture
def schedule():
    """Makes the schedule that starts from a strength."""

    def make(strength, sigma_data=1.0, solver="euler"):
        return sampling.schedule(sigma_data, solver, strength)

    return make


def vary(network, normaliser, strength, sources, seeds, solver="euler", steps=5, from_noise=False):
    return sampling.sdedit(
        network, normaliser, sources, strength, seeds, solver, steps, RUNTIME, CPU, from_noise=from_noise
    )


def test_the_schedule_has_its_sigma_data_and_starts_at_the_strength(schedule):
    made = schedule(2.5, sigma_data=0.7)
    made.set_timesteps(6)
    assert made.config.sigma_data == 0.7
    assert made.sigmas[0] == pytest.approx(2.5) and made.sigmas[-1] == 0
    assert made.sigmas[-2] == pytest.approx(sampling.SIGMA_MIN)


@pytest.mark.parametrize("strength", [0.001, 0.02, 0.021, 1.0, 80.0])
def test_noise_falls_from_any_strength(unet, normaliser, schedule, sources, strength):
    made = schedule(strength)
    made.set_timesteps(4)
    assert (made.sigmas.diff() < 0).all() and made.sigmas[0] == pytest.approx(strength)
    assert vary(unet, normaliser, strength, sources, [0, 1, 2, 3]).isfinite().all()


def test_the_result_has_the_padded_length_and_the_codecs_scale(normaliser, schedule, sources):
    out = vary(Gaussian(0.0, 1.0, 1.0), normaliser, 1.0, sources, [0, 1, 2, 3])
    assert out.shape == (4, BANDS, 32) and out.dtype == torch.float32 and not out.requires_grad
    assert torch.allclose(out.mean((0, 2)), normaliser.mean, atol=1.5)


def test_a_clip_does_not_depend_on_its_batch_or_its_place_in_it(unet, normaliser, schedule, sources):
    seeds = [11, 12, 13, 14]
    together = vary(unet, normaliser, 1.0, sources, seeds)
    backwards = vary(unet, normaliser, 1.0, sources[::-1], seeds[::-1]).flip(0)
    alone = torch.cat([vary(unet, normaliser, 1.0, [source], [seed]) for source, seed in zip(sources, seeds)])
    assert torch.allclose(together, backwards, atol=1e-4) and torch.allclose(together, alone, atol=1e-4)


def test_the_same_seeds_give_the_same_bits_again(unet, normaliser, sources):
    first = vary(unet, normaliser, 1.0, sources, [1, 2, 3, 4])
    vary(unet, normaliser, 1.0, sources[:1], [9], steps=3)
    torch.rand(5)  # the global random numbers move on
    assert torch.equal(vary(unet, normaliser, 1.0, sources, [1, 2, 3, 4]), first)


def test_equal_seeds_give_equal_variations_and_other_seeds_others(unet, normaliser, schedule, sources):
    out = vary(unet, normaliser, 1.0, [sources[0]] * 3, [5, 5, 6])
    assert torch.allclose(out[0], out[1], atol=1e-4)
    assert (out[0] - out[2]).abs().mean() > 0.3


def test_almost_no_noise_gives_the_source_back(unet, normaliser, schedule, sources):
    out = vary(unet, normaliser, 1e-3, sources, [0, 1, 2, 3])
    for made, source in zip(out, sources):
        assert torch.allclose(made, reflect(source, 32), atol=0.03)


def test_more_strength_goes_further_from_the_source(normaliser, schedule, sources):
    distances = []
    for strength in (0.1, 1.0, 10.0):
        out = vary(Gaussian(0.0, 1.0, 1.0), normaliser, strength, sources, [0, 1, 2, 3], steps=20)
        distances.append((out - torch.stack([reflect(source, 32) for source in sources])).square().mean().sqrt())
    assert distances[0] < 0.5 * distances[1] and distances[1] < 0.8 * distances[2]


def test_from_noise_only_the_sources_length_counts(unet, normaliser, schedule, sources):
    out = vary(unet, normaliser, 80.0, sources, [1, 2, 3, 4], from_noise=True)
    blank = [torch.full_like(source, torch.nan) for source in sources]
    assert torch.equal(vary(unet, normaliser, 80.0, blank, [1, 2, 3, 4], from_noise=True), out)
    own = vary(unet, normaliser, 80.0, sources, [1, 2, 3, 4])
    assert not torch.allclose(own, out, atol=1e-3)


@pytest.mark.parametrize(("mean", "std", "sigma_data"), [(0.0, 1.0, 1.0), (0.6, 0.8, 1.0), (-0.5, 0.3, 0.6)])
def test_a_perfect_denoiser_gives_the_datas_mean_and_spread(schedule, mean, std, sigma_data):
    plain = Normaliser(torch.zeros(BANDS), torch.ones(BANDS), sigma_data)
    blank = [torch.zeros(BANDS, 400)] * 4
    out = vary(Gaussian(mean, std, sigma_data), plain, 80.0, blank, [0, 1, 2, 3], steps=200, from_noise=True)
    assert out.mean() == pytest.approx(mean, abs=0.03) and out.std() == pytest.approx(std, rel=0.05)
    assert ((out - out.mean()) / out.std()).pow(4).mean() == pytest.approx(3, abs=0.15)  # still Gaussian


def test_the_ode_ends_where_its_solution_says(schedule):
    """For N(mean, std^2) the flow is x(sigma) - mean = (x(s) - mean) sqrt((std^2 + sigma^2) / (std^2 + s^2))."""
    mean, std, strength = 0.4, 0.8, 2.0
    plain = Normaliser(torch.zeros(BANDS), torch.ones(BANDS), 1.0)
    source = torch.randn(BANDS, 32, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(BANDS, 32, generator=torch.Generator().manual_seed(7))
    start = source + strength * noise
    expected = mean + (start - mean) * std / (std**2 + strength**2) ** 0.5
    errors = []
    for steps in (10, 100, 1000):
        out = vary(Gaussian(mean, std, 1.0), plain, strength, [source], [7], steps=steps)
        errors.append(float((out[0] - expected).abs().max()))
    assert errors[2] < 0.01 and errors[0] > 4 * errors[1] > 16 * errors[2]  # Euler: ten times the steps, error / 10


@pytest.mark.parametrize(("solver", "steps", "better"), [("heun", 10, 4), ("dpmpp_2m", 20, 3)])
def test_solvers_of_second_order_come_nearer_in_as_many_steps(schedule, solver, steps, better):
    mean, std, strength = 0.4, 0.8, 2.0
    plain = Normaliser(torch.zeros(BANDS), torch.ones(BANDS), 1.0)
    source = torch.randn(BANDS, 32, generator=torch.Generator().manual_seed(3))
    start = source + strength * torch.randn(BANDS, 32, generator=torch.Generator().manual_seed(7))
    expected = mean + (start - mean) * std / (std**2 + strength**2) ** 0.5
    errors = {}
    for name in ("euler", solver):
        out = vary(Gaussian(mean, std, 1.0), plain, strength, [source], [7], steps=steps, solver=name)
        errors[name] = float((out[0] - expected).abs().max())
    assert errors[solver] < errors["euler"] / better
