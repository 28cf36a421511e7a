"""The workspace that a command runs in: where stages leave what it needs, and which commit it is."""

import subprocess
from pathlib import Path

RAW = Path("data/raw")
SPLIT = Path("data/split/all.csv")
LATENTS = Path("data/latents")
DENOISERS = Path("models/diffusion")
RELEASE = Path("models/release")


def commit() -> str | None:
    """The commit that is checked out, 40 hex digits, with `+changes` where tracked files differ; None without git."""
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    if not head or changes is None:
        return None
    return f"{head}+changes" if changes else head


def _git(*arguments: str) -> str | None:
    """What git says, or None where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
