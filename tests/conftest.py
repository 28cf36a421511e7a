"""What all tests share: one thread, so that small tensors are quick and results do not depend on the machine.

Two workers share the tests, and those that run the whole pipeline begin; who has finished takes tests over from the
other.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pipeline
import pytest
import torch
from filelock import FileLock

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list) -> None:
    items.sort(key=lambda item: item.path.name not in ("test_pipeline.py", "test_dvc_yaml.py"))


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A repository in which `dvc repro` has run once, for the tests of all workers: they copy it and leave it alone.

    Beside it, `first.record` holds what its stages read.
    """

    def make(repo: Path) -> None:
        sh = pipeline.sh
        sh("dvc", "repro", at=pipeline.clone(repo), record=repo.with_suffix(".record"))
        pipeline.commit(repo)

    return _once("first", make, tmp_path_factory, worker_id)


@pytest.fixture(scope="session")
def contrast(first: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The same with other parameters: every arm, EnCodec, a shared base, validation, a filter. Also to be copied."""

    def make(repo: Path) -> None:
        shutil.copytree(first, repo, symlinks=True)
        pipeline.contrast(repo)
        pipeline.sh("dvc", "repro", at=repo, record=repo.with_suffix(".record"))
        pipeline.commit(repo)

    return _once("contrast", make, tmp_path_factory, worker_id)


def _once(name: str, make: Callable[[Path], None], factory: pytest.TempPathFactory, worker_id: str) -> Path:
    own = factory.getbasetemp()
    repo = (own if worker_id == "master" else own.parent) / name
    with FileLock(f"{repo}.busy"):
        if not repo.with_suffix(".finished").exists():
            make(repo)
            repo.with_suffix(".finished").touch()
    return repo


@pytest.fixture
def repo(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path / "repo", symlinks=True)
    return tmp_path / "repo"


@pytest.fixture
def no_programs(tmp_path, monkeypatch):
    """A PATH without programs."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


@pytest.fixture
def acted_ffmpeg(no_programs):
    """A stand-in for ffmpeg and ffprobe: one second of a tone for MPEG-4, a complaint for all else."""
    head = f"#!{sys.executable}\nimport json, sys\npath = next(a[5:] for a in sys.argv if a.startswith('file:'))\n"
    head += "if open(path, 'rb').read(8)[4:] != b'ftyp':\n    sys.exit(f'[mov @ 0x55d0c3] Invalid data')\n"
    tone = "import math, struct, wave\nfile = wave.open(sys.argv[-1][5:], 'wb')\n"
    tone += "file.setparams((1, 2, 16000, 0, 'NONE', ''))\n"
    tone += "file.writeframes(b''.join(struct.pack('<h', int(9000 * math.sin(i / 5))) for i in range(16000)))\n"
    form = "print(json.dumps({'streams': [{'sample_rate': '16000', 'channels': 1, 'duration': '1.0'}]}))\n"
    for name, body in (("ffmpeg", tone), ("ffprobe", form)):
        (no_programs / name).write_text(head + body)
        (no_programs / name).chmod(0o755)
