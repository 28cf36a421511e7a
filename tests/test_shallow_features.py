"""What classical classifiers hear of a clip."""

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from settings import settings_of

from counterpoise.core.audio import AudioError
from counterpoise.embeddings.settings import Features
from counterpoise.shallow import features
from counterpoise.shallow.features import MFCC, MfccStatistics

RATE = 16000


def noise(seconds: float, seed: int = 0, channels: int = 1) -> np.ndarray:
    """Noise whose level rises, so that nothing in it stays the same."""
    wave = np.random.default_rng(seed).standard_normal((channels, round(seconds * RATE)))
    return (0.1 * wave * np.linspace(0.05, 1, wave.shape[1])).astype(np.float32)


@pytest.fixture
def statistics() -> MfccStatistics:
    return MfccStatistics(settings_of(Features), 13, RATE)


def test_statistics_are_those_of_torchaudios_mfccs(statistics):
    """But for the loudness, which the first coefficient has, and for the unit of 20 dB."""
    own, wave = settings_of(Features), noise(0.8)
    reference = torchaudio.transforms.MFCC(
        RATE, 13, melkwargs={"n_fft": own.n_fft, "hop_length": own.hop, "n_mels": own.n_mels}
    )
    mfcc = reference(torch.from_numpy(wave))[0, :, : wave.shape[1] // own.hop] / 20
    both = torch.cat([mfcc, torchaudio.functional.compute_deltas(mfcc)])
    expected = torch.cat([both.mean(dim=1), both.std(dim=1, correction=0)]).numpy()
    found = statistics(wave)
    assert found.shape == (52,) and found.dtype == np.float32
    np.testing.assert_allclose(found[1:], expected[1:], atol=1e-4)
    assert abs(found[0]) < 1e-3  # the mean of the first coefficient is the clip's loudness


def test_a_clips_loudness_is_not_heard(statistics):
    np.testing.assert_allclose(statistics(0.1 * noise(0.8)), statistics(noise(0.8)), atol=2e-3)


def test_a_clip_shorter_than_a_window_is_padded_to_it(statistics):
    wave, window = noise(0.02), settings_of(Features).n_fft
    assert wave.shape[1] < window // 2
    found = statistics(wave)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, statistics(np.pad(wave, ((0, 0), (0, window - wave.shape[1])))))


def test_clips_are_heard_whole_mixed_down_and_never_padded(tmp_path):
    for name, seconds, channels in (("short", 0.3, 1), ("long", 2.0, 1), ("stereo", 0.5, 2)):
        soundfile.write(tmp_path / f"{name}.wav", noise(seconds, channels=channels).T, RATE, subtype="FLOAT")
    paths = [str(tmp_path / f"{name}.wav") for name in ("short", "long", "stereo")]
    waves = []

    def listener(wave: np.ndarray) -> np.ndarray:
        waves.append(wave)
        return np.array([wave.shape[1]])

    found = features.measure(paths, {"length": listener, "twice": lambda wave: np.ones(2)}, RATE)
    assert found["length"].tolist() == [[4800], [32000], [8000]] and found["twice"].shape == (3, 2)
    np.testing.assert_array_equal(waves[1], noise(2.0))
    np.testing.assert_allclose(waves[2], noise(0.5, channels=2).mean(axis=0, keepdims=True), atol=1e-7)


def test_a_clip_is_heard_alone_and_in_the_order_of_the_list(tmp_path, statistics):
    paths = [str(tmp_path / f"{seed}.wav") for seed in range(3)]
    for seed, path in enumerate(paths):
        soundfile.write(path, noise(0.4, seed).T, RATE, subtype="FLOAT")
    together = features.measure(paths, {MFCC: statistics}, RATE)[MFCC]
    for row, path in zip(together, paths):
        np.testing.assert_array_equal(features.measure([path], {MFCC: statistics}, RATE)[MFCC][0], row)
    assert len(np.unique(together[:, 1])) == 3


def test_a_clip_that_is_missing_is_named(tmp_path, statistics):
    with pytest.raises(AudioError, match="gone.wav"):
        features.measure([str(tmp_path / "gone.wav")], {MFCC: statistics}, RATE)
