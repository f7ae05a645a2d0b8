"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation and with ReLU6, so fast on plain processors.

Google, 2020, https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, after Tan and Le (2019).
`keras.applications` has EfficientNet, but no way to leave these out.
"""

import math
from typing import Any

# level -> (width, depth): factors of the channels and of the repeats of all stages but the first and last
SCALING = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
# kernel, repeats, channels, expansion and stride of each stage, before scaling
_STAGES = ((3, 1, 16, 1, 1), (3, 2, 24, 6, 2), (5, 2, 40, 6, 2), (3, 3, 80, 6, 2), (5, 3, 112, 6, 1), (5, 4, 192, 6, 2),
           (3, 1, 320, 6, 1))  # fmt: skip
_DROP = 0.2  # how often training leaves out the last block; earlier ones less often (Huang et al., 2016)


def build(
    level: int, *, input_tensor: Any = None, input_shape: tuple[int, int, int] | None = None, weights: None = None,
    include_top: bool = False,
) -> Any:  # fmt: skip
    """The network up to its last feature map, 1,280 channels at stride 32, called as those of `keras.applications` are.

    Args:
        level: a key of `SCALING`.
        input_tensor: images whose pixels 0 to 255 were scaled to (pixel - 127) / 128; or None, and
        input_shape: of a new input.
        weights: only None: nobody publishes them in Keras' form.
        include_top: only False.

    Returns:
        A `keras.Model` with random weights.

    Raises:
        ValueError: for published weights, or the top.
    """
    import keras

    if weights is not None or include_top:
        raise ValueError("Keras' servers have no weights of EfficientNet-Lite")
    width, depth = SCALING[level]
    inputs = keras.layers.Input(input_shape) if input_tensor is None else input_tensor
    own = f"lite{level}"  # begins every layer's name: two of these may stand in one network
    x = _activated(_convolution(inputs, 32, 3, 2, f"{own}_stem"), f"{own}_stem")
    repeats = [1, *(math.ceil(depth * stage[1]) for stage in _STAGES[1:-1]), 1]
    number = 0
    for (kernel, _, channels, expansion, stride), times in zip(_STAGES, repeats, strict=True):
        for index in range(times):
            drop = _DROP * number / sum(repeats)
            number += 1
            name = f"{own}_block{number}"
            x = _block(x, kernel, _round(width * channels), expansion, 1 if index else stride, drop, name)
    x = _activated(_convolution(x, 1280, 1, 1, f"{own}_top"), f"{own}_top")
    return keras.Model(keras.utils.get_source_inputs(x), x, name=f"efficientnet_lite{level}")


def _round(channels: float) -> int:
    """The nearest multiple of eight, but no more than a tenth below."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _convolution(x: Any, channels: int, kernel: int, stride: int, name: str) -> Any:
    from keras import layers

    x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def _activated(x: Any, name: str) -> Any:
    from keras import layers

    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _block(x: Any, kernel: int, channels: int, expansion: int, stride: int, drop: float, name: str) -> Any:
    """Expand, convolve each channel by itself, project; added to what came in where the shapes agree."""
    from keras import layers

    entered = x
    if expansion > 1:
        x = _activated(_convolution(x, expansion * entered.shape[-1], 1, 1, f"{name}_expand"), f"{name}_expand")
    x = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv")(x)
    x = _activated(layers.BatchNormalization(name=f"{name}_depthwise_bn")(x), f"{name}_depthwise")
    x = _convolution(x, channels, 1, 1, f"{name}_project")
    if entered.shape != x.shape:
        return x
    if drop:
        x = layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
    return layers.Add(name=f"{name}_add")([x, entered])
