"""The process that carries jobs out: takes them from the queues, gives signs of life, takes over from the dead."""

import fcntl
import hashlib
import importlib
import logging
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy.exc import SQLAlchemyError

import skin_model
from skin_model import settings
from skin_model.errors import BusyError, StoreError
from skin_model.jobs.queue import APPLICATION, PLANS, WORK, prepare
from skin_model.store import database, records

Workflow = Callable[[dict[str, Any]], Any]

VERSION = "1"  # of the workflows' steps; a job goes on only with the version that began it
LEASE = 30.0  # seconds without a sign of life after which a worker counts as dead
POLL = 0.5  # seconds between two looks into a queue
NICENESS = 10  # of a worker beside the app: an analysis in the browser comes first
ATTEMPTS = 10  # times a job may take its worker down before it counts as failed
ABSENT = 24 * 3600.0  # seconds without a sign of life after which a worker is forgotten
GROWTH = 150 * 2**20  # bytes of memory more than after its first job with which a worker begins anew
log = logging.getLogger(__name__)


def work(
    workflows: Mapping[str, Workflow],
    *,
    plans: Collection[str] = (),
    lease: float = LEASE,
    slot: int | None = None,
) -> NoReturn:
    """Carry jobs out until the process is told to end (SIGTERM, SIGINT), which ends it; never returns.

    Args:
        workflows: name -> function of an order.
        plans: names of those that only start others and wait for them.
        lease: seconds without a sign of life after which another worker counts as dead.
        slot: descriptor of a slot's lock that the caller has taken for this process; by default a free one is taken.

    Raises:
        StoreError: queues or record cannot be reached.
    """
    stop = threading.Event()
    given = settings.load()
    if slot is None:
        executor, lock = _take_slot(given.home)
    else:
        executor, lock = _name(given.home, 0), slot
        _step_back()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        prepare(given.jobs)
        with database.writing() as record:
            records.beat(record, executor, os.getpid())
        launch(_renewing(workflows, plans), executor, given.jobs, plans)
        log.warning("worker %s has started", executor)
    except BaseException:
        os.close(lock)
        raise
    _live(stop, executor, lease)


def _live(stop: threading.Event, executor: str, lease: float) -> NoReturn:
    """Give signs of life until the process is told to end, and end it at once.

    In an orderly end DBOS' threads would go on taking jobs, which nobody would carry out; and what is under way is made
    to survive a kill.
    """
    left, status = set[str](), 1
    try:
        while not stop.wait(lease / 6):
            left = _show_life(executor, lease, left)
        with database.writing() as record:
            records.beat(record, executor, os.getpid(), gone=True)
        status = 0
    except Exception:
        log.exception("worker %s could not go on", executor)
    finally:
        logging.shutdown()
        os._exit(status)


def _step_back() -> None:
    """Let the app, which started this process, go first wherever both want a processor."""
    os.nice(max(0, NICENESS - os.nice(0)))  # once, however often the process begins anew
    # Linux shares the processors out among sessions first, and this process leads one: niceness counts only within it.
    with suppress(OSError):  # no such file, or read-only, in some containers: there niceness alone counts
        Path("/proc/self/autogroup").write_text(str(NICENESS))


def _renewing(workflows: Mapping[str, Workflow], plans: Collection[str]) -> dict[str, Workflow]:
    """The workflows; one that finds the process grown or the program updated begins it anew and is carried out by that.

    TensorFlow keeps some graphs of every network that was trained (2.21), and a search trains hundreds; and a worker
    outlives an update of the app, whose orders the old program may not understand.  Nothing is
    lost: the jobs before are recorded by then, plans wait in the database, and the new process, of the same name, takes
    up what this one had taken.
    """
    after: list[int] = []  # each job: resident bytes
    program = _program()

    def renewing(workflow: Workflow) -> Workflow:
        @wraps(workflow)
        def carried_out(order: dict[str, Any]) -> Any:
            if after and after[-1] > after[0] + GROWTH:
                log.warning("this worker begins anew, for its memory has grown by %d MB", (after[-1] - after[0]) >> 20)
                _begin_anew()
            if _program() != program:
                log.warning("this worker begins anew, for the program was updated")
                _begin_anew()
            try:
                return workflow(order)
            finally:
                after.append(_resident())

        return carried_out

    return {name: act if name in plans else renewing(act) for name, act in workflows.items()}


