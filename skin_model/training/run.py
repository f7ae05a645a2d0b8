"""One training: a network, two lists of images, a folder that can be taken up again after a kill at any moment.

Every finished epoch leaves a checkpoint (weights and optimizer), then a new `run.json` by one rename; everything else
in the folder is made from these two, so what is found after a kill is always one whole epoch.  Order, augmentation and
dropout of an epoch depend on (seed, epoch) alone: a resumed run sees what an undisturbed one would have seen.  On the
CPU of one machine both come to the same weights, bit for bit; on a GPU, whose sums have no fixed order, to nearly the
same (`tf.config.experimental.enable_op_determinism` would fix it, at the price of speed).  Epochs count on from the
trainings behind the starting weights: a network never meets a view again that it learned from there.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model import conversion, files, networks, patients
from skin_model.dataset.labels import class_counts, loss_weights, oversampled, targets
from skin_model.dataset.pipeline import Batches, Teaching, as_keras
from skin_model.errors import TrainingError
from skin_model.recipe import EpochRecord, TrainingConfig
from skin_model.training import attention, devices, last_layer
from skin_model.training.averaging import averaged, widen_statistics
from skin_model.training.epoch import OnBatch, diverged, fit_epoch, reseed_dropout
from skin_model.training.losses import loss_for, metric_for, registered
from skin_model.training.schedules import freeze_backbone, freeze_first, optimizer_for
from skin_model.training.state import RunState, ancestors, check_same, lineage, read_state, write_state
from skin_model.training.validation import judge, unjudged

OnEpoch = Callable[[EpochRecord, bool], None]  # (record, is the best so far)


def train(
    *,
    config: TrainingConfig,
    training: pd.DataFrame,
    validation: pd.DataFrame | None,
    folder: Path,
    split: str,
    teaching: Teaching | None = None,
    resume: bool = False,
    on_batch: OnBatch | None = None,
    on_epoch: OnEpoch | None = None,
) -> RunState:
    """Train until the last epoch, early stopping, or a stop asked for by `on_batch`.

    Args:
        config: all settings.
        training, validation: tables with columns `path` and `dx`; with `metadata` also age, sex and localization.
            Without validation the last epoch is kept.
        folder: where `best.keras`, the checkpoint, `run.json` and `history.csv` are written; the caller sees to it that
            no other process does so too.
        split: fingerprint of the split; a resumed run must have the same.
        teaching: of the rows of `training`.
        resume: go on from the folder's last finished epoch.
        on_batch, on_epoch: told of progress.

    Raises:
        TrainingError: for a folder that holds another run, a loss that is not a number, or a class without images.
        DatasetError: an image cannot be read.
        ConfigurationError: starting weights or the number of GPUs do not suit the settings.
    """
    state = _start(config, folder, split, resume)
    if state.finished and not _checkpoint(folder, state.epoch).exists():
        return _refit(state, folder, training, validation, on_batch)
    train_batches = _batches(config, training, teaching)
    val_batches = None if validation is None else _in_order(config, validation, "validation")
    import cv2
    import keras

    cv2.setNumThreads(1)  # the loader's own threads keep up; OpenCV's would take cores from the network
    keras.utils.set_random_seed(config.seed)
    with devices.shared(config.batch) as sharing:
        train_batches = replace(train_batches, multiple=sharing)
        model = _model(state, folder, train_batches)
        if sharing > 1:
            devices.synchronise(model)
        if state.epoch:
            _settle(state, model, folder)
        else:  # only now: what was refused above leaves no run in the folder
            folder.mkdir(parents=True, exist_ok=True)
            write_state(state, folder)
        state = _go_on(state, model, folder, train_batches, val_batches, on_batch, on_epoch)
    return _refit(state, folder, training, validation, on_batch)


def _go_on(
    state: RunState,
    model: Any,
    folder: Path,
    train_batches: Batches,
    val_batches: Batches | None,
    on_batch: OnBatch | None,
    on_epoch: OnEpoch | None,
) -> RunState:
    """Train the epochs that are left."""
    config = state.config
    for epoch in range(state.epoch, config.epochs):
        if state.finished:
            break
        began = time.monotonic()
        if epoch and epoch == config.freeze_epochs:
            freeze_first(model, config.frozen)
            _compile(model, config, train_batches)
        reseed_dropout(model, config.seed, state.before + epoch)
        logs = fit_epoch(model, as_keras(train_batches, state.before + epoch), epoch, on_batch)
        if logs is None:
            return state
        record = _record(model, logs, val_batches, epoch, time.monotonic() - began)
        state = _keep(state, record, model, folder)
        if on_epoch:
            on_epoch(record, not config.keeps_last and state.best_epoch == record.epoch)
    return state


def _start(config: TrainingConfig, folder: Path, split: str, resume: bool) -> RunState:
    if resume:
        state = read_state(folder)
        check_same(state, config, split, folder)
        return state
    refuse_second(folder)
    behind = ancestors(config, split) + [state for run in config.teacher_runs for state in lineage(run)]
    return RunState(config, split, before=max((run.before + run.learned for run in behind), default=0))


def refuse_second(folder: Path) -> None:
    """Refuse to start a training where one lies already.  Raises TrainingError."""
    if (folder / "run.json").exists():
        raise TrainingError(f"{folder} already holds a training; add --resume to go on with it, or name a new folder.")


def _in_order(config: TrainingConfig, table: pd.DataFrame, part: str) -> Batches:
    """Every image of a part once, as it is, all alike."""
    _require_every_class(table, part)
    return Batches(
        list(table["path"]), targets(table["dx"], config.task), loss_weights(table["dx"], "none"), config.size,
        config.batch, ordered=True, patients=patients.of_table(table) if config.columns else [], columns=config.columns,
    )  # fmt: skip


def _require_every_class(table: pd.DataFrame, part: str) -> None:
    if empty := [code for code, n in class_counts(table).items() if n == 0]:
        raise TrainingError(f"No {part} image of {', '.join(empty)}: each of the seven classes needs some. Add images.")


def _batches(config: TrainingConfig, table: pd.DataFrame, teaching: Teaching | None = None) -> Batches:
    """The training images as they are drawn, augmented and weighted."""
    _require_every_class(table, "training")
    weights, shares = loss_weights(table["dx"], config.balance), None
    if config.balance == "sampling":
        shares = loss_weights(table["dx"], "class-weights").astype(float)
        shares /= shares.sum()
    elif config.balance == "oversampling":
        rows = oversampled(table["dx"], config.oversample_to, config.seed)
        table, weights = table.iloc[rows], weights[rows]
        teaching = teaching and replace(teaching, trusted=teaching.trusted[rows])
    return Batches(
        paths=list(table["path"]),
        targets=targets(table["dx"], config.task),
        weights=weights,
        size=config.size,
        batch=config.batch,
        augmentation=config.augmentation,
        seed=config.seed,
        shares=shares,
        artefacts=config.artefacts,
        mix=config.mix,
        patients=patients.of_table(table) if config.columns else [],
        columns=config.columns,
        masks=_masks(table) if config.attention else (),
        teaching=teaching,
    )


def _masks(table: pd.DataFrame) -> list[Path | None]:
    """The lesion masks of images that attention is drawn to.  Raises TrainingError where there is none at all."""
    if "mask" not in table or table["mask"].isna().all():
        raise TrainingError(
            "None of the training images has a lesion mask to draw attention to. Put HAM10000's folder of masks beside "
            "the images, or set attention to 0."
        )
    return list(table["mask"].where(table["mask"].notna(), None))


def _model(state: RunState, folder: Path, batches: Batches) -> Any:
    """A fresh compiled network, or the one of the last finished epoch with its optimizer."""
    import keras

    config = state.config
    if state.epoch:
        registered()
        attention.layers()
        try:
            return keras.saving.load_model(_checkpoint(folder, state.epoch))
        except files.UNREADABLE as error:
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
        metadata=config.columns,
        linear_head=config.attention > 0,
    )
    if config.attention:
        model = attention.watched(model)
    freeze_first(model, config.frozen)
    if config.average:
        widen_statistics(model, config.average)
    if config.freeze_epochs:
        freeze_backbone(model)
    _compile(model, config, batches, head_only=config.freeze_epochs > 0)
    return model


def _compile(model: Any, config: TrainingConfig, batches: Batches, head_only: bool = False) -> None:
    import keras

    model.compile(
        optimizer=optimizer_for(config, len(batches), head_only),
        **_learned_by(config, batches),
        jit_compile=keras.backend.backend() == "jax",  # XLA on a CPU is slower than TensorFlow's own kernels
    )


def _learned_by(config: TrainingConfig, batches: Batches) -> dict[str, Any]:
    """Losses and metrics; of each output, where there are two."""
    loss, metric = loss_for(config, batches.targets), metric_for(config)
    if not config.attention:
        return {"loss": loss, "metrics": [metric]}
    return {
        "loss": {"output": loss, "outside": attention.layers()["of_true_class"]},
        "loss_weights": {"output": 1.0, "outside": config.attention},
        "metrics": {"output": [metric]},
    }


def _record(model: Any, logs: dict[str, float], batches: Batches | None, epoch: int, seconds: float) -> EpochRecord:
    """Validate where there are images for it, and note the epoch."""
    with averaged(model):
        figures = judge(attention.answering(model), batches) if batches else unjudged(model)
    if figures is None:  # the last step of the epoch may be the one that breaks the weights
        raise TrainingError(diverged(logs["loss"], epoch))
    return EpochRecord(
        epoch=epoch + 1,
        loss=logs["loss"],
        accuracy=logs["accuracy"] if "accuracy" in logs else logs["output_accuracy"],
        learning_rate=float(np.asarray(model.optimizer.learning_rate)),
        seconds=seconds,
        **asdict(figures),
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
        with averaged(model):
            network = attention.answering(model)
            _save(keras.Model(network.inputs, network.outputs, name=network.name), folder / "best.keras")
    with files.whole(folder / "history.csv") as partial:
        pd.DataFrame([asdict(r) for r in state.history]).to_csv(partial, index=False)
    for old in sorted(folder.glob("checkpoint-*.keras")):  # the last one last: while it lies there, this is done again
        if state.finished or old != _checkpoint(folder, state.epoch):
            old.unlink()


def _refit(
    state: RunState, folder: Path, training: pd.DataFrame, validation: pd.DataFrame | None, on_batch: OnBatch | None
) -> RunState:
    """Fit the last layer of `best.keras` anew where that is asked for and not done yet.

    A kill may have come between `best.keras` and `run.json`; what is fitted already is then only judged.
    """
    if not state.to_refit:
        return state
    config, loss = state.config, state.history[-1].loss
    model = conversion.load_keras(folder / "best.keras")
    batches = _once(config, training)

    def stopped(done: int) -> bool:
        return bool(on_batch and on_batch(config.epochs, done, len(batches), loss))

    done = last_layer.fitted(model)
    if not done and not last_layer.refit(model, batches, config.refit, config.attention, folder, stopped):
        return replace(state, finished=False)
    figures = unjudged(model) if validation is None else judge(model, _in_order(config, validation, "validation"))
    if figures is None:
        raise TrainingError(
            f"The last layer could not be fitted anew with the penalty {config.refit:g}. Start again with a larger one."
        )
    _save(model, folder / "best.keras")
    state = replace(state, refitted=asdict(figures))
    write_state(state, folder)
    return state


def _once(config: TrainingConfig, table: pd.DataFrame) -> Batches:
    """Every training image once, as it is, without patients; with its mask where attention is asked for."""
    # a balance by drawing repeats images of rare classes; each image comes once here, and counts for its copies
    if config.balance == "oversampling":
        copies = np.bincount(oversampled(table["dx"], config.oversample_to, config.seed))
        weights = (copies / copies.mean()).astype(np.float32)
    else:
        weights = loss_weights(table["dx"], "class-weights" if config.balance == "sampling" else config.balance)
    return replace(
        _in_order(replace(config, metadata=""), table, "training"),
        weights=weights,
        masks=_masks(table) if config.attention else (),
    )


def _checkpoint(folder: Path, epoch: int) -> Path:
    return folder / f"checkpoint-{epoch:04d}.keras"


def _save(model: Any, path: Path) -> None:
    with files.whole(path) as partial:
        model.save(partial)
