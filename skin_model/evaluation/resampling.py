"""The figures of an evaluation for many bootstrap resamples at once, and their intervals.

A resample is a vector of whole weights: how often each row was drawn.  Whatever does not depend on the
weights (sorting, one-hot cells, losses) is done once, so a thousand resamples cost a few matrix products.
Weights are (S, N), one resample per row; figures come back as (S,), NaN where a resample leaves them
undefined.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from skin_model.taxonomy import CODES

ECE_BINS = 15  # equal-mass; Guo et al. 2017 also use 15 bins
CELLS_AT_ONCE = 4_000_000  # resamples x rows held in memory together: 32 MB of weights
# The share of the resamples that must define a figure: four lesions of a class reach it, three do not.  In simulations,
# intervals of the balanced accuracy from the resamples that hold all seven classes hold the truth in 93 % of sets with
# four lesions of the rarest class, in 88 % with three, 82 % with two and 62 % with one.  Lesions drawn within each
# class would define every figure, but hold the truth less often each time (90, 87, 81 and 60 %).
DEFINED = 0.97


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


class Figures:
    """What can be computed anew for every resample.

    Attributes:
        rates: the figures that end at 0 and 1, so that resamples which all agree there tell nothing of their spread;
            each with the rows, bool (N,), of which it is the share that is right, or None where it is no such share.
    """

    rates: Mapping[str, np.ndarray | None] = MappingProxyType({})

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Weights (S, N) -> each figure (S,)."""
        raise NotImplementedError


class Decision(Figures):
    """The malignant decision: truth (N,) bool, malignant probability (N,), referred from the threshold on."""

    def __init__(self, malignant: np.ndarray, probability: np.ndarray, threshold: float) -> None:
        self._malignant, self._ranking = malignant, Ranking(probability)
        referred = probability >= threshold
        self._cells = np.eye(4)[2 * malignant + referred]  # columns tn, fp, fn, tp
        self.rates = {
            "malignant.auc": None,
            "malignant.sensitivity": malignant,
            "malignant.specificity": ~malignant,
            "malignant.precision": referred,
            "malignant.f1": None,
        }

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        tn, fp, fn, tp = (weights @ self._cells).T
        return {
            "malignant.auc": self._ranking.auc(weights, self._malignant),
            "malignant.sensitivity": ratio(tp, tp + fn),
            "malignant.specificity": ratio(tn, tn + fp),
            "malignant.precision": np.where((tp + fp == 0) & (fn > 0), 0.0, ratio(tp, tp + fp)),
            "malignant.f1": ratio(2 * tp, 2 * tp + fp + fn),
        }


class Answers(Figures):
    """Whether each answer was right (N,), its confidence (N,), and the probability of the truth (N,)."""

    def __init__(self, correct: np.ndarray, confidence: np.ndarray, of_truth: np.ndarray) -> None:
        self._correct, self._ranking = correct, Ranking(confidence)
        self._losses = -np.log(np.maximum(of_truth, np.finfo(np.float64).eps))  # clipped as scikit-learn does
        self.rates = {"accuracy": np.ones(len(correct), bool)}

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(axis=1)
        return {
            "accuracy": weights @ self._correct / total,
            "log_loss": weights @ self._losses / total,
            "ece": self._ranking.ece(weights, self._correct),
        }


class ClassWise(Figures):
    """One class against the rest, and the macro figures: labels (N,), probabilities float64 (N, 7).

    A macro figure is the mean over the classes among the labels: a resample that lacks one of them leaves it undefined,
    as the mean over the others is another figure.
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        size, predicted = len(CODES), probabilities.argmax(axis=1)
        self._labels, self._present = labels, np.unique(labels)
        self._cells = np.eye(size * size)[size * labels + predicted]
        self._rankings = [Ranking(column) for column in probabilities.T]
        kinds: dict[str, Any] = {"recall": labels, "precision": predicted, "f1": None, "auc": None}
        self.rates = dict.fromkeys(["balanced_accuracy", *(f"macro_{kind}" for kind in kinds)]) | {
            f"per_class.{code}.{kind}": None if of is None else of == index
            for index, code in enumerate(CODES)
            for kind, of in kinds.items()
        }

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
        macro = {f"macro_{key}": values[:, self._present].mean(axis=1) for key, values in of_class.items()}
        return {
            "balanced_accuracy": macro["macro_recall"],
            **macro,
            **{f"per_class.{c}.{key}": v[:, i] for i, c in enumerate(CODES) for key, v in of_class.items()},
        }


class Differences(Figures):
    """The figures `keys` of the second sources, and under "change.KEY" by how much they exceed those of the first."""

    def __init__(self, first: Sequence[Figures], second: Sequence[Figures], keys: Iterable[str]) -> None:
        self._first, self._second, self._keys = first, second, tuple(keys)
        of_second = {key: rows for source in second for key, rows in source.rates.items()}
        self.rates = of_second | {f"change.{key}": rows for key, rows in of_second.items()}

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        before, after = (all_figures(sources, weights) for sources in (self._first, self._second))
        own = {key: after[key] for key in self._keys if key in after}
        return own | {f"change.{key}": own[key] - before[key] for key in own}


def all_figures(sources: Sequence[Figures], weights: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of several sources."""
    return {key: values for source in sources for key, values in source.figures(weights).items()}


