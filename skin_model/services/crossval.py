"""K-fold cross-validation by lesion: one training per fold, answers for lesions that its network never met.

The test part is never read.  The calibration part gives each fold's temperature and the one operating point; together
with the other folds' answers it gives each fold's prediction sets.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from skin_model import files
from skin_model.dataset import leaks, splits
from skin_model.dataset.labels import class_indices, is_malignant
from skin_model.errors import ConfigurationError, TrainingError
from skin_model.evaluation import calibration, conformal, limits, metrics, report
from skin_model.evaluation.coverage import Sets
from skin_model.evaluation.decisions import SENSITIVITY, SPECIFICITY, AtFixedRates
from skin_model.evaluation.scored import Scored
from skin_model.inference import VIEWS
from skin_model.recipe import TrainingConfig
from skin_model.services import runs, teaching, training
from skin_model.services.runs import SharedSplit, Watch
from skin_model.taxonomy import BY_CODE, CODES
from skin_model.training.state import RunState, ancestors, check_same, read_state

LOGS = [f"log_p_{code}" for code in CODES]
PROBABILITIES = [f"p_{code}" for code in CODES]
DETAILED = {
    "melanoma_recall_at_specificity": f"Melanomas referred at specificity {SPECIFICITY}",
    "specificity_at_sensitivity": f"Malignant: specificity at sensitivity {SENSITIVITY}",
    "coverage": "Prediction sets: coverage",
    "size": "Prediction sets: classes in them, mean",
    **{f"{code}.coverage": f"{BY_CODE[code].name}: coverage of its sets" for code in CODES},
}


def crossval(
    *,
    data: Path,
    out: Path,
    config: TrainingConfig,
    split: Path | None = None,
    folds: tuple[int, ...] = (),
    views: int | None = None,
    resume: bool = False,
    guard: bool = True,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Train with each fold in turn as validation part, and measure the answers for the folds left out.

    Args:
        data: HAM10000 or ISIC challenge folder.
        out: gets one run per fold in `fold{k}`, `split.csv`, `oof.csv` and `crossval.json`.
        config: settings of every run; `validation` is each fold in turn, and `{fold}` in `weights`
            and `teachers` stands for its name.
        split: a split table; by default one is drawn from the configuration's seed.
        folds: numbers of the folds to do; all by default.
        views: flipped and turned views to average per answer; by default as many as for the folds answered before,
            at first one.
        resume: keep finished folds and go on with a broken one.
        guard: refuse a split that leaks; off only to measure what a leak does.
        watch: told of progress.

    Returns:
        What `crossval.json` holds: settings, figures of the answers of all folds done so far with intervals by lesion
        (`pooled`), and of each fold (`folds`).

    Raises:
        ConfigurationError, DatasetError, TrainingError, BusyError: with a sentence on what to mend.
    """
    watch = watch or Watch()
    wanted = tuple(f"fold{k}" for k in sorted(set(folds)))
    check_settings(config, 1 if views is None else views)
    with files.held(out):
        begun = _begun(out, wanted, resume)
        views = _views(out, begun, wanted, views)
        shared = runs.share(
            data=data, out=out, split=split, seed=config.seed, started=bool(begun), guard=guard, watch=watch
        )  # fmt: skip
        names = _checked_folds(shared, wanted, config)
        for name in begun:
            check_same(read_state(out / name), _of_fold(config, name), shared.fingerprint, out / name)
        for number, name in enumerate(names):
            watch.run(name, number, len(names))
            folder = out / name

            def train(of_fold: TrainingConfig, folder: Path = folder) -> RunState:
                return training.train(
                    data=data, folder=folder, config=of_fold, split=shared.file, resume=(folder / "run.json").exists(),
                    guard=False, on_batch=watch.batch, on_epoch=watch.epoch,
                )  # fmt: skip  # guarded once for all of them

            fold(
                name=name,
                config=config,
                table=shared.table,
                folder=folder,
                views=views,
                train=train,
                on_answer=watch.answer,
            )
        return _collected(out, shared, config, views)


