"""Rehearsals: what a denoiser's variations are worth while it still learns."""

import math

import numpy as np
import pandas as pd
import pytest
import random_yamnet
import soundfile
import torch
from settings import settings_of

from counterpoise.codecs.codec import CodecError
from counterpoise.codecs.latents import Normaliser, Packed, Writer
from counterpoise.codecs.mel import MelCodec
from counterpoise.codecs.settings import CodecSettings, EncodecSettings
from counterpoise.core.runtime import Runtime
from counterpoise.diffusion import networks
from counterpoise.diffusion.model import Model
from counterpoise.diffusion.settings import Diffusion
from counterpoise.embeddings.settings import Features
from counterpoise.generation import early_stopping
from counterpoise.generation.settings import Generate

CPU = torch.device("cpu")
RATE, SAMPLES = 8000, 1600
MEL = {"bands": 16, "f_max": 4000.0, "n_fft": 256, "window": 200, "hop": 80, "sample_rate": RATE}
CODEC = settings_of(CodecSettings, name="mel", mel=MEL | {"griffin_lim_steps": 2})


def tone(number):
    time = np.arange(SAMPLES) / RATE
    rng = np.random.default_rng(int(10 * number))
    return (0.3 * np.sin(2 * np.pi * (300 + 40 * number) * time) + 0.01 * rng.normal(size=SAMPLES)).astype(np.float32)


@pytest.fixture
def packed(tmp_path):
    """Eight training clips and five that are held out."""
    numbers = [*range(8), *(i + 0.5 for i in range(5))]
    ids = [f"c{i}" for i in range(8)] + [f"h{i}" for i in range(5)]
    clips = pd.DataFrame(
        {
            "clip_id": ids,
            "label": "bark",
            "source_id": ids,
            "fold": 1,
            "seconds": SAMPLES / RATE,
            "frames": SAMPLES // 80,
        }
    )
    codec, writer = MelCodec("mel", CODEC, CPU), Writer(tmp_path / "bark.safetensors", clips, 16)
    for row, number in enumerate(numbers):
        writer.put(row, codec.encode(torch.from_numpy(tone(number))[None, None])[0])
    writer.close()
    return Packed(tmp_path / "bark.safetensors")


@pytest.fixture
def model():
    settings = settings_of(Diffusion, steps=1, batch_size=1, crop_frames=8, widths=[8, 16])
    normaliser = Normaliser(torch.full([16], -5.0), torch.ones(16), 1.0)
    return Model(networks.build(settings, 16, True, 0).eval(), None, normaliser)


@pytest.fixture
def early():
    """The weights of another network."""
    settings = settings_of(Diffusion, steps=1, batch_size=1, crop_frames=8, widths=[8, 16])
    return networks.build(settings, 16, True, 1).state_dict()


FEATURES = settings_of(Features, n_mels=16, n_fft=256, hop=80)
RUNTIME = settings_of(Runtime, threads=1, precision="fp32")


def parts(held_out):
    return pd.Series(["train"] * 8 + ["val"] * held_out + ["test"] * (5 - held_out))


def sampling(packed, model, folder, held_out=5, **change):
    """Validation sampling with what it will report."""
    diffusion = settings_of(Diffusion, steps=1, batch_size=1, crop_frames=8, widths=[8, 16], validation_samples=4)
    generate = settings_of(Generate, **{"steps": 2, "strength": 0.5, "guidance": 1.0} | change)
    codec, reports = MelCodec("mel", CODEC, CPU), []
    embed = early_stopping.embedding(folder / "no weights", FEATURES, codec, CPU)
    made = early_stopping.ValidationSampling(
        model,
        "bark",
        packed,
        parts(held_out),
        embed,
        codec,
        diffusion,
        generate,
        RUNTIME,
        CPU,
        lambda step, **measured: reports.append((step, measured)),
        folder,
    )
    return made, reports


def test_it_measures_the_distance_to_held_out_sounds_and_keeps_some_to_listen_to(packed, model, early, tmp_path):
    made, reports = sampling(packed, model, tmp_path / "demos")
    score = made(30, early)
    assert reports == [(30, {"kad": score, "near_copies": pytest.approx(0)})] and math.isfinite(score)
    demos = sorted((tmp_path / "demos/demos").glob("*.flac"))
    assert len(demos) == early_stopping.DEMOS and all(path.name.startswith("step00030_c") for path in demos)
    assert soundfile.info(demos[0]).frames == SAMPLES
    again, replayed = sampling(packed, model, tmp_path / "demos")  # an interrupted training, continued
    assert again(60, early) == score and [step for step, _ in replayed] == [30, 60]
    assert replayed[0] == reports[0]


def test_a_validation_samples_as_generation_will_with_the_early_weights_as_guidance(packed, model, early, tmp_path):
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    scores = []
    for guidance in (1.0, 3.0):
        made, _ = sampling(packed, model, tmp_path, guidance=guidance)
        scores += [made(1, early), made(1, before)]
    assert scores[0] == scores[1] == pytest.approx(scores[3], rel=1e-3)  # no guidance, and guidance by itself
    assert abs(scores[2] - scores[0]) > 1e-2 * scores[0]
    assert model.weak is None and all(torch.equal(before[name], v) for name, v in model.network.state_dict().items())


