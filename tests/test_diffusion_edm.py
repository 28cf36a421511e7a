"""Preconditioning: the same as that of the scheduler that samples."""

import pytest
import torch
from diffusers import EDMEulerScheduler

from counterpoise.diffusion import edm

SIGMAS = torch.tensor([0.02, 0.3, 1.0, 5.0, 80.0])


@pytest.fixture(params=[0.5, 1.0, 1.7])
def sigma_data(request):
    return request.param


@pytest.fixture
def noised(sigma_data):
    """y, x `[5, 4, 8]`, one noise level for each."""
    y, n = (torch.randn(len(SIGMAS), 4, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    y = sigma_data * y
    return y, y + SIGMAS[:, None, None] * n


def test_the_input_is_what_the_scheduler_gives_the_network(noised, sigma_data):
    _, x = noised
    scaled, c_noise = edm.network_input(x, SIGMAS, sigma_data)
    schedule = EDMEulerScheduler(sigma_data=sigma_data)
    for i, sigma in enumerate(SIGMAS):
        assert torch.allclose(scaled[i], schedule.precondition_inputs(x[i], sigma), rtol=1e-6)
        assert torch.allclose(c_noise[i], schedule.precondition_noise(sigma), rtol=1e-6)


def test_the_input_is_that_of_a_sampling_run(sigma_data):
    schedule = EDMEulerScheduler(sigma_min=0.02, sigma_max=3.0, sigma_data=sigma_data)
    schedule.set_timesteps(5)
    x = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0))
    for sigma, timestep in zip(schedule.sigmas.tolist(), schedule.timesteps):
        scaled, c_noise = edm.network_input(x, torch.tensor([sigma]), sigma_data)
        assert torch.allclose(schedule.scale_model_input(x, timestep), scaled, rtol=1e-5)
        assert torch.allclose(timestep, c_noise[0], atol=1e-6)
        x = schedule.step(torch.zeros_like(x), timestep, x).prev_sample


def test_a_network_that_hits_its_target_denoises_perfectly(noised, sigma_data):
    y, x = noised
    target = edm.network_target(y, x, SIGMAS, sigma_data)
    schedule = EDMEulerScheduler(sigma_data=sigma_data)
    for i, sigma in enumerate(SIGMAS):
        denoised = schedule.precondition_outputs(x[i], target[i], sigma)
        # x and c_skip x are of the size of sigma; rounding is relative to that
        assert torch.allclose(denoised, y[i], atol=1e-6 * max(1.0, float(sigma)))


def test_a_network_that_has_learned_nothing_has_a_loss_of_one(sigma_data):
    generator = torch.Generator().manual_seed(0)
    shape = (len(SIGMAS), 100, 500)
    y = sigma_data * torch.randn(shape, generator=generator)
    x = y + SIGMAS[:, None, None] * torch.randn(shape, generator=generator)
    target = edm.network_target(y, x, SIGMAS, sigma_data)
    assert torch.allclose(target.square().mean((1, 2)), torch.ones(len(SIGMAS)), atol=0.03)
    assert torch.allclose(edm.network_input(x, SIGMAS, sigma_data)[0].std((1, 2)), torch.ones(len(SIGMAS)), atol=0.02)


def test_training_noise_is_log_normal_and_repeatable():
    draws = edm.sample_sigma(20000, -0.4, 1.2, torch.Generator().manual_seed(0))
    assert draws.shape == (20000,) and (draws > 0).all()
    assert draws.log().mean() == pytest.approx(-0.4, abs=0.03) and draws.log().std() == pytest.approx(1.2, abs=0.03)
    assert torch.equal(draws, edm.sample_sigma(20000, -0.4, 1.2, torch.Generator().manual_seed(0)))
