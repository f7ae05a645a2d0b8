"""Convolutional backbones: image float32 (B, size, size, 3) in [0, 1] -> last feature map.

Each takes (size, weights) and returns the input and output tensor of one flat graph, its own scaling included.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from skin_model import efficientnet_lite
from skin_model.errors import ConfigurationError

SCALED = "scaling"  # the layer's name
BESIDE = "beside"  # the layer that puts the feature maps of several networks one behind the other
PARTIAL_MOBILENET_END = "conv_dw_13_relu"  # public weights without the last pointwise block end here

# MobileNetV2's and V3's 0.999 lag thousands of steps behind: validation looks random
_MOMENTUM = 0.9


@dataclass(frozen=True)
class Scaling:
    """From values x in [0, 1] to what a backbone's ImageNet weights expect: x * scale + offset, of RGB or BGR."""

    scale: float | list[float]
    offset: float | list[float]
    bgr: bool = False


# In Keras' EfficientNet the same values come of three layers: TensorFlow issue 49930.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB in [0, 1]
_SYMMETRIC = Scaling(2.0, -1.0)
_STANDARDISED = Scaling([1 / s for s in _DEVIATION], [-m / s for m, s in zip(_MEAN, _DEVIATION, strict=True)])
_CENTRED_BGR = Scaling(255.0, [-103.939, -116.779, -123.68], bgr=True)

# name -> (name in keras.applications or its like, scaling of its ImageNet weights)
APPLICATIONS: dict[str, tuple[str | Callable[..., Any], Scaling]] = {
    "mobilenet": ("MobileNet", _SYMMETRIC),  # Howard et al., 2017
    "mobilenet_v2": ("MobileNetV2", _SYMMETRIC),  # Sandler et al., 2018
    "mobilenet_v3_small": ("MobileNetV3Small", _SYMMETRIC),  # Howard et al., 2019
    "mobilenet_v3_large": ("MobileNetV3Large", _SYMMETRIC),
    "resnet50": ("ResNet50", _CENTRED_BGR),  # He et al., 2016
    "densenet121": ("DenseNet121", _STANDARDISED),  # Huang et al., 2017
    "efficientnet_b0": ("EfficientNetB0", _STANDARDISED),  # Tan and Le, 2019
    "efficientnet_b1": ("EfficientNetB1", _STANDARDISED),
    "efficientnet_b2": ("EfficientNetB2", _STANDARDISED),
    "efficientnet_b3": ("EfficientNetB3", _STANDARDISED),
    "efficientnet_v2_b0": ("EfficientNetV2B0", _STANDARDISED),  # Tan and Le, 2021
    **{
        f"efficientnet_lite{level}": (partial(efficientnet_lite.build, level), Scaling(255 / 128, -127 / 128))
        for level in efficientnet_lite.SCALING
    },
}


def custom_cnn(size: int, weights: str | None) -> tuple[Any, Any]:
    """Four convolution blocks with max-pooling: the plain network people build first for HAM10000."""
    from keras import layers

    inputs = layers.Input((size, size, 3), name="image")
    x = inputs
    for filters in (32, 64, 128, 128):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=_MOMENTUM)(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
    return inputs, x


def vgg_like(size: int, weights: str | None) -> tuple[Any, Any]:
    """Five blocks of paired 3 x 3 convolutions after Simonyan and Zisserman (2015), a quarter of VGG16's width."""
    from keras import layers

    inputs = layers.Input((size, size, 3), name="image")
    x = inputs
    for block, (filters, convolutions) in enumerate(((16, 2), (32, 2), (64, 3), (128, 3), (128, 3))):
        for _ in range(convolutions):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=_MOMENTUM)(x)
            x = layers.ReLU()(x)
        if block < 4:
            x = layers.MaxPooling2D()(x)
    return inputs, layers.MaxPooling2D()(x)


