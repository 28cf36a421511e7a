"""How many stages run at once by default."""

import pytest
from settings import settings_of

from counterpoise.core.runtime import Runtime
from counterpoise.running import jobs

GB = 2**30


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of 8 cores, 64 GB and some GPUs."""

    def make(cores=8, memory=64 * GB, gpus=0):
        monkeypatch.setattr(jobs, "cpu_count", lambda only_physical_cores: cores)
        monkeypatch.setattr(jobs.os, "sysconf", {"SC_PHYS_PAGES": memory // 4096, "SC_PAGE_SIZE": 4096}.get)
        for number in range(gpus):
            (tmp_path / f"gpu{number}").mkdir()
        monkeypatch.setattr(jobs, "GPUS", tmp_path)

    return make


def default(**runtime) -> int:
    return jobs.jobs(settings_of(Runtime, **{"threads": 1, "device": "auto", **runtime}))


def test_stages_share_the_cores_by_their_threads(machine):
    machine()
    assert [default(threads=threads) for threads in (1, 3, 8, 16)] == [8, 2, 1, 1]


def test_memory_bounds_them(machine):
    machine(memory=7 * GB)
    assert default() == 3
    machine(memory=1 * GB)
    assert default() == 1


def test_on_a_gpu_there_is_one_unless_the_cpu_was_asked_for(machine):
    machine(gpus=2)
    assert (default(), default(device="cuda"), default(device="cpu")) == (1, 1, 8)
