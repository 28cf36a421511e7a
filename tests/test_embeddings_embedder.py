import numpy as np
import pytest
import random_yamnet
import torch
from settings import settings_of

from counterpoise.classifiers.networks import build, io
from counterpoise.core import audio as sound
from counterpoise.core.audio import Audio
from counterpoise.embeddings.embedder import Embedder
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.yamnet import AudioSetError, load_audioset

CPU = torch.device("cpu")
AUDIO = settings_of(Audio, sample_rate=8000, channels=1, seconds=0.5)
FEATURES = settings_of(Features, n_mels=32, n_fft=512, hop=128)


def waves(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 0.5


@pytest.fixture(scope="module")
def audioset(tmp_path_factory) -> Embedder:
    return Embedder.audioset(random_yamnet.write(tmp_path_factory.mktemp("w") / "yamnet.safetensors"), CPU)


def own(folder, name: str = "cnn", audio: Audio = AUDIO) -> Embedder:
    model = build(name, 2, audio, FEATURES)
    card = io.Card(model=name, labels=["a", "b"], audio=audio, features=FEATURES, pretrained=False, frozen=False)
    io.save(folder, model, card)
    return io.embedder(folder, CPU)


def test_audioset_s_embedding_is_the_mean_over_patches(audioset, tmp_path):
    wave = waves(2, 1, 30000) * torch.linspace(0, 1, 30000)
    embedded = audioset.embed(wave, 16000)
    assert (audioset.name, audioset.width) == ("AudioSet YAMNet", 1024)
    assert embedded.shape == (2, 1024)
    assert embedded.dtype == torch.float32
    network = load_audioset(random_yamnet.write(tmp_path / "yamnet.safetensors"))
    with torch.inference_mode():
        patches = network.embed_waves(wave)
    assert patches.shape == (2, 3, 1024)
    torch.testing.assert_close(embedded, patches.mean(dim=1))


def test_short_sounds_are_padded_with_silence(audioset):
    wave = waves(1, 1, 4000)
    padded = torch.nn.functional.pad(wave, (0, 11600))
    assert torch.equal(audioset.embed(wave, 16000), audioset.embed(padded, 16000))


def test_rate_and_channels_are_brought_to_the_network_s(audioset):
    seconds = torch.arange(44100) / 44100
    tone = torch.sin(2 * np.pi * (300 + 2000 * seconds) * seconds)
    resampled = torch.from_numpy(sound.resample(tone[None].numpy(), 44100, 16000))
    expected = audioset.embed(resampled[None], 16000)
    stereo = torch.stack([2 * tone, torch.zeros(44100)])[None]
    assert torch.equal(audioset.embed(tone[None, None], 44100), expected)
    torch.testing.assert_close(audioset.embed(stereo, 44100), expected, atol=1e-4, rtol=1e-3)


def test_an_embedding_does_not_depend_on_its_neighbours(audioset, tmp_path):
    for embedder in (audioset, own(tmp_path)):
        wave = waves(3, 1, 16000)
        together = embedder.embed(wave, 16000)
        assert torch.equal(together, torch.cat([embedder.embed(one[None], 16000) for one in wave]))
        assert not torch.equal(together[0], together[1])


def test_a_classifier_of_ours_embeds_clips_as_it_reads_them(tmp_path):
    embedder = own(tmp_path / "cnn")
    assert (embedder.name, embedder.width) == ("own cnn", 64)
    model, _ = io.load(tmp_path / "cnn", CPU)
    wave = waves(2, 1, 9000)
    with torch.inference_mode():
        expected = model.embed(model.spectrogram(wave[..., :4000]))
        parts = [model.embed(model.spectrogram(wave[..., start : start + 4000])) for start in (0, 2000, 4000, 5000)]
    torch.testing.assert_close(embedder.embed(wave[..., :4000], 8000), expected)
    torch.testing.assert_close(embedder.embed(wave, 8000), torch.stack(parts).mean(dim=0))
    short = torch.nn.functional.pad(wave[..., :1000], (0, 3000))
    torch.testing.assert_close(embedder.embed(wave[..., :1000], 8000), embedder.embed(short, 8000))


def test_a_yamnet_and_a_stereo_network_of_ours_work_too(tmp_path):
    assert own(tmp_path / "yamnet", "yamnet").embed(waves(1, 1, 4000), 8000).shape == (1, 1024)
    stereo = own(tmp_path / "stereo", audio=AUDIO.model_copy(update={"channels": 2}))
    mono = waves(1, 1, 4000)
    assert torch.equal(stereo.embed(mono, 8000), stereo.embed(mono.expand(1, 2, -1), 8000))


def test_no_sounds_have_no_embeddings(audioset):
    assert audioset.embed(torch.zeros(0, 1, 16000), 16000).shape == (0, 1024)


def test_missing_sources_are_named(tmp_path):
    with pytest.raises(AudioSetError, match="yamnet.safetensors is missing"):
        Embedder.audioset(tmp_path / "yamnet.safetensors", CPU)
    with pytest.raises(io.ModelError, match="config.json is missing"):
        io.embedder(tmp_path, CPU)