def pretrained(
    name: str, size: int, weights: str | None, inputs: Any = None, scaled_by: str = SCALED
) -> tuple[Any, Any]:
    """A backbone of `keras.applications` behind its own scaling.

    Args:
        name: a key of `APPLICATIONS`.
        size: side of the square input in pixels.
        weights: "imagenet", the path of a weights file of the backbone, or None.
        inputs: the input tensor where there is one already.
        scaled_by: name of the layer that scales.

    Raises:
        ConfigurationError: weights that cannot be had, or do not fit.
    """
    import keras
    from keras import layers

    called, scaling = APPLICATIONS[name]
    application = getattr(keras.applications, called) if isinstance(called, str) else called
    inputs = layers.Input((size, size, 3), name="image") if inputs is None else inputs
    flat = _without_scaling(application, scale(scaling, inputs, scaled_by))
    if weights is not None:
        base = _loaded(application, size, weights, PARTIAL_MOBILENET_END if name == "mobilenet" else None)
        own = [layer for layer in base.layers if not isinstance(layer, layers.Normalization)]
        flat.set_weights([value for layer in own for value in layer.get_weights()])
    for layer in flat.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    return flat.inputs[0], flat.outputs[0]


def fetched(name: str) -> bool:
    """Whether Keras fetches a network's ImageNet weights by its name."""
    return name in APPLICATIONS and isinstance(APPLICATIONS[name][0], str)


def beside(names: Sequence[str], size: int, weights: str | None) -> tuple[Any, Any]:
    """Backbones of `APPLICATIONS` on one input, the channels of their last feature maps one behind the other.

    Raises:
        ConfigurationError: their feature maps differ in size, as they do unless it is a multiple of 32.
    """
    from keras import layers

    inputs = layers.Input((size, size, 3), name="image")
    scaled_by = (SCALED, *(f"{name}_{SCALED}" for name in names[1:]))
    maps = [pretrained(name, size, None, inputs, by)[1] for name, by in zip(names, scaled_by, strict=True)]
    if len({each.shape[1:3] for each in maps}) > 1:
        raise ConfigurationError(
            f"At size {size} the feature maps of {' and '.join(names)} do not fit together; make it a multiple of 32."
        )
    return inputs, layers.Concatenate(name=BESIDE)(maps)


def scale(scaling: Scaling, images: Any, name: str = SCALED) -> Any:
    """Images (B, h, w, 3) in [0, 1] as the weights expect them: values, or the part of a network that makes them."""
    import keras

    ordered = keras.ops.flip(images, axis=-1) if scaling.bgr else images
    return keras.layers.Rescaling(scaling.scale, offset=scaling.offset, name=name)(ordered)


def _without_scaling(application: Any, scaled: Any) -> Any:
    """The backbone on a scaled input, with whatever scaling Keras builds into it left out.

    EfficientNet's cannot be asked to leave it out, and differs by where the weights come from.
    """
    import keras
    from keras import layers

    separable = "include_preprocessing" in inspect.signature(application).parameters
    options = {"include_preprocessing": False} if separable else {}
    model = application(input_tensor=scaled, include_top=False, weights=None, **options)
    if not any(isinstance(layer, layers.Normalization) for layer in model.layers):
        return model

    def clone(layer: Any) -> Any:
        if isinstance(layer, layers.Normalization | layers.Rescaling) and not layer.name.endswith(SCALED):
            return layers.Activation("linear", name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=clone)


def _loaded(application: Any, size: int, weights: str, partial_end: str | None) -> Any:
    """The backbone as Keras builds it, with its weights."""
    named = "imagenet" if weights == "imagenet" else None
    try:
        base = application(input_shape=(size, size, 3), include_top=False, weights=named)
    except Exception as error:  # Keras raises a bare Exception where the download fails
        if named is None:
            raise
        raise ConfigurationError(
            f"The ImageNet weights could not be downloaded ({error}). Give a weights file, or start without weights. "
            "To download them again, first remove what an interrupted download may have left in ~/.keras/models."
        ) from error
    if named is None:
        _load_partly(base, weights, partial_end)
    return base


def _load_partly(base: Any, weights: str, end: str | None) -> None:
    """Load a backbone's weights file, complete or up to the layer `end`."""
    import h5py
    import keras

    check_file(weights)
    target = base
    try:
        if end is not None:
            upto = keras.Model(base.input, base.get_layer(end).output)
            with h5py.File(weights) as file:
                if len(file.get("layers", ())) == len(upto.layers):
                    target = upto
        target.load_weights(weights)
    except (ValueError, OSError, RuntimeError) as error:  # h5py's last one: parts of the file were never written
        raise ConfigurationError(
            f"The weights in {weights} do not fit {base.name}, or are damaged or incomplete: {error}. "
            "Name a file of this network, or download it again."
        ) from error


def check_file(weights: str) -> None:
    """Refuse a weights file that is not there."""
    if not Path(weights).is_file():
        raise ConfigurationError(f"There is no weights file {weights}; give its path, `imagenet`, or leave it out.")
