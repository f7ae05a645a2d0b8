"""Averaged weights."""

from contextlib import nullcontext

import numpy as np
import pytest

from skin_model.recipe import TrainingConfig
from skin_model.training import averaging
from skin_model.training.epoch import fit_epoch
from skin_model.training.schedules import optimizer_for

MOMENTUM = 0.7


def fed():
    """Six batches of made-up rows."""
    import keras

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4, 3)).astype(np.float32), rng.normal(size=(6, 4, 1)).astype(np.float32)

    class Rows(keras.utils.PyDataset):
        errors_named = staticmethod(nullcontext)

        def __len__(self) -> int:
            return 6

        def __getitem__(self, number: int):
            return x[number], y[number]

    return Rows()


def compiled(average: float):
    import keras

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    config = TrainingConfig(average=average, learning_rate=0.1, warmup_epochs=0, epochs=2)
    model.compile(optimizer=optimizer_for(config, steps=6, head_only=False), loss="mse")
    return model


def test_the_average_is_that_of_all_steps_and_training_goes_on_from_the_raw_weights():
    model, steps = compiled(MOMENTUM), []
    for epoch in (0, 1):
        fit_epoch(model, fed(), epoch, lambda *_: steps.append(averaging.weights_of(model)))
    undisturbed = compiled(0.0)
    for epoch in (0, 1):
        fit_epoch(undisturbed, fed(), epoch, None)
    expected = steps[0]
    for weights in steps[1:]:
        expected = [MOMENTUM * old + (1 - MOMENTUM) * new for old, new in zip(expected, weights, strict=True)]

    with averaging.averaged(model):
        for known, found in zip(expected, averaging.weights_of(model), strict=True):
            np.testing.assert_allclose(found, known, rtol=1e-5)
    for raw, now, plain in zip(steps[-1], averaging.weights_of(model), averaging.weights_of(undisturbed), strict=True):
        np.testing.assert_array_equal(now, raw)
        np.testing.assert_array_equal(now, plain)
        assert (np.abs(now - expected[0 if now.ndim == 2 else 1]) > 1e-4).any()


def test_the_raw_weights_come_back_where_something_fails_inside():
    model = compiled(MOMENTUM)
    fit_epoch(model, fed(), 0, None)
    before = averaging.weights_of(model)
    with pytest.raises(ZeroDivisionError), averaging.averaged(model):
        raise ZeroDivisionError
    np.testing.assert_array_equal(averaging.weights_of(model)[0], before[0])


def test_statistics_are_averaged_over_no_fewer_steps_than_weights():
    from skin_model import networks

    model = networks.build("custom_cnn", size=32)
    for momentum, expected in ((0.5, 0.9), (0.99, 0.99)):
        averaging.widen_statistics(model, momentum)
        assert {layer.momentum for layer in model.layers if hasattr(layer, "momentum")} == {expected}
