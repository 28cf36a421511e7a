"""The probe: 0.5 for sets of one kind, 1 where a trace gives one away, and no recording on both sides of a fold."""

import numpy as np
import pytest
from settings import settings_of

from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.spectrogram import MelSpectrogram
from counterpoise.metrics import c2st

RATE = 8000
SPECTROGRAM = MelSpectrogram(settings_of(Features, n_mels=16, n_fft=256, hop=128), RATE)


def clips(recordings, each, seed, trace=0.0):
    """`[recordings * each, 10]`: every recording has its own place, far from the others; the trace is one number."""
    rng = np.random.default_rng(seed)
    places = 3 * np.random.default_rng(7).normal(size=(recordings, 10))
    group = np.repeat(np.arange(recordings), each)
    return places[group] + rng.normal(size=(len(group), 10)) + trace * np.eye(10)[0] * 6, group


def test_sets_of_one_kind_cannot_be_told_and_a_trace_gives_a_set_away():
    real, groups = clips(12, 6, 0)
    made, _ = clips(12, 6, 1)
    auc, low, high = c2st.auc(made, real, groups, groups)
    assert 0.4 < auc < 0.6 and low < auc < high
    told, low, high = c2st.auc(made + 12 * np.eye(10)[0], real, groups, groups)
    assert told > 0.95 and 0.85 < low <= told <= high <= 1


def test_a_probe_cannot_know_a_recording():
    """All that tells the sets apart here is which recordings they hold, and the tested ones are new."""
    real, groups = clips(10, 8, 0)
    half = groups < 5
    assert c2st.auc(real[half], real[~half], groups[half], groups[~half])[0] < 0.85
    known = c2st.auc(real[half], real[~half], np.arange(half.sum()), np.arange(half.sum(), len(real)))[0]
    assert known > 0.95  # if clips of a recording were in several folds


def test_pairs_that_score_alike_count_half():
    _, groups = clips(6, 4, 0)
    assert c2st.auc(np.zeros((24, 3)), np.zeros((24, 3)), groups, groups)[0] == 0.5


def test_the_interval_is_wider_for_fewer_recordings_and_follows_from_the_seed():
    widths = []
    for recordings in (5, 40):
        real, groups = clips(recordings, 4, 0)
        made, _ = clips(recordings, 4, 1, trace=0.15)
        first, again, other = (c2st.auc(made, real, groups, groups, seed=seed) for seed in (0, 0, 1))
        assert first == again and first != other
        widths.append(first[2] - first[1])
    assert widths[0] > 1.3 * widths[1]


@pytest.mark.parametrize("made", [range(4), range(3, 7), range(37, 41), range(40, 44), range(38, 90)])
@pytest.mark.parametrize("real", [range(40), range(36, 40)])
def test_every_fold_leaves_both_sets_something_to_train_on(made, real):
    """A classifier that saw one of the sets alone would be an error."""
    statistics = np.random.default_rng(0).normal(size=(len(made) + len(real), 1))
    for seed in range(10):
        assert 0 <= c2st.auc(statistics[: len(made)], statistics[len(made) :], made, real, seed, resamples=1)[0] <= 1


def test_few_recordings_are_refused():
    real, groups = clips(3, 5, 0)
    with pytest.raises(ValueError, match="of 3 recordings; expected at least 4"):
        c2st.auc(real, real, groups, groups)


def test_statistics_are_the_mean_and_spread_of_each_band_without_loudness():
    noise = np.random.default_rng(0).normal(size=(1, 4000)).astype(np.float32) * 0.1
    statistics = c2st.band_statistics(noise, SPECTROGRAM)
    assert statistics.shape == (32,) and statistics[:16].mean() == pytest.approx(0, abs=1e-4)
    assert np.allclose(statistics, c2st.band_statistics(0.1 * noise, SPECTROGRAM), atol=1e-3)
    stereo = c2st.band_statistics(np.repeat(noise, 2, axis=0), SPECTROGRAM)
    assert np.allclose(statistics, stereo, atol=1e-4)
    tone = np.sin(2 * np.pi * 1000 * np.arange(4000) / RATE, dtype=np.float32)[None]
    loudest = int(c2st.band_statistics(tone, SPECTROGRAM)[:16].argmax())
    fading = tone * np.linspace(1, 0.01, 4000, dtype=np.float32)
    assert c2st.band_statistics(fading, SPECTROGRAM)[16 + loudest] > 0.2
    assert c2st.band_statistics(tone, SPECTROGRAM)[16 + loudest] < 0.1


def test_a_sound_shorter_than_a_window_has_statistics_too():
    assert np.isfinite(c2st.band_statistics(np.ones((1, 10), np.float32), SPECTROGRAM)).all()
