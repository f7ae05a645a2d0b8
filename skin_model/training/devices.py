"""Several GPUs in one machine: each takes an equal share of every step's images, and all hold the same weights.

TensorFlow's MirroredStrategy adds up their gradients, and batch normalisation takes its statistics over all of them:
without dropout, whose masks differ, a training comes to the losses of one device within rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from skin_model.errors import ConfigurationError


def names() -> tuple[str, ...]:
    """The GPUs that TensorFlow sees; the environment's CUDA_VISIBLE_DEVICES says which it may use."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return ()
    import tensorflow as tf

    return tuple(device.name for device in tf.config.list_logical_devices("GPU"))


@contextmanager
def shared(batch: int) -> Iterator[int]:
    """What is built, loaded and trained inside the block lies on all GPUs; yields how many share a batch.

    Raises:
        ConfigurationError: the images of a batch cannot be shared out equally.
    """
    found = names()
    if len(found) < 2:
        yield 1
        return
    if batch % len(found):
        raise ConfigurationError(
            f"A batch of {batch} images cannot be shared equally by {len(found)} GPUs. Give a multiple of {len(found)} "
            "as --batch, or let fewer GPUs be seen: CUDA_VISIBLE_DEVICES=0."
        )
    with _strategy(found).scope():
        yield len(found)


@cache
def _strategy(devices: tuple[str, ...]) -> Any:
    """One for all trainings of a process: the batch statistics of a second one would be mixed with the first's."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(devices))


def synchronise(model: Any) -> None:
    """Let batch normalisation take its statistics over the images of all GPUs; before the first step."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
