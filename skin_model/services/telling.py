"""What a running job tells of itself: stage, epoch, batch, speed, memory, time left, the last lines of its log."""

import resource
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from skin_model.errors import SkinModelError, TrainingError
from skin_model.jobs.running import Running
from skin_model.recipe import EpochRecord, TrainingConfig

LINES = 30
_DISK_FULL = 28
_MEMORY = ("ResourceExhaustedError", "OOM", "out of memory", "bad_alloc", "std::bad_alloc")


class Telling:
    """Collects what is known of a training and hands it on, at most twice a second.

    Args:
        running: the execution that tells.
        config: of the training.
    """

    def __init__(self, running: Running, config: TrainingConfig) -> None:
        self._running, self._config = running, config
        self._lines: deque[str] = deque(maxlen=LINES)
        self._state: dict[str, Any] = {"stage": "starting", "epochs": config.epochs}
        self._began, self._batches = 0.0, 0

    def stage(self, words: str) -> None:
        """Say what is being done now; leaves where the job was cancelled or taken over."""
        self._running.check()
        self._state |= {"stage": words}
        self.line(words)

    def line(self, text: str) -> None:
        """Add a line to the log."""
        self._lines.append(f"{datetime.now(UTC):%H:%M:%S} {text}")
        self._hand_on(now=True)

    def check(self, done: int, total: int) -> None:
        """Note images that the leak guard has compared."""
        if done % 256 == 0:
            self._running.check()
        self._state |= {"stage": "looking for leaks", "done": done, "total": total}
        self._hand_on()

    def answer(self, done: int, total: int) -> None:
        """Note images that a finished network has judged."""
        self._running.check()
        self._state |= {"stage": "judging images", "done": done, "total": total}
        self._hand_on()

    def batch(self, epoch: int, batch: int, batches: int, loss: float) -> bool:
        """Note a batch, or a step of the fit that follows the last epoch; whether to stop."""
        if epoch == self._config.epochs:
            stage = "fitting the last layer anew"
            self._state |= {"stage": stage, "done": batch, "total": batches, "images_per_second": None}
            self._hand_on()
            return self._running.stopped()
        now = time.monotonic()
        if batch == 1:
            self._began, self._batches = now, 0
        else:
            self._batches += 1
        pace = (now - self._began) / self._batches if self._batches else 0.0
        left = (self._config.epochs - epoch - 1) * batches + batches - batch
        self._state |= {"stage": "training", "epoch": epoch + 1, "batch": batch, "batches": batches, "loss": loss}
        self._state |= {"images_per_second": self._config.batch / pace if pace else None, "left": left * pace or None}
        self._hand_on()
        return self._running.stopped()

    def epoch(self, record: EpochRecord) -> None:
        """Note a finished epoch."""
        judged = _judged(record)
        self.line(
            f"epoch {record.epoch}: loss {record.loss:.4f}{', ' if judged else ''}{judged}, {record.seconds:.0f} s"
        )

    def refitted(self, record: EpochRecord) -> None:
        """Note the figures of the kept epoch with its last layer fitted anew."""
        self.line(f"last layer fitted anew: {_judged(record) or 'not validated'}")

    def _hand_on(self, *, now: bool = False) -> None:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._running.tell(self._state | {"memory": memory, "log": list(self._lines)}, now=now)


def _judged(record: EpochRecord) -> str:
    return ", ".join(
        f"{words} {value:.3f}"
        for words, value in (
            ("validation loss", record.val_loss),
            ("balanced accuracy", record.val_balanced_accuracy),
            ("macro AUC", record.val_macro_auc),
        )
        if value is not None  # without validation
    )


@contextmanager
def sentences(folder: str) -> Iterator[None]:
    """Turn what may go wrong around a training into sentences for the person who asked for it."""
    try:
        yield
    except SkinModelError:
        raise
    except OSError as error:
        if error.errno == _DISK_FULL:
            free = shutil.disk_usage(folder).free // 2**20
            raise TrainingError(f"The disk is full ({free} MB left at {folder}). Make room, then resume.") from error
        place = f"{error.filename}: " if error.filename else ""
        raise TrainingError(f"{place}{error.strerror or error}. Mend this, then resume.") from error
    except Exception as error:
        if isinstance(error, MemoryError) or any(mark in f"{type(error).__name__} {error}" for mark in _MEMORY):
            raise TrainingError(
                "There is not enough memory for this training. Clone it with smaller batches or smaller images."
            ) from error
        raise
    finally:
        if keras := sys.modules.get("keras"):  # or what it holds of finished networks adds up
            keras.utils.clear_session()
