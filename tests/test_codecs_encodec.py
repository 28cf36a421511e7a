import functools
import hashlib
import http.server
import math
import threading
import zipfile

import pandas as pd
import pytest
import torch
from encodec.model import EncodecModel
from settings import settings_of

from counterpoise.codecs import build, encode, encodec
from counterpoise.codecs.codec import CodecError
from counterpoise.codecs.encodec import EncodecCodec, fetch
from counterpoise.codecs.latents import Packed
from counterpoise.codecs.settings import CodecSettings, EncodecSettings
from counterpoise.core import audio

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
CPU = torch.device("cpu")
NAMES = ["encodec_24khz", "encodec_48khz"]


def narrow(name: str) -> EncodecModel:
    """A network with an eighth of the official filters, so that these tests take seconds."""
    return encodec.network(name, filters=4)


def load(model: EncodecModel, path) -> None:
    encodec.load_weights(model, encodec.read_weights(path), path)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of random weights for both networks."""
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for number, name in enumerate(NAMES):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            state = narrow(name).state_dict()
            for key, value in state.items():
                if key.endswith("_codebook.embed"):
                    value.normal_(std=0.05)
        files[name] = folder / f"{name}.th"
        torch.save(state, files[name])
    return files


@pytest.fixture(scope="module")
def networks(weights):
    """The package's own networks, with these weights."""
    models = {name: narrow(name) for name in NAMES}
    for name, model in models.items():
        load(model, weights[name])
    return models


@pytest.fixture(scope="module")
def codecs(weights):
    return {
        name: build(
            settings_of(CodecSettings, name=name, encodec=settings_of(EncodecSettings, checkpoint=str(path))), CPU
        )
        for name, path in weights.items()
    }


@pytest.fixture
def server(tmp_path):
    """A local folder and the address that serves it."""
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield tmp_path, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        """Say nothing."""


def noise(channels: int, samples: int, seed: int = 0, batch: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(batch, channels, samples, generator=torch.Generator().manual_seed(seed))


def test_they_say_what_every_codec_says(codecs):
    small, large = codecs["encodec_24khz"], codecs["encodec_48khz"]
    assert (small.name, small.sample_rate, small.channels, small.latent_channels, small.hop) == (
        "encodec_24khz",
        24000,
        1,
        128,
        320,
    )
    assert (large.name, large.sample_rate, large.channels, large.latent_channels, large.hop) == (
        "encodec_48khz",
        48000,
        2,
        129,
        320,
    )


@pytest.mark.parametrize("name", NAMES)
def test_networks_of_the_official_size_encode_and_decode(tmp_path, name):
    torch.save(encodec.ARCHITECTURES[name](pretrained=False).state_dict(), tmp_path / "random.th")
    codec = EncodecCodec(name, settings_of(CodecSettings, encodec={"checkpoint": str(tmp_path / "random.th")}), CPU)
    wave = codec.decode(codec.encode(noise(codec.channels, 3200)))
    assert wave.shape == (1, codec.channels, 3200) and wave.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [1, 320, 321, 3000])
def test_every_length_gives_one_frame_a_hop_and_whole_hops_back(codecs, name, samples):
    codec = codecs[name]
    latents = codec.encode(noise(codec.channels, samples, batch=2))
    assert latents.shape == (2, codec.latent_channels, math.ceil(samples / 320))
    wave = codec.decode(latents)
    assert wave.shape == (2, codec.channels, latents.shape[2] * 320) and wave.isfinite().all()


def test_24khz_latents_and_waves_are_the_networks_own(codecs, networks):
    codec, network = codecs["encodec_24khz"], networks["encodec_24khz"]
    wave = noise(1, 7777)
    with torch.no_grad():
        latents = network.encoder(wave)
        decoded = network.decoder(latents)
    assert torch.equal(codec.encode(wave), latents)
    assert torch.equal(codec.decode(latents), decoded)


@pytest.mark.parametrize("chunk_seconds", [1e-6, 0.05])
def test_24khz_pieces_change_nothing_but_rounding(codecs, weights, chunk_seconds):
    whole = codecs["encodec_24khz"]
    settings = settings_of(
        CodecSettings,
        encodec=settings_of(EncodecSettings, checkpoint=str(weights["encodec_24khz"]), chunk_seconds=chunk_seconds),
    )
    pieces = EncodecCodec("encodec_24khz", settings, CPU)
    wave = noise(1, 4000 + 77)
    latents = whole.encode(wave)
    assert latents.std() > 1e-2  # of the random network, 10,000 times the tolerance
    assert torch.allclose(pieces.encode(wave), latents, rtol=0, atol=1e-6)
    assert torch.allclose(pieces.decode(latents), whole.decode(latents), rtol=0, atol=1e-6)


