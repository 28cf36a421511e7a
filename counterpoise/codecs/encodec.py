"""EnCodec's continuous latents: the encoder's output, taken before the quantiser.

Networks: Défossez, Copet, Synnaeve & Adi, "High Fidelity Neural Audio Compression", 2022,
https://arxiv.org/abs/2210.13438, as in the package `encodec` 0.1.1. encodec_24khz was trained on all kinds of sound,
encodec_48khz on music alone.

Weights: Meta's, which that package names; fetched from :data:`WEIGHTS_URL` at first use and checked by SHA-256.

Licence: the package, the last release, says Creative Commons Attribution-NonCommercial 4.0 in its metadata and LICENSE.
Its repository, https://github.com/facebookresearch/encodec, has since (April 2023) put "the code" under MIT. Neither
states terms for the weights alone, and issue 69 there asks for them without an answer: take them as non-commercial.
"""

import hashlib
import math
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pooch
import requests
import torch
from encodec.model import EncodecModel
from encodec.modules import SLSTM, SEANetDecoder, SEANetEncoder
from torch import Tensor, nn

from counterpoise.codecs.codec import CodecError, check_shape
from counterpoise.codecs.settings import CodecSettings

WEIGHTS_URL = "https://dl.fbaipublicfiles.com/encodec/v0"
WEIGHTS = {  # the digits before .th begin the SHA-256 of the file
    "encodec_24khz": "encodec_24khz-d7cc33bc.th",
    "encodec_48khz": "encodec_48khz-7e698e3e.th",
}
SHA256 = {  # all of it, where public projects that pin the file agree; Meta states only the digits in the name
    "encodec_24khz-d7cc33bc.th": "d7cc33bcf1aad7f2dad9836f36431530744abeace3ca033005e3290ed4fa47bf",
}
ARCHITECTURES = {
    "encodec_24khz": EncodecModel.encodec_model_24khz,
    "encodec_48khz": EncodecModel.encodec_model_48khz,
}
MOST_BYTES = 190_000_000  # of a file once it is unpacked: twice the larger official one
FILTERS = 32  # of the official networks' first layer; every later layer has a multiple of them
FIRST = ("encoder.model.0.conv.conv.weight_v", "encoder.model.0.conv.conv.weight")  # with and without weight norm

CONTEXT = 6  # latent frames that convolutions of the 24 kHz model look back to: kernels of 7; the strided ones need 2
OVERLAP = 2  # latent frames that two segments of the 48 kHz model share
SILENT = 1e-5  # RMS of a segment, -100 dBFS, under which it counts as digital silence


