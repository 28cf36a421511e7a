"""What happens to every kind of file that people have: taken, mended, cut, or left out with a reason."""

import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from settings import settings_of

from counterpoise.core import audio, tables
from counterpoise.core.naming import clip_id
from counterpoise.datasets import intake
from counterpoise.datasets.intake import IntakeError, admit
from counterpoise.datasets.settings import Data

FORMATS = [
    ("wav", "WAV", "PCM_U8"),
    ("wav", "WAV", "PCM_16"),
    ("wav", "WAV", "PCM_24"),
    ("wav", "WAV", "PCM_32"),
    ("wav", "WAV", "FLOAT"),
    ("wav", "WAV", "DOUBLE"),
    ("wav", "WAV", "ULAW"),
    ("wav", "WAV", "IMA_ADPCM"),
    ("wav", "WAV", "GSM610"),
    ("wav", "WAVEX", "PCM_16"),
    ("wav", "RF64", "PCM_16"),
    ("flac", "FLAC", "PCM_16"),
    ("flac", "FLAC", "PCM_24"),
    ("ogg", "OGG", "VORBIS"),
    ("opus", "OGG", "OPUS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
    ("aiff", "AIFF", "PCM_16"),
    ("aifc", "AIFF", "FLOAT"),
    ("caf", "CAF", "PCM_16"),
    ("w64", "W64", "PCM_16"),
    ("au", "AU", "PCM_16"),
]


def sound(seconds=1.0, rate=16000, channels=1, seed=0):
    """A tone in noise, `[n, channels]`."""
    n = round(seconds * rate)
    noise = np.random.default_rng(seed).standard_normal((n, channels))
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(n) / rate)[:, None] + 0.02 * noise


def put(path, wave=None, rate=16000, **form):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound() if wave is None else wave, rate, **form)
    return path


def take(folder, *paths, fingerprint=None, **values):
    """Admit these files, all of the class "cat" and each its own recording, beside some that are in order."""
    values = {"max_rejected": 0.99} | values
    good = [put(folder / "own" / "cat" / f"good_{n}.wav", sound(0.1, seed=n)) for n in range(2)]
    rows = [
        {"path": str(path), "label": "cat", "source_id": f"s{n}", "fold": tables.NO_FOLD}
        for n, path in enumerate([*good, *paths])
    ]
    data = settings_of(Data, dataset="own", path=str(folder / "own"), **values)
    admission = admit(tables.table(rows, tables.FILES), folder / "raw", data, fingerprint)
    assert admission.clips.path[:2].tolist() == [str(path) for path in good]
    return admission


def reason(folder, path, **values):
    """Why the file is left out."""
    admission = take(folder, path, **values)
    assert len(admission.clips) == 2
    (row,) = admission.rejected.itertuples()
    assert (row.path, row.label) == (str(path), "cat")
    return row.reason


def note(folder, path, **values):
    """What is said of a file that is taken, and its clips."""
    admission = take(folder, path, **values)
    assert admission.rejected.empty
    assert set(admission.mended.path) == {str(path)}
    return "; ".join(admission.mended.note), admission.clips[2:].reset_index(drop=True)


