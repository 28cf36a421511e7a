"""Six dog sounds from small physical models: a small, hard and imbalanced collection that needs no download.

Nothing here was recorded. Each *recording* is one simulated animal in one place before one microphone with one
background; its one to four clips differ only in what the animal does. So clips of a recording resemble each other
as clips cut from one field recording do, and a class with few recordings lacks sizes of dogs, rooms, microphones and
backgrounds rather than events. The test recordings are balanced, the training recordings are not.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import fftconvolve, lfilter

from counterpoise.core import CounterpoiseError, audio, tables
from counterpoise.core.progress import progress
from counterpoise.core.runtime import seed_for
from counterpoise.datasets.settings import Data

RATE = 16000  # Hz
SPEED_OF_SOUND = 350.0  # m/s, in warm moist air
FOLDS = {"train": 1, "val": 2, "test": 3}
RECORDINGS = {  # of each class in train, val and test, at scale 1
    "bark": (48, 3, 24),
    "howl": (24, 3, 24),
    "pant": (16, 3, 24),
    "eat": (10, 3, 24),
    "drink": (7, 3, 24),
    "sneeze": (5, 3, 24),
}
CLIPS_IN_TURN = (3, 1, 4, 2)  # clips of the first recording, the second, ...; exact, so that the test is balanced
BACKGROUNDS = ("pink", "brown", "hum", "traffic", "rain")


class DogsError(CounterpoiseError):
    """A class that these models cannot make."""


@dataclass(frozen=True)
class Animal:
    """What the sounds of one dog have in common."""

    tract: float  # m, length of the vocal tract, which grows with the body (Riede & Fitch 1999)
    pitch: float  # Hz, of its voice
    hoarseness: float  # 0..1, share of noise in its voice
    tempo: float  # 0..1, from slow to fast among the rates of its kind
    force: float  # 0..1, from gentle to fierce
    food: np.ndarray  # Hz [3], modes of what it crunches
    bowl: np.ndarray  # Hz [2], modes of what it eats or drinks from
    ring: float  # s, decay time of the bowl
    bubble: float  # m, typical radius of the bubbles that its tongue makes


Sound = Callable[[np.random.Generator, Animal, int], np.ndarray]


@dataclass(frozen=True)
class Scene:
    """What surrounds one dog: all that a classifier should learn to ignore."""

    room: np.ndarray  # impulse response, [samples]
    low_cut: float  # Hz, of the microphone
    high_cut: float  # Hz
    tilt: float  # dB per octave around 1 kHz
    bumps: np.ndarray  # [3, 2], centre in Hz and gain in dB of the microphone's colour
    level: float  # dBFS, root mean square of the clip
    background: str  # one of BACKGROUNDS
    snr: float  # dB
    hum: float  # Hz


def collect(data: Data, classes: Mapping[str, str], raw: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Synthesise the clips of some classes as 16-bit mono FLAC in `raw/<class>/<clip_id>.flac`.

    Every recording has its own random generator, so a clip depends on `data.seed`, its class, its partition and its
    number alone: other classes or another `data.scale` leave it bit-identical.

    Args:
        data: `scale` multiplies the number of recordings of each class and partition, which is at least 2.
        classes: slug to display name; the slugs are some of those in RECORDINGS.
        raw: the folder that receives the clips.

    Returns:
        The catalogue (columns `tables.CLIPS`; fold 1 is training, 2 validation, 3 test) and the rejected files
        (columns `tables.REJECTED`), of which there are none.

    Raises:
        DogsError: a slug is not one of the six sounds.
    """
    _check(classes)
    rows = []
    for label in progress(classes, desc="dogs", unit="class"):
        folder = raw / label
        folder.mkdir(parents=True, exist_ok=True)
        for source_id, fold, clip_ids in _recordings(label, data.scale):
            rng = np.random.default_rng(seed_for("dogs", data.seed, source_id))
            animal, scene = draw_animal(rng), draw_scene(rng)
            for clip_id in clip_ids:
                path = folder / f"{clip_id}.flac"
                wave = record(rng, SOUNDS[label], animal, scene)
                audio.write_flac(path, wave[None], RATE)
                form = {"seconds": len(wave) / RATE, "sample_rate": RATE, "channels": 1}
                where = {"clip_id": clip_id, "path": path.as_posix()}
                rows.append({**where, "label": label, "source_id": source_id, "fold": fold, **form})
    return tables.table(rows, tables.CLIPS), tables.table([], tables.REJECTED)


