import itertools
import math

import numpy as np
import pytest
import torch
from scipy import linalg
from scipy.spatial.distance import pdist

from counterpoise.metrics import kad, signal

RATE = 16000


def sound(batch: int = 2, channels: int = 1, samples: int = 8000) -> torch.Tensor:
    return 0.1 * torch.randn(batch, channels, samples, generator=torch.Generator().manual_seed(0))


def other(wave: torch.Tensor) -> torch.Tensor:
    return 0.1 * torch.randn(wave.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [1, 2])
def test_a_sound_is_perfect_against_itself(channels):
    wave = sound(channels=channels)
    measures = signal.round_trip(wave, wave, RATE)
    assert {name: values.shape for name, values in measures.items()} == dict.fromkeys(
        ["si_sdr_db", "log_mel_db", "spectral_convergence", "level_db"], (2,)
    )
    assert np.allclose(measures["si_sdr_db"], 100, atol=0.1)
    for name in ("log_mel_db", "spectral_convergence", "level_db"):
        assert np.allclose(measures[name], 0, atol=1e-6)


def test_every_measure_worsens_as_noise_grows():
    wave = sound()
    ladder = [signal.round_trip(wave, wave + gain * other(wave), RATE) for gain in (0.01, 0.1, 1.0)]
    for name, sign in (("si_sdr_db", -1), ("log_mel_db", 1), ("spectral_convergence", 1), ("level_db", 1)):
        values = sign * np.stack([rung[name] for rung in ladder])
        assert (np.diff(values, axis=0) > 0).all(), name


def test_si_sdr_is_the_ratio_of_the_powers_and_ignores_scale():
    wave = sound(samples=80000)
    noisy = wave + 0.1 * other(wave)
    assert np.allclose(signal.round_trip(wave, noisy, RATE)["si_sdr_db"], 20, atol=0.3)
    assert np.allclose(signal.round_trip(wave, 0.2 * noisy, RATE)["si_sdr_db"], 20, atol=0.3)


def test_half_the_amplitude_is_six_decibels_less():
    wave = sound()
    measures = signal.round_trip(wave, 0.5 * wave, RATE)
    six = 20 * math.log10(2)
    assert np.allclose(measures["level_db"], -six, atol=1e-4)
    assert np.allclose(measures["log_mel_db"], six, atol=0.1)
    assert np.allclose(measures["spectral_convergence"], 0.5, atol=1e-4)


def test_inverted_phase_is_heard_by_no_spectral_measure():
    wave = sound()
    measures = signal.round_trip(wave, -wave, RATE)
    assert np.allclose(measures["log_mel_db"], 0, atol=1e-5)
    assert np.allclose(measures["spectral_convergence"], 0, atol=1e-5)


def test_what_is_quieter_than_minus_eighty_decibels_is_not_compared():
    sine = torch.sin(2 * math.pi * 1000 * torch.arange(8000) / RATE)[None, None]
    silence = torch.zeros_like(sine)  # a sine fills two bins of a mel band, so it reads up to 6 dB more
    assert signal.round_trip(silence, 0.45e-4 * sine, RATE)["log_mel_db"] == 0
    assert signal.round_trip(silence, 0.8e-4 * sine, RATE)["log_mel_db"] > 0


def test_a_clip_does_not_notice_its_neighbours():
    wave = sound()
    noisy = wave + torch.tensor([0.1, 1.0])[:, None, None] * other(wave)
    together = signal.round_trip(wave, noisy, RATE)
    alone = signal.round_trip(wave[1:], noisy[1:], RATE)
    for name in together:
        assert np.allclose(together[name][1:], alone[name], rtol=1e-5)


@pytest.mark.parametrize("samples", [1, 100, 8000])
def test_silence_and_short_sounds_give_finite_numbers(samples):
    silent, loud = torch.zeros(1, 1, samples), sound(1, 1, samples)
    for original, decoded in ((silent, silent), (silent, loud), (loud, silent)):
        for values in signal.round_trip(original, decoded, 48000).values():
            assert np.isfinite(values).all()
    assert (signal.round_trip(loud, silent, RATE)["si_sdr_db"] < 1).all()
    assert (signal.round_trip(loud, silent, RATE)["level_db"] < -50).all()


@pytest.mark.parametrize("shape", [(2, 1, 7999), (1, 1, 8000), (2, 8000)])
def test_sounds_of_unlike_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="must both be"):
        signal.round_trip(sound(), torch.zeros(shape), RATE)


def test_a_sound_under_the_threshold_is_silent():
    wave = torch.ones(3, 2, 1000) * torch.tensor([0.0, 1e-4, 1e-3])[:, None, None]  # minus infinity, -80, -60 dBFS
    assert signal.is_silent(wave).tolist() == [True, True, False]
    assert signal.is_silent(wave, threshold_dbfs=-50).tolist() == [True, True, True]


