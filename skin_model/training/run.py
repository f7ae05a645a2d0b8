"""One training: a network, two lists of images, a folder that can be taken up again after a kill at any moment.

Every finished epoch leaves a checkpoint (weights and optimizer), then a new `run.json` by one rename; everything else
in the folder is made from these two, so what is found after a kill is always one whole epoch.  Order, augmentation and
dropout of an epoch depend on (seed, epoch) alone: a resumed run sees what an undisturbed one would have seen.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model import files, networks
from skin_model.dataset.labels import class_counts, loss_weights, targets
from skin_model.dataset.pipeline import Batches, as_keras
from skin_model.entities import EpochRecord, TrainingConfig
from skin_model.errors import TrainingError
from skin_model.training.state import RunState, ancestors, differences, read_state, write_state

OnBatch = Callable[[int, int, int, float], bool | None]  # (epoch, batch, batches, loss) -> True to stop
OnEpoch = Callable[[EpochRecord, bool], None]  # (record, is the best so far)


def train(
    *,
    config: TrainingConfig,
    training: pd.DataFrame,
    validation: pd.DataFrame,
    folder: Path,
    split: str,
    resume: bool = False,
    on_batch: OnBatch | None = None,
    on_epoch: OnEpoch | None = None,
) -> RunState:
    """Train until the last epoch, early stopping, or a stop asked for by `on_batch`.

    Args:
        config: all settings.
        training, validation: tables with columns `path` and `dx`.
        folder: where `best.keras`, the checkpoint, `run.json` and `history.csv` are written.
        split: fingerprint of the split; a resumed run must have the same.
        resume: go on from the folder's last finished epoch.
        on_batch, on_epoch: told of progress.

    Raises:
        BusyError: another process trains in the folder.
        TrainingError: for a folder that holds another run, a loss that is not a number, or a class without images.
    """
    with files.held(folder):
        state = _start(config, folder, split, resume)
        if state.finished and not _checkpoint(folder, state.epoch).exists():
            return state
        train_batches, val_batches = _batches(config, training), _batches(config, validation, validate=True)
        import cv2
        import keras

        cv2.setNumThreads(1)  # the loader's own threads keep up; OpenCV's would take cores from the network
        keras.utils.set_random_seed(config.seed)
        model = _model(state, folder, steps=len(train_batches))
        if state.epoch:
            _settle(state, model, folder)
        else:  # only now: what was refused above leaves no run in the folder
            write_state(state, folder)
        return _go_on(state, model, folder, train_batches, val_batches, on_batch, on_epoch)


def _go_on(
    state: RunState,
    model: Any,
    folder: Path,
    train_batches: Batches,
    val_batches: Batches,
    on_batch: OnBatch | None,
    on_epoch: OnEpoch | None,
) -> RunState:
    """Train the epochs that are left."""
    config = state.config
    for epoch in range(state.epoch, config.epochs):
        if state.finished:
            break
        began = time.monotonic()
        _reseed_dropout(model, config.seed, epoch)
        logs = _fit_epoch(model, as_keras(train_batches, epoch), epoch, on_batch)
        if logs is None:
            return state
        record = _record(model, logs, val_batches, epoch, time.monotonic() - began)
        state = _keep(state, record, model, folder)
        if on_epoch:
            on_epoch(record, state.best_epoch == record.epoch)
    return state


def _start(config: TrainingConfig, folder: Path, split: str, resume: bool) -> RunState:
    if resume:
        state = read_state(folder)
        other = differences(state.config, config) + (["the split"] if state.split != split else [])
        if other:
            raise TrainingError(
                f"The training in {folder} was started with other settings (its own / yours): {'; '.join(other)}. "
                "Give the same ones, or name a new folder."
            )
        return state
    if (folder / "run.json").exists():
        raise TrainingError(f"{folder} already holds a training; add --resume to go on with it, or name a new folder.")
    ancestors(config, split)
    return RunState(config, split)


def _batches(config: TrainingConfig, table: pd.DataFrame, validate: bool = False) -> Batches:
    empty = [code for code, n in class_counts(table).items() if n == 0]
    if empty:
        part = "validation" if validate else "training"
        raise TrainingError(f"No {part} image of {', '.join(empty)}: each of the seven classes needs some. Add images.")
    shares = None
    if config.balance == "sampling" and not validate:
        shares = loss_weights(table["dx"], "class-weights").astype(float)
        shares /= shares.sum()
    return Batches(
        paths=list(table["path"]),
        targets=targets(table["dx"], config.task),
        weights=loss_weights(table["dx"], "none" if validate else config.balance),
        size=config.size,
        batch=config.batch,
        augmentation="none" if validate else config.augmentation,
        seed=config.seed,
        shares=shares,
        ordered=validate,
    )


def _model(state: RunState, folder: Path, steps: int) -> Any:
    """A fresh compiled network, or the one of the last finished epoch with its optimizer."""
    import keras

    config = state.config
    if state.epoch:
        try:
            return keras.saving.load_model(_checkpoint(folder, state.epoch))
        except (ValueError, OSError) as error:
            raise TrainingError(
                f"The checkpoint of epoch {state.epoch} in {folder} is missing or damaged ({error}). "
                "Start a new training."
            ) from error
    model = networks.build(
        config.network,
        size=config.size,
        task=config.task,
        weights=config.weights,
        dropout=config.dropout,
        frozen=config.frozen,
    )
    warmup = round(config.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 100 if warmup else config.learning_rate,
        max(1, config.epochs * steps - warmup),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    kinds = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW, "nadam": keras.optimizers.Nadam}
    decay = {"weight_decay": config.weight_decay} if config.optimizer == "adamw" else {}
    loss = keras.losses.CategoricalCrossentropy if config.task == "diagnosis" else keras.losses.BinaryCrossentropy
    model.compile(
        optimizer=kinds[config.optimizer](schedule, **decay),
        loss=loss(label_smoothing=config.label_smoothing),
        metrics=["accuracy"],
        jit_compile=keras.backend.backend() == "jax",  # XLA on a CPU is slower than TensorFlow's own kernels
    )
    return model


def _reseed_dropout(model: Any, seed: int, epoch: int) -> None:
    """Start each epoch's dropout from (seed, layer, epoch): `.keras` files do not keep generator states."""
    import keras

    for number, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Dropout) and layer.rate:
            key = np.random.SeedSequence([seed, number, epoch]).generate_state(2, np.uint32)
            layer.seed_generator.state.assign(key)


