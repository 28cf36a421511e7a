"""How large a report page grows, and how long a browser takes to open it.

    python -m benchmarks.page_size [--classes 100] [--sounds 100] [--seconds 1] [--rate 16000]

A page of made-up results, with so many sounds of each class, ten of each training clip. Prints the sizes of the page,
of all scripts and of all files; then the times until Chromium has opened the page, and until
it shows the sounds of another class. CHROMIUM names the browser, if it is not on the path.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib import image
from playwright.sync_api import sync_playwright

from counterpoise.core import audio
from counterpoise.evaluation.metrics import METRICS, OF_CLASS
from counterpoise.report import page

BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
OF_A_CLIP = 10
ARMS = ("none", "class_weights", "oversample", "mixup", "classic", "roundtrip", "diffusion", "two_none", "denoisers")
DEAR = ("diffusion", "denoisers")


def run_of(labels: list[str], sounds: int, rng: np.random.Generator) -> page.Run:
    """Results in which every row has the same scores, and every class is taken for five others now and then."""
    scores = {name: [0.5, 0.4, 0.6] for name in METRICS}
    of_class = dict.fromkeys(OF_CLASS, 0.5)
    k = len(labels)
    taken = 20 * np.eye(k, dtype=int)
    for row in taken:
        row[rng.integers(0, k, 5)] += 1
    seeds = {
        "labels": labels,
        "rare": labels[-1:],
        "train_clips": dict(zip(labels, range(2 * k, k, -1))),
        "runs": [{"model": "cnn", "arm": arm, "seed": 0, "confusion": taken.tolist()} for arm in ARMS],
    }
    part = {"clips": 20 * k, "recordings": 10 * k}
    metrics = {
        "answer": {
            "level": 0.95,
            "cheap": {arm: arm not in DEAR for arm in ARMS},
            "scores": {"cnn": dict.fromkeys(ARMS, scores)},
            "differences": [],
        },
        "seeds": seeds,
        "errors": {"cnn": {"arms": {arm: {"ece": 0.1} for arm in ARMS}}},
        "per_class": {"cnn": {arm: dict.fromkeys(labels, of_class) for arm in ARMS}},
        "generated": {"classes": {}},
        "data": {"partitions": dict.fromkeys(("train", "val", "test"), part)},
    }
    kinds = {"real": sounds // OF_A_CLIP, "diffusion": sounds - sounds // OF_A_CLIP}
    names = {label: label.replace("_", " ") for label in labels}
    return page.Run(
        dataset="own",
        metrics=metrics,
        names=names,
        sounds=dict.fromkeys(labels, kinds),
        embedding="own cnn",
        silence="",
        release=None,
    )


def fill(folder: Path, label: str, sounds: int, seconds: float, rate: int, rng: np.random.Generator) -> None:
    """Noise for sounds, noise for spectrograms, and what the page reads of them."""
    (folder / "sounds" / label).mkdir(parents=True)
    (folder / "listen").mkdir(exist_ok=True)
    told = []
    for i in range(sounds):
        place = f"sounds/{label}/{i:04d}"
        audio.write_flac(folder / f"{place}.flac", 0.1 * rng.standard_normal((1, round(seconds * rate))), rate)
        image.imsave(folder / f"{place}.png", rng.random((64, round(seconds * rate / 256))), cmap="cividis")
        first = i % OF_A_CLIP == 0
        made = (
            {} if first else {"strength": 1.5, "start": "own", "verdict": "kept", "cosine": 0.9, "nearest": f"c{i:06d}"}
        )
        kind = "real" if first else "diffusion"
        heard = {"heard": label, "probability": 0.9, "seconds": seconds, "verdict": ""}
        told.append({"kind": kind, "clip": f"clip_{i:06d}_0123456789", "place": place, **heard, **made})
    families = [
        {"root": f"data/own/{label}/{i:06d}.wav", "recording": f"r{i}", "sounds": told[i : i + OF_A_CLIP]}
        for i in range(0, sounds, OF_A_CLIP)
    ]
    (folder / f"listen/{label}.js").write_text(f"listeningRoom.add({json.dumps(label)}, {json.dumps(families)});\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--sounds", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rate", type=int, default=16000)
    options = parser.parse_args()
    labels, rng = [f"class_{i:03d}" for i in range(options.classes)], np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for label in labels:
            fill(folder, label, options.sounds, options.seconds, options.rate, rng)
        page.write(run_of(labels, options.sounds, rng), folder)
        sizes = {name: sum(p.stat().st_size for p in folder.rglob(name)) / 1e6 for name in ("*.html", "*.js", "*.*")}
        print(f"index.html {sizes['*.html']:.1f} MB, scripts {sizes['*.js']:.1f} MB, all {sizes['*.*']:.0f} MB")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            begun = time.perf_counter()
            tab.goto((folder / "index.html").as_uri())
            tab.wait_for_selector(".sound")
            tab.wait_for_selector(".chart svg")
            print(f"opened after {time.perf_counter() - begun:.2f} s")
            begun = time.perf_counter()
            tab.locator("#class").select_option(labels[0])
            tab.wait_for_selector(f"img[src^='sounds/{labels[0]}']")
            print(f"another class after {time.perf_counter() - begun:.2f} s")
            browser.close()


if __name__ == "__main__":
    main()
