"""The commands `train`, `crossval`, `join` and `search`."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from skin_model.commands import OK
from skin_model.recipe import TrainingConfig

if TYPE_CHECKING:
    from skin_model.progress import TrainingProgress
    from skin_model.services.runs import Watch

_SETTINGS = [field.name for field in fields(TrainingConfig)]


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `train`."""
    _add_places(parser, "folder of this run", "go on from the last finished epoch of --out")
    _add_guard(parser)
    _add_settings(parser, _SETTINGS)
    parser.set_defaults(run=_train)


def add_crossval(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `crossval`."""
    _add_places(parser, "gets fold0, fold1 ..., oof.csv and crossval.json", "keep finished folds, go on with the rest")
    parser.add_argument("--folds", type=_numbers, default=(), metavar="K,K,...", help="folds to do (default: all)")
    parser.add_argument(
        "--views", type=int, choices=(1, 2, 4, 8), help="views averaged per answer (default: as before, at first 1)"
    )
    _add_guard(parser)
    _add_settings(parser, [name for name in _SETTINGS if name != "validation"])
    parser.description = "{fold} in --weights and --teachers stands for each fold's name: OTHER/{fold}/best.keras."
    parser.set_defaults(run=_crossval)


def add_join(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `join`."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of finished trainings")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new run")
    parser.description = "Several networks side by side as one, whose answer is the mean of theirs."
    parser.set_defaults(run=_join)


def add_search(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `search`."""
    _add_places(parser, "gets study.db, trials.csv and trial-0, trial-1 ...", "keep finished trials, go on to --trials")
    parser.add_argument("--trials", type=int, required=True, metavar="N", help="how many, finished ones included")
    _add_settings(parser, _SETTINGS)
    parser.description = (
        "Searches optimizer, learning-rate, weight-decay, dropout, label-smoothing, balance and augmentation for the "
        "best figure (--monitor) on the validation fold. A setting that is given is fixed, not searched."
    )
    parser.set_defaults(run=_search)


def _add_places(parser: argparse.ArgumentParser, out: str, resume: str) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="HAM10000 or ISIC challenge folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=out)
    parser.add_argument("--split", type=Path, metavar="CSV", help="split to use; drawn from the seed by default")
    parser.add_argument("--resume", action="store_true", help=resume)


def _add_guard(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-leak-guard",
        dest="guard",
        action="store_false",
        help="accept a split that leaks, to measure what the leak does; never for a model to use",
    )


def _add_settings(parser: argparse.ArgumentParser, names: list[str]) -> None:
    """Add an option per setting; those that are not given stay away from the parsed options."""
    for field in fields(TrainingConfig):
        if field.name in names:
            kind: Any = field.type if isinstance(field.type, type) else get_args(field.type)[0]
            option = field.name.replace("_", "-")
            explained = f"{field.metadata['help']} (default {field.default})"
            parser.add_argument(
                f"--{option}", type=kind, default=argparse.SUPPRESS, help=explained, metavar=option.upper()
            )


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that stand on the command line."""
    return {name: getattr(options, name) for name in _SETTINGS if hasattr(options, name)}


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """What `train`, `crossval` and `search` are all asked for, besides the settings and where to write."""
    return {"data": options.data, "split": options.split, "resume": options.resume}


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError("give numbers with commas between them, such as 0,1") from error


def _watch(progress: "TrainingProgress") -> "Watch":
    from skin_model.services.runs import Watch

    return Watch(progress.check, progress.run, progress.batch, progress.epoch, progress.answer)


def _train(options: argparse.Namespace) -> int:
    from skin_model.progress import TrainingProgress, judged
    from skin_model.services import training

    config = TrainingConfig(**_given(options))
    with TrainingProgress(config.epochs) as progress:
        state = training.train(
            **_asked(options),
            folder=options.out,
            config=config,
            guard=options.guard,
            on_check=progress.check,
            on_batch=progress.batch,
            on_epoch=progress.epoch,
        )
    kept = "last" if config.keeps_last else "best"
    if state.refitted and (figures := judged(state.kept)):
        print(f"with its last layer fitted anew  {figures}")
    print(f"{kept} epoch {state.best_epoch} of {state.epoch}: {options.out / 'best.keras'}")
    return OK


def _crossval(options: argparse.Namespace) -> int:
    from skin_model.progress import TrainingProgress
    from skin_model.services import crossval

    config = TrainingConfig(**_given(options))
    with TrainingProgress(config.epochs) as progress:
        found = crossval.crossval(
            **_asked(options),
            out=options.out,
            config=config,
            folds=options.folds,
            views=options.views,
            guard=options.guard,
            watch=_watch(progress),
        )
    for figure, value, interval, *by_fold in crossval.rows(found):
        print(f"{figure:45s} {value:>11s}  {interval:17s}" + "".join(f" {cell:>11s}" for cell in by_fold))
    if not config.keeps_last:
        print(
            "Each network's best epoch was chosen on the very fold that measures it, which flatters these figures a "
            "little; --monitor last keeps the last epoch instead."
        )
    if not options.guard:
        print("The leak guard was off: these figures may be of what the networks have learned.")
    print(f"out-of-fold answers: {options.out / 'oof.csv'}; figures: {options.out / 'crossval.json'}")
    return OK


def _join(options: argparse.Namespace) -> int:
    from skin_model.services import joining

    state = joining.join(runs=options.runs, folder=options.out)
    print(f"{state.config.network}: {options.out / 'best.keras'}")
    return OK


def _search(options: argparse.Namespace) -> int:
    from skin_model.progress import TrainingProgress
    from skin_model.services import search

    given = _given(options)
    config = TrainingConfig(**given)
    with TrainingProgress(config.epochs) as progress:
        found = search.search(
            **_asked(options),
            out=options.out,
            config=config,
            trials=options.trials,
            fixed=frozenset(given),
            watch=_watch(progress),
        )
    print(found.history.to_string(index=False, na_rep=""))
    print(
        f"Best: trial {found.trial}. Its figure chose it and so flatters it; confirm it with crossval. Train it anew:"
    )
    print(search.command_line(found, options.data, options.out))
    return OK
