import random

import numpy as np
import pytest

from counterpoise.augment import effects

RATE = 16000


def sound(channels: int = 1, samples: int = 8000, level: float = 0.1) -> np.ndarray:
    """Noise and a tone of 440 Hz."""
    noise = np.random.default_rng(0).normal(size=(channels, samples))
    return (level * (0.3 * noise + np.sin(2 * np.pi * 440 * np.arange(samples) / RATE))).astype(np.float32)


def only(monkeypatch, effect) -> None:
    """Leave one of the effects, always applied."""
    chosen = next(transform for transform in effects.chain().transforms if type(transform).__name__ == effect)
    monkeypatch.setattr(chosen, "p", 1.0)
    alone = type(effects.chain())([chosen])
    monkeypatch.setattr(effects, "chain", lambda: alone)


def loudest(wave: np.ndarray) -> float:
    """Frequency of the highest peak, Hz."""
    spectrum = np.abs(np.fft.rfft(wave[0] * np.hanning(wave.shape[1])))
    return float(spectrum.argmax() * RATE / wave.shape[1])


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samples", [1, 2, 100, 800, 8000])
def test_a_variation_has_the_shape_of_the_sound_and_differs(channels, samples):
    wave = sound(channels, samples)
    for seed in range(8):
        varied = effects.augment(wave, RATE, seed)
        assert varied.shape == wave.shape and varied.dtype == np.float32 and np.isfinite(varied).all()
        assert not np.array_equal(varied, wave)


def test_the_seed_decides():
    wave = sound()
    first, again, other = (effects.augment(wave, RATE, seed) for seed in (2**62, 2**62, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-3)


def test_global_random_numbers_are_neither_used_nor_changed():
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.rand()
    random.seed(1)
    np.random.seed(1)
    first = effects.augment(sound(), RATE, 5)
    assert (random.random(), np.random.rand()) == expected
    assert np.array_equal(effects.augment(sound(), RATE, 5), first)


def test_the_generators_are_restored_after_an_error(monkeypatch):
    def fail(*_):
        random.random()
        raise RuntimeError

    monkeypatch.setattr(effects, "chain", lambda: fail)
    state = random.getstate()
    with pytest.raises(RuntimeError):
        effects.augment(sound(), RATE, 0)
    assert random.getstate() == state


def test_nothing_is_clipped():
    for seed in range(20):
        varied = effects.augment(sound(level=0.9), RATE, seed)
        assert np.abs(varied).max() <= 1.0
        assert (np.abs(varied) > 0.998).sum() < 5


def test_the_sound_that_was_given_stays_as_it_was():
    wave = sound()
    before = wave.copy()
    effects.augment(wave, RATE, 0)
    assert np.array_equal(wave, before)


def test_a_faster_sound_does_not_end_in_silence(monkeypatch):
    only(monkeypatch, "TimeStretch")
    wave = sound()
    ends = [np.square(effects.augment(wave, RATE, seed)[0, -400:]).mean() for seed in range(10)]
    assert min(ends) > 0.3 * np.square(wave[0, -400:]).mean()


def test_stretching_keeps_the_pitch_and_shifting_moves_it_within_four_semitones(monkeypatch):
    only(monkeypatch, "TimeStretch")
    assert all(loudest(effects.augment(sound(), RATE, seed)) == pytest.approx(440, abs=6) for seed in range(5))
    monkeypatch.undo()
    only(monkeypatch, "PitchShift")
    shifts = [12 * np.log2(loudest(effects.augment(sound(), RATE, seed)) / 440) for seed in range(10)]
    assert -4.3 < min(shifts) < -1 and 1 < max(shifts) < 4.3


def test_noise_is_five_to_forty_decibels_below_the_sound(monkeypatch):
    only(monkeypatch, "AddGaussianSNR")
    wave = sound()
    ratios = []
    for seed in range(20):
        noise = effects.augment(wave, RATE, seed) - wave
        ratios.append(10 * np.log10(np.square(wave).mean() / np.square(noise).mean()))
    assert 4.5 < min(ratios) < 12 and 33 < max(ratios) < 40.5


def test_silence_stays_silent():
    assert all(not effects.augment(np.zeros((1, 4000), np.float32), RATE, seed).any() for seed in range(6))


@pytest.mark.parametrize("shape", [(8000,), (3, 8000), (1, 0)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected \[1 or 2, 1 or more\]"):
        effects.augment(np.zeros(shape, np.float32), RATE, 0)


def decibels(sound: np.ndarray, beneath: np.ndarray) -> float:
    """The ratio of two sounds' powers."""
    return 10 * float(np.log10(np.square(sound).mean() / np.square(beneath).mean()))


@pytest.mark.parametrize("ratio", [0.0, 3.0, 10.0])
@pytest.mark.parametrize("level", [0.001, 0.3])
def test_a_background_lies_beneath_a_sound_at_the_ratio_that_is_asked(ratio, level):
    wave, background = sound(channels=2), level * np.random.default_rng(1).normal(size=(2, 20000)).astype(np.float32)
    mixed = effects.over_background(wave, background, ratio, 0)
    assert mixed.shape == wave.shape and mixed.dtype == np.float32
    assert decibels(wave, mixed - wave) == pytest.approx(ratio, abs=0.01)


def test_a_background_is_one_stretch_of_the_other_sound_and_the_seed_says_which():
    wave, background = sound(samples=500), np.random.default_rng(1).normal(size=(1, 2000)).astype(np.float32)
    starts = set()
    for seed in range(8):
        added = (effects.over_background(wave, background, 0.0, seed) - wave)[0]
        matches = np.correlate(background[0], added, mode="valid")
        start = int(matches.argmax())
        stretch = background[0, start : start + 500]
        assert np.corrcoef(stretch, added)[0, 1] > 0.9999
        starts.add(start)
    assert len(starts) > 5 and max(starts) > 750
    again = effects.over_background(wave, background, 0.0, 3)
    np.testing.assert_array_equal(again, effects.over_background(wave, background, 0.0, 3))


def test_a_short_background_is_repeated_and_a_silent_one_adds_nothing():
    wave, background = sound(samples=500), np.random.default_rng(1).normal(size=(1, 200)).astype(np.float32)
    added = (effects.over_background(wave, background, 5.0, 0) - wave)[0]
    assert np.corrcoef(added, np.tile(background[0], 3)[:500])[0, 1] > 0.9999
    np.testing.assert_array_equal(effects.over_background(wave, 0 * background, 5.0, 0), wave)
