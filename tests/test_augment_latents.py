"""Classical variations as latents, with a codec that only folds samples."""

import pandas as pd
import pytest
import torch
from settings import settings_of

from counterpoise.augment import latents
from counterpoise.codecs.latents import Packed, Writer
from counterpoise.codecs.settings import CodecSettings

CPU, FRAMES = torch.device("cpu"), [40, 7, 25]


class Folding:
    """Four samples a frame."""

    sample_rate, hop, latent_channels = 1000, 4, 4

    def encode(self, wave):
        return wave[:, 0].unflatten(1, (-1, self.hop)).transpose(1, 2)

    def decode(self, latent):
        return latent.transpose(1, 2).flatten(1)[:, None]


def pack(path, label):
    clips = pd.DataFrame(
        {
            "clip_id": [f"{label}{i}" for i in range(3)],
            "label": label,
            "source_id": "s",
            "fold": 1,
            "seconds": 0.1,
            "frames": FRAMES,
        }
    )
    writer, generator = Writer(path, clips, 4), torch.Generator().manual_seed(len(label))
    for row, frames in enumerate(FRAMES):
        writer.put(row, torch.randn(4, frames, generator=generator) / 9)
    writer.close()
    return Packed(path)


@pytest.fixture
def parts(tmp_path):
    return [(pack(tmp_path / f"{label}.safetensors", label), rows) for label, rows in (("bark", [2, 0]), ("howl", [1]))]


@pytest.fixture
def folding(monkeypatch):
    built = []
    monkeypatch.setattr(latents.codecs, "build", lambda codec, device: built.append(codec) or Folding())
    return built


def test_none_are_made_unless_asked_for(parts, tmp_path, folding):
    pool = latents.pool(parts, 0, 0, settings_of(CodecSettings, name="mel"), CPU, tmp_path / "work")
    assert pool.clip_ids == ["bark2", "bark0", "howl1"] and not folding and not (tmp_path / "work").exists()


def test_every_clip_has_variations_of_its_class_and_length(parts, tmp_path, folding):
    pool = latents.pool(parts, 2, 0, settings_of(CodecSettings, name="mel"), CPU, tmp_path / "work")
    assert pool.clip_ids == ["bark2", "bark0", "howl1", "bark2", "bark2", "bark0", "bark0", "howl1", "howl1"]
    assert pool.labels == [0, 0, 1, 0, 0, 0, 0, 1, 1]
    assert [pool[i].shape[1] for i in range(9)] == [25, 40, 7, 25, 25, 40, 40, 7, 7]
    for i, j in ((0, 3), (0, 4), (3, 4), (1, 5), (5, 6), (2, 7), (7, 8)):
        assert not torch.allclose(pool[i], pool[j], atol=1e-2)


def test_variations_depend_on_the_clip_and_the_seed_alone(parts, tmp_path, folding):
    def of(parts, name, seed=0):
        pool = latents.pool(parts, 1, seed, settings_of(CodecSettings, name="mel"), CPU, tmp_path / name)
        return dict(zip(pool.clip_ids, [pool[i] for i in range(len(pool))]))  # the variations come last

    everything, alone, other = of(parts, "a"), of([(parts[0][0], [0])], "b"), of(parts, "c", seed=1)
    assert torch.equal(everything["bark0"], alone["bark0"])
    assert not torch.equal(everything["bark0"], other["bark0"])


def test_those_of_an_interrupted_run_are_used_again(parts, tmp_path, folding, monkeypatch):
    first = latents.pool(parts, 1, 0, settings_of(CodecSettings, name="mel"), CPU, tmp_path / "work")
    monkeypatch.setattr(latents, "augmented", None)
    again = latents.pool(parts, 1, 0, settings_of(CodecSettings, name="mel"), CPU, tmp_path / "work")
    assert all(torch.equal(first[i], again[i]) for i in range(len(first)))


def test_a_class_without_clips_stays_empty(parts, tmp_path, folding):
    pool = latents.pool(
        [parts[0], (parts[1][0], [])], 1, 0, settings_of(CodecSettings, name="mel"), CPU, tmp_path / "work"
    )
    assert set(pool.labels) == {0}


def test_unlabelled_clips_stand_behind_the_classes_and_are_not_varied(parts, tmp_path, folding):
    codec, apart = (
        settings_of(CodecSettings, name="mel"),
        [(pack(tmp_path / "u.safetensors", "unlabelled"), rows) for rows in ([0], [2])],
    )
    for copies, labels in ((0, [0, 0, 1, 2, 2]), (1, [0, 0, 1, 0, 0, 1, 2, 2])):
        pool = latents.pool(parts, copies, 0, codec, CPU, tmp_path / f"work{copies}", apart)
        assert pool.labels == labels and pool.unlabelled == 2
        assert pool.clip_ids[-2:] == ["unlabelled0", "unlabelled2"] and len(pool) == len(labels)
    assert latents.pool(parts, 0, 0, codec, CPU, tmp_path / "work").unlabelled is None