def intervals(
    sources: Sequence[Figures], rows: int, groups: np.ndarray | None, samples: int, seed: int
) -> dict[str, Any]:
    """95 % interval of every figure of `sources`, as `metrics.bootstrap` returns them: percentiles of the resamples.

    A share that is 0 or 1 in all resamples gets the exact interval instead, of as many lesions as it is of, and so does
    a change of 0, 1 or -1 of one: that none of n lesions was answered otherwise says as much as that none was missed.
    For the same reason an interval of changes that ends at 0, since no resample has one beyond, ends where n lesions of
    which none was lost, or won, allow.
    No interval have the figures of a set of one lesion, one that fewer than `DEFINED` of the resamples define, and
    any other of `Figures.rates` on which all resamples agree.

    Drawing rows with replacement makes every bin of the calibration error noisier, so resamples of a well calibrated
    model lie wholly above its own ece; intervals of figures named so are moved down by their mean excess.
    """
    unit = np.arange(rows) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    found: dict[str, Any] = {"unit": "image" if groups is None else "lesion", "samples": samples}
    if not unit.any():  # a single lesion says nothing of others
        return found
    portions = [all_figures(sources, weights) for weights in _resamples(unit, samples, seed)]
    whole = all_figures(sources, np.ones((1, rows)))
    rates = {key: of for source in sources for key, of in source.rates.items()}
    for key in portions[0]:
        values = np.concatenate([portion[key] for portion in portions])
        values = values[np.isfinite(values)]
        if key in rates and len(values) and np.ptp(values) == 0:
            of = rates[key]
            if of is not None and of.any() and values[0] in (-1, 0, 1):
                low, high = exact_interval(values[0] != 0, len(np.unique(unit[of])))
                if key.startswith("change."):
                    low, high = {-1: (-high, -low), 0: (-high, high), 1: (low, high)}[int(values[0])]
                found[key] = [low, high]
        elif len(values) >= DEFINED * samples:
            found[key] = np.percentile(values, [2.5, 97.5]).tolist()
            if key.startswith("change.") and rates.get(key) is not None:
                found[key] = _as_far(found[key], values, len(np.unique(unit[rates[key]])))
            if key.endswith("ece") and not key.startswith("change."):  # a change has none, and may lie below zero
                excess = max(0.0, values.mean() - float(whole[key][0]))
                found[key] = [max(0.0, float(bound - excess)) for bound in found[key]]
    return found


def _as_far(interval: list[float], values: np.ndarray, count: int) -> list[float]:
    """The interval of a change of a share, moved out where it ends at 0 and none of `count` lesions changed beyond."""
    low, high = interval
    unseen = exact_interval(False, count)[1]
    return [-unseen if low == 0 <= values.min() else low, unseen if high == 0 >= values.max() else high]


def exact_interval(right: bool, count: int) -> list[float]:
    """95 % interval of a share of which all of `count` were right, or all wrong (Clopper and Pearson, Biometrika 1934).

    There the binomial tail of 2.5 % is a power: share ** count for none wrong.
    """
    return [float(0.025 ** (1 / count)), 1.0] if right else [0.0, float(1 - 0.025 ** (1 / count))]


def estimates(
    sources: Sequence[Figures], rows: int, groups: np.ndarray | None, samples: int = 1000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Every figure of `sources` as {"value": float, "interval": [low, high]}; None for what it does not have."""
    found = intervals(sources, rows, groups, samples, seed)
    return {
        key: {"value": float(value) if np.isfinite(value) else None, "interval": found.get(key)}
        for key, (value,) in all_figures(sources, np.ones((1, rows))).items()
    }


def _resamples(unit: np.ndarray, samples: int, seed: int) -> Iterator[np.ndarray]:
    """Weights in portions of (S, N) for rows of the lesions `unit` (N,), numbers from 0; a lesion is drawn as one."""
    random = np.random.default_rng(seed)
    count = int(unit.max()) + 1
    portion = max(1, CELLS_AT_ONCE // len(unit))
    for start in range(0, samples, portion):
        drawn = [
            np.bincount(random.integers(count, size=count), minlength=count)
            for _ in range(min(portion, samples - start))
        ]
        yield np.stack(drawn)[:, unit].astype(np.float64)


def ratio(numerator: np.ndarray, denominator: np.ndarray, *, otherwise: float = np.nan) -> np.ndarray:
    """Quotient; `otherwise` where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(denominator.shape, otherwise), where=denominator > 0)
