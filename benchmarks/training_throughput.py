"""Training images per second on the real pipeline against the same training step fed from memory, and peak memory.

    python -m benchmarks.training_throughput

The real training runs as `python -m skin_model train` runs it; after each of its epochs a twin of its network takes as
many steps on one batch that already lies in memory.  The first epoch, which traces the graph, counts for neither.
Memory is that of one epoch and of the last layer fitted anew, on few and on four times as many images.
"""

import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import fields, replace
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measuring import Comparison, arguments, folder_of, parsed, photographs, report
from skin_model import bundle, networks
from skin_model.bundle import Bundle
from skin_model.recipe import EpochRecord, TrainingConfig
from skin_model.taxonomy import CODES
from skin_model.training import run
from skin_model.training.state import RunState, write_state

SPLIT = "benchmark"
VALIDATION = 14
DIFFERENT = 42  # images, repeated
MORE = 4  # times as many images


def configuration(made: Bundle, folder: Path) -> TrainingConfig:
    """The last training that the bundle went through, with new weights, and without teachers, which no bundle has."""
    stages = (made.manifest.training, *reversed(made.manifest.stages))
    trained = next((stage for stage in stages if stage.get("epochs_run")), None)  # the others were only joined
    if trained is None:
        raise SystemExit(f"{made.manifest.model_version} does not tell its training; name another model.")
    known = {field.name for field in fields(TrainingConfig)}
    own = TrainingConfig(**{k: v for k, v in trained.items() if k in known})
    folder.mkdir()
    # a training asks where its weights come from, and takes those of whole runs only
    write_state(RunState(replace(own, weights=None, frozen=0.0, refit=0.0), SPLIT, finished=True), folder)
    weights = folder / "best.keras"
    networks.build(own.network, size=own.size, task=own.task, metadata=own.columns).save(weights)
    return replace(own, weights=str(weights), teachers="", patience=1000, warmup_epochs=0.0, freeze_epochs=0)


def table_of(images: list[Path], masks: list[Path], rows: int) -> pd.DataFrame:
    """So many rows of a data set; masks of other lesions cost what an image's own would."""
    paths, outlines, codes = cycle(images), cycle(masks or [None]), cycle(CODES)
    known = {"age": 50.0, "sex": "female", "localization": "back"}
    return pd.DataFrame(
        [{"path": next(paths), "mask": next(outlines), "dx": next(codes), **known} for _ in range(rows)]
    )


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


def rates(config: TrainingConfig, table: pd.DataFrame, folder: Path) -> tuple[float, float]:
    """Images per second of the real training and of its twin."""
    real: list[float] = []
    memory: list[float] = []
    twin: list[FromMemory] = []

    def after_epoch(record: EpochRecord, best: bool) -> None:
        if record.epoch == 1:
            twin.append(FromMemory(config, table))
            return
        real.append(record.seconds)
        memory.append(twin[0].seconds())

    _train(config, table, folder, after_epoch)
    return len(table) / statistics.median(real), len(table) / statistics.median(memory)


def peak(config: TrainingConfig, table: pd.DataFrame, folder: Path) -> float:
    """Peak resident MiB (Linux) of this process, which has done nothing before and trains now."""
    _train(config, table, folder)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024  # unlike ru_maxrss not that of the process which began this one


def _train(config: TrainingConfig, table: pd.DataFrame, folder: Path, on_epoch: run.OnEpoch | None = None) -> None:
    given = {"config": config, "training": table, "validation": table[:VALIDATION]}
    run.train(folder=folder, split=SPLIT, on_epoch=on_epoch, **given)


def main() -> None:
    parser = arguments("Training on the real pipeline against the same step fed from memory.", rounds=3)
    parser.add_argument("--images", type=int, default=640, help="training images, rounded up to whole batches")
    args = parsed(parser)
    masks = sorted(args.data.glob("ham10000/*segmentation*/*.png"))[:DIFFERENT]
    with ExitStack() as stack:
        results = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        own = configuration(bundle.read(args.model), results / "start")
        own = own if masks else replace(own, attention=0.0)
        count = -(-args.images // own.batch) * own.batch
        pictures, source = photographs(args.data, DIFFERENT)
        images = sorted(Path(stack.enter_context(folder_of(pictures))).iterdir())
        table = table_of(images, masks, count)
        timed = replace(own, epochs=args.rounds + 1, refit=0.0)
        ways = {
            "with standard augmentation, without masks": replace(timed, augmentation="standard", attention=0.0),
            "by the model's own recipe": timed,
        }
        rows = []
        for number, (name, config) in enumerate(ways.items()):
            ours, against = rates(config, table, results / f"{number}")
            claim = f"training, real pipeline {name}, against the step fed from memory"
            rows.append(Comparison(claim, ours, against, "images/s", ours / against, "at least 0.85"))
        peaks = []
        for times in (1, MORE):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                few_or_many = table_of(images, masks, times * count), results / f"{times} times"
                peaks.append(alone.submit(peak, replace(own, epochs=1), *few_or_many).result())
        claim = f"peak memory of training by that recipe, {MORE * count} images over {count}"
        rows.append(Comparison(claim, peaks[1], peaks[0], "MiB", peaks[1] / peaks[0], "at most 1.05"))
    report(
        args,
        rows,
        {
            "training": f"{own.network}, {own.size} pixels, batches of {own.batch}, {own.frozen:g} of the backbone "
                        f"frozen, {own.optimizer}",
            "own recipe": f"{own.augmentation} augmentation, artefacts {own.artefacts:g}, attention "
                          f"{own.attention:g}, patient {own.metadata or 'unknown'}; for memory refit {own.refit:g}",
            "images": f"{count} an epoch, {source}, {len(masks)} masks",
            "repetitions": f"{args.rounds} epochs each, taking turns; for memory one",
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
