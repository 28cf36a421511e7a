"""What is left of a sound when it comes back from a codec."""

import math

import numpy as np
import pandas as pd

from counterpoise.codecs.codec import Codec
from counterpoise.codecs.encode import extended_waves
from counterpoise.metrics import signal


def round_trip(codec: Codec, clips: pd.DataFrame) -> dict[str, float]:
    """Mean quality of the given clips after encoding and decoding: the ceiling for everything made from latents."""
    measures = []
    for path in clips.path:
        extended = extended_waves(codec, [path])
        wave = extended[..., : -codec.sample_rate]
        latent = codec.encode(extended)[..., : math.ceil(wave.shape[-1] / codec.hop)]
        decoded = codec.decode(latent).cpu()[..., : wave.shape[-1]]
        measures.append(signal.round_trip(wave, decoded, codec.sample_rate))
    return {name: round(float(np.mean([m[name] for m in measures])), 4) for name in measures[0]}
