"""Features from a denoiser's activations: what is read, and what is learned of it."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.special
import torch
from settings import settings_of
from torch import Tensor, nn

from counterpoise.arms import arm
from counterpoise.codecs.latents import Normaliser, Packed, Shelf, Writer, lengthened
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.runtime import Runtime, setup
from counterpoise.diffusion import networks
from counterpoise.diffusion.settings import Diffusion
from counterpoise.diffusion_classifier import features, head, table
from counterpoise.diffusion_classifier.settings import DiffusionClassifier
from counterpoise.ensembles import systems
from counterpoise.ensembles.settings import FEATURES, Ensembles
from counterpoise.ensembles.systems import Heard

CHANNELS = 16
LENGTHS = [5, 8, 9, 16, 17, 30, 31, 33] * 3
LABELS = ["low", "high"]
KINDS = pytest.mark.parametrize("picture", [True, False], ids=["2-D", "1-D"])


def a_base(picture: bool) -> networks.Denoiser:
    """A tiny class-conditioned network whose classes differ."""
    widths = [8, 16] if picture else [32, 32]
    network = networks.build(settings_of(Diffusion, widths=widths), CHANNELS, picture, 0, classes=2).eval()
    if not picture:
        nn.init.normal_(network.offset.weight, generator=torch.Generator().manual_seed(1))
    return network


def latents(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(CHANNELS, frames, generator=generator).half().float() for frames in LENGTHS]


def shelf_of(path: Path, clips: list[Tensor], label: str = "low") -> tuple[Shelf, list[str]]:
    rows = pd.DataFrame({"clip_id": [f"c{i}" for i in range(len(clips))], "label": label, "fold": 1, "seconds": 1.0})
    rows = rows.assign(source_id=rows.clip_id, frames=[clip.shape[1] for clip in clips])
    writer = Writer(path, rows, CHANNELS)
    for row, clip in enumerate(clips):
        writer.put(row, clip)
    writer.close()
    return Shelf([Packed(path)]), rows.clip_id.tolist()


NORMALISER = Normaliser(torch.linspace(-0.2, 0.2, CHANNELS), torch.linspace(0.5, 1.5, CHANNELS), 0.9)


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    return shelf_of(tmp_path / "latents.safetensors", latents())[0]


IDS = [f"c{i}" for i in range(len(LENGTHS))]


def measured(network: nn.Module, shelf: Shelf, state: Path, clip_ids: list[str] = IDS, **changes) -> np.ndarray:
    runtime = settings_of(Runtime, precision="fp32")
    settings = settings_of(DiffusionClassifier, **changes)
    return features.measure(network, NORMALISER, clip_ids, shelf, settings, runtime, setup(runtime), Checkpoint(state))


def statistics(*activations: Tensor) -> Tensor:
    flat = [each.flatten(1) for each in activations]
    return torch.cat([s for a in flat for s in (a.mean(1), a.var(1, correction=0).sqrt(), a.max(1).values)])


class Pointwise(nn.Module):
    """Stands for a network: its blocks see each frame, or four frames, and no others."""

    frame_multiple = shortest = 8

    def __init__(self) -> None:
        super().__init__()
        self.unet = SimpleNamespace(mid_block=nn.AvgPool1d(4), up_blocks=[nn.Identity()])

    def forward(self, x: Tensor, c_noise: Tensor) -> None:
        self.unet.mid_block(x)
        self.unet.up_blocks[0](x)


def test_statistics_are_of_the_clips_own_positions_alone(shelf, tmp_path):
    """Without noise, each clip's features are those of its latent; a position that is half padding is its own, too."""
    found = torch.from_numpy(measured(Pointwise(), shelf, tmp_path / "state.pt", feature_sigma=1e-6))
    assert found.dtype == torch.float32 and found.shape == (len(IDS), 2 * 3 * CHANNELS)
    for row, clip_id in enumerate(IDS):
        own = NORMALISER(shelf[clip_id]) / NORMALISER.sigma_data
        torch.testing.assert_close(found[row, 3 * CHANNELS :], statistics(own), atol=1e-4, rtol=0)
        by_four = lengthened([own], 8)[0].unflatten(1, (-1, 4)).mean(2)[:, : math.ceil(own.shape[1] / 4)]
        torch.testing.assert_close(found[row, : 3 * CHANNELS], statistics(by_four), atol=1e-4, rtol=0)


