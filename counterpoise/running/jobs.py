"""How many stages this machine runs at once."""

from pathlib import Path

from counterpoise.core.runtime import Runtime

GPUS = Path("/proc/driver/nvidia/gpus")  # one folder each; asking torch would load it


def jobs(runtime: Runtime) -> int:
    """As many stages as there are cores for: physical cores that this process may use, by the threads of a stage.

    Where stages use a GPU it is one, because they would share its memory.
    """
    from joblib import cpu_count

    if runtime.device in ("cuda", "mps") or (runtime.device == "auto" and GPUS.is_dir() and any(GPUS.iterdir())):
        return 1
    return max(1, cpu_count(only_physical_cores=True) // runtime.threads)
