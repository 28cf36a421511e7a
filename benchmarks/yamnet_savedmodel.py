"""A SavedModel with the published YAMNet's interface and variables, for checks of its conversion.

    python -m benchmarks.yamnet_savedmodel WEIGHTS FOLDER

WEIGHTS is a file of `counterpoise.embeddings.audioset`. The model is written down once more, in Keras and tf.signal,
so that it shares nothing with our network but the numbers. Layers have the names that they have in tensorflow/models,
research/audioset/yamnet/yamnet.py. Called with a waveform `[samples]` at 16 kHz it gives, for each patch, scores
`[P, 521]` and embeddings `[P, 1024]`, and the log-mel spectrogram `[frames, 64]`.
"""

import sys

import numpy as np
import safetensors.numpy
import tensorflow as tf
import tf_keras
from tf_keras import layers

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)  # of the depthwise convolutions
WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


def network() -> tf_keras.Model:
    """Patches `[P, 96, 64]` to scores and embeddings, with the published layers' names."""

    def normalised(inputs: tf.Tensor, layer: layers.Layer) -> tf.Tensor:
        normalisation = layers.BatchNormalization(epsilon=1e-4, scale=False, name=f"{layer.name}/bn")
        return layers.ReLU()(normalisation(layer(inputs)))

    patches = layers.Input((96, 64))
    maps = layers.Reshape((96, 64, 1))(patches)
    shape = {"padding": "same", "use_bias": False}
    maps = normalised(maps, layers.Conv2D(32, 3, 2, name="layer1/conv", **shape))
    for number, (width, stride) in enumerate(zip(WIDTHS, STRIDES), start=2):
        maps = normalised(maps, layers.DepthwiseConv2D(3, stride, name=f"layer{number}/depthwise_conv", **shape))
        maps = normalised(maps, layers.Conv2D(width, 1, name=f"layer{number}/pointwise_conv", **shape))
    embeddings = layers.GlobalAveragePooling2D()(maps)
    scores = layers.Dense(521, activation="sigmoid")(embeddings)
    return tf_keras.Model(patches, [scores, embeddings], name="yamnet_frames")


class Published(tf.Module):
    """Waveform in; scores, embeddings and spectrogram out."""

    def __init__(self, core: tf_keras.Model) -> None:
        super().__init__()
        self._yamnet = core

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, waveform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        missing = tf.maximum(15600 - tf.size(waveform), 0)
        after = tf.maximum(tf.size(waveform) - 15600, 0)
        waveform = tf.pad(waveform, [[0, missing + tf.math.floormod(-after, 7680)]])
        magnitudes = tf.abs(tf.signal.stft(waveform, frame_length=400, frame_step=160, fft_length=512))
        bands = tf.signal.linear_to_mel_weight_matrix(64, 257, 16000, 125.0, 7500.0)
        log_mel = tf.math.log(tf.matmul(magnitudes, bands) + 0.001)
        scores, embeddings = self._yamnet(tf.signal.frame(log_mel, 96, 48, axis=0), training=False)
        return scores, embeddings, log_mel


def give_weights(core: tf_keras.Model, tensors: dict[str, np.ndarray]) -> None:
    """Set every variable from our network's state."""
    number = 0
    for layer in core.layers:
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            kernel = tensors[f"maps.{number}.weight"]
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            layer.set_weights([kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))])
        elif isinstance(layer, layers.BatchNormalization):
            kinds = ("bias", "running_mean", "running_var")
            layer.set_weights([tensors[f"maps.{number + 1}.{kind}"] for kind in kinds])
            number += 3
        elif isinstance(layer, layers.Dense):
            layer.set_weights([tensors["head.weight"].T, tensors["head.bias"]])


def main(weights: str, folder: str) -> None:
    core = network()
    give_weights(core, safetensors.numpy.load_file(weights))
    tf.saved_model.save(Published(core), folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
