"""The figures of parts of the images: by age, sex, site, and by how the diagnosis was confirmed."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from skin_model.evaluation import conformal, coverage
from skin_model.evaluation.decisions import AtThreshold
from skin_model.evaluation.resampling import Figures, Ranking, ratio
from skin_model.evaluation.scored import Scored
from skin_model.taxonomy import CODES

AGES = (30, 45, 60, 75)  # years at which a new band begins
UNKNOWN = "not known"
ENOUGH = 10  # malignant (benign) lesions for a group to be named as one in which more are missed (referred)
FIGURES = (
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "melanoma_recall", "malignant_auc", "coverage",
)  # fmt: skip
# dx_type is known only after the diagnosis: it may describe figures, never enter a model
FACTORS = {"age": "Age in years", "sex": "Sex", "localization": "Site", "dx_type": "Diagnosis confirmed by"}


def subgroups(scored: Scored, table: pd.DataFrame, *, threshold: float, sets: dict[str, Any]) -> list[dict[str, Any]]:
    """Figures of each level of each factor that the table knows anything of.

    Args:
        scored: the answers.
        table: one row per answer; age, sex, localization and dx_type where known.
        threshold: of the operating point in use.
        sets: the bundle's prediction sets, or empty.

    Returns:
        One entry per level: factor, level, images, lesions, malignant_lesions, and {"value", "interval"} for those of
        `FIGURES` that the model has, with None for what the level's images leave undefined.  Levels stand in the order
        of age, or of their size; what is not known comes last.
    """
    found = []
    for factor in FACTORS:
        for level, rows in levels(factor, table):
            part = scored.subset(rows)
            entry = {"factor": factor, "level": level, "images": len(part), "lesions": part.lesion_count}
            entry["malignant_lesions"] = part.subset(part.malignant).lesion_count
            found.append(entry | _figures(part, threshold, sets))
    return found


def levels(factor: str, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Names and masks (N,) of the levels of one of `FACTORS`; none where nothing is known of it."""
    if factor not in table or table[factor].isna().all():
        return
    known = table[factor].dropna()
    if factor == "age":
        bands = [f"under {AGES[0]}", *(f"{a} to {b - 1}" for a, b in pairwise(AGES)), f"{AGES[-1]} and older"]
        names = pd.Series([bands[n] for n in np.searchsorted(AGES, known, side="right")], index=known.index)
        order = [band for band in bands if (names == band).any()]
    else:
        names = known.astype(str)
        unknown = names.str.lower().isin(("unknown", "unspecified"))
        names = names[~unknown]
        order = list(names.value_counts().index)
    names = names.reindex(table.index).fillna(UNKNOWN)
    for level in [*order, UNKNOWN]:
        rows = (names == level).to_numpy()
        if rows.any():
            yield level, rows


def missed_more_in(details: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of a model's `subgroups` whose whole interval of sensitivity lies below the sensitivity for all images.

    Groups that are not known, or of too few malignant lesions for an interval to mean anything, are left out.

    Args:
        details: as `details.measure` returns them, or empty.
    """
    return _below("sensitivity", details, lambda group: group.get("malignant_lesions", 0))


def referred_more_in(details: dict[str, Any]) -> list[dict[str, Any]]:
    """The same by specificity: groups of whose benign lesions more are referred than of all."""
    return _below("specificity", details, lambda group: group.get("lesions", 0) - group.get("malignant_lesions", 0))


def _below(figure: str, details: dict[str, Any], lesions: Callable[[dict[str, Any]], int]) -> list[dict[str, Any]]:
    if not details.get("subgroups"):
        return []
    overall = details["operating_points"]["sensitive"][figure]["value"]
    return [
        group
        for group in details["subgroups"]
        if group["level"] != UNKNOWN and lesions(group) >= ENOUGH and group[figure]["interval"][1] < overall
    ]


class _Ranked(Figures):
    """AUC of malignant against benign."""

    def __init__(self, part: Scored) -> None:
        self._ranking, self._malignant = Ranking(part.malignant_probability), part.malignant
        self.rates = {"malignant_auc": None}

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"malignant_auc": self._ranking.auc(weights, self._malignant)}


class _Named(Figures):
    """Share of right diagnoses, over all images and as the mean over the classes present."""

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        self._of_class = np.eye(len(CODES))[labels]  # (N, 7)
        self._right = self._of_class * (probabilities.argmax(axis=1) == labels)[:, None]
        self._present = np.unique(labels)
        self.rates = {"accuracy": np.ones(len(labels), bool), "balanced_accuracy": None}

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        right, images = weights @ self._right, weights @ self._of_class  # (S, 7) each
        return {
            "accuracy": right.sum(axis=1) / images.sum(axis=1),
            "balanced_accuracy": ratio(right, images)[:, self._present].mean(axis=1),
        }


def _figures(part: Scored, threshold: float, sets: dict[str, Any]) -> dict[str, Any]:
    sources: list[Figures] = [AtThreshold(part, threshold, "at"), _Ranked(part)]
    if part.probabilities is not None:
        sources.append(_Named(part.labels, part.probabilities))
        if sets:
            sources.append(coverage.Sets(part.labels, conformal.members(part.probabilities, sets)))
    named = {key.removeprefix("at."): value for key, value in part.estimates(sources).items()}
    return {key: named[key] for key in FIGURES if key in named}
