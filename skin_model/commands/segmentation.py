"""The command `segmentation`."""

import argparse
from pathlib import Path

from skin_model.commands import OK


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmentation`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="HAM10000 with its lesion masks")
    parser.add_argument("--split", type=Path, required=True, metavar="CSV", help="folds to learn from, test to measure")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for the segmentation")
    parser.add_argument("--epochs", type=int, default=14, help="over one picture of each lesion (default 14)")
    parser.set_defaults(run=_segmentation)


def _segmentation(options: argparse.Namespace) -> int:
    from rich.console import Console

    from skin_model.progress import steps
    from skin_model.services import segmentation

    console = Console(stderr=True)
    with steps("") as advance:
        made = segmentation.make(
            data=options.data, split=options.split, out=options.out, epochs=options.epochs,
            on_stage=lambda stage: console.print(f"{stage} ...", highlight=False), on_step=advance,
        )  # fmt: skip
    for line in segmentation.lines(made):
        print(line)
    print(f"segmentation: {options.out}")
    return OK
