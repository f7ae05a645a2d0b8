"""The commands `dataset validate`, `draw`, `lookalikes` and `split`."""

import argparse
from pathlib import Path

from skin_model.commands import OK, SOME_FAILED


def add(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `dataset`."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    validate = actions.add_parser("validate", help="report every problem of a data set at once")
    validate.add_argument("folder", type=Path, metavar="DIR")
    validate.set_defaults(run=_validate)
    draw = actions.add_parser("draw", help="draw synthetic lesions in HAM10000's layout")
    draw.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    draw.add_argument("--lesions", type=int, default=20, help="lesions per class (default 20)")
    draw.add_argument("--height", type=int, default=450, help="pixels (default 450)")
    draw.add_argument("--width", type=int, default=600, help="pixels (default 600)")
    draw.add_argument("--seed", type=int, default=0)
    draw.set_defaults(run=_draw)
    lookalikes = actions.add_parser("lookalikes", help="list pictures that seem to show one lesion under two")
    lookalikes.add_argument("folder", type=Path, metavar="DIR")
    lookalikes.add_argument("file", type=Path, metavar="CSV", help="the list to write, for a review")
    lookalikes.add_argument(
        "--model", type=Path, metavar="BUNDLE", help="its embeddings find what to compare (default: the model in use)"
    )
    lookalikes.set_defaults(run=_lookalikes)
    split = actions.add_parser("split", help="divide a data set by lesion into test, calibration and folds")
    split.add_argument("folder", type=Path, metavar="DIR")
    split.add_argument("file", type=Path, metavar="CSV", help="the table to write")
    split.add_argument("--seed", type=int, default=0)
    split.add_argument("--folds", type=int, default=5, help="2 to 10 (default 5)")
    split.add_argument(
        "--reviewed", type=Path, metavar="CSV", help="list of `lookalikes` after a review: keeps a lesion in one part"
    )
    split.set_defaults(run=_split)


def _validate(options: argparse.Namespace) -> int:
    from skin_model.progress import steps
    from skin_model.services import datasets

    with steps("validating") as advance:
        problems = datasets.validate(folder=options.folder, on_progress=advance)
    for problem in problems:
        print(f"{'problem' if problem.fatal else 'note'}: {problem.sentence}")
        if problem.fatal and problem.count > len(problem.examples):
            print(*(f"  {name}" for name in problem.names), sep="\n")
    fatal = sum(problem.fatal for problem in problems)
    print(f"{fatal} problems, {len(problems) - fatal} notes")
    return SOME_FAILED if fatal else OK


def _draw(options: argparse.Namespace) -> int:
    from skin_model.progress import steps
    from skin_model.services import datasets

    size = (options.height, options.width)
    with steps("drawing") as advance:
        datasets.draw(folder=options.folder, lesions=options.lesions, seed=options.seed, size=size, on_progress=advance)
    print(f"synthetic lesions drawn in {options.folder}")
    return OK


def _lookalikes(options: argparse.Namespace) -> int:
    from rich.console import Console

    from skin_model.progress import steps
    from skin_model.services import datasets, workspace

    classifier = workspace.load(options.model)
    console = Console(stderr=True)
    with steps("") as advance:
        listed = datasets.find_lookalikes(
            classifier=classifier, folder=options.folder, file=options.file,
            on_stage=lambda stage: console.print(f"{stage} ...", highlight=False), on_progress=advance,
        )  # fmt: skip
    print(f"{options.file}: {len(listed)} pairs of pictures that seem to show one lesion, but stand under two")
    print("Write yes in the column same_lesion where both show one lesion, and give the file to split --reviewed.")
    return OK


def _split(options: argparse.Namespace) -> int:
    from skin_model.services import datasets

    table, fingerprint = datasets.split(
        folder=options.folder,
        file=options.file,
        seed=options.seed,
        folds=options.folds,
        reviewed=options.reviewed,
    )
    print(table.groupby(["part", "dx"]).size().unstack(fill_value=0).to_string())
    print(f"{options.file}: SHA-256 of the split {fingerprint}")
    return OK
