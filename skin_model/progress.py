"""Progress on a terminal, with the time left; plain lines where the output is a file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from skin_model.entities import EpochRecord


@contextmanager
def steps(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that reports (done, total)."""
    console = Console(stderr=True)
    with Progress(TextColumn(label), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn(),
                  console=console, transient=True) as progress:  # fmt: skip
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class TrainingProgress:
    """A bar over all batches with the time left, and one line per finished epoch."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
        )

    def __enter__(self) -> "TrainingProgress":
        self._progress.start()
        self._task = self._progress.add_task("reading data, building the network", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def batch(self, epoch: int, batch: int, batches: int, loss: float) -> None:
        """Note one finished batch."""
        self._progress.update(
            self._task,
            completed=epoch * batches + batch,
            total=self._epochs * batches,
            description=f"epoch {epoch + 1}/{self._epochs}  loss {loss:.3f}",
        )

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Print one finished epoch."""
        self._progress.console.print(
            f"epoch {record.epoch:3d}  loss {record.loss:.4f}  accuracy {record.accuracy:.3f}  "
            f"validation: loss {record.val_loss:.4f}  accuracy {record.val_accuracy:.3f}  "
            f"balanced accuracy {record.val_balanced_accuracy:.3f}  macro AUC {record.val_macro_auc:.4f}  "
            f"{record.seconds:.0f} s{'  best' if best else ''}",
            soft_wrap=True,
        )
