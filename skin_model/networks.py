"""Name -> build function: the networks that can be trained.

Every network takes float32 images (B, size, size, 3) in [0, 1], does its own scaling, and keeps one shape that serving
and explanation rely on: ... -> layer `features` (B, h, w, C) -> head (pooling or flattening, dense layers) -> `output`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from zipfile import BadZipFile

from skin_model import backbones
from skin_model.errors import ConfigurationError
from skin_model.taxonomy import DIAGNOSES

Backbone = Callable[[int, str | None], tuple[Any, Any]]

PRETRAINED = tuple(backbones.APPLICATIONS)
# name -> (backbone, units of the hidden dense layer or None for global average pooling and one dense layer)
NETWORKS: dict[str, tuple[Backbone, int | None]] = {
    "custom_cnn": (backbones.custom_cnn, 128),
    "vgg_like": (backbones.vgg_like, 256),
    **{name: (partial(backbones.pretrained, name), None) for name in PRETRAINED},
}


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


def _load_whole(model: Any, weights: str) -> None:
    backbones.check_file(weights)
    try:
        model.load_weights(weights)
    except (ValueError, OSError, KeyError, BadZipFile) as error:
        raise ConfigurationError(
            f"The weights in {weights} do not fit {model.name} at this task, or are damaged or incomplete: {error}. "
            "Name a file trained with the same network, or copy it again."
        ) from error
