"""Classical variations and round trips as files."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from settings import settings_of, small_mel_codec

from counterpoise import codecs
from counterpoise.arms.arm import load
from counterpoise.augment import effects
from counterpoise.augment.clips import write_classic, write_over_backgrounds, write_round_trips
from counterpoise.codecs import encode
from counterpoise.codecs.latents import Packed, Shelf, reflect
from counterpoise.core import audio, tables
from counterpoise.core.audio import Audio as Form
from counterpoise.splits import balance
from counterpoise.splits.balance import Aug
from counterpoise.splits.training_tables import Material

FORM = Form(sample_rate=8000, channels=1, seconds=1.0)
CODEC = small_mel_codec()


class Counting:
    """A codec that counts the clips of each call."""

    def __init__(self) -> None:
        self.codec, self.sizes = codecs.build(CODEC, torch.device("cpu")), []
        self.sample_rate = self.codec.sample_rate

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(latents))
        return self.codec.decode(latents)


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> tuple[pd.DataFrame, Shelf]:
    """Twelve tones of 0.2 to 0.5 s, nine of one class, in stereo at 16 kHz; and their latents."""
    folder = tmp_path_factory.mktemp("clips")
    rng, rows = np.random.default_rng(0), []
    for i in range(12):
        label, seconds = ("howl", 0.3) if i < 6 else (("howl", 0.2 + 0.02 * i) if i < 9 else ("bark", 0.25))
        time = np.arange(round(seconds * 16000)) / 16000
        wave = 0.3 * np.sin(2 * np.pi * rng.uniform(200, 2000) * time) * np.linspace(1, 0.2, len(time))
        path = folder / f"c{i}.wav"
        soundfile.write(path, np.stack([wave, 0.5 * wave]).T, 16000)
        rows.append((f"c{i}", str(path), label, f"r{i}", 1, len(time) / 16000, 16000, 2))
    clips = pd.DataFrame(rows, columns=list(tables.CLIPS)).astype(tables.CLIPS)
    codec = codecs.build(CODEC, torch.device("cpu"))
    for label, own in clips.groupby("label"):
        encode.encode(codec, own, folder / f"{label}.safetensors", 4)
    return clips, Shelf([Packed(folder / f"{label}.safetensors") for label in ("bark", "howl")])


def lineage(clips: pd.DataFrame, start: str, folder: Path) -> pd.DataFrame:
    plan = balance.plan(clips.label.value_counts().to_dict(), settings_of(Aug, factor=2))
    arms = [load(name) for name in ("classic", "roundtrip", "background_mix")]
    made = Material(clips, plan, 1.0, 0).lineage(arms, folder, "mel")
    return made[made.start == start]


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): tables.sha256(path) for path in folder.rglob("*.flac")}


def test_a_classical_variation_is_its_root_augmented_by_its_seed(collection, tmp_path):
    clips, _ = collection
    made = lineage(clips, "classic", tmp_path)
    write_classic(made, clips, FORM)
    assert set(contents(tmp_path)) == {f"classic/bark/{clip_id}.flac" for clip_id in made.clip_id} and len(made) == 6
    assert len(set(contents(tmp_path).values())) == 6
    for row in made.itertuples():
        root = clips.set_index("clip_id").loc[row.root_clip_id]
        wave = effects.augment(audio.read(root.path, 8000, 1), 8000, row.seed)
        heard = audio.read(row.path, 8000, 1)
        assert soundfile.info(row.path).samplerate == 8000 and heard.shape == (1, 2000)
        np.testing.assert_allclose(heard, wave, atol=2 / 2**15)


def test_a_clip_over_a_background_is_its_root_over_the_other_clip_at_the_ratio_of_its_lineage(collection, tmp_path):
    clips, _ = collection
    made = lineage(clips, "background", tmp_path)
    write_over_backgrounds(made, clips, FORM)
    assert set(contents(tmp_path)) == {f"background/bark/{clip_id}.flac" for clip_id in made.clip_id} and len(made) == 6
    paths = clips.set_index("clip_id").path
    for row in made.itertuples():
        root, other = (audio.read(paths[clip_id], 8000, 1)[0] for clip_id in (row.root_clip_id, row.other_clip_id))
        heard = audio.read(row.path, 8000, 1)[0]
        assert soundfile.info(row.path).samplerate == 8000 and heard.shape == (2000,)
        added = heard - root
        power = [np.square(wave).mean() for wave in (root, added)]
        assert 10 * np.log10(power[0] / power[1]) == pytest.approx(row.strength, abs=0.05)
        tones = [np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 8000)).argmax() for wave in (other, added)]
        assert tones[0] == pytest.approx(tones[1], abs=8)  # Hz


def test_a_round_trip_is_its_root_through_the_codec_and_as_long(collection, tmp_path):
    clips, shelf = collection
    made = lineage(clips, "roundtrip", tmp_path)
    codec = Counting()
    write_round_trips(made, clips, shelf, codec, batch_size=4)
    assert len(made) == 12 and max(codec.sizes) == 4 and sum(codec.sizes) == 12
    assert set(contents(tmp_path)) == {f"roundtrip/{row.label}/{row.clip_id}.flac" for row in made.itertuples()}
    for row in made.itertuples():
        root = clips.set_index("clip_id").loc[row.root_clip_id]
        original, heard = audio.read(root.path, 8000, 1), audio.read(row.path, 8000, 1)
        assert heard.shape[1] == round(root.seconds * 8000)
        spectra = [np.abs(np.fft.rfft(wave[0, :1600])) for wave in (original, heard)]
        assert abs(int(spectra[0].argmax()) - int(spectra[1].argmax())) * 5 < 150  # Hz: the same tone
        longer = reflect(shelf[row.root_clip_id], 16 * math.ceil(shelf.frames(row.root_clip_id) / 16))
        decoded = codec.codec.decode(longer[None])[0].numpy()
        np.testing.assert_allclose(heard, decoded[:, : heard.shape[1]], atol=2 / 2**15)


def test_the_size_of_batches_changes_no_file(collection, tmp_path):
    clips, shelf = collection
    codec = codecs.build(CODEC, torch.device("cpu"))
    for size in (1, 5):
        made = lineage(clips, "roundtrip", tmp_path / str(size))
        write_round_trips(made, clips, shelf, codec, size)
    assert contents(tmp_path / "1") == contents(tmp_path / "5") != {}


def test_what_is_finished_is_not_made_again_and_what_is_missing_comes_back_as_it_was(collection, tmp_path):
    clips, shelf = collection
    made = [lineage(clips, start, tmp_path) for start in ("classic", "roundtrip", "background")]
    codec = Counting()

    def make() -> None:
        write_classic(made[0], clips, FORM)
        write_round_trips(made[1], clips, shelf, codec, 4)
        write_over_backgrounds(made[2], clips, FORM)

    make()
    whole, calls = contents(tmp_path), len(codec.sizes)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")}
    make()
    assert len(codec.sizes) == calls and all(path.stat().st_mtime_ns == then for path, then in times.items())
    for table in made:
        Path(table.path.iloc[3]).unlink()
    make()
    assert contents(tmp_path) == whole and len(codec.sizes) == calls + 1
    assert sum(path.stat().st_mtime_ns == then for path, then in times.items() if "classic" in str(path)) >= 5


def test_nothing_is_asked_nothing_is_made(collection, tmp_path):
    clips, shelf = collection
    for start in ("classic", "roundtrip", "background"):
        made = lineage(clips, start, tmp_path).head(0)
        write_classic(made, clips, FORM)
        write_over_backgrounds(made, clips, FORM)
        write_round_trips(made, clips, shelf, Counting(), 4)
    assert not contents(tmp_path)
