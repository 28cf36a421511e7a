"""train_diffusion: learn one class's sounds from its training recordings, alone or on top of the shared base."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from dvclive import Live

from counterpoise import catalog, checkpoint, codecs, params, rehearsal, runtime, splits
from counterpoise.diffusion import networks, training
from counterpoise.diffusion.model import Model
from counterpoise.latents import Normaliser, Packed, Pool
from stages import BASE, DIFFUSION, LATENTS, PLOTS, PRETRAINED, run, working


def main(label: str) -> None:
    p = params.load()
    device = runtime.setup(p.runtime)
    source, out = LATENTS / f"{label}.safetensors", DIFFUSION / label
    alone = p.diffusion.mode == "per_class" and p.diffusion.init == "scratch"

    # The class's training clips
    packed = Packed(source)
    partition = splits.partition(packed.clips, p.split, p.data)
    splits.check_amounts(packed.clips, partition, [label], p.data.min_recordings, p.split)
    pool = Pool([(packed, [row for row, part in enumerate(partition) if part == "train"])])
    steps = p.diffusion.budget(len(pool)) if p.diffusion.mode == "per_class" else 0

    # A network of its own, or this class's part of the base
    seen = pool.clip_ids
    if alone:
        normaliser, weak = Normaliser.fit(pool), None
        network = networks.build(p.diffusion, pool.channels, p.codec.name == "mel", p.diffusion.seed)
    else:
        base = json.loads((BASE / "seen.json").read_text())
        normaliser, seen = Normaliser.load(BASE / "normaliser.safetensors"), base["clip_ids"]
        network, weak = (
            networks.specialise(networks.load(BASE / part), base["labels"].index(label))
            for part in ("unet", "unet" if steps else "early")
        )

    # Train, and listen on the way
    key = checkpoint.key(
        stage="train_diffusion", latents=catalog.sha256(source), seen=seen, steps=steps, diffusion=p.diffusion,
        generate=p.generate, codec=p.codec, features=p.features, runtime=p.runtime, partition=partition.tolist(),
        networks=[catalog.sha256(path) for path in (*sorted(BASE.rglob("*.safetensors")), PRETRAINED) if path.exists()],
    )
    live = Live(str(PLOTS / "diffusion" / label), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False)

    def report(step: int, **measured: float) -> None:
        live.step = step
        for metric, value in measured.items():
            live.log_metric(metric, round(value, 4))
        live.make_summary()

    with working(out, key) as folder, live:
        model = Model(network, weak, normaliser)
        rehearsed = rehearsing(label, packed, partition, p, device, report, folder) if steps else None

        def rehearse(step: int, early: dict[str, torch.Tensor]) -> float:
            if alone:
                model.weak = as_it_was(network, early)
            return rehearsed(step, model)

        if steps:
            trained = training.train(
                network, pool, normaliser, steps, p.diffusion, p.runtime, device,
                checkpoint.Checkpoint(folder / "state.pt"), lambda step, loss: report(step, loss=loss), label,
                rehearse if rehearsed else None,
            )
            if rehearsed:
                rehearsed.replay()
                shutil.copytree(folder / "demos", out / "demos", dirs_exist_ok=True)
            if alone:
                model.weak = as_it_was(network, trained.early)
            print(f"{label}: {trained.steps} steps on {len(pool)} clips, loss {trained.loss:.3f}")
            if advice := training.advice(trained.loss, label, p.diffusion):
                print(advice)

        # Save
        model.save(out)
        (out / "seen.json").write_text(json.dumps({"label": label, "clip_ids": seen}, indent=1) + "\n")


def as_it_was(network: networks.Denoiser, weights: dict[str, torch.Tensor]) -> networks.Denoiser:
    weak = copy.deepcopy(network)
    weak.load_state_dict(weights)
    return weak.eval()


def rehearsing(
    label: str, packed: Packed, partition: pd.Series, p: params.Params, device: torch.device,
    report: Callable[..., None], folder: Path,
) -> rehearsal.Rehearsal | None:  # fmt: skip
    """Who listens to the class's variations every so often, or nobody."""
    if not p.diffusion.check_every:
        return None
    if (held_out := (partition == "val").sum()) < rehearsal.FEWEST:
        print(f"{label}: {held_out} validation clips are too few to rehearse for; every step is trained")
        return None
    codec = codecs.build(p.codec, device)
    ear = rehearsal.ear(PRETRAINED, p.features, codec, device)
    return rehearsal.Rehearsal(
        label, packed, partition, ear, codec, p.diffusion, p.generate, p.runtime, device, report, folder
    )


if __name__ == "__main__":
    run(main)
