"""Trainings as a person orders and follows them: start, look, cancel, resume, delete; each noted with who did it."""

import json
import logging
import shutil
import uuid
from contextlib import suppress
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from skin_model import backbones, bundle, settings
from skin_model.bundle import Manifest
from skin_model.entities import DataSet, Job
from skin_model.errors import ConfigurationError, JobError, TrainingError
from skin_model.inference import VIEWS
from skin_model.jobs import keeper, queue, worker
from skin_model.networks import NETWORKS, trained_files
from skin_model.recipe import (
    AUGMENTATIONS,
    BALANCES,
    LOSSES,
    MIXES,
    MONITORS,
    OPTIMIZERS,
    TASKS,
    EpochRecord,
    TrainingConfig,
)
from skin_model.services import durable, registry, teaching, workspace
from skin_model.services.attempts import furthest
from skin_model.services.registry import Version
from skin_model.store import database, records
from skin_model.taxonomy import CODES
from skin_model.training.state import ancestors, lineage_folders

_AT_FIRST = ("learning_rate", "warmup_epochs")  # which go down where a training goes on from what was learned before
IN_USE = "model in use"  # as starting weights
NOT_HERE = {
    "weights",
    "frozen",
    "teachers",
    "teacher_share",
}  # what the shipped model took from files of where it was made
_NAMES = {"train": "training", "crossval": "cross-validation", "search": "search", "score": "scoring"}
_TRIED = 20  # trials of a few steps that are still told of
_FORWARD = 0.35  # of a training step's time, for judging as many images
PRESETS: dict[str, dict[str, Any]] = {
    "Quick look (minutes)": {"network": "custom_cnn", "size": 64, "epochs": 8, "weights": None, "learning_rate": 2e-3,
                             "attention": 0.0},
    "Standard (from new weights)": {"epochs": 24},
    "Thorough (hours, from ImageNet's weights)": {"network": "mobilenet", "weights": "imagenet", "frozen": 0.28,
                                                  "size": 224, "epochs": 30, "patience": 10},
}  # fmt: skip


def new_id() -> str:
    """An id for a job to be; a form keeps it, so that pressing twice starts one job."""
    return uuid.uuid4().hex


def choices() -> dict[str, tuple[str, ...]]:
    """Setting -> what it may be, for those that are chosen by name."""
    return {
        "network": tuple(NETWORKS), "task": TASKS, "optimizer": OPTIMIZERS, "loss": LOSSES, "balance": BALANCES,
        "augmentation": AUGMENTATIONS, "mix": MIXES, "monitor": MONITORS,
    }  # fmt: skip


def starting_weights() -> dict[str, str | None]:
    """Name -> starting weights: none, ImageNet's, the model in use, or a finished training that is still here."""
    known: dict[str, str | None] = {
        "new (random)": None, "ImageNet (fetched by Keras)": "imagenet", "the model in use": IN_USE
    }  # fmt: skip
    for job in queue.listed(states=["done"], limit=50):
        try:
            folder = furthest(settings.load().runs / job.id) if job.kind == "train" else None
        except TrainingError as error:  # one that cannot be read must not hide the others
            logging.getLogger(__name__).warning("%s is not offered as starting weights: %s", job.order["name"], error)
            continue
        if folder:
            known[f"{job.order['name']}, version {job.outcome['version']}"] = str(folder / "best.keras")
    return known


def defaults(data_set: DataSet) -> TrainingConfig:
    """The settings of the model that is shipped, as far as they suit a data set and new weights; with validation.

    Of several networks side by side, those of the last one that can start from ImageNet without a file.  Learning rate
    and warm-up are of the first training of its network, which did not go on from another one.  Attention needs lesion
    masks, which few data sets have.
    """
    manifest = Manifest(**json.loads((settings.ASSETS / "model" / "manifest.json").read_text(encoding="utf-8")))
    trained = [stage for stage in (*manifest.stages, manifest.training) if stage["epochs_run"]]
    shipped = next((stage for stage in reversed(trained) if backbones.fetched(stage["network"])), trained[-1])
    first = next(stage for stage in trained if stage["network"] == shipped["network"])
    shipped = shipped | {name: first[name] for name in _AT_FIRST if name in first}
    known = {field.name for field in fields(TrainingConfig)} - NOT_HERE - {"validation"}
    config = TrainingConfig(**{name: value for name, value in shipped.items() if name in known})
    return config if data_set.summary.get("masks") else replace(config, attention=0.0)


