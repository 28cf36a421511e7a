import numpy as np
import pytest
import torch
from settings import settings_of

from counterpoise.classifiers.augmentation import mask, time_shift
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.spectrogram import MelSpectrogram
from counterpoise.embeddings.yamnet import yamnet_patches

torch.set_num_threads(1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def waves(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=generator(seed)) * 2 - 1


def test_four_stereo_seconds_give_the_course_s_shape():
    spectrogram = MelSpectrogram(settings_of(Features, n_mels=64, n_fft=1024, hop=512), 44100)(waves(2, 2, 4 * 44100))
    assert spectrogram.shape == (2, 2, 64, 344)


def test_a_mel_spectrogram_is_centred_and_keeps_top_db():
    loud_then_silent = torch.cat([waves(1, 1, 8000), torch.zeros(1, 1, 8000)], dim=-1)
    spectrogram = MelSpectrogram(settings_of(Features, hop=256, top_db=60), 16000)(loud_then_silent)
    assert spectrogram.mean().item() == pytest.approx(0, abs=1e-5)
    assert (spectrogram.max() - spectrogram.min()).item() * 20 == pytest.approx(60, abs=1e-3)


def test_a_mel_spectrogram_does_not_change_with_loudness_or_with_its_neighbours():
    transform = MelSpectrogram(settings_of(Features, hop=256), 16000)
    wave = waves(2, 1, 16000) * torch.linspace(0.1, 1, 16000)
    torch.testing.assert_close(transform(wave * torch.tensor([0.1, 1.0]).view(2, 1, 1))[0], transform(wave[:1])[0])


def test_silence_is_zero():
    assert torch.equal(
        MelSpectrogram(settings_of(Features), 16000)(torch.zeros(1, 1, 16000)), torch.zeros(1, 1, 64, 62)
    )


def test_a_tone_lights_its_mel_band():
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)[None, None]
    loudest = MelSpectrogram(settings_of(Features, hop=256), 16000)(tone)[0, 0].mean(dim=1).argmax().item()
    edges = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66)
    assert loudest == np.abs(edges[1:-1] - 2595 * np.log10(1 + 1000 / 700)).argmin()


def test_too_short_a_clip_names_the_parameters():
    with pytest.raises(ValueError, match="400 samples.*n_fft 1024.*audio.seconds"):
        MelSpectrogram(settings_of(Features), 8000)(torch.zeros(1, 1, 400))


def test_time_shift_rolls_each_clip_by_its_own_bounded_amount():
    wave = torch.arange(1000.0).expand(64, 2, 1000)
    shifted = time_shift(wave, 0.4, generator())
    shifts = (1000 - shifted[:, 0, 0].long()) % 1000
    for before, after, shift in zip(wave, shifted, shifts, strict=True):
        assert torch.equal(after, before.roll(int(shift), dims=-1))
    assert len(shifts.unique()) > 32
    assert shifts.max() <= 400
    assert shifts.max() > 350


def test_time_shift_by_nothing_changes_nothing():
    assert torch.equal(time_shift(waves(3, 1, 100), 0.0, generator()), waves(3, 1, 100))


def test_augmentation_depends_on_the_generator_alone():
    spectrogram = waves(4, 1, 64, 50)
    torch.manual_seed(1)
    first = mask(time_shift(spectrogram[:, 0], 0.4, generator(5))[:, None], 0.3, 2, generator(6))
    torch.manual_seed(2)
    again = mask(time_shift(spectrogram[:, 0], 0.4, generator(5))[:, None], 0.3, 2, generator(6))
    other = mask(time_shift(spectrogram[:, 0], 0.4, generator(7))[:, None], 0.3, 2, generator(8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_masks_fill_whole_bands_and_spans_with_the_clip_s_mean():
    spectrogram = waves(64, 2, 60, 100)
    masked = mask(spectrogram, 0.1, 1, generator())
    hidden = masked != spectrogram  # [B, channels, bands, frames]
    bands, spans = hidden.all(dim=(1, 3)), hidden.all(dim=(1, 2))  # [B, bands], [B, frames]
    assert torch.equal(hidden, (bands[:, None, :, None] | spans[:, None, None, :]).expand_as(hidden))
    mean = spectrogram.mean(dim=(1, 2, 3), keepdim=True).expand_as(masked)
    assert torch.equal(masked[hidden], mean[hidden])
    assert bands.sum(dim=1).max() == 6
    assert spans.sum(dim=1).max() == 10
    assert len({tuple(row.tolist()) for row in bands}) > 32


def test_no_masks_change_nothing():
    assert torch.equal(mask(waves(2, 1, 8, 9), 0.5, 0, generator()), waves(2, 1, 8, 9))
    assert torch.equal(mask(waves(2, 1, 8, 9), 0.0, 2, generator()), waves(2, 1, 8, 9))


@pytest.mark.parametrize(
    ("samples", "patches"), [(1, 1), (8000, 1), (15600, 1), (15601, 2), (19200, 2), (23280, 2), (23281, 3), (64000, 8)]
)
def test_yamnet_patches_of_several_lengths(samples: int, patches: int):
    assert yamnet_patches(torch.zeros(2, samples)).shape == (2, patches, 96, 64)


def test_yamnet_patches_agree_with_the_definition_written_out():
    wave = waves(1, 20000)
    padded = np.pad(wave[0].numpy().astype(np.float64), (0, 15600 + 7680 - 20000))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.stack([padded[start : start + 400] * window for start in range(0, len(padded) - 399, 160)])
    magnitude = np.abs(np.fft.rfft(frames, 512))

    def mel(hertz: np.ndarray) -> np.ndarray:
        return 2595 * np.log10(1 + hertz / 700)

    edges = np.linspace(mel(np.array(125.0)), mel(np.array(7500.0)), 66)
    bins = mel(np.arange(1, 257) * 16000 / 512)
    triangles = np.array([np.interp(bins, edges[band : band + 3], [0, 1, 0]) for band in range(64)])
    spectrogram = np.log(magnitude[:, 1:] @ triangles.T + 0.001)
    expected = np.stack([spectrogram[0:96], spectrogram[48:144]])
    np.testing.assert_allclose(yamnet_patches(wave)[0].numpy(), expected, atol=1e-4)


def test_mixed_precision_does_not_touch_the_features():
    wave = waves(1, 1, 16000)
    transform = MelSpectrogram(settings_of(Features, hop=256), 16000)
    plain = transform(wave), yamnet_patches(wave[:, 0])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = transform(wave), yamnet_patches(wave[:, 0])
    assert all(torch.equal(a, b) for a, b in zip(plain, mixed, strict=True))
