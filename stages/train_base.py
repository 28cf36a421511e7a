"""train_base: one class-conditioned denoiser of all training clips, where classes start from it or share it."""

import json

from dvclive import Live

from counterpoise import altered, catalog, checkpoint, params, runtime, splits
from counterpoise.diffusion import networks, training
from counterpoise.latents import Normaliser, Packed, Pool
from stages import BASE, LATENTS, nothing, prune, run, working


def main() -> None:
    p = params.load()
    if p.diffusion.mode == "per_class" and p.diffusion.init == "scratch":
        return nothing(BASE, "every class learns from scratch: no base is needed")
    prune(BASE, keep=[])
    device = runtime.setup(p.runtime)

    # Every class's training clips
    parts = []
    for label in p.classes:
        packed = Packed(LATENTS / f"{label}.safetensors")
        partition = splits.partition(packed.clips, p.split, p.data)
        splits.check_amounts(packed.clips, partition, [label], p.data.min_recordings, p.split)
        parts.append((packed, [row for row, part in enumerate(partition) if part == "train"]))

    # Train
    key = checkpoint.key(
        stage="train_base", latents=[catalog.sha256(LATENTS / f"{label}.safetensors") for label in p.classes],
        seen=Pool(parts).clip_ids, diffusion=p.diffusion, codec=p.codec, runtime=p.runtime,
    )
    live = Live(str(BASE / "curve"), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)

    def report(step: int, loss: float) -> None:
        live.step = step
        live.log_metric("loss", round(loss, 4))
        live.make_summary()

    with working(BASE, key) as folder, live:
        pool = altered.pool(parts, p.diffusion, p.codec, device, folder)
        normaliser = Normaliser.fit(pool)
        network = networks.build(p.diffusion, pool.channels, p.codec.name == "mel", p.diffusion.seed, len(p.classes))
        trained = training.train(
            network, pool, normaliser, p.diffusion.base_steps, p.diffusion, p.runtime, device,
            checkpoint.Checkpoint(folder / "state.pt"), report, "base",
        )

        # Save
        networks.save(network, BASE / "unet")
        network.load_state_dict(trained.early)
        networks.save(network, BASE / "early")
        normaliser.save(BASE / "normaliser.safetensors")
        seen = {"labels": list(p.classes), "clip_ids": list(dict.fromkeys(pool.clip_ids))}
        (BASE / "seen.json").write_text(json.dumps(seen, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