def check(*, data_set: DataSet, config: TrainingConfig) -> None:
    """Refuse what cannot succeed on this data set, before anything is queued.

    Raises:
        ConfigurationError: naming the bound.
        TrainingError: the folder is not there.
    """
    parts = data_set.summary["parts"]
    validated = [] if config.validation == "none" else [config.validation]
    if validated and config.validation not in parts:
        raise ConfigurationError(f"{data_set.name} has the parts {', '.join(parts)}, but no {config.validation}.")
    trained = [part for part in parts if part.startswith("fold") and part != config.validation]
    images = sum(parts[part][code][0] for part in trained for code in CODES)
    if config.batch > images:
        raise ConfigurationError(
            f"batch must be at most {images}, the number of training images; {config.batch} given."
        )
    for part in (trained, validated, ["calibration"], ["test"]):
        empty = [code for code in CODES if part and not sum(parts.get(name, {}).get(code, [0])[0] for name in part)]
        if empty:
            raise ConfigurationError(f"No {'training' if len(part) > 1 else part[0]} image of {', '.join(empty)}.")
    if config.attention and not data_set.summary.get("masks"):
        raise ConfigurationError(f"{data_set.name} has no lesion masks to draw attention to. Set attention to 0.")
    if not data_set.folder.is_dir():
        raise TrainingError(f"The folder {data_set.folder} is not there. Bring it back or mount it.")


def submit(
    *, data_set: DataSet, config: TrainingConfig, who: str, job: str, name: str = "", views: int = 4,
    sensitivity: float = 0.95,
) -> str:  # fmt: skip
    """Queue a training; the same `job` queues it once.

    Args:
        data_set: a registered one.
        config: all settings; `IN_USE` as weights goes on from the network of the model in use.
        who: asks for it.
        job: id from `new_id`.
        name: for people.
        views: views that the model is to average.
        sensitivity: its operating point.

    Raises:
        ConfigurationError, TrainingError: naming what to mend.
    """
    order = order_for(data_set=data_set, config=config, who=who, name=name, views=views) | {"sensitivity": sensitivity}
    check_start(order)
    if not 0 < sensitivity <= 1:
        raise ConfigurationError(f"sensitivity must lie above 0 and at most at 1; {sensitivity} was given.")
    put_in(kind="train", order=order, job=job)
    return job


def rehearse(*, data_set: DataSet, config: TrainingConfig, who: str, job: str, times: int = 1) -> str:
    """Queue a few steps of a training, to see whether they work and how long all would take; errors as `submit`.

    `times` is how often the training is to be done: once per fold or trial.
    """
    order = order_for(data_set=data_set, config=config, who=who, name="trial of a few steps", views=1)
    queue.enqueue(kind="rehearse", order=order | {"times": times}, job=job)
    keeper.ensure_worker()
    return job


def order_for(*, data_set: DataSet, config: TrainingConfig, who: str, name: str, views: int) -> dict[str, Any]:
    """What a workflow needs to know of a training; refuses what cannot succeed.  Errors as `submit`."""
    check(data_set=data_set, config=config)
    if views not in VIEWS:
        raise ConfigurationError(f"views must be one of {', '.join(map(str, VIEWS))}; {views} was given.")
    if config.weights == IN_USE:
        config = replace(config, weights=_weights_in_use(data_set, config))
    origin = _origin(config)
    start = {"start": registry.reference(origin)} if origin else {}  # for workers on other machines
    validation = sum(images for images, _ in data_set.summary["parts"].get(config.validation, {}).values())
    return {
        "name": name.strip() or f"{config.network} {config.size} px",
        "data_set": data_set.id,
        "data": data_set.name,
        "fingerprint": data_set.fingerprint,
        "images": {"validation": validation},
        "config": asdict(config),
        "views": views,
        "actor": who,
    } | start


def check_start(order: dict[str, Any]) -> None:
    """Refuse starting weights and teachers that met lesions which are to measure the training; errors as `submit`."""
    config = TrainingConfig(**order["config"])
    ancestors(config, order["fingerprint"])
    teaching.check(config, order["fingerprint"])


def put_in(*, kind: str, order: dict[str, Any], job: str, on: str = queue.WORK) -> None:
    """Queue a job, once for the same id, noted with who asked for it, and see that someone works."""
    queue.enqueue(kind=kind, order=order, job=job, queue=on)
    said = {"actor": order["actor"], "action": f"start {_NAMES[kind]}", "name": order["name"], "data": order["data"]}
    with database.writing() as record:
        if not records.audit_events(record, subject=job, limit=1):  # else it was noted when it was pressed first
            records.audit(record, subject=job, **said)
    keeper.ensure_worker()


def estimate(job: Job) -> float:
    """Seconds that a rehearsed training would take, all epochs used, as often as it is to be done."""
    measured, config, data = job.outcome, TrainingConfig(**job.order["config"]), job.order["images"]
    judged = data["validation"] / config.batch * measured["batch"] * _FORWARD
    once = measured["start"] + config.epochs * (measured["batches"] * measured["batch"] + judged)
    return float(job.order.get("times", 1) * once)