def fold(
    *,
    name: str,
    config: TrainingConfig,
    table: pd.DataFrame,
    folder: Path,
    views: int,
    train: Callable[[TrainingConfig], RunState],
    on_answer: teaching.OnAnswer,
) -> dict[str, int]:
    """Train with one fold as validation part, and keep the answers for it in `answers_file`.

    Args:
        name: of the fold.
        config: settings of every fold.
        table: the data set's rows with column `part`.
        folder: of the fold's run.
        views: flipped and turned views to average per answer.
        train: trains in `folder` with the settings it is given.
        on_answer: told of (images answered, images in all).

    Returns:
        `best_epoch` and `epochs`.

    Raises:
        TrainingError: the training was stopped before its end.
    """
    state = train(_of_fold(config, name))
    if not state.finished:
        raise TrainingError(f"The cross-validation was stopped in {name}; go on with --resume.")
    _answer(table, folder, name, views, on_answer)
    return _epochs(state)


def _epochs(state: RunState) -> dict[str, int]:
    return {"best_epoch": state.best_epoch, "epochs": state.epoch}


def pooled(
    config: TrainingConfig,
    fingerprint: str,
    views: int,
    answers: Sequence[Path | IO[str]],
    trained: dict[str, dict[str, int]],
) -> dict[str, Any]:
    """What `crossval` returns, of answer files and what `fold` returned for each of them."""
    answered = _all_answers(answers)
    return {"config": asdict(config), "split": fingerprint, "views": views} | _figures(answered, trained)


def out_of_fold(answers: Sequence[Path | IO[str]]) -> str:
    """The answers for the images left out, as CSV in order of their names."""
    answered, columns = _all_answers(answers), ["image_id", "lesion_id", "dx", "fold", *LOGS, *PROBABILITIES]
    left_out = answered.loc[answered["part"] != "calibration", columns]
    return left_out.sort_values("image_id").to_csv(index=False)


def answers_file(folder: Path, views: int) -> Path:
    """Where a fold's answers are kept."""
    return folder / f"answers-{views}.csv"


def check_starts(config: TrainingConfig, names: tuple[str, ...], fingerprint: str) -> None:
    """Refuse starting weights and teachers that have met the lesions of a fold.

    Errors as of `training.state.ancestors` and `teaching.check`.
    """
    for of_fold in (_of_fold(config, name) for name in names):
        ancestors(of_fold, fingerprint)
        teaching.check(of_fold, fingerprint)


def _begun(out: Path, wanted: tuple[str, ...], resume: bool) -> list[str]:
    """The folds that are in `out`; refuses to overwrite them, or to go on where there is nothing."""
    begun = sorted(path.parent.name for path in out.glob("fold?/run.json"))
    if resume and not begun:
        raise TrainingError(f"There is no cross-validation in {out}. Leave --resume out to start one.")
    if not resume and (again := [name for name in begun if name in wanted or not wanted]):
        raise TrainingError(
            f"{out} already holds {', '.join(again)}; add --resume to keep what is finished and go on, "
            "or name a new folder."
        )
    return begun


def _views(out: Path, begun: list[str], wanted: tuple[str, ...], asked: int | None) -> int:
    """How many views to average; refuses to leave folds behind that were answered with other views."""
    answered = {name: [int(path.stem.split("-")[1]) for path in (out / name).glob("answers-*.csv")] for name in begun}
    views = asked or max((number for numbers in answered.values() for number in numbers), default=1)
    left = [name for name, numbers in answered.items() if numbers and views not in numbers and name not in wanted]
    if wanted and left:
        raise TrainingError(
            f"{', '.join(left)} in {out} answered with another number of views than {views}, and could not be pooled "
            "with these folds. Leave --views out, or --folds to have all of them answer anew."
        )
    return views


