"""One epoch of training, every random choice of which depends on (seed, epoch) alone."""

from collections.abc import Callable
from typing import Any

import numpy as np

from skin_model.errors import TrainingError
from skin_model.training.averaging import restore, weights_of

# (epoch, batch, batches, loss) -> True to stop; an epoch behind the last one: the last layer is fitted anew
OnBatch = Callable[[int, int, int, float], bool | None]


def fit_epoch(model: Any, batches: Any, epoch: int, on_batch: OnBatch | None) -> dict[str, float] | None:
    """Train one epoch; None when it was stopped before its end.

    Raises:
        TrainingError: where the loss is not a number.
    """
    import keras

    steps = len(batches)

    class Watch(keras.callbacks.Callback):
        stopped = False
        weights: list[np.ndarray] | None = None

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            loss = float((logs or {})["loss"])
            if not np.isfinite(loss):
                raise TrainingError(diverged(loss, epoch))
            if on_batch and on_batch(epoch, batch + 1, steps, loss):
                self.stopped = True
                self.model.stop_training = True

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            if self.model.optimizer.use_ema:  # `fit` ends by putting the averages in the weights' place
                self.weights = weights_of(self.model)

    watch = Watch()
    with batches.errors_named():
        history = model.fit(batches, initial_epoch=epoch, epochs=epoch + 1, verbose=0, shuffle=False, callbacks=[watch])
    if watch.weights:
        restore(model, watch.weights)
    return None if watch.stopped else {k: float(v[-1]) for k, v in history.history.items()}


def reseed_dropout(model: Any, seed: int, epoch: int) -> None:
    """Start each epoch's dropout from (seed, layer, epoch): `.keras` files do not keep generator states."""
    import keras

    for number, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Dropout) and layer.rate:
            key = np.random.SeedSequence([seed, number, epoch]).generate_state(2, np.uint32)
            layer.seed_generator.state.assign(key)


def diverged(loss: float, epoch: int) -> str:
    """What to say of a loss or an answer that is no number."""
    return (
        f"The training diverged in epoch {epoch + 1} (loss {loss:.3g}): lower the learning rate (--learning-rate) "
        "and start again in a new folder."
    )
