"""Points of the ROC, precision-recall and decision curves, thinned for drawing."""

from typing import Any

import numpy as np

from skin_model.evaluation.resampling import Figures
from skin_model.evaluation.scored import Scored
from skin_model.taxonomy import CODES

POINTS = 200  # more cannot be told apart on a screen
RISKS = np.arange(0.01, 0.61, 0.01)  # threshold probabilities at which a referral may be worth it
_DIGITS = 5


def curves(scored: Scored) -> dict[str, Any]:
    """Curves of malignant against benign and of each present class against the rest.

    Returns:
        "roc" (x: false positive rate, y: true positive rate) and "precision_recall" (x: recall, y: precision) by
        "malignant" or class code, and "decision" as `net_benefit` gives it.  A class without images, or without
        others beside it, has no curve.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    ranked = {"malignant": (scored.malignant, scored.malignant_probability)}
    if scored.probabilities is not None:
        ranked |= {c: (scored.labels == k, scored.probabilities[:, k]) for k, c in enumerate(CODES)}
    found: dict[str, Any] = {"roc": {}, "precision_recall": {}, "decision": net_benefit(scored)}
    for name, (positive, score) in ranked.items():
        if positive.any() and not positive.all():
            false_rate, true_rate, _ = roc_curve(positive, score)
            precision, recall, _ = precision_recall_curve(positive, score, drop_intermediate=True)
            found["roc"][name] = _thinned(false_rate, true_rate)
            found["precision_recall"][name] = _thinned(recall, precision)
    return found


class _NetBenefit(Figures):
    """Net benefit at each of `RISKS`: of referring by the model, and of referring everyone."""

    def __init__(self, scored: Scored) -> None:
        self._malignant, self._probability = scored.malignant, scored.malignant_probability

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        odds = RISKS / (1 - RISKS)
        total = weights.sum(axis=1, keepdims=True)
        referred = self._probability[:, None] >= RISKS  # (N, R)
        right = weights @ (referred & self._malignant[:, None]) / total
        wrong = weights @ (referred & ~self._malignant[:, None]) / total
        prevalence = weights @ self._malignant[:, None] / total
        by_model, by_all = right - wrong * odds, prevalence - (1 - prevalence) * odds
        return {f"model {n}": by_model[:, n] for n in range(len(odds))} | {
            f"all {n}": by_all[:, n] for n in range(len(odds))
        }


def net_benefit(scored: Scored) -> dict[str, list[Any]]:
    """The decision curve (Vickers and Elkin, Medical Decision Making 2006): true referrals per image, less false ones
    at the odds of the risk from which on a referral is worth it.

    Returns:
        Lists of equal length: risk, model, interval (of model, without width for a single lesion) and all (refer
        everyone); referring no one gives 0.
    """
    found = scored.estimates([_NetBenefit(scored)])
    numbers = range(len(RISKS))
    of_model = [found[f"model {n}"] for n in numbers]
    return {
        "risk": [round(float(risk), 2) for risk in RISKS],
        "model": [_rounded(one["value"]) for one in of_model],
        "interval": [[_rounded(bound) for bound in one["interval"] or 2 * [one["value"]]] for one in of_model],
        "all": [_rounded(found[f"all {n}"]["value"]) for n in numbers],
    }


def _thinned(x: np.ndarray, y: np.ndarray) -> dict[str, list[float]]:
    """At most `POINTS` points, both ends among them."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(POINTS, len(x))).astype(int))
    return {"x": [_rounded(value) for value in x[kept]], "y": [_rounded(value) for value in y[kept]]}


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)
