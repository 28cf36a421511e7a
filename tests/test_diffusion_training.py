"""Training a tiny denoiser on a fabricated class."""

import math

import pandas as pd
import pytest
import torch
from settings import settings_of

from counterpoise.codecs.latents import Normaliser, Packed, Pool, Writer
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.runtime import Runtime
from counterpoise.diffusion import networks, training
from counterpoise.diffusion.settings import Diffusion

CPU, RUNTIME = torch.device("cpu"), settings_of(Runtime, device="cpu", threads=1, precision="fp32")
FRAMES = [40, 12, 64, 48]  # one clip is shorter than a crop


def ridge(number, bands, frames):
    """A band of energy that moves slowly up and down, `[bands, frames]`."""
    centre = bands * (0.5 + 0.3 * torch.sin(torch.arange(frames) / 9 + number))
    return 3 * torch.exp(-(((torch.arange(bands)[:, None] - centre) / 3) ** 2)) - 11


def pack(path, latents):
    frames = [latent.shape[1] for latent in latents]
    clips = pd.DataFrame(
        {
            "clip_id": [str(i) for i in range(len(frames))],
            "label": "bark",
            "source_id": "s",
            "fold": 1,
            "seconds": 0.5,
            "frames": frames,
        }
    )
    writer = Writer(path, clips, latents[0].shape[0])
    for number, latent in enumerate(latents):
        writer.put(number, latent)
    writer.close()
    return Packed(path)


@pytest.fixture
def packed(tmp_path):
    return pack(tmp_path / "bark.safetensors", [ridge(i, 16, frames) for i, frames in enumerate(FRAMES)])


def settings(**change):
    values = {
        "steps": 40,
        "batch_size": 4,
        "crop_frames": 16,
        "widths": [8, 16],
        "learning_rate": 5e-3,
        "warmup_steps": 5,
        "ema_decay": 0.9,
        "checkpoint_every": 10,
        "steps_per_clip": None,
        "min_steps": 1,
        "init": "scratch",
        "validate_every": 0,
        "attention": False,
    }
    return settings_of(Diffusion, **values | change)


def train(packed, folder, rows=range(4), picture=True, report=lambda step, loss: None, **change):
    state, params, pool = Checkpoint(folder / "state.pt"), settings(**change), Pool([(packed, rows)])
    network, normaliser = networks.build(params, packed.channels, picture, params.seed), Normaliser.fit(pool)
    training.train(network, pool, normaliser, params.steps, params, RUNTIME, CPU, state, report, "bark")
    return network, normaliser


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
    assert losses[0] > 0.7 and losses[-1] < 0.85 * losses[0]
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
    assert torch.equal(normaliser.mean, Normaliser.fit(Pool([(clean, [1, 2])])).mean)


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
    with pytest.raises(training.UnusableLatents, match="should be near 0 and 1.*dvc repro --force encode"):
        train(packed, tmp_path, rows=[0])


@pytest.mark.parametrize("spoil", [lambda x: x + 40, lambda x: 30 * x, lambda x: 0 * x])
def test_latents_that_do_not_fit_the_normaliser_stop_before_training(packed, tmp_path, spoil):
    pool, normaliser = Pool([(packed, range(4))]), Normaliser.fit(Pool([(packed, range(4))]))
    training.check_scale(pool, normaliser)
    spoilt = pack(
        tmp_path / "s.safetensors",
        [spoil(packed[i] - normaliser.mean[:, None]) + normaliser.mean[:, None] for i in range(4)],
    )
    with pytest.raises(training.UnusableLatents):
        training.check_scale(Pool([(spoilt, range(4))]), normaliser)


def test_a_class_far_from_the_average_of_all_can_be_trained(packed, tmp_path):
    pool = Pool([(packed, range(4))])
    own = Normaliser.fit(pool)
    for shift in (-1.5, 1.5):  # beside a base of louder or quieter classes
        training.check_scale(pool, Normaliser(own.mean - shift * own.std, own.std, own.sigma_data))


def test_a_loss_that_gives_noise_brings_advice(packed):
    assert training.advice(0.3, "bark", settings()) is None
    advice = training.advice(0.9, "bark", settings())
    assert "bark" in advice and "diffusion.steps (now 40), or set diffusion.init to shared" in advice
    advice = training.advice(0.9, "bark", settings(steps_per_clip=8, init="shared"))
    assert "diffusion.steps_per_clip (8)" in advice and "init" not in advice