def test_48khz_latents_of_a_second_are_the_networks_own_and_its_level(codecs, networks):
    codec, network = codecs["encodec_48khz"], networks["encodec_48khz"]
    wave = noise(2, 48000)
    rms = wave.mean(1).square().mean().sqrt()
    latents = codec.encode(wave)
    with torch.no_grad():
        assert torch.allclose(latents[:, :128], network.encoder(wave / (1e-8 + rms)), atol=1e-6)
        expected = network.decoder(latents[:, :128]) * rms
    assert torch.allclose(latents[:, 128], rms.log())
    assert torch.allclose(codec.decode(latents), expected, atol=1e-6)


def test_48khz_a_short_clip_goes_back_and_forth_until_it_fills_a_second(codecs):
    codec = codecs["encodec_48khz"]
    wave = noise(2, 6400)
    there_and_back = torch.cat([wave, wave.flip(2)[..., 1:-1]], dim=2).tile(1, 1, 4)[..., :48000]
    latents = codec.encode(wave)
    assert torch.equal(latents, codec.encode(there_and_back)[..., :20])
    there_and_back = torch.cat([latents, latents.flip(2)[..., 1:-1]], dim=2).tile(1, 1, 4)[..., :150]
    assert torch.allclose(codec.decode(latents), codec.decode(there_and_back)[..., :6400], atol=1e-6)


@pytest.mark.parametrize("samples", [2400, 14400, 48001, 60000])
def test_48khz_a_clip_comes_back_as_loud_as_it_would_from_a_longer_one(codecs, samples):
    codec = codecs["encodec_48khz"]
    wave = noise(2, 96000)
    louder = [
        20 * math.log10(codec.decode(codec.encode(part))[..., -2000:].std() / part[..., -2000:].std())
        for part in (wave, wave[..., :samples])
    ]
    assert louder[1] == pytest.approx(louder[0], abs=0.7)  # dB; a second of silence after it would make it 2 to 13


def test_48khz_segments_lie_on_the_latent_grid_and_share_two_frames(codecs):
    codec = codecs["encodec_48khz"]
    wave = noise(2, 47360 + 48000)
    wave[..., 47360:] *= 0.01
    first, second = (codec.encode(part) for part in (wave[..., :48000], wave[..., 47360:]))
    latents = codec.encode(wave)
    assert torch.allclose(latents[..., :149], first[..., :149], atol=1e-6)
    assert torch.allclose(latents[..., 149:], second[..., 1:], atol=1e-6)


def test_48khz_segments_fade_into_each_other_as_the_packages_do(codecs):
    """The package weights each segment by a triangle over all of it, and divides by the sum of the weights."""
    codec = codecs["encodec_48khz"]
    latents = codec.encode(noise(2, 47360 + 48000))
    latents[:, 128] = -2.0  # one level, so that a segment's own frames do not matter
    pieces = [codec.decode(part) for part in (latents[..., :150], latents[..., 148:])]
    triangle = 0.5 - (torch.linspace(0, 1, 48000 + 2)[1:-1] - 0.5).abs()
    summed, weight = torch.zeros(1, 2, 47360 + 48000), torch.zeros(47360 + 48000)
    for start, piece in zip((0, 47360), pieces):
        summed[..., start : start + 48000] += triangle * piece
        weight[start : start + 48000] += triangle
    assert torch.allclose(codec.decode(latents), summed / weight, atol=1e-6)


def test_48khz_segments_keep_their_own_levels(codecs):
    codec = codecs["encodec_48khz"]
    latents = codec.encode(noise(2, 48000 + 3200))
    quieter = latents.clone()
    quieter[:, 128, 149:] -= math.log(100)
    loud, mixed = codec.decode(latents), codec.decode(quieter)
    assert torch.allclose(mixed[..., :47360], loud[..., :47360], atol=1e-6)
    assert torch.allclose(mixed[..., 48000:], loud[..., 48000:] / 100, atol=1e-6)


def test_48khz_a_quieter_sound_comes_back_quieter(codecs):
    codec = codecs["encodec_48khz"]
    wave = noise(2, 48000 + 6400)
    loud, quiet = (codec.decode(codec.encode(gain * wave)) for gain in (1.0, 0.1))
    assert loud.abs().max() > 1e-3
    assert torch.allclose(loud, 10 * quiet, rtol=0, atol=1e-4 * float(loud.abs().max()))


