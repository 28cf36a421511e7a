"""Where windows lie: the one rule of training, of scores and of `counterpoise classify`."""

import numpy as np
import pytest

from counterpoise.core.windows import Windows

FORM = Windows.of(0.5, 8000)


def test_a_window_every_half_window_and_one_that_ends_with_the_sound():
    assert (FORM.size, FORM.hop, FORM.rest) == (4000, 2000, 80)
    assert FORM.starts(8000) == [0, 2000, 4000]
    assert FORM.starts(9000) == [0, 2000, 4000, 5000]
    assert Windows.of(0.5, 8000, hop=0.5).starts(9000) == [0, 4000, 5000]


@pytest.mark.parametrize(("samples", "starts"), [(0, [0]), (1, [0]), (4000, [0]), (4080, [0]), (4081, [0, 81])])
def test_a_sound_that_is_no_longer_has_one_but_for_the_rounding_of_a_resampler(samples, starts):
    assert FORM.starts(samples) == starts


@pytest.mark.parametrize("samples", [*range(4081, 4100), 5999, 6000, 6080, 6081, 50_000])
def test_every_sample_lies_in_a_window_but_for_a_rest_of_ten_milliseconds(samples):
    heard = np.zeros(samples, bool)
    for start in FORM.starts(samples):
        assert start + FORM.size <= samples
        heard[start : start + FORM.size] = True
    assert heard[: samples - FORM.rest].all() and (~heard).sum() <= FORM.rest


def test_windows_are_cut_and_a_short_sound_is_padded():
    wave = np.arange(18_000, dtype=np.float32).reshape(2, 9000)
    cut = list(FORM.cut(wave))
    assert [one.shape for one in cut] == [(2, 4000)] * 4
    np.testing.assert_array_equal(cut[3], wave[:, 5000:])
    (padded,) = FORM.cut(wave[:, :100])
    np.testing.assert_array_equal(padded, np.pad(wave[:, :100], ((0, 0), (0, 3900))))


def test_crops_begin_anywhere_in_a_long_sound_and_at_the_start_of_others():
    wave = np.arange(9000, dtype=np.float32)[None]
    firsts = [int(FORM.crop(wave, number)[0, 0]) for number in range(5001)]
    assert firsts == list(range(5001))
    assert FORM.crop(wave, 5001)[0, 0] == 0
    for samples in (100, 4000, 4080):
        crop = FORM.crop(wave[:, :samples], 77)
        np.testing.assert_array_equal(crop, next(iter(FORM.cut(wave[:, :samples]))))