def foresee(data: Data, classes: Mapping[str, str], raw: Path) -> pd.DataFrame:
    """The catalogue that :func:`collect` will write, before a sound is made: of every clip, `seconds` is NaN.

    Raises:
        DogsError: as :func:`collect`.
    """
    _check(classes)
    form = {"seconds": np.nan, "sample_rate": RATE, "channels": 1}
    rows = [
        {"clip_id": clip_id, "path": (raw / label / f"{clip_id}.flac").as_posix(), "label": label}
        | {"source_id": source_id, "fold": fold, **form}
        for label in classes
        for source_id, fold, clip_ids in _recordings(label, data.scale)
        for clip_id in clip_ids
    ]
    return tables.table(rows, tables.CLIPS)


def _check(classes: Mapping[str, str]) -> None:
    unknown = [slug for slug in classes if slug not in RECORDINGS]
    if unknown:
        raise DogsError(
            f"the data set dogs has no class {', '.join(map(repr, unknown))}; it has {', '.join(RECORDINGS)}. "
            "Mend `classes` in params.yaml and run `dvc repro`."
        )


def _recordings(label: str, scale: float) -> Iterator[tuple[str, int, list[str]]]:
    """A class's recordings: the name, the fold, and the names of the clips."""
    for (partition, fold), amount in zip(FOLDS.items(), RECORDINGS[label]):
        for number in range(max(2, round(amount * scale))):
            source_id = f"{label}_{partition}_{number:03d}"
            yield source_id, fold, [f"{source_id}_{take}" for take in range(CLIPS_IN_TURN[number % len(CLIPS_IN_TURN)])]


def draw_animal(rng: np.random.Generator) -> Animal:
    """Any dog: small ones have short vocal tracts and high voices."""
    size = rng.uniform()  # 0 toy, 1 giant
    return Animal(
        tract=0.09 + 0.15 * size,
        pitch=np.exp(rng.normal(np.log(820 - 480 * size), 0.2)),
        hoarseness=rng.beta(1.5, 2.0),
        tempo=rng.uniform(),
        force=rng.uniform(),
        food=np.exp(rng.uniform(np.log(500), np.log(6500), 3)),
        bowl=np.exp(rng.uniform(np.log(600), np.log(5000), 2)),
        ring=np.exp(rng.uniform(np.log(0.004), np.log(0.08))),
        bubble=np.exp(rng.uniform(np.log(0.9e-3), np.log(4e-3))),
    )


def draw_scene(rng: np.random.Generator) -> Scene:
    """Any place, microphone and background."""
    rt60 = np.exp(rng.uniform(np.log(0.08), np.log(1.0)))  # s
    echo = int(rng.uniform(0.01, 0.12) * RATE)
    time = np.arange(int(min(rt60, 0.8) * RATE)) / RATE
    # A room is noise that decays by 60 dB within RT60 (Moorer 1979), after the direct sound.
    room = rng.standard_normal(len(time)) * 10 ** (-3 * time / rt60) / np.sqrt(RATE * rt60)
    room *= rng.uniform(0.2, 1.6)
    room[0] += 1.0
    if echo < len(room):
        room[echo] += rng.uniform(0, 0.6)
    return Scene(
        room=room,
        low_cut=np.exp(rng.uniform(np.log(40), np.log(400))),
        high_cut=np.exp(rng.uniform(np.log(2800), np.log(7800))),
        tilt=rng.uniform(-5, 5),
        bumps=np.stack([np.exp(rng.uniform(np.log(150), np.log(6000), 3)), rng.uniform(-9, 9, 3)], axis=1),
        level=rng.uniform(-40, -20),
        background=BACKGROUNDS[rng.integers(len(BACKGROUNDS))],
        snr=rng.uniform(3, 23),
        hum=rng.choice([50.0, 60.0]) * rng.integers(1, 4),
    )


def record(rng: np.random.Generator, sound: Sound, animal: Animal, scene: Scene) -> np.ndarray:
    """One clip of 0.7 to 1.2 s: a sound in its room, with its background, through its microphone; `[samples]`."""
    n = int(rng.uniform(0.7, 1.2) * RATE)
    wet = fftconvolve(unit(sound(rng, animal, n)), scene.room)[:n]
    noise = unit(background(rng, scene, n)) * 10 ** (-scene.snr / 20)
    wave = microphone(unit(wet) + noise, scene)
    return unit(wave).astype(np.float32) * np.float32(10 ** (scene.level / 20))


