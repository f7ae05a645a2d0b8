"""The figures of an evaluation for many bootstrap resamples at once, and their intervals.

A resample is a vector of whole weights: how often each row was drawn.  Whatever does not depend on the
weights (sorting, one-hot cells, losses) is done once, so a thousand resamples cost a few matrix products.
Weights are (S, N), one resample per row; figures come back as (S,), NaN where a resample leaves them
undefined.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from skin_model.taxonomy import CODES

ECE_BINS = 15  # equal-mass; Guo et al. 2017 also use 15 bins
CELLS_AT_ONCE = 4_000_000  # resamples x rows held in memory together: 32 MB of weights


class Ranking:
    """Scores (N,) sorted once, ties merged."""

    def __init__(self, scores: np.ndarray) -> None:
        self._order = np.argsort(scores, kind="stable")
        ordered = np.asarray(scores)[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._values = ordered[self._starts].astype(np.float64)

    def totals(self, weights: np.ndarray) -> np.ndarray:
        """Weight at each distinct score, ascending: (S, N) -> (S, U)."""
        ordered = weights[:, self._order]
        if len(self._starts) == len(self._order):  # no ties: nothing to add up
            return ordered
        return np.add.reduceat(ordered, self._starts, axis=1)

    def auc(self, weights: np.ndarray, positive: np.ndarray) -> np.ndarray:
        """Weighted AUC of each resample, (S,): the share of pairs ranked rightly, ties counting half."""
        above = self.totals(weights * positive)
        below = self.totals(weights * ~positive)
        wins = (above * (below.cumsum(axis=1) - below / 2)).sum(axis=1)
        return ratio(wins, above.sum(axis=1) * below.sum(axis=1))

    def ece(self, weights: np.ndarray, correct: np.ndarray) -> np.ndarray:
        """Calibration error of each resample, (S,), the scores being confidences; `correct` is (N,) or (S, N)."""
        mass, hits = self.totals(weights), self.totals(weights * correct)
        total = mass.sum(axis=1, keepdims=True)
        bins = np.minimum((ECE_BINS * (mass.cumsum(axis=1) - mass / 2) / total).astype(int), ECE_BINS - 1)
        cells = bins + ECE_BINS * np.arange(len(mass))[:, None]
        gaps = np.bincount(cells.ravel(), (mass * self._values - hits).ravel(), minlength=ECE_BINS * len(mass)).reshape(
            -1, ECE_BINS
        )
        return np.abs(gaps).sum(axis=1) / total[:, 0]


class Figures(Protocol):
    """What can be computed anew for every resample."""

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]: ...


class Decision:
    """The malignant decision: truth (N,) bool, malignant probability (N,), referred from the threshold on."""

    def __init__(self, malignant: np.ndarray, probability: np.ndarray, threshold: float) -> None:
        self._malignant, self._ranking = malignant, Ranking(probability)
        self._cells = np.eye(4)[2 * malignant + (probability >= threshold)]  # columns tn, fp, fn, tp

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        tn, fp, fn, tp = (weights @ self._cells).T
        return {
            "malignant.auc": self._ranking.auc(weights, self._malignant),
            "malignant.sensitivity": ratio(tp, tp + fn),
            "malignant.specificity": ratio(tn, tn + fp),
            "malignant.precision": np.where((tp + fp == 0) & (fn > 0), 0.0, ratio(tp, tp + fp)),
            "malignant.f1": ratio(2 * tp, 2 * tp + fp + fn),
        }


class Answers:
    """Whether each answer was right (N,), its confidence (N,), and the probability of the truth (N,)."""

    def __init__(self, correct: np.ndarray, confidence: np.ndarray, of_truth: np.ndarray) -> None:
        self._correct, self._ranking = correct, Ranking(confidence)
        self._losses = -np.log(np.maximum(of_truth, np.finfo(np.float64).eps))  # clipped as scikit-learn does

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(axis=1)
        return {
            "accuracy": weights @ self._correct / total,
            "log_loss": weights @ self._losses / total,
            "ece": self._ranking.ece(weights, self._correct),
        }


class ClassWise:
    """One class against the rest, and the macro figures: labels (N,), probabilities float64 (N, 7)."""

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        size = len(CODES)
        self._labels = labels
        self._cells = np.eye(size * size)[size * labels + probabilities.argmax(axis=1)]
        self._rankings = [Ranking(column) for column in probabilities.T]

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        confusion = (weights @ self._cells).reshape(-1, len(CODES), len(CODES))
        hits, true, predicted = np.einsum("sii->si", confusion), confusion.sum(axis=2), confusion.sum(axis=1)
        aucs = [r.auc(weights, self._labels == index) for index, r in enumerate(self._rankings)]
        of_class = {  # (S, 7) each, NaN where the resample lacks the class
            "recall": ratio(hits, true),
            "precision": np.where(true > 0, hits / np.maximum(predicted, 1), np.nan),
            "f1": np.where(true > 0, 2 * hits / np.maximum(true + predicted, 1), np.nan),
            "auc": np.stack(aucs, axis=1),
        }
        macro = {f"macro_{key}": _mean_of_defined(values) for key, values in of_class.items()}
        return {
            "balanced_accuracy": macro["macro_recall"],
            **macro,
            **{f"per_class.{c}.{key}": v[:, i] for i, c in enumerate(CODES) for key, v in of_class.items()},
        }


def intervals(
    sources: Sequence[Figures], rows: int, groups: np.ndarray | None, samples: int, seed: int
) -> dict[str, Any]:
    """95 % percentile interval of every figure of `sources`, as `metrics.bootstrap` returns them.

    Drawing rows with replacement makes every bin of the calibration error noisier, so resamples of a well
    calibrated model lie wholly above its own ece; intervals of figures named so are moved down by their mean excess.
    """
    portions = [
        {key: values for source in sources for key, values in source.figures(weights).items()}
        for weights in _resamples(rows, groups, samples, seed)
    ]
    whole = {key: values for source in sources for key, values in source.figures(np.ones((1, rows))).items()}
    found: dict[str, Any] = {"unit": "image" if groups is None else "lesion", "samples": samples}
    for key in portions[0]:
        values = np.concatenate([portion[key] for portion in portions])
        values = values[np.isfinite(values)]
        if len(values):
            found[key] = np.percentile(values, [2.5, 97.5]).tolist()
            if key.endswith("ece"):
                excess = max(0.0, values.mean() - float(whole[key][0]))
                found[key] = [max(0.0, float(bound - excess)) for bound in found[key]]
    return found


def estimates(
    sources: Sequence[Figures], rows: int, groups: np.ndarray | None, samples: int = 1000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Every figure of `sources` as {"value": float, "interval": [low, high]}; None for what is not defined."""
    found = intervals(sources, rows, groups, samples, seed)
    whole = {key: values[0] for source in sources for key, values in source.figures(np.ones((1, rows))).items()}
    return {
        key: {"value": float(value) if np.isfinite(value) else None, "interval": found.get(key)}
        for key, value in whole.items()
    }


def _resamples(rows: int, groups: np.ndarray | None, samples: int, seed: int) -> Iterator[np.ndarray]:
    """Weights in portions of (S, N); the rows of a group share their fate."""
    random = np.random.default_rng(seed)
    unit = np.arange(rows) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(unit.max()) + 1
    portion = max(1, CELLS_AT_ONCE // rows)
    for start in range(0, samples, portion):
        drawn = [
            np.bincount(random.integers(count, size=count), minlength=count)
            for _ in range(min(portion, samples - start))
        ]
        yield np.stack(drawn)[:, unit].astype(np.float64)


def ratio(numerator: np.ndarray, denominator: np.ndarray, *, otherwise: float = np.nan) -> np.ndarray:
    """Quotient; `otherwise` where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(denominator.shape, otherwise), where=denominator > 0)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the columns that are not NaN, (S, K) -> (S,)."""
    return ratio(np.nansum(values, axis=1), np.isfinite(values).sum(axis=1).astype(float))