def blocks_of(network: networks.Denoiser, x: Tensor, c_noise: Tensor) -> list[Tensor]:
    """What the middle block and the up blocks put out, by running the network's parts one after the other."""
    unet, h, skips = network.unet, x, []
    if isinstance(network, networks.MelUNet):
        h = x.reshape(len(x), CHANNELS // 4, 4, x.shape[2] // 2, 2).permute(0, 2, 4, 1, 3).flatten(1, 2)
        embedding = unet.time_embedding(unet.time_proj(c_noise * 1000))
        h = unet.conv_in(h)
        skips = [h]
    else:
        h = x + network.offset.weight[0][:, None]
        embedding = unet.time_proj(c_noise)[..., None].expand(-1, -1, x.shape[2])
    for block in unet.down_blocks:
        h, more = block(h, embedding)
        skips += more
    found = [unet.mid_block(h, embedding)]
    for block in unet.up_blocks:
        taken = len(block.resnets) if isinstance(network, networks.MelUNet) else 1
        found.append(block(found[-1], tuple(skips[-taken:]), embedding))
        del skips[-taken:]
    return found


@KINDS
def test_features_are_those_of_the_middle_block_and_of_every_up_block(picture, tmp_path):
    network = networks.generalise(a_base(picture))
    clips = [latent[:, :1].repeat(1, 32) + torch.linspace(0, 1, 32) for latent in latents()[:3]]  # nothing is padded
    shelf, clip_ids = shelf_of(tmp_path / "latents.safetensors", clips)
    found = torch.from_numpy(measured(network, shelf, tmp_path / "state.pt", clip_ids, feature_sigma=1e-6))
    x = torch.stack([NORMALISER(shelf[clip_id]) / NORMALISER.sigma_data for clip_id in clip_ids])
    with torch.no_grad():
        outputs = blocks_of(network, x, torch.full((3,), float(np.log(1e-6) / 4)))
    assert len(outputs) == 3
    expected = torch.stack([statistics(*(output[at] for output in outputs)) for at in range(3)])
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@KINDS
def test_a_clips_features_do_not_depend_on_its_batch(picture, shelf, tmp_path):
    network = networks.generalise(a_base(picture))
    together = measured(network, shelf, tmp_path / "together.pt", batch_size=16)
    alone = measured(network, shelf, tmp_path / "alone.pt", IDS[::-1], batch_size=1)[::-1]
    np.testing.assert_allclose(alone, together, atol=1e-4)
    assert np.abs(together[0] - together[8]).max() > 0.01  # clips of the same length, in the same batch


def test_noise_depends_on_the_clip_and_the_seed(tmp_path):
    same = [latents()[3]] * 2
    shelf, clip_ids = shelf_of(tmp_path / "latents.safetensors", same)
    first, other = (measured(Pointwise(), shelf, tmp_path / f"{seed}.pt", clip_ids, seed=seed) for seed in (0, 1))
    assert not np.allclose(first[0], first[1], atol=1e-3)
    assert not np.allclose(first[0], other[0], atol=1e-3)


@KINDS
def test_no_label_is_used(picture, shelf, tmp_path):
    """Neither the files' labels nor the order in which the base knows the classes make a difference."""
    network = a_base(picture)
    found = measured(networks.generalise(network), shelf, tmp_path / "a.pt")
    others = shelf_of(tmp_path / "other.safetensors", latents(), label="high")[0]
    assert (measured(networks.generalise(network), others, tmp_path / "b.pt") == found).all()
    first = measured(networks.specialise(network, 0), shelf, tmp_path / "c.pt")
    embedding = network.unet.class_embedding if picture else network.offset
    embedding.weight.data = embedding.weight.data.flip(0)
    np.testing.assert_allclose(measured(networks.generalise(network), shelf, tmp_path / "d.pt"), found, atol=1e-4)
    assert not np.allclose(measured(networks.specialise(network, 0), shelf, tmp_path / "e.pt"), first, atol=1e-2)


def test_an_interrupted_reading_goes_on_to_the_same_bits(shelf, tmp_path):
    class Killed(Exception):
        pass

    calls = 0

    def fail(*_):
        nonlocal calls
        calls += 1
        if calls == 21:
            raise Killed

    network = networks.generalise(a_base(picture=True))
    whole = measured(network, shelf, tmp_path / "whole.pt", batch_size=1)
    network.register_forward_pre_hook(fail)
    with pytest.raises(Killed):
        measured(network, shelf, tmp_path / "killed.pt", batch_size=1)
    assert (measured(network, shelf, tmp_path / "killed.pt", batch_size=1) == whole).all()
    assert calls - 21 < len(IDS)  # what was finished was not read again


def population(seed: int, amounts: tuple[int, int] = (90, 30), apart: float = 2.0) -> tuple[np.ndarray, pd.DataFrame]:
    """Features and clips of two classes: three clips of each recording, of which every third is held out."""
    rng = np.random.default_rng(seed)
    truth = np.repeat([0, 1], amounts)
    recording = np.arange(len(truth)) // 3
    clips = pd.DataFrame({"clip_id": [f"c{i}" for i in range(len(truth))], "label": np.array(LABELS)[truth]})
    clips["source_id"] = [f"r{i}" for i in recording]
    clips["partition"] = np.select([recording % 6 == 1, recording % 6 == 3], ["val", "test"], "train")
    found = rng.standard_normal((len(truth), 20))
    found[:, 0] += apart * truth
    return (found * 5 + 3).astype(np.float32), clips


def columns_of(rows: pd.DataFrame) -> np.ndarray:
    return rows[list(table.probabilities(LABELS))[2:]].to_numpy()


def test_the_head_separates_classes():
    found, clips = population(0, apart=6.0)
    rows, card = head.classify(found, clips, LABELS)
    held_out = clips[clips.partition != "train"]
    assert list(rows.columns) == list(table.probabilities(LABELS))
    assert rows.clip_id.tolist() == held_out.clip_id.tolist()
    assert rows.partition.tolist() == held_out.partition.tolist()
    said = columns_of(rows)
    np.testing.assert_allclose(said.sum(1), 1)
    assert (np.array(LABELS)[said.argmax(1)] == held_out.label).mean() > 0.95
    assert card["features"] == 20 and card["C"] in head.GRID and 0 < card["log_loss"] < 0.3


def test_the_head_learns_from_training_clips_alone():
    found, clips = population(1)
    rows, card = head.classify(found, clips, LABELS)
    held_out, is_val = clips.partition != "train", clips.partition == "val"
    wrong = clips.assign(label=clips.label.where(~held_out, "low"))
    again, same = head.classify(np.where(is_val.to_numpy()[:, None], 1e3, found), wrong, LABELS)
    is_test = (rows.partition == "test").to_numpy()
    assert same == card and (columns_of(again)[is_test] == columns_of(rows)[is_test]).all()
    assert (columns_of(again)[~is_test] != columns_of(rows)[~is_test]).any()
    training = clips.assign(label=np.where(~held_out & (clips.index % 2 == 0), "high", clips.label))
    assert head.classify(found, training, LABELS)[1] != card


def test_the_heads_prior_is_uniform():
    found, clips = population(2, amounts=(270, 30), apart=0.0)
    assert abs(columns_of(head.classify(found, clips, LABELS)[0]).mean(0)[0] - 0.5) < 0.15


def test_c_is_chosen_across_recordings():
    """Features that tell recordings apart, and not classes, must look useless."""
    found, clips = population(3, amounts=(60, 60), apart=0.0)
    recordings = np.unique(clips.source_id, return_inverse=True)[1]
    found = np.random.default_rng(0).standard_normal((recordings.max() + 1, 40))[recordings] + 1e-3 * found[:, :1]
    assert head.classify(found, clips, LABELS)[1]["log_loss"] > 0.6


def test_c_is_fixed_where_a_class_has_one_recording():
    found, clips = population(4)
    clips.loc[(clips.label == "high") & (clips.partition == "train"), "source_id"] = "one"
    rows, card = head.classify(found, clips, LABELS)
    assert card == {"features": 20, "C": head.UNCHOSEN, "log_loss": None}
    assert np.isfinite(columns_of(rows)).all()


def ensembles(**members) -> Ensembles:
    return Ensembles(prior="uniform", systems={"together": members})


def test_a_system_with_features_is_not_cheap_and_is_left_out_where_there_are_none():
    together = ensembles(none=1.0, features=1.0)
    assert not together.is_cheap("together", {"none": True}) and ensembles(none=1.0).is_cheap(
        "together", {"none": True}
    )
    assert together.places(["none"], ["cnn"], 1, 9, {}) == ([("together", "cnn")], [])
    found, reasons = together.places(["none"], ["cnn"], 1, 9, {FEATURES: "there is no base"})
    assert not found and reasons == ["together is left out of the table of cnn: there is no base"]
    assert ensembles(none=1.0).places(["none"], ["cnn"], 1, 9, {FEATURES: "there is no base"})[0]


def test_features_are_a_member_with_one_weight():
    names = arm.names()
    assert not ensembles(features=0.5).problems(names, ["cnn"], LABELS)
    assert "one weight" in ensembles(features=[0.5, 0.5]).problems(names, ["cnn"], LABELS)[0]
    assert "'featres' is no member" in ensembles(featres=1.0).problems(names, ["cnn"], LABELS)[0]


def test_the_features_log_likelihoods_are_added():
    rng = np.random.default_rng(0)
    network, read = rng.standard_normal((2, 5, 2))
    heard = Heard({("none", "cnn", 0): network}, {FEATURES: read})
    together, prior = ensembles(none=1.0, features=0.5), np.full(2, 0.5)
    (answer,) = systems.answers(together, [("together", "cnn")], [0], heard, np.zeros(5, int), heard, prior)
    np.testing.assert_allclose(answer.probabilities, scipy.special.softmax(network + 0.5 * read, axis=1))
    assert answer.weights == {"none-cnn/seed0": 1.0, FEATURES: 0.5}
