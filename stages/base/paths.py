"""Where everything lies in the repository."""

from pathlib import Path

CHECKED = Path("data/checked.txt")
RAW = Path("data/raw")
CLIPS = Path("data/clips.csv")
REJECTED = Path("data/rejected.csv")
MENDED = Path("data/mended.csv")
DUPLICATES = Path("data/duplicates.csv")
UNLABELLED = Path("data/unlabelled.csv")
RELATED = Path("data/related.csv")
SPLIT = Path("data/split")
ALL = SPLIT / "all.csv"
UNLABELLED_SPLIT = SPLIT / "unlabelled.csv"
BALANCE = Path("data/balance")
PLAN = BALANCE / "plan.csv"
CHEAP = BALANCE / "cheap.csv"
LATENTS = Path("data/latents")
UNLABELLED_LATENTS = LATENTS / "unlabelled.safetensors"
SYNTHETIC = Path("data/synthetic")
REJECTED_BELOW = "rejected"  # in a class's folder there: candidates that nobody trains on
AUGMENTED = Path("data/augmented")
SPLITS = Path("data/splits")
PROBABILITIES = Path("data/probabilities.csv")
MEASURED = Path("data/measured")  # small, and kept by DVC; `publish` copies it to where git keeps it
ROUND_TRIPS = MEASURED / "codec.json"
GENERATED = MEASURED / "generated"
PREDICTIONS = Path("data/predictions.csv")
CLASS_FILTER = Path("models/class_filter")
BASE = Path("models/base")
DIFFUSION = Path("models/diffusion")
DENOISER_LOSSES = Path("data/denoiser_losses")
DENOISER_FEATURES = Path("data/denoiser_features")
SHALLOW = Path("data/shallow")
CLASSIFIER = Path("models/classifier")
RELEASE = Path("models/release")
PRETRAINED = Path("models/pretrained/yamnet.safetensors")
METRICS = Path("metrics")
PLOTS = Path("plots")
REPORT = Path("report")
