"""Where bits come from: the machine, the libraries and the precision that trained a model, in a file beside it.

Sums in another order and shorter numbers change the last digits, and after many steps the scores. So results are equal
to the bit only where this is equal.
"""

import importlib.metadata
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.core import runtime
from counterpoise.core.runtime import Runtime

if TYPE_CHECKING:
    import torch

FILE = "machine.json"
LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "diffusers", "soundfile", "soxr")


def describe(settings: Runtime, device: "torch.device") -> dict[str, str | int]:
    """What numbers depend on beside parameters, code and data; the same whenever it is asked on one machine.

    Returns:
        `processor`: the widest vectors that torch uses, and AMX where there is some; `denoisers` and `classifiers`: the
        precision of each one's passes; and the version of each library.
    """
    import soundfile
    import torch

    tiles = torch.cpu.get_capabilities().get("amx_tile", False)
    vectors = torch.backends.cpu.get_cpu_capability()
    precision = {True: "bf16", False: "fp32"}
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{vectors} with AMX" if tiles else vectors,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "denoisers": precision[runtime.is_short(settings, device, amx=True)],
        "classifiers": precision[runtime.is_short(settings, device)],
        "threads": settings.threads,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
        "libsndfile": soundfile.__libsndfile_version__,
    }


def write(folder: Path, settings: Runtime, device: "torch.device") -> None:
    """Say in a model's folder what made it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(describe(settings, device), indent=1) + "\n")


def collect(folders: dict[str, Path]) -> list[dict]:
    """What made several models, each description once, with the names of the models in `made`.

    Args:
        folders: by name; one that says nothing is left out.
    """
    found: dict[str, list[str]] = {}
    for name, folder in folders.items():
        if (folder / FILE).exists():
            found.setdefault((folder / FILE).read_text(), []).append(name)
    return [{"made": names, **json.loads(text)} for text, names in sorted(found.items(), key=lambda item: item[1])]


def differences(there: dict, here: dict) -> list[str]:
    """What is not the same in two descriptions, as "torch 2.13.0 there, 2.14.1 here"."""
    keys = [key for key in {**there, **here} if key != "made" and there.get(key) != here.get(key)]
    return [f"{key} {there.get(key, 'unknown')} there, {here.get(key, 'unknown')} here" for key in keys]
