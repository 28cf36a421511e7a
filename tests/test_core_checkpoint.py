"""Unfinished work: never half a file, never somebody else's, never code."""

import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from settings import settings_of

from counterpoise.core import checkpoint
from counterpoise.core.checkpoint import Checkpoint

DETERMINANTS = {
    "stage": "train",
    "steps": 3,
    "rate": 0.1,
    "seen": ["a", "b"],
    "none": None,
    "generate": settings_of(Generate),
}


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "generate"},
        {"steps": 4},
        {"rate": 0.1000001},
        {"seen": ["b", "a"]},
        {"seen": ["a", "b", "c"]},
        {"none": 0},
        {"generate": settings_of(Generate, strength=0.5)},
        {"one_more": None},
    ],
)
def test_the_key_changes_with_every_determinant(change):
    assert checkpoint.key(**DETERMINANTS) != checkpoint.key(**(DETERMINANTS | change))


def test_the_key_is_the_same_for_the_same_and_in_any_order():
    assert checkpoint.key(**DETERMINANTS) == checkpoint.key(**dict(reversed(DETERMINANTS.items())))


def key_of(script: Path, text: str) -> str:
    script.write_text(text + "from counterpoise import checkpoint; print(checkpoint.key(seen=['a'], label='bark'))")
    root = Path(checkpoint.__file__).parents[1]
    return subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(root)}
    ).stdout


def test_the_key_is_the_same_in_another_process_and_changes_with_the_script(tmp_path):
    script = tmp_path / "stage.py"
    assert key_of(script, "") == key_of(script, "") != key_of(script, "x = 1; ")


def test_the_key_changes_with_the_packages_source(monkeypatch, tmp_path):
    source = tmp_path / "made_up.py"
    source.write_text("x = 1\n")
    module = types.ModuleType("counterpoise.made_up")
    module.__file__ = str(source)
    before = checkpoint.key(a=1)
    monkeypatch.setitem(sys.modules, "counterpoise.made_up", module)
    first = checkpoint.key(a=1)
    source.write_text("x = 2\n")
    assert len({before, first, checkpoint.key(a=1)}) == 3


def test_a_state_comes_back_as_it_was(tmp_path):
    state = {
        "weights": {"w": torch.randn(3, 2, generator=torch.Generator().manual_seed(0))},
        "losses": [0.1, 1 / 3],
        "generator": torch.Generator().manual_seed(5).get_state(),
        "step": 7,
        "name": "bark",
        "none": None,
    }
    kept = Checkpoint(tmp_path / "new" / "state.pt")
    assert kept.load() is None
    kept.save(state)
    back = kept.load()
    assert torch.equal(back["weights"].pop("w"), state["weights"].pop("w"))
    assert torch.equal(back.pop("generator"), state.pop("generator"))
    assert back == state


def test_saving_replaces_and_leaves_nothing_else(tmp_path):
    kept = Checkpoint(tmp_path / "state.pt")
    kept.save({"step": 1})
    kept.save({"step": 2})
    assert kept.load() == {"step": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_save_that_fails_midway_leaves_the_older_state(tmp_path, monkeypatch):
    kept = Checkpoint(tmp_path / "state.pt")
    kept.save({"step": 1})

    def killed(state, path):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        kept.save({"step": 2})
    assert kept.load() == {"step": 1}


class Intruder:
    def __reduce__(self):
        return (print, ("code ran",))


def test_an_object_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"step": Intruder()}, tmp_path / "state.pt")
    with pytest.raises(checkpoint.CheckpointError):
        Checkpoint(tmp_path / "state.pt").load()
    assert "code ran" not in capsys.readouterr().out
