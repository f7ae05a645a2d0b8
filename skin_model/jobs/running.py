"""A job as it sees itself while it runs: its token, its steps, its parts, what it tells."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from skin_model.errors import JobError, StoreError
from skin_model.jobs import queue
from skin_model.jobs.queue import WORK
from skin_model.store import database, records

T = TypeVar("T")
EVERY = 0.5  # seconds between two writes of the progress
log = logging.getLogger(__name__)


@dataclass
class Running:
    """One execution of a job; another execution of the same job has another token.

    A worker that was taken for dead may wake up while another has gone on with its job: the database lets only the
    newest execution record steps, and files go to a folder that bears the token.

    Attributes:
        job: id.
        token: names this execution.
    """

    job: str
    token: str
    _told: float = field(default=0.0, repr=False)

    @classmethod
    def current(cls) -> "Running":
        """The execution that this thread carries out."""
        from dbos._context import get_local_dbos_context

        context = get_local_dbos_context()
        if context is None or context.owner_xid is None:
            raise RuntimeError("this thread carries out no job")
        return cls(context.workflow_id, context.owner_xid)

    def stopped(self) -> bool:
        """Whether the job was cancelled, or taken over by another worker; one small query."""
        from dbos._dbos import _get_dbos_instance

        return _get_dbos_instance()._sys_db.get_workflow_owner(self.job) != self.token

    def leave(self) -> NoReturn:
        """End this execution without an outcome: the job was cancelled, or belongs to another worker now."""
        from dbos._error import DBOSWorkflowConflictIDError

        raise DBOSWorkflowConflictIDError(self.job)

    def check(self) -> None:
        """Leave if the job was cancelled or taken over."""
        if self.stopped():
            self.leave()

    def tell(self, state: Mapping[str, Any], *, now: bool = False) -> None:
        """Tell how far the job is; most calls between two writes cost nothing unless `now`.

        A record that cannot be reached for a moment stops no training: nothing told here is needed to go on.
        """
        if now or time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            try:
                with database.writing() as record:
                    records.tell(record, self.job, state)
            except StoreError as error:
                log.warning("how far job %s is could not be told: %s", self.job, error)


def step(name: str, act: Callable[..., T], *arguments: Any) -> T:
    """Do something once: what it came to is kept, and after a crash it is given again instead of done again."""
    from dbos import DBOS

    return DBOS.run_step({"name": name}, act, *arguments)


def parts(kind: str, orders: list[dict[str, Any]]) -> list[Any]:
    """Put parts of this job in and wait for them; what each came to, in order.

    Where one fails the others are cancelled, and its error is raised.
    """
    from dbos import DBOS

    handles = [
        DBOS.enqueue_workflow_with_options(
            {"workflow_name": kind, "queue_name": WORK, "attributes": queue.in_lists(order, WORK)}, order
        )
        for order in orders
    ]
    try:
        return [handle.get_result() for handle in handles]
    except Exception:  # not where this job itself was cancelled or taken over: DBOS has other words for that
        for handle in handles:
            with suppress(JobError):  # it is over
                queue.cancel(handle.workflow_id)
        raise