def test_48khz_padding_with_silence_leaves_the_level_of_the_sound(codecs, networks):
    codec = codecs["encodec_48khz"]
    latents = codec.encode(noise(2, 3200))
    silence = codec.encode(torch.zeros(1, 2, 48000))[:, :, 75:76]
    padded = torch.cat([latents, silence.expand(1, -1, 140)], dim=2)
    wave = codec.decode(padded)
    with torch.no_grad():
        unscaled = networks["encodec_48khz"].decoder(padded[:, :128])
    assert torch.allclose(wave[..., :3200], unscaled[..., :3200] * latents[0, 128, 0].exp(), atol=1e-6)
    assert (wave[..., 3200:] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_clips_latents_and_wave_do_not_depend_on_its_neighbours(codecs, name):
    codec = codecs[name]
    waves = noise(codec.channels, 5000, batch=3) * torch.tensor([1.0, 0.0, 30.0])[:, None, None]
    latents = codec.encode(waves)
    for row in range(3):
        assert torch.allclose(latents[row], codec.encode(waves[row : row + 1])[0], rtol=1e-4, atol=1e-5)
        assert torch.allclose(codec.decode(latents)[row], codec.decode(latents[row : row + 1])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "rate", "channels"), [("encodec_24khz", 44100, 2), ("encodec_48khz", 22050, 1)])
def test_files_of_any_length_rate_and_channels_are_encoded_alike_in_any_batch(codecs, tmp_path, name, rate, channels):
    codec, rows = codecs[name], []
    for number, samples in enumerate((1, round(0.05 * rate), rate - 1, rate, rate + 1)):
        wave = noise(channels, samples, seed=number)[0].numpy()
        audio.write_flac(tmp_path / f"{number}.flac", wave, rate)
        rows.append(
            {
                "clip_id": str(number),
                "path": str(tmp_path / f"{number}.flac"),
                "label": "bark",
                "source_id": "s",
                "fold": 1,
                "seconds": samples / rate,
            }
        )
    clips = pd.DataFrame(rows)
    encode.encode(codec, clips, tmp_path / "together.safetensors", 8)
    encode.encode(codec, clips.iloc[[1]], tmp_path / "alone.safetensors", 8)
    together, alone = Packed(tmp_path / "together.safetensors"), Packed(tmp_path / "alone.safetensors")
    second = codec.sample_rate // codec.hop
    assert [together[row].shape[1] for row in range(5)] == [1, math.ceil(0.05 * second), second, second, second + 1]
    assert torch.allclose(together[1], alone[0], rtol=2**-9, atol=1e-4)  # float16
    assert all(codec.decode(together[row][None]).isfinite().all() for row in range(5))


def test_48khz_the_end_of_an_encoded_file_comes_back_as_loud_as_the_rest(codecs, tmp_path):
    codec = codecs["encodec_48khz"]
    audio.write_flac(tmp_path / "0.flac", noise(2, 57600)[0].numpy(), 48000)
    clips = pd.DataFrame(
        [
            {
                "clip_id": "0",
                "path": str(tmp_path / "0.flac"),
                "label": "bark",
                "source_id": "s",
                "fold": 1,
                "seconds": 1.2,
            }
        ]
    )
    encode.encode(codec, clips, tmp_path / "bark.safetensors", 8)
    wave = codec.decode(Packed(tmp_path / "bark.safetensors")[0][None])[0]
    assert 20 * math.log10(wave[:, -9600:].std() / wave[:, :48000].std()) == pytest.approx(0, abs=1)  # dB


@pytest.mark.parametrize("name", NAMES)
def test_requantising_passes_latents_through_the_models_quantiser(codecs, networks, weights, name):
    plain, model = codecs[name], networks[name]
    settings = settings_of(
        CodecSettings, encodec=settings_of(EncodecSettings, checkpoint=str(weights[name]), requantise=6.0)
    )
    coarse = EncodecCodec(name, settings, CPU)
    latents = plain.encode(noise(plain.channels, 6400))
    with torch.no_grad():
        model.set_target_bandwidth(6.0)
        frames = model.quantizer.decode(model.quantizer.encode(latents[:, :128], model.frame_rate, 6.0))
    quantised = torch.cat([frames, latents[:, 128:]], dim=1)
    assert torch.equal(coarse.encode(noise(plain.channels, 6400)), latents)
    assert torch.allclose(coarse.decode(latents), plain.decode(quantised), atol=1e-6)
    assert not torch.allclose(coarse.decode(latents), plain.decode(latents), atol=1e-6)


