"""How many stages this machine runs at once."""

import os
from pathlib import Path

from joblib import cpu_count

from counterpoise.core.runtime import Runtime

GPUS = Path("/proc/driver/nvidia/gpus")  # one folder each; asking torch would load it
MEMORY = 2 * 2**30  # bytes that a stage may need; 1.1 GB was seen


def jobs(runtime: Runtime) -> int:
    """As many stages as there are cores for: physical cores that this process may use, by the threads of a stage.

    There are fewer where memory is short. Where stages use a GPU it is one, because they would share its memory.
    """
    if runtime.device in ("cuda", "mps") or (runtime.device == "auto" and GPUS.is_dir() and any(GPUS.iterdir())):
        return 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(cpu_count(only_physical_cores=True) // runtime.threads, memory // MEMORY))
