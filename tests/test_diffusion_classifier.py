"""The diffusion classifier, against Gaussians whose optimal denoiser, density and Bayes classifier are formulas."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from pydantic import ValidationError
from settings import settings_of

from counterpoise.codecs.latents import Normaliser, Packed, Shelf, Writer
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.runtime import Runtime, setup
from counterpoise.diffusion_classifier import losses, posterior, table
from counterpoise.diffusion_classifier.losses import Denoiser
from counterpoise.diffusion_classifier.settings import DiffusionClassifier

CHANNELS, FRAMES, CLASSES = 3, 8, 3
LABELS = ["low", "middle", "wide"]
MEANS = np.array([[-0.4, 0.0, 0.3], [0.2, 0.1, 0.0], [0.0, 0.0, 0.0]])  # [K, C]
STDS = np.array([[0.7, 1.0, 0.5], [0.7, 0.6, 0.5], [1.4, 1.0, 0.9]])  # [K, C]
LEVELS = np.geomspace(0.02, 60, 19).tolist()


class Gaussian:
    """The optimal denoiser of independent Gaussian elements, as F of EDM's preconditioning."""

    def __init__(self, mean: np.ndarray, std: np.ndarray, normaliser: Normaliser) -> None:
        own_mean, own_std = normaliser.mean.numpy(), normaliser.std.numpy()
        self.mean = torch.tensor((mean - own_mean) / own_std, dtype=torch.float64)[:, None]
        self.variance = torch.tensor((std / own_std) ** 2, dtype=torch.float64)[:, None]
        self.data = normaliser.sigma_data

    def __call__(self, scaled, c_noise, label):
        sigma = (4 * c_noise.double()).exp()[:, None, None]
        total = sigma**2 + self.data**2
        x = scaled.double() * total.sqrt()
        best = self.mean + self.variance / (self.variance + sigma**2) * (x - self.mean)
        return (best - self.data**2 / total * x) / (sigma * self.data / total.sqrt())


def normaliser(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), sigma_data=1.0) -> Normaliser:
    return Normaliser(torch.tensor(mean), torch.tensor(std), sigma_data)


