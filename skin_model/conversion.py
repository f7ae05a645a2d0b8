"""From a trained `.keras` file to what is served: the same float32 network for OpenVINO, and the head's weights."""

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from skin_model import networks
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
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path.name} cannot be loaded as a Keras network ({error}). Train it again.") from error


def convert(model: Any, folder: Path) -> None:
    """Write `serving.xml`, `serving.bin` and `head.npz`; outputs are probabilities, embedding and last feature map.

    Of a network that also takes the patient this is the picture's part, which answers as for an unknown patient.

    Raises:
        BundleError: where the libraries cannot convert it, or find no room for their files.
    """
    import keras

    model = networks.picture_part(model)
    output = model.get_layer("output")
    serving = keras.Model(model.inputs, [output.output, output.input, model.get_layer("features").output])
    write_serving(serving, folder, source="network.keras")
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
