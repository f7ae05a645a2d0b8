"""How the prediction sets do on labelled images: how often they hold the truth, and how large they are."""

from typing import Any

import numpy as np

from skin_model.evaluation import conformal
from skin_model.evaluation.resampling import Figures, ratio
from skin_model.evaluation.scored import Scored
from skin_model.taxonomy import CODES


class Sets(Figures):
    """Members of the sets, bool (N, 7), against the labels (N,)."""

    def __init__(self, labels: np.ndarray, members: np.ndarray) -> None:
        sizes = members.sum(axis=1)
        self._columns = np.stack(
            [members[np.arange(len(labels)), labels], sizes, sizes == 0, sizes == 1], axis=1
        ).astype(np.float64)
        self._of_class = np.eye(len(CODES))[labels]  # (N, 7)
        self.rates = dict.fromkeys(("coverage", "empty", "single"), np.ones(len(labels), bool)) | {
            f"{code}.coverage": labels == index for index, code in enumerate(CODES)
        }

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        holds, size, empty, single = (weights @ self._columns / weights.sum(axis=1, keepdims=True)).T
        found = {"coverage": holds, "size": size, "empty": empty, "single": single}
        counts = weights @ self._of_class  # (S, 7)
        for name, column in (("coverage", 0), ("size", 1)):
            means = ratio((weights * self._columns[:, column]) @ self._of_class, counts)
            found |= {f"{code}.{name}": means[:, index] for index, code in enumerate(CODES)}
        return found


def prediction_sets(scored: Scored, fitted: dict[str, Any]) -> dict[str, Any] | None:
    """Measured coverage and size of the sets that a bundle gives; None for a bundle without sets.

    Returns:
        promised (coverage), always_in (codes of classes with too few calibration lesions), lesions (class code -> how
        many the sets were fitted on), and {"value", "interval"} under coverage, size, empty and single (shares of sets
        with no or one class), "CODE.coverage" and "CODE.size" for the images of each true class.
    """
    if not fitted or scored.probabilities is None:
        return None
    found = scored.estimates([Sets(scored.labels, conformal.members(scored.probabilities, fitted))])
    return {
        "promised": fitted["coverage"],
        "always_in": conformal.always_in(fitted),
        "lesions": fitted["lesions"],
    } | found
