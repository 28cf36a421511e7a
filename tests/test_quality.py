import math

import numpy as np
import pytest
import torch

from counterpoise import quality

RATE = 16000


def sound(batch: int = 2, channels: int = 1, samples: int = 8000) -> torch.Tensor:
    return 0.1 * torch.randn(batch, channels, samples, generator=torch.Generator().manual_seed(0))


def other(wave: torch.Tensor) -> torch.Tensor:
    return 0.1 * torch.randn(wave.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [1, 2])
def test_a_sound_is_perfect_against_itself(channels):
    wave = sound(channels=channels)
    measures = quality.round_trip(wave, wave, RATE)
    assert {name: values.shape for name, values in measures.items()} == dict.fromkeys(
        ["si_sdr_db", "log_mel_db", "spectral_convergence", "level_db"], (2,)
    )
    assert np.allclose(measures["si_sdr_db"], 100, atol=0.1)
    for name in ("log_mel_db", "spectral_convergence", "level_db"):
        assert np.allclose(measures[name], 0, atol=1e-6)


def test_every_measure_worsens_as_noise_grows():
    wave = sound()
    ladder = [quality.round_trip(wave, wave + gain * other(wave), RATE) for gain in (0.01, 0.1, 1.0)]
    for name, sign in (("si_sdr_db", -1), ("log_mel_db", 1), ("spectral_convergence", 1), ("level_db", 1)):
        values = sign * np.stack([rung[name] for rung in ladder])
        assert (np.diff(values, axis=0) > 0).all(), name


def test_si_sdr_is_the_ratio_of_the_powers_and_ignores_scale():
    wave = sound(samples=80000)
    noisy = wave + 0.1 * other(wave)
    assert np.allclose(quality.round_trip(wave, noisy, RATE)["si_sdr_db"], 20, atol=0.3)
    assert np.allclose(quality.round_trip(wave, 0.2 * noisy, RATE)["si_sdr_db"], 20, atol=0.3)


def test_half_the_amplitude_is_six_decibels_less():
    wave = sound()
    measures = quality.round_trip(wave, 0.5 * wave, RATE)
    six = 20 * math.log10(2)
    assert np.allclose(measures["level_db"], -six, atol=1e-4)
    assert np.allclose(measures["log_mel_db"], six, atol=0.1)
    assert np.allclose(measures["spectral_convergence"], 0.5, atol=1e-4)


def test_inverted_phase_is_heard_by_no_spectral_measure():
    wave = sound()
    measures = quality.round_trip(wave, -wave, RATE)
    assert np.allclose(measures["log_mel_db"], 0, atol=1e-5)
    assert np.allclose(measures["spectral_convergence"], 0, atol=1e-5)


def test_what_is_quieter_than_minus_eighty_decibels_is_not_compared():
    sine = torch.sin(2 * math.pi * 1000 * torch.arange(8000) / RATE)[None, None]
    silence = torch.zeros_like(sine)  # a sine fills two bins of a mel band, so it reads up to 6 dB more
    assert quality.round_trip(silence, 0.45e-4 * sine, RATE)["log_mel_db"] == 0
    assert quality.round_trip(silence, 0.8e-4 * sine, RATE)["log_mel_db"] > 0


def test_a_clip_does_not_notice_its_neighbours():
    wave = sound()
    noisy = wave + torch.tensor([0.1, 1.0])[:, None, None] * other(wave)
    together = quality.round_trip(wave, noisy, RATE)
    alone = quality.round_trip(wave[1:], noisy[1:], RATE)
    for name in together:
        assert np.allclose(together[name][1:], alone[name], rtol=1e-5)


@pytest.mark.parametrize("samples", [1, 100, 8000])
def test_silence_and_short_sounds_give_finite_numbers(samples):
    silent, loud = torch.zeros(1, 1, samples), sound(1, 1, samples)
    for original, decoded in ((silent, silent), (silent, loud), (loud, silent)):
        for values in quality.round_trip(original, decoded, 48000).values():
            assert np.isfinite(values).all()
    assert (quality.round_trip(loud, silent, RATE)["si_sdr_db"] < 1).all()
    assert (quality.round_trip(loud, silent, RATE)["level_db"] < -50).all()


@pytest.mark.parametrize("shape", [(2, 1, 7999), (1, 1, 8000), (2, 8000)])
def test_sounds_of_unlike_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="must both be"):
        quality.round_trip(sound(), torch.zeros(shape), RATE)


def test_a_sound_under_the_threshold_is_silent():
    wave = torch.ones(3, 2, 1000) * torch.tensor([0.0, 1e-4, 1e-3])[:, None, None]  # minus infinity, -80, -60 dBFS
    assert quality.is_silent(wave).tolist() == [True, True, False]
    assert quality.is_silent(wave, threshold_dbfs=-50).tolist() == [True, True, True]


def test_a_sound_with_too_many_samples_at_full_scale_is_clipped():
    wave = torch.zeros(3, 1, 1000)
    wave[1, 0, :5] = 1.0
    wave[2, 0, :50] = -1.2
    assert quality.is_clipped(wave).tolist() == [False, False, True]
    assert quality.is_clipped(wave, share=0.001).tolist() == [False, True, True]
