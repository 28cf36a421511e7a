"""Log-mel latents: a codec without weights.

Encoding is a log-mel spectrogram. Decoding undoes the mel filters by non-negative least squares, with the
multiplicative updates of Lee & Seung, "Algorithms for Non-negative Matrix Factorization" (NIPS 2000), theorem 1, and
finds phases by Perraudin, Balazs & Søndergaard, "A fast Griffin-Lim algorithm" (WASPAA 2013).
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchaudio.functional import melscale_fbanks

from counterpoise.codecs.codec import CodecError, check_shape
from counterpoise.codecs.settings import CodecSettings, MelSettings

FLOOR = 1e-5  # of a band's amplitude; a full-scale sine reads about 1, so this is about -100 dBFS
MOMENTUM = 0.99  # alpha of Perraudin et al.; values above 1 do not always converge
PHASE_SEED = 0


class MelCodec:
    """See :class:`counterpoise.codecs.codec.Codec`. Mono; C is the number of mel bands.

    Frame t is centred on the middle of its own `hop` samples, so `T * hop` samples have exactly T frames.

    Raises:
        CodecError: the settings contradict each other.
    """

    picture = True
    name = "mel"
    channels = 1

    def __init__(self, name: str, codec: CodecSettings, device: torch.device) -> None:
        settings = codec.mel
        if not 2 * settings.hop <= settings.window <= settings.n_fft:
            raise CodecError(
                "codec.mel needs 2 * hop <= window <= n_fft; given: "
                f"{2 * settings.hop}, {settings.window}, {settings.n_fft}"
            )
        if not settings.f_min < settings.f_max <= settings.sample_rate / 2:
            raise CodecError(
                f"codec.mel needs f_min < f_max <= sample_rate / 2; given: {settings.f_min}, {settings.f_max}, "
                f"{settings.sample_rate / 2}"
            )
        self.sample_rate, self.latent_channels, self.hop = settings.sample_rate, settings.bands, settings.hop
        self.highest = settings.f_max
        self._settings, self._device = settings, device
        self._window = torch.hann_window(settings.window, device=device)
        self._filters = mel_filters(settings, device)
        self._inverse = torch.linalg.pinv(self._filters)

    @torch.no_grad()
    def encode(self, wave: Tensor) -> Tensor:
        """`[B, 1, samples]` to the natural logarithm of mel amplitudes `[B, bands, ceil(samples / hop)]`.

        Raises:
            CodecError: the wave is not mono or is empty.
        """
        check_shape("wave", wave, self.channels)
        wave = wave[:, 0].to(self._device, torch.float32)
        frames = math.ceil(wave.shape[1] / self.hop)
        left = self.hop // 2
        wave = pad(wave, (left, frames * self.hop - wave.shape[1] + self.hop - left))
        # The first and the last frame are centred outside of the clip.
        magnitudes = self._stft(wave).abs()[:, :, 1:-1]
        return (self._filters @ magnitudes + FLOOR).log()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """`[B, bands, T]` to `[B, 1, T * hop]`; the same latents always give the same wave.

        Clips are decoded one by one. Phase retrieval multiplies rounding errors, and those of a batched FFT depend on
        the batch; on a CPU this is also faster, since a clip fits into the cache.

        Raises:
            CodecError: the latents have another number of channels or no frames.
        """
        check_shape("latents", latents, self.latent_channels)
        return torch.stack([self._decode_one(latent) for latent in latents.to(self._device, torch.float32)])

    def _decode_one(self, latent: Tensor) -> Tensor:
        mel = (latent.exp() - FLOOR).clamp(min=0)
        magnitudes = undo_mel(mel, self._filters, self._inverse, self._settings.nnls_steps)
        # One more frame at either end, as in `encode`: the clip's own frames then overlap fully everywhere.
        magnitudes = pad(magnitudes, (1, 1), mode="replicate")
        left, samples = self.hop // 2, latent.shape[1] * self.hop
        return self._griffin_lim(magnitudes)[None, left : left + samples]

    def _griffin_lim(self, magnitudes: Tensor) -> Tensor:
        """A wave `[(T - 1) * hop]` whose STFT has nearly these magnitudes `[bins, T]`."""
        generator = torch.Generator().manual_seed(PHASE_SEED)
        angles = 2 * math.pi * torch.rand(magnitudes.shape, generator=generator).to(magnitudes)
        spectrum = torch.polar(magnitudes, angles)
        previous = torch.zeros_like(spectrum)
        for _ in range(self._settings.griffin_lim_steps):
            consistent = self._stft(self._istft(spectrum))
            accelerated = consistent + MOMENTUM * (consistent - previous)
            power = accelerated.real.square() + accelerated.imag.square()  # .abs() takes twice as long
            spectrum = accelerated * (magnitudes * power.clamp(min=1e-24).rsqrt())
            previous = consistent
        return self._istft(spectrum)

    def _stft(self, wave: Tensor) -> Tensor:
        """`[..., (T - 1) * hop]` to complex `[..., bins, T]`."""
        s = self._settings
        return torch.stft(
            wave, s.n_fft, s.hop, s.window, self._window, center=True, pad_mode="constant", return_complex=True
        )

    def _istft(self, spectrum: Tensor) -> Tensor:
        s = self._settings
        return torch.istft(spectrum, s.n_fft, s.hop, s.window, self._window, center=True)


def undo_mel(mel: Tensor, filters: Tensor, inverse: Tensor, steps: int) -> Tensor:
    """Magnitudes x whose mel spectrum `filters @ x` is near to `mel`: Lee & Seung's updates of a first guess.

    Args:
        mel: amplitudes `[bands, T]`, 0 or more.
        filters: `[bands, bins]`, 0 or more, as :func:`mel_filters` makes them.
        inverse: their pseudo-inverse `[bins, bands]`, which makes the first guess.
        steps: how many updates; each brings x nearer.

    Returns:
        x `[bins, T]`, 0 or more.
    """
    x = (inverse @ mel).clamp(min=FLOOR)  # the update cannot leave zero
    target = filters.T @ mel
    for _ in range(steps):
        x = x * target / (filters.T @ (filters @ x)).clamp(min=1e-12)
    return x


def mel_filters(settings: MelSettings, device: torch.device) -> Tensor:
    """Triangular filters `[bands, bins]` on Slaney's scale, which is linear below 1 kHz and so leaves no band empty.

    Raises:
        CodecError: a band holds no bin of the spectrum.
    """
    s = settings
    filters = melscale_fbanks(s.n_fft // 2 + 1, s.f_min, s.f_max, s.bands, s.sample_rate, mel_scale="slaney")
    empty = int((filters.sum(0) == 0).sum())
    if empty:
        raise CodecError(
            f"codec.mel has {empty} of {settings.bands} bands without any bin of its {settings.n_fft}-point spectrum; "
            "lower codec.mel.bands or raise codec.mel.n_fft"
        )
    # The STFT of a sine of amplitude 1 peaks at half the sum of its Hann window, which is window / 4.
    return (4 / settings.window) * filters.T.contiguous().to(device)
