"""The listening room: who stands beside whom, what is said of a sound, and what is written."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from settings import settings_of, small_mel_codec

from counterpoise import codecs
from counterpoise.codecs import encode
from counterpoise.codecs.latents import Packed, Shelf
from counterpoise.core import audio, tables
from counterpoise.core.audio import Audio
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.spectrogram import MelSpectrogram
from counterpoise.filtering.class_filter import ClassFilter
from counterpoise.report import listening

FORM = settings_of(Audio, sample_rate=8000, channels=1, seconds=0.5)


def made_of(rows: list[tuple[str, str, str, float]], folder) -> pd.DataFrame:
    """Noise for what was made: (clip id, root, start, strength)."""
    table = []
    for i, (clip_id, root, start, strength) in enumerate(rows):
        path = folder / f"{clip_id}.flac"
        audio.write_flac(path, 0.1 * np.random.default_rng(i).normal(size=(1, 3000)).astype(np.float32), 8000)
        other = "c0" if start == "background" else ""
        table.append((clip_id, str(path), "howl", start, root, other, f"r{root[1]}", 1, 2**60 + i, strength, "m"))
    return pd.DataFrame(table, columns=list(tables.LINEAGE)).astype(tables.LINEAGE)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Four tones of 0.3 s and more; the third has a name that would be HTML."""
    folder, rows = tmp_path_factory.mktemp("clips"), []
    for i in range(4):
        time = np.arange(round((0.3 + 0.02 * i) * 16000)) / 16000
        path = folder / (f"c{i}.wav" if i != 2 else "<img src=x onerror=hurt()>\n.wav")
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * (400 + 500 * i) * time), 16000)
        rows.append((f"c{i}", str(path), "howl", f"r{i // 2}", 1, len(time) / 16000, 16000, 1))
    return pd.DataFrame(rows, columns=list(tables.CLIPS)).astype(tables.CLIPS)


@pytest.fixture(scope="module")
def shelf(clips, tmp_path_factory):
    path = tmp_path_factory.mktemp("latents") / "howl.safetensors"
    encode.encode(codecs.build(small_mel_codec(), torch.device("cpu")), clips, path, 4)
    return Shelf([Packed(path)])


def embed(wave, sample_rate):
    """`[1, channels, n]` to `[1, 10]`, in place of a network."""
    return torch.fft.rfft(wave[:, 0, :1600]).abs()[:, :800].unflatten(1, (10, 80)).mean(dim=2)


@pytest.fixture(scope="module")
def ear(clips):
    """A filter that knows the tones as howls and noise as barks."""
    waves = [audio.read(path, 8000, 1) for path in clips.path]
    waves += [np.random.default_rng(i).normal(size=(1, 3000)).astype(np.float32) * 0.1 for i in range(50, 54)]
    embeddings = torch.cat([embed(torch.from_numpy(wave)[None], 8000) for wave in waves]).numpy()
    barks = pd.DataFrame({"clip_id": [f"b{i}" for i in range(4)], "source_id": "rb", "label": "bark"})
    known = pd.concat([clips[["clip_id", "label", "source_id"]], barks], ignore_index=True)
    return listening.Ear(ClassFilter.fit(embeddings, known, ["bark", "howl"], "test"), embed)


def room(shelf, ear, at_most=4):
    spectrogram = MelSpectrogram(settings_of(Features, n_mels=16, n_fft=256, hop=128), FORM.sample_rate)
    codec = codecs.build(small_mel_codec(), torch.device("cpu"))
    return listening.Room(FORM, spectrogram, codec, shelf, 2, ear, at_most, seed=0)


def told(folder, label="howl") -> list[dict]:
    """What the script hands to the page."""
    script = (folder / f"listen/{label}.js").read_text(encoding="utf-8")
    start, end = f'listeningRoom.add("{label}", ', ");\n"
    assert script.startswith(start)
    assert script.endswith(end)
    return json.loads(script[len(start) : -len(end)])


def test_clips_of_which_something_was_made_come_first_and_recordings_take_turns(clips, tmp_path):
    assert set(listening.shown(clips, made_of([], tmp_path), 2, seed=0).source_id) == {"r0", "r1"}
    made = made_of([("v0", "c3", "own", 1.0), ("a0", "c0", "classic", 0.0)], tmp_path)
    assert listening.shown(clips, made, 1, seed=0).clip_id.tolist() == ["c3"]
    assert len(listening.shown(clips, made, 9, seed=0)) == 4


