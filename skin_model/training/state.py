"""What is known of a run after each finished epoch: `run.json`, put in place by one rename."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from skin_model import files, networks
from skin_model.errors import ConfigurationError, TrainingError
from skin_model.recipe import EpochRecord, TrainingConfig


@dataclass(frozen=True)
class RunState:
    """What `run.json` holds.

    Attributes:
        config: settings.
        split: fingerprint of the split.
        history: every finished epoch.
        best_epoch: the one that is kept, from 1; 0 before the first.
        finished: no epoch is left.
        refitted: validation figures with the last layer fitted anew; None before that.
        told: where the network was taken from a bundle, the settings of the trainings behind it, the last one last.
        before: number of the first epoch: those before it gave the views that the starting weights and the teachers
            had learned from.
    """

    config: TrainingConfig
    split: str
    history: tuple[EpochRecord, ...] = ()
    best_epoch: int = 0
    finished: bool = False
    refitted: dict[str, float | None] | None = None
    told: tuple[dict[str, Any], ...] = ()
    before: int = 0

    @property
    def to_refit(self) -> bool:
        """Whether the last layer still has to be fitted anew."""
        return self.finished and self.config.refit > 0 and self.refitted is None

    @property
    def epoch(self) -> int:
        return len(self.history)

    @property
    def learned(self) -> int:
        """Epochs of this training and of those told of."""
        return self.epoch + sum(stage["epochs_run"] for stage in self.told)

    @property
    def kept(self) -> EpochRecord:
        """The epoch that `best.keras` is of, with the figures of its last layer fitted anew where it was."""
        figures: dict[str, Any] = self.refitted or {}
        return replace(self.history[self.best_epoch - 1], **figures)

    def after(self, record: EpochRecord) -> "RunState":
        """The state once one more epoch is done: which epoch is the best, and whether training ends."""
        config = self.config
        if config.keeps_last:
            finished = record.epoch >= config.epochs
            return replace(self, history=(*self.history, record), best_epoch=record.epoch, finished=finished)
        best = max((score(r, config.monitor) for r in self.history), default=-np.inf)
        best_epoch = record.epoch if score(record, config.monitor) > best else self.best_epoch
        waited = record.epoch - max(best_epoch, config.freeze_epochs)  # none of the frozen ones: the most is to come
        stop = record.epoch >= config.epochs or waited >= config.patience
        return replace(self, history=(*self.history, record), best_epoch=best_epoch, finished=stop)


def read_state(folder: Path) -> RunState:
    """Read `run.json`.  Raises TrainingError where the folder holds no run, or one of another version."""
    try:
        raw = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return RunState(
            TrainingConfig(**raw["config"]),
            raw["split"],
            tuple(EpochRecord(**r) for r in raw["history"]),
            raw["best_epoch"],
            raw["finished"],
            raw.get("refitted"),
            tuple(raw.get("told", ())),
            raw.get("before", 0),
        )
    except FileNotFoundError as error:
        raise TrainingError(
            f"There is no training in {folder}. Name the folder of one, or leave --resume out to start one."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, ConfigurationError) as error:
        raise TrainingError(
            f"The training in {folder} cannot be read ({error}); it may be of another version. Start a new one."
        ) from error


def write_state(state: RunState, folder: Path) -> None:
    """Write `run.json` whole or not at all."""
    with files.whole(folder / "run.json") as partial:
        partial.write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")


def require_whole(folder: Path) -> RunState:
    """The run in `folder`, whose `best.keras` surely is what `run.json` tells of.

    Until a training has ended, the file may still be of an earlier epoch; a checkpoint is left where it was killed
    between the two.

    Raises:
        TrainingError: where it is not finished, killed at its very end, or its last layer still to be fitted anew.
    """
    state = read_state(folder)
    if not state.finished or state.to_refit or any(folder.glob("checkpoint-*.keras")):
        raise TrainingError(f"The training in {folder} is not finished yet; let it go on with --resume.")
    return state


def lineage(folder: Path) -> list[RunState]:
    """The run in `folder`, preceded by those whose `.keras` files it started from.

    Raises:
        TrainingError: where one of them is gone, not finished, or was made on another split: its network may have been
            trained on what is a test lesion here.
        ConfigurationError: where one has learned from lesions of the fold that measured a later one.
    """
    state = require_whole(folder)
    return [*ancestors(state.config, state.split), state]


def ancestors(config: TrainingConfig, split: str) -> list[RunState]:
    """The runs that a configuration's starting weights came from, the first one first; none for other weights.

    Raises:
        TrainingError: as `lineage` does.
        ConfigurationError: the weights were learned from lesions of the fold that is to measure the training, or with
            another order of the patient's columns.
    """
    found: list[RunState] = []
    for file in networks.trained_files(config.weights):
        found += _origin(file, config.validation, split)
        learned = found[-1].config
        if learned.columns and config.columns and learned.columns != config.columns:
            raise ConfigurationError(
                f"{file} was trained with --metadata {learned.metadata}. Give the same columns in the same order."
            )
    return found


def lineage_folders(folder: Path) -> list[Path]:
    """The folders of the runs that `lineage` gives, in its order."""
    origins = [Path(file).parent for file in networks.trained_files(read_state(folder).config.weights)]
    return [*(run for origin in origins for run in lineage_folders(origin)), folder]


def _origin(weights: str, fold: str, split: str) -> list[RunState]:
    """The run that a `.keras` file is of, preceded by those it started from; errors as of `ancestors`."""
    parent = Path(weights).parent
    if not (parent / "run.json").is_file():
        if not Path(weights).is_file():
            raise TrainingError(
                f"There is no file {weights}. Name the best.keras in the folder of a training; a path that does not "
                "begin with / holds where that training was started."
            )
        raise TrainingError(
            f"It is not known what {weights} was trained on: run.json is missing beside it. "
            "Start from the best.keras in a run's own folder."
        )
    runs = lineage(parent)
    if any(run.split != split for run in runs):
        raise TrainingError(
            f"{weights} was trained on another split, so it may have met test lesions of this one. "
            "Give the same --split to both trainings."
        )
    met = runs[-1].config.validation
    if fold not in ("none", met):
        was = "trained on all folds" if met == "none" else f"validated on {met}"
        raise ConfigurationError(
            f"{weights} was {was}, so it has learned from lesions of {fold} and its figures there would "
            f"flatter it. Start from a training validated on {fold}; `crossval` puts each fold's name in place of "
            "{fold}: --weights OTHER/{fold}/best.keras."
        )
    return runs


def check_same(state: RunState, config: TrainingConfig, split: str, folder: Path) -> None:
    """Refuse to go on in `folder` with other settings or another split than its own.  Raises TrainingError."""
    other = differences(state.config, config) + (["the split"] if state.split != split else [])
    if other:
        raise TrainingError(
            f"The training in {folder} was started with other settings (its own / yours): {'; '.join(other)}. "
            "Give the same ones, or name a new folder."
        )


def without_places(config: TrainingConfig) -> dict[str, Any]:
    """A training's settings for others to read: without where weights and teachers lay on that machine.

    Of a file in each fold's folder, `{fold}/best.keras`, the last two parts stay.
    """

    def name(path: str) -> str:
        parts = Path(path.strip()).parts
        return "/".join(parts[-2:] if "{fold}" in parts[-2:] else parts[-1:])

    settings = asdict(config)
    for key in ("weights", "teachers"):
        if settings[key]:
            settings[key] = ",".join(name(path) for path in settings[key].split(","))
    return settings


def differences(old: TrainingConfig, new: TrainingConfig) -> list[str]:
    """The settings in which two configurations differ, with both values."""
    names = [f.name for f in fields(TrainingConfig) if getattr(old, f.name) != getattr(new, f.name)]
    return [f"{n.replace('_', '-')} {getattr(old, n)} / {getattr(new, n)}" for n in names]


def score(record: EpochRecord, monitor: str) -> float:
    """The validation figure that is watched, turned so that larger is better."""
    figure = float(getattr(record, f"val_{monitor}"))
    return -figure if monitor == "loss" else figure
