"""The queues as a page or a command sees them: put a job in, look, cancel, resume, delete.

Each function raises StoreError where the queues cannot be reached or are damaged.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from skin_model import settings
from skin_model.entities import Job
from skin_model.errors import JobError, SkinModelError
from skin_model.store import database, records

if TYPE_CHECKING:
    from dbos import DBOSClient, WorkflowStatus

APPLICATION = "skin_model"
WORK = "work"  # one at a time per worker: whatever needs processor and memory
PLANS = "plans"  # jobs that only start others and wait for them; on a queue of their own, or both would wait for ever
BULKY = "files"  # of an order: what lists of jobs leave out, for there may be millions of names
_STATES = {
    "DELAYED": "waiting", "ENQUEUED": "waiting", "PENDING": "running", "SUCCESS": "done", "ERROR": "failed",
    "CANCELLED": "cancelled", "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
}  # fmt: skip
_BROKE_OFF = (
    "The worker ended each time it ran this, most likely for want of memory. Ask for smaller batches or smaller "
    "images, or run it where there is more memory. Where the disk was full, make room, then resume."
)
_UNEXPECTED = "Something went wrong inside this tool ({}). The worker's log says more; tell your IT."


@contextmanager
def _named(address: str = "") -> Iterator[None]:
    with database.explained(
        "The queues",
        address or settings.load().jobs,
        check="the folder can be written, or that the database server runs",
        anew="new queues begin, without the jobs so far; finished versions stay",
    ):
        yield


@_named()
def enqueue(*, kind: str, order: dict[str, Any], job: str, queue: str = WORK) -> str:
    """Put a job in; an id that is there already is left as it is, so pressing twice starts one job.

    Args:
        kind: name of the workflow.
        order: what it is called with; plain values only.  Lists of jobs tell it without `BULKY`.
        job: unique id.
        queue: `WORK` or `PLANS`.
    """
    client().enqueue(
        {"workflow_name": kind, "queue_name": queue, "workflow_id": job, "attributes": in_lists(order, queue)}, order
    )
    return job


def in_lists(order: dict[str, Any], queue: str) -> dict[str, Any]:
    """What lists of jobs read of one that is put in, without its whole order."""
    return {"queue": queue, "order": {name: value for name, value in order.items() if name != BULKY}}


@_named()
def listed(
    *,
    states: Iterable[str] = (),
    kinds: Iterable[str] = (),
    limit: int | None = None,
    parent: str | None = None,
    outcomes: bool = True,
) -> list[Job]:
    """Jobs, the newest first: those of some states, or all; the parts of one job, or jobs that are no part.

    Their orders are without `BULKY`.

    Args:
        states: as `Job.state` has them; all where none is named.
        kinds: names of workflows; all where none is named.
        limit: how many at most.
        parent: id of the job whose parts are meant.
        outcomes: also read what came of them, which may be large.
    """
    if not started():
        return []
    wanted = set(states)
    asked = [name for name, state in _STATES.items() if state in wanted] or None
    parts: dict[str, Any] = {"has_parent": False} if parent is None else {"parent_workflow_id": parent}
    found = client().list_workflows(
        status=asked,
        name=list(kinds) or None,
        limit=limit,
        sort_desc=True,
        load_input=False,
        load_output=outcomes,
        **parts,
    )
    return _jobs(found)


@_named()
def find(job: str) -> Job:
    """One job.  Raises JobError where there is none."""
    found = _jobs(client().list_workflows(workflow_ids=[job])) if started() else []
    if not found:
        raise JobError(f"There is no job {job}; it may have been deleted. Look at the list again.")
    return found[0]


@_named()
def steps(job: str, name: str) -> list[Any]:
    """What the job's finished steps of that name came to, in order."""
    return [s["output"] for s in client().list_workflow_steps(job) if s["function_name"] == name and s["error"] is None]


