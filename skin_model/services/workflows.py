"""What workers carry out: each function is one workflow, called with a plain order, and durable by its steps."""

import json
import tempfile
import time
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

from skin_model import bundle, settings, tracking
from skin_model.dataset import splits
from skin_model.errors import BundleError, JobError
from skin_model.jobs import queue, worker
from skin_model.jobs.running import Running, step
from skin_model.services import attempts, comparing, divided, durable, models, registry, training
from skin_model.services.durable import REGISTER
from skin_model.services.telling import Telling, sentences


def train(order: dict[str, Any]) -> dict[str, Any]:
    """Train one network, make a model of it and register it.

    Args:
        order: name, data_set (id), fingerprint (of its split), config, views, sensitivity, actor.

    Returns:
        The registered `version`, its `name`, `best_epoch`, `epochs`, and of the test part headline `figures`, `recalls`
        per class and `confusion` matrix.
    """
    me = Running.current()
    if kept := queue.steps(me.job, REGISTER):  # steps are numbered, and one who trains anew may need other epochs
        return dict(kept[0])
    config = durable.settings_of(order)
    telling = Telling(me, config)
    telling.stage("reading the data set")
    home = settings.load().runs
    home.mkdir(parents=True, exist_ok=True)
    with sentences(str(home)):
        data = durable.data_set(order)
        run = step("begin", _begin, me.job, order, data.drawn)
        folder = attempts.own(home / me.job, me.token)
        state = durable.trained(me, telling, config, data, folder, run)
        made = _bundled(telling, data.folder, folder, order)
        learned = {"best_epoch": state.best_epoch, "epochs": state.epoch}
        outcome: dict[str, Any] = step(REGISTER, lambda: _register(run, folder, made, data.drawn) | learned)
        attempts.clear_others(home / me.job, me.token)
    telling.stage(f"registered as version {outcome['version']}")
    return outcome


def rehearse(order: dict[str, Any]) -> dict[str, float]:
    """A few steps of a training, to catch settings that cannot work and to measure its pace; leaves nothing.

    Args:
        order: as for `train`.

    Returns:
        `start` (seconds until the first step was done), `batch` (seconds per step), `batches` per epoch.
    """
    me, config = Running.current(), durable.settings_of(order)
    telling = Telling(me, config)
    telling.stage("trying a few steps")
    times: list[float] = []

    def on_batch(epoch: int, batch: int, batches: int, loss: float) -> bool:
        times.append(time.monotonic())
        measured.update(batches=batches)
        return telling.batch(epoch, batch, batches, loss) or len(times) > _REHEARSED

    home, measured = settings.load().runs, dict[str, float]()
    home.mkdir(parents=True, exist_ok=True)
    with sentences(str(home)), tempfile.TemporaryDirectory(prefix=".rehearsal-", dir=home) as folder:
        began, data, split = time.monotonic(), durable.data_set(order), Path(folder) / "split.csv"
        split.write_text(data.split, encoding="utf-8")
        training.train(
            data=data.folder, folder=Path(folder) / "run", config=config, split=split, guard=False, on_batch=on_batch
        )
    me.check()
    pace = (times[-1] - times[0]) / max(1, len(times) - 1)
    return {"start": times[0] - began, "batch": pace, **measured}


def compare(order: dict[str, Any]) -> dict[str, Any]:
    """Champion against challenger on the test part of a data set.

    Args:
        order: champion and challenger (`registry.reference` of each), data_set (id), fingerprint (of its split).

    Returns:
        `comparing.Comparison` as plain values.
    """
    me = Running.current()
    me.check()

    def on_progress(done: int, total: int) -> None:
        me.check()
        me.tell({"stage": "judging the test lesions", "done": done, "total": total, "memory": 0})

    with sentences(str(settings.load().home)):
        data = durable.data_set(order)
        champion, challenger = (registry.load(**order[name]) for name in ("champion", "challenger"))
        found = comparing.compare(
            champion=champion, challenger=challenger, data=data, split=splits.read_text(data.split),
            on_progress=on_progress,
        )  # fmt: skip
    return found.to_plain()


def _told(workflow: worker.Workflow) -> worker.Workflow:
    """The workflow; what becomes of its MLflow run is told there too."""

    @wraps(workflow)
    def carried_out(order: dict[str, Any]) -> Any:
        me = Running.current()
        job = me.job
        tracking.mark(job, "RUNNING")
        try:
            outcome = workflow(order)
            tracking.mark(job, "FINISHED")
            me.check()
            return outcome
        except Exception:
            tracking.mark(job, "FAILED")
            raise
        except BaseException:  # cancelled, or taken over by another worker, whose run it is now
            if _withdrawn(job):
                attempts.withdraw(settings.load().runs / job)
                tracking.withdraw(job)
                tracking.mark(job, "KILLED")
            raise

    return carried_out


def _withdrawn(job: str) -> bool:
    """Whether nobody wants what comes of a job any more."""
    try:
        return queue.find(job).state == "cancelled"
    except JobError:  # it was deleted as soon as it was cancelled
        return True


_REHEARSED = 6  # steps after the first
WORKFLOWS: dict[str, worker.Workflow] = {
    "train": _told(train), "rehearse": rehearse, "compare": compare, "score": divided.score, "chunk": divided.chunk,
    **{name: _told(workflow) for name, workflow in divided.TRAININGS.items()},
}  # fmt: skip


def work(*, slot: int | None = None) -> NoReturn:
    """Carry out what is queued until the process is told to end; `slot` as in `jobs.worker.work`."""
    worker.work(WORKFLOWS, plans=divided.PLANS, slot=slot)


def _begin(job: str, order: dict[str, Any], drawn: bool) -> str:
    registry.ensure()
    return durable.begin(job, order, "train", drawn)


def _bundled(telling: Telling, data: Path, folder: Path, order: dict[str, Any]) -> bundle.Bundle:
    """The model made of a training; kept where it was whole before."""
    out = folder / "bundle"
    try:
        return bundle.read(out)
    except BundleError:
        return models.make_bundle(
            data=data, run=folder, out=out, views=order["views"], sensitivity=order["sensitivity"],
            on_stage=telling.stage,
        )  # fmt: skip


def _register(run: str, folder: Path, made: bundle.Bundle, drawn: bool) -> dict[str, Any]:
    """Keep the training's files and its model, and make it a version."""
    evaluation = json.loads(made.text("evaluation.json"))
    figures = {k: v for k, v in evaluation.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    tracking.log_figures(run, {f"test_{k}": v for k, v in figures.items()}, 0)
    manifest = bundle.sha256(made.folder / "manifest.json")
    tags = {"drawn": str(drawn).lower(), "task": made.manifest.task, "manifest": manifest}
    registry.ensure()
    version = tracking.register(run, made.folder, name=made.manifest.model_version, tags=tags)
    intervals = evaluation.get("intervals") or {}
    recalls = {
        code: {"value": of_class["recall"], "interval": intervals.get(f"per_class.{code}.recall")}
        for code, of_class in (evaluation.get("per_class") or {}).items()  # a binary model has none
    }
    figures["malignant_auc"] = evaluation["malignant"]["auc"]
    outcome = {"version": version.version, "name": version.name, "figures": figures}
    return outcome | {"recalls": recalls, "confusion": evaluation.get("confusion_matrix")}
