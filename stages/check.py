"""check: params.yaml makes sense as a whole and fits the collection's folds; what it no longer names is deleted."""

from counterpoise.cli.params import Params
from counterpoise.datasets import collect
from counterpoise.splits import split
from stages.base import paths
from stages.base.work import prune, run, tell


def main() -> None:
    p = Params.read()
    split.check_folds(collect.folds_of(p.data), p.split)

    # DVC leaves the outputs of a class, an arm or a classifier behind that is gone from params.yaml
    trained = [f"{arm}-{model}" for arm in p.arms for model in p.models]
    for folder, keep in (
        (paths.SYNTHETIC, list(p.classes)),
        (paths.DIFFUSION, list(p.classes)),
        (paths.PLOTS / "diffusion", list(p.classes)),
        (paths.CLASSIFIER, trained),
        (paths.PLOTS / "training", trained),
    ):
        prune(folder, keep)
    paths.CHECKED.parent.mkdir(exist_ok=True)
    paths.CHECKED.write_text("params.yaml holds values that every stage can use\n")
    tell(paths.CHECKED, "params.yaml holds values that every stage can use")


if __name__ == "__main__":
    run(main)
