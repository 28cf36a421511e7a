"""A stand-in for EnCodec's weights, where these cannot be fetched: a narrow EnCodec, trained on the clips of one fold.

    python -m benchmarks.stand_in FOLDER OUT.th [--fold 1] [--filters 8] [--steps 20000] [--batch 8] [--seconds 1]

FOLDER has the layout of UrbanSound8K. The network is the package `encodec`'s own for 24 kHz, with fewer filters, so it
has the interface and the latents of the official one: 128 channels without an order, 75 frames a second, before the
quantiser. The quantiser is not trained. The loss is that of Défossez et al. 2022, section 3.4, without discriminator
and commitment: 0.1 of the waveform's mean absolute error, and of log-mel spectrograms in windows of 2^6 to 2^11
samples the mean absolute error and the root of the mean squared error.

OUT.th holds weights that `codec.encodec.checkpoint` reads. It is written every 500 steps, beside OUT.state.pt, from
which an interrupted training goes on. A line every 500 steps: the loss, then on clips of the same fold's last
recordings, which are not trained on, SI-SDR in dB and the distance of log-mel spectrograms in dB.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from encodec.model import EncodecModel
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

from benchmarks import inputs
from counterpoise.codecs import encodec
from counterpoise.core import audio
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.metrics import signal

RATE = 24000
WINDOWS = [2**power for power in range(6, 12)]
WAVE = 0.1  # weight of the waveform's error
HELD_OUT = 40  # clips of the last recordings
EVERY = 500  # steps
WARMUP = 500
QUIET = 1e-4  # added to mel magnitudes, so that silence does not count for more than sound


class Spectra(nn.Module):
    """How far two sounds' log-mel spectrograms are apart, in several windows."""

    def __init__(self) -> None:
        super().__init__()
        self.mels = nn.ModuleList(
            MelSpectrogram(RATE, window, hop_length=window // 4, n_mels=min(64, window // 8), power=1)
            for window in WINDOWS
        )

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """`[B, 1, samples]`, twice, to a scalar."""
        total = made.new_zeros(())
        for mel in self.mels:
            one, other = ((mel(wave) + QUIET).log() for wave in (made, real))
            total = total + (one - other).abs().mean() + (one - other).square().mean(dim=(1, 2, 3)).sqrt().mean()
        return total / len(self.mels)


def crops(waves: list[np.ndarray], count: int, samples: int, generator: torch.Generator) -> Tensor:
    """Random crops of random clips, at random gains of up to 6 dB either way: `[count, 1, samples]`."""
    drawn = torch.rand(3, count, generator=generator).tolist()
    found = []
    for of_clips, place, gain in zip(*drawn):
        whole = waves[int(of_clips * len(waves))]
        start = int(place * max(1, whole.shape[1] - samples + 1))
        wave = audio.fit(whole[:, start : start + samples], samples)
        found.append(torch.from_numpy(wave) * 10 ** ((12 * gain - 6) / 20))
    return torch.stack(found)


@torch.no_grad()
def look(model: EncodecModel, waves: list[np.ndarray]) -> tuple[float, float]:
    """Median SNR and log-mel distance of round trips, in dB."""
    snr, distance = [], []
    for wave in waves:
        whole = torch.from_numpy(audio.fit(wave, -(-wave.shape[1] // 320) * 320))[None]
        found = signal.round_trip(whole, model.decoder(model.encoder(whole))[..., : whole.shape[2]], RATE)
        snr.append(found["si_sdr_db"][0])
        distance.append(found["log_mel_db"][0])
    return float(np.median(snr)), float(np.median(distance))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fold", type=int, default=1)
    parser.add_argument("--filters", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a crop")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end after so long; the next call goes on")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(0)

    clips, _ = inputs.clips(options.folder, [options.fold])
    clips = clips.sort_values("source_id", kind="stable")
    waves = [audio.read(path, RATE, 1) for path in clips.path]
    learned, held_out = waves[:-HELD_OUT], waves[-HELD_OUT:]
    print(f"{len(learned)} clips, {sum(wave.shape[1] for wave in learned) / RATE / 60:.1f} minutes", flush=True)

    model = encodec.network("encodec_24khz", options.filters)
    trained = [*model.encoder.parameters(), *model.decoder.parameters()]
    optimiser = torch.optim.Adam(trained, lr=1e-3, betas=(0.5, 0.9))
    schedule = get_cosine_schedule_with_warmup(optimiser, WARMUP, options.steps)
    spectra, generator = Spectra(), torch.Generator().manual_seed(0)
    checkpoint, step, recent = Checkpoint(options.out.with_suffix(".state.pt")), 0, []
    if state := checkpoint.load():
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"])
        step = state["step"]
    begun = time.monotonic()
    model.train()
    while step < options.steps and time.monotonic() - begun < 60 * options.minutes:
        real = crops(learned, options.batch, round(options.seconds * RATE), generator)
        made = model.decoder(model.encoder(real))[..., : real.shape[2]]
        loss = WAVE * (made - real).abs().mean() / real.abs().mean().clamp(min=1e-3) + spectra(made, real)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        step += 1
        recent.append(loss.item())
        if step % EVERY == 0 or step == options.steps:
            model.eval()
            snr, distance = look(model, held_out)
            model.train()
            minutes = (time.monotonic() - begun) / 60
            print(
                f"{step:6}  loss {np.mean(recent):.3f}  SI-SDR {snr:5.2f}  mel {distance:5.2f} dB  {minutes:.0f} min",
                flush=True,
            )
            recent = []
            parts = {"model": model, "optimiser": optimiser, "schedule": schedule}
            checkpoint.save(
                {name: part.state_dict() for name, part in parts.items()}
                | {"generator": generator.get_state(), "step": step}
            )
            torch.save(model.state_dict(), options.out)


if __name__ == "__main__":
    sys.exit(main())
