"""A training inside a job: its data set as it was when it was ordered, its MLflow run, its epochs as durable steps."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from skin_model import bundle, files, settings, tracking
from skin_model.entities import DataSet
from skin_model.errors import TrainingError
from skin_model.jobs import queue
from skin_model.jobs.running import Running, step
from skin_model.recipe import EpochRecord, TrainingConfig
from skin_model.services import joining, registry, training
from skin_model.services.telling import Telling
from skin_model.store import database, records
from skin_model.training.run import OnEpoch
from skin_model.training.state import RunState, read_state, write_state

EPOCH = "epoch"  # name of the step that each finished epoch leaves
REGISTER = "register"  # of the one that makes a version of what was trained


def data_set(order: dict[str, Any]) -> DataSet:
    """The data set of an order, its folder there and its split that of then.

    Raises:
        TrainingError: it is not so any more.
    """
    with database.reading() as record:
        known = {data.id: data for data in records.data_sets(record)}
    data = known.get(order["data_set"])
    if data is None:
        raise TrainingError("The data set of this job is no longer registered. Register it again and start anew.")
    if data.fingerprint != order["fingerprint"]:
        raise TrainingError(
            f"The split of {data.name} was changed after this job was queued, so its figures could not be compared "
            "with those of the others. Clone the job."
        )
    if not data.folder.is_dir():
        raise TrainingError(
            f"The folder {data.folder} of {data.name} is not there. Bring it back or mount it, then resume."
        )
    return data


def settings_of(order: dict[str, Any]) -> TrainingConfig:
    """The settings of an order; a registered version that it starts from is brought here where it lies elsewhere.

    Raises:
        BundleError: the version's files are gone.
    """
    config = TrainingConfig(**order["config"])
    if "start" not in order or Path(str(config.weights)).is_file():
        return config
    return replace(config, weights=as_run(registry.fetch(**order["start"])))


def as_run(made: bundle.Bundle) -> str:
    """The `.keras` file of a model, in a folder that tells of it as a run that a training can start from."""
    manifest = made.manifest
    folder = settings.load().runs / manifest.model_version
    known = {name: manifest.training[name] for name in ("network", *joining.SHARED) if name in manifest.training}
    told = (*manifest.stages, manifest.training)
    with files.held(folder, wait=True):  # several workers, or two browsers, may begin from it at once
        if not (folder / "best.keras").is_file():
            with files.whole(folder / "best.keras") as partial:
                shutil.copyfile(made.path("network.keras"), partial)
        # anew each time: what earlier versions left there tells too little of where the network is from
        write_state(RunState(TrainingConfig(**known), str(manifest.data["split"]), finished=True, told=told), folder)
    return str(folder / "best.keras")


def begin(job: str, order: dict[str, Any], kind: str, drawn: bool) -> str:
    """Begin the job's MLflow run, or find it; one of a part stands below that of the whole."""
    parameters = order["config"] | {"views": order["views"], "split": order["fingerprint"]}
    tags = {"actor": order["actor"], "drawn": str(drawn).lower(), "kind": kind}
    if "run" in order:
        tags["mlflow.parentRunId"] = order["run"]
    return tracking.begin(job=job, name=order["name"], parameters=parameters, tags=tags)


def trained(
    me: Running,
    telling: Telling,
    config: TrainingConfig,
    data: DataSet,
    folder: Path,
    run: str,
    *,
    stop: Callable[[], bool] = lambda: False,
    and_then: OnEpoch = lambda *_: None,
) -> RunState:
    """Train what is left; each epoch is one step, whoever trained it.

    Args:
        me, telling: the execution that trains, and what it tells.
        config: all settings.
        data: a registered data set.
        folder: of this execution.
        run: of MLflow.
        stop: whether to end the training early.
        and_then: told of each epoch that was finished here or before.
    """

    def on_epoch(record: EpochRecord, best: bool) -> None:
        step(EPOCH, _log_epoch, run, asdict(record))
        telling.epoch(record)
        and_then(record, best)

    def on_batch(epoch: int, batch: int, batches: int, loss: float) -> bool:
        return telling.batch(epoch, batch, batches, loss) or stop()

    begun = (folder / "run.json").is_file()
    if begun:
        for record in read_state(folder).history:
            on_epoch(record, False)
    else:
        with files.whole(folder / "split.csv") as partial:
            partial.write_text(data.split, encoding="utf-8")
    state = training.train(
        data=data.folder,
        folder=folder,
        config=config,
        split=folder / "split.csv",
        resume=begun,
        on_check=telling.check,
        on_batch=on_batch,
        on_epoch=on_epoch,
    )
    if not state.finished:
        me.check()
    # Steps are found again by their number: where another worker had trained more epochs, theirs come before the next.
    for _ in range(len(queue.steps(me.job, EPOCH)) - state.epoch):
        step(EPOCH, dict)
    if state.refitted:  # no step: one recorded here would stand in the way of a worker that trains more epochs
        _log_refitted(run, state)
        telling.refitted(state.kept)
    return state


def _log_refitted(run: str, state: RunState) -> None:
    figures = {f"refitted_{name}": value for name, value in (state.refitted or {}).items() if value is not None}
    tracking.log_figures(run, figures, state.best_epoch)


def _log_epoch(run: str, record: dict[str, Any]) -> dict[str, Any]:
    figures = {k: v for k, v in record.items() if k != "epoch" and v is not None}
    tracking.log_figures(run, figures, record["epoch"])
    return record
