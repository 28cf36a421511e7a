"""Pictures of generated sound: the same bytes each time, the strengths that a class has, frequencies in their place."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from settings import settings_of

from counterpoise.assessment import measures
from counterpoise.assessment import plots as pictures
from counterpoise.core import tables
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.spectrogram import MelSpectrogram

RATE = 16000
SPECTROGRAM = MelSpectrogram(settings_of(Features, n_mels=64, n_fft=1024, hop=256), RATE)


def lineage(rows):
    """(root, strength) of each."""
    return tables.table(
        [
            {
                "clip_id": f"{i}",
                "root_clip_id": root,
                "strength": strength,
                "path": "",
                "label": "bark",
                "start": "own",
                "other_clip_id": "",
                "source_id": root,
                "fold": 1,
                "seed": i,
                "model": "",
            }
            for i, (root, strength) in enumerate(rows)
        ],
        tables.LINEAGE,
    )


def test_a_low_a_middle_and_a_high_strength_are_shown_of_one_clip_if_it_has_them():
    rows = [("a", 5.0), ("a", 0.5), ("b", 2.0), ("b", 0.5), ("b", 0.5), ("b", 1.0), ("b", 5.0), ("a", 1.0)]
    found = pictures.examples(lineage(rows))
    assert set(found.root_clip_id) == {"b"} and found.strength.tolist() == [0.5, 2.0, 5.0]
    assert found.clip_id.tolist() == ["3", "2", "6"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("a", 1.0)], [("a", 1.0)]),
        ([("a", 2.0), ("b", 1.0)], [("b", 1.0), ("a", 2.0)]),
        ([("a", 1.0), ("b", 1.0), ("c", 9.0), ("b", 3.0)], [("b", 1.0), ("b", 3.0), ("c", 9.0)]),
    ],
)
def test_other_clips_stand_in_for_what_one_clip_lacks(rows, expected):
    found = pictures.examples(lineage(rows))
    assert list(zip(found.root_clip_id, found.strength)) == expected


def test_a_tone_is_drawn_at_its_frequency():
    for hertz in (500, 2000, 6000):
        tone = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE, dtype=np.float32)[None]
        bands = pictures.levels(tone, SPECTROGRAM)
        assert bands.max() == 0 and bands.min() >= -pictures.SHOWN_DB
        assert abs(bands.mean(axis=1).argmax() - pictures.band(hertz, 64, RATE)) < 1


def test_spectrograms_are_drawn_the_same_way_each_time_for_rows_of_unlike_length(tmp_path):
    noise = np.random.default_rng(0).normal(size=(2, 8000)).astype(np.float32) * 0.1
    rows = {
        "Bark": [("training clip", noise), ("strength 1", noise[:, :3000]), ("strength 5", noise[:, :100])],
        "Howl, a very long name": [("training clip", 0 * noise)],
    }
    for name in ("a", "b"):
        pictures.spectrograms(rows, SPECTROGRAM, RATE, tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert np.isfinite(imread(tmp_path / "a.png")).all()


def quality_table(**changes):
    rows = [
        {
            "label": label,
            "set": name,
            "strength": np.nan,
            "clips": 5,
            "recordings": 5,
            "kad": k,
            "kad_low": k - 1,
            "kad_high": k + 1,
            "recognised": 0.5,
            "probe": 0.6,
            "probe_low": 0.5,
            "probe_high": 0.7,
            "other": "",
            **changes,
        }
        for label in ("bark", "howl")
        for k, name in enumerate(pictures.LOOKS)
    ]
    return tables.table(rows, measures.TABLE)


def test_quality_is_drawn_the_same_way_each_time_and_differently_for_other_numbers(tmp_path):
    table = quality_table()
    for name, shown in (("a", table), ("b", table), ("c", quality_table(recognised=0.9))):
        pictures.quality(shown, {"bark": "Bark"}, tmp_path / f"{name}.png")
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_rows_of_single_strengths_do_not_change_the_picture(tmp_path):
    table = quality_table()
    pictures.quality(table, {}, tmp_path / "a.png")
    pictures.quality(pd.concat([table, quality_table(strength=1.0, kad=50.0)]), {}, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.filterwarnings("error")
def test_what_is_not_known_leaves_a_gap_and_no_error(tmp_path):
    pictures.quality(quality_table(kad=np.nan, kad_low=np.nan, kad_high=np.nan, probe=np.nan), {}, tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()
