"""Seeds, device, precision, and the lock between processes."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from settings import settings_of

from counterpoise.core import runtime
from counterpoise.core.runtime import Runtime

ROOT = Path(runtime.__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from counterpoise.core.runtime import exclusive
with exclusive(Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def machine():
    """Puts back what `setup` changes for the whole process."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until it is killed."""
    lock = tmp_path / "locks" / "bark.lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, lock],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == "held\n"
    yield process, lock
    process.kill()
    process.communicate()


def test_a_lock_refuses_a_second_process_waits_for_it_and_ends_with_it(holder, capsys):
    process, lock = holder
    held = pytest.raises(runtime.RuntimeUnavailable, match=rf"process {process.pid} \(.*{lock}.*kill.*dvc repro")
    with held, runtime.exclusive(lock, wait=False):
        pytest.fail("two processes hold one lock")

    entered = threading.Event()

    def enter():
        with runtime.exclusive(lock, wait=True):
            entered.set()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    assert not entered.wait(0.3)
    process.kill()  # not asked to let go: the lock must not outlive it
    assert entered.wait(30)
    thread.join()
    said = capsys.readouterr().out
    assert f"waiting for process {process.pid} (" in said and f"works on the same ({lock})" in said


def test_a_lock_can_be_taken_again_after_an_error(tmp_path):
    lock = tmp_path / "new" / "folder" / "lock"
    with pytest.raises(ZeroDivisionError), runtime.exclusive(lock, wait=False):
        raise ZeroDivisionError
    with runtime.exclusive(lock, wait=False):
        assert lock.exists()
    assert not lock.exists()  # or they would pile up


def test_of_many_that_wait_one_at_a_time_goes_on(tmp_path):
    lock, inside, most = tmp_path / "lock", [], []

    def enter():
        for _ in range(50):
            with runtime.exclusive(lock, wait=True):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 200 and max(most) == 1


def test_a_seed_depends_on_every_part_and_on_nothing_else():
    def seeds(order):
        return {part: runtime.seed_for(0, "bark_1", part) for part in order}

    assert seeds(range(50)) == seeds(reversed(range(50)))
    assert len(set(seeds(range(1000)).values())) == 1000
    assert runtime.seed_for(0, "a", 1) != runtime.seed_for(1, "a", 1) != runtime.seed_for(1, "b", 1)
    assert runtime.seed_for("ab", "c") != runtime.seed_for("a", "bc")
    assert runtime.seed_for(0, "bark_1", 0) == 2401584136174177176  # a stored table of seeds stays valid


def test_a_seed_fits_a_table_and_a_generator():
    for number in range(200):
        seed = runtime.seed_for(number)
        assert 0 <= seed < 2**63
        torch.Generator().manual_seed(seed)


def test_setup_fixes_the_threads_and_asks_for_deterministic_kernels(machine):
    assert runtime.setup(settings_of(Runtime, device="cpu", threads=2)) == torch.device("cpu")
    assert torch.get_num_threads() == 2 and torch.are_deterministic_algorithms_enabled()
    assert runtime.setup(settings_of(Runtime, device="cpu", threads=1)).type == "cpu" and torch.get_num_threads() == 1


def test_auto_takes_the_graphics_card_where_there_is_one(machine, monkeypatch):
    for there, device in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert runtime.setup(settings_of(Runtime, device="auto", threads=1)).type == device


def test_a_device_that_is_not_there_is_named_with_those_that_are(machine, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(runtime.RuntimeUnavailable, match="runtime.device is 'cuda'.*only cpu: use `auto`"):
        runtime.setup(settings_of(Runtime, device="cuda", threads=1))


@pytest.mark.parametrize(
    ("precision", "tiles", "wide", "dtype"),
    [
        ("fp32", True, True, torch.float32),
        ("bf16", False, False, torch.bfloat16),
        ("auto", True, True, torch.bfloat16),
        ("auto", True, False, torch.float32),
        ("auto", False, True, torch.float32),
    ],
)
def test_precision_is_that_of_the_forward_pass(monkeypatch, precision, tiles, wide, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_tile": tiles})
    with runtime.autocast(settings_of(Runtime, precision=precision), torch.device("cpu"), amx=wide):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_denoisers_are_compiled_where_it_is_asked_for_or_pays():
    network, cpu, cuda = torch.nn.Linear(2, 2), torch.device("cpu"), torch.device("cuda")
    assert runtime.compiled(network, settings_of(Runtime), cpu) is network
    assert runtime.compiled(network, settings_of(Runtime, compile="off"), cuda) is network
    for compiled in (
        runtime.compiled(network, settings_of(Runtime), cuda),
        runtime.compiled(network, settings_of(Runtime, compile="on"), cpu),
    ):
        assert compiled is not network
        assert next(compiled.parameters()) is network.weight