def check_settings(config: TrainingConfig, views: int) -> None:
    """Refuse settings that cannot be cross-validated.  Raises ConfigurationError, or DatasetError for a leak."""
    leaks.check_inputs(config.columns)
    if views not in VIEWS:
        raise ConfigurationError(f"views must be one of {', '.join(map(str, VIEWS))}; {views} was given.")
    if config.task != "diagnosis":
        raise ConfigurationError("Cross-validation measures the seven diagnoses; leave --task out.")


def _checked_folds(shared: SharedSplit, wanted: tuple[str, ...], config: TrainingConfig) -> tuple[str, ...]:
    """Names of the folds to do; refuses what cannot succeed before hours are spent on it."""
    if len(shared.folds) < 2 or set(wanted) - set(shared.folds):
        raise ConfigurationError(
            "Cross-validation needs two folds or more, and those asked for must be in the split; it has "
            f"{', '.join(shared.folds) or 'none'}. Name some of these with --folds, or make a split of more folds with "
            "`python -m skin_model dataset split --folds N`."
        )
    names = wanted or shared.folds
    runs.check_classes(shared, (*names, "calibration"))
    check_starts(config, names, shared.fingerprint)
    return names


def _collected(out: Path, shared: SharedSplit, config: TrainingConfig, views: int) -> dict[str, Any]:
    """Pool and write what all folds have answered, those of earlier calls too."""
    done = [name for name in shared.folds if answers_file(out / name, views).is_file()]
    answers = [answers_file(out / name, views) for name in done]
    trained = {name: _epochs(read_state(out / name)) for name in done}
    found = pooled(config, shared.fingerprint, views, answers, trained)
    _write(found, out_of_fold(answers), out)
    return found


def _of_fold(config: TrainingConfig, name: str) -> TrainingConfig:
    weights = config.weights and config.weights.replace("{fold}", name)
    return replace(config, validation=name, weights=weights, teachers=config.teachers.replace("{fold}", name))


def _answer(table: pd.DataFrame, folder: Path, name: str, views: int, on_answer: teaching.OnAnswer) -> None:
    """Keep what a fold's network says of its validation and calibration images in its folder; computed once.

    Columns image_id, lesion_id, dx, part, fold, log probabilities (mean over the views) and calibrated probabilities.
    """
    kept = answers_file(folder, views)
    rows = table[table["part"].isin([name, "calibration"])]
    if kept.is_file() and set(read_answers(kept)["image_id"]) == set(rows["image_id"]):
        return
    logits = teaching.answers(folder, rows, views, on_answer)
    fitted_on = (rows["part"] == "calibration").to_numpy()
    temperature = calibration.fit_temperature(logits[fitted_on], class_indices(rows["dx"][fitted_on]))
    answered = rows[["image_id", "lesion_id", "dx", "part"]].reset_index(drop=True)
    answered[["fold", "temperature"]] = name, temperature
    answered[LOGS] = logits
    answered[PROBABILITIES] = calibration.softmax(logits, temperature)
    with files.whole(kept) as partial:
        answered.to_csv(partial, index=False)
    runs.release()


def read_answers(answers: Path | IO[str]) -> pd.DataFrame:
    """A fold's answers, or all of them, as they were written."""
    return pd.read_csv(answers, dtype=dict.fromkeys(("image_id", "lesion_id", "dx"), str))


def _all_answers(answers: Sequence[Path | IO[str]]) -> pd.DataFrame:
    return pd.concat([read_answers(each) for each in answers], ignore_index=True)