@pytest.mark.parametrize("ending, format, subtype", FORMATS)
def test_every_format_is_taken_where_it_lies(tmp_path, ending, format, subtype):
    path = put(tmp_path / f"own/cat/x.{ending}", format=format, subtype=subtype)
    admission = take(tmp_path, path)
    clip = admission.clips.iloc[2]
    assert clip.path == str(path)
    assert (clip.label, clip.source_id, clip.fold, clip.sample_rate, clip.channels) == ("cat", "s2", -1, 16000, 1)
    assert clip.seconds == pytest.approx(1.0, abs=0.03)
    assert admission.rejected.empty and admission.mended.empty
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(
    "rate, channels", [(8000, 1), (11025, 2), (44100, 6), (48000, 8), (96000, 1), (384000, 2), (1000, 1)]
)
def test_common_rates_and_channels_are_taken_and_can_be_written(tmp_path, rate, channels):
    wave = sound(1.0, rate, channels)
    plain, long = put(tmp_path / "a.wav", wave[: rate // 2], rate), put(tmp_path / "b.wav", wave, rate)
    clips = take(tmp_path, plain, long, max_seconds=0.6, clip_seconds=0.5).clips[2:]
    assert clips[["sample_rate", "channels"]].values.tolist() == [[rate, channels]] * 3
    assert clips.seconds.tolist() == pytest.approx([0.5] * 3, abs=2 / rate)
    assert [soundfile.info(path).channels for path in clips.path] == [channels] * 3


def test_the_tables_have_their_columns_and_the_order_of_the_files(tmp_path):
    paths = [put(tmp_path / f"own/cat/{name}.wav", sound(0.1)) for name in "cab"]
    admission = take(tmp_path, *paths)
    assert admission.clips.dtypes.astype(str).to_dict() == tables.CLIPS
    assert admission.rejected.dtypes.astype(str).to_dict() == tables.REJECTED
    assert admission.mended.dtypes.astype(str).to_dict() == tables.MENDED
    assert admission.clips.path[2:].tolist() == [str(path) for path in paths]
    assert set(admission.content) == set(admission.clips.clip_id)
    tables.check_clips(admission.clips)
    tables.write(admission.clips, tmp_path / "clips.csv")
    pd.testing.assert_frame_equal(tables.read(tmp_path / "clips.csv", tables.CLIPS), admission.clips, rtol=1e-5)


def broken(path, share, **form):
    put(path, **form)
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    return path


def test_what_is_not_there_or_no_file_is_rejected(tmp_path):
    own = tmp_path / "own/cat"
    own.mkdir(parents=True)
    assert reason(tmp_path, own / "gone.wav") == "missing: no such file"
    assert reason(tmp_path, own / ("x" * 300 + ".wav")).startswith("not readable: File name too long")
    (own / "dangling.wav").symlink_to("nowhere.wav")
    assert reason(tmp_path, own / "dangling.wav") == "missing: a link to a file that is not there"
    (own / "self.wav").symlink_to("self.wav")
    assert reason(tmp_path, own / "self.wav").startswith("not readable: Too many levels of symbolic links")
    (own / "folder.wav").mkdir()
    assert reason(tmp_path, own / "folder.wav") == "no file: a folder"
    (own / "circle").symlink_to(own)
    assert reason(tmp_path, own / "circle").startswith("no file: a link to a folder; DVC does not see")
    os.mkfifo(own / "pipe.wav")
    assert reason(tmp_path, own / "pipe.wav") == "no file: a device, pipe or socket"


def test_a_file_that_may_not_be_read_is_rejected(tmp_path, monkeypatch):
    path = put(tmp_path / "own/cat/secret.wav")
    path.chmod(0)

    def forbidden(name, *arguments):
        if name == str(path):  # root may read everything, so the refusal is acted
            raise PermissionError(13, "Permission denied")
        return open(name, *arguments)

    monkeypatch.setattr(intake, "open", forbidden, raising=False)
    assert reason(tmp_path, path) == "no permission to read it"


@pytest.mark.parametrize("content", [b"not a sound", b"RIFF", b"\0" * 5000, b"<!DOCTYPE html><html></html>" * 50])
@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "ogg"])
def test_what_is_no_sound_is_rejected(tmp_path, content, ending):
    path = tmp_path / f"x.{ending}"
    path.write_bytes(content)
    assert reason(tmp_path, path).startswith("not audio: ")


def test_zero_bytes_and_samples_without_a_header_are_rejected(tmp_path):
    (tmp_path / "x.wav").touch()
    assert reason(tmp_path, tmp_path / "x.wav") == "empty: zero bytes"
    (tmp_path / "x.raw").write_bytes(b"1234")
    assert reason(tmp_path, tmp_path / "x.raw") == "not audio: samples without a header"
    put(tmp_path / "y.wav", np.zeros((0, 1)))
    assert reason(tmp_path, tmp_path / "y.wav") == "not audio: nothing of it decodes"


@pytest.mark.parametrize("ending, format", [("flac", "FLAC"), ("caf", "CAF"), ("wav", "WAV"), ("mp3", "MP3")])
def test_a_file_cut_off_in_its_header_is_rejected(tmp_path, ending, format):
    path = put(tmp_path / f"x.{ending}", format=format)
    path.write_bytes(path.read_bytes()[:43])
    assert re.match("not audio|too short", reason(tmp_path, path))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_rejected(tmp_path, value):
    wave = sound(channels=2)
    wave[5, 1] = value
    path = put(tmp_path / "x.wav", wave, subtype="FLOAT")
    assert reason(tmp_path, path).startswith("not finite")


