import math

import pytest
import torch
import torch.nn.functional as F
from settings import settings_of

from counterpoise.classifiers.augmentation import augmented
from counterpoise.classifiers.networks import build
from counterpoise.classifiers.settings import Classifier
from counterpoise.core.audio import Audio
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.yamnet import SameConv2d, yamnet_patches

torch.set_num_threads(1)

AUDIO = settings_of(Audio, sample_rate=16000, channels=1, seconds=1.2)
FEATURES = settings_of(Features, n_fft=1024, hop=256)
CLASSIFIER = settings_of(Classifier, seeds=[0], steps=10, batch_size=4)


def waves(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def settled(model: torch.nn.Module, wave: torch.Tensor) -> torch.nn.Module:
    """Evaluation mode after batch normalisation took its statistics from these waves: without, outputs hardly vary."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(wave)
    return model.eval()


def test_cnn_has_the_course_s_shapes():
    audio = settings_of(Audio, sample_rate=44100, channels=2, seconds=4)
    model = build("cnn", 10, audio, settings_of(Features, n_mels=64, n_fft=1024, hop=512))
    spectrogram = model.spectrogram(waves(2, 2, 4 * 44100))
    assert spectrogram.shape == (2, 2, 64, 344)
    assert model.maps(spectrogram).shape == (2, 64, 4, 22)
    assert model.embed(spectrogram).shape == (2, 64)
    assert model(waves(2, 2, 4 * 44100)).shape == (2, 10)


def test_yamnet_has_the_reference_s_layers_and_shapes():
    model = build("yamnet", 7, AUDIO, FEATURES)
    with torch.no_grad():
        assert model.maps(torch.zeros(2, 1, 96, 64)).shape == (2, 1024, 3, 2)
        assert model.embed(torch.zeros(2, 3, 96, 64)).shape == (2, 3, 1024)
    learnable = sum(parameter.numel() for parameter in model.maps.parameters() if parameter.requires_grad)
    depthwise = [(32, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512)] + 5 * [(512, 512)]
    depthwise += [(512, 1024), (1024, 1024)]
    assert learnable == 9 * 32 + 32 + sum(9 * i + i + i * o + o for i, o in depthwise)


@pytest.mark.parametrize(("size", "before", "after"), [(8, 0, 1), (7, 1, 1)])
def test_a_strided_convolution_pads_as_tensorflow_does(size: int, before: int, after: int):
    convolution = SameConv2d(1, 2, 3, stride=2, bias=False)
    images = waves(1, 1, size, size)
    by_hand = F.conv2d(F.pad(images, (before, after, before, after)), convolution.weight, stride=2)
    assert by_hand.shape[2:] == (4, 4)
    torch.testing.assert_close(convolution(images), by_hand)


def test_an_unstrided_convolution_keeps_the_size():
    assert SameConv2d(1, 2, 3)(waves(1, 1, 7, 8)).shape == (1, 2, 7, 8)


@pytest.mark.parametrize("name", ["cnn", "yamnet"])
def test_outputs_are_log_probabilities(name: str):
    model = build(name, 5, AUDIO, FEATURES).eval()
    with torch.no_grad():
        probabilities = model(waves(3, 1, 19200)).exp()
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(3))


def test_yamnet_scores_a_clip_by_the_mean_of_its_patches_probabilities():
    wave = waves(2, 1, 30000) * torch.linspace(0, 1, 30000)
    model = settled(build("yamnet", 5, AUDIO, FEATURES), wave)
    with torch.no_grad():
        by_patch = model.head(model.embed(yamnet_patches(wave[:, 0]))).softmax(dim=-1)
        assert by_patch.shape == (2, 3, 5)
        assert (by_patch[:, 0] - by_patch[:, 2]).abs().max() > 0.01
        torch.testing.assert_close(model(wave).exp(), by_patch.mean(dim=1))


def test_yamnet_mixes_stereo_and_resamples():
    def chirp(rate: int) -> torch.Tensor:
        seconds = torch.arange(round(1.2 * rate)) / rate
        return torch.sin(2 * math.pi * (500 + 2000 * seconds) * seconds)

    stereo = build("yamnet", 5, settings_of(Audio, sample_rate=44100, channels=2, seconds=1.2), FEATURES).eval()
    seen = []
    stereo.maps.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        stereo(torch.stack([chirp(44100) * 2, torch.zeros(52920)])[None])
    expected = yamnet_patches(chirp(16000)[None])[0].exp()
    assert (seen[0][:, 0].exp() - expected).abs().max() < 0.02 * expected.max()


@pytest.mark.parametrize("name", ["cnn", "yamnet"])
def test_only_a_generator_makes_augmentation(name: str):
    wave = waves(2, 1, 19200) * torch.linspace(0, 1, 19200)
    model = settled(build(name, 5, AUDIO, FEATURES), wave)
    with torch.no_grad():
        plain, again = model(wave), model(wave)
        varied = [augmented(model, wave, CLASSIFIER, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(plain, again)
    assert torch.equal(varied[0], varied[1])
    assert not torch.equal(varied[0], varied[2])
    assert not torch.equal(plain, varied[0])


@pytest.mark.parametrize(("asked", "used"), [(1, 1), (2, 2), (9, 3)])
def test_yamnet_trains_on_the_asked_number_of_patches_at_most(asked: int, used: int):
    settings = CLASSIFIER.model_copy(update={"yamnet_patches": asked})
    model = build("yamnet", 5, AUDIO, FEATURES).eval()
    seen = []
    model.head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    with torch.no_grad():
        augmented(model, waves(2, 1, 30000), settings, torch.Generator())
    assert seen == [(2, used, 1024)]


def test_first_weights_depend_on_the_seed_and_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    first, again, other = (build("cnn", 2, AUDIO, FEATURES, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="'resnet'.*cnn, yamnet"):
        build("resnet", 2, AUDIO, FEATURES)


@pytest.mark.parametrize(("seconds", "kinds"), [(0.1, {torch.float32}), (2.0, {torch.bfloat16})])
def test_a_clip_of_a_few_frames_passes_the_cnn_in_float32(seconds, kinds):
    """Where a strided convolution puts out a single frame, some CPUs leave memory unwritten in bfloat16."""
    audio = settings_of(Audio, sample_rate=16000, channels=1, seconds=seconds)
    network = build("cnn", 2, audio, settings_of(Features)).eval()
    found = set()
    for layer in network.maps.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda layer, given, output: found.add(output.dtype))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(torch.randn(2, 1, round(16000 * seconds))).isfinite().all()
    assert found == kinds
