"""Rehearsals: what a denoiser's variations are worth while it still learns."""

import math

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from counterpoise import params, rehearsal
from counterpoise.codecs.mel import MelCodec
from counterpoise.diffusion import networks
from counterpoise.diffusion.model import Model
from counterpoise.judging import Judge
from counterpoise.latents import Normaliser, Packed, Writer

CPU = torch.device("cpu")
RATE, SAMPLES = 8000, 1600
CODEC = params.MelCodec(bands=16, f_max=4000.0, n_fft=256, window=200, hop=80, sample_rate=RATE, griffin_lim_steps=2)


class Ear:
    """Levels of 20 bands of a sound's spectrum, as an embedding."""

    def embed(self, waves, sample_rate):
        power = torch.fft.rfft(waves[:, 0]).abs().square()
        return torch.stack([band.mean(dim=1) for band in power.chunk(20, dim=1)], dim=1).clamp(min=1e-6).log()


def tone(number):
    time = np.arange(SAMPLES) / RATE
    rng = np.random.default_rng(int(10 * number))
    return (0.3 * np.sin(2 * np.pi * (300 + 40 * number) * time) + 0.01 * rng.normal(size=SAMPLES)).astype(np.float32)


@pytest.fixture
def packed(tmp_path):
    clips = pd.DataFrame({"clip_id": [f"c{i}" for i in range(8)], "label": "bark", "source_id": [f"r{i}" for i in range(8)],
                          "fold": 1, "seconds": SAMPLES / RATE, "frames": SAMPLES // 80})  # fmt: skip
    codec, writer = MelCodec(CODEC, CPU), Writer(tmp_path / "bark.safetensors", clips, 16)
    for row in range(8):
        writer.put(row, codec.encode(torch.from_numpy(tone(row))[None, None])[0])
    writer.close()
    return Packed(tmp_path / "bark.safetensors")


@pytest.fixture
def held_out(tmp_path):
    paths = [tmp_path / f"h{i}.wav" for i in range(5)]
    for number, path in enumerate(paths):
        soundfile.write(path, tone(number + 0.5), RATE)
    return pd.DataFrame({"path": [str(path) for path in paths]})


@pytest.fixture
def model():
    settings = params.Diffusion(steps=1, batch_size=1, crop_frames=8, widths=[8, 16])
    return Model(networks.build(settings, 16, True, 0).eval(), None, Normaliser(torch.full([16], -5.0), torch.ones(16), 1.0))


def rehearse(packed, held_out, folder, heard, **change):
    ear, reports = Ear(), []
    embedded = np.stack([ear.embed(torch.from_numpy(sound)[None, None], RATE)[0].numpy() for sound in heard])
    labels = ["bark"] * len(heard) + ["howl"] * 3
    others = np.random.default_rng(0).normal(size=(3, 20)) + 9
    clips = pd.DataFrame({"clip_id": range(len(labels)), "label": labels, "source_id": map(str, range(len(labels)))})
    judge = Judge.fit(np.concatenate([embedded, others]).astype(np.float32), clips, ["bark", "howl"], "ear")
    diffusion = params.Diffusion(steps=1, batch_size=1, crop_frames=8, widths=[8, 16], check_clips=4)
    generate = params.Generate(**{"steps": 2, "strength": 0.5} | change)
    made = rehearsal.Rehearsal(
        "bark", packed.clips, held_out, packed, judge, ear, MelCodec(CODEC, CPU), diffusion, generate,
        params.Runtime(threads=1, precision="fp32"), CPU, lambda step, **measured: reports.append((step, measured)),
        folder,
    )  # fmt: skip
    return made, reports


def test_it_measures_the_distance_to_held_out_sounds_and_keeps_some_to_listen_to(packed, held_out, model, tmp_path):
    made, reports = rehearse(packed, held_out, tmp_path / "demos", [tone(i) for i in range(8)])
    score = made(30, model)
    assert reports == [(30, {"kad": score, "near_copies": pytest.approx(0)})] and math.isfinite(score)
    demos = sorted((tmp_path / "demos").iterdir())
    assert len(demos) == rehearsal.DEMOS and all(path.name.startswith("step00030_c") for path in demos)
    assert soundfile.info(demos[0]).frames == SAMPLES
    assert made(30, model) == score and len(reports) == 2


def test_more_noise_of_a_network_that_knows_nothing_is_farther_from_real_sounds(packed, held_out, model, tmp_path):
    heard = [tone(i) for i in range(8)]
    near, _ = rehearse(packed, held_out, tmp_path, heard, strength=0.05)
    far, _ = rehearse(packed, held_out, tmp_path, heard, strength=20.0)
    assert near(1, model) < far(1, model)


def test_a_denoiser_that_recites_is_worth_nothing(packed, held_out, model, tmp_path):
    codec = MelCodec(CODEC, CPU)
    back = [codec.decode(packed[row][None])[0].numpy()[0] for row in range(8)]
    made, reports = rehearse(packed, held_out, tmp_path, back, strength=1e-4)
    assert made(1, model) == math.inf and reports[0][1]["near_copies"] > rehearsal.RECITING


def test_a_rehearsal_starts_from_the_classs_own_clips(packed, held_out, model, tmp_path):
    made, reports = rehearse(packed, held_out, tmp_path, [tone(i) for i in range(8)], start="cross")
    assert math.isfinite(made(1, model))
