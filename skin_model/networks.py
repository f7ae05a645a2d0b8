"""Name -> build function: the networks that can be trained.

Every network takes float32 images (B, size, size, 3) in [0, 1], does its own scaling, and keeps one shape that serving
and explanation rely on: ... -> layer `features` (B, h, w, C) -> head (pooling or flattening, dense layers) -> `output`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from skin_model.errors import ConfigurationError
from skin_model.taxonomy import DIAGNOSES

PARTIAL_MOBILENET_END = "conv_dw_13_relu"  # public weights without the last pointwise block end here


def _custom_cnn(size: int, weights: str | None) -> tuple[Any, Any]:
    """Four convolution blocks with max-pooling: the plain network people build first for HAM10000."""
    from keras import layers

    inputs = layers.Input((size, size, 3), name="image")
    x = inputs
    for filters in (32, 64, 128, 128):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
    return inputs, x


def _vgg_like(size: int, weights: str | None) -> tuple[Any, Any]:
    """Five blocks of paired 3 x 3 convolutions after Simonyan and Zisserman (2015), a quarter of VGG16's width."""
    from keras import layers

    inputs = layers.Input((size, size, 3), name="image")
    x = inputs
    for block, (filters, convolutions) in enumerate(((16, 2), (32, 2), (64, 3), (128, 3), (128, 3))):
        for _ in range(convolutions):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.ReLU()(x)
        if block < 4:
            x = layers.MaxPooling2D()(x)
    return inputs, layers.MaxPooling2D()(x)


def _mobilenet(size: int, weights: str | None) -> tuple[Any, Any]:
    """MobileNet v1 (Howard et al., 2017)."""
    import keras

    return _pretrained(keras.applications.MobileNet, size, weights, partial_end=PARTIAL_MOBILENET_END)


def _mobilenet_v2(size: int, weights: str | None) -> tuple[Any, Any]:
    """MobileNetV2 (Sandler et al., 2018)."""
    import keras

    return _pretrained(keras.applications.MobileNetV2, size, weights)


Backbone = Callable[[int, str | None], tuple[Any, Any]]

# name -> (backbone, units of the hidden dense layer or None for global average pooling and one dense layer)
NETWORKS: dict[str, tuple[Backbone, int | None]] = {
    "custom_cnn": (_custom_cnn, 128),
    "vgg_like": (_vgg_like, 256),
    "mobilenet": (_mobilenet, None),
    "mobilenet_v2": (_mobilenet_v2, None),
}
PRETRAINED = ("mobilenet", "mobilenet_v2")


def build(
    name: str,
    *,
    size: int,
    task: str = "diagnosis",
    weights: str | None = None,
    dropout: float = 0.2,
    frozen: float = 0.0,
) -> Any:
    """Build one network.

    Args:
        name: a key of `NETWORKS`.
        size: side of the square input in pixels.
        task: "diagnosis" (softmax over the seven classes) or "binary" (one sigmoid: malignant).
        weights: "imagenet", the path of a weights file (backbone only, or a `.keras` file of the same network from an
            earlier training), or None for random weights.
        dropout: rate before the last dense layer.
        frozen: share of the backbone's layers, from the input on, that keep their starting weights; batch normalisation
            there uses its stored statistics.

    Returns:
        An uncompiled `keras.Model` with input `image` and layers `features` and `output`.

    Raises:
        ConfigurationError: for an unknown name, or weights that do not fit the network.
    """
    if name not in NETWORKS:
        raise ConfigurationError(f"There is no network {name!r}; choose one of {', '.join(NETWORKS)}.")
    own = weights is not None and weights.endswith(".keras")
    if weights is not None and not own and name not in PRETRAINED:
        raise ConfigurationError(
            f"{name} starts from random weights or from the best.keras of another run, not from {weights}; "
            "leave --weights out."
        )
    import keras
    from keras import layers

    backbone, hidden = NETWORKS[name]
    inputs, x = backbone(size, None if own else weights)
    x = layers.Activation("linear", name="features")(x)  # (B, h, w, C)
    if hidden is None:
        x = layers.GlobalAveragePooling2D(name="pooling")(x)
    else:
        x = layers.Flatten(name="flattening")(x)
        x = layers.Dropout(dropout)(x)
        x = layers.Dense(hidden, activation="relu", name="hidden")(x)
    x = layers.Dropout(dropout)(x)
    units, activation = (len(DIAGNOSES), "softmax") if task == "diagnosis" else (1, "sigmoid")
    outputs = layers.Dense(units, activation=activation, name="output", dtype="float32")(x)
    model = keras.Model(inputs, outputs, name=name)
    if own:
        _load_whole(model, str(weights))
    backbone_layers = model.layers[: model.layers.index(model.get_layer("features"))]
    for layer in backbone_layers[: round(frozen * len(backbone_layers))]:
        layer.trainable = False
    return model


def _pretrained(application: Any, size: int, weights: str | None, partial_end: str | None = None) -> tuple[Any, Any]:
    """A backbone of `keras.applications` behind its own scaling, x * 2 - 1, as one flat graph."""
    import keras
    from keras import layers

    named = "imagenet" if weights == "imagenet" else None
    try:
        base = application(input_shape=(size, size, 3), include_top=False, weights=named)
    except Exception as error:  # Keras raises a bare Exception where the download fails
        if named is None:
            raise
        raise ConfigurationError(
            f"The ImageNet weights could not be downloaded ({error}). Give a weights file, or start without weights."
        ) from error
    if weights and weights != "imagenet":
        _load_partly(base, weights, partial_end)
    inputs = layers.Input((size, size, 3), name="image")
    scaled = layers.Rescaling(2.0, offset=-1.0, name="scaling")(inputs)
    flat = application(input_tensor=scaled, include_top=False, weights=None)
    flat.set_weights(base.get_weights())
    for layer in flat.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # MobileNetV2's 0.999 lags thousands of steps behind: validation looks random
    return inputs, flat.output


def _load_partly(base: Any, weights: str, end: str | None) -> None:
    """Load a backbone's weights file, complete or up to the layer `end`."""
    import h5py
    import keras

    _check_file(weights)
    target = base
    try:
        if end is not None:
            upto = keras.Model(base.input, base.get_layer(end).output)
            with h5py.File(weights) as file:
                if len(file.get("layers", ())) == len(upto.layers):
                    target = upto
        target.load_weights(weights)
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"The weights in {weights} do not fit {base.name}: {error}") from error


def _load_whole(model: Any, weights: str) -> None:
    _check_file(weights)
    try:
        model.load_weights(weights)
    except (ValueError, OSError, KeyError, BadZipFile) as error:
        raise ConfigurationError(
            f"The weights in {weights} do not fit {model.name} at this task: {error}. "
            "Name a file trained with the same network."
        ) from error


def _check_file(weights: str) -> None:
    if not Path(weights).is_file():
        raise ConfigurationError(f"There is no weights file {weights}; give its path, `imagenet`, or leave it out.")