def test_a_sound_with_too_many_samples_at_full_scale_is_clipped():
    wave = torch.zeros(3, 1, 1000)
    wave[1, 0, :5] = 1.0
    wave[2, 0, :50] = -1.2
    assert signal.is_clipped(wave).tolist() == [False, False, True]
    assert signal.is_clipped(wave, share=0.001).tolist() == [False, True, True]


def cloud(n: int, shift: float = 0.0, seed: int = 0, dimensions: int = 8) -> np.ndarray:
    """n points around `shift`."""
    return np.random.default_rng(seed).normal(shift, 1, (n, dimensions))


def mmd_by_loops(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
    """Equation 3 of Gretton et al. (2012), term by term."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-((a - b) ** 2).sum() / (2 * bandwidth**2))

    n, m = len(x), len(y)
    within_x = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(kernel(a, b) for a in x for b in y) / (n * m)


def test_kad_is_a_hundred_times_the_unbiased_mmd_with_the_references_median_distance():
    made, real = cloud(6, 1.0, seed=1), cloud(5, seed=2)
    median = np.median([np.linalg.norm(real[i] - real[j]) for i in range(5) for j in range(i)])
    assert kad.kad(made, real) == pytest.approx(100 * mmd_by_loops(made, real, median))
    assert kad.kad(made, real, bandwidth=0.7) == pytest.approx(100 * mmd_by_loops(made, real, 0.7))


def test_kad_is_zero_on_average_for_sets_of_one_kind_whatever_their_size():
    for n in (4, 40):
        values = [kad.kad(cloud(n, seed=2 * i), cloud(20, seed=2 * i + 1), bandwidth=4.0) for i in range(100)]
        assert min(values) < 0 < max(values)
        assert abs(np.mean(values)) < 4 * np.std(values) / 10


def test_kad_and_fad_grow_with_the_shift():
    real = cloud(60)
    for measure in (kad.kad, kad.fad):
        values = [measure(cloud(60, shift, seed=1), real) for shift in (0, 0.5, 1, 2)]
        assert np.all(np.diff(values) > 0)


def test_the_interval_of_kad_covers_its_true_value_as_often_as_it_says():
    # Sounds of one Gaussian N(., I) have a mean kernel of (s^2 / (s^2 + 2))^(d / 2), those of two have less.
    d, s, shift = 8, 4.0, 0.4
    alike = (s**2 / (s**2 + 2)) ** (d / 2)
    true = 100 * 2 * alike * (1 - math.exp(-d * shift**2 / (2 * (s**2 + 2))))
    covered = 0
    for i in range(60):
        low, high = kad.kad_interval(
            cloud(50, shift, seed=2 * i), cloud(50, seed=2 * i + 1), seed=i, level=0.8, resamples=200, bandwidth=s
        )
        covered += low < true < high
    assert 39 <= covered <= 57  # 48 expected, SD 3.1


def test_sounds_of_few_recordings_make_a_wider_interval():
    groups = np.repeat(np.arange(6), 10)
    made = cloud(6, 0.5, seed=1)[groups] + 0.1 * cloud(60, seed=2)
    widths = []
    for made_groups in (None, groups):
        low, high = kad.kad_interval(made, cloud(60), made_groups=made_groups, resamples=200)
        assert low < kad.kad(made, cloud(60)) < high
        widths.append(high - low)
    assert widths[1] > 1.5 * widths[0]


def test_the_interval_follows_from_the_seed():
    intervals = [kad.kad_interval(cloud(9, 1), cloud(8), seed=seed, resamples=50) for seed in (0, 0, 1)]
    assert intervals[0] == intervals[1] != intervals[2]


def test_an_interval_needs_four_groups_and_one_for_each_sound():
    with pytest.raises(ValueError, match="3 different ones; expected at least 4"):
        kad.kad_interval(cloud(9, 1), cloud(8), made_groups=[0, 1, 2] * 3)
    with pytest.raises(ValueError, match="8 sounds have 7 groups"):
        kad.kad_interval(cloud(9, 1), cloud(8), real_groups=range(7))


def test_fad_of_gaussians_is_the_formula_for_gaussians():
    made, real = 2 * cloud(50_000, seed=1), cloud(50_000, 0.5, seed=2)
    assert kad.fad(made, real) == pytest.approx(8 * (1 + 4 - 4) + 8 * 0.25, rel=0.02)


def test_fad_agrees_with_the_matrix_square_root():
    made, real = cloud(30, 0.3, seed=1) @ cloud(8, seed=3), cloud(40, seed=2)
    a, b = np.cov(made.T), np.cov(real.T)
    expected = np.square(made.mean(0) - real.mean(0)).sum() + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    assert kad.fad(made, real) == pytest.approx(expected)


def test_fad_stays_finite_and_zero_for_equal_sets_of_fewer_sounds_than_dimensions():
    x = cloud(5, dimensions=64)
    assert kad.fad(x, x) == pytest.approx(0, abs=1e-9)
    assert 0 < kad.fad(x, cloud(7, seed=1, dimensions=64)) < 1000


def test_a_copy_is_found_and_a_new_sound_is_not():
    real = cloud(10)
    made = np.stack([real[3] + 0.01, real[3] + 5.0, real[7]])
    found = kad.novelty(made, real, roots=[3, 3, 1])
    assert found.near_copy.tolist() == [True, False, True]
    assert found.nearest[0] == 3 and found.nearest[2] == 7
    assert found.distance[2] == 0 and np.allclose(found.distance[0], 0.01 * 8**0.5)
    assert (found.second_distance > found.distance).all()
    expected = real[7] @ real[1] / np.linalg.norm(real[7]) / np.linalg.norm(real[1])
    assert found.root_cosine[0] > 0.999 and found.root_cosine[2] == pytest.approx(expected)
    assert np.isnan(kad.novelty(made, real).root_cosine).all()


def test_a_second_clip_of_the_recording_does_not_hide_a_copy():
    real = cloud(10)
    real[4] = real[3] + 0.01
    made = real[3:4] - 0.01
    assert not kad.novelty(made, real).near_copy[0]
    assert kad.novelty(made, real, real_groups=[0, 1, 2, 3, 3, 5, 6, 7, 8, 9]).near_copy[0]


def test_with_one_real_clip_only_an_equal_sound_is_a_copy():
    real = cloud(1)
    found = kad.novelty(np.concatenate([real, real + 1e-3]), real)
    assert found.near_copy.tolist() == [True, False] and np.isnan(found.second_distance).all()


def test_diversity_counts_how_far_sounds_point_apart():
    assert kad.diversity(np.tile(cloud(1), (5, 1))) == pytest.approx(0)
    assert kad.diversity(np.eye(6)) == pytest.approx(1)
    x = cloud(7)
    cosines = [x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]) for i in range(7) for j in range(i)]
    assert kad.diversity(x) == pytest.approx(1 - np.mean(cosines))


def test_vendi_is_the_number_of_different_sounds():
    assert kad.vendi(np.eye(6)) == pytest.approx(6)
    assert kad.vendi(np.repeat(np.eye(3), 4, axis=0)) == pytest.approx(3)
    assert kad.vendi(np.tile(cloud(1), (5, 1))) == pytest.approx(1)


@pytest.mark.parametrize("measure", [kad.kad, kad.fad, kad.novelty])
def test_embeddings_that_do_not_fit_are_refused(measure):
    with pytest.raises(ValueError, match=r"\[9, 8\] and \[9, 7\]"):
        measure(cloud(9), cloud(9, dimensions=7))
    with pytest.raises(ValueError, match="NaN"):
        measure(cloud(9), np.full((9, 8), np.nan))


def test_a_reference_of_equal_sounds_has_no_bandwidth():
    with pytest.raises(ValueError, match="bandwidth is 0"):
        kad.kad(cloud(5), np.ones((5, 8)))


def test_halves_of_one_kind_are_zero_apart_on_average_and_as_far_as_the_halves_of_real_sounds_are():
    mean, low, high = kad.kad_of_halves(cloud(60), np.arange(60), resamples=400)
    assert low < mean < high and abs(mean) < 0.5 * (high - low)
    x, median = cloud(8), np.median(pdist(cloud(8)))
    one = kad.kad_of_halves(x, np.arange(8), resamples=1)[0]
    halves = itertools.combinations(range(8), 4)
    by_hand = [kad.kad(x[list(half)], np.delete(x, half, axis=0), median) for half in halves]
    assert np.abs(np.array(by_hand) - one).min() < 1e-9


def test_recordings_stay_in_one_half_so_alike_clips_drive_halves_apart():
    groups = np.repeat(np.arange(6), 10)
    sounds = cloud(6, seed=1)[groups] + 0.1 * cloud(60, seed=2)
    together, apart = (kad.kad_of_halves(sounds, g, resamples=200)[0] for g in (groups, np.arange(60)))
    assert together > 1 > apart


def test_halves_need_four_recordings():
    with pytest.raises(ValueError, match="3 different ones; expected at least 4"):
        kad.kad_of_halves(cloud(9), [0, 1, 2] * 3)
