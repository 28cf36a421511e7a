"""The whole pipeline in a clone of this repository with tiny parameters, for the tests that run it as users do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from encodec import EncodecModel
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
CLASSES = ["bark", "pant", "sneeze"]
TINY = {
    "data": {"scale": 0.1},
    "codec": {"check_clips": 1, "mel": {"griffin_lim_steps": 2, "nnls_steps": 2}},
    "diffusion": {
        "init": "scratch",
        "steps": 4,
        "min_steps": 1,
        "batch_size": 2,
        "widths": [8, 16],
        "checkpoint_every": 2,
        "validate_every": 0,
    },
    "generate": {"steps": 2, "keep": "all", "strength": 1.0, "guidance": 1.0},
    "evaluation": {"resamples": 100},
    "aug": {"factor": 1},
    "classifier": {"seeds": [0, 1], "steps": 6, "batch_size": 4, "checkpoint_every": 2},
    "arms": ["none", "diffusion"],
    "class_filter": {"steps": 6, "batch_size": 4},
    "runtime": {"threads": 1},
}
ARMS = ["none", "longer", "class_weights", "oversample", "undersample", "mixup", "balanced_softmax", "focal", "crt"]
ARMS += ["classic", "roundtrip", "background_mix", "diffusion", "diffusion_classic"]
CONTRAST = {  # all that TINY leaves alone
    "arms": ARMS,
    "aug": {"real_through_codec": 0.5},
    "classifier": {"seeds": [0], "steps": 4, "made_smoothing": 0.1, "real_last": 0.5},
    "diffusion": {
        "init": "shared",
        "base_steps": 3,
        "steps": 6,
        "validate_every": 2,
        "validation_samples": 4,
        "augmented": 1,
        "widths": [32, 64],
    },
    "generate": {"guidance": 1.5, "start": "augmented", "strength": [0.5, 2.0], "keep": "best", "finish": "classic"},
}
RECORDER = Path(__file__).parent / "recorder"
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def sh(*command: str, at: Path, fails: bool = False, record: Path | None = None) -> str:
    """Run a command; its output, or a failure that shows it. What its stages read goes to the folder `record`."""
    environment = ENVIRONMENT
    if record:
        record.mkdir(exist_ok=True)
        environment = {**ENVIRONMENT, "PYTHONPATH": str(RECORDER), "RECORD": str(record)}
    done = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, f"{' '.join(command)} exited with {done.returncode}:\n{text}"
    return text


def change(repo: Path, sections: dict) -> None:
    """Write values into params.yaml."""
    yaml = YAML()
    params = yaml.load(repo / "params.yaml")

    def merge(old: dict, new: dict) -> None:
        for key, value in new.items():
            merge(old[key], value) if isinstance(value, dict) and old.get(key) else old.update({key: value})

    merge(params, sections)
    yaml.dump(params, repo / "params.yaml")


def ran(output: str) -> set[str]:
    """The stages that a `dvc repro` really ran."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


def commit(repo: Path) -> None:
    sh("git", "add", "-A", at=repo)
    sh("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "state", "--allow-empty", at=repo)


def clone(folder: Path) -> Path:
    """The files of this checkout that git knows or would add, as a repository of their own with tiny parameters."""
    listed = sh("git", "ls-files", "--cached", "--others", "--exclude-standard", at=ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "plots/", "tests/")) and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    change(folder, TINY)
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params["classes"] = {slug: params["classes"][slug] for slug in CLASSES}
    yaml.dump(params, folder / "params.yaml")
    sh("git", "init", "-qb", "main", at=folder)
    commit(folder)
    return folder


def contrast(repo: Path) -> None:
    """Set params.yaml to what TINY leaves alone, with EnCodec's latents by random weights."""
    torch.manual_seed(0)
    weights = repo.parent / "encodec.th"
    torch.save(EncodecModel.encodec_model_24khz(pretrained=False).state_dict(), weights)
    change(repo, CONTRAST)
    change(repo, {"codec": {"name": "encodec_24khz", "encodec": {"checkpoint": str(weights)}}})
