"""What the machine refuses is told in one line; mistakes in the code keep their traceback."""

import errno
import json
import os
import resource
import sqlite3
import subprocess
import sys

import pytest
import soundfile
import torch
from safetensors import SafetensorError

from counterpoise.core import faults

FULL = "[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598"


def of(number: int, path: str = "data/x.csv") -> OSError:
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (of(errno.ENOSPC), "no space left on the disk of data/x.csv.*counterpoise clean"),
        (of(errno.EDQUOT), "no space left"),
        (of(errno.EROFS), "data/x.csv may not be read or written .Read-only file system"),
        (of(errno.EACCES), "data/x.csv may not be"),
        (of(errno.EIO), "the disk cannot read or write data/x.csv"),
        (of(errno.EMFILE), "ulimit"),
        (of(errno.ENOENT), "data/x.csv is missing: `dvc repro`"),
        (OSError("400000 requested and 76768 written"), "no space left"),  # NumPy
        (sqlite3.OperationalError("database or disk is full"), "no space left"),  # DVC's state
        (sqlite3.OperationalError("attempt to write a readonly database"), "may not be read or written"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "no space left"),
        (soundfile.LibsndfileError(2, "x.flac: "), "soundfile cannot read or write a file"),
        (RuntimeError(FULL), "torch cannot read or write a file"),
        (MemoryError(), "the memory is not enough"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "batch sizes"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you"), "memory"),
    ],
)
def test_the_machines_errors_are_one_line_each(error, told):
    message = faults.explain(error)
    assert message and "\n" not in message
    with pytest.raises(RuntimeError, match=told):
        raise RuntimeError(message)


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), RuntimeError("mat1 and mat2 shapes"), AssertionError(), BrokenPipeError()]
)
def test_mistakes_in_the_code_keep_their_traceback(error):
    assert faults.explain(error) is None


def test_what_is_nested_too_deeply_is_told():
    with pytest.raises(RecursionError) as caught:
        json.loads("[" * 100_000)
    assert "nested" in faults.explain(caught.value)


WRITES = """
import sys, numpy as np, pandas as pd, torch
from pathlib import Path
from counterpoise.codecs.latents import Writer
from counterpoise.core import audio, tables, unfinished
from counterpoise.core.checkpoint import Checkpoint
from stages.base import work

here = Path(".")
noise = np.random.default_rng(0).normal(0, 0.1, (1, 200_000)).astype(np.float32)
clips = pd.DataFrame({"clip_id": ["a"], "label": "a", "source_id": "a", "fold": 1, "seconds": 1.0, "frames": 90_000})
work.run({
    "sound": lambda *_: audio.write_flac(here / "a.flac", noise, 16000),
    "state": lambda *_: Checkpoint(here / "s.pt").save({"x": torch.randn(100_000)}),
    "latents": lambda *_: Writer(here / "l.safetensors", clips, 4),
    "table": lambda *_: tables.write(pd.DataFrame({"a": np.arange(100_000)}), here / "t.csv"),
}[sys.argv[1]])
"""


@pytest.mark.parametrize("what", ["sound", "state", "latents", "table"])
def test_a_disk_without_space_ends_a_stage_in_one_line_and_leaves_no_half_file(tmp_path, what):
    """The limit of a file's size gives the same kind of error as a full disk, and needs no disk."""
    done = subprocess.run(
        [sys.executable, "-c", WRITES, what],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "no space left" in done.stderr or "torch cannot read or write a file" in done.stderr
    left = [path.name for path in tmp_path.iterdir() if path.name != ".dvc"]
    assert what == "latents" or not left
