"""train_base: one class-conditioned denoiser of all training clips, where classes start from it or share it.

It alone learns unlabelled clips, too, as if they were one more class.
"""

from counterpoise import codecs
from counterpoise.augment import latents
from counterpoise.codecs.latents import Normaliser, Packed
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core import origin, runtime, tables
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.naming import UNLABELLED
from counterpoise.core.progress import counted
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.diffusion import model, networks, training
from counterpoise.diffusion.settings import Diffusion
from stages.base import paths
from stages.base.work import curves, nothing, prune, run, tell, working


class Params(File):
    classes: Classes
    codec: CodecSettings
    diffusion: Diffusion
    runtime: Runtime


def main() -> None:
    p = Params.read()
    d = p.diffusion
    unlabelled = tables.read(paths.UNLABELLED_SPLIT, tables.SPLIT)
    if d.mode == "per_class" and d.init == "scratch":
        unused = ", and none learns the sounds of data.unlabelled" if len(unlabelled) else ""
        return nothing(paths.BASE, f"every class learns from scratch: no base is needed{unused}")
    prune(paths.BASE, keep=[])
    device = runtime.setup(p.runtime)

    # Every class's training clips
    clips = tables.read(paths.ALL, tables.SPLIT)
    training_ids = set(clips.clip_id[clips.partition == "train"])
    packed = [Packed(paths.LATENTS / f"{label}.safetensors") for label in p.classes]
    parts = [(one, one.rows(training_ids)) for one in packed]

    # Unlabelled clips
    apart, labels = [], list(p.classes)
    unlabelled_ids = set(unlabelled.clip_id[unlabelled.partition == "train"])
    if unlabelled_ids and d.unlabelled_share:
        of_unlabelled = Packed(paths.UNLABELLED_LATENTS)
        apart, labels = [(of_unlabelled, of_unlabelled.rows(unlabelled_ids))], [*labels, UNLABELLED]

    # Train
    with working() as folder, curves(paths.BASE / "curve") as report:
        pool = latents.pool(parts, d.augmented, d.seed, p.codec, device, folder, apart)
        normaliser = Normaliser.fit(pool)
        network = networks.build(d, pool.channels, codecs.kind(p.codec.name).picture, d.seed, len(labels))
        state = Checkpoint(folder / "state.pt")
        trained = training.train(
            network,
            pool,
            normaliser,
            d.base_steps,
            d,
            p.runtime,
            device,
            state,
            lambda step, loss: report(step, loss=loss),
            "base",
        )
        model.save_base(paths.BASE, network, trained.early, normaliser, labels, pool.clip_ids)
        origin.write(paths.BASE, p.runtime, device)
    learned = counted(len(training_ids) + sum(len(rows) for _, rows in apart), "clip")
    tell(paths.BASE, f"{counted(trained.steps, 'step')} on {learned}, loss {trained.loss:.3f}")


if __name__ == "__main__":
    run(main)
