"""Single sounds: how near a decoded one is to the original, and whether a generated one can be used."""

import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import melscale_fbanks

WINDOWS = (512, 1024, 2048)  # samples; each spectrogram has a hop of a quarter and a mel band for every 16 samples
FLOOR = 1e-4  # amplitude, -80 dBFS; quieter parts of a spectrogram count as equal
SILENT_DBFS = -70.0  # RMS; field recordings of quiet things reach -66
FULL_SCALE = 0.999  # |sample| from which it counts as clipped
CLIPPED_SHARE = 0.01  # of samples


def round_trip(original: Tensor, decoded: Tensor, sample_rate: int) -> dict[str, np.ndarray]:
    """Measures of `decoded` against `original`, both `[B, channels, n]`; each is `[B]`, finite, a mean over channels.

    - `si_sdr_db`: scale-invariant signal-to-distortion ratio (Le Roux et al., "SDR - half-baked or well done?", 2019),
      at most 100 dB. It compares waveforms, so it says nothing of a codec that invents phases, such as mel.
    - `log_mel_db`: mean absolute difference of log-mel spectrograms, over three resolutions; 0 is perfect.
    - `spectral_convergence`: relative Frobenius distance of magnitude spectrograms (Arık et al., "Fast Spectrogram
      Inversion using Multi-head Convolutional Neural Networks", 2018), over three resolutions; 0 is perfect.
    - `level_db`: RMS of the decoded sound over that of the original; 0 is perfect, negative is too quiet.

    Raises:
        ValueError: the shapes differ or are not `[B, channels, n]`.
    """
    if original.shape != decoded.shape or original.ndim != 3:
        raise ValueError(
            f"original {list(original.shape)} and decoded {list(decoded.shape)} must both be [batch, channels, samples]"
        )
    x, y = original.detach().cpu().float(), decoded.detach().cpu().float()
    mel, convergence = zip(*(_spectral_distances(x, y, window, sample_rate) for window in WINDOWS))
    measures = {
        "si_sdr_db": _si_sdr_db(x.double(), y.double()).mean(1),
        "log_mel_db": torch.stack(mel).mean(0).mean(1),
        "spectral_convergence": torch.stack(convergence).mean(0).mean(1),
        "level_db": _rms_dbfs(y) - _rms_dbfs(x),
    }
    return {name: values.double().numpy() for name, values in measures.items()}


def is_silent(wave: Tensor, threshold_dbfs: float = SILENT_DBFS) -> np.ndarray:
    """Whether each of `[B, channels, n]` has an RMS below the threshold, in dB relative to an RMS of 1."""
    return (_rms_dbfs(wave.detach().cpu().float()) < threshold_dbfs).numpy()


def is_clipped(wave: Tensor, share: float = CLIPPED_SHARE) -> np.ndarray:
    """Whether more than this share of the samples of each of `[B, channels, n]` is at or beyond full scale."""
    beyond = wave.detach().cpu().abs() >= FULL_SCALE
    return (beyond.float().mean(dim=(1, 2)) > share).numpy()


def share_above(wave: np.ndarray, sample_rate: int, hertz: float) -> float:
    """The share of the energy of `[channels, n]` that lies above a frequency, 0 to 1; 0 of silence."""
    power = np.square(np.abs(np.fft.rfft(wave, axis=1))).sum(axis=0)
    total = power.sum()
    above = np.fft.rfftfreq(wave.shape[1], 1 / sample_rate) > hertz
    return float(power[above].sum() / total) if total > 0 else 0.0


def share_between_channels(wave: np.ndarray) -> float:
    """The share of the energy of `[channels, n]` that goes when its channels are mixed, 0 to 1; 0 of silence."""
    total = float(np.square(wave, dtype=np.float64).sum())
    mixed = len(wave) * float(np.square(wave.mean(axis=0), dtype=np.float64).sum())
    return max(0.0, 1 - mixed / total) if total > 0 else 0.0


def _si_sdr_db(x: Tensor, y: Tensor) -> Tensor:
    """`[B, channels]`; 0 where both are silent."""
    energy = x.square().sum(2)
    target = ((x * y).sum(2) / energy.clamp(min=1e-12))[..., None] * x
    signal, distortion = target.square().sum(2), (y - target).square().sum(2)
    return 10 * torch.log10((signal + 1e-12) / (distortion + 1e-10 * signal + 1e-12))


def _spectral_distances(x: Tensor, y: Tensor, window: int, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Log-mel distance in dB and spectral convergence, each `[B, channels]`, at one resolution."""
    filters = melscale_fbanks(window // 2 + 1, 0.0, sample_rate / 2, window // 16, sample_rate, mel_scale="slaney")
    spectra = [_amplitudes(wave, window) for wave in (x, y)]
    mel_x, mel_y = (20 * torch.log10((filters.T @ s).clamp(min=FLOOR)) for s in spectra)
    difference = torch.linalg.matrix_norm(spectra[0] - spectra[1])
    return (mel_x - mel_y).abs().mean((2, 3)), difference / torch.linalg.matrix_norm(spectra[0]).clamp(min=FLOOR)


def _amplitudes(wave: Tensor, window: int) -> Tensor:
    """`[B, channels, n]` to a spectrogram `[B, channels, bins, frames]` in which a full-scale sine peaks at 1."""
    hann, hop = torch.hann_window(window), window // 4
    spectrum = torch.stft(wave.flatten(0, 1), window, hop, window=hann, pad_mode="constant", return_complex=True)
    return (spectrum.abs() * 2 / hann.sum()).unflatten(0, wave.shape[:2])


def _rms_dbfs(wave: Tensor) -> Tensor:
    """`[B]`, over channels and samples, at least -100 dB."""
    return 20 * torch.log10(wave.square().mean(dim=(1, 2)).sqrt().clamp(min=1e-5))
