"""Hyper-parameter search: each trial is one ordinary training with proposed settings; poor ones end early."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from skin_model import files
from skin_model.dataset import leaks
from skin_model.errors import ConfigurationError, TrainingError
from skin_model.recipe import LAST, EpochRecord, TrainingConfig
from skin_model.services import runs, study, teaching, training
from skin_model.services.runs import Watch
from skin_model.training.run import OnEpoch
from skin_model.training.state import RunState, ancestors, read_state, score

if TYPE_CHECKING:
    import optuna

SPACE = study.SPACE
Train = Callable[[Callable[[], bool], OnEpoch], RunState]  # (whether to stop, told of each epoch) -> how far it came


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes:
        trial: number of the best trial.
        config: its settings.
        history: one row per trial: trial, state, the best validation figure named by the configuration's `monitor`,
            epochs, the settings searched, and the reason where it broke off.
    """

    trial: int
    config: TrainingConfig
    history: pd.DataFrame


def search(
    *,
    data: Path,
    out: Path,
    config: TrainingConfig,
    trials: int,
    fixed: frozenset[str] = frozenset(),
    split: Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
) -> Found:
    """Look for the settings with the best figure on the validation fold.

    Args:
        data: HAM10000 or ISIC challenge folder.
        out: gets the history `study.db` and `trials.csv`, `split.csv`, and one run per trial in `trial-N`.
        config: settings of every trial, but for those of `SPACE` that are not fixed.
        trials: how many, those of earlier calls included.
        fixed: names of settings of `SPACE` that are not searched.
        split: a split table; by default one is drawn from the configuration's seed.
        resume: keep finished trials and go on with a broken one.
        watch: told of progress.

    Raises:
        ConfigurationError, DatasetError, TrainingError, BusyError: with a sentence on what to mend.
    """
    watch = watch or Watch()
    leaks.check_inputs(config.columns)
    names = searched(config, trials, fixed)
    with files.held(out):
        _check_folder(out, resume)
        shared = runs.share(
            data=data, out=out, split=split, seed=config.seed, started=resume, guard=True, watch=watch
        )  # fmt: skip
        runs.check_validation(config, set(shared.table["part"]))
        runs.check_classes(shared, (config.validation,))
        ancestors(config, shared.fingerprint)
        teaching.check(config, shared.fingerprint)
        with study.opened(out / study.FILE, study.NAME, config.epochs) as known:
            study.remember(known, config, shared.fingerprint, names)
            while (number := study.done(known)) < trials:
                trial = study.trial(known, names, config.seed)
                watch.run(f"trial {trial.number}", number, trials)
                _run(trial, data, out, study.settings(config, trial.params), watch)
                runs.release()
                _note(known, config, out)
            _note(known, config, out)  # a kill may have come between a trial's end and its line
            return best(known, config)


def _note(known: "optuna.Study", config: TrainingConfig, out: Path) -> None:
    with files.whole(out / "trials.csv") as partial:
        study.history(known, config).to_csv(partial, index=False)


def command_line(found: Found, data: Path, out: Path) -> str:
    """The command that trains with the best settings."""
    values = {f.name: (getattr(found.config, f.name), f.default) for f in fields(found.config)}
    given = [f"--{name.replace('_', '-')}={value}" for name, (value, default) in values.items() if value != default]
    places = [f"--data={data}", f"--split={out / 'split.csv'}", f"--out={out / 'best'}"]
    return shlex.join(["python", "-m", "skin_model", "train", *places, *given])


