"""What is left of a sound when it comes back from a codec, as a classifier hears it, and what a codec cannot keep."""

import math

import numpy as np
import pandas as pd
import torch

from counterpoise.codecs.codec import Codec, CodecError
from counterpoise.codecs.encode import extended_waves
from counterpoise.codecs.settings import NEAR
from counterpoise.core import audio
from counterpoise.metrics import signal

UNHEARD = 0.1  # a larger share of a class's energy that neither the codec nor a classifier gets brings a warning
NOTHING = 0.999  # where a larger share of a class's energy is lost to the codec, nothing is left to learn


def round_trip(codec: Codec, clips: pd.DataFrame, sample_rate: int, channels: int) -> dict[str, float]:
    """Mean quality of the given clips after encoding and decoding: the ceiling for everything made from latents.

    Clips and what comes back are compared in the form in which a classifier hears them.

    Args:
        clips: rows of the catalogue, 1 or more.
        sample_rate, channels: of a classifier's input, Hz.

    Returns:
        The measures of :func:`counterpoise.metrics.signal.round_trip`; and shares of energy of the real clips, 0 to 1:

        - `above_codec`: of the recordings, above the highest frequency that the codec keeps.
        - `heard_above_codec`: the same, of what a classifier hears.
        - `heard_between_channels`: of what a classifier hears, what a codec with one channel mixes away.
    """
    measures = []
    for row in clips.itertuples():
        extended = extended_waves(codec, [row.path])
        samples = extended.shape[-1] - codec.sample_rate
        latent = codec.encode(extended)[..., : math.ceil(samples / codec.hop)]
        decoded = codec.decode(latent).cpu()[0, :, :samples].numpy()
        heard = audio.read(row.path, sample_rate, channels)
        back = audio.resample(audio.mix(decoded, channels), codec.sample_rate, sample_rate)
        back = audio.fit(back, heard.shape[1])
        recorded = audio.read(row.path, row.sample_rate, min(2, row.channels))
        shares = {
            "above_codec": signal.share_above(recorded, row.sample_rate, codec.highest),
            "heard_above_codec": signal.share_above(heard, sample_rate, codec.highest),
            "heard_between_channels": signal.share_between_channels(heard) if codec.channels == 1 else 0.0,
        }
        compared = signal.round_trip(torch.from_numpy(heard)[None], torch.from_numpy(back)[None], sample_rate)
        measures.append({name: value[0] for name, value in compared.items()} | shares)
    return {name: round(float(np.mean([m[name] for m in measures])), 4) for name in measures[0]}


def check(codec: Codec, report: dict[str, dict[str, float]]) -> None:
    """Stop where nothing of a class is left for the codec.

    Args:
        report: what :func:`round_trip` says of each class.

    Raises:
        CodecError: a class has almost all of its energy above the codec's band.
    """
    lost = {label: found["above_codec"] for label, found in report.items() if found["above_codec"] > NOTHING}
    if lost:
        shares = ", ".join(f"{label} ({share:.2%})" for label, share in lost.items())
        raise CodecError(
            f"the codec {codec.name} keeps sounds up to {codec.highest:,.0f} Hz, and above that lies nearly all energy "
            f"of {shares}; at most {NOTHING:.1%} is allowed. {_wider(codec.name)}, then run `dvc repro`"
        )


def warnings(
    codec: Codec,
    report: dict[str, dict[str, float]],
    clips: pd.DataFrame,
    sample_rate: int,
    channels: int,
) -> list[str]:
    """Where the codec, the classifiers and the collection do not fit each other, with the figures.

    Args:
        report: what :func:`round_trip` says of each class.
        clips: the catalogue.
        sample_rate, channels: of a classifier's input, Hz.
    """
    found = []
    settings = _wider(codec.name)
    name, top, end = codec.name, codec.highest, sample_rate / 2
    if top < NEAR * end:
        found.append(
            f"the codec {name} keeps sounds up to {top:,.0f} Hz, and classifiers hear up to {end:,.0f} Hz: made clips "
            f"have nothing in between, and real ones {_shares(report, 'heard_above_codec')} of their energy. "
            f"{settings}, or lower audio.sample_rate"
        )
    elif unheard := {label: one for label, one in report.items() if one["above_codec"] > UNHEARD}:
        found.append(
            f"above {top:,.0f} Hz, where the codec {name} and the classifiers end, lies "
            f"{_shares(unheard, 'above_codec')} of the energy of real clips, which nobody hears. {settings}, and "
            "audio.sample_rate with it; `counterpoise check` tells values"
        )
    if channels > codec.channels and any(one["heard_between_channels"] > 0 for one in report.values()):
        found.append(
            f"the codec {name} keeps one channel, and audio.channels is {channels}: made clips have no difference of "
            f"channels, and real ones {_shares(report, 'heard_between_channels')} of their energy in it. Set "
            "audio.channels to 1, or codec.name to encodec_48khz"
        )
    low = clips[clips.sample_rate / 2 < NEAR * top]
    if len(low):
        most = low.sample_rate.mode().iloc[0]
        lower = f". Set codec.mel.f_max to {most / 2:g} if all clips are like that" if name == "mel" else ""
        found.append(
            f"{len(low):,} of {len(clips):,} clips ({most:,} Hz most often) hold nothing above half their rate, where "
            f"the codec {name} goes up to {top:,.0f} Hz: denoisers learn that emptiness, too{lower}"
        )
    return found


def _wider(name: str) -> str:
    """What to set for a codec that keeps higher frequencies than this one."""
    if name == "mel":
        return "Raise codec.mel.f_max and codec.mel.sample_rate"
    return "Set codec.name to encodec_48khz or mel" if name == "encodec_24khz" else "Set codec.name to mel"


def _shares(report: dict[str, dict[str, float]], key: str) -> str:
    """The figure of each class, as percentages, the largest first."""
    ordered = sorted(report.items(), key=lambda item: -item[1][key])
    shown = [f"{one[key]:.1%} ({label})" for label, one in ordered[:3]]
    return ", ".join([*shown, *([f"less in {len(ordered) - 3} more"] if len(ordered) > 3 else [])])