@_named()
def cancel(job: str) -> None:
    """Stop a job and its parts; who runs them notices within a batch.  Raises JobError where it is over."""
    found = find(job)
    if found.over:
        raise JobError(f"This job is {found.state} already; there is nothing to cancel.")
    client().cancel_workflow(job, cancel_children=True)


@_named()
def resume(job: str) -> None:
    """Let a cancelled or failed job and its parts go on after what they had finished.

    Raises:
        JobError: where it is neither.
    """
    found = find(job)
    if found.state not in ("failed", "cancelled"):
        raise JobError(f"This job is {found.state}; only a cancelled or failed one can be resumed.")
    for part in listed(states=("failed", "cancelled"), parent=job):
        resume(part.id)
    (status,) = client().list_workflows(workflow_ids=[job], load_input=False, load_output=False)
    queue = (status.attributes or {}).get("queue", WORK)
    if found.state == "cancelled":
        client().resume_workflow(job, queue_name=queue)
        return
    done = client().list_workflow_steps(job, load_output=True)
    first_failed = min((s["function_id"] for s in done if s["error"] is not None), default=None)
    after = max((s["function_id"] for s in done), default=0) + 1
    client().rewind_workflow(job, start_step=first_failed or after, queue_name=queue)


@_named()
def delete(job: str) -> None:
    """Forget a job and its parts.  Raises JobError where it is not over."""
    if not find(job).over:
        raise JobError("This job is not over; cancel it first.")
    parts = [part.id for part in listed(parent=job)]
    client().delete_workflow(job, delete_children=True)
    with database.writing() as record:
        for name in (job, *parts):
            records.forget(record, name)


def started() -> bool:
    """Whether anything was ever queued; asks no server and loads nothing."""
    return database.exists(settings.load().jobs)


def client() -> "DBOSClient":
    """This process's way to the queues; makes their tables where they are missing."""
    return _client(settings.load().jobs)


@cache
def _client(address: str) -> "DBOSClient":
    from dbos import DBOSClient

    prepare(address)
    return DBOSClient(system_database_url=address, application_name=APPLICATION, retry_connection_errors=False)


def prepare(address: str) -> None:
    """Make the queues' tables where they are missing."""
    from dbos import DBOS

    with _named(address):
        if address.startswith("sqlite:///"):
            Path(address.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            engine = sa.create_engine(address, connect_args={"timeout": database.PATIENCE})
            with engine.connect() as connection:  # the file remembers: readers no longer wait for writers
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            engine.dispose()
        DBOS.migrate(address)


def _jobs(found: "list[WorkflowStatus]") -> list[Job]:
    asked = [s.workflow_id for s in found if s.status == "PENDING" or len(found) == 1]
    told: dict[str, dict[str, Any]] = {}
    if asked:
        with database.reading() as record:
            told = records.told(record, asked)
    return [_job(status, _order(status), told.get(status.workflow_id, {})) for status in found]


def _order(status: "WorkflowStatus") -> dict[str, Any]:
    """What a job was called with, as far as it was read."""
    if status.input and status.input["args"]:
        return dict(status.input["args"][0])
    return dict((status.attributes or {}).get("order", {}))


def _job(status: "WorkflowStatus", order: dict[str, Any], progress: dict[str, Any]) -> Job:
    return Job(
        id=status.workflow_id,
        kind=status.name,
        state=_STATES[status.status],
        order=order,
        error=_sentence(status),
        outcome=status.output if status.status == "SUCCESS" else None,
        created=_time(status.created_at),
        ended=_time(status.completed_at),
        worker=status.executor_id or "",
        parent=status.parent_workflow_id or "",
        progress=progress,
    )


def _sentence(status: "WorkflowStatus") -> str:
    if status.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return _BROKE_OFF
    if status.status != "ERROR":
        return ""
    if type(status.error).__name__ == "DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded":  # of a part
        return _BROKE_OFF
    if isinstance(status.error, SkinModelError):
        return str(status.error)
    return _UNEXPECTED.format(f"{type(status.error).__name__}: {status.error}")


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
