"""Progress on a terminal, with the time left; plain lines where the output is a file."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from skin_model.recipe import EpochRecord

MEMORY = 900  # seconds over which the speed is averaged, pauses for validation included


@contextmanager
def steps(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that reports (done, total), gone once all is done."""
    # what is printed meanwhile goes above the bar where both are on one terminal, and as it is into a file or a pipe
    with Progress(TextColumn(label), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn(),
                  console=Console(stderr=True, soft_wrap=True), transient=True,
                  redirect_stdout=sys.stdout.isatty()) as progress:  # fmt: skip
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=done < total)


def judged(record: EpochRecord) -> str:
    """The validation figures of an epoch in one line; "" without validation."""
    if record.val_loss is None:
        return ""
    return (
        f"validation: loss {record.val_loss:.4f}  accuracy {record.val_accuracy:.3f}  "
        f"balanced accuracy {record.val_balanced_accuracy:.3f}  macro AUC {record.val_macro_auc:.4f}"
    )


class TrainingProgress:
    """A bar over all batches of one training, or of several in a row, and one line per finished epoch.

    The time left supposes that each training uses all its epochs; those that stop early or are pruned shorten it.

    Args:
        epochs: of each training.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._run, self._runs, self._name = 0, 1, ""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            speed_estimate_period=MEMORY,
        )
        self._task = self._progress.add_task("reading data, building the network", total=None)

    def __enter__(self) -> "TrainingProgress":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def check(self, done: int, total: int) -> None:
        """Note images that the leak guard has compared."""
        self._progress.update(self._task, description=f"looking for leaks  {done}/{total}")

    def run(self, name: str, number: int, count: int) -> None:
        """Note that the training `number` (from 0) of `count` starts or goes on."""
        self._name, self._run, self._runs = f"{name}  ", number, count
        self._progress.console.print(f"{name} ({number + 1} of {count})", highlight=False)
        self._progress.update(self._task, description=f"{name}  building the network")

    def batch(self, epoch: int, batch: int, batches: int, loss: float) -> None:
        """Note one finished batch, or step of the fit that follows the last epoch."""
        if epoch == self._epochs:
            self._progress.update(self._task, description=f"{self._name}fitting the last layer anew")
            return
        done = (self._run * self._epochs + epoch) * batches + batch
        task = self._progress.tasks[self._task]
        if done != task.completed + 1:  # epochs that were finished before, or never needed, tell nothing of the speed
            self._progress.reset(self._task, completed=done - 1)
        self._progress.update(
            self._task,
            completed=done,
            total=self._runs * self._epochs * batches,
            description=f"{self._name}epoch {epoch + 1}/{self._epochs}  loss {loss:.3f}",
        )

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Print one finished epoch."""
        left = self._progress.tasks[self._task].time_remaining
        validated = judged(record)
        self._progress.console.print(
            f"epoch {record.epoch:3d}  loss {record.loss:.4f}  accuracy {record.accuracy:.3f}  "
            f"{validated}{'  ' if validated else ''}{record.seconds:.0f} s{'  best' if best else ''}"
            f"{f'  at most {timedelta(seconds=int(left))} left' if left else ''}",
            soft_wrap=True,
        )

    def answer(self, done: int, total: int) -> None:
        """Note images that a finished network has judged."""
        self._progress.update(self._task, description=f"{self._name}judging  {done}/{total}")