@pytest.mark.parametrize("wave", [0 * sound(), 0 * sound() + 0.5, 2e-5 * sound() / 0.3])
def test_silence_is_rejected_with_or_without_an_offset(tmp_path, wave):
    path = put(tmp_path / "x.wav", wave, subtype="FLOAT")
    assert reason(tmp_path, path).startswith("silent")


def test_a_very_soft_sound_is_taken(tmp_path):
    path = put(tmp_path / "x.wav", 1e-3 * sound(), subtype="PCM_24")
    assert len(take(tmp_path, path).clips) == 3


def test_what_is_too_short_or_too_long_is_rejected(tmp_path):
    path = put(tmp_path / "short.wav", sound(0.06))
    assert reason(tmp_path, path, min_seconds=0.08).startswith("too short: 0.06 s; data.min_seconds is 0.08")
    path = put(tmp_path / "long.flac", np.zeros(8000 * 3601, np.int16), 8000)
    assert reason(tmp_path, path).startswith("too long: 1 h")


@pytest.mark.parametrize("rate, channels, told", [(500, 1, "sample rate: 500"), (16000, 9, "channels: 9")])
def test_a_form_out_of_range_is_rejected_with_the_range(tmp_path, rate, channels, told):
    path = put(tmp_path / "x.wav", sound(0.5, rate, channels), rate)
    assert told in reason(tmp_path, path) and " to " in reason(tmp_path, path)


def test_a_clipped_sound_is_rejected_mentioned_or_taken_by_its_share(tmp_path):
    tone = np.sin(2 * np.pi * 441.7 * np.arange(16000) / 16000)
    shares = {gain: np.mean(np.abs(gain * tone) >= 1) for gain in (2.0, 1.01, 1.0)}
    assert shares[2.0] > 0.2 > shares[1.01] > 0.01 > shares[1.0]
    paths = {gain: put(tmp_path / f"{gain}.wav", np.clip(gain * tone, -1, 1)) for gain in shares}
    assert reason(tmp_path, paths[2.0]).startswith("clipped: 67%")
    said, clips = note(tmp_path, paths[1.01])
    assert "clipped" in said and clips.path[0] == str(paths[1.01])
    assert take(tmp_path, paths[1.0]).mended.empty


def test_clipping_is_seen_in_coarse_audio_and_at_another_scale(tmp_path):
    wave = np.clip(2 * np.sin(2 * np.pi * 441.7 * np.arange(16000) / 16000), -1, 1)
    for name, scaled, subtype in (("a", wave, "PCM_U8"), ("b", 32767 * wave, "FLOAT")):
        assert reason(tmp_path, put(tmp_path / f"{name}.wav", scaled, subtype=subtype)).startswith("clipped: 67%")


def opposite(rest=0.0, seconds=1.0):
    wave = sound(seconds)
    return np.concatenate([wave, -wave + rest * sound(seconds, seed=1)], axis=1)


@pytest.mark.parametrize(
    "rest, told", [(0.0, "their mix, which is used, is silent"), (0.002, "dB softer than they are")]
)
def test_channels_in_opposite_phase_are_rejected_because_their_mix_is_used(tmp_path, rest, told):
    path = put(tmp_path / "x.wav", opposite(rest), subtype="FLOAT")
    assert reason(tmp_path, path).startswith("opposite phase: its channels cancel each other")
    assert told in reason(tmp_path, path)


def test_channels_that_nearly_cancel_are_mentioned_and_plain_stereo_is_not(tmp_path):
    assert note(tmp_path, put(tmp_path / "x.wav", opposite(0.2)))[0] == "channels nearly cancel in their mix"
    stereo = np.concatenate([sound(), sound(seed=1)], axis=1)
    one_sided = np.concatenate([sound(), 0 * sound()], axis=1)
    assert take(tmp_path, *(put(tmp_path / f"{n}.wav", w) for n, w in enumerate((stereo, one_sided)))).mended.empty


