"""How well malignant is told from benign: at chosen thresholds, at fixed rates, and by ranking alone."""

from typing import Any

import numpy as np

from skin_model.evaluation.resampling import Figures, Ranking, ratio
from skin_model.evaluation.scored import Scored
from skin_model.taxonomy import BY_CODE

SPECIFICITY = 0.85  # at which melanoma recall is compared
SENSITIVITY = 0.95  # at which specificity is compared
_ROUNDING = 1e-9


class AtThreshold(Figures):
    """Rates of referral from a threshold on, under keys that start with `name`."""

    def __init__(self, scored: Scored, threshold: float, name: str) -> None:
        self._referred = scored.malignant_probability >= threshold
        self._malignant, self._melanoma = scored.malignant, scored.labels == BY_CODE["mel"].index
        self._name = name
        of = {"sensitivity": self._malignant, "specificity": ~self._malignant, "melanoma_recall": self._melanoma}
        self.rates = {f"{name}.{key}": rows for key, rows in of.items()}

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        def share(right: np.ndarray, among: np.ndarray) -> np.ndarray:
            return ratio(weights @ (right & among), weights @ among)

        return {
            f"{self._name}.sensitivity": share(self._referred, self._malignant),
            f"{self._name}.specificity": share(~self._referred, ~self._malignant),
            f"{self._name}.melanoma_recall": share(self._referred, self._melanoma),
        }


class AtFixedRates(Figures):
    """Figures whose threshold is found anew on the scored images, so they describe the ranking, not a decision."""

    def __init__(self, scored: Scored) -> None:
        self._ranking = Ranking(scored.malignant_probability)
        self._malignant, self._melanoma = scored.malignant, scored.labels == BY_CODE["mel"].index
        self.rates = {
            "melanoma_recall_at_specificity": self._melanoma,
            "specificity_at_sensitivity": ~self._malignant,
            "auc": None,
            "average_precision": None,
        }

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        malignant, benign, melanoma = (
            self._ranking.totals(weights * of) for of in (self._malignant, ~self._malignant, self._melanoma)
        )  # (S, U) each, ascending scores
        # referring from the u-th score on spares the benign below it and finds the malignant from it on
        spared = ratio(benign.cumsum(axis=1) - benign, _column(benign))
        found = ratio(_from_here(malignant), _column(malignant))
        recall = ratio(_from_here(melanoma), _column(melanoma))
        lowest = spared >= SPECIFICITY - _ROUNDING
        highest = np.maximum((found >= SENSITIVITY - _ROUNDING).sum(axis=1) - 1, 0)
        rows = np.arange(len(weights))
        # no threshold among the scores may be specific enough: then nothing is referred
        at_specificity = np.where(lowest.any(axis=1), recall[rows, lowest.argmax(axis=1)], 0.0)
        undefined = ~(benign.any(axis=1) & melanoma.any(axis=1))
        tp, all_from_here = _from_here(malignant), _from_here(malignant + benign)
        return {
            "melanoma_recall_at_specificity": np.where(undefined, np.nan, at_specificity),
            "specificity_at_sensitivity": np.where(malignant.any(axis=1), spared[rows, highest], np.nan),
            "auc": self._ranking.auc(weights, self._malignant),
            "average_precision": ratio(
                (malignant * ratio(tp, all_from_here, otherwise=0.0)).sum(axis=1), malignant.sum(axis=1)
            ),
        }


def operating_points(scored: Scored, thresholds: dict[str, float]) -> dict[str, dict[str, Any]]:
    """Measured rates of each named threshold, each as {"value", "interval"}, beside the threshold itself."""
    found = scored.estimates([AtThreshold(scored, value, name) for name, value in thresholds.items()])
    return {
        name: {"threshold": threshold}
        | {key.removeprefix(f"{name}."): figure for key, figure in found.items() if key.startswith(f"{name}.")}
        for name, threshold in thresholds.items()
    }


def _from_here(totals: np.ndarray) -> np.ndarray:
    """Weight at and above each score, (S, U)."""
    return totals[:, ::-1].cumsum(axis=1)[:, ::-1]


def _column(totals: np.ndarray) -> np.ndarray:
    """The whole weight of each resample, as wide as its scores, (S, U)."""
    return np.broadcast_to(totals.sum(axis=1, keepdims=True), totals.shape)
