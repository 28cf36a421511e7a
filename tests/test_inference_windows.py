"""Windows of sound files: their times, their samples, and how much is read at once."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from settings import settings_of

from counterpoise.core import audio as forms
from counterpoise.core.audio import Audio, AudioError
from counterpoise.inference import windows
from counterpoise.inference.windows import Recording

FORM = settings_of(Audio, sample_rate=16000, channels=1, seconds=0.5)
STEREO = settings_of(Audio, sample_rate=16000, channels=2, seconds=0.5)


@pytest.fixture
def sound(tmp_path):
    """Writes noise, float32 `[samples]` or `[samples, channels]`, and gives its path."""

    def write(seconds, rate=16000, channels=1, name="sound.wav", **how):
        shape = (round(seconds * rate), channels)
        wave = 0.1 * np.random.default_rng(0).standard_normal(shape)
        soundfile.write(tmp_path / name, wave, rate, **how)
        return str(tmp_path / name)

    return write


def times(path, hop, form=FORM):
    return [(round(one.start, 4), round(one.end, 4)) for one in Recording(path, form, hop).windows()]


def test_windows_start_every_hop_and_the_last_ends_with_the_sound(sound):
    assert times(sound(1.3), 0.25) == [(0, 0.5), (0.25, 0.75), (0.5, 1.0), (0.75, 1.25), (0.8, 1.3)]
    assert times(sound(1.3), 0.5) == [(0, 0.5), (0.5, 1.0), (0.8, 1.3)]


def test_a_sound_of_whole_hops_gets_no_further_window(sound):
    assert times(sound(1.0), 0.25) == [(0, 0.5), (0.25, 0.75), (0.5, 1.0)]
    assert times(sound(0.5), 0.25) == [(0, 0.5)]
    assert times(sound(0.505), 0.25) == [(0, 0.5)]  # 5 ms are the rounding of a resampler


def test_a_short_sound_is_one_window_padded_as_in_training(sound):
    path = sound(0.2, 44100, 2)
    recording = Recording(path, FORM, 0.5)
    (window,) = recording.windows()
    assert (window.start, round(window.end, 4), round(recording.seconds, 4)) == (0, 0.2, 0.2)
    assert np.array_equal(window.wave, forms.fit(forms.read(path, 16000, 1), 8000))
    assert not window.wave[:, 3300:].any() and window.wave[:, :3200].any()


@pytest.mark.parametrize("form", [FORM, STEREO])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (44100, 1), (48000, 3)])
def test_windows_are_stretches_of_the_whole_sound_in_the_classifiers_form(sound, monkeypatch, form, rate, channels):
    monkeypatch.setattr(windows, "BLOCK", 1000)
    path = sound(2.2, rate, channels)
    whole = forms.read(path, 16000, form.channels)
    found = list(Recording(path, form, 0.2).windows())
    assert len(found) == 10
    for window in found:
        start = round(window.start * 16000)
        np.testing.assert_allclose(window.wave, whole[:, start : start + 8000], rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 4])
def test_no_more_than_a_block_is_read_at_once(sound, monkeypatch, channels):
    asked = []
    read = soundfile.SoundFile.read

    def counted(self, frames=-1, *arguments, **named):
        asked.append(frames)
        return read(self, frames, *arguments, **named)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    monkeypatch.setattr(windows, "BLOCK", 4000)
    assert len(list(Recording(sound(4, channels=channels), FORM, 0.5).windows())) == 8
    assert len(asked) > 16000 * 4 * channels / 4000
    assert set(asked) == {4000 // channels}


@pytest.mark.parametrize(
    ("name", "how"),
    [("a.flac", {}), ("a.ogg", {}), ("a.mp3", {}), ("a.aiff", {}), ("a.w64", {}), ("a.wav", {"subtype": "DOUBLE"})],
)
def test_whatever_libsndfile_reads_is_read(sound, name, how):
    recording = Recording(sound(1.5, 44100, 2, name, **how), FORM, 0.5)
    assert len(list(recording.windows())) in (3, 4)  # lossy formats add a little
    assert recording.seconds == pytest.approx(1.5, abs=0.06) and recording.sample_rate == 44100
    assert recording.broken is None


@pytest.mark.parametrize("hop", [0, -1, 0.6])
def test_a_hop_that_leaves_gaps_is_refused(sound, hop):
    with pytest.raises(ValueError, match="at most 0.5 s"):
        Recording(sound(1), FORM, hop)


def test_what_is_no_sound_is_told(tmp_path, sound):
    (tmp_path / "text.wav").write_text("no sound at all")
    (tmp_path / "empty.wav").touch()
    for path, told in [
        ("text.wav", "not audio"),
        ("empty.wav", "zero bytes"),
        ("no.wav", "no such file"),
        ("", "folder"),
    ]:
        with pytest.raises(AudioError, match=told):
            Recording(str(tmp_path / path), FORM, 0.5)
    with pytest.raises(AudioError, match="no samples"):
        list(Recording(sound(0), FORM, 0.5).windows())


def test_samples_that_are_no_numbers_are_told(tmp_path):
    wave = np.zeros(40000, np.float32)
    wave[30000] = np.nan
    soundfile.write(tmp_path / "nan.wav", wave, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        list(Recording(str(tmp_path / "nan.wav"), FORM, 0.5).windows())


def test_what_decodes_of_a_broken_file_is_heard(tmp_path, sound):
    whole = Path(sound(4, name="whole.flac")).read_bytes()
    (tmp_path / "half.flac").write_bytes(whole[: len(whole) // 2])
    recording = Recording(str(tmp_path / "half.flac"), FORM, 0.5)
    assert 2 <= len(list(recording.windows())) <= 5
    assert "breaks off" in recording.broken and "of 4 s" in recording.broken


def test_what_libsndfile_does_not_read_is_decoded_by_ffmpeg(tmp_path, acted_ffmpeg):
    path = tmp_path / "phone.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(200))
    recording = Recording(str(path), FORM, 0.5)
    assert len(list(recording.windows())) == 2 and recording.broken is None
    assert recording.seconds == 1.0  # as long as what the stand-in decodes
    path.write_bytes(b"#!AMR" + bytes(200))
    with pytest.raises(AudioError, match="ffmpeg cannot decode it"):
        Recording(str(path), FORM, 0.5)


def test_without_ffmpeg_the_command_that_converts_is_told(tmp_path, no_programs):
    path = tmp_path / "phone.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(200))
    with pytest.raises(AudioError, match="it holds MPEG-4; install ffmpeg .* ffmpeg -i .*phone.m4a"):
        Recording(str(path), FORM, 0.5)
