import math

import numpy as np
import pytest
import torch
from settings import settings_of

from counterpoise.codecs import build
from counterpoise.codecs.codec import CodecError
from counterpoise.codecs.mel import FLOOR, MelCodec, mel_filters, undo_mel
from counterpoise.codecs.settings import CodecSettings, MelSettings
from counterpoise.metrics import signal

CPU = torch.device("cpu")
RATE = 16000


@pytest.fixture(scope="module")
def codec():
    return build(settings_of(CodecSettings, name="mel"), CPU)


def sounds(seconds: float = 1.0) -> torch.Tensor:
    """Three sounds `[3, 1, n]`: a gliding tone, decaying noise, clicks."""
    time = torch.arange(int(seconds * RATE)) / RATE
    glide = 0.5 * torch.sin(2 * math.pi * (300 * time + 400 * time**2))
    noise = 0.3 * torch.randn(len(time), generator=torch.Generator().manual_seed(1)) * torch.exp(-4 * time)
    clicks = torch.zeros(len(time))
    clicks[1000::3000] = 0.9
    return torch.stack([glide, noise, clicks])[:, None]


def test_it_says_what_every_codec_says(codec):
    assert (codec.name, codec.sample_rate, codec.channels) == ("mel", RATE, 1)
    assert (codec.latent_channels, codec.hop) == (96, 160)


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 4321])
def test_every_length_gives_one_frame_a_hop_and_whole_hops_back(codec, samples):
    latents = codec.encode(sounds()[:, :, :samples])
    assert latents.shape == (3, 96, math.ceil(samples / 160)) and latents.dtype == torch.float32
    wave = codec.decode(latents)
    assert wave.shape == (3, 1, latents.shape[2] * 160) and wave.isfinite().all()


@pytest.mark.parametrize("hop", [133, 200])
def test_an_odd_or_a_long_hop_keeps_the_lengths(hop):
    codec = MelCodec("mel", settings_of(CodecSettings, mel=settings_of(MelSettings, hop=hop)), CPU)
    latents = codec.encode(sounds()[:, :, :1000])
    assert latents.shape[2] == math.ceil(1000 / hop)
    assert codec.decode(latents).shape[2] == latents.shape[2] * hop


def test_a_full_scale_sine_reads_about_one_in_its_band(codec):
    sine = torch.sin(2 * math.pi * 500 * torch.arange(RATE) / RATE)[None, None]
    amplitude = codec.encode(sine)[0, :, 50].exp()
    assert 0.5 < amplitude.max() < 2
    # Slaney's scale has 3 mels in 200 Hz up to 1 kHz and 45.25 at 8 kHz: 500 Hz is 7.5, band 14 or 15 of 96.
    assert amplitude.argmax() in (14, 15)
    assert (amplitude > 0.5 * amplitude.max()).sum() <= 4


def test_a_click_lies_in_the_frame_of_its_samples(codec):
    wave = torch.zeros(1, 1, 1600)
    wave[..., 5 * 160 + 80] = 1.0
    assert codec.encode(wave)[0].mean(0).argmax() == 5


def test_decoding_gives_the_spectrum_level_and_timing_back(codec):
    wave = sounds()
    measures = signal.round_trip(wave, codec.decode(codec.encode(wave)), RATE)
    assert (measures["spectral_convergence"] < [0.2, 0.6, 0.4]).all()
    assert (measures["log_mel_db"] < 3).all()
    assert (np.abs(measures["level_db"]) < 1).all()


def test_more_griffin_lim_steps_bring_the_spectrum_nearer():
    wave = sounds()[:1]
    distances = []
    for steps in (1, 32):
        codec = MelCodec("mel", settings_of(CodecSettings, mel=settings_of(MelSettings, griffin_lim_steps=steps)), CPU)
        again = codec.encode(codec.decode(codec.encode(wave)))
        distances.append((again.exp() - codec.encode(wave).exp()).norm())
    assert distances[1] < 0.7 * distances[0]


def test_more_nnls_steps_bring_the_mel_spectrum_nearer():
    mel = MelCodec("mel", settings_of(CodecSettings), CPU).encode(sounds())[1].exp() - FLOOR
    filters = mel_filters(settings_of(MelSettings), CPU)
    errors = []
    for steps in (1, 30):
        magnitudes = undo_mel(mel, filters, torch.linalg.pinv(filters), steps)
        assert (magnitudes >= 0).all()
        errors.append((filters @ magnitudes - mel).norm() / mel.norm())
    assert errors[1] < 0.5 * errors[0] and errors[1] < 0.05


def test_silence_stays_silence(codec):
    latents = codec.encode(torch.zeros(1, 1, 3200))
    assert torch.allclose(latents, torch.tensor(math.log(FLOOR)), atol=1e-6)
    assert codec.decode(latents).abs().max() < 1e-6


def test_decoding_is_repeatable_and_a_clip_does_not_notice_its_neighbours(codec):
    latents = codec.encode(sounds(0.3))
    together = codec.decode(latents)
    torch.rand(7)  # the global random numbers move on
    assert torch.equal(codec.decode(latents), together)
    assert torch.equal(codec.decode(latents[1:2]), together[1:2])


def test_the_global_random_state_is_left_alone(codec):
    state = torch.get_rng_state()
    codec.decode(codec.encode(sounds(0.1)))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("shape", [(1, 2, 100), (100,), (1, 1, 0)])
def test_a_wave_of_another_form_is_refused(codec, shape):
    with pytest.raises(CodecError, match="wave has the shape"):
        codec.encode(torch.zeros(shape))


def test_latents_of_another_codec_are_refused(codec):
    with pytest.raises(CodecError, match=r"\[1, 128, 10\].*96"):
        codec.decode(torch.zeros(1, 128, 10))


@pytest.mark.filterwarnings("ignore:At least one mel filterbank:UserWarning")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hop": 201}, r"2 \* hop <= window <= n_fft; given: 402, 400, 512"),
        ({"window": 1024}, "hop <= window <= n_fft"),
        ({"f_max": 9000.0}, "f_max <= sample_rate / 2"),
        ({"f_min": 8000.0}, "f_min < f_max"),
        ({"bands": 400}, "bands without any bin"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(change, message):
    with pytest.raises(CodecError, match=message):
        MelCodec("mel", settings_of(CodecSettings, mel=settings_of(MelSettings, **change)), CPU)
