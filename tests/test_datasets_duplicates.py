"""Duplicates: what a fingerprint survives, what it tells apart, and what becomes of clips that are the same sound."""

import hashlib
import io

import numpy as np
import pandas as pd
import pytest
import soundfile

from counterpoise.core import audio, tables
from counterpoise.datasets import duplicates

RATE = 22050  # Hz


def sound(seed: int, seconds: float = 3.0, channels: int = 1) -> np.ndarray:
    """A rumble and some chirps, others for every seed: float32 `[channels, n]`."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    wave = 0.02 * np.cumsum(rng.normal(size=len(t))) / np.sqrt(len(t)) + 0.01 * rng.normal(size=len(t))
    for _ in range(8):
        pitch, glide, start = rng.uniform(300, 3000), rng.uniform(-400, 400), rng.uniform(0, seconds)
        envelope = np.exp(-(((t - start) / rng.uniform(0.05, 0.3)) ** 2))
        wave += 0.1 * envelope * np.sin(2 * np.pi * (pitch * t + glide * t**2 / 2))
    return np.repeat(wave[None], channels, axis=0).astype(np.float32)


def encoded(wave: np.ndarray, form: str, subtype: str) -> tuple[np.ndarray, int]:
    file = io.BytesIO()
    soundfile.write(file, wave.T, RATE, format=form, subtype=subtype)
    file.seek(0)
    wave, rate = soundfile.read(file, dtype="float32", always_2d=True)
    return wave.T, rate


def search(sounds: dict[str, tuple[np.ndarray, int]], **columns: list) -> tuple[pd.DataFrame, duplicates.Duplicates]:
    """A catalogue of sounds by clip id, each its own recording where nothing else is said, and its duplicates."""
    rows = [
        {
            "clip_id": clip_id,
            "path": f"{clip_id}.wav",
            "label": "bark",
            "source_id": f"s_{clip_id}",
            "fold": tables.NO_FOLD,
        }
        | {"seconds": wave.shape[1] / rate, "sample_rate": rate, "channels": wave.shape[0]}
        for clip_id, (wave, rate) in sounds.items()
    ]
    clips = tables.table(rows, tables.CLIPS).assign(**columns)
    content = {clip_id: hashlib.sha256(wave.tobytes()).hexdigest() for clip_id, (wave, _) in sounds.items()}
    prints = {clip_id: duplicates.fingerprint(*sound) for clip_id, sound in sounds.items()}
    return clips, duplicates.find(clips, content, prints)


def similarity(wave: np.ndarray, rate: int) -> float:
    """Of a changed sound(1) with the original, among ten others."""
    others = {f"other_{seed}": (sound(seed), RATE) for seed in range(2, 12)}
    _, found = search({"a": (sound(1), RATE), "copy": (wave, rate)} | others)
    assert found.pairs.clip_id.tolist() == ["a"] and found.pairs.twin.tolist() == ["copy"]
    return found.pairs.similarity.item()


@pytest.mark.parametrize(("form", "subtype"), [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "PCM_U8")])
def test_a_sound_is_known_again_after_another_encoding(form, subtype):
    assert similarity(*encoded(sound(1), form, subtype)) > 0.6


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_a_sound_is_known_again_at_another_sample_rate(rate):
    assert similarity(audio.resample(sound(1), RATE, rate), rate) > 0.6


def test_a_sound_is_known_again_louder_softer_clipped_in_stereo_and_with_an_offset():
    wave = sound(1)
    assert similarity(wave / 4, RATE) > 0.99
    assert similarity(np.clip(wave * 4, -0.5, 0.5), RATE) > 0.6
    assert similarity(np.concatenate([wave, wave / 2]) + np.float32(0.1), RATE) > 0.95


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.0])
def test_a_sound_is_known_again_when_it_is_cut_otherwise(seconds):
    later = sound(1)[:, round(seconds * RATE) :]
    tail = sound(99, seconds)
    assert similarity(np.concatenate([later, tail], axis=1), RATE) > 0.6


def test_the_seconds_in_common_are_told():
    _, found = search({"a": (sound(1), RATE), "b": (sound(1)[:, RATE:], RATE)})
    assert found.pairs.seconds.item() == pytest.approx(2.0, abs=0.05)


def test_other_sounds_of_the_same_kind_are_no_duplicates():
    rng = np.random.default_rng(0)
    noises = {f"noise_{i}": (rng.normal(0, 0.1, (1, 2 * RATE)).astype(np.float32), RATE) for i in range(10)}
    t = np.arange(2 * RATE) / RATE
    hum = sum(np.sin(2 * np.pi * 100 * n * t) / n for n in range(1, 30)) / 10
    hums = {f"hum_{i}": ((hum + rng.normal(0, 0.01, t.shape))[None].astype(np.float32), RATE) for i in range(10)}
    barks = {f"bark_{i}": (sound(i), RATE) for i in range(20)}
    _, found = search(noises | hums | barks)
    assert found.pairs.empty


def test_steady_tones_and_silence_say_nothing():
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)[None].astype(np.float32)
    assert not duplicates.fingerprint(np.zeros((2, RATE), np.float32), RATE).any()
    assert (duplicates.fingerprint(tone, RATE) == 0).mean() > 0.9
    _, found = search({"a": (tone, RATE), "b": (tone / 2, RATE), "c": (tone * 0, RATE), "d": (tone[:, :-9] * 0, RATE)})
    assert found.pairs.empty


def test_clips_too_short_for_a_fingerprint_are_compared_by_content_alone():
    short, other = sound(1, 0.1), sound(2, 0.1)
    assert duplicates.fingerprint(short, RATE).shape == (0,)
    _, found = search({"a": (short, RATE), "b": (short.copy(), RATE), "c": (short / 2, RATE), "d": (other, RATE)})
    assert found.groups("exact") == [["a", "b"]]
    assert found.groups("near") == []


def test_exact_duplicates_stand_for_one_another_in_the_search_for_near_ones():
    wave = sound(1)
    _, found = search({"a": (wave, RATE), "b": (wave, RATE), "c": (wave / 2, RATE), "d": (sound(2), RATE)})
    assert found.pairs[["clip_id", "twin", "kind"]].to_numpy().tolist() == [["a", "b", "exact"], ["a", "c", "near"]]
    assert list(found.pairs.columns) == list(tables.DUPLICATES)


def test_many_copies_of_one_sound_hang_together():
    rng = np.random.default_rng(0)
    wave = sound(1)
    copies = {f"{i:02}": (wave + rng.normal(0, 1e-3, wave.shape).astype(np.float32), RATE) for i in range(40)}
    clips, found = search(copies)
    assert found.groups("near") == [sorted(copies)]
    assert set(duplicates.merge(clips, found)[0].source_id) == {"s_00"}


def test_the_order_of_the_clips_does_not_matter():
    sounds = {"a": (sound(1), RATE), "b": (sound(1) / 2, RATE), "c": (sound(2), RATE), "d": (sound(2), RATE)}
    _, found = search(sounds)
    _, backwards = search(dict(reversed(sounds.items())))
    pd.testing.assert_frame_equal(found.pairs, backwards.pairs)


def test_in_how_many_portions_the_search_is_done_does_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    sounds = {f"{i}_{gain}": (gain * sound(i, 2 + i / 4), RATE) for i in range(6) for gain in (1.0, 0.5, 0.25)}
    sounds |= {f"noise_{i}": (rng.normal(0, 0.1, (1, RATE)).astype(np.float32), RATE) for i in range(3)}
    at_once = search(sounds)[1].pairs
    assert len(at_once) >= 12
    for name, value in {"PART": 50, "BATCH": 70, "SLICES": 3}.items():
        monkeypatch.setattr(duplicates, name, value)
    pd.testing.assert_frame_equal(search(sounds)[1].pairs, at_once, check_exact=True)


def test_overlapping_cuts_of_one_recording_are_no_finding():
    sounds = {"a": (sound(1), RATE), "b": (sound(1)[:, RATE // 2 :], RATE)}
    assert search(sounds, source_id="one")[1].pairs.empty
    assert len(search(sounds, source_id="one", label=["bark", "howl"])[1].pairs) == 1


def test_no_clips_have_no_duplicates():
    clips, found = search({})
    assert found.pairs.empty
    assert [len(table) for table in duplicates.merge(clips, found)] == [0, 0]


def pair(a: str, b: str, kind: str = "near", seconds: float = 3.0) -> dict:
    return {"clip_id": a, "twin": b, "kind": kind, "similarity": 1.0, "seconds": seconds}


def catalogue(rows: list[tuple[str, str, str, int]]) -> pd.DataFrame:
    """Clips of 3 s from clip_id, label, source_id and fold."""
    table = pd.DataFrame(rows, columns=["clip_id", "label", "source_id", "fold"])
    return table.assign(path=table.clip_id + ".wav", seconds=3.0, sample_rate=RATE, channels=1)[list(tables.CLIPS)]


def merge(clips: pd.DataFrame, *pairs: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    return duplicates.merge(clips, duplicates.Duplicates(tables.table(list(pairs), tables.DUPLICATES)))


def test_recordings_are_united_along_chains_under_the_first_name():
    clips = catalogue([("a", "x", "s3", 1), ("b", "x", "s2", 1), ("c", "x", "s1", 1), ("d", "x", "s3", 1)])
    clips = pd.concat([clips, catalogue([("e", "x", "s0", 2)])])
    merged, rejected = merge(clips, pair("a", "b"), pair("b", "c", "exact"))
    assert merged.source_id.tolist() == ["s1", "s1", "s1", "s1", "s0"]
    assert clips.source_id.tolist() == ["s3", "s2", "s1", "s3", "s0"]
    assert rejected.empty and list(rejected.columns) == list(tables.REJECTED)


def test_one_sound_with_two_labels_is_left_out_with_all_its_copies():
    clips = catalogue([("a", "bark", "s1", 1), ("b", "bark", "s2", 1), ("c", "howl", "s3", 1), ("d", "bark", "s1", 1)])
    merged, rejected = merge(clips, pair("a", "b", "exact"), pair("b", "c"))
    assert merged.clip_id.tolist() == ["d"]
    assert rejected.to_numpy().tolist() == [
        ["a.wav", "bark", "two labels", "two labels: same sound as c labelled howl"],
        ["b.wav", "bark", "two labels", "two labels: same sound as c labelled howl"],
        ["c.wav", "howl", "two labels", "two labels: same sound as a labelled bark"],
    ]


def test_a_short_stretch_in_common_may_have_two_labels_but_is_one_recording():
    clips = catalogue([("a", "bark", "s1", 1), ("b", "howl", "s2", 1)])
    merged, rejected = merge(clips, pair("a", "b", seconds=1.5))
    assert merged.source_id.tolist() == ["s1", "s1"]
    assert rejected.empty


def test_a_recording_in_two_official_folds_keeps_the_fold_of_most_of_its_clips():
    clips = catalogue([("a", "x", "s1", 1), ("b", "x", "s2", 2), ("c", "x", "s2", 2), ("d", "x", "s3", 1)])
    merged, rejected = merge(clips, pair("a", "b"))
    assert merged.clip_id.tolist() == ["b", "c", "d"]
    assert merged.source_id.tolist() == ["s1", "s1", "s3"]
    assert merged.fold.tolist() == [2, 2, 1]
    assert rejected.reason.tolist() == ["two folds: same recording as b in fold 2"]


def test_of_equally_many_clips_the_lowest_fold_keeps_them_and_no_fold_is_in_conflict_with_none():
    clips = catalogue([("a", "x", "s1", 3), ("b", "x", "s2", 2), ("c", "x", "s3", tables.NO_FOLD)])
    merged, rejected = merge(clips, pair("a", "b"), pair("b", "c"))
    assert merged[["clip_id", "fold"]].to_numpy().tolist() == [["b", 2], ["c", tables.NO_FOLD]]
    assert rejected.path.tolist() == ["a.wav"]


def test_recordings_without_duplicates_are_left_alone_even_where_their_folds_differ():
    clips = catalogue([("a", "x", "s1", 1), ("b", "x", "s1", 2), ("c", "x", "s2", 1), ("d", "x", "s3", 1)])
    merged, rejected = merge(clips, pair("c", "d"))
    assert merged.clip_id.tolist() == ["a", "b", "c", "d"]
    assert rejected.empty
