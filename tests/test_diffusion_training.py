"""Training a tiny denoiser on a fabricated class."""

import math

import pandas as pd
import pytest
import torch

from counterpoise.checkpoint import Checkpoint
from counterpoise.diffusion import training
from counterpoise.latents import Normaliser, Packed, Writer
from counterpoise.params import Diffusion, Runtime

CPU, RUNTIME = torch.device("cpu"), Runtime(device="cpu", threads=1, precision="fp32")
FRAMES = [40, 12, 64, 48]  # one clip is shorter than a crop


def ridge(number, bands, frames):
    """A band of energy that moves slowly up and down, `[bands, frames]`."""
    centre = bands * (0.5 + 0.3 * torch.sin(torch.arange(frames) / 9 + number))
    return 3 * torch.exp(-(((torch.arange(bands)[:, None] - centre) / 3) ** 2)) - 11


def pack(path, latents):
    frames = [latent.shape[1] for latent in latents]
    clips = pd.DataFrame({"clip_id": [str(i) for i in range(len(frames))], "label": "bark", "source_id": "s", "fold": 1,
                          "seconds": 0.5, "frames": frames})  # fmt: skip
    writer = Writer(path, clips, latents[0].shape[0])
    for number, latent in enumerate(latents):
        writer.put(number, latent)
    writer.close()
    return Packed(path)


@pytest.fixture
def packed(tmp_path):
    return pack(tmp_path / "bark.safetensors", [ridge(i, 16, frames) for i, frames in enumerate(FRAMES)])


def settings(**change):
    values = {"steps": 40, "batch_size": 4, "crop_frames": 16, "widths": [8, 16], "learning_rate": 5e-3,
              "warmup_steps": 5, "ema_decay": 0.9, "checkpoint_every": 10}  # fmt: skip
    return Diffusion(**values | change)


def train(packed, folder, rows=range(4), picture=True, report=lambda step, loss: None, **change):
    state = Checkpoint(folder / "state.pt")
    return training.train(packed, rows, picture, settings(**change), RUNTIME, CPU, state, report)


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize("picture", [True, False])
def test_the_loss_falls(packed, tmp_path, picture):
    reports = []
    widths = [8, 16] if picture else [32, 32]
    network, normaliser = train(
        packed, tmp_path, picture=picture, widths=widths, crop_frames=16, report=lambda *pair: reports.append(pair)
    )
    steps, losses = zip(*reports)
    assert steps == (10, 20, 30, 40)
    assert losses[0] > 0.7 and losses[-1] < 0.75 * losses[0]
    assert not network.training and normaliser.sigma_data == pytest.approx(1, abs=0.2)


def test_the_result_is_the_average_of_the_weights(packed, tmp_path):
    """With hardly any decay it is the last step's weights; otherwise it lags behind them."""
    slow, _ = train(packed, tmp_path / "a", steps=20, ema_decay=0.9999)
    fast, _ = train(packed, tmp_path / "b", steps=20, ema_decay=1e-6)
    assert not torch.allclose(weights(slow), weights(fast), atol=1e-3)


def test_training_is_repeatable_and_follows_its_seed(packed, tmp_path):
    first, second, other = (
        weights(train(packed, tmp_path / name, steps=5, seed=seed)[0]) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_only_the_given_rows_are_read(packed, tmp_path):
    clean = pack(tmp_path / "a.safetensors", [ridge(i, 16, frames) for i, frames in enumerate(FRAMES)])
    spoilt = [ridge(i, 16, frames) for i, frames in enumerate(FRAMES)]
    spoilt[0][:], spoilt[3][:] = math.nan, math.nan
    spoilt = pack(tmp_path / "b.safetensors", spoilt)
    network, normaliser = train(spoilt, tmp_path / "b", rows=[1, 2], steps=12)
    expected, expected_normaliser = train(clean, tmp_path / "a", rows=[1, 2], steps=12)
    assert weights(network).isfinite().all() and torch.equal(weights(network), weights(expected))
    assert torch.equal(normaliser.mean, expected_normaliser.mean)
    assert torch.equal(normaliser.mean, Normaliser.fit(clean, [1, 2]).mean)


class Killed(Exception):
    pass


@pytest.mark.parametrize("picture", [True, False])
def test_an_interrupted_run_ends_bit_for_bit_like_an_uninterrupted_one(packed, tmp_path, picture):
    change = {"picture": picture, "widths": [8, 16] if picture else [32, 32], "steps": 30, "checkpoint_every": 7}
    whole, pieces = [], []
    expected, expected_normaliser = train(packed, tmp_path / "a", report=lambda *pair: whole.append(pair), **change)

    def killed_at_20(step, loss):
        if step == 20:
            raise Killed

    with pytest.raises(Killed):
        train(packed, tmp_path / "b", report=killed_at_20, **change)
    assert len(Checkpoint(tmp_path / "b" / "state.pt").load()["losses"]) == 14
    torch.rand(5)  # the global random numbers move on meanwhile
    network, normaliser = train(packed, tmp_path / "b", report=lambda *pair: pieces.append(pair), **change)
    assert pieces == whole and [step for step, _ in whole] == [10, 20, 30]
    assert torch.equal(weights(network), weights(expected))
    assert torch.equal(normaliser.std, expected_normaliser.std)


def test_a_finished_state_is_not_kept_for_the_last_step(packed, tmp_path):
    train(packed, tmp_path, steps=10, checkpoint_every=10)
    assert Checkpoint(tmp_path / "state.pt").load() is None


def test_a_learning_rate_far_too_large_is_told(packed, tmp_path):
    with pytest.raises(training.TrainingDiverged, match=r"loss is (nan|inf) at step \d+.*diffusion.learning_rate"):
        train(packed, tmp_path, learning_rate=1e18, warmup_steps=0)


def test_infinite_latents_are_told(tmp_path):
    packed = pack(tmp_path / "bark.safetensors", [torch.full((16, 40), math.inf)])
    with pytest.raises(training.TrainingDiverged, match="at step 1"):
        train(packed, tmp_path, rows=[0])


def test_crops_are_pieces_of_the_given_clips(packed):
    generator = torch.Generator().manual_seed(0)
    crops = training._crops(packed, [0, 3], 60, 16, generator)
    starts = set()
    for crop in crops:
        found = [
            (row, start)
            for row in (0, 3)
            for start in range(FRAMES[row] - 15)
            if torch.equal(packed[row][:, start : start + 16], crop)
        ]
        assert found
        starts.update(found)
    assert len(starts) > 20 and {row for row, _ in starts} == {0, 3}


def test_a_clip_shorter_than_a_crop_is_reflected(packed):
    crops = training._crops(packed, [1], 3, 16, torch.Generator().manual_seed(0))
    assert torch.equal(crops[:, :, :12], packed[1].expand(3, -1, -1))
    assert torch.equal(crops[0, :, 12:], packed[1][:, [10, 9, 8, 7]])
