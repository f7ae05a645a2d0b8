"""Name -> build function: the networks that can be trained.

Every network takes float32 images (B, size, size, 3) in [0, 1], does its own scaling, and keeps one shape that serving
and explanation rely on: ... -> layer `features` (B, h, w, C) -> head (pooling or flattening, dense layers) -> `output`.
One that also takes the patient (B, width) adds the patient's logits to the picture's: see `patients`.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from zipfile import ZipFile

import numpy as np

from skin_model import backbones, files, patients
from skin_model.errors import ConfigurationError
from skin_model.taxonomy import DIAGNOSES

Backbone = Callable[[int, str | None], tuple[Any, Any]]

_PATIENT_UNITS = 16

PRETRAINED = tuple(backbones.APPLICATIONS)
# name -> several of these side by side, as one network whose logits are the mean of theirs
JOINED = {
    "lite0_mobilenet": ("efficientnet_lite0", "mobilenet"),
    "lite0_mobilenet_lite2": ("efficientnet_lite0", "mobilenet", "efficientnet_lite2"),
}
# name -> (backbone, units of the hidden dense layer or None for global average pooling and one dense layer)
NETWORKS: dict[str, tuple[Backbone, int | None]] = {
    "custom_cnn": (backbones.custom_cnn, 128),
    "vgg_like": (backbones.vgg_like, 256),
    **{name: (partial(backbones.pretrained, name), None) for name in PRETRAINED},
    **{name: (partial(backbones.beside, members), None) for name, members in JOINED.items()},
}


def build(
    name: str,
    *,
    size: int,
    task: str = "diagnosis",
    weights: str | None = None,
    dropout: float = 0.2,
    metadata: Sequence[str] = (),
    linear_head: bool = False,
) -> Any:
    """Build one network.

    Args:
        name: a key of `NETWORKS`.
        size: side of the square input in pixels.
        task: "diagnosis" (softmax over the seven classes) or "binary" (one sigmoid: malignant).
        weights: "imagenet", the path of a weights file (backbone only, or a `.keras` file of the same network from an
            earlier training, with or without patients), or None for random weights.  Of a joined network also the
            `.keras` files of its members, or of networks joined of some of them, commas between them: it then answers
            what all members answer on average.
        dropout: rate before the last dense layer.
        metadata: columns that make the second input, any of `age`, `sex`, `localization`.
        linear_head: keep logits and softmax apart without the second input too: layers `picture_logits` and `output`.

    Returns:
        An uncompiled `keras.Model` with input `image`, or inputs `image` and `patient`, and layers `features` and
        `output`.

    Raises:
        ConfigurationError: for an unknown name, or weights that do not fit the network.
    """
    if name not in NETWORKS:
        raise ConfigurationError(f"There is no network {name!r}; choose one of {', '.join(NETWORKS)}.")
    own = trained_files(weights)
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
    if metadata or linear_head:
        x = layers.Dense(units, name="picture_logits")(x)
        if metadata:
            inputs, x = _with_patient(inputs, x, patients.width(metadata), _PATIENT_UNITS * len(members(name)))
        outputs = layers.Activation(activation, name="output")(x)
    else:
        outputs = layers.Dense(units, activation=activation, name="output", dtype="float32")(x)
    model = keras.Model(inputs, outputs, name=name)
    if len(own) > 1:
        part_of = partial(build, size=size, task=task, metadata=metadata, linear_head=True)
        _load_side_by_side(model, [part_of(_name_in(file), weights=file) for file in own])
    elif own:
        _load_whole(model, str(weights))
    return model


def members(name: str) -> tuple[str, ...]:
    """The networks that stand side by side in a joined one; of another the network itself."""
    return JOINED.get(name, (name,))


def trained_files(weights: str | None) -> list[str]:
    """The `.keras` files that starting weights name; none where they are of another kind."""
    named = (weights or "").split(",")
    return named if all(file.endswith(".keras") for file in named) else []


def _with_patient(image: Any, picture: Any, width: int, units: int) -> tuple[list[Any], Any]:
    """Both inputs, and the sum of the picture's logits and the patient's.

    No biases: an unknown patient, all zero, adds nothing.  It begins at nothing for every patient, too.
    """
    from keras import layers

    patient = layers.Input((width,), name="patient")
    x = layers.Dense(units, activation="relu", use_bias=False, name="patient_hidden")(patient)
    x = layers.Dense(picture.shape[-1], use_bias=False, kernel_initializer="zeros", name="patient_logits")(x)
    return [image, patient], layers.Add(name="logits")([picture, x])


def _has_linear_head(model: Any) -> bool:
    return any(layer.name == "picture_logits" for layer in model.layers)


def last_layer(model: Any) -> Any:
    """The dense layer that gives the picture's logits, with or without the activation that follows them."""
    return model.get_layer("picture_logits" if _has_linear_head(model) else "output")


