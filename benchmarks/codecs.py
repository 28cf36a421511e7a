"""How fast the codecs are, in times real time, and how much memory they need.

    python -m benchmarks.codecs [mel encodec_24khz encodec_48khz] [--threads N] [--minutes M]

First come the operations that one second of sound takes, as torch counts them: of convolutions, and not of the
recurrent layer. Then batches of 1 and 16 clips of 4 s, and one sound of M minutes (60; 0 leaves it out). Each
codec has a process of its own, whose highest resident memory so far stands at the end of each line. Settings are those
of params.yaml. EnCodec's weights are random: they do not change the speed.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from counterpoise import codecs
from counterpoise.codecs import encodec
from counterpoise.codecs.codec import Codec
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core.settings import File

CLIP_SECONDS = 4


class Params(File):
    codec: CodecSettings


def build(name: str) -> Codec:
    """The codec with the settings of params.yaml, EnCodec with random weights."""
    settings = Params.read().codec
    with tempfile.TemporaryDirectory() as folder:
        random = str(Path(folder) / "random.th")
        if name in encodec.ARCHITECTURES:
            torch.save(encodec.ARCHITECTURES[name](pretrained=False).state_dict(), random)
        own = settings.encodec.model_copy(update={"checkpoint": random})
        return codecs.build(settings.model_copy(update={"name": name, "encodec": own}), torch.device("cpu"))


def timed(function: Callable[[Tensor], Tensor], argument: Tensor, seconds: float) -> tuple[Tensor, float]:
    """The result, and how much faster than real time it came."""
    start = time.perf_counter()
    result = function(argument)
    return result, seconds / (time.perf_counter() - start)


def operations(function: Callable[[Tensor], Tensor], argument: Tensor) -> int:
    """Floating-point operations of matrix products and convolutions. Torch does not count a recurrent layer."""
    with FlopCounterMode(display=False) as counter:
        function(argument)
    return counter.get_total_flops()


def measure(name: str, threads: int, minutes: float) -> None:
    """Print one line for each size of input."""
    torch.set_num_threads(threads)
    codec = build(name)
    wave = torch.zeros(1, codec.channels, 4 * codec.sample_rate)
    counted = [operations(codec.encode, wave), operations(codec.decode, codec.encode(wave))]
    print(f"{name:14} encoding {counted[0] / 4e9:.2f}, decoding {counted[1] / 4e9:.2f} GFLOP for a second", flush=True)
    for batch, seconds in ((1, CLIP_SECONDS), (16, CLIP_SECONDS), (1, 60 * minutes)):
        if not seconds:
            continue
        codec.decode(codec.encode(torch.randn(1, codec.channels, codec.sample_rate)))  # warm up
        wave = torch.empty(batch, codec.channels, int(seconds * codec.sample_rate)).normal_(std=0.1)
        latents, encoded = timed(codec.encode, wave, batch * seconds)
        after_encoding = memory()
        _, decoded = timed(codec.decode, latents, batch * seconds)
        print(
            f"{name:14}{batch:6}{seconds:8g}{encoded:10.1f}{decoded:10.1f}{after_encoding:12.0f}{memory():12.0f}",
            flush=True,
        )


def memory() -> float:
    """Highest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(codecs.CODECS), metavar="codec", help=", ".join(codecs.CODECS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(codecs.CODECS):
        parser.error(f"there is no codec {', '.join(sorted(unknown))}; choose from {', '.join(codecs.CODECS)}")
    print(f"{arguments.threads} threads, CPU; EnCodec with random weights; MiB: peak after encoding, after decoding")
    print(f"{'codec':14}{'clips':>6}{'seconds':>8}{'encode x':>10}{'decode x':>10}{'MiB, enc.':>12}{'MiB, dec.':>12}")
    for name in arguments.names:
        process = get_context("spawn").Process(target=measure, args=(name, arguments.threads, arguments.minutes))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{name}: the process ended with {process.exitcode}")


if __name__ == "__main__":
    main()
