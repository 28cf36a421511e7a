"""What `counterpoise use own` proposes for a collection, by its files' headers: how much is heard at once, how high."""

import math
from pathlib import Path
from typing import NamedTuple

from counterpoise.cli.params import Params
from counterpoise.core import CounterpoiseError
from counterpoise.datasets import survey

LONGEST = 10.0  # s, of what is heard at once; a longer window makes training slower, and longer clips lose nothing
FRAMES = 60  # of a window's spectrogram, at least
HOPS = (512, 256, 128, 64)  # samples
LOWEST = 8000  # Hz; the lowest rate of a classifier, and bands of the mel codec hold no bin below its half
ENCODEC = {"encodec_24khz": 24000, "encodec_48khz": 48000}  # Hz; asking the codec itself would load its network


class Proposal(NamedTuple):
    """A value, and why."""

    value: float
    why: str


def propose(p: Params, raw: Path) -> dict[str, Proposal]:
    """Values of params.yaml that fit the collection at `data.path`, by dotted key; none where nothing can be read.

    Args:
        raw: where a collection that was downloaded before lies.
    """
    try:
        clips = survey.survey(p.data, {slug: one.name for slug, one in p.classes.items()}, raw).admitted.clips
    except CounterpoiseError:
        return {}
    lengths = survey.lengths(clips.seconds, p.audio.seconds)
    if lengths is None:
        return {}
    most = round_up(lengths.most)
    seconds = Proposal(most, f"{survey.MOST:.0%} of the clips are no longer")
    if most > LONGEST:
        seconds = Proposal(LONGEST, f"clips are longer, 95% up to {most:g} s: training draws crops, and all is scored")

    rates = survey.counts(clips.sample_rate)
    frequent, amount = next(iter(rates.items()))
    widest = _widest(p)
    share = "all clips have it" if amount == len(clips) else f"{amount:,} of {len(clips):,} clips have it"
    rate = Proposal(max(LOWEST, frequent), share)
    if frequent > widest:
        rate = Proposal(widest, f"most clips have {frequent:,} Hz; the codec {p.codec.name} keeps no more")
    samples = seconds.value * rate.value
    hop = next((hop for hop in HOPS if samples / hop >= FRAMES), HOPS[-1])
    found = {
        "audio.seconds": seconds,
        "audio.sample_rate": rate,
        "features.hop": Proposal(hop, f"a window has {round(samples / hop)} frames then"),
    }
    if p.codec.name == "mel":
        f_max = min(p.codec.mel.sample_rate, rate.value) / 2
        found["codec.mel.f_max"] = Proposal(f_max, "above it nothing is heard")
    return found


def _widest(p: Params) -> int:
    """The highest rate, Hz, of sounds that the codec can keep whole."""
    return ENCODEC.get(p.codec.name, p.codec.mel.sample_rate)


def round_up(seconds: float) -> float:
    """A length that is easy to read, and no shorter: tenths of a second, from 10 s on whole seconds."""
    step = 1 if seconds > 10 else 10
    return max(0.1, math.ceil(round(seconds * step, 3)) / step)