def denoisers(normalisers: list[Normaliser]) -> list[Denoiser]:
    return [Denoiser(Gaussian(MEANS[k], STDS[k], own), None, own, 4, 4) for k, own in enumerate(normalisers)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> tuple[Shelf, list[str], np.ndarray, np.ndarray]:
    """Latents of 60 clips, 20 of each Gaussian: on a shelf, their ids, as an array `[N, C, T]`, their classes."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(CLASSES), 20)
    latents = MEANS[truth][..., None] + STDS[truth][..., None] * rng.standard_normal((60, CHANNELS, FRAMES))
    latents = latents.astype(np.float16).astype(np.float64)
    rows = pd.DataFrame({"clip_id": [f"c{i}" for i in range(60)], "label": [LABELS[k] for k in truth]})
    rows = rows.assign(source_id=rows.clip_id, fold=1, seconds=1.0, frames=FRAMES)
    path = tmp_path_factory.mktemp("latents") / "all.safetensors"
    writer = Writer(path, rows, CHANNELS)
    for row, latent in enumerate(latents):
        writer.put(row, torch.from_numpy(latent))
    writer.close()
    return Shelf([Packed(path)]), rows.clip_id.tolist(), latents, truth


def measured(clips, own: list[Denoiser], tmp_path, **changes) -> np.ndarray:
    shelf, clip_ids, _, _ = clips
    runtime = settings_of(Runtime, precision="fp32")
    settings = settings_of(DiffusionClassifier, **changes)
    state = Checkpoint(tmp_path / f"{len(list(tmp_path.iterdir()))}.pt")
    return losses.measure(own, clip_ids, shelf, settings, runtime, setup(runtime), state)


def log_densities(latents: np.ndarray) -> np.ndarray:
    """The true log-densities `[N, K]`."""
    return np.stack(
        [
            scipy.stats.norm.logpdf(latents, MEANS[k][:, None], STDS[k][:, None]).sum(axis=(1, 2))
            for k in range(CLASSES)
        ],
        axis=1,
    )


@pytest.mark.parametrize("own", ["one normaliser", "a normaliser of each class"])
def test_the_bound_of_optimal_denoisers_is_the_density_itself(own, clips, tmp_path):
    """Differences of log-likelihoods between classes, whose noise is common, are those of the true densities."""
    if own == "one normaliser":
        normalisers = [normaliser((0.1, -0.2, 0.0), (1.2, 0.8, 0.9), 0.9)] * CLASSES
    else:  # each class's denoiser knows latents of zero mean and unit variance
        normalisers = [normaliser(MEANS[k].tolist(), STDS[k].tolist()) for k in range(CLASSES)]
    models = denoisers(normalisers)
    found = measured(clips, models, tmp_path, sigmas=LEVELS, draws=20)
    bound = posterior.calibrate(
        "likelihood", found, clips[3], LEVELS, CHANNELS * FRAMES, losses.volumes(models)
    ).log_likelihoods(found)
    true = log_densities(clips[2])
    true -= np.log(np.exp(true).sum(axis=1, keepdims=True))
    assert np.abs(bound - true).mean() < 0.5  # of differences that span tens of nats
    assert np.ptp(true) > 20
    assert (bound.argmax(1) == true.argmax(1)).mean() > 0.95
    wrong = posterior.calibrate("likelihood", found, clips[3], LEVELS, CHANNELS * FRAMES, np.zeros(CLASSES))
    same_without_volumes = np.allclose(wrong.log_likelihoods(found), bound)
    assert same_without_volumes == (own == "one normaliser")


def test_a_fit_mends_what_is_wrong_and_leaves_no_class_behind(clips, tmp_path):
    """With losses of one class shifted, standard errs and fitted does not."""
    models = denoisers([normaliser()] * CLASSES)
    sigmas = [0.3, 1.0, 3.0]
    found = measured(clips, models, tmp_path, sigmas=sigmas, draws=4)
    shifted = found + np.array([0.0, 0.0, 0.3])[:, None, None]
    truth, elements, volumes = clips[3], CHANNELS * FRAMES, np.zeros(CLASSES)
    fit, rest = np.arange(0, 60, 2), np.arange(1, 60, 2)
    right = {}
    for how in ("standard", "fitted"):
        calibration = posterior.calibrate(how, shifted[fit], truth[fit], sigmas, elements, volumes)
        right[how] = (calibration.log_likelihoods(shifted[rest]).argmax(1) == truth[rest]).mean()
    assert right["fitted"] > right["standard"] + 0.1
    optimal = (log_densities(clips[2])[rest].argmax(1) == truth[rest]).mean()
    assert right["fitted"] > optimal - 0.15


@pytest.mark.parametrize("how", ["standard", "fitted"])
def test_normalisers_of_their_own_leave_no_class_behind(how, clips, tmp_path):
    """A wide class has the lowest losses in its own units for every clip; the change of variables mends that."""
    normalisers = [normaliser(MEANS[k].tolist(), STDS[k].tolist()) for k in range(CLASSES)]
    models, sigmas = denoisers(normalisers), [0.3, 0.6, 1.0, 1.7, 3.0]
    found = measured(clips, models, tmp_path, sigmas=sigmas, draws=4)
    elements, volumes = CHANNELS * FRAMES, losses.volumes(models)
    said = posterior.calibrate(how, found, clips[3], sigmas, elements, volumes).log_likelihoods(found)
    assert (said.argmax(1) == clips[3]).mean() > 0.85
    ignored = posterior.calibrate(how, found, clips[3], sigmas, elements, np.zeros(CLASSES)).log_likelihoods(found)
    if how == "standard":
        assert (ignored.argmax(1) == clips[3]).mean() < 0.5


@pytest.mark.parametrize("sigmas", [[3.0, 1.0], [1.0, 1.0], []])
def test_noise_levels_rise(sigmas):
    with pytest.raises(ValidationError):
        settings_of(DiffusionClassifier, sigmas=sigmas)


def test_standard_gives_every_level_the_same_spread(clips, tmp_path):
    sigmas = [0.3, 1.0, 3.0]
    found = measured(clips, denoisers([normaliser()] * CLASSES), tmp_path, sigmas=sigmas)
    calibration = posterior.calibrate("standard", found, clips[3], sigmas, 1.0, np.zeros(CLASSES))
    evidence = posterior.evidence("standard", found, calibration.rule, calibration.change)
    np.testing.assert_allclose((evidence * calibration.weights).std(axis=(0, 1)), 1)


def test_a_complex_clip_is_hardly_surer_than_a_simple_one(clips, tmp_path):
    """Losses a hundred times as large, with the same order of classes, move `standard` little and `likelihood` much."""
    sigmas = [0.3, 1.0, 3.0]
    found = measured(clips, denoisers([normaliser()] * CLASSES), tmp_path, sigmas=sigmas, draws=4)
    span = {}
    for how in ("likelihood", "standard"):
        calibration = posterior.calibrate(how, found, clips[3], sigmas, 1.0, np.zeros(CLASSES))
        plain, large = (np.ptp(calibration.log_likelihoods(one), axis=1) for one in (found, 100 * found))
        span[how] = np.median(large / plain)
    assert span["likelihood"] == pytest.approx(100)
    assert 1 < span["standard"] < 5


def test_the_noise_is_common_to_all_classes_and_other_for_each_clip_level_and_draw(clips, tmp_path):
    """Classes with the same denoiser have the same losses, to the bit."""
    same = [denoisers([normaliser()] * CLASSES)[2]] * 2
    found = measured(clips, same, tmp_path, sigmas=[0.5, 1.0], draws=2)
    assert (found[:, 0] == found[:, 1]).all()
    assert len(np.unique(found[:, 0])) == found[:, 0].size


def test_an_interrupted_measurement_goes_on_to_the_same_bits(clips, tmp_path):
    class Killed(Exception):
        pass

    class Failing(Gaussian):
        calls = 0

        def __call__(self, *arguments):
            Failing.calls += 1
            if Failing.calls == 9:
                raise Killed
            return super().__call__(*arguments)

    own = normaliser()
    models = denoisers([own] * CLASSES)
    whole = measured(clips, models, tmp_path, sigmas=[0.5, 1.0], batch_size=8)
    failing = [Denoiser(Failing(MEANS[0], STDS[0], own), None, own, 4, 4), *models[1:]]
    shelf, clip_ids, _, _ = clips
    runtime = settings_of(Runtime, precision="fp32")
    settings = settings_of(DiffusionClassifier, sigmas=[0.5, 1.0], batch_size=8)
    state = Checkpoint(tmp_path / "killed.pt")
    with pytest.raises(Killed):
        losses.measure(failing, clip_ids, shelf, settings, runtime, setup(runtime), state)
    assert 0 < state.load()["batches"] < math.ceil(60 / 8)
    before = Failing.calls
    again = losses.measure(failing, clip_ids, shelf, settings, runtime, setup(runtime), state)
    assert (again == whole).all()
    assert Failing.calls - before < math.ceil(60 / 8) * 2  # finished batches were not measured again


def test_a_part_of_a_clip_is_its_middle(clips, tmp_path):
    shelf, clip_ids, _, _ = clips
    models = denoisers([normaliser()] * CLASSES)
    half = settings_of(DiffusionClassifier, seconds=0.5)
    assert losses.elements(clip_ids, shelf, half) == CHANNELS * FRAMES / 2
    found = measured(clips, models, tmp_path, sigmas=[1.0], seconds=0.5)

    class Middle:
        """The clips with their outer quarters replaced, which must not matter."""

        frames, seconds = staticmethod(shelf.frames), staticmethod(shelf.seconds)

        def __getitem__(self, clip_id: str) -> torch.Tensor:
            latent = shelf[clip_id].clone()
            latent[:, :2], latent[:, 6:] = 9.0, 9.0
            return latent

    assert (measured((Middle(), *clips[1:]), models, tmp_path, sigmas=[1.0], seconds=0.5) == found).all()


def test_the_table_gives_back_what_went_in():
    rng = np.random.default_rng(0)
    found, ids = rng.random((4, 3, 2, 2)), ["b", "a", "d", "c"]
    rows = table.to_table(found, ids, ["val", "val", "test", "test"], LABELS, [0.5, 1.0])
    assert list(rows.columns) == list(table.schema(LABELS))
    assert (table.from_table(rows, ["c", "b"], LABELS) == found[[3, 0]]).all()
    assert (table.from_table(rows, ["a"], LABELS[::-1]) == found[[1]][:, ::-1]).all()
    with pytest.raises(KeyError):
        table.from_table(rows, ["e"], LABELS)
