"""Sounds that libsndfile does not read: decoded where there is ffmpeg, refused with a command where there is none."""

import os
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile
from settings import settings_of
from test_datasets_intake import note, put, reason, sound, take

from counterpoise.core import audio, tables
from counterpoise.datasets import foreign, intake
from counterpoise.datasets.settings import Data

M4A = b"\0\0\0\x20ftypM4A " + bytes(200)


def of(folder, path, **values):
    """What headers and what decoding say of a file beside a good one."""
    good = put(folder / "own/cat/good.wav", sound(0.5))
    rows = [{"path": str(one), "label": "cat", "source_id": str(one), "fold": -1} for one in (good, path)]
    data = settings_of(Data, dataset="own", path=str(folder / "own"), **{"max_rejected": 0.9} | values)
    files = tables.table(rows, tables.FILES)
    return intake.foresee(files, folder / "raw", data), intake.admit(files, folder / "raw", data)


def test_without_ffmpeg_a_file_is_refused_with_the_command_that_converts_it(tmp_path, no_programs):
    path = tmp_path / "own/cat/a b.m4a"
    path.parent.mkdir(parents=True)
    path.write_bytes(M4A)
    for found in of(tmp_path, path):
        assert found.rejected.kind.tolist() == ["needs ffmpeg"]
        assert (
            f"it holds MPEG-4; install ffmpeg and run again, or convert it: ffmpeg -i '{path}' '"
            in found.rejected.reason[0]
        )
        assert found.rejected.reason[0].endswith("a b.flac'")


def test_with_ffmpeg_it_is_decoded_below_raw_and_that_is_said(tmp_path, acted_ffmpeg):
    for name in ("x.m4a", "called.wav"):  # by content, not by name
        path = tmp_path / "own/cat" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(M4A)
        told, found = of(tmp_path, path)
        clip = found.clips.iloc[1]
        assert clip.path == f"{tmp_path}/raw/cat/{clip.clip_id}.flac" and os.path.exists(clip.path)
        assert (clip.seconds, clip.sample_rate, clip.channels) == (1.0, 16000, 1)
        assert found.mended.note.tolist() == told.mended.note.tolist() == ["decoded by ffmpeg (MPEG-4)"]
        assert told.clips.seconds.tolist() == found.clips.seconds.tolist()
    assert not list((tmp_path / "raw").glob(".decoded*"))


def test_what_ffmpeg_cannot_decode_is_no_sound(tmp_path, acted_ffmpeg):
    path = tmp_path / "own/cat/x.wma"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing at all")
    for found in of(tmp_path, path):
        assert found.rejected.reason.tolist() == [
            "not audio: Format not recognised; ffmpeg cannot decode it: [mov] Invalid data"
        ]


@pytest.mark.skipif(not shutil.which("ffmpeg") or not shutil.which("ffprobe"), reason="there is no ffmpeg")
@pytest.mark.parametrize(
    "name, options", [("x.m4a", ["-c:a", "aac"]), ("x.webm", ["-c:a", "libopus"]), ("x.wma", []), ("x.wv", [])]
)
def test_a_real_ffmpeg_decodes_what_phones_and_browsers_write(tmp_path, name, options):
    wav, path = put(tmp_path / "x.wav", sound(1.5)), tmp_path / "own/cat" / name
    path.parent.mkdir(parents=True)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(wav), *options, str(path)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this ffmpeg cannot write it")
    told, found = of(tmp_path, path)
    assert found.rejected.empty and found.clips.seconds[1] == pytest.approx(1.5, abs=0.1)
    assert told.clips.seconds[1] == pytest.approx(1.5, abs=0.1)
    kept = audio.read(found.clips.path[1], 16000, 1)[0, :16000]
    assert np.corrcoef(np.abs(np.fft.rfft(kept)), np.abs(np.fft.rfft(sound(1.5)[:16000, 0])))[0, 1] > 0.5


def wav(riff, size, samples=16000, before=b"", behind=b""):
    pcm = (8000 * sound(samples / 16000)[:, 0]).astype("<i2").tobytes()
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    return b"RIFF" + struct.pack("<I", riff) + head + before + b"data" + struct.pack("<I", size) + pcm + behind


def test_a_wav_that_was_never_finished_is_taken_with_all_that_is_in_it(tmp_path):
    junk = b"JUNK" + struct.pack("<I", 5) + bytes(6)
    for name, content in (("a", wav(0, 0)), ("b", wav(0, 0, before=junk)), ("c", wav(0, 0, behind=b"x"))):
        (tmp_path / f"{name}.wav").write_bytes(content)
        said, clips = note(tmp_path, tmp_path / f"{name}.wav")
        assert said == "its header told of no data; what follows it was taken" and clips.seconds[0] == 1.0
        np.testing.assert_allclose(soundfile.read(clips.path[0])[0], 0.244 * sound()[:, 0], atol=1e-3)


def test_a_wav_that_really_is_empty_is_rejected(tmp_path):
    tail = b"LIST" + struct.pack("<I", 4) + b"INFO"
    (tmp_path / "x.wav").write_bytes(wav(48, 0, 0, behind=tail))
    assert reason(tmp_path, tmp_path / "x.wav") == "not audio: nothing of it decodes"


def test_a_streamed_wav_is_taken_where_it_lies(tmp_path):
    (tmp_path / "x.wav").write_bytes(wav(0xFFFFFFFF, 0xFFFFFFFF))
    assert take(tmp_path, tmp_path / "x.wav").clips.path[2] == f"{tmp_path}/x.wav"


def test_blocks_of_codecs_are_no_breaking_off(tmp_path):
    for subtype in ("IMA_ADPCM", "MS_ADPCM", "GSM610"):
        path = put(tmp_path / f"{subtype}.wav", sound(0.5, 8000), 8000, subtype=subtype)
        content = bytearray(path.read_bytes())
        content[28:32] = struct.pack("<I", 16000)  # bytes a second, which converters write as they like
        path.write_bytes(content)
        assert take(tmp_path, path).mended.empty, subtype


def test_the_command_that_converts_a_flac_does_not_overwrite_it():
    assert foreign.advice("x.flac", "FLAC").endswith("ffmpeg -i x.flac x.new.flac")