def _figures(answered: pd.DataFrame, trained: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Figures over all folds with intervals, and of each fold, at one operating point."""
    fitted_on = answered["part"] == "calibration"
    threshold = _threshold(answered[fitted_on])
    left_out = answered[~fitted_on].reset_index(drop=True)
    members = _members(left_out, answered[fitted_on])
    labels, probabilities = truth(left_out)
    together = metrics.score(labels, probabilities, threshold=threshold)
    together["intervals"] = metrics.bootstrap(
        labels, probabilities, splits.lesions(left_out).to_numpy(), threshold=threshold
    )
    together["detailed"] = _detailed(left_out, members)
    by_fold = {}
    for name, epochs in trained.items():
        of_fold = (left_out["fold"] == name).to_numpy()
        rows = left_out[of_fold]
        by_fold[name] = (
            epochs
            | {"temperature": float(rows["temperature"].iloc[0])}
            | metrics.score(*truth(rows), threshold=threshold)
            | {"detailed": _detailed(rows, members[of_fold])}
        )
    return {"threshold": threshold, "target_sensitivity": SENSITIVITY, "pooled": together, "folds": by_fold}


def _members(left_out: pd.DataFrame, fitted_on: pd.DataFrame) -> np.ndarray:
    """Which classes are in each image's prediction set, bool (N, 7), as a bundle of its fold's network would give them.

    Sets and correction are fitted on what that network says of the calibration part and on the other folds' answers,
    where these folds are done.
    """
    members = np.zeros((len(left_out), len(CODES)), dtype=bool)
    for name, rows in left_out.groupby("fold").indices.items():
        others = left_out[left_out["fold"] != name]
        own, new = _told(fitted_on[fitted_on["fold"] == name]), _told(left_out.iloc[rows])
        fitted = limits.fit(own, _told(others) if len(others) else None)
        members[rows] = conformal.members(calibration.softmax(new.logits, fitted.correction), fitted.sets)
    return members


def _told(answered: pd.DataFrame) -> limits.Told:
    """The answers, by each network's own temperature."""
    logits = answered[LOGS].div(answered["temperature"], axis=0).to_numpy()
    return limits.Told(logits, class_indices(answered["dx"]), splits.lesions(answered).to_numpy())


def _detailed(rows: pd.DataFrame, members: np.ndarray) -> dict[str, Any]:
    """Figures at fixed rates and of the prediction sets, each as {"value", "interval"}."""
    labels, probabilities = truth(rows)
    scored = Scored.of(labels, probabilities, splits.lesions(rows).to_numpy())
    return scored.estimates([AtFixedRates(scored), Sets(labels, members)])


def _threshold(answered: pd.DataFrame) -> float:
    """The operating point at which the folds' networks together find enough of the malignant calibration images."""
    labels, probabilities = truth(answered)
    malignant_probability = metrics.malignant_probability(probabilities)
    return calibration.operating_point(malignant_probability, is_malignant(labels), sensitivity=SENSITIVITY)


def truth(answered: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Class indices (N,) and calibrated probabilities (N, 7) of answers."""
    return class_indices(answered["dx"]), answered[PROBABILITIES].to_numpy(np.float64)


def _write(found: dict[str, Any], left_out: str, out: Path) -> None:
    """Write `oof.csv` and `crossval.json`; what fails before the renames leaves both as they were."""
    with files.whole(out / "crossval.json") as of_figures, files.whole(out / "oof.csv") as of_answers:
        of_figures.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        of_answers.write_text(left_out, encoding="utf-8")


def rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """A report as lines (figure, all folds, 95 % interval, each fold in turn), the first one naming the columns."""
    by_fold = [report.table(of_fold) + _detailed_rows(of_fold) for of_fold in found["folds"].values()]
    lines = [("figure", "all folds", "95 % interval", *found["folds"])]
    for number, (name, *values) in enumerate(report.table(found["pooled"]) + _detailed_rows(found["pooled"])):
        lines.append((name, *values, *(table[number][1] for table in by_fold)))
    return lines


def _detailed_rows(of: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Rows as those of `report.table`; none for figures kept by an earlier version."""
    found = of.get("detailed") or {}
    return [(name, *report.estimate(found[key])) for key, name in DETAILED.items() if key in found]
