"""publish: what git keeps of costly stages is taken out of DVC's cache, and where the models were trained is written.

DVC's run cache passes over a stage with outputs that git keeps. So costly stages have none, and going back to earlier
parameters trains nothing.
"""

import json
import shutil

from counterpoise.core import origin
from counterpoise.core.progress import counted
from counterpoise.core.settings import Classes, File
from stages.base import paths
from stages.base.work import prune, run, tell


class Params(File):
    arms: list[str]
    classes: Classes
    models: list[str]


def main() -> None:
    p = Params.read()
    paths.METRICS.mkdir(exist_ok=True)
    shutil.copyfile(paths.ROUND_TRIPS, paths.METRICS / "codec.json")
    shutil.copyfile(paths.GENERATED / "generated.json", paths.METRICS / "generated.json")
    shutil.copyfile(paths.GENERATED / "generated.csv", paths.PLOTS / "generated.csv")
    prune(paths.PLOTS / "generated", keep=[])
    shutil.copytree(paths.GENERATED / "pictures", paths.PLOTS / "generated", dirs_exist_ok=True)

    # Where the models were trained
    trained = {"base": paths.BASE}
    trained |= {f"diffusion/{label}": paths.DIFFUSION / label for label in p.classes}
    trained |= {
        f"classifier/{arm}-{model}": paths.CLASSIFIER / f"{arm}-{model}" for arm in p.arms for model in p.models
    }
    machines = origin.collect(trained)
    (paths.METRICS / "machine.json").write_text(json.dumps(machines, indent=1) + "\n")
    models = sum(len(machine["made"]) for machine in machines)
    tell(
        paths.METRICS, f"{counted(models, 'model')} by {counted(len(machines), 'kind')} of machine; measures are copied"
    )


if __name__ == "__main__":
    run(main)
