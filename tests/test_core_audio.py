"""Sound files in every state that a collection has them in."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from counterpoise.core import audio

RATE = 16000  # Hz


def sine(frequency, rate, seconds=0.5, amplitude=0.5):
    """`[samples]`."""
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def loudest_frequency(wave, rate):
    """Hz, of `[samples]`."""
    return np.fft.rfftfreq(len(wave), 1 / rate)[np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax()]


@pytest.mark.parametrize("native", [8000, 16000, 22050, 44100, 48000])
def test_resampling_keeps_pitch_length_and_level(tmp_path, native):
    soundfile.write(tmp_path / "a.wav", sine(1000, native), native, subtype="FLOAT")
    wave = audio.read(tmp_path / "a.wav", RATE, 1)
    assert wave.dtype == np.float32 and wave.shape == (1, RATE // 2) and wave.flags.c_contiguous
    assert abs(loudest_frequency(wave[0], RATE) - 1000) <= 2
    assert abs(np.abs(wave[0, 1000:-1000]).max() - 0.5) < 0.01


def test_resampling_down_removes_what_would_fold_back(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(10000, 48000), 48000, subtype="FLOAT")
    assert np.abs(audio.read(tmp_path / "a.wav", RATE, 1)[0, 1000:-1000]).max() < 1e-3


def test_the_same_rate_changes_no_sample(tmp_path):
    wave = sine(440, RATE)
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    assert np.array_equal(audio.read(tmp_path / "a.wav", RATE, 1), wave[None])


def test_stereo_becomes_mono_by_the_mean(tmp_path):
    left, right = sine(440, RATE), sine(880, RATE)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    assert np.allclose(audio.read(tmp_path / "a.wav", RATE, 1), [(left + right) / 2], atol=1e-7)
    assert np.array_equal(audio.read(tmp_path / "a.wav", RATE, 2), [left, right])


def test_mono_becomes_stereo_by_repetition(tmp_path):
    wave = sine(440, RATE)
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    assert np.array_equal(audio.read(tmp_path / "a.wav", RATE, 2), [wave, wave])


def test_of_more_channels_the_first_two_are_kept(tmp_path):
    waves = np.stack([sine(f, RATE) for f in (200, 400, 800)])
    soundfile.write(tmp_path / "a.wav", waves.T, RATE, subtype="FLOAT")
    assert np.array_equal(audio.read(tmp_path / "a.wav", RATE, 2), waves[:2])


def test_fit_cuts_and_pads_the_end():
    wave = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert audio.fit(wave, 2).tolist() == [[0, 1], [3, 4]]
    assert audio.fit(wave, 3).tolist() == wave.tolist()
    assert audio.fit(wave, 5).tolist() == [[0, 1, 2, 0, 0], [3, 4, 5, 0, 0]]
    assert audio.fit(wave, 5).dtype == np.float32


def with_nan(path):
    soundfile.write(path, np.array([0.0, np.nan, 0.1], np.float32), RATE, subtype="FLOAT")


def with_infinity(path):
    soundfile.write(path, np.array([0.0, np.inf, 0.1], np.float32), RATE, subtype="FLOAT")


def without_samples(path):
    soundfile.write(path, np.zeros(0, np.float32), RATE)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (with_nan, "NaN or infinite"),
        (with_infinity, "NaN or infinite"),
        (without_samples, "no samples"),
        (lambda path: path.write_text("this is a text"), "not readable"),
        (lambda path: path.write_bytes(b""), "not readable"),
        (lambda path: path.mkdir(), "not readable"),
        (lambda path: None, "not readable"),
    ],
)
def test_what_is_no_usable_sound_is_named_with_the_reason(tmp_path, make, reason):
    path = tmp_path / "odd.wav"
    make(path)
    with pytest.raises(audio.AudioError, match=reason) as caught:
        audio.read(path, RATE, 1)
    assert str(path) in str(caught.value)


def test_a_raw_file_whose_rate_nobody_knows_is_refused(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(100))
    with pytest.raises(audio.AudioError, match="a.raw"):
        audio.read(tmp_path / "a.raw", RATE, 1)


def test_flac_turns_a_loud_sound_down_and_never_clips(tmp_path):
    wave = np.stack([sine(440, RATE, amplitude=3.0), sine(440, RATE, amplitude=1.5)])
    audio.write_flac(tmp_path / "a.flac", wave, RATE)
    back = audio.read(tmp_path / "a.flac", RATE, 2)
    assert 0.99 < np.abs(back).max() < 1
    assert np.allclose(back, wave / 3.0 * 0.999, atol=1e-3)  # one factor for both channels


def test_flac_leaves_a_quiet_sound_as_it_is(tmp_path):
    wave = sine(440, RATE, amplitude=0.9)[None]
    audio.write_flac(tmp_path / "a.flac", wave, RATE)
    assert np.abs(audio.read(tmp_path / "a.flac", RATE, 1) - wave).max() <= 2**-15
    assert soundfile.info(tmp_path / "a.flac").subtype == "PCM_16"


def test_two_writes_are_byte_identical_and_leave_nothing_else(tmp_path):
    wave = np.random.default_rng(0).normal(0, 0.1, (2, RATE)).astype(np.float32)
    for name in ("a.flac", "b.flac"):
        audio.write_flac(tmp_path / name, wave, RATE)
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.flac", "b.flac"]


def test_a_write_that_fails_leaves_no_file_under_the_name(tmp_path, monkeypatch):
    def killed(path, *args, **kwargs):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        audio.write_flac(tmp_path / "a.flac", np.zeros((1, 100), np.float32), RATE)
    assert not (tmp_path / "a.flac").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_sound_is_not_written(tmp_path, value):
    with pytest.raises(audio.AudioError, match="a.flac"):
        audio.write_flac(tmp_path / "a.flac", np.array([[0, value, 0.5]], np.float32), RATE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("native", [8000, 16000, 22050, 44100, 96000])
@pytest.mark.parametrize("size", [100, 4096, 10**6])
def test_a_wave_that_is_resampled_in_blocks_is_that_of_one_piece(native, channels, size):
    wave = np.random.default_rng(0).normal(0, 0.1, (channels, native)).astype(np.float32)
    resampler = audio.Resampler(native, RATE, channels)
    parts = [resampler.block(wave[:, start : start + size]) for start in range(0, native, size)]
    streamed = np.concatenate([*parts, resampler.rest()], axis=1)
    assert streamed.dtype == np.float32 and streamed.shape == (channels, RATE)
    np.testing.assert_allclose(streamed, audio.resample(wave, native, RATE), rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 8])
def test_a_sound_of_more_samples_than_memory_is_meant_to_hold_is_not_decoded(tmp_path, monkeypatch, channels):
    monkeypatch.setattr(audio, "MOST_SAMPLES", 4000)
    for frames in (500, 5000):  # 5000 in one channel, 4000 and 40000 in eight
        audio.write_flac(tmp_path / f"{frames}.flac", np.zeros((channels, frames), np.float32), RATE)
    assert audio.read(tmp_path / "500.flac", RATE, 1).shape == (1, 500)
    with pytest.raises(audio.AudioError, match="5000 samples in .* cut the file"):
        audio.read(tmp_path / "5000.flac", RATE, 1)