def background(rng: np.random.Generator, scene: Scene, n: int) -> np.ndarray:
    """The scene's own noise, `[n]`."""
    time = np.arange(n) / RATE
    if scene.background == "pink":
        return coloured(rng, n, 1.0)
    if scene.background == "brown":
        return coloured(rng, n, 2.0)
    if scene.background == "hum":  # a mains motor: harmonics that fall slowly
        tones = sum(np.sin(2 * np.pi * scene.hum * k * time + rng.uniform(0, 6.3)) / k for k in range(1, 13))
        return unit(tones) + 0.5 * unit(coloured(rng, n, 1.0))  # type: ignore[arg-type]
    if scene.background == "traffic":  # rumble that swells as something passes
        swell = 1.2 + np.sin(2 * np.pi * rng.uniform(0.2, 0.8) * time + rng.uniform(0, 6.3))
        return swell * unit(coloured(rng, n, 1.6)) + 0.3 * swell * unit(coloured(rng, n, 0.5))
    drops = np.where(rng.uniform(size=n) < 150 / RATE, rng.pareto(2.5, n), 0.0) * rng.choice([-1, 1], n)
    return unit(resonate(drops, np.array([2500.0]), 900.0)) + 0.6 * unit(coloured(rng, n, 0.3))


def microphone(wave: np.ndarray, scene: Scene) -> np.ndarray:
    """Band limits, tilt and colour, as gains on the spectrum; `[n]` to `[n]`."""
    frequency = np.maximum(np.fft.rfftfreq(len(wave), 1 / RATE), 1.0)
    octaves = np.log2(frequency / 1000)
    gain = scene.tilt * octaves.clip(-4, 3)
    for centre, decibels in scene.bumps:
        gain += decibels * np.exp(-((octaves - np.log2(centre / 1000)) ** 2) / 0.18)
    gain -= 10 * np.log10(1 + (scene.low_cut / frequency) ** 4) + 10 * np.log10(1 + (frequency / scene.high_cut) ** 8)
    return np.fft.irfft(np.fft.rfft(wave) * 10 ** (gain / 20), len(wave))


# The six sounds: each takes a generator, an animal and a number of samples n, and returns [n] at any level.


def bark(rng: np.random.Generator, animal: Animal, n: int) -> np.ndarray:
    """One or two barks: a glottal pulse train that rises and falls sharply (Yin & McCowan 2004), through the tract."""
    wave = np.zeros(n)
    count = rng.integers(1, 3)
    start = rng.uniform(0.02, 0.3) * n
    for _ in range(count):
        length = int(rng.uniform(0.08, 0.2) * RATE)
        u = np.linspace(0, 1, length)
        pitch = animal.pitch * rng.uniform(0.85, 1.2) * (0.75 + rng.uniform(0.2, 0.6) * np.sin(np.pi * u**0.7))
        shape = (1 - np.exp(-u * length / RATE / 0.006)) * (1 - u) ** rng.uniform(0.7, 1.8)
        add(wave, shape * voice(rng, pitch, 0.04, 0.4 * animal.hoarseness), int(start))
        start += length + rng.uniform(0.06, 0.3) * RATE
    return tract(wave, animal.tract * rng.uniform(0.9, 1.1))


def howl(rng: np.random.Generator, animal: Animal, n: int) -> np.ndarray:
    """A long glide with slow vibrato through a tract whose mouth closes: strong first harmonics."""
    time = np.arange(n) / RATE
    knots = animal.pitch * rng.uniform(0.7, 0.95) * np.array([0.7, 1.0, rng.uniform(0.9, 1.3), rng.uniform(0.6, 1.0)])
    pitch = np.interp(time, np.array([0, rng.uniform(0.1, 0.3), 0.7, 1.0]) * n / RATE, knots)
    pitch *= 1 + rng.uniform(0.005, 0.03) * np.sin(2 * np.pi * (3 + 4 * animal.tempo) * time + rng.uniform(0, 6.3))
    begin, end = rng.uniform(0, 0.15), rng.uniform(0.75, 1.0)
    shape = np.interp(time * RATE / n, [begin, begin + 0.12, end - 0.15, end], [0, 1, 0.8, 0])
    return tract(shape * voice(rng, pitch, 0.006, 0.2 * animal.hoarseness), animal.tract * rng.uniform(1.0, 1.3))