def test_the_loss_that_is_returned_is_that_of_the_end(packed, tmp_path):
    reports, pool = [], Pool([(packed, range(4))])
    params = settings(steps=100)
    trained = training.train(
        networks.build(params, 16, True, 0),
        pool,
        Normaliser.fit(pool),
        100,
        params,
        RUNTIME,
        CPU,
        Checkpoint(tmp_path / "state.pt"),
        lambda *pair: reports.append(pair),
        "bark",
    )
    assert trained.loss == pytest.approx(reports[-1][1]) and trained.steps == 100


def validated(packed, folder, scores, kill_at=None, **change):
    """Train with validations every ten steps that score as told; the network, what training says, weights heard."""
    params, pool, heard = settings(validate_every=10, **change), Pool([(packed, range(4))]), {}
    network = networks.build(params, 16, True, 0)

    def validate(step, early):
        assert early
        if step == kill_at:
            raise Killed
        assert not network.training
        heard[step] = weights(network)
        return scores[step // 10 - 1]

    trained = training.train(
        network,
        pool,
        Normaliser.fit(pool),
        params.steps,
        params,
        RUNTIME,
        CPU,
        Checkpoint(folder / "s.pt"),
        lambda *pair: None,
        "bark",
        validate,
    )
    return network, trained, heard


def test_the_best_validation_is_what_remains(packed, tmp_path):
    network, trained, heard = validated(packed, tmp_path, [3.0, 1.0, 2.0, 1.5], steps=40, patience=3)
    assert trained.steps == 20 and list(heard) == [10, 20, 30, 40]
    assert torch.equal(weights(network), heard[20]) and not torch.equal(heard[20], heard[40])


def test_training_ends_when_it_gets_no_better(packed, tmp_path):
    network, _, heard = validated(packed, tmp_path, [1.0, 2.0, 2.0, 0.1], steps=40, patience=2)
    assert list(heard) == [10, 20, 30] and torch.equal(weights(network), heard[10])


def test_a_first_validation_without_any_score_is_better_than_nothing(packed, tmp_path):
    network, trained, heard = validated(packed, tmp_path, [math.inf] * 4, steps=40, patience=2)
    assert trained.steps == 10 and torch.equal(weights(network), heard[10])


def test_validations_change_nothing_of_the_training(packed, tmp_path):
    _, _, heard = validated(packed, tmp_path, [4.0, 3.0, 2.0, 1.0], steps=40)
    plain, _ = train(packed, tmp_path / "plain", steps=40)
    assert torch.equal(heard[40], weights(plain))


def test_an_interrupted_run_remembers_its_validations(packed, tmp_path):
    scores, change = [1.0, 3.0, 2.0, 4.0], {"steps": 40, "patience": 3, "checkpoint_every": 10}
    expected, told, _ = validated(packed, tmp_path / "a", scores, **change)
    with pytest.raises(Killed):
        validated(packed, tmp_path / "b", scores, kill_at=30, **change)
    network, trained, heard = validated(packed, tmp_path / "b", scores, **change)
    assert list(heard) == [30, 40] and torch.equal(weights(network), weights(expected))
    assert trained.steps == told.steps == 10
    assert all(torch.equal(trained.early[name], told.early[name]) for name in told.early)


def test_the_early_network_is_that_of_a_quarter_of_the_steps(packed, tmp_path):
    params, pool = settings(steps=40, warmup_steps=0), Pool([(packed, range(4))])
    network = networks.build(params, 16, True, 0)
    trained = training.train(
        network,
        pool,
        Normaliser.fit(pool),
        40,
        params,
        RUNTIME,
        CPU,
        Checkpoint(tmp_path / "s.pt"),
        lambda *pair: None,
        "bark",
    )
    _, other, heard = validated(packed, tmp_path / "r", [1.0] * 4, steps=40, warmup_steps=0, patience=9)
    assert not torch.equal(other.early["unet.conv_in.weight"], trained.early["unet.conv_in.weight"])  # earlier still
    early = networks.build(params, 16, True, 0)
    early.load_state_dict(trained.early)
    assert torch.equal(weights(early), heard[10])


@pytest.mark.parametrize(("clips", "steps"), [(1, 20), (5, 50), (30, 200)])
def test_the_budget_follows_the_number_of_clips(clips, steps):
    assert settings(steps=200, steps_per_clip=10, min_steps=20).budget(clips) == steps
    assert settings(steps=200).budget(clips) == 200


def test_a_base_that_is_tuned_learns_faster_than_a_fresh_network(packed, tmp_path):
    other = pack(tmp_path / "other.safetensors", [ridge(i + 0.5, 16, 40) for i in range(4)])
    both, tuned_on = Pool([(packed, range(4)), (other, range(4))]), Pool([(other, range(4))])
    params, normaliser = settings(steps=60), Normaliser.fit(both)
    base = networks.build(params, 16, True, 0, classes=2)
    first = {}
    state = Checkpoint(tmp_path / "a")
    training.train(base, both, normaliser, 60, params, RUNTIME, CPU, state, lambda *pair: None, "base")
    for name, network in (("tuned", networks.specialise(base, 1)), ("fresh", networks.build(params, 16, True, 0))):
        losses = []
        training.train(
            network,
            tuned_on,
            normaliser,
            20,
            params,
            RUNTIME,
            CPU,
            Checkpoint(tmp_path / name),
            lambda step, loss, losses=losses: losses.append(loss),
            name,
        )
        first[name] = losses[0]
    assert first["tuned"] < 0.8 * first["fresh"]


def test_classes_are_drawn_equally_often_however_many_clips_they_have(tmp_path, packed):
    single = pack(tmp_path / "one.safetensors", [ridge(9, 16, 40)])
    pool = Pool([(packed, range(4)), (single, [0])])
    _, labels = training.crops(pool, 400, 16, 0.5, torch.Generator().manual_seed(0))
    assert 160 < int(labels.sum()) < 240


def numbered(path, first, frames):
    """Clips whose frames all have other values, 64 apart from clip to clip."""
    return pack(path, [(torch.arange(n) + 64 * (first + i))[None].float().expand(4, -1) for i, n in enumerate(frames)])


# Of the release before there were unlabelled clips
LABELS = [1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1]
STARTS = [287, 133, 326, 328, 323, 150, 5, 323, 130, 272, 281, 329]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_without_unlabelled_clips_crops_are_those_that_they_ever_were(tmp_path, share):
    parts = [(numbered(tmp_path / "a", 0, [40, 12, 64, 48]), range(4)), (numbered(tmp_path / "b", 4, [40, 20]), [0, 1])]
    generator, other = (torch.Generator().manual_seed(5) for _ in range(2))
    for pool in (Pool(parts), Pool([*parts, (parts[0][0], [])], unlabelled=2)):  # also where none may be learned
        crops, labels = training.crops(pool, 12, 8, share, generator.set_state(other.get_state()))
        assert (labels.tolist(), crops[:, 0, 0].tolist()) == (LABELS, STARTS)
    torch.rand(3, 12, generator=other)
    assert torch.equal(generator.get_state(), other.get_state())


def test_unlabelled_clips_have_their_share_and_classes_the_rest_in_equal_parts(tmp_path, packed):
    single = pack(tmp_path / "one.safetensors", [ridge(9, 16, 40)])
    pool = Pool([(packed, range(3)), (single, [0]), (packed, [3])], unlabelled=2)
    for share in (0.0, 0.25, 0.8):
        _, labels = training.crops(pool, 4000, 16, share, torch.Generator().manual_seed(0))
        shares = torch.bincount(labels, minlength=3) / 4000
        assert shares.tolist() == pytest.approx([(1 - share) / 2, (1 - share) / 2, share], abs=0.03)


def test_a_base_learns_unlabelled_clips_and_the_share_counts(packed, tmp_path):
    pool = Pool([(packed, [0]), (packed, [1]), (packed, [2, 3])], unlabelled=2)
    found = []
    for share in (0.0, 0.5):
        params, state = settings(steps=4, unlabelled_share=share), Checkpoint(tmp_path / str(share))
        network = networks.build(params, 16, True, 0, classes=3)
        before = network.unet.class_embedding.weight[2].clone()
        report = lambda step, loss: None  # noqa: E731
        training.train(network, pool, Normaliser.fit(pool), 4, params, RUNTIME, CPU, state, report, "base")
        found.append(network.unet.class_embedding.weight[2].detach() - before.detach())
    assert found[0].abs().max() < 0.1 * found[1].abs().max()


def test_crops_are_pieces_of_the_given_clips(packed):
    generator = torch.Generator().manual_seed(0)
    crops, labels = training.crops(Pool([(packed, [0, 3])]), 60, 16, 0.5, generator)
    assert labels.tolist() == [0] * 60
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
    crops, _ = training.crops(Pool([(packed, [1])]), 3, 16, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(crops[:, :, :12], packed[1].expand(3, -1, -1))
    assert torch.equal(crops[0, :, 12:], packed[1][:, [10, 9, 8, 7]])