def test_beside_a_clip_stand_its_kinds_in_order_and_variations_by_strength(clips, tmp_path):
    rows = [("v0", "c1", "blend", 4.0), ("v1", "c1", "own", 0.5), ("v2", "c0", "own", 1.0), ("x", "c3", "own", 1.0)]
    rows += [(f"a{i}", "c1", "classic", 0.0) for i in range(3)] + [(f"t{i}", "c1", "roundtrip", 0.0) for i in range(2)]
    found = listening.in_order(clips[clips.clip_id.isin(["c0", "c1"])], made_of(rows, tmp_path))
    assert found.clip_id.tolist() == ["c0", "v2", "c1", "t0", "a0", "a1", "v1", "v0"]
    assert found.kind.tolist() == ["real", "diffusion", "real", "roundtrip", "classic", "classic"] + 2 * ["diffusion"]


@pytest.mark.parametrize(
    ("kind", "reason", "rejected", "said"),
    [
        ("diffusion", "", False, "kept"),
        ("diffusion", "near copy", False, "doubtful"),
        ("diffusion", "near copy", True, "rejected"),
        ("diffusion", "", True, "rejected"),
        ("classic", "other class", False, ""),
        ("real", "near copy", False, ""),
    ],
)
def test_verdicts(kind, reason, rejected, said):
    assert listening.verdict(kind, reason, rejected) == said


def test_the_room_writes_sounds_pictures_and_what_is_known_of_them(clips, shelf, ear, tmp_path):
    made = made_of([("v0", "c1", "own", 0.5), ("v1", "c1", "own", 2.0), ("b0", "c1", "background", 5.0)], tmp_path)
    counts = room(shelf, ear).write("howl", clips, made, {"v1"}, tmp_path / "page")
    assert counts == {"real": 4, "roundtrip": 4, "background": 1, "diffusion": 2}
    families = told(tmp_path / "page")
    assert [sound["clip"] for sound in families[0]["sounds"]] == ["c1", "c1", "b0", "v0", "v1"]
    real, trip, background, kept, rejected = families[0]["sounds"]
    assert (real["heard"], trip["heard"], kept["heard"]) == ("howl", "howl", "bark")
    assert trip["cosine"] > 0.9 > kept["cosine"]
    assert (kept["verdict"], rejected["verdict"], trip["verdict"]) == ("doubtful", "rejected", "")
    assert kept["reason"] == rejected["reason"] == "other class"
    assert (kept["strength"], rejected["strength"], background["strength"]) == (0.5, 2.0, 5.0)
    assert background["other"] == "c0"
    assert kept["seed"] == str(2**60)  # JavaScript's numbers have 53 bits
    assert "cosine" not in real
    assert "strength" not in trip
    for family in families:
        for sound in family["sounds"]:
            wave, rate = soundfile.read(tmp_path / "page" / f"{sound['place']}.flac")
            assert rate == 8000
            assert sound["seconds"] == round(len(wave) / rate, 2)
            assert (tmp_path / "page" / f"{sound['place']}.png").read_bytes().startswith(b"\x89PNG")
    assert len({sound["place"] for family in families for sound in family["sounds"]}) == 11


def test_a_name_of_a_file_is_text_on_one_line(clips, shelf, ear, tmp_path):
    room(shelf, ear).write("howl", clips, made_of([], tmp_path), set(), tmp_path / "page")
    assert any(r"onerror=hurt()>\x0a.wav" in family["root"] for family in told(tmp_path / "page"))
    assert (tmp_path / "page/listen/howl.js").read_text().count("\n") == 1


def test_without_a_class_filter_nothing_is_said_of_a_sound(clips, shelf, tmp_path):
    room(shelf, None, at_most=1).write("howl", clips, made_of([], tmp_path), set(), tmp_path / "page")
    (family,) = told(tmp_path / "page")
    assert [sound["kind"] for sound in family["sounds"]] == ["real", "roundtrip"]
    assert not {"heard", "probability", "cosine", "nearest", "reason"} & set(family["sounds"][1])


def test_the_same_sounds_give_the_same_bytes(clips, shelf, ear, tmp_path):
    made = made_of([("v0", "c1", "own", 0.5)], tmp_path)
    for name in ("one", "two"):
        room(shelf, ear).write("howl", clips, made, set(), tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 2 * 9 + 1
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)
