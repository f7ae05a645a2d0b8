"""Class-conditional prediction sets: the true class of a new image lies in its set as often as promised.

Mondrian conformal prediction, one category per class (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random
World", 2005, section 4.5), with the score 1 - p of the class.  The promise is kept twice, for an image of a new lesion,
where the images of one lesion share the weight of one (Lee, Barber and Willett, "Distribution-free inference with
hierarchical data", 2023), and for images counted alike: lesions that are photographed more often are the harder ones in
HAM10000, the rare ones the other way about.  With one image per lesion both are the usual split conformal rule.
"""

from typing import Any

import numpy as np

from skin_model.errors import ConfigurationError, DatasetError
from skin_model.taxonomy import CODES

COVERAGE = 0.9
_ROUNDING = 1e-9  # sums of thirds and tenths fall a little short of what they are


def fit(
    labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray | None, *, coverage: float = COVERAGE
) -> dict[str, Any]:
    """Each class's threshold from calibration images: a class is in a set where its probability reaches it.

    A class with L calibration lesions can keep the promise only where L / (L + 1) reaches the coverage, which takes
    nine for 90 %; with fewer its threshold is 0, so it is in every set.

    Args:
        labels: true class indices (N,), taxonomy order.
        probabilities: calibrated, (N, 7).
        lesions: lesion of each image (N,), or None where each image is a lesion of its own.
        coverage: promised share of sets that hold the true class, for each class.

    Returns:
        Plain JSON types: coverage, thresholds (probability by class code) and lesions (their number by class code).

    Raises:
        ConfigurationError: for a coverage that is not between 0 and 1.
        DatasetError: for an empty set.
    """
    if not 0 < coverage < 1:
        raise ConfigurationError(f"The coverage must lie between 0 and 1; {coverage} was given.")
    if not len(labels):
        raise DatasetError("There is no calibration image; use a split whose calibration part is not empty.")
    lesions = np.arange(len(labels)) if lesions is None else np.asarray(lesions)
    thresholds, counts = {}, {}
    for index, code in enumerate(CODES):
        own = np.asarray(labels) == index
        of_class = np.asarray(probabilities, dtype=np.float64)[own, index]
        _, unit, images = np.unique(lesions[own], return_inverse=True, return_counts=True)
        counts[code] = len(images)
        by_lesion, alike = 1 / images[unit], np.full(len(unit), len(images) / max(1, len(unit)))
        needed = coverage * (len(images) + 1)
        thresholds[code] = min(_threshold(of_class, weights, needed) for weights in (by_lesion, alike))
    return {"coverage": coverage, "thresholds": thresholds, "lesions": counts}


def members(probabilities: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
    """Which classes are in each image's set, (N, 7) -> bool (N, 7); a set may be empty or hold all seven."""
    thresholds = np.array([fitted["thresholds"][code] for code in CODES])
    return np.asarray(probabilities, dtype=np.float64) >= thresholds


def always_in(fitted: dict[str, Any]) -> list[str]:
    """The codes of the classes with too few calibration lesions to be ever left out."""
    lesions, coverage = fitted["lesions"], fitted["coverage"]
    return [code for code in CODES if lesions[code] < coverage * (lesions[code] + 1) - _ROUNDING]


def _threshold(probability: np.ndarray, weights: np.ndarray, needed: float) -> float:
    """The largest probability at or above which images of the needed weight lie; 0 where there are too few."""
    order = np.argsort(-probability, kind="stable")
    reached = np.flatnonzero(weights[order].cumsum() >= needed - _ROUNDING)
    return float(probability[order][reached[0]]) if len(reached) else 0.0