def _fit_epoch(model: Any, batches: Any, epoch: int, on_batch: OnBatch | None) -> dict[str, float] | None:
    """Train one epoch; None when it was stopped before its end."""
    import keras

    steps = len(batches)

    class Watch(keras.callbacks.Callback):
        stopped = False

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            loss = float((logs or {})["loss"])
            if not np.isfinite(loss):
                raise TrainingError(_diverged(loss, epoch))
            if on_batch and on_batch(epoch, batch + 1, steps, loss):
                self.stopped = True
                self.model.stop_training = True

    watch = Watch()
    with batches.errors_named():
        history = model.fit(batches, initial_epoch=epoch, epochs=epoch + 1, verbose=0, shuffle=False, callbacks=[watch])
    return None if watch.stopped else {k: float(v[-1]) for k, v in history.history.items()}


def _diverged(loss: float, epoch: int) -> str:
    return (
        f"The training diverged in epoch {epoch + 1} (loss {loss:.3g}): lower the learning rate (--learning-rate) "
        "and start again in a new folder."
    )


def _record(model: Any, logs: dict[str, float], batches: Batches, epoch: int, seconds: float) -> EpochRecord:
    """Validate by the function that is later served, and note the epoch."""
    from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

    source = as_keras(batches, 0)
    with source.errors_named():
        p = np.asarray(model.predict(source, verbose=0), np.float64)
    if not np.isfinite(p).all():  # the last step of the epoch may be the one that breaks the weights
        raise TrainingError(_diverged(logs["loss"], epoch))
    truth = batches.targets
    if truth.shape[1] == 1:
        p, truth = np.hstack([1 - p, p]), np.hstack([1 - truth, truth])
    labels, guesses = truth.argmax(1), p.argmax(1)
    p = np.clip(p, 1e-7, 1)
    p /= p.sum(1, keepdims=True)
    return EpochRecord(
        epoch=epoch + 1,
        loss=logs["loss"],
        accuracy=logs["accuracy"],
        val_loss=float(log_loss(labels, p, labels=range(p.shape[1]))),
        val_accuracy=float((labels == guesses).mean()),
        val_balanced_accuracy=float(balanced_accuracy_score(labels, guesses)),
        val_macro_auc=float(np.mean([roc_auc_score(labels == k, p[:, k]) for k in range(p.shape[1])])),
        learning_rate=float(np.asarray(model.optimizer.learning_rate)),
        seconds=seconds,
    )


def _keep(state: RunState, record: EpochRecord, model: Any, folder: Path) -> RunState:
    """Write the epoch to disk: checkpoint, then `run.json`, then all that can be made again from these two."""
    state = state.after(record)
    _save(model, _checkpoint(folder, record.epoch))
    write_state(state, folder)
    _settle(state, model, folder)
    return state


def _settle(state: RunState, model: Any, folder: Path) -> None:
    """Make `best.keras` and `history.csv` agree with `run.json`, and remove the checkpoints no longer needed.

    Done again after a kill: the checkpoint of the last epoch stays until everything else is in place.
    """
    import keras

    if state.best_epoch == state.epoch:
        _save(keras.Model(model.inputs, model.outputs, name=model.name), folder / "best.keras")
    pd.DataFrame([asdict(r) for r in state.history]).to_csv(folder / "history.csv", index=False)
    for old in folder.glob("checkpoint-*.keras"):
        if state.finished or old != _checkpoint(folder, state.epoch):
            old.unlink()


def _checkpoint(folder: Path, epoch: int) -> Path:
    return folder / f"checkpoint-{epoch:04d}.keras"


def _save(model: Any, path: Path) -> None:
    with files.whole(path) as partial:
        model.save(partial)
