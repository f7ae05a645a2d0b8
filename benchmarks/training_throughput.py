"""Training images per second on the real pipeline against the same training step fed from memory.

    python -m benchmarks.training_throughput

The real training runs as `python -m skin_model train` runs it; after each of its epochs a twin of its network takes as
many steps on one batch that already lies in memory.  The first epoch, which traces the graph, counts for neither.
"""

import resource
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measuring import Comparison, arguments, folder_of, parsed, photographs, report
from skin_model import bundle
from skin_model.bundle import Bundle
from skin_model.entities import EpochRecord, TrainingConfig
from skin_model.taxonomy import CODES
from skin_model.training import run
from skin_model.training.state import RunState, write_state

SPLIT = "benchmark"
VALIDATION = 14


def configuration(made: Bundle, epochs: int, folder: Path) -> TrainingConfig:
    """The bundle's own last training, on the bundled network itself, with standard augmentation, pictures alone."""
    known = {field.name for field in fields(TrainingConfig)}
    own = TrainingConfig(**{k: v for k, v in made.manifest.training.items() if k in known})
    folder.mkdir()
    # a training asks where its weights come from
    write_state(RunState(replace(own, weights=None, frozen=0.0), SPLIT), folder)
    weights = str(shutil.copyfile(made.path("network.keras"), folder / "best.keras"))
    return replace(
        own, epochs=epochs, weights=weights, augmentation="standard", patience=1000, warmup_epochs=0.0, freeze_epochs=0,
        attention=0.0, refit=0.0,
    )  # fmt: skip


class FromMemory:
    """The twin: the same network, loss and optimizer, and one batch that is fed again and again."""

    def __init__(self, config: TrainingConfig, table: pd.DataFrame) -> None:
        import tensorflow as tf

        plain = replace(config, augmentation="none", artefacts=0.0, mix="none")
        source = run._batches(plain, table)
        self.model: Any = run._model(RunState(config, SPLIT), Path(), source)
        batch = source.get(0, 0, source.order(0))
        self.batches = tf.data.Dataset.from_tensors(batch).repeat(len(source))
        self.model.fit(self.batches.take(2), verbose=0)

    def seconds(self) -> float:
        """How long one epoch takes."""
        began = time.monotonic()
        self.model.fit(self.batches, verbose=0)
        return time.monotonic() - began


def main() -> None:
    parser = arguments("Training on the real pipeline against the same step fed from memory.", rounds=3)
    parser.add_argument("--images", type=int, default=640, help="training images, rounded up to whole batches")
    args = parsed(parser)
    real: list[float] = []
    memory: list[float] = []
    peak: list[float] = []
    twin: list[FromMemory] = []

    def after_epoch(record: EpochRecord, best: bool) -> None:
        if record.epoch == 1:
            peak.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # MiB on Linux, before the twin
            twin.append(FromMemory(config, table))
            return
        real.append(record.seconds)
        memory.append(twin[0].seconds())

    with ExitStack() as stack:
        results = stack.enter_context(tempfile.TemporaryDirectory())
        config = configuration(bundle.read(args.model), args.rounds + 1, Path(results) / "start")
        steps = -(-args.images // config.batch)
        pictures, source = photographs(args.data, steps * config.batch)
        folder = stack.enter_context(folder_of(pictures))
        paths = sorted(Path(folder).iterdir())
        table = pd.DataFrame({"path": paths, "dx": [CODES[i % len(CODES)] for i in range(len(paths))],
                              "age": None, "sex": None, "localization": None})  # fmt: skip
        run.train(
            config=config, training=table, validation=table[:VALIDATION], folder=Path(results) / "run",
            split=SPLIT, on_epoch=after_epoch,
        )  # fmt: skip
    ours, against = (len(pictures) / statistics.median(t) for t in (real, memory))
    report(
        args,
        [
            Comparison("training, real pipeline with standard augmentation, against the step fed from memory", ours,
                       against, "images/s", ours / against, "at least 0.85"),
            Comparison("peak resident memory of the real training", peak[0], None, "MiB", peak[0], "none set"),
        ],
        {
            "training": f"{config.network}, {config.size} pixels, batches of {config.batch}, "
                        f"{config.frozen:g} of the backbone frozen, {config.optimizer}",
            "images": f"{len(pictures)} files, {source}",
            "repetitions": f"{args.rounds} epochs each, taking turns",
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
