"""Clips through a codec into a file, whatever batches they travel in."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from settings import settings_of

from counterpoise.cli.advice import codec_top
from counterpoise.codecs.codec import CodecError
from counterpoise.codecs.encode import encode
from counterpoise.codecs.latents import Packed
from counterpoise.codecs.mel import MelCodec
from counterpoise.codecs.round_trip import check, round_trip, warnings
from counterpoise.codecs.settings import CodecSettings

SECONDS = [0.31, 0.12, 0.5, 0.3, 0.07, 0.2]


class EnvelopeCodec:
    """Loudness now and in the half second ahead, where the end of the wave is repeated as convolutions often do."""

    name, sample_rate, channels, highest, latent_channels, hop = "envelope", 8000, 1, 4000.0, 2, 80
    silence = torch.zeros(2)

    def encode(self, wave):
        wave = torch.nn.functional.pad(wave, (0, -wave.shape[2] % self.hop))
        loud = wave.unflatten(2, (-1, self.hop)).square().mean(3).sqrt()
        ahead = torch.nn.functional.pad(loud, (0, 49), mode="replicate").unfold(2, 50, 1).mean(3)
        return torch.cat([loud, ahead], dim=1)

    def decode(self, latents):
        return latents[:, :1].repeat_interleave(self.hop, dim=2)


@pytest.fixture
def clips(tmp_path):
    """A catalogue of short noises and tones at several rates, not sorted by length."""
    rng, rows = np.random.default_rng(0), []
    for number, seconds in enumerate(SECONDS):
        rate = (8000, 16000, 22050)[number % 3]
        n = round(seconds * rate)
        wave = 0.2 * rng.normal(size=n) + 0.3 * np.sin(2 * np.pi * 200 * (number + 1) * np.arange(n) / rate)
        soundfile.write(tmp_path / f"{number}.wav", wave, rate)
        rows.append(
            {
                "clip_id": str(number),
                "path": str(tmp_path / f"{number}.wav"),
                "label": "bark",
                "source_id": "s",
                "fold": 1,
                "seconds": n / rate,
                "sample_rate": rate,
                "channels": 1,
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(params=["envelope", "mel"])
def codec(request):
    return (
        EnvelopeCodec()
        if request.param == "envelope"
        else MelCodec("mel", settings_of(CodecSettings), torch.device("cpu"))
    )


def test_the_batch_size_does_not_change_the_file(tmp_path, clips, codec):
    files = []
    for batch_size in (1, 4, 100):
        path = tmp_path / f"{batch_size}.safetensors"
        encode(codec, clips, path, batch_size)
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]


def test_a_clips_latent_does_not_depend_on_the_other_clips(tmp_path, clips, codec):
    encode(codec, clips, tmp_path / "all.safetensors", 4)
    encode(codec, clips.iloc[[1]], tmp_path / "alone.safetensors", 4)
    assert torch.equal(Packed(tmp_path / "all.safetensors")[1], Packed(tmp_path / "alone.safetensors")[0])


def test_the_file_keeps_the_catalogues_order_and_lengths(tmp_path, clips, codec):
    encode(codec, clips, tmp_path / "bark.safetensors", 4)
    packed = Packed(tmp_path / "bark.safetensors")
    assert packed.clips.clip_id.tolist() == clips.clip_id.tolist()
    assert packed.channels == codec.latent_channels
    for row, seconds in enumerate(clips.seconds):
        assert packed[row].shape[1] == int(np.ceil(seconds * codec.sample_rate / codec.hop))


def test_a_packed_latent_is_that_of_the_clip_that_goes_back_and_forth(tmp_path, clips):
    codec = EnvelopeCodec()
    encode(codec, clips, tmp_path / "bark.safetensors", 4)
    wave, _ = soundfile.read(clips.path[3], dtype="float32")  # 8000 Hz, as the codec's
    expected = codec.encode(torch.from_numpy(np.pad(wave, (0, 8000), mode="reflect"))[None, None])[0, :, :30]
    assert torch.allclose(Packed(tmp_path / "bark.safetensors")[3], expected, rtol=2**-10, atol=1e-6)


class Transparent(EnvelopeCodec):
    """Latents are the samples themselves."""

    latent_channels = 80

    def encode(self, wave):
        return torch.nn.functional.pad(wave, (0, -wave.shape[2] % 80)).unflatten(2, (-1, 80))[:, 0].transpose(1, 2)

    def decode(self, latents):
        return latents.transpose(1, 2).flatten(1)[:, None]


class Quieter(Transparent):
    def decode(self, latents):
        return super().decode(latents) / 10


def test_a_round_trip_without_loss_is_perfect_and_a_quieter_one_is_20_db_down(clips):
    perfect, quieter = round_trip(Transparent(), clips, 8000, 1), round_trip(Quieter(), clips, 8000, 1)
    assert perfect["log_mel_db"] == perfect["spectral_convergence"] == perfect["level_db"] == 0
    assert perfect["si_sdr_db"] > 90
    assert quieter["level_db"] == pytest.approx(-20, abs=0.01)
    assert quieter["spectral_convergence"] == pytest.approx(0.9, abs=0.01)


def test_the_mel_round_trip_keeps_level_and_spectrum(clips):
    measures = round_trip(MelCodec("mel", settings_of(CodecSettings), torch.device("cpu")), clips, 16000, 1)
    assert abs(measures["level_db"]) < 3 and measures["log_mel_db"] < 6
    assert all(type(value) is float for value in measures.values())


@pytest.fixture
def insects(tmp_path):
    """Clips of 44.1 kHz in stereo: what is above 8 kHz has a hundred times the energy of what is below."""
    rows, time = [], np.arange(22050) / 44100
    for number in range(2):
        wave = 0.05 * np.sin(2 * np.pi * 500 * time) + 0.5 * np.sin(2 * np.pi * (11000 + 900 * number) * time)
        soundfile.write(tmp_path / f"{number}.wav", np.stack([wave, 0.2 * wave], axis=1), 44100)
        rows.append({"path": str(tmp_path / f"{number}.wav"), "label": "bee", "sample_rate": 44100, "channels": 2})
    return pd.DataFrame(rows)


def mel(**settings):
    return MelCodec("mel", settings_of(CodecSettings, mel={"griffin_lim_steps": 2} | settings), torch.device("cpu"))


def test_what_a_codec_keeps_is_what_counterpoise_check_says_of_it_unbuilt():
    settings = settings_of(CodecSettings, mel={"f_max": 4000})
    assert MelCodec("mel", settings, torch.device("cpu")).highest == codec_top(settings) == 4000


def test_a_round_trip_is_judged_as_classifiers_hear_it(insects):
    at_16, at_44 = (round_trip(mel(), insects, rate, 1) for rate in (16000, 44100))
    assert at_16["spectral_convergence"] < 0.7 and at_44["spectral_convergence"] > 0.95
    assert at_44["level_db"] < -15 and abs(at_16["level_db"]) < 3
    assert at_16["above_codec"] == at_44["above_codec"] == pytest.approx(100 / 101, abs=0.001)
    assert at_16["heard_above_codec"] < 0.001 and at_44["heard_above_codec"] == pytest.approx(100 / 101, abs=0.001)
    stereo = round_trip(mel(), insects, 16000, 2)
    assert at_16["heard_between_channels"] == 0
    assert stereo["heard_between_channels"] == pytest.approx(1 - 2 * 0.6**2 / (1 + 0.2**2), abs=0.001)


def test_a_codec_that_is_too_narrow_is_warned_of_with_the_figure(insects):
    def told(codec, rate, channels=1):
        report = {"bee": round_trip(codec, insects, rate, channels)}
        check(codec, report)
        return warnings(codec, report, insects, rate, channels)

    (between,) = told(mel(), 44100)
    assert "up to 8,000 Hz, and classifiers hear up to 22,050 Hz" in between and "99.0% (bee)" in between
    (unheard,) = told(mel(), 16000)
    assert "99.0% (bee) of the energy of real clips, which nobody hears" in unheard and "codec.mel.f_max" in unheard
    wide = mel(sample_rate=44100, f_max=22050, n_fft=2048, window=1102, hop=441)
    assert told(wide, 44100) == []
    (sides,) = told(wide, 44100, 2)
    assert "30.8% (bee)" in sides and "audio.channels" in sides


def test_where_nothing_is_left_for_the_codec_it_is_refused():
    report = {"bat": {"above_codec": 0.9995}, "dog": {"above_codec": 0.1}}
    with pytest.raises(CodecError, match=r"8,000 Hz, and above that lies nearly all energy of bat \(99.95%\)"):
        check(mel(), report)
    check(mel(), {"dog": report["dog"]})


def test_clips_of_phones_are_told_to_leave_bands_empty(clips):
    phones = clips.assign(sample_rate=8000)
    report = {"bark": round_trip(mel(), clips, 8000, 1)}
    (told,) = warnings(mel(), report, phones, 8000, 1)
    assert "6 of 6 clips (8,000 Hz most often)" in told and "Set codec.mel.f_max to 4000" in told
    assert warnings(mel(f_max=4000), report, phones, 8000, 1) == []
