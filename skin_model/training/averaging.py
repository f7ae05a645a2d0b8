"""Averaged weights: a network judged and served by the exponential moving average of its weights.

The optimizer keeps the average of every trained weight (Polyak and Juditsky, 1992; `use_ema` of Keras' optimizers), so
that a checkpoint holds both.  The statistics of batch normalisation are averages already; here over the same window.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


def widen_statistics(model: Any, momentum: float) -> None:
    """Let batch normalisation average its statistics over no fewer steps than the weights; before compiling."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = max(layer.momentum, momentum)


@contextmanager
def averaged(model: Any) -> Iterator[None]:
    """Inside the block the network has its averaged weights, where its optimizer keeps some; the raw ones after it."""
    if not model.optimizer.use_ema:
        yield
        return
    raw = weights_of(model)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    restore(model, weights_of(model))  # on JAX both variables would share one array, which `predict` may give away
    try:
        yield
    finally:
        restore(model, raw)


def weights_of(model: Any) -> list[np.ndarray]:
    """A copy of every trained weight."""
    from keras import ops

    return [np.array(ops.convert_to_numpy(variable)) for variable in model.trainable_variables]


def restore(model: Any, weights: list[np.ndarray]) -> None:
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)
