"""The machine: device, threads, precision, seeds, and the lock that keeps two processes off one output."""

import contextlib
import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveInt
from threadpoolctl import threadpool_limits

from counterpoise.core import CounterpoiseError
from counterpoise.core.naming import printable
from counterpoise.core.settings import Section

if TYPE_CHECKING:  # half a gigabyte that stages without a network have no use for
    import torch


class Runtime(Section):
    """Where and how the numbers are computed: the section `runtime` of params.yaml."""

    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "fp32", "bf16"]  # auto: bf16 where it was measured to be faster
    compile: Literal["auto", "on", "off"]  # auto: denoisers on CUDA; compiling takes a minute or two
    threads: PositiveInt
    workers: Annotated[int, Field(ge=0)]  # processes that read audio


class RuntimeUnavailable(CounterpoiseError):
    """The machine cannot do what was asked, or is doing it already."""


def setup(runtime: Runtime) -> "torch.device":
    """Fix thread counts and deterministic kernels, and choose the device.

    The number of threads is a parameter because the order of floating-point sums depends on it.

    Raises:
        RuntimeUnavailable: the asked device is not on this machine.
    """
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS sums in any order
    torch.set_num_threads(runtime.threads)
    threadpool_limits(runtime.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    return device_of(runtime.device, "runtime.device")


def device_of(name: str, asked_by: str) -> "torch.device":
    """A device by its name: `auto` (CUDA where there is some, else the CPU), `cpu`, `cuda` or `mps`.

    Args:
        asked_by: the parameter or option that holds the name, for the message.

    Raises:
        RuntimeUnavailable: it is not on this machine.
    """
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[name]:
        here = ", ".join(one for one, there in available.items() if there)
        raise RuntimeUnavailable(f"{asked_by} is {name!r}, but this machine has only {here}: use `auto`")
    return torch.device(name)


def autocast(runtime: Runtime, device: "torch.device", amx: bool = False) -> "torch.autocast":
    """Mixed precision for a forward pass.

    Args:
        runtime: `precision: auto` means bfloat16 on CUDA devices that multiply it natively.
        device: where the pass runs.
        amx: `auto` means bfloat16 on CPUs with AMX tiles, too. Wide convolutions gain by it.
    """
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_short(runtime, device, amx))


def is_short(runtime: Runtime, device: "torch.device", amx: bool = False) -> bool:
    """Whether :func:`autocast` computes in bfloat16."""
    import torch

    if runtime.precision != "auto":
        return runtime.precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return amx and device.type == "cpu" and torch.cpu.get_capabilities().get("amx_tile", False)


def compiled(network: "torch.nn.Module", runtime: Runtime, device: "torch.device") -> "torch.nn.Module":
    """The same network, compiled where that pays: its weights are shared, its results equal up to rounding.

    `compile: auto` means CUDA alone. On two CPU cores compiling took longer than it saved in trainings of minutes.
    """
    import torch

    wanted = device.type == "cuda" if runtime.compile == "auto" else runtime.compile == "on"
    return torch.compile(network) if wanted else network  # type: ignore[return-value]


def seed_for(*parts: object) -> int:
    """A 63-bit seed that depends on every part, and on nothing else (no order of calls, no batch size)."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextlib.contextmanager
def exclusive(lock: Path, wait: bool) -> Iterator[None]:
    """Hold an operating-system lock; it ends with the process, however that ends.

    Args:
        lock: a file, made where it is missing, and deleted by whoever has held it. It names the holder.
        wait: wait for another holder, and say for whom; or fail at once.

    Raises:
        RuntimeUnavailable: another process holds the lock, and `wait` is false.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with _taken(lock, wait) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} ({' '.join(sys.orig_argv)})")
        file.flush()
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # while it is held: whoever waits for it finds that it has no name, and opens


def _taken(lock: Path, wait: bool) -> IO[str]:
    while True:
        file = open(lock, "a+")  # noqa: SIM115 (the caller closes it)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = printable(file.read()) or "another process"
            if not wait:
                file.close()
                raise RuntimeUnavailable(
                    f"{holder} is still at work on the same ({lock}), perhaps left over from a run that was killed. "
                    "Wait for it, or end it (`kill` and its number), then run `dvc repro` again."
                ) from None
            print(f"waiting for {holder}, which works on the same ({lock}); `kill` and its number ends it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        if _names(lock, file):
            return file
        file.close()  # the holder before has deleted it


def _names(lock: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(os.stat(lock), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