def widths(model: Any) -> tuple[int, ...] | None:
    """How many values of an embedding each of the networks side by side gives; None for one network alone."""
    if model.name not in JOINED:
        return None
    return tuple(part.shape[-1] for part in model.get_layer(backbones.BESIDE).input)


def centre(model: Any) -> None:
    """Take from the last layer of a softmax network what all classes share: no answer changes by more than rounding.

    The softmax does not see it, but Grad-CAM, which explains a logit for itself, would show it.
    """
    layer = last_layer(model)
    if layer.units > 1:
        layer.set_weights([weights - weights.mean(axis=-1, keepdims=True) for weights in layer.get_weights()])


def _takes_patient(weights: str) -> bool:
    """Whether a `.keras` file's network has the patient's part."""
    with ZipFile(weights) as file:
        return b"patient_logits" in file.read("config.json")


def picture_part(model: Any) -> Any:
    """The network of one input that answers as `model` does for an unknown patient; `model` itself if it is one."""
    import keras

    if not _has_linear_head(model):
        return model
    logits, activation = model.get_layer("picture_logits"), model.get_layer("output").activation
    units = logits.units
    output = keras.layers.Dense(units, activation=activation, name="output")
    single = keras.Model([model.get_layer("image").output], output(logits.input), name=model.name)  # as saved ones are
    output.set_weights(logits.get_weights())
    return single


def _name_in(file: str) -> str:
    """The network that a `.keras` file is of."""
    backbones.check_file(file)
    try:
        with ZipFile(file) as whole:
            name = json.loads(whole.read("config.json"))["config"]["name"]
    except (*files.UNREADABLE, TypeError) as error:
        raise ConfigurationError(f"{file} is damaged or incomplete ({error}). Copy it again.") from error
    return str(name)


def _load_side_by_side(joined: Any, parts: Sequence[Any]) -> None:
    """Give a joined network its parts' weights; its logits, the patient's too, are then the mean of all members'."""
    if sum((members(part.name) for part in parts), ()) != members(joined.name):
        raise ConfigurationError(
            f"{joined.name} is made of {', '.join(members(joined.name))}, in this order; the weights are of "
            f"{', '.join(part.name for part in parts)}."
        )
    head = {"picture_logits", "patient_hidden", "patient_logits"}
    for part in parts:
        for layer in part.layers:
            if layer.weights and layer.name not in head:
                joined.get_layer(layer.name).set_weights(layer.get_weights())
    shares = [len(members(part.name)) / len(members(joined.name)) for part in parts]

    def of_each(name: str, number: int = 0) -> list[np.ndarray]:
        found = [part.get_layer(name).get_weights()[number] for part in parts]
        of_logits = name.endswith("_logits")
        return [share * weights if of_logits else weights for share, weights in zip(shares, found, strict=True)]

    last_layer(joined).set_weights([np.concatenate(of_each("picture_logits")), sum(of_each("picture_logits", 1))])
    if len(joined.inputs) > 1:
        joined.get_layer("patient_hidden").set_weights([np.concatenate(of_each("patient_hidden"), axis=1)])
        joined.get_layer("patient_logits").set_weights([np.concatenate(of_each("patient_logits"))])


def _load_whole(model: Any, weights: str) -> None:
    """Load a `.keras` file of the same network, with or without the patient's part; what the model lacks is left."""
    import keras

    backbones.check_file(weights)
    try:
        if _takes_patient(weights):
            if len(model.inputs) > 1:
                model.load_weights(weights)
                return
            trained = picture_part(keras.saving.load_model(weights, compile=False))
            single = picture_part(model)
            single.set_weights(trained.get_weights())
        else:
            single = picture_part(model)
            single.load_weights(weights)
        if single is not model:
            model.get_layer("picture_logits").set_weights(single.get_layer("output").get_weights())
    except files.UNREADABLE as error:
        raise ConfigurationError(
            f"The weights in {weights} do not fit {model.name} at this task, or are damaged or incomplete: {error}. "
            "Name a file trained with the same network, or copy it again."
        ) from error
