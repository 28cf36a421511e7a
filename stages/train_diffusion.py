"""train_diffusion: learn one class's sounds from its training recordings, and from nothing else."""

import json

from dvclive import Live

from counterpoise import catalog, checkpoint, params, runtime, splits
from counterpoise.diffusion import networks, sampling, training
from counterpoise.latents import Packed
from stages import DIFFUSION, LATENTS, PLOTS, run, working


def main(label: str) -> None:
    p = params.load()
    device = runtime.setup(p.runtime)
    source, out = LATENTS / f"{label}.safetensors", DIFFUSION / label

    # The class's training clips
    packed = Packed(source)
    partition = splits.partition(packed.clips, p.split, p.data)
    splits.check_amounts(packed.clips, partition, [label], p.data.min_recordings, p.split)
    rows = [row for row, part in enumerate(partition) if part == "train"]
    seen = packed.clips.clip_id.iloc[rows].tolist()

    # Train
    key = checkpoint.key(
        stage="train_diffusion", latents=catalog.sha256(source), seen=seen, diffusion=p.diffusion, runtime=p.runtime
    )
    live = Live(str(PLOTS / "diffusion" / label), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)

    def report(step: int, loss: float) -> None:
        live.step = step
        live.log_metric("loss", round(loss, 4))
        live.make_summary()

    with working(out, key) as folder, live:
        state = checkpoint.Checkpoint(folder / "state.pt")
        network, normaliser = training.train(
            packed, rows, p.codec.name == "mel", p.diffusion, p.runtime, device, state, report
        )

        # Save
        out.mkdir(parents=True, exist_ok=True)
        networks.save(network, out / "unet")
        sampling.scheduler(normaliser.sigma_data).save_pretrained(out / "scheduler")
        normaliser.save(out / "normaliser.safetensors")
        (out / "seen.json").write_text(json.dumps({"label": label, "clip_ids": seen}, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
