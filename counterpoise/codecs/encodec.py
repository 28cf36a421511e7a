"""EnCodec's continuous latents: the encoder's output, taken before the quantiser.

Défossez, Copet, Synnaeve & Adi, "High Fidelity Neural Audio Compression", 2022, https://arxiv.org/abs/2210.13438.
The networks are those of the `encodec` package 0.1.1, whose metadata and LICENSE file say Creative Commons
Attribution-NonCommercial 4.0 and whose code names the weights below; no other terms for the weights are stated there.
"""

import hashlib
import math
import os
import warnings
from pathlib import Path

import pooch
import requests
import torch
from encodec.model import EncodecModel
from encodec.utils import _linear_overlap_add as overlap_add
from torch import Tensor, nn

from counterpoise import params
from counterpoise.codecs import CodecError, check_shape

WEIGHTS_URL = "https://dl.fbaipublicfiles.com/encodec/v0"
WEIGHTS = {  # the digits before .th begin the SHA-256 of the file
    "encodec_24khz": "encodec_24khz-d7cc33bc.th",
    "encodec_48khz": "encodec_48khz-7e698e3e.th",
}
ARCHITECTURES = {
    "encodec_24khz": EncodecModel.encodec_model_24khz,
    "encodec_48khz": EncodecModel.encodec_model_48khz,
}

CONTEXT = 2  # latent frames; 24 kHz: encoder convolutions look back 478 samples (1.5 frames), the decoder's 1.6 frames
OVERLAP = 2  # latent frames that two segments of the 48 kHz model share
SILENT = 1e-5  # RMS of a segment, -100 dBFS, under which it counts as digital silence


