"""What a trained classifier says of files: the same as in the pipeline, whatever else is in a batch."""

import numpy as np
import pytest
import soundfile
import torch
from settings import settings_of

from counterpoise.classifiers import networks, training
from counterpoise.classifiers.networks import io
from counterpoise.core import tables
from counterpoise.core.audio import Audio
from counterpoise.core.runtime import Runtime
from counterpoise.embeddings.settings import Features
from counterpoise.inference import classify
from counterpoise.inference.classify import Failure, Heard, Source
from counterpoise.release import folder

CPU = torch.device("cpu")
LABELS = ["bark", "howl", "pant"]
AUDIO = settings_of(Audio, sample_rate=16000, channels=1, seconds=1.0)
FEATURES = settings_of(Features, n_mels=32, n_fft=512, hop=256)
RUNTIME = settings_of(Runtime, precision="fp32", threads=1, workers=0)
ABOUT = {"arm": "none", "model": "cnn", "seed": 0, "dataset": "own", "prior": dict.fromkeys(LABELS, 1 / 3)}


@pytest.fixture
def trained(tmp_path):
    """Saves a network of random weights as the pipeline saves one, and gives its folder."""

    def make(model="cnn", **pretrained):
        pretrained = {"pretrained": False, "frozen": False} | pretrained
        network = networks.build(model, 3, AUDIO, FEATURES, 1, None, **pretrained)
        with torch.no_grad():
            network.head.weight *= {"cnn": 20, "yamnet": 0.1}[model]  # so that answers differ from sound to sound
        card = io.Card(model=model, labels=LABELS, audio=AUDIO, features=FEATURES, **pretrained)
        io.save(tmp_path / "model", network, card)
        return tmp_path / "model"

    return make


@pytest.fixture
def sounds(tmp_path):
    """Files of several lengths, rates and channels."""
    rng, found = np.random.default_rng(0), []
    for number, (seconds, rate, channels) in enumerate(
        [(0.4, 16000, 1), (2.7, 44100, 2), (1.0, 16000, 1), (0.9, 8000, 1), (5.3, 22050, 1)]
    ):
        path = tmp_path / f"{number}.wav"
        wave = rng.standard_normal((round(seconds * rate), channels)).cumsum(axis=0)
        soundfile.write(path, 0.5 * wave / np.abs(wave).max(), rate)
        found.append(Source(path.name, str(path)))
    return found


def ask(folder, sources, batch_size=4, hop=0.5, keep=True):
    return list(classify.classify(classify.load(folder, CPU), sources, hop, batch_size, keep))


@pytest.mark.parametrize(
    ("model", "pretrained"),
    [("cnn", {}), ("yamnet", {}), ("yamnet", {"pretrained": True, "frozen": True})],
)
def test_of_a_short_clip_it_says_what_the_pipeline_says(trained, sounds, model, pretrained):
    place = trained(model, **pretrained)
    short = [sounds[i] for i in (0, 2, 3)]
    columns = {"label": "bark", "source_id": "x", "root_clip_id": "x", "synthetic": False}
    rows = [{"clip_id": one.name, "path": one.path, "sha256": tables.sha256(one.path), **columns} for one in short]
    network, card = io.load(place, CPU)
    expected = training.predict(network, tables.table(rows, tables.EXAMPLES), card.audio, RUNTIME, CPU, 2)
    found = np.array([one.probabilities for one in ask(place, short)])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(found, axis=0).max() > 1e-3


def test_a_file_s_answer_is_the_mean_of_its_windows(trained, sounds):
    found = ask(trained(), sounds)
    assert [one.name for one in found] == [f"{i}.wav" for i in range(5)]
    assert [len(one.windows) for one in found] == [1, 5, 1, 1, 10]
    for one in found:
        np.testing.assert_allclose(one.probabilities, np.mean(one.windows, axis=0), atol=1e-12)
        assert one.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert found[1].starts == pytest.approx([0, 0.5, 1.0, 1.5, 1.7]) and found[1].ends[-1] == pytest.approx(2.7)
    assert np.ptp(found[4].windows, axis=0).max() > 1e-3


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_no_answer_depends_on_what_else_is_in_the_batch(trained, sounds, batch_size):
    place = trained()
    alone = [ask(place, [one])[0].probabilities for one in sounds]
    together = [one.probabilities for one in ask(place, sounds, batch_size)]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_windows_are_kept_only_where_they_are_asked_for(trained, sounds):
    place = trained()
    kept, left = ask(place, sounds), ask(place, sounds, keep=False)
    assert all(one.windows == one.starts == one.ends == [] for one in left)
    np.testing.assert_array_equal([one.probabilities for one in left], [one.probabilities for one in kept])


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_a_file_that_cannot_be_read_spoils_no_other(trained, sounds, tmp_path, batch_size):
    wave = np.full(16000 * 4, 0.1, np.float32)
    wave[-1] = np.inf  # told after some windows went through the network
    soundfile.write(tmp_path / "late.wav", wave, 16000, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("no sound")
    bad = [Source(name, str(tmp_path / name)) for name in ("text.wav", "late.wav", "nowhere.wav")]
    mixed = [bad[0], sounds[0], bad[1], sounds[1], sounds[2], bad[2]]
    found = ask(trained(), mixed, batch_size)
    assert [one.name for one in found] == [one.name for one in mixed]
    assert [type(one) for one in found] == [Failure, Heard, Failure, Heard, Heard, Failure]
    assert "not audio" in found[0].reason and "infinite" in found[2].reason and "no such file" in found[5].reason
    expected = ask(tmp_path / "model", sounds[:3])
    np.testing.assert_allclose(
        [one.probabilities for one in found if isinstance(one, Heard)],
        [one.probabilities for one in expected],
        atol=1e-6,
    )


def test_no_more_windows_than_a_batch_reach_the_network_at_once(trained, sounds):
    classifier, sizes = classify.load(trained(), CPU), []
    classifier.network.register_forward_pre_hook(lambda network, waves: sizes.append(len(waves[0])))
    list(classify.classify(classifier, sounds, 0.5, 4, False))
    assert sizes == [4, 4, 4, 4, 2]


def test_nothing_to_hear_gives_nothing(trained):
    assert ask(trained(), []) == []


def test_a_classifier_knows_names_and_threshold_from_its_release(trained, tmp_path):
    plain = classify.load(trained(), CPU)
    assert (plain.names, plain.threshold) == ({label: label for label in LABELS}, None)
    names = {"bark": "Bark", "howl": "Großes Geheul", "pant": "Pant"}
    about = folder.About(labels=names, threshold=0.4, **ABOUT)
    folder.write(tmp_path / "release", tmp_path / "model", about, "# A card\n")
    released = classify.load(tmp_path / "release", CPU)
    assert (released.names, released.threshold, released.labels) == (names, 0.4, LABELS)
    assert folder.read(tmp_path / "release") == about


def test_a_release_that_does_not_fit_is_refused(trained, tmp_path):
    place = trained()
    about = folder.About(labels={"bark": "Bark", "pant": "Pant", "howl": "Howl"}, threshold=None, **ABOUT)
    folder.write(tmp_path / "release", place, about, "")
    with pytest.raises(folder.ReleaseError, match="bark, pant, howl, but config.json bark, howl, pant"):
        classify.load(tmp_path / "release", CPU)
    (tmp_path / "release/release.json").write_text("{")
    with pytest.raises(folder.ReleaseError, match="dvc repro release"):
        classify.load(tmp_path / "release", CPU)
    with pytest.raises(io.ModelError, match="is missing"):
        classify.load(tmp_path / "nowhere", CPU)
