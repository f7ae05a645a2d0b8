"""One training: a network, two lists of images, a folder that can be taken up again after a kill at any moment.

Every finished epoch leaves a checkpoint (weights and optimizer) and, last of all, a new `run.json` put in its place by
one rename; what is found on disk is therefore always one whole epoch.  Order, augmentation and dropout of an epoch
depend on (seed, epoch) alone, so a resumed run sees what an undisturbed one would have seen.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model import networks
from skin_model.dataset.pipeline import Batches, as_keras
from skin_model.entities import EpochRecord, TrainingConfig
from skin_model.errors import TrainingError
from skin_model.taxonomy import BY_CODE, CODES, DIAGNOSES

OnBatch = Callable[[int, int, int, float], bool | None]  # (epoch, batch, batches, loss) -> True to stop
OnEpoch = Callable[[EpochRecord, bool], None]  # (record, is the best so far)


@dataclass(frozen=True)
class RunState:
    """What `run.json` holds."""

    config: TrainingConfig
    data: str
    history: tuple[EpochRecord, ...] = ()
    best_epoch: int = 0
    finished: bool = False

    @property
    def epoch(self) -> int:
        return len(self.history)

    def after(self, record: EpochRecord) -> "RunState":
        """The state once one more epoch is done: which epoch is the best, and whether training ends."""
        config = self.config
        best = max((_score(r, config.monitor) for r in self.history), default=-np.inf)
        best_epoch = record.epoch if _score(record, config.monitor) > best else self.best_epoch
        stop = record.epoch >= config.epochs or record.epoch - best_epoch >= config.patience
        return replace(self, history=(*self.history, record), best_epoch=best_epoch, finished=stop)


def train(
    *,
    config: TrainingConfig,
    training: pd.DataFrame,
    validation: pd.DataFrame,
    folder: Path,
    data: str,
    resume: bool = False,
    on_batch: OnBatch | None = None,
    on_epoch: OnEpoch | None = None,
) -> RunState:
    """Train until the last epoch, early stopping, or a stop asked for by `on_batch`.

    Args:
        config: all settings.
        training, validation: tables with columns `path` and `dx`.
        folder: where `best.keras`, the checkpoint, `run.json` and `history.csv` are written.
        data: fingerprint of data and split; a resumed run must have the same.
        resume: go on from the folder's last finished epoch.
        on_batch, on_epoch: told of progress.

    Raises:
        TrainingError: for a folder that holds another run, a loss that is not a number, or a class without images.
    """
    state = _start(config, folder, data, resume)
    if state.finished:
        return state
    train_batches, val_batches = _batches(config, training), _batches(config, validation, validate=True)
    import cv2
    import keras

    cv2.setNumThreads(1)  # two loader threads already keep up; OpenCV's own would take cores from the network
    keras.utils.set_random_seed(config.seed)
    model = _model(state, folder, steps=len(train_batches))
    if not state.epoch:  # only now: what was refused above leaves no run in the folder
        folder.mkdir(parents=True, exist_ok=True)
        _write_state(state, folder)
    for epoch in range(state.epoch, config.epochs):
        began = time.monotonic()
        _reseed_dropout(model, config.seed, epoch)
        logs = _fit_epoch(model, as_keras(train_batches, epoch), epoch, on_batch)
        if logs is None:
            return state
        record = _record(model, logs, val_batches, epoch, time.monotonic() - began)
        state = _keep(state, record, model, folder)
        if on_epoch:
            on_epoch(record, state.best_epoch == record.epoch)
        if state.finished:
            break
    return state


def read_state(folder: Path) -> RunState:
    """Read `run.json`.  Raises TrainingError where the folder holds no run."""
    try:
        raw = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise TrainingError(f"{folder} holds no training to go on with: {error}") from error
    return RunState(
        TrainingConfig(**raw["config"]),
        raw["data"],
        tuple(EpochRecord(**r) for r in raw["history"]),
        raw["best_epoch"],
        raw["finished"],
    )


def lineage(folder: Path) -> list[RunState]:
    """The run in `folder`, preceded by those whose `.keras` files it started from, as far as they can be found."""
    state = read_state(folder)
    weights = state.config.weights
    if weights and weights.endswith(".keras") and (Path(weights).parent / "run.json").is_file():
        return [*lineage(Path(weights).parent), state]
    return [state]


def class_counts(table: pd.DataFrame) -> dict[str, int]:
    """Images per class code, taxonomy order."""
    counts = table["dx"].value_counts()
    return {code: int(counts.get(code, 0)) for code in CODES}


def loss_weights(dx: pd.Series, balance: str) -> np.ndarray:
    """What each image counts in the loss, float32 (N,), mean 1; inverse class frequency or its square root."""
    if balance not in ("class-weights", "sqrt-class-weights"):
        return np.ones(len(dx), np.float32)
    weights = 1.0 / dx.map(dx.value_counts()).to_numpy(float)
    if balance == "sqrt-class-weights":
        weights = np.sqrt(weights)
    return (weights / weights.mean()).astype(np.float32)


def targets(dx: pd.Series, task: str) -> np.ndarray:
    """One-hot classes float32 (N, 7), or malignant or not float32 (N, 1)."""
    indices = dx.map({code: d.index for code, d in BY_CODE.items()}).to_numpy(int)
    if task == "binary":
        malignant = np.array([d.malignant for d in DIAGNOSES])
        return malignant[indices].astype(np.float32)[:, None]
    return np.eye(len(DIAGNOSES), dtype=np.float32)[indices]


def _start(config: TrainingConfig, folder: Path, data: str, resume: bool) -> RunState:
    if resume:
        state = read_state(folder)
        if state.config != config or state.data != data:
            raise TrainingError(
                f"The training in {folder} was started with other settings or other data; "
                "give the same ones, or a new folder."
            )
        return state
    if (folder / "run.json").exists():
        raise TrainingError(f"{folder} already holds a training; add --resume to go on with it, or name a new folder.")
    return RunState(config, data)


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
        return keras.saving.load_model(_checkpoint(folder, state.epoch))
    model = networks.build(
        config.network,
        size=config.size,
        task=config.task,
        weights=config.weights,
        dropout=config.dropout,
        frozen=config.frozen,
        batch_norm=config.batch_norm,
    )
    warmup = round(config.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 100 if warmup else config.learning_rate,
        max(1, config.epochs * steps - warmup),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    kinds = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW, "nadam": keras.optimizers.Nadam}
    loss = keras.losses.CategoricalCrossentropy if config.task == "diagnosis" else keras.losses.BinaryCrossentropy
    model.compile(
        optimizer=kinds[config.optimizer](schedule, weight_decay=config.weight_decay or None),
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

    p = np.asarray(model.predict(as_keras(batches, 0), verbose=0), np.float64)
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


def _score(record: EpochRecord, monitor: str) -> float:
    return -record.val_loss if monitor == "loss" else float(getattr(record, f"val_{monitor}"))


def _keep(state: RunState, record: EpochRecord, model: Any, folder: Path) -> RunState:
    """Write the epoch to disk, `run.json` last."""
    import keras

    state = state.after(record)
    if state.best_epoch == record.epoch:
        _save(keras.Model(model.inputs, model.outputs, name=model.name), folder / "best.keras")
    if not state.finished:
        _save(model, _checkpoint(folder, record.epoch))
    pd.DataFrame([asdict(r) for r in state.history]).to_csv(folder / "history.csv", index=False)
    _write_state(state, folder)
    for old in folder.glob("checkpoint-*.keras"):
        if state.finished or old != _checkpoint(folder, record.epoch):
            old.unlink()
    return state


def _checkpoint(folder: Path, epoch: int) -> Path:
    return folder / f"checkpoint-{epoch:04d}.keras"


def _save(model: Any, path: Path) -> None:
    partial = path.with_name("partial." + path.name)
    model.save(partial)
    os.replace(partial, path)


def _write_state(state: RunState, folder: Path) -> None:
    partial = folder / "run.json.partial"
    partial.write_text(json.dumps(asdict(state), indent=1))
    os.replace(partial, folder / "run.json")
