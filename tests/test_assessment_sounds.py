"""Sets of sounds, heard file by file."""

import numpy as np
import pandas as pd
import soundfile
import torch
from settings import settings_of

from counterpoise.assessment.sounds import Listener
from counterpoise.core import audio
from counterpoise.core.audio import Audio
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.spectrogram import MelSpectrogram

FORM = settings_of(Audio, sample_rate=8000, channels=1, seconds=0.5)


def loudness(wave: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """`[1, channels, n]` to `[1, 2]`: in place of a network."""
    assert sample_rate == FORM.sample_rate
    return torch.stack([wave.square().mean(), torch.tensor(float(wave.shape[-1]))])[None]


def test_every_file_is_heard_in_the_form_of_a_classifier(tmp_path):
    noise = np.random.default_rng(0).normal(size=(2, 16000)).astype(np.float32)
    for name, wave in (("loud", 0.2 * noise), ("silent", 1e-5 * noise), ("other", 0.1 * noise)):
        audio.write_flac(tmp_path / f"{name}.flac", wave, 16000)
    table = pd.DataFrame({"clip_id": ["a", "b", "c"], "source_id": ["x", "x", "y"]}, index=[7, 3, 9])
    table["path"] = [str(tmp_path / f"{name}.flac") for name in ("loud", "silent", "other")]
    features = settings_of(Features, n_mels=16, n_fft=256, hop=128)
    heard = Listener(loudness, MelSpectrogram(features, FORM.sample_rate), FORM).measure(table, "test")
    assert heard.embeddings.shape == (3, 2) and (heard.embeddings[:, 1] == 8000).all()
    assert heard.embeddings[0, 0] > heard.embeddings[1, 0]
    assert heard.statistics.shape == (3, 32) and np.isfinite(heard.statistics).all()
    assert heard.silent.tolist() == [False, True, False]
    assert heard.clips.clip_id.tolist() == ["a", "b", "c"] and heard.clips.index.tolist() == [0, 1, 2]

    some = heard.of(heard.silent)
    assert some.clips.clip_id.tolist() == ["b"] and some.clips.index.tolist() == [0]
    assert np.array_equal(some.embeddings, heard.embeddings[1:2]) and some.silent.tolist() == [True]
    assert np.array_equal(some.statistics, heard.statistics[1:2])


def test_a_clip_at_full_scale_counts_as_clipped(tmp_path):
    square = np.sign(np.random.default_rng(0).normal(size=(1, 8000))).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", square.T, 8000, subtype="FLOAT")
    table = pd.DataFrame({"clip_id": ["a"], "path": [str(tmp_path / "a.wav")]})
    spectrogram = MelSpectrogram(settings_of(Features, n_mels=16, n_fft=256, hop=128), FORM.sample_rate)
    heard = Listener(loudness, spectrogram, FORM).measure(table, "test")
    assert heard.clipped.tolist() == [True] and heard.silent.tolist() == [False]