def test_a_stretch_in_opposite_phase_of_a_long_file_is_left_out(tmp_path):
    wave = np.concatenate([np.repeat(sound(1.0), 2, axis=1), opposite(), np.repeat(sound(1.0), 2, axis=1)])
    said, clips = note(tmp_path, put(tmp_path / "x.wav", wave), max_seconds=2.0, clip_seconds=1.0)
    assert len(clips) == 2 and "left out 1 clips (opposite phase" in said


def cut(folder, path, *spans, **values):
    """Admit and foresee events of one file."""
    rows = [
        {"path": str(path), "label": "cat", "source_id": "s", "fold": 0, "begin": begin, "end": end}
        for begin, end in spans
    ]
    data = settings_of(Data, dataset="own", path=str(folder / "own"), **{"max_rejected": 1.0} | values)
    files = tables.table(rows, tables.FILES)
    told, found = intake.foresee(files, folder / "raw", data), admit(files, folder / "raw", data)
    columns = [column for column in tables.CLIPS if column != "path"]
    pd.testing.assert_frame_equal(told.clips[columns], found.clips[columns])
    pd.testing.assert_frame_equal(told.rejected, found.rejected)
    return found


@pytest.mark.parametrize("ending, format", [("wav", "WAV"), ("flac", "FLAC"), ("ogg", "OGG"), ("mp3", "MP3")])
def test_events_are_cut_out_of_a_file_and_keep_its_recording(tmp_path, ending, format):
    wave = 0.01 * sound(4.0)
    wave[16000:24000], wave[40000:48000] = sound(0.5), sound(0.5, seed=2)
    path = put(tmp_path / f"own/rec.{ending}", wave, format=format)
    found = cut(tmp_path, path, (0.0, 0.9), (1.0, 1.5), (2.5, 3.0))
    name = clip_id(f"rec.{ending}")
    assert found.clips.clip_id.tolist() == [f"{name}_0_900", f"{name}_1000_1500", f"{name}_2500_3000"]
    assert found.clips.seconds.tolist() == pytest.approx([0.9, 0.5, 0.5])
    assert set(found.clips.source_id) == {"s"} and set(found.clips.fold) == {0} and found.mended.empty
    loud = [np.abs(soundfile.read(file)[0]).max() for file in found.clips.path]
    assert loud[0] < 0.1 < min(loud[1:])


def test_an_event_beyond_the_end_is_cut_or_rejected_with_a_guess_at_its_unit(tmp_path):
    path = put(tmp_path / "own/rec.wav", sound(2.0))
    found = cut(tmp_path, path, (1.0, 2.5), (1.0, 2.02), (3.0, 4.0), (500.0, 1500.0), (8000.0, 24000.0))
    assert found.clips.seconds.tolist() == [1.0, 1.0]
    assert found.mended.note.tolist() == ["the event from 1 to 2.5 s ends with the file at 2 s"]
    assert found.rejected.kind.tolist() == ["event beyond the end"] * 3
    plain, thousandths, samples = found.rejected.reason
    assert plain.endswith("3 to 4 s, and the file has 2 s")
    assert "divide them by 1000" in thousandths and "divide them by the sample rate" in samples


def test_events_of_a_file_longer_than_an_hour_are_taken_and_long_events_are_cut(tmp_path):
    quiet = np.zeros(3601 * 8000, np.int16)
    quiet[3590 * 8000 : 3595 * 8000] = (8000 * sound(5.0, 8000)[:, 0]).astype(np.int16)
    path = put(tmp_path / "own/night.flac", quiet, 8000)
    found = cut(tmp_path, path, (3590.0, 3591.0), (3592.0, 3595.0), max_seconds=2.0, clip_seconds=1.0)
    assert len(found.clips) == 4 and found.clips.clip_id[3].endswith("_3592000_3595000_0002")


def test_a_class_of_which_nothing_is_left_is_named_with_the_reasons(tmp_path):
    paths = [put(tmp_path / f"own/dog/{n}.wav", 0 * sound()) for n in range(3)] + [tmp_path / "own/dog/gone.wav"]
    files = tables.table(
        [{"path": str(path), "label": "dog", "source_id": "s", "fold": -1} for path in paths], tables.FILES
    )
    admitted = take(tmp_path, *paths)
    rejected = admitted.rejected.assign(label="dog")
    with pytest.raises(
        IntakeError, match=r"No clip is left of 1 class.*\n  dog: 4 files \(3 silent, 1 missing\); e.g. .*dog/0.wav"
    ):
        intake.check_classes(files, admitted.clips, rejected)


