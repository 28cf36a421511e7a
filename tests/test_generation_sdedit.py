"""Which variations are made, and of which clips."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from settings import settings_of

from counterpoise.augment import effects, latents
from counterpoise.codecs.latents import Normaliser, Packed, Shelf, Writer, reflect
from counterpoise.core import tables
from counterpoise.core.runtime import Runtime
from counterpoise.diffusion import networks, sampling
from counterpoise.diffusion.model import Model
from counterpoise.diffusion.settings import Diffusion
from counterpoise.generation import planning, sdedit
from counterpoise.generation.settings import Generate

CPU = torch.device("cpu")


@pytest.fixture
def training():
    """Three barks of two recordings, four howls."""
    rows = [(f"b{i}", "bark", f"r{i // 2}", 1) for i in range(3)] + [(f"h{i}", "howl", f"s{i}", 2) for i in range(4)]
    return pd.DataFrame(rows, columns=["clip_id", "label", "source_id", "fold"])


def lineage(training, amount, label="bark", **change):
    generate = settings_of(Generate, **{"keep": "all"} | change)
    shares = planning.share_out(training, label, amount, generate)
    amounts = planning.candidates(shares, generate)
    return planning.lineage(training, label, amounts, generate, Path("out"), Path("models/bark"))


def test_every_clip_once_before_any_clip_twice(training):
    made = lineage(training, 5)
    assert sorted(made.root_clip_id.head(3)) == ["b0", "b1", "b2"] and len(made) == 5
    assert made.root_clip_id.value_counts().max() == 2
    assert made.clip_id.is_unique and made.seed.is_unique
    assert list(made.columns) == list(tables.LINEAGE)
    assert (made.label == "bark").all() and (made.other_clip_id == "").all()
    sources = training.set_index("clip_id").source_id
    assert made.source_id.tolist() == sources[made.root_clip_id].tolist()


def test_more_variations_change_nothing_of_the_first_ones(training):
    few, many = lineage(training, 4), lineage(training, 9)
    both = few.merge(many, on=list(tables.LINEAGE))
    assert len(both) == 4


def test_a_choice_is_made_of_every_root(training):
    generate = settings_of(Generate, keep="best", candidates=1.5)
    assert planning.candidates({"b0": 2, "b1": 1}, generate) == {"b0": 3, "b1": 2}
    ones = planning.candidates({f"b{i}": 1 for i in range(10)}, generate)
    assert sum(ones.values()) == 15 and set(ones.values()) == {1, 2}  # no more than were asked for
    assert len(lineage(training, 3, keep="best", candidates=3)) == 9


def test_a_blend_names_another_clip_of_the_class(training):
    made = lineage(training, 30, start="blend")
    assert set(made.other_clip_id) == {"b0", "b1", "b2"} and (made.other_clip_id != made.root_clip_id).all()


def test_the_only_clip_of_a_class_is_blended_with_nothing(training):
    made = lineage(training[training.clip_id.isin(["b0", "h0"])], 2, start="blend")
    assert made.other_clip_id.tolist() == ["", ""]


def test_a_cross_starts_from_other_classes_and_names_them(training):
    made = lineage(training, 6, start="cross")
    assert set(made.root_clip_id) == {"h0", "h1", "h2", "h3"}
    assert (made.label == "bark").all() and (made.fold == 2).all()
    assert set(lineage(training, 3, label="howl", start="cross").clip_id).isdisjoint(made.clip_id)


def test_strengths_of_a_range_differ_from_clip_to_clip(training):
    made = lineage(training, 20, strength=[0.5, 2.0])
    assert made.strength.nunique() > 3 and made.strength.between(0.5, 2.0).all()


def test_nothing_is_wanted_nothing_is_made(training):
    assert lineage(training, 0).empty


class Half:
    """A codec of one number a frame, four samples a frame."""

    sample_rate, channels, hop = 400, 1, 4

    def decode(self, latents):
        return latents[:, :1].repeat_interleave(self.hop, dim=2)

    def encode(self, wave):
        return wave[:, :, :: self.hop].expand(-1, 16, -1)


@pytest.fixture
def shelf(training, tmp_path):
    """Latents `[16, 8 or 11]` of every clip."""
    files = []
    for label, rows in training.groupby("label"):
        frames = [8 if i % 2 else 11 for i in range(len(rows))]
        writer = Writer(tmp_path / f"{label}.safetensors", rows.assign(seconds=0.1, frames=frames), 16)
        for row, length in enumerate(frames):
            writer.put(row, torch.randn(16, length, generator=torch.Generator().manual_seed(row)))
        writer.close()
        files.append(Packed(tmp_path / f"{label}.safetensors"))
    return Shelf(files)


@pytest.fixture
def model():
    settings = settings_of(Diffusion, steps=1, batch_size=1, crop_frames=8, widths=[8, 16])
    networks_ = [networks.build(settings, 16, True, seed).eval() for seed in (0, 1)]
    return Model(*networks_, Normaliser(torch.zeros(16), torch.ones(16), 1.0))


def make(model, rows, shelf, **change):
    generate = settings_of(Generate, **{"keep": "all", "steps": 2, "batch_size": 2, "guidance": 1.0} | change)
    made = sdedit.make(model, rows, shelf, Half(), generate, settings_of(Runtime, threads=1, precision="fp32"), CPU)
    return dict(made)


@pytest.mark.parametrize("start", ["own", "augmented", "blend", "cross", "noise"])
def test_every_variation_is_made_as_long_as_its_root(training, shelf, model, start):
    rows = lineage(training, 7, start=start)
    made = make(model, rows, shelf, start=start)
    assert sorted(made) == sorted(rows.clip_id)
    for clip_id, root in zip(rows.clip_id, rows.root_clip_id):
        assert made[clip_id].shape == (1, 4 * shelf.frames(root)) and shelf[root].shape == (16, shelf.frames(root))


def test_an_altered_start_is_a_classical_variation_of_the_root(training, shelf, model):
    rows = lineage(training, 4, start="augmented", strength=0.01)
    made, same = (make(model, rows, shelf, start="augmented", strength=0.01) for _ in range(2))
    assert all(np.array_equal(made[clip_id], same[clip_id]) for clip_id in made)
    plain = make(model, rows.assign(start="own"), shelf, strength=0.01)
    assert not any(np.allclose(made[clip_id], plain[clip_id], atol=1e-3) for clip_id in made)
    latent = shelf[rows.root_clip_id[0]]
    longer = reflect(latent, latent.shape[1] + latents.MARGIN)
    sound = effects.augment(Half().decode(longer[None])[0].numpy(), Half.sample_rate, 5)
    assert np.array_equal(latents.augmented(latent, Half(), 5)[3], sound[0, ::4][: latent.shape[1]])


def test_every_variation_alters_its_start_in_its_own_way(training, shelf, model, monkeypatch):
    rows, seeds = lineage(training, 5, start="augmented"), []
    monkeypatch.setattr(sdedit, "augmented", lambda latent, codec, seed: (seeds.append(seed), latent)[1])
    make(model, rows, shelf, start="augmented")
    assert sorted(seeds) == sorted(rows.seed) and len(set(seeds)) == 5


def test_a_variation_can_end_as_its_own_classical_variation(training, shelf, model, monkeypatch):
    rows = lineage(training, 5)
    plain, finished = make(model, rows, shelf), make(model, rows, shelf, finish="classic")
    seeds = []
    monkeypatch.setattr(effects, "augment", lambda wave, rate, seed: (seeds.append((rate, seed)), 2 * wave)[1])
    doubled = make(model, rows, shelf, finish="classic")
    for clip_id, wave in plain.items():
        assert finished[clip_id].shape == wave.shape and not np.allclose(finished[clip_id], wave, atol=1e-3)
        assert np.array_equal(doubled[clip_id], 2 * wave)
    assert len(set(seeds)) == 5 and {rate for rate, _ in seeds} == {Half.sample_rate}
    assert not {seed for _, seed in seeds} & set(rows.seed)  # another draw than that of an altered start


def test_finished_batches_are_not_made_again_and_the_others_stay_the_same(training, shelf, model):
    rows = lineage(training, 6)
    generate = settings_of(Generate, keep="all", steps=2, batch_size=2, guidance=1.0)
    whole = make(model, rows, shelf)
    asked = []

    def finished(clip_ids):
        asked.append(clip_ids)
        return len(asked) == 1

    arguments = (shelf, Half(), generate, settings_of(Runtime, threads=1, precision="fp32"), CPU, finished)
    rest = dict(sdedit.make(model, rows, *arguments))
    assert sorted([*rest, *asked[0]]) == sorted(whole) and len(rest) < len(whole)
    assert all(np.array_equal(rest[clip_id], whole[clip_id]) for clip_id in rest)


def test_guidance_goes_from_the_weak_network_past_the_strong_one(training, shelf, model):
    rows = lineage(training, 3)
    plain, pushed = make(model, rows, shelf), make(model, rows, shelf, guidance=2.0)
    alone = Model(model.network, None, model.normaliser)
    assert all(np.array_equal(make(alone, rows, shelf, guidance=2.0)[c], plain[c]) for c in plain)
    assert not np.allclose(pushed[rows.clip_id[0]], plain[rows.clip_id[0]], atol=1e-3)
    x, c_noise = torch.randn(2, 16, 8), torch.zeros(2)
    weak, strong = model.weak(x, c_noise), model.network(x, c_noise)
    guided = sampling.guided(model.network, model.weak, 1.5)(x, c_noise)
    assert torch.allclose(guided, 1.5 * strong - 0.5 * weak, atol=1e-5)


def test_a_model_comes_back_from_its_folder(model, tmp_path):
    model.save(tmp_path, "bark", ["a", "b", "a"])
    loaded, x, c_noise = Model.load(tmp_path, CPU), torch.randn(2, 16, 8), torch.zeros(2)
    for name in ("network", "weak"):
        assert torch.equal(getattr(loaded, name)(x, c_noise), getattr(model, name)(x, c_noise))
    assert loaded.normaliser.sigma_data == model.normaliser.sigma_data
    Model(model.network, None, model.normaliser).save(tmp_path / "alone", "bark", [])
    assert Model.load(tmp_path / "alone", CPU).weak is None


def test_from_noise_the_strength_does_not_count():
    assert planning.start_sigma(settings_of(Generate, strength=9.0, start="noise"), 1) == sampling.SIGMA_MAX


def test_of_a_range_every_clip_draws_its_strength():
    generate, fixed = settings_of(Generate, strength=[0.5, 4.0]), settings_of(Generate, strength=2.0)
    drawn = [planning.start_sigma(generate, seed) for seed in range(400)]
    levels = sorted(set(drawn))
    assert len(levels) == planning.LEVELS and levels[0] == pytest.approx(0.5) and levels[-1] == pytest.approx(4.0)
    assert min(drawn.count(level) for level in levels) > 25
    assert drawn == [planning.start_sigma(generate, seed) for seed in range(400)]
    assert {planning.start_sigma(fixed, seed) for seed in range(9)} == {2.0}


def test_a_blend_lies_between_its_parents_and_is_as_long_as_the_first():
    short, long = torch.zeros(3, 5), torch.ones(3, 9)
    shares = [float(sdedit.blend(short, long, seed)[0, 0]) for seed in range(0, 2**62, 2**57)]
    assert all(0.35 <= share <= 0.65 for share in shares) and max(shares) - min(shares) > 0.15
    assert sdedit.blend(short, long, 1).shape == (3, 5) and sdedit.blend(long, short, 1).shape == (3, 9)
