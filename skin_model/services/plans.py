"""Work that is done in parts, as a person orders and follows it: K-fold, search, and a folder of images to judge."""

import io
from dataclasses import replace
from pathlib import Path

from skin_model import bundle, files
from skin_model.entities import DataSet, Job
from skin_model.errors import ConfigurationError, DatasetError
from skin_model.jobs import queue
from skin_model.recipe import TrainingConfig
from skin_model.services import crossval, divided, orders, prediction, registry, search
from skin_model.services.registered import server_folder
from skin_model.services.registry import Version

KINDS = {"crossval": "folds", "search": "trials", "score": "chunks"}  # workflow -> what its parts are
SPACE = search.SPACE
TRIALS = (2, 500)  # of one search: fewest and most
CHUNK = 200  # images that a worker takes at a time


def folds(data_set: DataSet) -> tuple[str, ...]:
    """Names of the folds of a data set's split."""
    return tuple(sorted(part for part in data_set.summary["parts"] if part.startswith("fold")))


def submit_crossval(
    *, data_set: DataSet, config: TrainingConfig, who: str, job: str, name: str = "", views: int = 4
) -> str:
    """Queue one training per fold of the data set's split; the same `job` queues it once.

    Raises:
        ConfigurationError, TrainingError: naming what to mend.
    """
    names = folds(data_set)
    if len(names) < 2:
        raise ConfigurationError(f"The split of {data_set.name} has {len(names)} folds; two are needed.")
    crossval.check_settings(config, views)
    for fold in names:
        orders.check(data_set=data_set, config=replace(config, validation=fold))
    order = orders.order_for(data_set=data_set, config=config, who=who, name=name, views=views)
    crossval.check_starts(TrainingConfig(**order["config"]), names, data_set.fingerprint)
    orders.put_in(kind="crossval", order=order | {"folds": names}, job=job, on=queue.PLANS)
    return job


def submit_search(
    *, data_set: DataSet, config: TrainingConfig, who: str, job: str, name: str = "", trials: int = 20,
    searched: tuple[str, ...] = SPACE,
) -> str:  # fmt: skip
    """Queue a search for better settings; the same `job` queues it once.

    Args:
        data_set: a registered one.
        config: settings of every trial, but for those searched.
        who: asks for it.
        job: id from `orders.new_id`.
        name: for people.
        trials: how many.
        searched: settings of `SPACE`.

    Raises:
        ConfigurationError, TrainingError: naming what to mend.
    """
    if not TRIALS[0] <= trials <= TRIALS[1]:
        raise ConfigurationError(f"trials must lie between {TRIALS[0]} and {TRIALS[1]}; {trials} was given.")
    names = search.searched(config, trials, frozenset(SPACE) - frozenset(searched))
    order = orders.order_for(data_set=data_set, config=config, who=who, name=name, views=1)
    orders.check_start(order)
    orders.put_in(kind="search", order=order | {"trials": trials, "searched": names}, job=job, on=queue.PLANS)
    return job


def submit_scoring(*, folder: Path, version: Version, who: str, job: str) -> str:
    """Queue the judging of all images of a folder by a registered version; the same `job` queues it once.

    Args:
        folder: on this server, and under the same name where other workers run.
        version: that judges.
        who: asks for it.
        job: id from `orders.new_id`.

    Raises:
        ConfigurationError, DatasetError, BundleError: naming what to mend.
    """
    folder = server_folder(folder)
    names = [str(path.relative_to(folder)) for path in prediction.listed([folder]) if path != folder]
    if not names:
        raise DatasetError(f"There is no image in {folder}, or it may not be read by this program's user.")
    if nameless := [name for name in names if files.shown(name) != name]:
        raise DatasetError(
            f"The names of {len(nameless):,} files are not UTF-8, such as {nameless[0]!a}: answers under such names "
            "could be neither kept nor read. Rename them."
        )
    made = bundle.read(registry.folder(version))
    if made.manifest.task != "diagnosis":
        raise ConfigurationError(f"Version {version.number} does not name the seven diagnoses. Choose another one.")
    order = {
        "name": f"{len(names):,} images of {folder.name}",
        "data": str(folder),
        "folder": str(folder),
        "files": [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)],
        "chunks": -(-len(names) // CHUNK),
        "actor": who,
    } | registry.reference(version)
    orders.put_in(kind="score", order=order, job=job, on=queue.PLANS)
    return job


def parts(*, job: str) -> list[Job]:
    """The parts of a job that were begun or wait, in order; without what came of them."""
    return _in_order(queue.listed(parent=job, outcomes=False))


def planned(job: Job) -> int:
    """How many parts a job has when all are there."""
    told = job.order[KINDS[job.kind]]
    return told if isinstance(told, int) else len(told)


def figures(*, job: Job) -> list[tuple[str, ...]]:
    """A finished cross-validation as lines (figure, all folds, 95 % interval, each fold), the first naming them."""
    return crossval.rows(job.outcome)


def out_of_fold(*, job: Job) -> str:
    """The answers of a finished cross-validation for the images left out, as CSV."""
    return crossval.out_of_fold(
        [io.StringIO(part.outcome["answers"]) for part in _in_order(queue.listed(parent=job.id))]
    )


def scored(*, job: Job) -> str:
    """The answers of the finished chunks of a folder, as CSV."""
    texts = [text for part in parts(job=job.id) for text in queue.steps(part.id, divided.ANSWERS)]
    return ",".join(divided.COLUMNS) + "\n" + "".join(texts)


def _in_order(found: list[Job]) -> list[Job]:
    return sorted(found, key=lambda part: int(part.order["part"]))