def test_a_constant_offset_is_subtracted_and_said(tmp_path):
    wave = sound(channels=2) + np.array([0.25, 0.0])
    said, clips = note(tmp_path, put(tmp_path / "own/cat/x.wav", wave))
    assert said == "constant offset subtracted"
    assert clips.path[0] == (tmp_path / f"raw/cat/{clips.clip_id[0]}.flac").as_posix()
    mended, rate = soundfile.read(clips.path[0])
    assert rate == 16000 and mended.shape == wave.shape
    np.testing.assert_allclose(mended.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(mended[:, 0], wave[:, 0] - wave[:, 0].mean(), atol=1e-3)


def test_floats_of_another_scale_are_turned_down_and_said(tmp_path):
    path = put(tmp_path / "x.wav", 32767 * sound(), subtype="FLOAT")
    said, clips = note(tmp_path, path)
    assert said == "turned down to full scale"
    mended = soundfile.read(clips.path[0], always_2d=True)[0]
    assert np.corrcoef(mended[:, 0], sound()[:, 0])[0, 1] > 0.9999
    assert np.abs(mended).max() == pytest.approx(0.99, abs=1e-3)


def test_a_little_over_full_scale_is_left_alone(tmp_path):
    path = put(tmp_path / "x.wav", 4 * sound(), subtype="FLOAT")
    assert 1.2 < np.abs(soundfile.read(path)[0]).max() < 2
    admission = take(tmp_path, path)
    assert admission.clips.path[2] == str(path)


@pytest.mark.parametrize(
    "ending, format",
    [
        ("wav", "WAV"),
        ("wav", "WAVEX"),
        ("aiff", "AIFF"),
        ("au", "AU"),
        ("w64", "W64"),
        ("flac", "FLAC"),
        ("mp3", "MP3"),
    ],
)
def test_what_decodes_of_a_file_that_breaks_off_is_kept(tmp_path, ending, format):
    wave = sound(4.0)
    path = broken(tmp_path / f"x.{ending}", 0.6, wave=wave, format=format)
    said, clips = note(tmp_path, path)
    assert said.startswith("breaks off")
    assert clips.path[0] != str(path)
    kept, _ = soundfile.read(clips.path[0])
    assert len(kept) / 16000 == pytest.approx(clips.seconds[0])
    assert 1.2 < clips.seconds[0] < 2.6
    assert np.corrcoef(kept[2000:10000], wave[2000:10000, 0])[0, 1] > 0.95


def test_a_header_of_unknown_length_is_no_fault(tmp_path):
    path = put(tmp_path / "x.wav")
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"  # as programs write that stream
    path.write_bytes(content)
    admission = take(tmp_path, path)
    assert admission.mended.empty and admission.clips.seconds[2] == 1.0


def test_a_flac_without_a_length_is_rejected(tmp_path):
    path = put(tmp_path / "x.flac")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # 36 bits: the number of samples in STREAMINFO
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert reason(tmp_path, path).startswith("no length")


def test_a_rate_that_flac_does_not_have_is_rejected_only_where_it_must_be_written(tmp_path):
    rate = 65537
    assert len(take(tmp_path, put(tmp_path / "x.wav", sound(1, rate), rate)).clips) == 3
    assert reason(tmp_path, put(tmp_path / "y.wav", sound(1, rate) + 0.2, rate)).startswith("sample rate: 65537 cannot")


def test_a_long_file_is_cut_into_clips_of_one_source(tmp_path):
    wave = sound(3.3, channels=2)
    wave[16000:32000] = 0
    path = put(tmp_path / "own/cat/Long walk.flac", wave)
    said, clips = note(tmp_path, path, max_seconds=1.5, clip_seconds=0.5)
    assert said.startswith("cut into 5 clips") and "left out 2 clips (silent" in said
    assert clips.seconds.tolist() == [0.5] * 4 + [0.3]
    assert clips.source_id.unique().tolist() == ["s2"]
    whole = clip_id("cat/Long walk.flac")
    assert clips.clip_id.tolist() == [f"{whole}_{number:04d}" for number in (0, 1, 4, 5, 6)]
    for clip, start in zip(clips.itertuples(), (0, 8000, 32000, 40000, 48000)):
        cut = soundfile.read(clip.path)[0]
        np.testing.assert_allclose(cut, wave[start : start + len(cut)], atol=1e-4)


def test_a_short_rest_of_a_long_file_is_dropped(tmp_path):
    _, clips = note(tmp_path, put(tmp_path / "x.wav", sound(2.2)), max_seconds=1.0, clip_seconds=0.5)
    assert clips.seconds.tolist() == [0.5] * 4


def test_bad_stretches_of_a_long_file_are_left_out_and_said(tmp_path):
    wave = sound(3.0)
    wave[100] = np.nan
    wave[16000:32000] += 0.3
    said, clips = note(tmp_path, put(tmp_path / "x.wav", wave, subtype="FLOAT"), max_seconds=1.0, clip_seconds=1.0)
    assert len(clips) == 2
    assert "left out 1 clips (not finite" in said and "constant offset subtracted (clips: 1)" in said


def test_a_long_file_without_any_sound_is_rejected(tmp_path):
    path = put(tmp_path / "x.wav", 0 * sound(2.0))
    assert reason(tmp_path, path, max_seconds=1.0).startswith("silent")


def test_a_long_file_is_read_in_blocks(tmp_path, monkeypatch):
    path = put(tmp_path / "x.wav", sound(10.0))
    sizes = []
    read = soundfile.SoundFile.read

    def watched(self, frames, **form):
        sizes.append(frames)
        return read(self, frames, **form)

    monkeypatch.setattr(soundfile.SoundFile, "read", watched)
    take(tmp_path, path, max_seconds=2.0, clip_seconds=1.0)
    assert max(sizes) == 16000


def test_equal_samples_have_equal_content_whatever_the_format(tmp_path):
    wave = np.round(sound(channels=2) * 32767) / 32768
    other = wave.copy()
    other[7, 1] += 1 / 32768
    paths = [put(tmp_path / f"{n}.{ending}", wave) for n, ending in enumerate(("wav", "flac", "aiff", "caf"))]
    paths += [put(tmp_path / "other.wav", other), put(tmp_path / "rate.wav", wave, 16001)]
    *same, different, faster = list(take(tmp_path, *paths).content.values())[2:]
    assert len(set(same)) == 1
    assert len({same[0], different, faster}) == 3


def test_a_fingerprint_is_taken_of_every_clip_as_it_is_kept(tmp_path):
    def fingerprint(wave, rate):
        assert wave.dtype == np.float32
        return np.array([*wave.shape, rate])

    paths = [put(tmp_path / "a.wav", sound(0.5, 8000, 2), 8000), put(tmp_path / "b.wav", sound(2.0))]
    admission = take(tmp_path, *paths, fingerprint=fingerprint, max_seconds=1.0, clip_seconds=1.0)
    assert list(admission.fingerprints) == admission.clips.clip_id.tolist()
    assert [print.tolist() for print in admission.fingerprints.values()][2:] == [
        [2, 4000, 8000],
        [1, 16000, 16000],
        [1, 16000, 16000],
    ]
    assert take(tmp_path, *paths).fingerprints == {}


def test_clip_ids_are_safe_and_do_not_depend_on_where_the_collection_lies(tmp_path):
    names = ["a b.wav", "q'\"s.wav", "new\nline.wav", "$(touch gone).wav", "-rf.wav", "犬.wav", "x" * 200 + ".wav"]
    first = take(tmp_path / "one", *(put(tmp_path / "one/own/cat" / name) for name in names)).clips
    second = take(tmp_path / "two", *(put(tmp_path / "two/own/cat" / name) for name in names)).clips
    assert first.clip_id.tolist() == second.clip_id.tolist()
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name) for name in first.clip_id)
    assert first.clip_id.is_unique
    assert not list(Path().glob("gone*"))


