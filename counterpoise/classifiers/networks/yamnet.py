"""YAMNet as a classifier of the collection's own classes."""

import math

from torch import Tensor

from counterpoise.core.audio import Audio
from counterpoise.embeddings import yamnet
from counterpoise.embeddings.settings import Features


class YAMNet(yamnet.YAMNet):
    """See :class:`counterpoise.classifiers.networks.network.Network`. A clip's score is the mean over its patches.

    A body that starts from AudioSet keeps AudioSet's batch statistics while it is fine-tuned, and learns the kernels
    and offsets round them. Small batches of single patches would estimate them badly, the arms' class proportions
    would get into them, and converted .tflite weights, whose statistics are folded into the kernels, need them as they
    are.

    Args:
        classes: how many.
        audio: the form of the waves.
        features: unused; the patches have YAMNet's own form.
    """

    takes = "patches"

    def __init__(self, classes: int, audio: Audio, features: Features, pretrained: bool, frozen: bool) -> None:
        super().__init__(classes, audio.sample_rate)
        self.pretrained = pretrained
        self.frozen = pretrained and frozen
        if self.frozen:
            self.maps.requires_grad_(False)

    def train(self, mode: bool = True) -> "YAMNet":
        """As of any module, but AudioSet's batch statistics stay as they are."""
        super().train(mode)
        if self.pretrained:
            self.maps.eval()
        return self

    def classify(self, inputs: Tensor) -> Tensor:
        """Patches `[B, P, 96, 64]` to log-probabilities `[B, classes]`."""
        return self.read_out(self.embed(inputs))

    def read_out(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, P, 1024]` to log-probabilities `[B, classes]`: the mean of the patches' probabilities."""
        log_probabilities = self.head(embeddings).float().log_softmax(dim=-1)  # [B, P, classes]
        return log_probabilities.logsumexp(dim=1) - math.log(log_probabilities.shape[1])

    def forward(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to log-probabilities `[B, classes]`; every patch counts."""
        return self.classify(self.frontend(wave))