def pant(rng: np.random.Generator, animal: Animal, n: int) -> np.ndarray:
    """Breath in and out in turn, at the steady rate of the respiratory system's resonance (Crawford 1962)."""
    time = np.arange(n) / RATE
    drift = 0.15 * np.cumsum(smooth(rng, n, 0.2)) / RATE
    cycle = np.sin(2 * np.pi * ((3 + 3 * animal.tempo) * (time + drift) + rng.uniform()))
    sharpness = 1 + 2 * animal.force
    out = tract(coloured(rng, n, 0.6) * np.maximum(cycle, 0) ** sharpness, animal.tract)
    back = tract(coloured(rng, n, 0.0) * np.maximum(-cycle, 0) ** sharpness, 0.55 * animal.tract)
    return unit(out) + rng.uniform(0.3, 0.9) * unit(back)


def eat(rng: np.random.Generator, animal: Animal, n: int) -> np.ndarray:
    """Crunches: each bite is a cluster of micro-fractures (Vickers & Bourne 1976) heard through food, jaw and bowl."""
    hits = np.zeros(n)
    for start in beats(rng, n, 1.6 + 2.2 * animal.tempo, 0.2):
        length = rng.uniform(0.06, 0.18)  # s
        count = rng.poisson(15 + 90 * animal.force)
        times = start + (rng.beta(1.3, 2.5, count) * length * RATE).astype(int)
        times = times[times < n]
        np.add.at(hits, times, rng.pareto(1.8, len(times)).clip(0, 12) * rng.choice([-1, 1], len(times)))
    crunch = resonate(hits, animal.food, rng.uniform(500, 900))
    jaw = resonate(hits, np.array([0.22 * SPEED_OF_SOUND / animal.tract]), 250.0)
    bowl = resonate(hits, animal.bowl, 1 / (np.pi * animal.ring))
    return unit(crunch) + rng.uniform(0.2, 0.6) * unit(jaw) + rng.uniform(0.1, 0.5) * unit(bowl)


def drink(rng: np.random.Generator, animal: Animal, n: int) -> np.ndarray:
    """Laps (Crompton & Musinsky 2011): a splash, then the bubbles that the tongue leaves in the water.

    A bubble of radius a rings at f = sqrt(3 gamma p / rho) / (2 pi a) = 3.26 / a (Minnaert 1933). It decays at
    0.13 / a + 0.0072 a^-1.5 per second, a in m, and its pitch rises as it nears the surface (van den Doel 2005).
    """
    wave = np.zeros(n)
    splashes = np.zeros(n)
    for start in beats(rng, n, 2.8 + 2.2 * animal.tempo, 0.1):
        length = int(rng.uniform(0.02, 0.07) * RATE)
        add(splashes, rng.standard_normal(length) * np.hanning(length), start)
        for _ in range(rng.poisson(2 + 4 * animal.force) + 1):
            radius = animal.bubble * np.exp(rng.normal(0, 0.35))
            frequency = 3.26 / radius
            damping = 0.13 / radius + 0.0072 * radius**-1.5
            time = np.arange(int(min(5 / damping, 0.1) * RATE)) / RATE
            rise = 1 + rng.uniform(0, 0.25) * damping * time
            bubble = np.sin(2 * np.pi * np.cumsum(frequency * rise) / RATE) * np.exp(-damping * time)
            add(wave, rng.uniform(0.3, 1) * radius / animal.bubble * bubble, start + int(rng.uniform(0, 0.1) * RATE))
    splash = resonate(splashes, animal.bowl, rng.uniform(800, 2500))
    return unit(wave) + rng.uniform(0.2, 0.7) * unit(splash)


def sneeze(rng: np.random.Generator, animal: Animal, n: int) -> np.ndarray:
    """Air drawn in, then blown out at once: broadband turbulence (Fant 1960) that the nose's resonance outlasts."""
    inhale = int(rng.uniform(0.15, 0.4) * RATE)
    start = int(rng.uniform(0, 0.1) * RATE)
    blow = start + inhale + int(rng.uniform(0.01, 0.06) * RATE)
    breath = np.linspace(0, 1, inhale) ** 1.5 * coloured(rng, inhale, 0.5)
    wave = np.zeros(n)
    add(wave, rng.uniform(0.3, 2.0) * unit(tract(breath, 0.6 * animal.tract)), start)
    time = np.arange(n - blow) / RATE
    shape = (1 - np.exp(-time / rng.uniform(0.003, 0.012))) * np.exp(-time / rng.uniform(0.07, 0.18))
    burst = np.zeros(n)
    add(burst, shape * coloured(rng, len(time), rng.uniform(-0.4, 0.4)), blow)
    nose = resonate(burst, SPEED_OF_SOUND / (4 * animal.tract) * np.array([0.8, 2.2]), 40 + 80 * animal.hoarseness)
    return wave + 3 * unit(tract(burst, animal.tract)) + rng.uniform(0.3, 1.5) * unit(nose)


