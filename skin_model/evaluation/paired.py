"""Two models on the same images: differences of figures with intervals, and whether they support a change.

Paired bootstrap: each resample of the lesions is scored by both models, and the interval is that of the difference
(Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 8), which is narrower than two intervals beside
each other because both models find the same lesions hard.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skin_model.evaluation import metrics, resampling
from skin_model.evaluation.decisions import AtThreshold
from skin_model.evaluation.scored import Scored
from skin_model.evaluation.subgroups import ENOUGH, FACTORS, levels
from skin_model.taxonomy import CODES, MALIGNANT_INDICES

HEADLINES = {
    "balanced_accuracy": "Balanced accuracy", "macro_auc": "Macro AUC", "macro_f1": "Macro F1",
    "malignant.auc": "Malignant: AUC", "malignant.sensitivity": "Malignant: sensitivity",
    "malignant.specificity": "Malignant: specificity", "per_class.mel.recall": "Melanoma: recall",
    "referral.melanoma_recall": "Melanomas referred",
    "log_loss": "Log loss", "ece": "Expected calibration error",
}  # fmt: skip
CALIBRATION = ("log_loss", "ece")  # lower is better; told, but no reason to keep a model that finds less
DECISIVE = ("balanced_accuracy", "macro_auc")  # one of these must be better by its whole interval
MARGIN = 0.05  # by which each of `SAFE` may be lower at the worst end of its interval
SAFE = ("per_class.mel.recall", "referral.melanoma_recall", "malignant.sensitivity")
FEWEST_LESIONS = 150  # below, intervals are wider than anything one could decide on
FEWEST_MELANOMAS = 72  # of fewer, one in twenty may be lost though none of them was: 1 - 0.025 ** (1 / 72) is `MARGIN`


@dataclass(frozen=True)
class Answer:
    """What one model said of N images: calibrated probabilities (N, 7), and its operating point."""

    probabilities: np.ndarray
    threshold: float


def compare(
    labels: np.ndarray, first: Answer, second: Answer, lesions: np.ndarray | None, *, samples: int = 1000
) -> dict[str, dict[str, Any]]:
    """Each headline figure of both models and their difference.

    Args:
        labels: true class indices (N,).
        first, second: answers of the model in use and of the one that is to follow.
        lesions: lesion of each image (N,), drawn together; None where each image is one.
        samples: of the bootstrap.

    Returns:
        Figure -> "first", "second", "difference" (second less first), "interval" ([low, high]); None for what the
        images do not define, as melanoma's recall without a melanoma.
    """
    one, other = (_sources(labels, answer) for answer in (first, second))
    before, after = (resampling.all_figures(sources, np.ones((1, len(labels)))) for sources in (one, other))
    differences = resampling.Differences(one, other, HEADLINES)
    found = resampling.intervals([differences], len(labels), lesions, samples, seed=0)
    return {
        key: {
            "first": _defined(before[key][0]),
            "second": _defined(after[key][0]),
            "difference": _defined(after[key][0] - before[key][0]),
            "interval": found.get(f"change.{key}"),
        }
        for key in HEADLINES
    }


def _sources(labels: np.ndarray, answer: Answer) -> list[resampling.Figures]:
    referral = AtThreshold(Scored.of(labels, answer.probabilities, None), answer.threshold, "referral")
    return [*metrics.sources(labels, answer.probabilities, answer.threshold), referral]


def worse_subgroups(
    table: pd.DataFrame, labels: np.ndarray, first: Answer, second: Answer, lesions: np.ndarray
) -> list[str]:
    """Levels of age, sex and site in which sensitivity or specificity is lower by its whole interval.

    Only those of `subgroups.ENOUGH` malignant, or benign, lesions.  Hardly a level has enough of each class for its
    balanced accuracy to mean anything.
    """
    found, malignant = [], np.isin(labels, MALIGNANT_INDICES)
    for factor in (name for name in FACTORS if name != "dx_type"):
        for level, rows in levels(factor, table):
            of = {"malignant.sensitivity": rows & malignant, "malignant.specificity": rows & ~malignant}
            judged = [key for key, counted in of.items() if len(np.unique(lesions[counted])) >= ENOUGH]
            if not judged:
                continue
            part = [Answer(answer.probabilities[rows], answer.threshold) for answer in (first, second)]
            differences = compare(labels[rows], part[0], part[1], lesions[rows], samples=300)
            worse = [
                f"{_words(key)} {differences[key]['difference']:+.3f}" for key in judged if _below(differences[key])
            ]
            if worse:
                found.append(f"{FACTORS[factor].lower()} {level}: {', '.join(worse)}")
    return found


def verdict(found: dict[str, dict[str, Any]], labels: np.ndarray, lesions: np.ndarray) -> tuple[bool | None, str]:
    """Whether the evidence supports the second model, None where there is too little of it; and a sentence why."""
    melanomas = len(np.unique(lesions[labels == CODES.index("mel")]))
    count = len(np.unique(lesions))
    if count < FEWEST_LESIONS or melanomas < FEWEST_MELANOMAS:
        return None, (
            f"No verdict: {count} lesions, {melanomas} of them melanomas, are left that neither model has met; "
            f"{FEWEST_LESIONS} and {FEWEST_MELANOMAS} are needed for intervals that can carry one."
        )
    for key in SAFE:
        interval = found[key]["interval"]
        if interval is None or interval[0] < -MARGIN:
            low = "unknown" if interval is None else f"{interval[0]:+.3f}"
            return False, (
                f"The evidence does not support promotion: {_words(key)} may be lower by more than {MARGIN} "
                f"(lower end of the difference's 95 % interval {low})."
            )
    lost = [_words(key) for key in HEADLINES if key not in CALIBRATION and _below(found[key])]
    if lost:
        return False, (
            f"The evidence does not support promotion: worse, with the whole 95 % interval, {', '.join(lost)}."
        )
    won = [_words(key) for key in DECISIVE if _above(found[key])]
    if not won:
        return (
            False,
            "The evidence does not support promotion: neither balanced accuracy nor macro AUC is better with the whole "
            "95 % interval.",
        )
    return True, (
        f"The evidence supports promotion: {' and '.join(won)} better with the whole 95 % interval; melanomas "
        f"named, melanomas referred and malignant sensitivity not lower by more than {MARGIN}."
    )


def _words(key: str) -> str:
    """A figure's name inside a sentence; abbreviations stay as they are."""
    return HEADLINES[key][0].lower() + HEADLINES[key][1:]


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _above(figure: dict[str, Any]) -> bool:
    return figure["interval"] is not None and figure["interval"][0] > 0


def _below(figure: dict[str, Any]) -> bool:
    return figure["interval"] is not None and figure["interval"][1] < 0
