"""A class's variations beside real clips and what is made of these, on tones."""

import os
import tempfile

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from settings import settings_of, small_mel_codec

from counterpoise import codecs
from counterpoise.assessment.assessor import Assessor, derived
from counterpoise.assessment.measures import CLASSIC, ROUND_TRIP, TRAINING, VARIATIONS
from counterpoise.assessment.sounds import Listener
from counterpoise.augment import effects
from counterpoise.augment.clips import write_round_trips
from counterpoise.codecs import encode
from counterpoise.codecs.latents import Packed, Shelf
from counterpoise.core import audio, tables
from counterpoise.core.audio import Audio
from counterpoise.core.runtime import seed_for
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.spectrogram import MelSpectrogram

FORM = settings_of(Audio, sample_rate=8000, channels=1, seconds=0.5)
CODEC = small_mel_codec()
SEED = 3


def spectrum(wave, sample_rate):
    """`[1, channels, n]` to `[1, 10]`, in place of a network."""
    return torch.fft.rfft(wave[:, 0, :1600]).abs()[:, :800].unflatten(1, (10, 80)).mean(dim=2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Four tones at 16 kHz, in stereo."""
    folder, rows = tmp_path_factory.mktemp("clips"), []
    for i in range(4):
        time = np.arange(round((0.3 + 0.02 * i) * 16000)) / 16000
        wave = 0.3 * np.sin(2 * np.pi * (400 + 500 * i) * time)
        soundfile.write(folder / f"c{i}.wav", np.stack([wave, 0.5 * wave]).T, 16000)
        rows.append((f"c{i}", str(folder / f"c{i}.wav"), "howl", f"r{i}", 1, len(time) / 16000, 16000, 2))
    return pd.DataFrame(rows, columns=list(tables.CLIPS)).astype(tables.CLIPS)


@pytest.fixture(scope="module")
def assessor(clips, tmp_path_factory):
    codec, path = codecs.build(CODEC, torch.device("cpu")), tmp_path_factory.mktemp("latents") / "howl.safetensors"
    encode.encode(codec, clips, path, 4)
    ear = Listener(
        spectrum, MelSpectrogram(settings_of(Features, n_mels=16, n_fft=256, hop=128), FORM.sample_rate), FORM
    )
    return Assessor(ear, Shelf([Packed(path)]), codec, 2, SEED)


@pytest.fixture
def lineage(tmp_path):
    """Noise for variations: (root, strength)."""
    rows = []
    for i, (root, strength) in enumerate([("c1", 0.5), ("c2", 0.5), ("c1", 4.0), ("c3", 2.0)]):
        noise = np.random.default_rng(i).normal(size=(1, 2000)).astype(np.float32)
        audio.write_flac(tmp_path / f"v{i}.flac", 0.1 * noise, 8000)
        rows.append(
            {
                "clip_id": f"v{i}",
                "path": str(tmp_path / f"v{i}.flac"),
                "label": "howl",
                "start": "own",
                "root_clip_id": root,
                "other_clip_id": "",
                "source_id": f"r{root[1]}",
                "fold": 1,
                "strength": strength,
                "seed": i,
                "model": "",
            }
        )
    return tables.table(rows, tables.LINEAGE)


def test_each_set_is_heard_of_what_it_says(assessor, clips, lineage, tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    training = clips[clips.clip_id != "c0"]
    sets = assessor.sets("howl", training, lineage)
    assert list(sets) == [TRAINING, ROUND_TRIP, CLASSIC, VARIATIONS]
    assert sets[VARIATIONS].clips.clip_id.tolist() == ["v0", "v1", "v2", "v3"]
    for name, column in ((TRAINING, "clip_id"), (ROUND_TRIP, "root_clip_id"), (CLASSIC, "root_clip_id")):
        assert sets[name].clips[column].tolist() == ["c1", "c2", "c3"]

    for i, clip in enumerate(training.itertuples()):
        wave = audio.read(clip.path, FORM.sample_rate, FORM.channels)
        changed = effects.augment(wave, FORM.sample_rate, seed_for("classic", SEED, clip.clip_id, 0))
        for name, heard in ((TRAINING, wave), (CLASSIC, changed)):
            expected = spectrum(torch.from_numpy(heard)[None], FORM.sample_rate)[0]
            np.testing.assert_allclose(sets[name].embeddings[i], expected, atol=0.05)
    decoded = derived(training, SEED, tmp_path)
    write_round_trips(decoded, training, assessor.shelf, assessor.codec, 4)
    assert np.array_equal(sets[ROUND_TRIP].embeddings, assessor.listener.measure(decoded, "test").embeddings)
    assert os.listdir(tmp_path / "scratch") == []


def test_an_example_is_a_clip_its_round_trip_and_variations_of_it_first_of_all(assessor, clips, lineage):
    shown = assessor.example(lineage, clips)
    assert [title for title, _ in shown] == [
        "training clip",
        "through the codec",
        "strength 0.5",
        "strength 2, another clip",
        "strength 4",
    ]
    root, decoded, *made = (wave for _, wave in shown)
    assert np.array_equal(root, audio.read(clips.path[1], 8000, 1)) and decoded.shape == root.shape
    peaks = [np.abs(np.fft.rfft(wave[0])).argmax() for wave in (root, decoded)]
    assert abs(peaks[0] - peaks[1]) * 8000 / root.shape[1] < 60  # Hz: the same tone
    for wave, row in zip(made, (0, 3, 2), strict=True):
        assert np.array_equal(wave, audio.read(lineage.path[row], 8000, 1))


def test_one_sound_is_asked_of_each_clip_with_the_seed_of_its_first_augmentation(tmp_path):
    rows = [{"clip_id": name, "path": f"raw/{name}.wav", "source_id": f"from {name}"} for name in ("a", "b")]
    clips = tables.table(rows, {"clip_id": "str", "path": "str", "source_id": "str"})
    table = derived(clips, 3, tmp_path)
    assert table.root_clip_id.tolist() == table.clip_id.tolist() == ["a", "b"]
    assert table.source_id.tolist() == ["from a", "from b"]
    assert table.path.tolist() == [f"{tmp_path}/a.flac", f"{tmp_path}/b.flac"]
    assert table.seed.tolist() == [seed_for("classic", 3, name, 0) for name in ("a", "b")]
