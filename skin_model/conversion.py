"""From a trained `.keras` file to what is served: the same float32 network for OpenVINO, and the head's weights."""

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from skin_model import files, networks
from skin_model.errors import BundleError
from skin_model.explain.activation import Head

TOLERANCE = 1e-4  # largest difference of a probability between Keras and the serving form


def load_keras(path: Path) -> Any:
    """Load a network written by this project's own training; safe mode, and the caller has checked the hash."""
    import keras

    if not zipfile.is_zipfile(path):
        raise BundleError(f"{path} is missing, damaged or incomplete. Copy it again, or train again.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except files.UNREADABLE as error:
        raise BundleError(f"{path.name} cannot be loaded as a Keras network ({error}). Train it again.") from error


def halve(model: Any) -> None:
    """Round a network's kernels to float16, so that no form of it is rounded any further.

    Serving folds each batch normalisation into the convolution before it, which would take kernels that were rounded
    already to values between those of float16.  So the convolution takes over the factor by which the normalisation
    multiplies, up to its sign; in training, which normalises anew, the network behaves much as before.
    """
    from keras import activations, layers

    for norm in (layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)):
        before = norm.input._keras_history.operation
        if isinstance(before, layers.Conv2D | layers.DepthwiseConv2D) and before.activation is activations.linear:
            _hand_over(norm, before)
    for layer in model.layers:
        layer.set_weights([_rounded(weights) if weights.ndim > 1 else weights for weights in layer.get_weights()])


def _hand_over(norm: Any, convolution: Any) -> None:
    """Give a convolution the factor of the batch normalisation behind it; what is added becomes float16 too."""
    from keras import layers

    gamma, beta, mean, variance = norm.get_weights()
    kernel, *bias = convolution.get_weights()
    mean = mean - sum(bias)  # added before the normalisation or taken off its mean, it is the same
    factor = np.maximum(np.abs(gamma), 1.001 * np.sqrt(norm.epsilon))  # else its variance would be below zero
    scale = factor / np.sqrt(variance + norm.epsilon)
    of_kernel = kernel.shape[-2:] if isinstance(convolution, layers.DepthwiseConv2D) else kernel.shape[-1:]
    convolution.set_weights([kernel * scale.reshape(of_kernel), *(np.zeros_like(each) for each in bias)])
    added = _rounded(beta - gamma / factor * mean * scale)
    mean = np.where(np.abs(gamma) < factor, mean * scale, (beta - added) * np.sign(gamma))
    norm.set_weights([gamma, beta, mean, factor**2 - norm.epsilon])


def _rounded(weights: np.ndarray) -> np.ndarray:
    return weights.astype(np.float16).astype(np.float32)


def save(model: Any, path: Path, *, half: bool = False) -> None:
    """Write a network as a `.keras` file; one of `halve` with kernels of two bytes a weight."""
    import h5py

    if not half:
        model.save(path)
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole, small = Path(folder) / "whole.keras", Path(folder) / "small.h5"
        model.save(whole)
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            with (
                old.open("model.weights.h5") as weights,
                h5py.File(weights) as source,
                h5py.File(small, "w", libver="latest") as target,
            ):
                source.visititems(lambda name, item: _copy_halved(name, item, target))
            for name in old.namelist():
                if name == "model.weights.h5":
                    new.write(small, name)
                else:
                    new.writestr(name, old.read(name))


def _copy_halved(name: str, item: Any, target: Any) -> None:
    """One group or data set of a weights file; kernels as float16."""
    import h5py

    if isinstance(item, h5py.Dataset):
        kind = np.float16 if item.ndim > 1 else item.dtype
        copy = target.create_dataset(name, data=item[()].astype(kind))
    else:
        copy = target.require_group(name)
    copy.attrs.update(item.attrs)


def convert(model: Any, folder: Path, *, half: bool = False) -> None:
    """Write `serving.xml`, `serving.bin` and `head.npz`; outputs are probabilities, embedding and last feature map.

    Of a network that also takes the patient this is the picture's part, which answers as for an unknown patient.

    Args:
        model: the Keras network.
        folder: where to.
        half: store weights as float16, which changes nothing in a network of `halve`.

    Raises:
        BundleError: where the libraries cannot convert it, or find no room for their files.
    """
    import keras

    model = networks.picture_part(model)
    output = model.get_layer("output")
    serving = keras.Model(model.inputs, [output.output, output.input, model.get_layer("features").output])
    write_serving(serving, folder, source="network.keras", half=half)
    Head.of(model).save(folder / "head.npz")


def write_serving(serving: Any, folder: Path, *, source: str, half: bool = False) -> None:
    """Write a Keras network as OpenVINO's `serving.xml` and `serving.bin`.

    Args:
        serving: the network with the outputs to be served.
        folder: where to.
        source: what the file is to say that it was made of.
        half: store the weights as float16.

    Raises:
        BundleError: it cannot be converted or written.
    """
    import openvino
    import tensorflow as tf

    try:
        with tempfile.TemporaryDirectory(dir=folder) as saved:
            serving.export(saved, verbose=False)
            converted = openvino.convert_model(saved)
        # else the temporary folder's name stays in the file, and two conversions of one network differ
        converted.set_rt_info(source, ["conversion_parameters", "input_model"])
        openvino.save_model(converted, folder / "serving.xml", compress_to_fp16=half)
    except (RuntimeError, tf.errors.OpError) as error:  # neither library has an error of its own for a full disk
        raise BundleError(
            f"The network could not be converted to its serving form ({error}). Make room, if the disk is full."
        ) from error


def largest_difference(model: Any, inputs: Any, served: np.ndarray) -> float:
    """The largest difference of any probability between Keras and the serving form.

    Args:
        model: the Keras network.
        inputs: images float32 (N, s, s, 3) in [0, 1], real ones, or a dict of these and `patient` float32 (N, M).
        served: (N, K), the serving form's probabilities for them, at temperature 1.

    Raises:
        BundleError: where it exceeds `TOLERANCE`.
    """
    difference = float(np.abs(np.asarray(model.predict(inputs, verbose=0)) - served).max())
    if not difference <= TOLERANCE:
        raise BundleError(
            f"The serving form differs from the Keras network by {difference:.2g} in a probability, more than "
            f"{TOLERANCE:g} allows; no bundle was made. Check the installed OpenVINO version."
        )
    return difference