SOUNDS = {"bark": bark, "howl": howl, "pant": pant, "eat": eat, "drink": drink, "sneeze": sneeze}


def voice(rng: np.random.Generator, pitch: np.ndarray, jitter: float, hoarseness: float) -> np.ndarray:
    """Glottal flow's derivative (Rosenberg 1971, pulse C) at `pitch` Hz `[n]`, with jitter and hoarse noise; `[n]`."""
    n = len(pitch)
    cycle = np.cumsum(pitch * (1 + jitter * smooth(rng, n, 0.004))) / RATE % 1.0
    opening, closing = 0.4, 0.2  # shares of a cycle
    rising = 0.5 * (1 - np.cos(np.pi * cycle / opening))
    falling = np.cos(0.5 * np.pi * (cycle - opening) / closing)
    flow = np.where(cycle < opening, rising, np.where(cycle < opening + closing, falling, 0.0))
    noise = rng.standard_normal(n) * (0.3 + flow)
    return unit(np.diff(flow, prepend=0.0)) + hoarseness * unit(noise)


def tract(wave: np.ndarray, length: float) -> np.ndarray:
    """A tube of `length` m, closed at the glottis: resonances at odd quarter waves (Riede & Fitch 1999); `[n]`.

    Each is a two-pole filter of unit gain at 0 Hz, and they stand in a chain (Klatt 1980).
    """
    formants = np.arange(1, 40, 2) * SPEED_OF_SOUND / (4 * length)
    for frequency in formants[formants < 0.47 * RATE]:
        radius = np.exp(-np.pi * (60 + 0.06 * frequency) / RATE)
        poles = [1.0, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2]
        wave = lfilter([sum(poles)], poles, wave)
    return wave


def resonate(wave: np.ndarray, frequencies: np.ndarray, bandwidth: float) -> np.ndarray:
    """Modes in parallel, each of about unit gain at its peak; frequencies and bandwidth in Hz; `[n]`."""
    radius = np.exp(-np.pi * bandwidth / RATE)
    zeros = [1 - radius, 0.0, radius - 1]
    return sum(lfilter(zeros, [1.0, -2 * radius * np.cos(2 * np.pi * f / RATE), radius**2], wave) for f in frequencies)


def beats(rng: np.random.Generator, n: int, rate: float, jitter: float) -> np.ndarray:
    """Sample positions below n, one at least, at about `rate` Hz; each is off by up to `jitter` of a period."""
    period = RATE / rate
    ideal = np.arange(rng.uniform(0.25, 0.7), n / period)
    times = (period * (ideal + rng.uniform(-jitter, jitter, len(ideal)))).astype(int)
    return times[times < n - 0.05 * RATE]


def coloured(rng: np.random.Generator, n: int, exponent: float) -> np.ndarray:
    """Gaussian noise with a power spectrum of 1 / f ** exponent above 30 Hz; `[n]`."""
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 30.0)
    return np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * (frequency / 1000) ** (-exponent / 2), n)


def smooth(rng: np.random.Generator, n: int, seconds: float) -> np.ndarray:
    """Noise of about unit variance that takes `seconds` to change; `[n]`."""
    knots = rng.standard_normal(int(n / RATE / seconds) + 2)
    return np.interp(np.arange(n) / RATE / seconds, np.arange(len(knots)), knots)


def add(wave: np.ndarray, event: np.ndarray, start: int) -> None:
    """Mix an event into a wave from `start` on; what would lie behind the end is lost."""
    end = min(len(wave), start + len(event))
    if start < end:
        wave[start:end] += event[: end - start]


def unit(wave: np.ndarray) -> np.ndarray:
    """The wave at a root mean square of 1."""
    return wave / np.sqrt(np.mean(wave**2) + 1e-20)