def test_requantising_in_pieces_changes_nothing(weights):
    waves = []
    for chunk_seconds in (5.0, 0.1):
        changes = {"checkpoint": str(weights["encodec_24khz"]), "requantise": 24.0, "chunk_seconds": chunk_seconds}
        settings = settings_of(CodecSettings, encodec=changes)
        codec = EncodecCodec("encodec_24khz", settings, CPU)
        waves.append(codec.decode(codec.encode(noise(1, 8000))))
    assert torch.allclose(waves[0], waves[1], rtol=0, atol=1e-6)


def test_a_bandwidth_that_the_model_does_not_have_is_refused(weights):
    settings = settings_of(
        CodecSettings, encodec=settings_of(EncodecSettings, checkpoint=str(weights["encodec_48khz"]), requantise=1.5)
    )
    with pytest.raises(CodecError, match="requantise is 1.5; encodec_48khz has 3, 6, 12, 24 kbit/s"):
        EncodecCodec("encodec_48khz", settings, CPU)


@pytest.mark.parametrize(("name", "channels"), [("encodec_24khz", 2), ("encodec_48khz", 1)])
def test_another_number_of_channels_is_refused(codecs, name, channels):
    with pytest.raises(CodecError, match="wave has the shape"):
        codecs[name].encode(noise(channels, 1000))
    with pytest.raises(CodecError, match="latents has the shape"):
        codecs[name].decode(torch.zeros(1, 96, 4))


def test_building_leaves_the_global_random_state_alone(weights):
    state = torch.get_rng_state()
    EncodecCodec(
        "encodec_24khz", settings_of(CodecSettings, encodec={"checkpoint": str(weights["encodec_24khz"])}), CPU
    )
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda state: {**state, "extra": torch.zeros(1)}, "1 tensors are unknown, for example extra"),
        (lambda state: {k: v for k, v in state.items() if "lstm" not in k}, r"tensors are missing.*lstm"),
        (lambda state: {k: v[..., :1] if "bias_hh" in k else v for k, v in state.items()}, "have another shape"),
        (lambda state: list(state), "not a dictionary of tensors"),
        (lambda state: {"best_state": state}, "not a dictionary of tensors"),
    ],
)
def test_weights_of_another_form_are_refused_with_the_reason(networks, weights, tmp_path, damage, reason):
    path = tmp_path / "other.th"
    torch.save(damage(torch.load(weights["encodec_24khz"], weights_only=True)), path)
    with pytest.raises(CodecError, match=rf"other\.th.*{reason}"):
        load(networks["encodec_24khz"], path)


