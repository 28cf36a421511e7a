"""train_diffusion: learn one class's sounds from its training recordings, alone or on top of the shared base."""

import json

from dvclive import Live

from counterpoise import altered, catalog, checkpoint, params, rehearsal, runtime, splits
from counterpoise.diffusion import training
from counterpoise.diffusion.model import Model
from counterpoise.latents import Normaliser, Packed, Pool
from stages import BASE, DIFFUSION, LATENTS, PLOTS, PRETRAINED, run, working


def main(label: str) -> None:
    p = params.load()
    device = runtime.setup(p.runtime)
    source, out, d = LATENTS / f"{label}.safetensors", DIFFUSION / label, p.diffusion

    # The class's training clips
    packed = Packed(source)
    partition = splits.partition(packed.clips, p.split, p.data)
    splits.check_amounts(packed.clips, partition, [label], p.data.min_recordings, p.split)
    rows = [row for row, part in enumerate(partition) if part == "train"]
    seen = Pool([(packed, rows)]).clip_ids

    # A network of its own, or this class's part of the base
    steps = d.budget(len(rows)) if d.mode == "per_class" else 0
    alone = d.mode == "per_class" and d.init == "scratch"
    if not alone:
        base = json.loads((BASE / "seen.json").read_text())
        seen = base["clip_ids"]

    # Train, and listen on the way
    key = checkpoint.key(
        stage="train_diffusion", latents=catalog.sha256(source), seen=seen, steps=steps, diffusion=d,
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
        learned = altered.pool([(packed, rows)], d, p.codec, device, folder) if steps else None
        if alone:
            model = Model.fresh(learned, d, p.codec.name == "mel")
        else:
            normaliser = Normaliser.load(BASE / "normaliser.safetensors")
            model = Model.of_base(BASE, normaliser, base["labels"].index(label), tuned=steps > 0)
        if learned:
            seen = dict.fromkeys([*seen, *learned.clip_ids])
            rehearsed = rehearsal.begin(
                model, label, packed, partition, PRETRAINED, p.features, p.codec, d, p.generate, p.runtime, device,
                report, folder,
            )
            trained = training.train(
                model.network, learned, model.normaliser, steps, d, p.runtime, device,
                checkpoint.Checkpoint(folder / "state.pt"), lambda at, loss: report(at, loss=loss), label, rehearsed,
            )
            model = model.with_weak(trained.early)
            if rehearsed:
                rehearsed.finish(out)
            print(f"{label}: {trained.steps} steps on {len(rows)} clips, loss {trained.loss:.3f}")
            if advice := training.advice(trained.loss, label, d):
                print(advice)
        model.save(out)
        (out / "seen.json").write_text(json.dumps({"label": label, "clip_ids": list(seen)}, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
