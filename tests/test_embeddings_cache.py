import multiprocessing

import numpy as np
import pandas as pd
import pytest
import random_yamnet
import torch
from settings import settings_of

from counterpoise.classifiers.networks import build
from counterpoise.core import audio as sound
from counterpoise.core import tables
from counterpoise.core.audio import Audio
from counterpoise.core.runtime import Runtime
from counterpoise.embeddings import cache
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.yamnet import load_audioset

AUDIO = settings_of(Audio, sample_rate=16000, channels=1, seconds=1.4)
RUNTIME = settings_of(Runtime, device="cpu", threads=1, workers=0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> torch.nn.Module:
    return load_audioset(random_yamnet.write(tmp_path_factory.mktemp("weights") / "yamnet.safetensors"))


@pytest.fixture
def examples(tmp_path) -> pd.DataFrame:
    """Four clips, the last two of the same content."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(4):
        path = tmp_path / f"{number}.flac"
        wave = np.random.default_rng(9) if number > 1 else rng
        sound.write_flac(path, (0.2 * wave.standard_normal((1, 8000))).astype(np.float32), 8000)
        clip = {"clip_id": str(number), "path": str(path), "label": "a", "source_id": str(number)}
        rows.append(clip | {"root_clip_id": str(number), "synthetic": False, "sha256": tables.sha256(path)})
    return tables.table(rows, tables.EXAMPLES)


def embed(network, examples, folder=None, audio=AUDIO) -> list[np.ndarray]:
    return list(cache.embed_clips(network, examples, audio, RUNTIME, CPU, folder))


def test_a_clip_has_an_embedding_of_every_patch(network, examples, tmp_path):
    embedded = embed(network, examples, tmp_path / "cache")
    assert [array.shape for array in embedded] == [(1, 2, 1024)] * 4
    assert embedded[0].dtype == np.float32
    wave = sound.fit(sound.read(examples.path[0], 16000, 1), 22400)
    with torch.inference_mode():
        expected = network.embed_waves(torch.from_numpy(wave)[None]).numpy()
    np.testing.assert_array_equal(embedded[0], expected)
    assert np.abs(embedded[0] - embedded[1]).max() > 0.01


def test_a_clip_longer_than_a_window_has_embeddings_of_each(network, examples, tmp_path):
    (embedded,) = embed(network, examples[:1], tmp_path / "cache", AUDIO.model_copy(update={"seconds": 0.4}))
    wave = sound.read(examples.path[0], 16000, 1)
    parts = [wave[:, start : start + 6400] for start in (0, 3200, 6400, 9600)]
    with torch.inference_mode():
        expected = np.stack([network.embed_waves(torch.from_numpy(part)[None])[0].numpy() for part in parts])
    np.testing.assert_array_equal(embedded, expected)


def test_embeddings_do_not_depend_on_other_clips_or_on_the_cache(network, examples, tmp_path):
    alone = [embed(network, examples[row : row + 1])[0] for row in range(4)]
    backwards = embed(network, examples[::-1], tmp_path / "cache")[::-1]
    again = embed(network, examples, tmp_path / "cache")
    for one, other, third in zip(alone, backwards, again, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)


def test_each_content_is_embedded_once_and_read_afterwards(network, examples, tmp_path):
    embedded = embed(network, examples, tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 3
    gone = examples.assign(path="gone.flac")
    for one, other in zip(embed(network, gone, tmp_path / "cache"), embedded, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_file_is_made_again(network, examples, tmp_path, damage):
    embedded = embed(network, examples, tmp_path / "cache")
    file = next((tmp_path / "cache").rglob(f"{examples.sha256[0]}.npy"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"cut": bytes(content[:500]), "flipped": bytes(content), "empty": b""}[damage])
    np.testing.assert_array_equal(embed(network, examples, tmp_path / "cache")[0], embedded[0])
    np.testing.assert_array_equal(np.load(file), embedded[0])  # a plain array for other programs


def test_a_file_that_vanishes_while_it_is_used_is_named(network, examples, tmp_path):
    kept = cache.embed_clips(network, examples, AUDIO, RUNTIME, CPU, tmp_path / "cache")
    kept.files[1].unlink()
    with pytest.raises(cache.EmbeddingsError, match=f"{examples.sha256[1]}.npy was deleted or damaged"):
        kept[1]


def test_a_clip_that_changed_is_not_kept_under_its_old_name(network, examples, tmp_path):
    sound.write_flac(examples.path[0], np.zeros((1, 8000), np.float32), 8000)
    with pytest.raises(tables.TableError, match="1 audio files are missing or are not what they were"):
        embed(network, examples, tmp_path / "cache")


def test_the_key_names_all_that_the_numbers_depend_on(network, tmp_path):
    other = load_audioset(random_yamnet.write(tmp_path / "other.safetensors", seed=1))
    keys = {
        cache.key(network, AUDIO, RUNTIME, CPU),
        cache.key(other, AUDIO, RUNTIME, CPU),
        cache.key(network, AUDIO.model_copy(update={"seconds": 2}), RUNTIME, CPU),
        cache.key(network, AUDIO, RUNTIME.model_copy(update={"threads": 2}), CPU),
        cache.key(network, AUDIO, RUNTIME, torch.device("cuda")),
    }
    assert len(keys) == 5


def test_classifiers_with_the_same_body_share_embeddings(tmp_path):
    weights = random_yamnet.write(tmp_path / "yamnet.safetensors")
    a, b = (build("yamnet", 3 + seed, AUDIO, settings_of(Features), seed, weights, True, True) for seed in (0, 1))
    assert cache.key(a, AUDIO, RUNTIME, CPU) == cache.key(b, AUDIO, RUNTIME, CPU)


def test_two_processes_may_fill_the_same_cache(network, examples, tmp_path):
    context = multiprocessing.get_context("fork")
    helpers = [context.Process(target=embed, args=(network, examples, tmp_path / "cache")) for _ in range(2)]
    for helper in helpers:
        helper.start()
    for helper in helpers:
        helper.join()
        assert helper.exitcode == 0
    files = sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert files == sorted(f"{digest}.npy" for digest in set(examples.sha256))


def test_no_clips_have_no_embeddings_and_the_network_stays_in_its_mode(network, examples, tmp_path):
    cnn = build("cnn", 2, AUDIO, settings_of(Features, n_fft=512, hop=128)).train()
    assert embed(cnn, examples[:0], tmp_path / "cache") == []
    assert embed(cnn, examples[:1])[0].shape == (1, 1, 64)
    assert cnn.training
