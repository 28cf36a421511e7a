"""balance: how many clips each class needs, and of which training clips they will be made."""

from counterpoise.arms import arm
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core import tables
from counterpoise.core.progress import counted
from counterpoise.core.settings import Classes, File
from counterpoise.datasets.settings import Data
from counterpoise.generation import planning
from counterpoise.generation.settings import Generate
from counterpoise.splits import balance
from counterpoise.splits.balance import Aug
from counterpoise.splits.training_tables import Material
from stages.base import paths
from stages.base.work import prune, run, tell


class Params(File):
    arms: list[str]
    aug: Aug
    classes: Classes
    codec: CodecSettings
    data: Data
    generate: Generate


def main() -> None:
    p = Params.read()
    prune(paths.BALANCE, keep=[])
    clips = tables.read(paths.ALL, tables.SPLIT)
    training = clips[clips.partition == "train"].drop(columns="partition")

    # How many
    counts = training.label.value_counts().reindex(list(p.classes), fill_value=0)
    plan = balance.plan(counts.to_dict(), p.aug, p.data.scarce.classes)
    tables.write(plan, paths.PLAN)
    print(*balance.summary(plan), sep="\n")

    # Variations by diffusion, of which clips; none where no arm adds them
    used = any("diffusion" in arm.load(name).fills for name in p.arms)
    variations = 0
    for label, amount in zip(plan.label, plan.synthetic * used, strict=True):
        planned = planning.plan(
            training, label, int(amount), p.generate, paths.SYNTHETIC / label, paths.DIFFUSION / label
        )
        tables.write(planned, paths.BALANCE / f"{label}.csv", exact=True)
        variations += len(planned)

    # What the cheap arms need
    material = Material(training, plan, p.aug.real_through_codec, p.generate.seed)
    cheap = material.lineage([arm.load(name) for name in p.arms], paths.AUGMENTED, p.codec.name)
    tables.write(cheap, paths.CHEAP)
    tell(
        paths.BALANCE,
        f"{counted(variations, 'variation')} by diffusion and {counted(len(cheap), 'cheap clip')} to make",
    )


if __name__ == "__main__":
    run(main)
