"""The stage `release` on tables and networks as earlier stages leave them."""

import filecmp
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from settings import settings_of

from counterpoise.classifiers import networks
from counterpoise.classifiers.networks import io
from counterpoise.core import tables
from counterpoise.core.audio import Audio
from counterpoise.embeddings.settings import Features
from counterpoise.release import folder
from stages import release

ROOT = Path(__file__).parents[1]
LABELS = ["bark", "howl", "pant"]
NAMES = {"bark": "Bark | loud", "howl": "Howl", "pant": "Pant"}
ARMS, SEEDS = ["none", "oversample"], [0, 1]
BEST = ("oversample", 1)


def clips():
    """Three recordings of each class in each part, two clips of each."""
    rows = [
        {
            "clip_id": f"{label}_{part}_{number}_{clip}",
            "path": "a.flac",
            "label": label,
            "source_id": f"{label}_{part}_{number}",
            "fold": 1,
            "seconds": 1.0,
            "sample_rate": 16000,
            "channels": 1,
            "partition": part,
        }
        for label in LABELS
        for part in ("train", "val", "test")
        for number in range(3)
        for clip in range(2)
    ]
    return tables.table(rows, tables.SPLIT)


def examples(found):
    made = {"root_clip_id": found.clip_id, "synthetic": False, "sha256": "0" * 64}
    return found.assign(**made)[list(tables.EXAMPLES)].astype(tables.EXAMPLES)


def probabilities(held_out, best):
    """Right on validation by the `best` run alone; on test by all others alone."""
    rows = []
    for arm in ARMS:
        for seed in SEEDS:
            right = held_out.partition.map({"val": (arm, seed) == best, "test": (arm, seed) != best})
            rng = np.random.default_rng(seed)
            true = np.array([LABELS.index(label) for label in held_out.label])
            said = np.where(right.to_numpy(bool)[:, None], 0.6 * np.eye(3)[true], 0) + 0.1
            said = said + 0.05 * rng.random(said.shape)
            said /= said.sum(axis=1, keepdims=True)
            about = held_out[["clip_id", "partition"]].assign(arm=arm, model="cnn", seed=seed)
            columns = [tables.PROBABILITY + label for label in LABELS]
            rows.append(pd.concat([about, pd.DataFrame(said, columns=columns, index=about.index)], axis=1))
    return pd.concat(rows).astype(tables.probabilities(LABELS))


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """A repository in which `evaluate` has run; call it to change what validation says, or to take the clips away."""
    monkeypatch.chdir(tmp_path)
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["classes"] = {slug: {"name": name} for slug, name in NAMES.items()}
    params["arms"], params["models"] = ARMS, ["cnn"]
    params["classifier"]["seeds"] = SEEDS
    yaml.dump(params, Path("params.yaml"))
    audio, features = settings_of(Audio, seconds=0.5), settings_of(Features)
    card = io.Card(model="cnn", labels=LABELS, audio=audio, features=features, pretrained=False, frozen=False)
    for number, (arm, seed) in enumerate((arm, seed) for arm in ARMS for seed in SEEDS):
        network = networks.build("cnn", 3, audio, features, number)
        io.save(Path(f"models/classifier/{arm}-cnn/seed{seed}"), network, card)
    found = clips()
    score = [0.5, 0.25, 0.75]
    names = ["macro_f1", "mean_ap", "balanced_accuracy", "accuracy", "rare_recall"]
    names += [f"{kind}/{label}" for kind in ("recall", "ap") for label in LABELS]
    scores = {"cnn": {arm: dict.fromkeys(names, score) for arm in ARMS}}
    Path("metrics").mkdir()
    Path("metrics/answer.json").write_text(json.dumps({"level": 0.95, "scores": scores}))

    def write(best=BEST, validation=True):
        kept = found if validation else found[found.partition != "val"]
        tables.write(kept, "data/split/all.csv")
        for part in ("val", "test"):
            tables.write(examples(kept[kept.partition == part]), f"data/splits/{part}.csv")
        training = examples(kept[kept.partition == "train"])
        tables.write(training, "data/splits/train_none.csv")
        more = training[training.label == "howl"].assign(synthetic=True)
        tables.write(pd.concat([training, more]), "data/splits/train_oversample.csv")
        held_out = kept[kept.partition != "train"].reset_index(drop=True)
        tables.write(probabilities(held_out, best), "data/probabilities.csv", exact=True)

    write()
    return write


@pytest.mark.parametrize("best", [("oversample", 1), ("none", 0)])
def test_validation_decides_and_test_has_no_say(repo, best):
    repo(best)
    release.main()
    about, (arm, seed) = folder.read(Path("models/release")), best
    assert (about.arm, about.model, about.seed) == (arm, "cnn", seed)
    for name in ("model.safetensors", "config.json"):
        own = Path(f"models/classifier/{arm}-cnn/seed{seed}") / name
        assert filecmp.cmp(own, Path("models/release") / name, shallow=False)
    rows = tables.read("data/probabilities.csv", tables.probabilities(LABELS))
    own = rows[(rows.arm == arm) & (rows.seed == seed)]
    confidence = own.filter(like=tables.PROBABILITY).max(axis=1)
    assert (confidence[own.partition == "val"] >= about.threshold).mean() >= 0.95
    assert (confidence[own.partition == "test"] < about.threshold).all()  # where it is wrong by design


def test_it_holds_all_that_is_needed_to_use_it(repo):
    release.main()
    about = folder.read(Path("models/release"))
    assert about.labels == NAMES and about.dataset == "dogs"
    assert about.prior == {"bark": 0.25, "howl": 0.5, "pant": 0.25}  # six real clips each, and six more howls
    text = Path("models/release/README.md").read_text()
    assert (
        "| Bark \\| loud | 6 / 3 | 6 / 3 | 6 / 3 | 6 | 0 |" in text
        and "| Howl | 6 / 3 | 6 / 3 | 6 / 3 | 6 | 6 |" in text
    )
    assert "| macro-F1 | 0.500 [0.250, 0.750] |" in text and f"{about.threshold:.4f}" in text
    assert "synthesised" in text and "counterpoise classify --from" in text and "mean of 2 seed(s)" in text


@pytest.mark.parametrize(
    ("dataset", "said"),
    [("urbansound8k", ["CC BY-NC 3.0", "Salamon"]), ("esc50", ["CC BY-NC 3.0", "Piczak"]), ("own", ["yours to state"])],
)
def test_the_card_names_the_licence_of_the_sounds(repo, dataset, said):
    text = Path("params.yaml").read_text().replace("dataset: dogs", f"dataset: {dataset}")
    Path("params.yaml").write_text(text)
    release.main()
    card = Path("models/release/README.md").read_text()
    assert all(part in card for part in said) and "no real dog" not in card


def test_the_same_inputs_give_the_same_bytes_and_nothing_stays_of_before(repo):
    release.main()
    shutil.copytree("models/release", "before")
    Path("models/release/old.txt").touch()
    release.main()
    names = sorted(path.name for path in Path("before").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors", "release.json"]
    assert sorted(path.name for path in Path("models/release").iterdir()) == names
    assert filecmp.cmpfiles("before", "models/release", names, shallow=False)[0] == names


def test_without_validation_clips_it_is_the_baseline_and_the_card_says_so(repo):
    repo(validation=False)
    release.main()
    about = folder.read(Path("models/release"))
    assert (about.arm, about.seed, about.threshold) == ("none", 0, None)
    text = Path("models/release/README.md").read_text()
    assert "no threshold is known" in text and "nothing was known" in text
