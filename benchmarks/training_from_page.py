"""Epochs per minute of a training started from the page against the same one started from the command line.

python -m benchmarks.training_from_page
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from benchmarks import installation
from benchmarks.measuring import ROOT, Comparison, arguments, parsed, report
from skin_model.entities import DataSet
from skin_model.recipe import TrainingConfig
from skin_model.services import orders
from skin_model.training.state import read_state


def from_page(data: DataSet, config: TrainingConfig) -> float:
    """Seconds from the end of the first epoch to that of the last."""
    job = installation.start(data, config)
    taken = between(lambda: len(orders.history(job=job)), config.epochs)
    installation.ended(job)
    return taken


def from_command_line(data: DataSet, config: TrainingConfig) -> float:
    """Seconds from the end of the first epoch to that of the last."""
    with tempfile.TemporaryDirectory() as place:
        split, out = Path(place) / "split.csv", Path(place) / "run"
        split.write_text(data.split, encoding="utf-8")
        given = [f"--{f.name.replace('_', '-')}={getattr(config, f.name)}" for f in fields(config)
                 if getattr(config, f.name) != f.default]  # fmt: skip
        command = [sys.executable, "-m", "skin_model", "train", f"--data={data.folder}", f"--split={split}",
                   f"--out={out}", *given]  # fmt: skip
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            taken = between(lambda: read_state(out).epoch if (out / "run.json").is_file() else 0, config.epochs)
            if process.wait():
                raise RuntimeError(f"the command ended with status {process.returncode}")
    return taken


def between(finished: Callable[[], int], epochs: int) -> float:
    """Seconds between the end of the first and the last of `epochs`, of which `finished` tells the number."""
    installation.wait(lambda: finished() >= 1)
    began = time.monotonic()
    installation.wait(lambda: finished() >= epochs)
    return time.monotonic() - began


def main() -> None:
    parser = arguments("Epochs per minute, from the page and from the command line.", rounds=3)
    parser.add_argument("--lesions", type=int, default=60, help="drawn lesions per class")
    parser.add_argument("--epochs", type=int, default=12)
    args = parsed(parser)
    page: list[float] = []
    line: list[float] = []
    with installation.installation(args.lesions) as data:
        config = installation.small(epochs=args.epochs)
        for _ in range(args.rounds):
            line.append(from_command_line(data, config))
            page.append(from_page(data, config))
        images = data.summary["images"]
    epochs = 60 * (args.epochs - 1) * args.rounds
    ours, against = epochs / sum(page), epochs / sum(line)
    row = Comparison(
        "a training from the page, against the same from the command line", ours, against, "epochs per minute",
        ours / against, "at least 0.97",
    )  # fmt: skip
    report(args, [row], {
        "input": f"{images} drawn images, {config.network} at {config.size} pixels",
        "each training": f"{args.epochs} epochs",
    })  # fmt: skip


if __name__ == "__main__":
    main()
