"""Packed latents on disk, their normaliser, and their lengthening."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from counterpoise.codecs.latents import (
    CLIP_COLUMNS,
    LatentsError,
    Normaliser,
    Packed,
    Pool,
    Writer,
    batches,
    lengthened,
    reflect,
)

FRAMES = [5, 9, 1, 7]
CHANNELS = 6


def clips(frames):
    return pd.DataFrame(
        {
            "clip_id": [f"{i:03d}" for i in range(len(frames))],
            "label": "bark",
            "source_id": ["007", "1e5", "", 'é,"x'][: len(frames)],
            "fold": 1,
            "seconds": 0.1 * np.array(frames),
            "frames": frames,
        }
    )


def pack(path, latents):
    """The file of these latents, each `[C, T_i]`."""
    writer = Writer(path, clips([latent.shape[1] for latent in latents]), latents[0].shape[0])
    for row, latent in enumerate(latents):
        writer.put(row, latent)
    writer.close()
    return Packed(path)


@pytest.fixture
def latents():
    """Four clips, every channel with another mean and width."""
    generator = torch.Generator().manual_seed(0)
    mean, std = torch.arange(CHANNELS)[:, None] * 3.0 - 8, torch.arange(1, CHANNELS + 1)[:, None] * 2.0
    return [mean + std * torch.randn(CHANNELS, frames, generator=generator) for frames in FRAMES]


def test_what_is_packed_comes_back_in_its_own_length(tmp_path, latents):
    packed = pack(tmp_path / "bark.safetensors", latents)
    assert len(packed) == 4 and packed.channels == CHANNELS
    for row, latent in enumerate(latents):
        assert packed[row].dtype == torch.float32 and packed[row].shape == latent.shape
        assert torch.allclose(packed[row], latent, rtol=2**-10)  # float16
    expected = clips(FRAMES)[CLIP_COLUMNS]
    pd.testing.assert_frame_equal(packed.clips, expected)


def test_the_order_of_writing_does_not_matter(tmp_path, latents):
    writer = Writer(tmp_path / "other.safetensors", clips(FRAMES), CHANNELS)
    for row in (2, 0, 3, 1):
        writer.put(row, latents[row])
    writer.close()
    pack(tmp_path / "bark.safetensors", latents)
    assert (tmp_path / "other.safetensors").read_bytes() == (tmp_path / "bark.safetensors").read_bytes()


def test_a_latent_is_cut_to_its_clips_frames(tmp_path, latents):
    writer = Writer(tmp_path / "bark.safetensors", clips(FRAMES), CHANNELS)
    for row, latent in enumerate(latents):
        writer.put(row, torch.cat([latent, torch.full((CHANNELS, 30), torch.nan)], dim=1))
    writer.close()
    stored = load_file(tmp_path / "bark.safetensors")["latents"]
    assert stored.isfinite().all()


def test_plain_safetensors_opens_the_file(tmp_path, latents):
    pack(tmp_path / "bark.safetensors", latents)
    stored = load_file(tmp_path / "bark.safetensors")
    assert list(stored) == ["latents"] and stored["latents"].dtype == torch.float16
    assert stored["latents"].shape == (4, CHANNELS, max(FRAMES))
    for row, frames in enumerate(FRAMES):
        assert torch.equal(stored["latents"][row, :, :frames], latents[row].half())
        assert not stored["latents"][row, :, frames:].any()


def test_the_file_has_its_name_only_when_it_is_complete(tmp_path, latents):
    path = tmp_path / "new" / "bark.safetensors"
    writer = Writer(path, clips(FRAMES), CHANNELS)
    for row, latent in enumerate(latents):
        writer.put(row, latent)
        assert not path.exists()
    writer.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["bark.safetensors", "bark.safetensors.blake2b"]


def test_a_missing_file_is_named_with_the_next_command(tmp_path):
    with pytest.raises(LatentsError, match="bark.safetensors is missing: run `dvc repro encode`"):
        Packed(tmp_path / "bark.safetensors")


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-10])


def another_tensor(path):
    save_file({"weights": torch.zeros(3)}, path, metadata={"clips": "[]"})


def without_metadata(path):
    save_file({"latents": torch.zeros(1, 2, 3)}, path)


@pytest.mark.parametrize(
    "spoil",
    [cut_short, another_tensor, without_metadata, lambda path: path.write_text("no"), lambda path: path.write_text("")],
)
def test_a_file_that_is_not_ours_is_refused(tmp_path, latents, spoil):
    path = tmp_path / "bark.safetensors"
    pack(path, latents)
    spoil(path)
    with pytest.raises(LatentsError, match="bark.safetensors is no file of latents.*dvc repro encode"):
        Packed(path)


def test_the_fitted_rows_have_mean_zero_and_variance_one(tmp_path, latents):
    packed = pack(tmp_path / "bark.safetensors", latents)
    normaliser = Normaliser.fit(Pool([(packed, range(4))]))
    together = torch.cat([normaliser(packed[row]) for row in range(4)], dim=1)
    assert torch.allclose(together.mean(1), torch.zeros(CHANNELS), atol=1e-5)
    assert torch.allclose(together.std(1, correction=0), torch.ones(CHANNELS), atol=1e-4)
    assert normaliser.sigma_data == pytest.approx(1.0, abs=1e-6)
    assert normaliser.sigma_data == pytest.approx(float(together.square().mean().sqrt()), abs=1e-4)


def test_rows_that_are_not_given_leave_no_trace(tmp_path, latents):
    normaliser = Normaliser.fit(Pool([(pack(tmp_path / "a.safetensors", latents), [0, 2])]))
    held_out_changed = [latents[0], 1000 + latents[1], latents[2], torch.full_like(latents[3], torch.nan)]
    other = Normaliser.fit(Pool([(pack(tmp_path / "b.safetensors", held_out_changed), [0, 2])]))
    assert torch.equal(normaliser.mean, other.mean) and torch.equal(normaliser.std, other.std)
    assert normaliser.sigma_data == other.sigma_data
    everything = Normaliser.fit(Pool([(pack(tmp_path / "c.safetensors", latents), range(4))]))
    assert not torch.allclose(normaliser.mean, everything.mean, atol=1e-2)


def test_a_channel_that_does_not_move_is_not_blown_up(tmp_path, latents):
    still = [latent.clone() for latent in latents]
    for latent in still:
        latent[0] = -11.5
    packed = pack(tmp_path / "bark.safetensors", still)
    normaliser = Normaliser.fit(Pool([(packed, range(4))]))
    assert normaliser.std[0] == pytest.approx(0.05 * float(normaliser.std.max()))
    assert normaliser(packed[1])[0].abs().max() < 1e-4
    together = torch.cat([normaliser(packed[row]) for row in range(4)], dim=1)
    assert normaliser.sigma_data == pytest.approx(float(together.square().mean().sqrt()), abs=1e-4)
    assert normaliser.sigma_data == pytest.approx((5 / 6) ** 0.5, abs=1e-4)


def test_a_large_mean_does_not_eat_a_small_variance(tmp_path):
    latent = 500 + torch.tensor([[-0.5, 0.5] * 50, [-1.0, 1.0] * 50])
    normaliser = Normaliser.fit(Pool([(pack(tmp_path / "bark.safetensors", [latent]), [0])]))
    assert torch.allclose(normaliser.std, torch.tensor([0.5, 1.0]), rtol=1e-5)


def test_the_inverse_gives_the_latent_back(tmp_path, latents):
    normaliser = Normaliser.fit(Pool([(pack(tmp_path / "bark.safetensors", latents), [0, 1])]))
    batch = torch.stack([latents[1], 2 * latents[1]])
    assert torch.allclose(normaliser.inverse(normaliser(batch)), batch, atol=1e-4)
    assert torch.equal(normaliser(batch)[0], normaliser(latents[1]))


def test_a_saved_normaliser_is_the_same(tmp_path, latents):
    normaliser = Normaliser.fit(Pool([(pack(tmp_path / "bark.safetensors", latents), [0, 1])]))
    normaliser.save(tmp_path / "normaliser.safetensors")
    back = Normaliser.load(tmp_path / "normaliser.safetensors")
    assert torch.equal(back(latents[0]), normaliser(latents[0]))
    assert back.sigma_data == pytest.approx(normaliser.sigma_data, rel=1e-7)


@pytest.mark.parametrize(
    ("length", "frames", "expected"),
    [
        (4, 11, [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]),
        (4, 4, [0, 1, 2, 3]),
        (4, 2, [0, 1]),
        (2, 5, [0, 1, 0, 1, 0]),
        (1, 3, [0, 0, 0]),
    ],
)
def test_reflect_goes_back_and_forth(length, frames, expected):
    latent = torch.stack([torch.arange(length), 10 + torch.arange(length)])
    assert reflect(latent, frames).tolist() == [expected, [10 + value for value in expected]]


def test_a_pool_holds_the_given_rows_of_several_classes(tmp_path, latents):
    first, second = pack(tmp_path / "a.safetensors", latents), pack(tmp_path / "b.safetensors", latents[:2])
    pool = Pool([(first, [3, 1]), (second, []), (second, [0])])
    assert len(pool) == 3 and pool.channels == CHANNELS
    assert pool.labels == [0, 0, 2] and pool.clip_ids == ["003", "001", "000"]
    for index, expected in enumerate((first[3], first[1], second[0])):
        assert torch.equal(pool[index], expected)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_batches_hold_each_clip_once_and_one_padded_length(size):
    frames = [1, 8, 9, 16, 17, 3, 8, 24, 8, 2, 40]
    grouped = batches(frames, 8, size)
    assert sorted(index for batch in grouped for index in batch) == list(range(len(frames)))
    for batch in grouped:
        assert 1 <= len(batch) <= size
        assert len({-(-frames[index] // 8) for index in batch}) == 1


def test_no_clips_make_no_batches():
    assert batches([], 8, 4) == []


def test_clips_of_different_strengths_share_no_batch():
    grouped = batches([30, 30, 30, 9], 8, 4, [1.0, 2.0, 1.0, 1.0])
    assert sorted(map(sorted, grouped)) == [[0, 2], [1], [3]]


def test_lengthened_latents_are_reflected_to_one_multiple():
    made = lengthened([torch.arange(3.0)[None], torch.arange(9.0)[None]], 8)
    assert made.shape == (2, 1, 16)
    assert made[0, 0].tolist() == [0, 1, 2, 1] * 4
    assert made[1, 0, 9:].tolist() == [7, 6, 5, 4, 3, 2, 1]
