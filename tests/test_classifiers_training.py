import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import random_yamnet
import torch
from settings import settings_of

from counterpoise.arms.arm import load as load_arm
from counterpoise.classifiers import batches
from counterpoise.classifiers.batches import Embedded, Waves, balanced, draw, order, windows
from counterpoise.classifiers.batches import load as load_batches
from counterpoise.classifiers.losses import cross_entropy, distillation, mix
from counterpoise.classifiers.networks import build
from counterpoise.classifiers.networks.io import Card, ModelError, load, save
from counterpoise.classifiers.settings import Classifier
from counterpoise.classifiers.training import TrainingError, class_weights, predict, train
from counterpoise.core import audio as sound
from counterpoise.core import tables
from counterpoise.core.audio import Audio
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.runtime import Runtime, seed_for
from counterpoise.embeddings.settings import Features
from counterpoise.inference import classify

torch.set_num_threads(1)

AUDIO = settings_of(Audio, sample_rate=8000, channels=1, seconds=0.5)
FEATURES = settings_of(Features, n_mels=32, n_fft=512, hop=128)
CLASSIFIER = settings_of(Classifier, seeds=[0], steps=60, batch_size=8, learning_rate=1e-2, checkpoint_every=4)
RUNTIME = settings_of(Runtime, device="cpu", threads=1, workers=0)
CPU = torch.device("cpu")
LABELS = ["hiss", "tone"]


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> pd.DataFrame:
    """Twenty hisses and twenty tones, 0.4 s each."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        label = LABELS[number % 2]
        seconds = np.arange(3200) / 8000
        tone = np.sin(2 * np.pi * rng.uniform(300, 3000) * seconds)
        wave = 0.3 * (tone if label == "tone" else rng.standard_normal(3200)) * rng.uniform(0.3, 1)
        path = folder / f"{number}.flac"
        sound.write_flac(path, wave[None].astype(np.float32), 8000)
        clip = {"clip_id": str(number), "path": str(path), "label": label, "source_id": str(number)}
        rows.append(clip | {"root_clip_id": str(number), "synthetic": False, "sha256": tables.sha256(path)})
    return tables.table(rows, tables.EXAMPLES)


def fresh(name: str = "cnn", classifier: Classifier = CLASSIFIER) -> torch.nn.Module:
    return build(name, 2, AUDIO, FEATURES, seed=1)


def run(
    model,
    examples,
    classifier=CLASSIFIER,
    runtime=RUNTIME,
    weights=None,
    checkpoint=None,
    validation=None,
    cache=None,
    mixup=None,
    stop=None,
    loss=None,
    retrain_head=0.0,
    taught=None,
):
    """Train, and return what `report` was told; at the step `stop`, interrupt."""
    told = {}

    def report(step: int, measured: dict[str, float]) -> None:
        told[step] = measured
        if step == stop:
            raise KeyboardInterrupt

    train(
        model,
        examples,
        LABELS,
        AUDIO,
        classifier,
        runtime,
        CPU,
        0,
        weights,
        checkpoint,
        report,
        validation,
        cache,
        mixup,
        loss,
        retrain_head,
        taught,
    )
    return told


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """As of AudioSet."""
    return random_yamnet.write(tmp_path_factory.mktemp("weights") / "yamnet.safetensors")


def pretrained(weights: Path | None, body: str, seed: int = 1, **changes: object) -> tuple[torch.nn.Module, Classifier]:
    classifier = few(4, init="audioset", body=body, **changes)
    frozen = classifier.body == "frozen"
    return build("yamnet", 2, AUDIO, FEATURES, seed, weights, pretrained=True, frozen=frozen), classifier


def few(steps: int, **changes: object) -> Classifier:
    return CLASSIFIER.model_copy(update={"steps": steps, **changes})


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_cnn_learns_to_tell_hiss_from_tone(examples):
    model = fresh()
    told = run(model, examples[:30], validation=examples[30:])
    right = predict(model, examples[30:], AUDIO, RUNTIME, CPU, 8).argmax(axis=1) == [0, 1] * 5
    assert right.mean() > 0.9
    assert list(told) == list(range(3, 61, 3))
    assert told[60]["val_macro_f1"] > 0.9
    assert told[60]["val_loss"] < told[6]["val_loss"]


def test_yamnet_s_loss_falls(examples):
    told = run(fresh("yamnet"), examples, few(16, batch_size=16, learning_rate=2e-3))
    losses = [measured["loss"] for measured in told.values()]
    assert np.mean(losses[-3:]) < 0.6 * np.mean(losses[:3])


def test_an_interrupted_run_ends_with_the_same_bits(examples, tmp_path):
    whole = fresh()
    told_whole = run(whole, examples, few(10), validation=examples[:6])
    checkpoint = Checkpoint(tmp_path / "run.pt")
    with pytest.raises(KeyboardInterrupt):
        run(fresh(), examples, few(10), checkpoint=checkpoint, validation=examples[:6], stop=7)
    resumed = build("cnn", 2, AUDIO, FEATURES, seed=99)  # its own weights must not matter
    told = run(resumed, examples, few(10), checkpoint=checkpoint, validation=examples[:6])
    assert told == told_whole
    assert same_weights(resumed, whole)


def test_an_interrupted_yamnet_ends_with_the_same_bits(examples, tmp_path):
    whole, resumed = fresh("yamnet"), fresh("yamnet")
    told_whole = run(whole, examples, few(3))
    checkpoint = Checkpoint(tmp_path / "run.pt")
    with pytest.raises(KeyboardInterrupt):  # leaves the state of step 2
        run(fresh("yamnet"), examples, few(3, checkpoint_every=2), checkpoint=checkpoint, stop=3)
    assert run(resumed, examples, few(3), checkpoint=checkpoint) == told_whole
    assert same_weights(resumed, whole)


def test_a_finished_training_is_not_done_again(examples, tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.pt")
    told = run(fresh(), examples, few(4), checkpoint=checkpoint)
    again = build("cnn", 2, AUDIO, FEATURES, seed=99)
    assert run(again, examples.assign(path="gone.flac"), few(4), checkpoint=checkpoint) == told  # no clip is read


def test_reader_processes_do_not_change_the_result(examples):
    alone, helped = fresh(), fresh()
    told_alone = run(alone, examples, few(4))
    told_helped = run(helped, examples, few(4), runtime=RUNTIME.model_copy(update={"workers": 1}))
    assert told_alone == told_helped
    assert same_weights(alone, helped)


def test_a_training_leaves_the_global_generator_alone(examples):
    before = torch.random.get_rng_state()
    run(fresh(), examples, few(2), validation=examples[:4])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_batches_are_full_and_every_epoch_has_every_example_once():
    rows = [row for batch in draw(7, 4, range(7), seed=0) for row in batch]
    epochs = [rows[start : start + 7] for start in range(0, 28, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert list(draw(7, 4, range(3, 7), seed=0)) == list(draw(7, 4, range(7), seed=0))[3:]
    assert list(draw(7, 4, range(7), seed=1)) != list(draw(7, 4, range(7), seed=0))
    assert [len(batch) for batch in draw(3, 8, range(2), seed=0)] == [8, 8]


def test_the_last_steps_see_real_clips_alone_and_an_interrupted_training_goes_on_with_the_same_batches():
    made = [True, False, True, False, False]
    batches = list(order(made, 2, 10, 0, 0.4, seed=0))
    assert [len(batch) for batch in batches] == [2] * 10
    assert {0, 2} <= {row for batch in batches[:6] for row in batch}
    assert {row for batch in batches[6:] for row in batch} == {1, 3, 4}
    for done in (3, 6, 8, 10):
        assert list(order(made, 2, 10, done, 0.4, seed=0)) == batches[done:]
    for alike in ([True] * 5, [False] * 5):  # nothing to tell apart
        assert list(order(alike, 2, 10, 0, 0.4, seed=0)) == list(draw(5, 2, range(10), seed=0))


def test_balanced_batches_give_every_class_a_place_in_each_round_and_every_clip_once_before_any_twice():
    classes = [[4, 0, 7, 2], [5], [1, 9]]
    batches = list(balanced(classes, 4, range(12), seed=0))
    assert [len(batch) for batch in batches] == [4] * 12
    rows = [row for batch in batches for row in batch]
    of = {row: label for label, own in enumerate(classes) for row in own}
    rounds = [tuple(of[row] for row in rows[start : start + 3]) for start in range(0, 48, 3)]
    assert all(sorted(one) == [0, 1, 2] for one in rounds) and len(set(rounds)) > 1
    for label, own in enumerate(classes):
        seen = [row for row in rows if of[row] == label]
        assert all(sorted(seen[i : i + len(own)]) == sorted(own) for i in range(0, 16, len(own)))
    for done in (1, 5, 12):
        assert list(balanced(classes, 4, range(done, 12), seed=0)) == batches[done:]
    assert list(balanced(classes, 4, range(12), seed=1)) != batches


def test_labels_of_made_clips_are_softened():
    log_probabilities, targets = torch.randn(3, 4).log_softmax(dim=1), torch.tensor([0, 3, 1])
    for share in (0.0, 0.3):
        expected = torch.nn.CrossEntropyLoss(label_smoothing=share)(log_probabilities, targets)
        torch.testing.assert_close(cross_entropy(log_probabilities, targets, torch.full((3,), share)), expected)
        weights = torch.tensor([1.0, 2.0, 0.5, 3.0])
        expected = torch.nn.CrossEntropyLoss(weights, label_smoothing=share)(log_probabilities, targets)
        torch.testing.assert_close(
            cross_entropy(log_probabilities, targets, torch.full((3,), share), weights), expected
        )
    shares = torch.tensor([0.0, 0.3, 0.0])
    each = [cross_entropy(log_probabilities[i : i + 1], targets[i : i + 1], shares[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(cross_entropy(log_probabilities, targets, shares), torch.stack(each).mean())


def test_a_student_learns_what_its_teacher_says_and_no_label(examples):
    wrong = np.array([[label == "tone", label == "hiss"] for label in examples.label], np.float32)
    model = fresh()
    run(model, examples[:30], taught=wrong[:30], weights=torch.tensor([1.0, 9.0]))
    right = predict(model, examples[30:], AUDIO, RUNTIME, CPU, 8).argmax(axis=1) == [0, 1] * 5
    assert right.mean() < 0.1


def test_distillation_is_cross_entropy_where_the_teacher_is_certain_and_least_where_the_student_agrees():
    log_probabilities, targets = torch.randn(3, 4).log_softmax(dim=1), torch.tensor([0, 3, 1])
    certain = torch.nn.functional.one_hot(targets, 4).float()
    assert distillation(log_probabilities, certain) == cross_entropy(log_probabilities, targets, torch.zeros(3))
    teacher = torch.randn(3, 4).softmax(dim=1)
    entropy = -(teacher * teacher.log()).sum(dim=1).mean()
    assert distillation(teacher.log(), teacher) == pytest.approx(entropy.item())
    assert distillation(log_probabilities, teacher) > entropy


@pytest.mark.parametrize("change", [{"made_smoothing": 0.5}, {"real_last": 0.5}])
def test_how_much_made_clips_count_matters_where_there_are_some(examples, change):
    half = examples.assign(synthetic=examples.index % 4 == 0)
    told = [run(fresh(), table, few(8, **values)) for table in (examples, half) for values in ({}, change)]
    assert told[0] == told[1] == told[2] and told[3] != told[2]


def test_class_weights_are_balanced():
    weights = class_weights(["tone"] * 3 + ["hiss"], LABELS)
    torch.testing.assert_close(weights, torch.tensor([4 / (2 * 1), 4 / (2 * 3)]))


def test_class_weights_need_a_clip_of_every_class():
    with pytest.raises(TrainingError, match="no training clip of hiss"):
        class_weights(["tone"], LABELS)


def test_class_weights_change_what_is_learnt(examples):
    plain, weighted = fresh(), fresh()
    run(plain, examples, few(5))
    run(weighted, examples, few(5), weights=torch.tensor([50.0, 0.02]))
    assert not same_weights(plain, weighted)
    hisses = [predict(model, examples, AUDIO, RUNTIME, CPU, 40)[:, 0].mean() for model in (plain, weighted)]
    assert hisses[1] > hisses[0]


def test_a_batch_is_mixed_with_itself_in_one_share():
    generator = torch.Generator().manual_seed(0)
    batch = torch.eye(8).reshape(8, 2, 4)  # every row is told by its place
    mixed, share, partners = mix(batch, 1.0, generator)
    assert sorted(partners.tolist()) == list(range(8)) and 0 < share < 1
    torch.testing.assert_close(mixed, share * batch + (1 - share) * batch[partners])
    torch.testing.assert_close(mixed.sum(dim=(1, 2)), torch.ones(8))
    shares = torch.tensor([mix(batch, 0.2, generator)[1] for _ in range(2000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.04)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), rel=0.1)  # of Beta(a, a)


class Plain(torch.nn.Module):
    """The mean of the first half of a wave, and of the second, as logits."""

    pretrained = frozen = False
    takes = "patches"

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.head = torch.nn.Identity(), torch.nn.Linear(2, 2)
        torch.nn.init.eye_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    def frontend(self, wave):
        self.seen = wave
        return wave[:, :, None]

    def classify(self, inputs):
        return self.head(inputs[:, 0, 0].unflatten(1, (2, -1)).mean(dim=2)).log_softmax(dim=1)

    def forward(self, wave):
        return self.classify(self.frontend(wave))


def test_the_loss_is_mixed_as_the_inputs_are(examples):
    model = Plain()
    told = run(model, examples[:8], few(1, time_shift=0.0), mixup=1.0)
    (rows,) = draw(8, 8, range(1), 0)
    waves = [sound.fit(sound.read(path, 8000, 1), 4000) for path in examples.path.iloc[rows]]
    generator = torch.Generator().manual_seed(seed_for("augmentation", 0))
    mixed, share, partners = mix(torch.from_numpy(np.stack(waves)), 1.0, generator)
    assert torch.equal(model.seen, mixed)
    targets = torch.nn.functional.one_hot(torch.tensor([LABELS.index(label) for label in examples.label.iloc[rows]]))
    soft = share * targets + (1 - share) * targets[partners]
    log_probabilities = mixed[:, 0].unflatten(1, (2, -1)).mean(dim=2).log_softmax(dim=1)
    assert told[1]["loss"] == pytest.approx(-(soft * log_probabilities).sum(dim=1).mean().item())
    assert share > 0.01 and not torch.equal(targets, targets[partners])


def test_an_interrupted_training_with_mixup_ends_with_the_same_bits(examples, tmp_path):
    whole, plain, resumed = fresh(), fresh(), fresh()
    told_whole = run(whole, examples, few(6), mixup=0.4)
    run(plain, examples, few(6))
    assert not same_weights(whole, plain)
    checkpoint = Checkpoint(tmp_path / "run.pt")
    with pytest.raises(KeyboardInterrupt):
        run(fresh(), examples, few(6), checkpoint=checkpoint, mixup=0.4, stop=6)
    assert run(resumed, examples, few(6), checkpoint=checkpoint, mixup=0.4) == told_whole
    assert same_weights(resumed, whole)


def test_a_frozen_body_s_embeddings_are_mixed(examples, weights):
    def told(mixup: float | None) -> dict:
        model, classifier = pretrained(weights, "frozen")
        return run(model, examples[:16], classifier, mixup=mixup)

    assert told(1.0) == told(1.0) != told(None)


@pytest.mark.parametrize(
    ("name", "rare"),
    [("none", 0.1), ("class_weights", 0.5), ("balanced_softmax", 0.5), ("focal", 0.5), ("crt", 0.5)],
)
def test_of_sounds_that_tell_nothing_arms_that_treat_the_imbalance_take_no_class_for_likelier(examples, name, rare):
    arm, path = load_arm(name), examples.path.iloc[0]
    skewed = examples[:20].assign(path=path, label=["hiss"] * 2 + ["tone"] * 18)
    weights = class_weights(skewed.label.tolist(), LABELS) if arm.weighted else None
    model, classifier = Plain(), few(200, batch_size=20, learning_rate=0.1, time_shift=0.0)
    run(model, skewed, classifier, weights=weights, loss=arm.loss, retrain_head=arm.retrain_head)
    (heard,) = predict(model, skewed[:1], AUDIO, RUNTIME, CPU, 1)
    assert heard[0] == pytest.approx(rare, abs=0.02)


def test_the_body_is_that_of_the_steps_before_and_the_head_alone_is_trained_again(examples):
    first, whole = fresh(), fresh()
    run(first, examples, few(6))
    told = run(whole, examples, few(8), retrain_head=0.25, validation=examples[:6])
    assert same_weights(whole.maps, first.maps)  # batch statistics, too
    assert not torch.equal(whole.head.weight, first.head.weight)
    assert list(told) == list(range(1, 9))


def test_the_head_starts_again_with_random_weights(examples):
    model, before = fresh(), fresh().head.weight
    run(model, examples, few(8, learning_rate=1e-9), retrain_head=0.25)
    moved = (model.head.weight - before).abs()
    assert (moved > 1e-3).float().mean() > 0.9
    untouched = fresh()
    run(untouched, examples, few(8, learning_rate=1e-9))
    torch.testing.assert_close(untouched.head.weight, before)


def test_the_head_is_trained_again_on_real_clips_as_many_of_one_class_as_of_another(tmp_path):
    rows = []
    for number in range(12):  # told by their level
        path, label = tmp_path / f"{number}.flac", "hiss" if number < 3 else "tone"
        sound.write_flac(path, np.full((1, 4000), (number + 1) / 16, np.float32), 8000)
        clip = {"clip_id": str(number), "path": str(path), "label": label, "source_id": str(number)}
        rows.append(clip | {"root_clip_id": str(number), "synthetic": number in (2, 11), "sha256": ""})
    seen = []

    class Watched(Plain):
        def frontend(self, wave):
            seen.append((16 * wave[:, 0, 0]).round().int() - 1)
            return super().frontend(wave)

    run(Watched(), tables.table(rows, tables.EXAMPLES), few(12), retrain_head=0.5)
    early, late = (torch.cat(part).tolist() for part in (seen[:6], seen[6:]))
    assert set(early) == set(range(12)) and sum(number < 3 for number in early) == 12
    assert set(late) == set(range(12)) - {2, 11} and sum(number < 3 for number in late) == 24


@pytest.mark.parametrize(("every", "stop"), [(4, 6), (6, 8), (8, 9), (5, 10)])
def test_a_training_that_is_interrupted_before_at_or_after_the_head_s_start_ends_with_the_same_bits(
    examples, tmp_path, every, stop
):
    whole, resumed = fresh(), build("cnn", 2, AUDIO, FEATURES, seed=99)
    told_whole = run(whole, examples, few(10), retrain_head=0.4, validation=examples[:6])
    checkpoint, classifier = Checkpoint(tmp_path / "run.pt"), few(10, checkpoint_every=every)
    with pytest.raises(KeyboardInterrupt):
        run(fresh(), examples, classifier, retrain_head=0.4, validation=examples[:6], checkpoint=checkpoint, stop=stop)
    told = run(resumed, examples, classifier, retrain_head=0.4, validation=examples[:6], checkpoint=checkpoint)
    assert told == told_whole
    assert same_weights(resumed, whole)


@pytest.mark.parametrize("body", ["finetune", "frozen"])
def test_the_head_of_a_pretrained_body_is_trained_again(examples, weights, body):
    (first, _), (whole, classifier) = (pretrained(weights, body) for _ in range(2))
    run(first, examples, classifier.model_copy(update={"steps": 2}))
    run(whole, examples, classifier, retrain_head=0.5)
    assert same_weights(whole.maps, first.maps)
    assert not torch.equal(whole.head.weight, first.head.weight)


@pytest.mark.parametrize("name", ["cnn", "yamnet"])
def test_predictions_do_not_depend_on_the_batch_size_and_keep_the_order(examples, name):
    model = fresh(name)
    run(model, examples, few(4))
    one, seven = (predict(model, examples[:10], AUDIO, RUNTIME, CPU, size) for size in (1, 7))
    assert model.training
    assert one.shape == (10, 2)
    assert one.dtype == np.float32
    np.testing.assert_allclose(one, seven, atol=1e-5)
    assert np.ptp(one[:, 0]) > 0.01
    np.testing.assert_allclose(one[::-1], predict(model, examples[:10][::-1], AUDIO, RUNTIME, CPU, 7), atol=1e-5)
    assert predict(model, examples[:0], AUDIO, RUNTIME, CPU, 7).shape == (0, 2)


def test_a_loss_that_is_not_finite_stops_the_training(examples):
    with pytest.raises(TrainingError, match=r"the loss is nan at step \d+ of 30.*classifier.learning_rate.*1e\+30"):
        run(fresh(), examples, few(30, learning_rate=1e30))


def test_no_clips_and_unknown_labels_are_named(examples):
    with pytest.raises(TrainingError, match="no clip to train on"):
        run(fresh(), examples[:0])
    with pytest.raises(TrainingError, match="clips of meow, but the classes are hiss, tone"):
        run(fresh(), examples.assign(label="meow"))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_trainings_work(examples, steps):
    assert list(run(fresh(), examples, few(steps), validation=examples[:2])) == list(range(1, steps + 1))


@pytest.mark.parametrize("name", ["cnn", "yamnet"])
def test_mixed_precision_trains(examples, name):
    told = run(fresh(name), examples, few(2), runtime=RUNTIME.model_copy(update={"precision": "bf16"}))
    assert np.isfinite(told[2]["loss"])


@pytest.mark.parametrize("name", ["cnn", "yamnet"])
def test_a_saved_model_comes_back_as_it_was(examples, tmp_path, name):
    model = fresh(name)
    run(model, examples, few(2))
    card = Card(model=name, labels=LABELS, audio=AUDIO, features=FEATURES, pretrained=False, frozen=False)
    save(tmp_path / "a" / "model", model, card)
    again, same_card = load(tmp_path / "a" / "model", CPU)
    assert same_card == card
    assert not again.training
    expected = predict(model, examples[:8], AUDIO, RUNTIME, CPU, 8)
    np.testing.assert_array_equal(predict(again, examples[:8], AUDIO, RUNTIME, CPU, 8), expected)
    save(tmp_path / "b", again, card)
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / "model" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_folder_without_a_usable_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="config.json is missing: run `dvc repro`"):
        load(tmp_path, CPU)
    card = Card(model="cnn", labels=LABELS, audio=AUDIO, features=FEATURES, pretrained=False, frozen=False)
    save(tmp_path, fresh(), card)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"labels": ["a", "b", "c"]}))
    with pytest.raises(ModelError, match="the weights do not fit config.json"):
        load(tmp_path, CPU)
    (tmp_path / "config.json").write_text(json.dumps(config | {"model": "resnet"}))
    with pytest.raises(ModelError, match="no classifier is called 'resnet'"):
        load(tmp_path, CPU)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ModelError, match="no classifier of this version"):
        load(tmp_path, CPU)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="model.safetensors is missing"):
        load(tmp_path, CPU)


def test_a_pretrained_body_starts_from_the_weights_under_a_head_of_its_own(weights):
    tensors = random_yamnet.tensors()
    first, _ = pretrained(weights, "finetune")
    other, _ = pretrained(weights, "frozen", seed=2)
    for model in (first, other):
        assert all(torch.equal(value, tensors[f"maps.{name}"]) for name, value in model.maps.state_dict().items())
    assert first.head.weight.shape == (2, 1024)
    assert not torch.equal(first.head.weight, other.head.weight)
    scratch = build("yamnet", 2, AUDIO, FEATURES, 1, weights)
    assert same_weights(scratch, fresh("yamnet"))  # no use for them
    cnn = build("cnn", 2, AUDIO, FEATURES, 1, weights, pretrained=True)
    assert same_weights(cnn, fresh())


def test_fine_tuning_moves_the_body_less_than_the_head_and_keeps_audioset_s_statistics(examples, weights):
    def moved(body_rate: float) -> tuple[float, float]:
        model, classifier = pretrained(weights, "finetune", body_rate=body_rate)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        run(model, examples, classifier)
        after = model.state_dict()
        statistics = [name for name in after if name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
        assert all(torch.equal(after[name], before[name]) for name in statistics)
        assert not torch.equal(after["maps.1.bias"], before["maps.1.bias"])
        change = {name: (after[name] - before[name]).abs().max().item() for name in ("maps.78.weight", "head.weight")}
        return change["maps.78.weight"], change["head.weight"]

    body, head = moved(0.1)
    slower_body, same_head = moved(0.01)
    assert 0.02 < body / head < 0.5  # Adam's steps are about as long as the learning rate
    assert 0.05 < slower_body / body < 0.2
    assert same_head == pytest.approx(head, rel=0.5)


def test_a_frozen_body_stays_and_the_head_learns(examples, weights, tmp_path):
    model, classifier = pretrained(weights, "frozen", learning_rate=3e-3)
    classifier = classifier.model_copy(update={"steps": 60})
    body = {name: value.clone() for name, value in model.maps.state_dict().items()}
    told = run(model, examples[:30], classifier, validation=examples[30:])
    assert all(torch.equal(value, body[name]) for name, value in model.maps.state_dict().items())
    assert told[60]["loss"] < 0.6 * told[3]["loss"]
    assert told[60]["val_macro_f1"] > 0.8


def test_a_frozen_body_s_cache_is_filled_once_and_changes_nothing(examples, weights, tmp_path):
    def learn(table: pd.DataFrame, cache: Path | None, seed: int = 1) -> tuple[dict, torch.nn.Module]:
        model, classifier = pretrained(weights, "frozen", seed)
        return run(model, table, classifier, validation=table[:6], cache=cache), model

    (plain, model), (kept, same) = learn(examples, None), learn(examples, tmp_path)
    assert plain == kept
    assert same_weights(model, same)
    gone = examples.assign(path="gone.flac")
    assert learn(gone, tmp_path)[0] == kept  # no clip is read again
    assert learn(gone, tmp_path, seed=2)[0] != kept  # nor for another seed
    whole = torch.from_numpy(predict(model, examples[:5], AUDIO, RUNTIME, CPU, 2))
    torch.testing.assert_close(torch.from_numpy(predict(model, gone[:5], AUDIO, RUNTIME, CPU, 2, tmp_path)), whole)
    model.frozen = False  # predict through the whole network
    torch.testing.assert_close(torch.from_numpy(predict(model, examples[:5], AUDIO, RUNTIME, CPU, 2)), whole)


@pytest.mark.parametrize("body", ["finetune", "frozen"])
def test_an_interrupted_pretrained_training_ends_with_the_same_bits(examples, weights, tmp_path, body):
    whole, classifier = pretrained(weights, body, checkpoint_every=2)
    told_whole = run(whole, examples, classifier)
    checkpoint = Checkpoint(tmp_path / "run.pt")
    with pytest.raises(KeyboardInterrupt):
        run(pretrained(weights, body)[0], examples, classifier, checkpoint=checkpoint, stop=3)
    resumed, _ = pretrained(weights, body, seed=99)
    assert run(resumed, examples, classifier, checkpoint=checkpoint) == told_whole
    assert same_weights(resumed, whole)


@pytest.mark.parametrize("body", ["finetune", "frozen"])
def test_a_pretrained_model_s_folder_is_complete(examples, weights, tmp_path, body):
    model, classifier = pretrained(weights, body)
    run(model, examples, classifier)
    card = Card(
        model="yamnet",
        labels=LABELS,
        audio=AUDIO,
        features=FEATURES,
        pretrained=True,
        frozen=classifier.body == "frozen",
    )
    save(tmp_path, model, card)
    again, same_card = load(tmp_path, CPU)
    assert same_card == card
    assert same_weights(again, model)
    expected = predict(model, examples[:4], AUDIO, RUNTIME, CPU, 4)
    np.testing.assert_array_equal(predict(again, examples[:4], AUDIO, RUNTIME, CPU, 4), expected)


def test_training_with_converted_weights_needs_no_tensorflow(examples, weights):
    model, classifier = pretrained(weights, "finetune")
    run(model, examples, classifier)
    assert not {name.partition(".")[0] for name in sys.modules} & {"tensorflow", "tensorflow_hub", "tf_keras", "keras"}


@pytest.fixture
def long(tmp_path) -> pd.DataFrame:
    """Clips of 0.2 to 2.3 s; a window has 0.5 s. What a clip holds tells the place: it is a rising ramp."""
    rows = []
    for number, seconds in enumerate((0.2, 2.3, 0.5, 0.505, 1.1, 0.3)):
        path = tmp_path / f"{number}.flac"
        sound.write_flac(path, np.linspace(0, 0.9, round(8000 * seconds), dtype=np.float32)[None], 8000)
        clip = {"clip_id": str(number), "path": str(path), "label": LABELS[number % 2], "source_id": str(number)}
        rows.append(clip | {"root_clip_id": str(number), "synthetic": False, "sha256": tables.sha256(path)})
    return tables.table(rows, tables.EXAMPLES)


def test_a_long_clip_is_scored_as_classify_scores_it(long):
    model = fresh()
    run(model, long, few(4, batch_size=4))
    said = predict(model, long, AUDIO, RUNTIME, CPU, 3)
    known = classify.Classifier(model.eval(), AUDIO, LABELS, dict(zip(LABELS, LABELS)), None, CPU)
    sources = [classify.Source(path, path) for path in long.path]
    heard = list(classify.classify(known, sources, AUDIO.seconds / 2, 3, keep_windows=True))
    assert [len(one.windows) for one in heard] == [1, 9, 1, 1, 4, 1]
    np.testing.assert_allclose(said, [one.probabilities for one in heard], atol=1e-6)
    first = predict(model, long.iloc[[1]].assign(path=long.path[2]), AUDIO, RUNTIME, CPU, 3)
    assert np.abs(said[1] - first[0]).max() > 1e-6


def test_clips_of_a_window_or_less_are_scored_to_the_bit_as_one_batch(long):
    model, short = fresh().eval(), long.iloc[[0, 2, 5]]
    waves = np.stack([sound.fit(sound.read(path, 8000, 1), 4000) for path in short.path])
    with torch.inference_mode():
        expected = model(torch.from_numpy(waves)).exp().numpy()
    np.testing.assert_array_equal(predict(model, short, AUDIO, RUNTIME, CPU, 8), expected)


def test_memory_holds_a_batch_of_windows(long):
    found = list(windows(Waves(long.path.tolist(), AUDIO), RUNTIME, 4))
    assert [len(batch) for _, batch in found] == [4, 4, 4, 4, 1]
    assert np.concatenate([rows for rows, _ in found]).tolist() == [0, *[1] * 9, 2, 3, *[4] * 4, 5]


def test_training_draws_crops_of_long_clips_by_seed_step_and_place_alone(long):
    inputs = Waves(long.path.tolist(), AUDIO)

    def places(seed: int, done: int = 0, workers: int = 0) -> list[list[float]]:
        runtime = RUNTIME.model_copy(update={"workers": workers})
        steps = load_batches(inputs, runtime, [[1, 1, 2, 0]] * (40 - done), done, seed)
        return [[float(wave[0, 0]) for wave in batch] for _, batch in steps]

    drawn = np.array(places(seed=0))
    assert len(np.unique(drawn[:, :2])) > 70  # of 80
    assert drawn[:, :2].min() < 0.05 and drawn[:, :2].max() > 0.65  # a crop may start at up to 0.9 * 1.8 / 2.3
    assert not drawn[:, 2:].any()
    assert places(seed=0, done=25) == drawn[25:].tolist() and places(seed=0, workers=1) == drawn.tolist()
    assert places(seed=1) != drawn.tolist()


def test_a_clip_that_is_asked_for_again_is_kept_within_bounds(long, monkeypatch):
    read = []
    monkeypatch.setattr(sound, "read", lambda path, *form: read.append(path) or np.zeros((1, 1000), np.float32))
    monkeypatch.setattr(batches, "KEPT_BYTES", 8000)
    inputs = Waves(["a", "b", "c"], AUDIO)
    for row in (0, 1, 0, 2, 0, 1):
        inputs[row]
    assert read == ["a", "b", "c", "b"]


def test_a_frozen_body_hears_all_windows_and_trains_on_one_of_each_clip(long, weights):
    model, classifier = pretrained(weights, "frozen")
    told = run(model, long, classifier, validation=long)
    assert np.isfinite(told[4]["val_loss"])
    said = predict(model, long, AUDIO, RUNTIME, CPU, 3)
    wave = sound.read(long.path[4], 8000, 1)
    parts = torch.from_numpy(np.stack([wave[:, start : start + 4000] for start in (0, 2000, 4000, 4800)]))
    with torch.inference_mode():
        expected = model.eval()(parts).exp().mean(dim=0).numpy()
    np.testing.assert_allclose(said[4], expected, atol=1e-5)
    embedded = Embedded([np.arange(12).reshape(4, 1, 3)])
    assert [embedded.crop(embedded[0], number)[0, 0] for number in range(5)] == [0, 3, 6, 9, 0]


def test_an_event_late_in_a_clip_is_learned_and_heard(tmp_path):
    """Two classes that differ by what comes after 0.5 s of 0.9 s alone; a window has 0.5 s."""
    rng, rows = np.random.default_rng(0), []
    time = np.arange(2000) / 8000
    for number in range(32):
        label = LABELS[number % 2]
        event = rng.standard_normal(2000) if label == "hiss" else np.sin(2 * np.pi * rng.uniform(500, 1500) * time)
        wave = 0.003 * rng.standard_normal(7200)
        wave[4400:6400] += 0.3 * event
        sound.write_flac(path := tmp_path / f"{number}.flac", wave[None].astype(np.float32), 8000)
        clip = {"clip_id": str(number), "path": str(path), "label": label, "source_id": str(number)}
        rows.append(clip | {"root_clip_id": str(number), "synthetic": False, "sha256": tables.sha256(path)})
    late = tables.table(rows, tables.EXAMPLES)
    model = fresh()
    run(model, late[:20], few(60, mask_fraction=0.0))
    right = predict(model, late[20:], AUDIO, RUNTIME, CPU, 8).argmax(axis=1) == [0, 1] * 6
    assert right.mean() > 0.9