def searched(config: TrainingConfig, trials: int, fixed: frozenset[str]) -> tuple[str, ...]:
    """Names of the settings to search.  Raises ConfigurationError where a search makes no sense."""
    unused = {"weight_decay"} if "optimizer" in fixed and config.optimizer != "adamw" else set()
    if config.loss == "logit-adjusted" or config.balance == "oversampling":  # they allow no other balance
        unused |= {"balance"}
    names = tuple(name for name in SPACE if name not in fixed | unused)
    if config.validation == "none":
        raise ConfigurationError("A search compares figures on a validation fold; name one with --validation.")
    if config.monitor == LAST:
        raise ConfigurationError(
            "A search compares its trials by a validation figure; set monitor to balanced_accuracy, macro_auc or loss."
        )
    if trials < 1:
        raise ConfigurationError(f"A search needs one trial or more; {trials} was given.")
    if not names:
        raise ConfigurationError(f"Nothing is left to search; leave out one of {', '.join(SPACE)}.")
    return names


def _check_folder(out: Path, resume: bool) -> None:
    there = (out / study.FILE).exists()
    if there and not resume:
        raise TrainingError(f"{out} already holds a search; add --resume to go on with it, or name a new folder.")
    if resume and not there:
        raise TrainingError(f"There is no search in {out}. Leave --resume out to start one.")


def _run(trial: "optuna.Trial", data: Path, out: Path, config: TrainingConfig, watch: Watch) -> None:
    """Train with a trial's settings, from where it was broken off."""
    folder = out / f"trial-{trial.number}"

    def train(stop: Callable[[], bool], on_epoch: OnEpoch) -> RunState:
        def on_batch(epoch: int, batch: int, batches: int, loss: float) -> bool:
            watch.batch(epoch, batch, batches, loss)
            return stop()

        def note(record: EpochRecord, best: bool) -> None:
            watch.epoch(record, best)
            on_epoch(record, best)

        return training.train(
            data=data, folder=folder, config=config, split=out / "split.csv", resume=(folder / "run.json").exists(),
            guard=False, on_batch=on_batch, on_epoch=note,
        )  # fmt: skip

    run_trial(trial, folder, config.monitor, train)


def run_trial(trial: "optuna.Trial", folder: Path, monitor: str, train: Train) -> None:
    """Train for a trial, and tell its study what came of it; one below the median of the others is ended early.

    One whose epochs are all trained is not, as its last layer may still have to be fitted anew.

    Args:
        trial: a running one.
        folder: of its run, begun before or not.
        monitor: the figure to report.
        train: trains in `folder` until it is finished or is to stop.

    Raises:
        TrainingError: refused before it began, as every other trial would be.
    """
    from optuna.trial import TrialState

    if begun := (folder / "run.json").exists():
        for record in read_state(folder).history:  # what a kill left unreported
            _report(trial, record, monitor)
    pruned = begun and not read_state(folder).finished and trial.should_prune()

    def on_epoch(record: EpochRecord, best: bool) -> None:
        nonlocal pruned
        _report(trial, record, monitor)
        pruned = not read_state(folder).finished and trial.should_prune()

    try:
        state = train(lambda: pruned, on_epoch)
    except TrainingError as error:
        if not (folder / "run.json").exists():
            raise
        trial.set_user_attr("reason", str(error))
        trial.study.tell(trial, state=TrialState.PRUNED)  # not FAIL: the sampler is to learn from it
        return
    if state.finished:
        trial.study.tell(trial, score(state.kept, monitor))
    else:
        trial.study.tell(trial, state=TrialState.PRUNED)


def _report(trial: "optuna.Trial", record: EpochRecord, monitor: str) -> None:
    """Report an epoch, once."""
    if record.epoch not in trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values:
        trial.report(score(record, monitor), record.epoch)


def best(known: "optuna.Study", config: TrainingConfig) -> Found:
    """What a history of trials has found.  Raises TrainingError where none of them was finished."""
    try:
        best = known.best_trial
    except ValueError as error:  # Optuna's way of saying that no trial is complete
        reasons = {trial.user_attrs.get("reason", "") for trial in known.get_trials(deepcopy=False)} - {""}
        raise TrainingError(
            f"None of the {len(known.get_trials())} trials was finished. {' '.join(sorted(reasons))} "
            "Fix a lower --learning-rate, or ask for more trials with --resume."
        ) from error
    return Found(best.number, study.settings(config, best.params), study.history(known, config))
