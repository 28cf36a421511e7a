"""train_diffusion: learn one class's sounds from its training recordings, alone or on top of the shared base."""

from counterpoise import codecs
from counterpoise.augment import latents
from counterpoise.codecs.latents import Packed
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core import origin, runtime, seen, tables
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.progress import counted
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import File
from counterpoise.diffusion import training
from counterpoise.diffusion.model import Model
from counterpoise.diffusion.settings import Diffusion
from counterpoise.embeddings.settings import Features
from counterpoise.generation import early_stopping
from counterpoise.generation.settings import Generate
from stages.base import paths
from stages.base.work import curves, run, tell, working


class Params(File):
    codec: CodecSettings
    diffusion: Diffusion
    features: Features
    generate: Generate
    runtime: Runtime


def main(label: str) -> None:
    p = Params.read()
    device = runtime.setup(p.runtime)
    out, d = paths.DIFFUSION / label, p.diffusion

    # The class's clips, and how long to learn from them
    packed = Packed(paths.LATENTS / f"{label}.safetensors")
    clips = tables.read(paths.SPLIT / f"{label}.csv", tables.SPLIT).set_index("clip_id")
    partition = clips.partition.reindex(packed.clips.clip_id).reset_index(drop=True)
    rows = packed.rows(clips.index[clips.partition == "train"])
    steps = d.budget(len(rows)) if d.mode == "per_class" else 0
    alone = d.mode == "per_class" and d.init == "scratch"

    # Train, and validate on the way
    with working(together=True) as folder, curves(paths.PLOTS / "diffusion" / label) as report:
        copies = d.augmented if steps else 0
        pool = latents.pool([(packed, rows)], copies, d.seed, p.codec, device, folder)
        if alone:
            denoiser, clip_ids = Model.fresh(pool, d, codecs.kind(p.codec.name).picture), []
        else:
            denoiser, clip_ids = Model.of_base(paths.BASE, label, tuned=steps > 0), seen.read(paths.BASE)["clip_ids"]
        learned = "the shared base as it is"
        if steps:
            clip_ids = [*clip_ids, *pool.clip_ids]
            validation = early_stopping.begin(
                denoiser,
                label,
                packed,
                partition,
                paths.PRETRAINED,
                p.features,
                p.codec,
                d,
                p.generate,
                p.runtime,
                device,
                report,
                folder,
            )
            trained = training.train(
                denoiser.network,
                pool,
                denoiser.normaliser,
                steps,
                d,
                p.runtime,
                device,
                Checkpoint(folder / "state.pt"),
                lambda at, loss: report(at, loss=loss),
                label,
                validation,
            )
            denoiser = denoiser.with_weak(trained.early)
            if validation:
                validation.finish(out)
            learned = f"{counted(trained.steps, 'step')} on {counted(len(rows), 'clip')}, loss {trained.loss:.3f}"
            if advice := training.advice(trained.loss, label, d):
                print(advice)
        denoiser.save(out, label, clip_ids)
        origin.write(out, p.runtime, device)
    tell(out, learned)


if __name__ == "__main__":
    run(main)