def test_clip_ids_tell_equal_stems_apart_and_not_the_forms_of_unicode():
    assert clip_id("cat/1.wav") != clip_id("dog/1.wav") != clip_id("dog/1.flac")
    assert clip_id(unicodedata.normalize("NFC", "Hähne.wav")) == clip_id(unicodedata.normalize("NFD", "Hähne.wav"))
    assert clip_id("cat/1.wav", 12).endswith("_0012")


def test_two_files_that_differ_only_in_the_form_of_unicode_do_not_get_one_name(tmp_path):
    paths = [put(tmp_path / "own/cat" / unicodedata.normalize(form, "Hähne.wav")) for form in ("NFC", "NFD")]
    admission = take(tmp_path, *paths)
    assert len(admission.clips) == 3
    assert admission.rejected.reason[0].startswith("name taken")
    assert len(take(tmp_path, paths[0], paths[0]).clips) == 3


def test_names_that_no_table_can_hold_are_copied(tmp_path):
    (tmp_path / "own/cat").mkdir(parents=True)
    for name in (b"Ger\xe4usch.wav", b"Icon\r.wav"):
        path = os.fsdecode(os.fsencode(tmp_path / "own/cat") + b"/" + name)
        with open(path, "wb") as file:
            soundfile.write(file, sound(), 16000, format="WAV")
        admission = take(tmp_path, path)
        assert admission.mended.note[0] == "copied: tables cannot hold its name"
        tables.write(admission.clips, tmp_path / "clips.csv")
        tables.write(admission.mended, tmp_path / "mended.csv")
        again = tables.read(tmp_path / "clips.csv", tables.CLIPS)
        assert again.path.tolist() == admission.clips.path.tolist()
        np.testing.assert_allclose(audio.read(again.path[2], 16000, 1)[0], sound()[:, 0], atol=1e-4)