def _begin_anew() -> NoReturn:
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _program() -> str:
    """A fingerprint of this program's source files as they are on disk now."""
    sources = sorted(Path(skin_model.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(str(path).encode() + path.read_bytes() for path in sources)).hexdigest()


def _resident() -> int:
    """Bytes of memory in use (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def launch(workflows: Mapping[str, Workflow], executor: str, address: str, plans: Collection[str] = ()) -> None:
    """Let DBOS take jobs from the queues in threads of this process; plans may be begun as often as it takes."""
    from dbos import DBOS, DBOSConfig

    _leave_random_alone()
    config = DBOSConfig(
        name=APPLICATION, system_database_url=address, executor_id=executor, application_version=VERSION,
        log_level="WARNING",
    )  # fmt: skip
    DBOS(config=config)
    for name, function in workflows.items():
        DBOS.workflow(name=name, max_recovery_attempts=None if name in plans else ATTEMPTS)(function)
    DBOS.launch()
    DBOS.register_queue(WORK, worker_concurrency=1, polling_interval_sec=POLL, on_conflict="always_update")
    DBOS.register_queue(PLANS, worker_concurrency=8, polling_interval_sec=POLL, on_conflict="always_update")


def _leave_random_alone() -> None:
    """Give DBOS a random generator of its own.

    Its threads draw from Python's global one all the time; a draw between the seeding of a training and the building of
    its network would change the network's first weights, and no run could be repeated.
    """
    own = random.Random()
    for name in ("_queue", "_scheduler", "_sys_db", "_workflow_commands"):
        vars(importlib.import_module(f"dbos.{name}"))["random"] = own


def slot_file(home: Path, number: int = 0) -> Path:
    """The file whose lock makes a worker the only one of its name."""
    return home / "workers" / f"{number}.lock"


def take(path: Path) -> int:
    """A descriptor that holds the lock of a file, for this process and those that inherit it.

    Raises:
        BusyError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise BusyError("A worker of this installation is at work already.") from error
    return handle


def _take_slot(home: Path) -> tuple[str, int]:
    """The first free name: the same one after a restart, and never that of another living worker."""
    for number in range(1000):
        try:
            return _name(home, number), take(slot_file(home, number))
        except BusyError:
            continue
    raise BusyError("A thousand workers of this installation are at work already.")


def _name(home: Path, number: int) -> str:
    """Host, folder and number: workers with folders of their own may share a host."""
    place = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:8]
    return f"{socket.gethostname()}-{place}-{number}"


def _show_life(executor: str, lease: float, left: set[str]) -> set[str]:
    """Give a sign of life, take over the jobs of workers that give none, and take up again those left in between.

    Those are what this worker has taken and no thread of it carries out, as where there was no room to write how a job
    ended.  One is in between for a moment whenever it is taken, so only those count that were so at the look before.

    Args:
        executor: this worker's name.
        lease: seconds without a sign of life after which a worker counts as dead.
        left: what the look before has returned.

    Returns:
        Ids of the jobs that are in between now.
    """
    from dbos import DBOS
    from dbos._dbos import _get_dbos_instance
    from dbos._recovery import _recover_workflow

    dbos = _get_dbos_instance()
    try:
        with database.writing() as record:
            records.beat(record, executor, os.getpid())
            silent = {name: age for name, age in records.beats(record).items() if age > lease and name != executor}
        if silent:
            DBOS._recover_pending_workflows(list(silent))
            with database.writing() as record:
                records.forget_workers(record, [name for name, age in silent.items() if age > max(lease, ABSENT)])
        taken = {job.workflow_id: job for job in dbos._sys_db.get_pending_workflows(executor, VERSION)}
        between = taken.keys() - set(dbos._active_workflows_set.activeList())
        for job in between & left:
            log.warning("job %s, which nobody carries out, is taken up again", job)
            _recover_workflow(dbos, taken[job], [executor])
        return between - left
    except (StoreError, OSError, SQLAlchemyError) as error:  # the database may come back
        log.warning("no sign of life could be given: %s", error)
        return left