class EncodecCodec:
    """See :class:`counterpoise.codecs.Codec`.

    encodec_24khz: mono, causal, 128 channels at 75 frames a second. Convolutions run over pieces of `chunk_seconds`
    with the few samples that they look back to, and the LSTM over all pieces together, so that pieces change nothing
    but rounding.

    encodec_48khz: stereo, 150 frames a second. The model divides every second by its loudness, which is kept as
    channel 129: the natural logarithm of the segment's RMS. Segments of one second overlap by 2 frames (1.33 %) where
    the package has 1 %, because 1 % is 1.5 frames and would leave the latents on no common grid. Of two shared frames
    each segment gives the one that lies deeper in it. `chunk_seconds` has no effect.

    Args:
        name: encodec_24khz or encodec_48khz.
        weights_url: the folder that official weights are fetched from.

    Raises:
        CodecError: the weights cannot be had or do not fit, or the model has no such bandwidth.
    """

    def __init__(
        self, name: str, settings: params.EncodecCodec, device: torch.device, weights_url: str = WEIGHTS_URL
    ) -> None:
        model = _untrained(name)
        if settings.requantise is not None and settings.requantise not in model.target_bandwidths:
            allowed = ", ".join(f"{bandwidth:g}" for bandwidth in model.target_bandwidths)
            raise CodecError(f"codec.encodec.requantise is {settings.requantise:g}; {name} has {allowed} kbit/s")
        load_weights(model, fetch(name, weights_url) if settings.checkpoint is None else Path(settings.checkpoint))
        self.name, self.sample_rate, self.channels = name, model.sample_rate, model.channels
        self.hop = int(model.encoder.hop_length)
        self.latent_channels = model.encoder.dimension + int(model.normalize)
        self._model, self._bandwidth, self._device = model.to(device), settings.requantise, device
        self._chunk = max(CONTEXT, round(settings.chunk_seconds * self.sample_rate / self.hop))  # latent frames
        middle = self.sample_rate // self.hop // 2
        self.silence = self.encode(torch.zeros(1, self.channels, self.sample_rate))[0, :, middle]

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
            dimension, quantizer = self._model.encoder.dimension, self._model.quantizer
            codes = quantizer.encode(latents[:, :dimension], self._model.frame_rate, self._bandwidth)
            latents = torch.cat([quantizer.decode(codes), latents[:, dimension:]], dim=1)
        return self._decode_segments(latents) if self._model.normalize else self._decode_causal(latents)

    def _encode_causal(self, wave: Tensor) -> Tensor:
        convolutions, rest = _split_at_lstm(self._model.encoder.model, after=False)
        return rest(_in_pieces(convolutions, wave, self._chunk * self.hop, CONTEXT * self.hop, CONTEXT))

    def _decode_causal(self, latents: Tensor) -> Tensor:
        recurrent, convolutions = _split_at_lstm(self._model.decoder.model, after=True)
        return _in_pieces(convolutions, recurrent(latents), self._chunk, CONTEXT, CONTEXT * self.hop)

    def _segments(self, frames: int) -> list[tuple[int, int, int]]:
        """(start, end, first of its own) in latent frames, of each segment."""
        length = self._model.segment_length // self.hop
        starts = range(0, max(1, frames - OVERLAP), length - OVERLAP)
        return [(start, min(start + length, frames), start + (OVERLAP // 2 if start else 0)) for start in starts]

    def _encode_segments(self, wave: Tensor) -> Tensor:
        frames = math.ceil(wave.shape[2] / self.hop)
        latents = wave.new_empty(wave.shape[0], self.latent_channels, frames)
        for start, end, own in self._segments(frames):
            segment = wave[..., start * self.hop : end * self.hop]
            # EncodecModel._encode_frame, without its quantiser.
            rms = segment.mean(dim=1, keepdim=True).square().mean(dim=2, keepdim=True).sqrt()
            latents[:, :-1, own:end] = self._model.encoder(segment / (1e-8 + rms))[..., own - start :]
            latents[:, -1:, own:end] = rms.clamp(min=SILENT).log()
        return latents

    def _decode_segments(self, latents: Tensor) -> Tensor:
        segments = self._segments(latents.shape[2])
        ends = [own for _, _, own in segments[1:]] + [latents.shape[2]]
        waves = []
        for (start, end, own), own_end in zip(segments, ends):
            wave = self._model.decoder(latents[:, :-1, start:end])
            gain = self._gain(latents[:, -1, start:end], slice(own - start, own_end - start))
            waves.append(wave * gain.repeat_interleave(self.hop, dim=1)[:, None])
        return overlap_add(waves, (self._model.segment_length // self.hop - OVERLAP) * self.hop)

    def _gain(self, log_rms: Tensor, own: slice) -> Tensor:
        """One factor per segment `[B, frames]`, from the mean of its own frames, and 0 in frames of digital silence.

        Silence would otherwise drag the mean, and with it the sound, down where a clip is padded with it.
        """
        heard = log_rms > math.log(2 * SILENT)
        counted = heard[:, own]
        mean = (log_rms[:, own] * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)
        return mean.exp() * heard


def _untrained(name: str) -> EncodecModel:
    """The network with weights that are about to be replaced; the global random numbers stay as they were."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.nn.utils.weight_norm` is deprecated", FutureWarning)
        return ARCHITECTURES[name](pretrained=False)


def _split_at_lstm(network: nn.Sequential, after: bool) -> tuple[nn.Sequential, nn.Sequential]:
    """The layers before the LSTM and the others; with `after`, the LSTM is the last of the first part."""
    position = next(i for i, layer in enumerate(network) if any(isinstance(m, nn.LSTM) for m in layer.modules()))
    return network[: position + after], network[position + after :]


def _in_pieces(network: nn.Sequential, signal: Tensor, length: int, context: int, drop: int) -> Tensor:
    """Apply causal convolutions to `[B, channels, n]` piece by piece.

    Args:
        length: of a piece; at least `context`.
        context: how much of the signal before a piece is fed in with it.
        drop: what becomes of the context, in output frames or samples.
    """
    first = network(signal[..., :length])
    others = [
        network(signal[..., start - context : start + length])[..., drop:]
        for start in range(length, signal.shape[-1], length)
    ]
    return torch.cat([first, *others], dim=-1)


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
    return file.removesuffix(".th").rsplit("-", 1)[1]


def _has_its_checksum(path: Path, file: str) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest().startswith(_checksum(file))


def _no_weights(url: str, reason: str) -> str:
    return (
        f"{url} could not be used: {reason}. Try again, or fetch the file by other means and set "
        "codec.encodec.checkpoint to its path; codec.name: mel needs no weights"
    )


def load_weights(model: EncodecModel, path: Path) -> None:
    """Put a file of weights into the model; nothing but tensors is read from it.

    Raises:
        CodecError: the file is missing, is no torch file, or belongs to another network.
    """
    if not path.is_file():
        raise CodecError(f"codec.encodec.checkpoint: {path} is missing; give a .th file, or null to download it")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in zip, pickle or tensor reading
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CodecError(f"{path} is not a readable torch file of weights ({reason})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CodecError(f"{path} holds no weights: it is not a dictionary of tensors")
    wanted = model.state_dict()
    reasons = {
        "are missing": [key for key in wanted if key not in state],
        "are unknown": [key for key in state if key not in wanted],
        "have another shape": [key for key in wanted if key in state and wanted[key].shape != state[key].shape],
    }
    found = [f"{len(keys)} tensors {what}, for example {keys[0]}" for what, keys in reasons.items() if keys]
    if found:
        raise CodecError(f"{path} holds weights of another network: {'; '.join(found)}")
    model.load_state_dict(state, strict=True)