class EncodecCodec:
    """See :class:`counterpoise.codecs.codec.Codec`.

    encodec_24khz: mono, causal, 128 channels at 75 frames a second. Pieces of `chunk_seconds` pass through it one after
    the other, each with what the convolutions look back to and with the LSTM's state, so that pieces change nothing but
    rounding, and memory is bounded by a piece.

    encodec_48khz: stereo, 150 frames a second. The model divides every second by its loudness, which is kept as
    channel 129: the natural logarithm of the segment's RMS. Segments of one second overlap by 2 frames (1.33 %) where
    the package has 1 %, because 1 % is 1.5 frames and would leave the latents on no common grid. Of two shared frames
    each segment gives the one that lies deeper in it. The networks normalise over time, so that what they make of a
    frame, and how loud, depends on all of its segment. So the end of a sound, and of latents, is reflected until it
    fills the last segment, where the package runs a shorter one. `chunk_seconds` only bounds the quantiser's memory.

    Args:
        name: encodec_24khz or encodec_48khz.
        weights_url: the folder that official weights are fetched from.

    Raises:
        CodecError: the weights cannot be had or do not fit, or the model has no such bandwidth.
    """

    picture = False

    def __init__(self, name: str, codec: CodecSettings, device: torch.device, weights_url: str = WEIGHTS_URL) -> None:
        settings = codec.encodec
        path = fetch(name, weights_url) if settings.checkpoint is None else Path(settings.checkpoint)
        state = read_weights(path)
        model = _untrained(name, filters_of(state))
        if settings.requantise is not None and settings.requantise not in model.target_bandwidths:
            allowed = ", ".join(f"{bandwidth:g}" for bandwidth in model.target_bandwidths)
            raise CodecError(f"codec.encodec.requantise is {settings.requantise:g}; {name} has {allowed} kbit/s")
        load_weights(model, state, path)
        self.name, self.sample_rate, self.channels = name, model.sample_rate, model.channels
        self.highest = model.sample_rate / 2
        self.hop = int(model.encoder.hop_length)
        self.latent_channels = model.encoder.dimension + int(model.normalize)
        self._model, self._bandwidth, self._device = model.to(device), settings.requantise, device
        self._chunk = max(CONTEXT + 1, round(settings.chunk_seconds * self.sample_rate / self.hop))  # latent frames

    @torch.no_grad()
    def encode(self, wave: Tensor) -> Tensor:
        """`[B, channels, samples]` to `[B, C, ceil(samples / hop)]`.

        Raises:
            CodecError: the wave has another number of channels or is empty.
        """
        check_shape("wave", wave, self.channels)
        wave = wave.to(self._device, torch.float32)
        return self._encode_segments(wave) if self._model.normalize else self._encode_causal(wave)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """`[B, C, T]` to `[B, channels, T * hop]`, through the quantiser first if `requantise` says so.

        Raises:
            CodecError: the latents have another number of channels or no frames.
        """
        check_shape("latents", latents, self.latent_channels)
        latents = latents.to(self._device, torch.float32)
        if self._bandwidth is not None:
            latents = torch.cat([self._requantise(part) for part in latents.split(self._chunk, dim=2)], dim=2)
        return self._decode_segments(latents) if self._model.normalize else self._decode_causal(latents)

    def _requantise(self, latents: Tensor) -> Tensor:
        dimension, quantizer = self._model.encoder.dimension, self._model.quantizer
        codes = quantizer.encode(latents[:, :dimension], self._model.frame_rate, self._bandwidth)
        return torch.cat([quantizer.decode(codes), latents[:, dimension:]], dim=1)

    def _encode_causal(self, wave: Tensor) -> Tensor:
        latents = wave.new_empty(wave.shape[0], self.latent_channels, math.ceil(wave.shape[2] / self.hop))
        return _in_pieces(self._model.encoder.model, wave, latents, self._chunk, self.hop, 1)

    def _decode_causal(self, latents: Tensor) -> Tensor:
        wave = latents.new_empty(latents.shape[0], self.channels, latents.shape[2] * self.hop)
        return _in_pieces(self._model.decoder.model, latents, wave, self._chunk, 1, self.hop)

    def _segments(self, frames: int) -> list[tuple[int, int, int, int]]:
        """(start, end, first and end of its own) in latent frames, of each segment; the last one's may reach beyond."""
        length = self._model.segment_length // self.hop
        starts = range(0, max(1, frames - OVERLAP), length - OVERLAP)
        firsts = [start + OVERLAP // 2 if start else 0 for start in starts]
        return [(start, start + length, own, end) for start, own, end in zip(starts, firsts, [*firsts[1:], frames])]

    def _encode_segments(self, wave: Tensor) -> Tensor:
        frames = math.ceil(wave.shape[2] / self.hop)
        latents = wave.new_empty(wave.shape[0], self.latent_channels, frames)
        for start, end, own, own_end in self._segments(frames):
            segment = _reflected(wave, start * self.hop, end * self.hop)
            # EncodecModel._encode_frame, without its quantiser.
            rms = segment.mean(dim=1, keepdim=True).square().mean(dim=2, keepdim=True).sqrt()
            encoded = self._model.encoder(segment / (1e-8 + rms))
            latents[:, :-1, own:own_end] = encoded[..., own - start : own_end - start]
            latents[:, -1:, own:own_end] = rms.clamp(min=SILENT).log()
        return latents

    def _decode_segments(self, latents: Tensor) -> Tensor:
        frames, shared = latents.shape[2], OVERLAP * self.hop
        wave = latents.new_empty(latents.shape[0], self.channels, frames * self.hop)
        fade_in = torch.arange(1, shared + 1, device=wave.device) / (shared + 1)  # the package's triangles come to this
        for start, end, own, own_end in self._segments(frames):
            segment = _reflected(latents, start, end)
            gain = self._gain(segment[:, -1], slice(own - start, own_end - start))
            decoded = self._model.decoder(segment[:, :-1]) * gain.repeat_interleave(self.hop, dim=1)[:, None]
            place = wave[..., start * self.hop : end * self.hop]
            decoded = decoded[..., : place.shape[2]]
            if start:
                decoded[..., :shared] = place[..., :shared].lerp(decoded[..., :shared], fade_in)
            place[...] = decoded
        return wave

    def _gain(self, log_rms: Tensor, own: slice) -> Tensor:
        """One factor per segment `[B, frames]`, from the mean of its own frames, and 0 in frames of digital silence.

        Silence would otherwise drag the mean, and with it the sound, down where a clip is padded with it.
        """
        heard = log_rms > math.log(2 * SILENT)
        counted = heard[:, own]
        mean = (log_rms[:, own] * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)
        return mean.exp() * heard


def network(name: str, filters: int = FILTERS) -> EncodecModel:
    """EnCodec with random weights: the package's own, or one of the same form with fewer or more filters.

    Args:
        name: of ARCHITECTURES.
        filters: of the first layer, 1 or more.
    """
    official = ARCHITECTURES[name](pretrained=False)
    if filters == FILTERS:
        return official
    music = official.normalize  # the model of music looks ahead, and normalises by groups
    form = {"channels": official.channels, "n_filters": filters, "causal": not music}
    form["norm"] = "time_group_norm" if music else "weight_norm"
    return EncodecModel(
        SEANetEncoder(**form),
        SEANetDecoder(**form),
        official.quantizer,
        official.target_bandwidths,
        official.sample_rate,
        official.channels,
        official.normalize,
        official.segment,
    ).eval()


def filters_of(state: Mapping[str, Tensor]) -> int:
    """How many filters the network of these weights has; FILTERS where that cannot be told."""
    return next((state[key].shape[0] for key in FIRST if key in state and state[key].dim() == 3), FILTERS)


def _untrained(name: str, filters: int) -> EncodecModel:
    """The network with weights that are about to be replaced; the global random numbers stay as they were."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.nn.utils.weight_norm` is deprecated", FutureWarning)
        return network(name, filters)


def _reflected(signal: Tensor, start: int, end: int) -> Tensor:
    """`[..., start:end]` of `[..., n]`, which goes back and forth beyond its end."""
    n = signal.shape[-1]
    if end <= n:
        return signal[..., start:end]
    period = max(1, 2 * (n - 1))
    index = torch.arange(start, end, device=signal.device) % period
    return signal[..., torch.minimum(index, period - index)]


def _in_pieces(network: nn.Sequential, signal: Tensor, out: Tensor, length: int, step_in: int, step_out: int) -> Tensor:
    """Fill `out` with what a causal network, convolutions around an LSTM, makes of `signal`, piece by piece.

    Args:
        length: of a piece in latent frames; above :data:`CONTEXT`, so much of the beginning is mirrored before it.
        step_in, step_out: samples of `signal` and of `out` in a latent frame.
    """
    at = next(i for i, layer in enumerate(network) if isinstance(layer, SLSTM))
    before, lstm, after = network[:at], network[at].lstm, network[at + 1 :]
    state, tail = None, signal[..., :0]
    for start in range(0, math.ceil(signal.shape[2] / step_in), length):
        context = CONTEXT if start else 0
        piece = signal[..., (start - context) * step_in : (start + length) * step_in]
        features = before(piece)[..., context:].permute(2, 0, 1)
        recurrent, state = lstm(features, state)
        features = (features + recurrent).permute(1, 2, 0)  # SLSTM.forward, but with a state
        features = torch.cat([tail, features], dim=2) if start else features
        tail = features[..., -CONTEXT:]
        made = after(features)[..., context * step_out :]
        out[..., start * step_out : start * step_out + made.shape[2]] = made
    return out


def fetch(name: str, weights_url: str = WEIGHTS_URL, folder: Path | None = None) -> Path:
    """The official weights on this machine: from the cache, or downloaded into it and checked first.

    Args:
        folder: the cache; None is the user's cache folder for counterpoise.

    Raises:
        CodecError: there is no connection, the server has no such file, or its bytes are wrong.
    """
    file = WEIGHTS[name]
    path = (pooch.os_cache("counterpoise") if folder is None else folder) / file
    if _has_its_checksum(path, file):
        return path
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{file}.{os.getpid()}.partial")
    url = f"{weights_url}/{file}"
    try:
        pooch.HTTPDownloader(progressbar=True, chunk_size=2**16)(url, partial, None)
        if not _has_its_checksum(partial, file):
            raise CodecError(_no_weights(url, f"its SHA-256 does not begin with {_checksum(file)}"))
        os.replace(partial, path)
    except (requests.RequestException, OSError) as error:
        raise CodecError(_no_weights(url, str(error))) from None
    finally:
        partial.unlink(missing_ok=True)
    return path


def _checksum(file: str) -> str:
    """As much as is known of an official file's SHA-256."""
    return SHA256.get(file, file.removesuffix(".th").rsplit("-", 1)[1])


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _has_its_checksum(path: Path, file: str) -> bool:
    return path.is_file() and _sha256(path).startswith(_checksum(file))


def _no_weights(url: str, reason: str) -> str:
    return (
        f"{url} could not be used: {reason}. Try again, or fetch the file by other means and set "
        "codec.encodec.checkpoint to its path; codec.name: mel needs no weights"
    )


def _unpacked(path: Path) -> int:
    """How many bytes a torch file becomes when it is read: it may be a compressed archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError):
        return path.stat().st_size


def read_weights(path: Path) -> dict[str, Tensor]:
    """A file of weights; nothing but tensors is read from it.

    Raises:
        CodecError: the file is missing, is no torch file of tensors by name, or has the name of official weights and
            not their checksum.
    """
    if not path.is_file():
        raise CodecError(f"codec.encodec.checkpoint: {path} is missing; give a .th file, or null to download it")
    if path.name in WEIGHTS.values() and not _has_its_checksum(path, path.name):
        raise CodecError(
            f"{path} has the name of official weights, but its SHA-256 begins with {_sha256(path)[:8]}: it is damaged. "
            "Fetch it again; weights of your own need another name"
        )
    if (size := _unpacked(path)) > MOST_BYTES:
        raise CodecError(
            f"{path} holds {size / 1e6:,.0f} MB, and weights have at most {MOST_BYTES / 1e6:,.0f}, so it is not read"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in zip, pickle or tensor reading
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CodecError(f"{path} is not a readable torch file of weights ({reason})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CodecError(f"{path} holds no weights: it is not a dictionary of tensors")
    return state


def load_weights(model: EncodecModel, state: dict[str, Tensor], path: Path) -> None:
    """Put weights into a model.

    Args:
        model: of which they are.
        state: from :func:`read_weights`.
        path: theirs, for messages.

    Raises:
        CodecError: they belong to another network, or hold NaN or infinity.
    """
    wanted = model.state_dict()
    reasons = {
        "are missing": [key for key in wanted if key not in state],
        "are unknown": [key for key in state if key not in wanted],
        "have another shape": [key for key in wanted if key in state and wanted[key].shape != state[key].shape],
    }
    found = [f"{len(keys)} tensors {what}, for example {keys[0]}" for what, keys in reasons.items() if keys]
    if found:
        raise CodecError(f"{path} holds weights of another network: {'; '.join(found)}")
    spoilt = [key for key in wanted if not state[key].isfinite().all()]
    if spoilt:
        raise CodecError(f"{path} holds NaN or infinity in {len(spoilt)} tensors, for example {spoilt[0]}")
    model.load_state_dict(state, strict=True)