def test_more_noise_of_a_network_that_knows_nothing_is_farther_from_real_sounds(packed, model, early, tmp_path):
    near, _ = sampling(packed, model, tmp_path, strength=0.5)
    far, _ = sampling(packed, model, tmp_path, strength=20.0)
    assert near(1, early) < far(1, early)


def test_what_stays_near_its_own_source_is_no_copy_but_what_is_near_another_is(
    packed, model, early, tmp_path, monkeypatch
):
    made, reports = sampling(packed, model, tmp_path, strength=1e-4)
    assert math.isfinite(made(1, early)) and reports[0][1]["near_copies"] == 0

    def memorised(model, lineage, shelf, codec, *rest):
        """Whatever it starts from, the clip after it comes out."""
        for row in lineage.itertuples():
            other = f"c{(int(row.root_clip_id[1:]) + 1) % 8}"
            yield row.clip_id, codec.decode(shelf[other][None])[0].numpy()

    monkeypatch.setattr(early_stopping.sdedit, "make", memorised)
    assert made(2, early) == math.inf and reports[1][1]["near_copies"] == 1


def test_a_validation_starts_from_the_classs_own_clips(packed, model, early, tmp_path):
    made, _ = sampling(packed, model, tmp_path, start="cross")
    assert math.isfinite(made(1, early))


def test_a_validation_sees_the_denoiser_and_no_finish(packed, model, early, tmp_path):
    plain, finished = (sampling(packed, model, tmp_path / name, finish=name)[0] for name in ("none", "classic"))
    assert plain(1, early) == finished(1, early)


def test_at_the_end_all_is_reported_and_the_demos_are_with_the_model(packed, model, early, tmp_path):
    made, _ = sampling(packed, model, tmp_path / "unfinished")
    made(30, early)
    again, replayed = sampling(packed, model, tmp_path / "unfinished")  # continued after its last validation
    (tmp_path / "out").mkdir()
    again.finish(tmp_path / "out")
    assert [step for step, _ in replayed] == [30]
    kept, shown = (
        sorted((tmp_path / name / "demos").glob(what)) for name, what in (("unfinished", "*.flac"), ("out", "*"))
    )
    assert len(kept) == early_stopping.DEMOS
    assert [path.read_bytes() for path in kept] == [path.read_bytes() for path in shown]


def test_too_few_held_out_clips_are_told(packed, model, tmp_path):
    with pytest.raises(ValueError, match="3 clips of bark are held out"):
        sampling(packed, model, tmp_path, held_out=3)


def begin(packed, model, folder, check_every, held_out, codec):
    diffusion = settings_of(
        Diffusion,
        steps=1,
        batch_size=1,
        crop_frames=8,
        widths=[8, 16],
        validation_samples=4,
        validate_every=check_every,
    )
    return early_stopping.begin(
        model,
        "bark",
        packed,
        parts(held_out),
        folder / "no weights",
        FEATURES,
        codec,
        diffusion,
        settings_of(Generate, steps=2, strength=0.5, guidance=1.0),
        RUNTIME,
        CPU,
        lambda step, **measured: None,
        folder,
    )


def test_validation_begins_as_the_parameters_say(packed, model, early, tmp_path):
    begun = begin(packed, model, tmp_path / "a", 10, 4, CODEC)
    made, _ = sampling(packed, model, tmp_path / "b", held_out=4)
    assert begun(1, early) == made(1, early)


@pytest.mark.parametrize(
    ("check_every", "held_out", "said"),
    [(0, 5, ""), (10, 3, "bark: 3 validation clips are too few to compare with; every step is trained\n")],
)
def test_where_nothing_is_validated_no_codec_is_built(packed, model, tmp_path, capsys, check_every, held_out, said):
    missing = settings_of(
        CodecSettings,
        name="encodec_24khz",
        encodec=settings_of(EncodecSettings, checkpoint=str(tmp_path / "missing.th")),
    )
    assert begin(packed, model, tmp_path, check_every, held_out, missing) is None
    assert capsys.readouterr().out == said
    with pytest.raises(CodecError):
        begin(packed, model, tmp_path, 10, 5, missing)


def test_where_most_validation_clips_are_one_sound_nothing_is_validated(tmp_path, packed, model, capsys):
    clips, writer = packed.clips, Writer(tmp_path / "copies.safetensors", packed.clips, 16)
    for row in range(len(clips)):
        writer.put(row, packed[min(row, 8)])  # the held-out ones are the first of them
    writer.close()
    codec = CODEC
    assert begin(Packed(tmp_path / "copies.safetensors"), model, tmp_path, 10, 5, codec) is None
    assert "bark: most validation clips are one and the same sound" in capsys.readouterr().out


def test_with_audiosets_weights_embeddings_are_their_yamnets(tmp_path):
    weights = random_yamnet.write(tmp_path / "yamnet.safetensors")
    listen = early_stopping.embedding(weights, FEATURES, MelCodec("mel", CODEC, CPU), CPU)
    assert listen(tone(1)[None]).shape == (1024,)
