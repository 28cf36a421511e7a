"""train_diffusion: learn one class's sounds from its training recordings, alone or on top of the shared base."""

import json

from dvclive import Live

from counterpoise import catalog, checkpoint, params, runtime, splits
from counterpoise.diffusion import networks, sampling, training
from counterpoise.latents import Normaliser, Packed, Pool
from stages import BASE, DIFFUSION, LATENTS, PLOTS, run, working


def main(label: str) -> None:
    p = params.load()
    device = runtime.setup(p.runtime)
    source, out = LATENTS / f"{label}.safetensors", DIFFUSION / label
    alone = p.diffusion.mode == "per_class" and p.diffusion.init == "scratch"
    steps = p.diffusion.steps if p.diffusion.mode == "per_class" else 0

    # The class's training clips
    packed = Packed(source)
    partition = splits.partition(packed.clips, p.split, p.data)
    splits.check_amounts(packed.clips, partition, [label], p.data.min_recordings, p.split)
    pool = Pool([(packed, [row for row, part in enumerate(partition) if part == "train"])])

    # A network of its own, or this class's part of the base
    seen = pool.clip_ids
    if alone:
        normaliser = Normaliser.fit(pool)
        network = networks.build(p.diffusion, pool.channels, p.codec.name == "mel", p.diffusion.seed)
    else:
        base = json.loads((BASE / "seen.json").read_text())
        normaliser = Normaliser.load(BASE / "normaliser.safetensors")
        network = networks.specialise(networks.load(BASE / "unet"), base["labels"].index(label))
        seen = base["clip_ids"]

    # Train
    key = checkpoint.key(
        stage="train_diffusion", latents=catalog.sha256(source), seen=seen, diffusion=p.diffusion, runtime=p.runtime,
        base=[catalog.sha256(path) for path in sorted(BASE.rglob("*.safetensors"))],
    )
    live = Live(str(PLOTS / "diffusion" / label), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)

    def report(step: int, loss: float) -> None:
        live.step = step
        live.log_metric("loss", round(loss, 4))
        live.make_summary()

    with working(out, key) as folder, live:
        if steps:
            loss = training.train(
                network, pool, normaliser, steps, p.diffusion, p.runtime, device,
                checkpoint.Checkpoint(folder / "state.pt"), report, label,
            )
            if advice := training.advice(loss, label, p.diffusion):
                print(advice)

        # Save
        out.mkdir(parents=True, exist_ok=True)
        networks.save(network, out / "unet")
        sampling.scheduler(normaliser.sigma_data).save_pretrained(out / "scheduler")
        normaliser.save(out / "normaliser.safetensors")
        (out / "seen.json").write_text(json.dumps({"label": label, "clip_ids": seen}, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
