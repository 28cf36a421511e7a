"""The embedded data set: what the catalogue promises, and what the sounds are like."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from settings import settings_of

from counterpoise.core import tables
from counterpoise.datasets import dogs
from counterpoise.datasets.settings import Data

ALL = {slug: slug.title() for slug in dogs.RECORDINGS}
RARE = ("eat", "drink", "sneeze")


def make(raw, slugs=tuple(ALL), scale=0.01, seed=0):
    data = settings_of(Data, dataset="dogs", path="unused", scale=scale, seed=seed)
    return dogs.collect(data, {slug: ALL[slug] for slug in slugs}, raw)[0]


def contents(clips):
    return {row.clip_id: tables.sha256(row.path) for row in clips.itertuples()}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make(tmp_path_factory.mktemp("small"))


def test_the_catalogue_has_its_columns_and_nothing_is_rejected(tmp_path):
    data = settings_of(Data, dataset="dogs", path="unused", scale=0.01)
    clips, rejected = dogs.collect(data, {"drink": "Drinking"}, tmp_path)
    assert clips.dtypes.astype(str).to_dict() == tables.CLIPS
    assert list(rejected.columns) == list(tables.REJECTED)
    assert rejected.empty
    tables.check_clips(clips)
    first = clips.iloc[0]
    assert first.path == (tmp_path / "drink" / f"{first.clip_id}.flac").as_posix()


def test_the_written_catalogue_reads_back_unchanged(small, tmp_path):
    tables.write(small, tmp_path / "clips.csv")
    pd.testing.assert_frame_equal(tables.read(tmp_path / "clips.csv", tables.CLIPS), small, rtol=1e-5)


def test_two_runs_write_the_same_bytes(small, tmp_path):
    assert contents(make(tmp_path)) == contents(small)


def test_another_seed_makes_other_sounds(small, tmp_path):
    other = contents(make(tmp_path, seed=1))
    first = contents(small)
    assert other.keys() == first.keys()
    assert all(other[clip] != first[clip] for clip in first)


def test_a_clip_does_not_depend_on_the_other_classes(small, tmp_path):
    alone = contents(make(tmp_path, slugs=("sneeze", "bark")))
    together = contents(small)
    assert alone == {clip: together[clip] for clip in together if clip.startswith(("sneeze", "bark"))}


def test_more_recordings_leave_the_first_ones_as_they_are(small, tmp_path):
    more = contents(make(tmp_path, slugs=("eat",), scale=0.5))
    few = contents(small[small.label == "eat"])
    assert len(more) > len(few)
    assert few.items() <= more.items()


def test_no_two_clips_are_alike(small):
    assert len(set(contents(small).values())) == len(small)


def test_scale_multiplies_recordings_down_to_two(small, tmp_path):
    assert (small.groupby(["label", "fold"]).source_id.nunique() == 2).all()
    half = make(tmp_path, slugs=("sneeze",), scale=0.8)
    train, _, test = dogs.RECORDINGS["sneeze"]
    assert half.groupby("fold").source_id.nunique().to_dict() == {1: round(0.8 * train), 2: 2, 3: round(0.8 * test)}


def test_at_full_scale_training_is_imbalanced_and_the_test_is_balanced(tmp_path, monkeypatch):
    monkeypatch.setattr(dogs, "record", lambda *_: np.full(dogs.RATE, 0.1, np.float32))
    clips = make(tmp_path, scale=1.0)
    train, test = (clips[clips.fold == fold].label.value_counts() for fold in (1, 3))
    assert list(train.index) == ["bark", "howl", "pant", "eat", "drink", "sneeze"]
    assert train["bark"] > 100
    assert all(train[rare] < 0.25 * train["bark"] for rare in RARE)
    assert len(test) == 6 and set(test) == {60}


def test_a_recording_has_one_to_four_clips_of_one_class_and_fold(small, tmp_path):
    clips = pd.concat([small, make(tmp_path, slugs=("pant",), scale=0.3)])
    clips = clips.drop_duplicates("clip_id")
    recordings = clips.groupby("source_id")
    assert recordings.size().between(1, 4).all()
    assert recordings.size().nunique() == 4
    assert (recordings.fold.nunique() == 1).all()
    assert (recordings.label.nunique() == 1).all()


def test_every_clip_is_sane_audio(small):
    for row in small.itertuples():
        info = soundfile.info(row.path)
        wave, rate = soundfile.read(row.path)
        assert (info.format, info.subtype, info.channels, rate) == ("FLAC", "PCM_16", 1, 16000)
        assert (row.sample_rate, row.channels) == (rate, 1)
        assert 0.7 <= row.seconds <= 1.2
        assert row.seconds == len(wave) / rate
        assert np.abs(wave).max() < 1.0
        assert 20 * np.log10(np.sqrt(np.mean(wave**2))) > -45


@pytest.mark.parametrize("label", list(ALL))
def test_every_sound_is_finite_and_lively_whatever_the_animal(label):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        wave = dogs.SOUNDS[label](rng, dogs.draw_animal(rng), int(rng.uniform(0.7, 1.2) * dogs.RATE))
        assert np.isfinite(wave).all()
        assert wave.std() > 0


def test_an_unknown_class_is_an_error_that_names_the_six(tmp_path):
    data = settings_of(Data, dataset="dogs", path="unused")
    with pytest.raises(dogs.DogsError, match="'meow'.*bark, howl, pant, eat, drink, sneeze"):
        dogs.collect(data, {"bark": "Bark", "meow": "Meow"}, tmp_path)
    assert not list(tmp_path.iterdir())
