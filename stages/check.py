"""check: params.yaml makes sense as a whole, before any stage runs; what it no longer names is deleted."""

from counterpoise.cli.params import Params
from stages import CHECKED, CLASSIFIER, DIFFUSION, PLOTS, SYNTHETIC, prune, run


def main() -> None:
    p = Params.read()

    # DVC leaves the outputs of a class, an arm or a classifier behind that is gone from params.yaml
    trained = [f"{arm}-{model}" for arm in p.arms for model in p.models]
    for folder, keep in (
        (SYNTHETIC, list(p.classes)),
        (DIFFUSION, list(p.classes)),
        (PLOTS / "diffusion", list(p.classes)),
        (CLASSIFIER, trained),
        (PLOTS / "training", trained),
    ):
        prune(folder, keep)
    CHECKED.parent.mkdir(exist_ok=True)
    CHECKED.write_text("params.yaml holds values that every stage can use\n")


if __name__ == "__main__":
    run(main)