def test_an_archive_that_would_grow_beyond_any_weights_is_not_read(networks, tmp_path):
    torch.save({"bomb": torch.zeros(50_000_000)}, tmp_path / "large.th")
    with (
        zipfile.ZipFile(tmp_path / "large.th") as large,
        zipfile.ZipFile(tmp_path / "bomb.th", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in large.namelist():
            bomb.writestr(entry, large.read(entry))
    assert (tmp_path / "bomb.th").stat().st_size < 1_000_000
    with pytest.raises(CodecError, match="bomb.th holds 200 MB.*it is not"):
        load(networks["encodec_24khz"], tmp_path / "bomb.th")


def test_weights_of_the_other_model_are_refused(networks, weights):
    with pytest.raises(CodecError, match="another network"):
        load(networks["encodec_24khz"], weights["encodec_48khz"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_with_nan_or_infinity_are_refused(networks, weights, tmp_path, value):
    state = torch.load(weights["encodec_24khz"], weights_only=True)
    state["decoder.model.1.lstm.bias_hh_l0"][3] = value
    torch.save(state, tmp_path / "spoilt.th")
    with pytest.raises(CodecError, match=r"spoilt\.th holds NaN or infinity in 1 tensors.*decoder\.model\.1\.lstm"):
        load(networks["encodec_24khz"], tmp_path / "spoilt.th")


@pytest.mark.parametrize("name", NAMES)
def test_a_local_file_with_an_official_name_must_have_the_official_checksum(networks, weights, tmp_path, name):
    path = tmp_path / encodec.WEIGHTS[name]
    path.symlink_to(weights[name])
    with pytest.raises(CodecError, match=rf"{path.name} has the name of official weights.*SHA-256.*damaged"):
        load(networks[name], path)


def test_a_checksum_that_is_known_in_full_is_checked_in_full(server, monkeypatch, tmp_path):
    folder, url = server
    file = f"encodec_24khz-{hashlib.sha256(b'good').hexdigest()[:8]}.th"
    (folder / file).write_bytes(b"good")
    monkeypatch.setitem(encodec.WEIGHTS, "encodec_24khz", file)
    monkeypatch.setitem(encodec.SHA256, file, hashlib.sha256(b"good").hexdigest()[:8] + 56 * "0")
    with pytest.raises(CodecError, match="SHA-256"):
        fetch("encodec_24khz", url, tmp_path / "cache")


def test_known_checksums_begin_with_the_digits_in_the_files_names():
    for file, digest in encodec.SHA256.items():
        assert file in encodec.WEIGHTS.values() and len(digest) == 64 and file.endswith(f"-{digest[:8]}.th")


@pytest.mark.parametrize("keep", [0, 10, 100_000])
def test_a_truncated_file_is_refused(networks, weights, tmp_path, keep):
    path = tmp_path / "short.th"
    path.write_bytes(weights["encodec_24khz"].read_bytes()[:keep])
    with pytest.raises(CodecError, match="short.th is not a readable torch file"):
        load(networks["encodec_24khz"], path)


def test_a_pickle_that_would_run_code_is_refused(networks, tmp_path):
    path = tmp_path / "evil.th"
    torch.save({"weights": Bomb(tmp_path / "exploded")}, path)
    with pytest.raises(CodecError, match="evil.th is not a readable torch file"):
        load(networks["encodec_24khz"], path)
    assert not (tmp_path / "exploded").exists()


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return self.path.touch, ()


def test_a_checkpoint_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CodecError, match="nowhere.th is missing"):
        EncodecCodec(
            "encodec_24khz", settings_of(CodecSettings, encodec={"checkpoint": str(tmp_path / "nowhere.th")}), CPU
        )


def test_weights_are_downloaded_once_and_checked(server, weights, monkeypatch, tmp_path_factory):
    folder, url = server
    cache = tmp_path_factory.mktemp("cache") / "new"
    content = weights["encodec_24khz"].read_bytes()
    file = f"encodec_24khz-{hashlib.sha256(content).hexdigest()[:8]}.th"
    monkeypatch.setitem(encodec.WEIGHTS, "encodec_24khz", file)
    (folder / file).write_bytes(content)
    path = fetch("encodec_24khz", url, cache)
    assert path == cache / file and path.read_bytes() == content
    (folder / file).unlink()
    assert fetch("encodec_24khz", url, cache) == path
    assert [p.name for p in cache.iterdir()] == [file]


def test_a_codec_without_a_checkpoint_downloads_into_the_users_cache(server, weights, monkeypatch, tmp_path_factory):
    folder, url = server
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    content = weights["encodec_24khz"].read_bytes()
    file = f"encodec_24khz-{hashlib.sha256(content).hexdigest()[:8]}.th"
    monkeypatch.setitem(encodec.WEIGHTS, "encodec_24khz", file)
    (folder / file).write_bytes(content)
    codec = EncodecCodec("encodec_24khz", settings_of(CodecSettings), CPU, weights_url=url)
    assert codec.latent_channels == 128
    assert [p.name for p in cache.rglob("*.th")] == [file]


def test_wrong_bytes_are_refused_and_removed(server, tmp_path_factory):
    folder, url = server
    cache = tmp_path_factory.mktemp("cache")
    (folder / encodec.WEIGHTS["encodec_24khz"]).write_bytes(b"not the weights")
    with pytest.raises(CodecError, match=rf"{url}/encodec_24khz-d7cc33bc.th.*SHA-256.*d7cc33bc.*encodec\.checkpoint"):
        fetch("encodec_24khz", url, cache)
    assert list(cache.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_fetched_anew(server, monkeypatch, tmp_path_factory):
    folder, url = server
    cache = tmp_path_factory.mktemp("cache")
    file = f"encodec_24khz-{hashlib.sha256(b'good').hexdigest()[:8]}.th"
    monkeypatch.setitem(encodec.WEIGHTS, "encodec_24khz", file)
    (folder / file).write_bytes(b"good")
    (cache / file).write_bytes(b"bad")
    assert fetch("encodec_24khz", url, cache).read_bytes() == b"good"


def test_a_file_that_the_server_does_not_have_is_an_error_with_the_way_out(server, tmp_path_factory):
    _, url = server
    cache = tmp_path_factory.mktemp("cache")
    with pytest.raises(CodecError, match=r"encodec_48khz-7e698e3e.th could not be used: 404.*encodec\.checkpoint"):
        fetch("encodec_48khz", url, cache)
    assert list(cache.iterdir()) == []


def test_a_server_that_does_not_answer_is_an_error_with_the_way_out(tmp_path):
    with pytest.raises(CodecError, match=r"127\.0\.0\.1:9/.*could not be used.*codec\.encodec\.checkpoint"):
        fetch("encodec_24khz", "http://127.0.0.1:9", tmp_path)
    assert list(tmp_path.iterdir()) == []