@pytest.mark.parametrize(
    "labels, told", [("folder", "no folder"), ("pattern", "data.pattern"), ("table", "data.table")]
)
def test_a_file_without_a_label_is_rejected_with_the_reason(tmp_path, labels, told):
    row = {"path": str(put(tmp_path / "x.wav")), "label": "", "source_id": "s", "fold": tables.NO_FOLD}
    good = row | {"path": str(put(tmp_path / "y.wav")), "label": "cat"}
    data = settings_of(Data, dataset="own", path=str(tmp_path), labels=labels)
    admission = admit(tables.table([row, good], tables.FILES), tmp_path / "raw", data)
    assert admission.rejected.reason[0].startswith("no label") and told in admission.rejected.reason[0]


def test_too_large_a_share_of_rejected_files_stops_with_counts_and_examples(tmp_path):
    bad = [tmp_path / f"gone_{n}.wav" for n in range(7)] + [put(tmp_path / "x.wav", 0 * sound())]
    assert len(take(tmp_path, *bad, max_rejected=0.8).rejected) == 8
    with pytest.raises(IntakeError) as caught:
        take(tmp_path, *bad, max_rejected=0.79)
    text = str(caught.value)
    assert "8 of 10 files" in text and "7 missing" in text and "1 silent" in text and "gone_4.wav" in text
    assert "gone_5.wav" not in text


def test_no_clip_at_all_is_an_error_whatever_share_is_allowed(tmp_path):
    rows = [{"path": str(tmp_path / "gone.wav"), "label": "cat", "source_id": "s", "fold": tables.NO_FOLD}]
    data = settings_of(Data, dataset="own", path=str(tmp_path), max_rejected=1.0)
    for few in (rows, []):
        with pytest.raises(IntakeError):
            admit(tables.table(few, tables.FILES), tmp_path / "raw", data)


def test_two_runs_write_the_same(tmp_path):
    path = put(tmp_path / "own/cat/x.wav", sound(3.0) + 0.1)
    results = []
    for _ in range(2):
        admission = take(tmp_path, path, max_seconds=1.0, clip_seconds=0.7)
        results.append([admission.content, [tables.sha256(path) for path in admission.clips.path]])
    assert results[0] == results[1]


def test_a_file_of_more_samples_than_can_be_held_is_rejected_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "MOST_SAMPLES", 60_000)
    path = put(tmp_path / "own/bomb.flac", sound(1.0, channels=8), subtype="PCM_16")
    assert reason(tmp_path, path).startswith("too many samples: 128000 in one clip")
    assert note(tmp_path, path, max_seconds=0.5, clip_seconds=0.4)[0] == "cut into 3 clips"
