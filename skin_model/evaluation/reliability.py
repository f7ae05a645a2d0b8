"""Whether probabilities mean what they say: calibration errors, Brier scores, the reliability diagram, their noise.

All bins hold equally many images (Nguyen and O'Connor 2015); the class-wise error is the mean over the classes of the
error of each class's own probability (Kull et al., "Beyond temperature scaling", NeurIPS 2019).
"""

from typing import Any

import numpy as np

from skin_model.evaluation import metrics
from skin_model.evaluation.resampling import CELLS_AT_ONCE, ECE_BINS, Figures, Ranking, ratio
from skin_model.evaluation.scored import Scored
from skin_model.taxonomy import CODES, MALIGNANT_INDICES

SIMULATIONS = 500
NOISE_QUANTILE = 0.95


class Calibration(Figures):
    """Errors of the answers (N, K) as probabilities of the truth (N,), an index of their columns."""

    def __init__(self, truth: np.ndarray, probabilities: np.ndarray) -> None:
        self._answered = np.eye(probabilities.shape[1], dtype=bool)[truth]  # (N, K)
        self._correct = probabilities.argmax(axis=1) == truth
        self._top = Ranking(probabilities.max(axis=1))
        self._of_class = [Ranking(column) for column in probabilities.T]
        self._squares = ((probabilities - self._answered) ** 2).sum(axis=1)

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        errors = [r.ece(weights, self._answered[:, k]) for k, r in enumerate(self._of_class)]
        return {
            "ece": self._top.ece(weights, self._correct),
            "classwise_ece": np.mean(errors, axis=0),
            "brier": weights @ self._squares / weights.sum(axis=1),
        } | {f"{CODES[k]}.ece": error for k, error in enumerate(errors)}


class MalignantCalibration(Figures):
    """Errors of the malignant probability (N,) as that of the truth, bool (N,)."""

    def __init__(self, malignant: np.ndarray, probability: np.ndarray) -> None:
        self._malignant, self._ranking = malignant, Ranking(probability)
        self._squares = (probability - malignant) ** 2

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "malignant.ece": self._ranking.ece(weights, self._malignant),
            "malignant.brier": weights @ self._squares / weights.sum(axis=1),
        }


class _Bins(Figures):
    """Share of hits in each of fixed bins, as columns of (N, B)."""

    def __init__(self, cells: np.ndarray, hits: np.ndarray) -> None:
        self._cells, self._hits = cells, cells * hits[:, None]
        self.rates = {str(number): of for number, of in enumerate(cells.T > 0)}

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        shares = ratio(weights @ self._hits, weights @ self._cells)
        return {str(number): share for number, share in enumerate(shares.T)}


def calibration(scored: Scored) -> dict[str, Any]:
    """Every calibration figure.

    Returns:
        {"value", "interval"} under ece (top label), classwise_ece, brier (sum over the classes, 0 to 2), one
        "CODE.ece" per class, malignant.ece and malignant.brier; each error also with "if_calibrated", what a perfectly
        calibrated model of the same probabilities would show ("mean", "high": 95 % of its draws lie at or below), and
        "inside_noise".  Besides, "reliability": bins of the diagram for "top" and "malignant".
        A model that only tells malignant from benign has only the malignant figures.
    """
    malignant = scored.malignant_probability
    sources: list[Figures] = [MalignantCalibration(scored.malignant, malignant)]
    bins = {"malignant": _diagram(scored, malignant, scored.malignant)}
    if scored.probabilities is not None:
        exact = metrics.normalised(scored.probabilities)
        sources.append(Calibration(scored.labels, exact))
        bins["top"] = _diagram(scored, exact.max(axis=1), exact.argmax(axis=1) == scored.labels)
    found: dict[str, Any] = scored.estimates(sources)
    for key, draws in _if_calibrated(scored).items():
        high = float(np.quantile(draws, NOISE_QUANTILE))
        found[key]["if_calibrated"] = {"mean": float(draws.mean()), "high": high}
        found[key]["inside_noise"] = bool(found[key]["value"] <= high)
    return found | {"reliability": bins}


def _if_calibrated(scored: Scored, *, samples: int = SIMULATIONS, seed: int = 0) -> dict[str, np.ndarray]:
    """Draws (S,) of each calibration error where the truth is drawn from the probabilities themselves.

    The images are drawn independently.  Those of one lesion share their truth, which makes real noise larger: an error
    is called noise less readily than it could be.
    """
    random = np.random.default_rng(seed)
    portion = max(1, CELLS_AT_ONCE // (len(scored) * len(CODES)))
    drawn = [_drawn(scored, random, min(portion, samples - begun)) for begun in range(0, samples, portion)]
    return {key: np.concatenate([one[key] for one in drawn]) for key in drawn[0]}


def _drawn(scored: Scored, random: np.random.Generator, samples: int) -> dict[str, np.ndarray]:
    """The next so many of these draws."""
    ones = np.ones((samples, len(scored)))
    ranking = Ranking(scored.malignant_probability)
    if scored.probabilities is None:
        drawn = random.random(ones.shape) < scored.malignant_probability
        return {"malignant.ece": ranking.ece(ones, drawn)}
    exact = metrics.normalised(scored.probabilities)
    truth = (random.random((samples, len(exact), 1)) >= exact.cumsum(axis=1)[:, :-1]).sum(axis=2)  # (S, N)
    errors = [Ranking(column).ece(ones, truth == k) for k, column in enumerate(exact.T)]
    return {
        "ece": Ranking(exact.max(axis=1)).ece(ones, truth == exact.argmax(axis=1)),
        "classwise_ece": np.mean(errors, axis=0),
        "malignant.ece": ranking.ece(ones, np.isin(truth, MALIGNANT_INDICES)),
    } | {f"{CODES[k]}.ece": error for k, error in enumerate(errors)}


def _diagram(scored: Scored, probability: np.ndarray, hits: np.ndarray) -> list[dict[str, Any]]:
    """The bins of a reliability diagram: images, mean probability, and the share of hits with its interval."""
    order = np.argsort(probability, kind="stable")
    cells = np.zeros((len(order), min(ECE_BINS, len(order))))
    for number, rows in enumerate(np.array_split(order, cells.shape[1])):
        cells[rows, number] = 1
    shares = scored.estimates([_Bins(cells, hits)])
    means = probability @ cells / cells.sum(axis=0)
    return [
        {"images": int(cells[:, number].sum()), "probability": float(means[number])} | shares[str(number)]
        for number in range(cells.shape[1])
    ]
