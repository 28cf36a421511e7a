"""Unfinished work: never half a file, never somebody else's, never code."""

from pathlib import Path

import pytest
import torch

from counterpoise.core import checkpoint, unfinished
from counterpoise.core.checkpoint import Checkpoint


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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.pt", f"state.pt{unfinished.CHECKSUM}"]


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
    kept = Checkpoint(tmp_path / "state.pt")
    kept.save({"step": Intruder()})
    with pytest.raises(checkpoint.CheckpointError):
        kept.load()
    assert "code ran" not in capsys.readouterr().out


def test_one_flipped_bit_or_a_foreign_file_is_not_believed(tmp_path, capsys):
    kept = Checkpoint(tmp_path / "state.pt")
    kept.save({"weights": torch.ones(1000)})
    content = bytearray(kept.path.read_bytes())
    content[content.index(bytes.fromhex("0000803f") * 9) + 2] ^= (
        1  # within a weight: torch itself reads it without a word
    )
    kept.path.write_bytes(content)
    assert not torch.equal(torch.load(kept.path, weights_only=True)["weights"], torch.ones(1000))
    assert kept.load() is None
    assert f"{kept.path} is damaged" in capsys.readouterr().out
    torch.save({"step": 1}, kept.path)
    assert kept.load() is None and not kept.path.exists()
