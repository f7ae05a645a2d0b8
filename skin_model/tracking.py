"""MLflow: trainings with settings, figures per epoch and files; registered versions and the champion's alias.

`MLFLOW_TRACKING_URI` decides where: a user's own server works, and `mlflow ui` on the same store shows the same runs.
Each function but `mark` raises StoreError where MLflow cannot be reached.
"""

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from skin_model import settings
from skin_model.errors import StoreError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "skin_model"
MODEL = "skin_model"
CHAMPION = "champion"
BUNDLE = "bundle"  # a version's folder among its run's files
log = logging.getLogger(__name__)
_MOST_PARAMETERS = 100  # that MLflow takes at once


@dataclass(frozen=True)
class Registered:
    """A version in the registry.

    Attributes:
        version: 1 is the bundled model.
        name: the bundle's own name.
        run: the training's run.
        source: where its files lie.
        tags: what else was noted, as text.
    """

    version: int
    name: str
    run: str
    source: str
    tags: dict[str, str]


@contextmanager
def _named() -> Iterator[None]:
    """Turn what goes wrong with MLflow into a StoreError: a page or command shows no other."""
    try:
        yield
    except Exception as error:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not isinstance(error, MlflowException | SQLAlchemyError | OSError):
            raise
        told = f"MLflow at {settings.load().tracking} cannot be reached, or does not do what was asked ({error})."
        raise StoreError(
            re.sub("//[^/@]*@", "//", told) + " Check that its folder can be written, or that the server of "
            "MLFLOW_TRACKING_URI runs."
        ) from error


@_named()
def begin(*, job: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    """Begin a run, or find the one that was begun for this job before; returns its id."""
    client, experiment = _client(), _experiment(settings.load())
    from mlflow.entities import Param

    run = _run_of(job) or client.create_run(experiment, run_name=name, tags={"job": job, **tags}).info.run_id
    listed = [Param(key, str(value)) for key, value in parameters.items()]
    for start in range(0, len(listed), _MOST_PARAMETERS):
        client.log_batch(run, params=listed[start : start + _MOST_PARAMETERS])
    return str(run)


@_named()
def log_figures(run: str, figures: Mapping[str, float], epoch: int) -> None:
    """Note the figures of one epoch."""
    from mlflow.entities import Metric

    now = int(datetime.now(UTC).timestamp() * 1000)
    _client().log_batch(run, metrics=[Metric(key, float(value), now, epoch) for key, value in figures.items()])


def mark(job: str, status: str) -> None:
    """Say what became of a job's run, if it has one: RUNNING (again), FINISHED, FAILED or KILLED.

    That MLflow cannot be reached is logged only: the job has its own record, and a failure its own words.
    """
    try:
        with _named():
            run = _run_of(job)
            if run is not None:
                _client().update_run(run, status) if status == "RUNNING" else _client().set_terminated(run, status)
    except StoreError:
        log.warning("the MLflow run of job %s was not marked %s", job, status, exc_info=True)


@_named()
def register(run: str, bundle: Path, *, name: str, tags: Mapping[str, str]) -> Registered:
    """Keep a bundle with its run and make it a version; one that was made of this run before is given again."""
    client = _client()
    known = [v for v in versions() if v.run == run]
    if known:
        return known[0]
    client.log_artifacts(run, str(bundle), BUNDLE)
    source = f"{client.get_run(run).info.artifact_uri}/{BUNDLE}"
    made = client.create_model_version(MODEL, source, run_id=run, tags={"name": name, **tags})
    return _registered(made)


@_named()
def withdraw(job: str) -> None:
    """Take back the version that was made of a job's run, if there is one."""
    run = _run_of(job)
    for version in versions() if run else []:
        if version.run == run:
            _client().delete_model_version(MODEL, str(version.version))


@_named()
def ensure_first(bundle: Path, *, name: str) -> None:
    """Make the bundled model version 1 of an empty registry."""
    from mlflow.exceptions import MlflowException

    client = _client()
    try:
        client.create_registered_model(MODEL)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    if not versions():
        run = begin(job="bundled", name="bundled model", parameters={}, tags={})
        register(run, bundle, name=name, tags={})
        mark("bundled", "FINISHED")


@_named()
def versions() -> list[Registered]:
    """All versions, the newest first."""
    found = _client().search_model_versions(f"name = '{MODEL}'", max_results=1000)
    return sorted((_registered(v) for v in found), key=lambda v: -v.version)


@_named()
def set_champion(version: int) -> None:
    """Let MLflow's alias name the version in use, for whoever looks there."""
    _client().set_registered_model_alias(MODEL, CHAMPION, str(version))


@_named()
def folder_of(source: str, version: int) -> Path:
    """A version's files on this machine; fetched once where they lie elsewhere."""
    local = local_folder(source)
    if local is not None:
        return local
    _client()  # before the import: it turns the telemetry off
    import mlflow.artifacts

    kept = settings.load().home / "models" / str(version)
    if not (kept / "manifest.json").is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=f"fetched-{version}-") as fetched:
            mlflow.artifacts.download_artifacts(source, dst_path=fetched, tracking_uri=settings.load().tracking)
            try:
                os.replace(Path(fetched) / BUNDLE, kept)
            except OSError:
                if not (kept / "manifest.json").is_file():  # else another process was faster
                    raise
    return kept


def local_folder(source: str) -> Path | None:
    """The folder that an address names, where it is one of this machine; needs no MLflow."""
    parts = urlsplit(source)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def _run_of(job: str) -> str | None:
    known = _client().search_runs([_experiment(settings.load())], f"tags.job = '{job}'", max_results=1)
    return str(known[0].info.run_id) if known else None


def _registered(version: Any) -> Registered:
    return Registered(
        version=int(version.version),
        name=version.tags.get("name", ""),
        run=version.run_id or "",
        source=version.source,
        tags=dict(version.tags),
    )


def _client() -> "MlflowClient":
    return _connected(settings.load().tracking)


@cache
def _connected(address: str) -> "MlflowClient":
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before the import, which would send
    if address.startswith("sqlite:///"):
        Path(address.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=address, registry_uri=address)


@cache
def _experiment(given: settings.Settings) -> str:
    """The experiment's id; a store that is a mere database gets its files beside the rest of the installation."""
    from mlflow.exceptions import MlflowException

    client = _client()
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is not None:
        return str(known.experiment_id)
    files = (given.home / "artifacts").as_uri() if "sql" in given.tracking.split(":")[0] else None
    try:
        return str(client.create_experiment(EXPERIMENT, artifact_location=files))
    except MlflowException:  # another process was faster
        known = client.get_experiment_by_name(EXPERIMENT)
        if known is None:
            raise
        return str(known.experiment_id)