def jobs(*, limit: int = 200) -> list[Job]:
    """The jobs that are not over, and the newest that are; the newest first, without those that are parts of others.

    Sees to it that someone works where work waits.
    """
    going = queue.listed(states=["waiting", "running"])
    if going:
        keeper.ensure_worker()
    over = ["done", "failed", "cancelled"]
    past = queue.listed(states=over, kinds=_NAMES, limit=limit)
    tried = queue.listed(states=over, kinds=["rehearse"], limit=_TRIED)
    found = {job.id: job for job in (*going, *past, *tried)}  # one may have ended between two looks
    return sorted(found.values(), key=lambda job: job.created.timestamp() if job.created else 0.0, reverse=True)


def nobody_works(known: list[Job]) -> str:
    """What to do where jobs wait and no worker has given a sign of life for a while; empty where one has."""
    waiting = [job for job in known if job.state == "waiting"]
    patience = 2 * worker.LEASE
    long_ago = datetime.now(UTC) - timedelta(seconds=patience)
    if not any(job.created and job.created < long_ago for job in waiting):
        return ""
    with database.reading() as record:
        if min(records.beats(record).values(), default=patience) < patience:
            return ""
    given = settings.load()
    if given.jobs.startswith("sqlite"):
        log = given.home / "worker.log"
        return f"No worker is alive: each that this app starts ends. {log} tells why, or the disk is full."
    return (
        "No worker is alive. Start one on a machine that has the images: python -m skin_model worker, with the same "
        "DATABASE_URL as this server."
    )


def history(*, job: str) -> list[EpochRecord]:
    """The finished epochs of a job."""
    return [EpochRecord(**record) for record in queue.steps(job, durable.EPOCH)]


def cancel(*, job: str, who: str) -> None:
    """Stop a job within a batch; its best epoch is kept.  Raises JobError where it is over, or as good as over."""
    if queue.steps(job, durable.REGISTER):
        raise JobError("This training has registered its model already; there is nothing to cancel.")
    queue.cancel(job)
    _note(who, "cancel job", job)


def resume(*, job: str, who: str) -> None:
    """Let a cancelled or failed job go on after its last finished epoch.  Raises JobError where it is neither."""
    queue.resume(job)
    _note(who, "resume job", job)
    keeper.ensure_worker()


def delete(*, job: str, who: str) -> None:
    """Forget a job and remove its files; what it registered stays.

    Raises:
        JobError: it is not over, or a job that may still go on learns from its network.
    """
    found = queue.find(job)
    _refuse_needed(job)
    parts = [part.id for part in queue.listed(parent=job, outcomes=False)]
    queue.delete(job)
    for name in (job, *parts):
        shutil.rmtree(settings.load().runs / name, ignore_errors=True)
    _note(who, "delete job", job, name=found.order.get("name", ""), state=found.state)


def _refuse_needed(job: str) -> None:
    """Refuse to remove files without which the model of another training could not be made."""
    home = settings.load().runs / job
    for other in queue.listed(outcomes=False):
        if other.id == job or other.state == "done" or "config" not in other.order:
            continue
        weights, teachers = (other.order["config"].get(name) or "" for name in ("weights", "teachers"))
        origins = [Path(file).parent for file in trained_files(weights)]
        origins += [Path(run.strip()) for run in teachers.split(",") if run.strip()]
        if any(home in folder.parents for origin in origins for folder in _chain(origin)):
            raise JobError(
                f"{other.order['name']} ({other.state}) learns from the network of this training, and its model could "
                "not be made without. Let it end, or delete it first."
            )


def _chain(run: Path) -> list[Path]:
    try:
        return lineage_folders(run)
    except TrainingError:  # gone already
        return [run]


def _note(who: str, action: str, job: str, **details: Any) -> None:
    with database.writing() as record:
        records.audit(record, actor=who, action=action, subject=job, **details)


def _origin(config: TrainingConfig) -> Version | None:
    """The registered version whose network a training starts from: the model in use, or what a training has made."""
    home, named = settings.load().runs, trained_files(config.weights)
    if len(named) != 1 or home not in Path(named[0]).parents:
        return None
    name = Path(named[0]).relative_to(home).parts[0]
    with suppress(JobError):  # it is no training's id but the name of a version
        name = (queue.find(name).outcome or {}).get("version", name)  # none was made of one that was cancelled
    return next((version for version in registry.versions() if name in (version.number, version.name)), None)


def _weights_in_use(data_set: DataSet, config: TrainingConfig) -> str:
    """The network of the model in use as a run that a training can start from.

    Raises:
        ConfigurationError: it is another network, or was trained on another split and may have met its test lesions.
    """
    made = bundle.read(workspace.folder_in_use())
    manifest = made.manifest
    if manifest.network != config.network:
        raise ConfigurationError(f"The model in use is a {manifest.network}; choose that network, or other weights.")
    if manifest.data.get("split") != data_set.fingerprint:
        raise ConfigurationError(
            f"The model in use was trained on another split than that of {data_set.name}, so it may have met its test "
            "lesions. Choose other starting weights."
        )
    return durable.as_run(made)
