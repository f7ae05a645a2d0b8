"""Figures of one model on one labelled set, and their bootstrap intervals.

The plain figures are scikit-learn's, which is imported where it is used: it takes two seconds, and the pages that only
tell figures need not wait for it.  The intervals, which need each figure a thousand times, come from `resampling`.

Conventions: macro figures average over the classes present among the labels; a present class that is never
predicted has precision 0 (scikit-learn's `zero_division=0`); a figure that is not defined is None, never NaN.
"""

from typing import Any

import numpy as np

from skin_model.errors import BundleError, DatasetError
from skin_model.evaluation import resampling
from skin_model.taxonomy import CODES, MALIGNANT_INDICES


def malignant_probability(probabilities: np.ndarray) -> np.ndarray:
    """Sum over the malignant classes, (N, 7) -> float64 (N,).

    Adds in the given precision and in the taxonomy's order, then widens, exactly as
    `Prediction.malignant_probability` does: a threshold decides alike here and on the page.
    """
    return np.asarray(sum(probabilities[:, index] for index in MALIGNANT_INDICES), dtype=np.float64)


def score(labels: np.ndarray, probabilities: np.ndarray, *, threshold: float) -> dict[str, Any]:
    """Figures of a seven-class model.

    Args:
        labels: true class indices (N,), taxonomy order.
        probabilities: (N, 7), taxonomy order, rows summing to 1.
        threshold: an image is referred when its malignant probability reaches it.

    Returns:
        Plain JSON types: n, accuracy, balanced_accuracy (mean recall), macro_auc (one class against the
        rest), macro_f1, macro_precision, macro_recall, log_loss, ece (top label), malignant, per_class (None
        for an absent class), confusion_matrix (rows true, columns predicted) and classes.

    Raises:
        DatasetError: for an empty set.
        BundleError: for rows that are no probabilities.
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support

    labels, exact = np.asarray(labels, dtype=int), _checked(probabilities)
    predicted = exact.argmax(axis=1)
    present = np.unique(labels)
    precision, recall, f1, counts = precision_recall_fscore_support(labels, predicted, labels=present, zero_division=0)
    aucs = [_auc(labels == index, exact[:, index]) for index in present]
    defined = [auc for auc in aucs if auc is not None]
    per_class: dict[str, Any] = dict.fromkeys(CODES)
    for row, index in enumerate(present):
        per_class[CODES[index]] = {
            "recall": float(recall[row]),
            "precision": float(precision[row]),
            "f1": float(f1[row]),
            "auc": aucs[row],
            "n": int(counts[row]),
        }
    malignant = np.isin(labels, MALIGNANT_INDICES)
    return {
        "n": len(labels),
        "accuracy": float(accuracy_score(labels, predicted)),
        "balanced_accuracy": float(recall.mean()),
        "macro_auc": float(np.mean(defined)) if defined else None,
        "macro_f1": float(f1.mean()),
        "macro_precision": float(precision.mean()),
        "macro_recall": float(recall.mean()),
        "log_loss": float(log_loss(labels, normalised(exact), labels=range(len(CODES)))),
        "ece": expected_calibration_error(exact.max(axis=1), predicted == labels),
        "malignant": _decision(malignant, malignant_probability(np.asarray(probabilities)), threshold),
        "per_class": per_class,
        "confusion_matrix": confusion_matrix(labels, predicted, labels=range(len(CODES))).tolist(),
        "classes": list(CODES),
    }


def score_binary(malignant: np.ndarray, probability: np.ndarray, *, threshold: float) -> dict[str, Any]:
    """Figures of a model that only tells malignant from benign, under the keys of `score`.

    Accuracy is that of the decision at the threshold; ece compares the probability of the decision taken (p
    where referred, 1 - p where not) with how often it was right.  Seven-class entries are None.

    Args:
        malignant: truth (N,), bool.
        probability: malignant probability (N,).
        threshold: an image is referred when its probability reaches it.

    Raises:
        DatasetError: for an empty set.
        BundleError: for values that are no probabilities.
    """
    from sklearn.metrics import accuracy_score, log_loss

    malignant, exact = np.asarray(malignant, dtype=bool), _pair(probability)
    referred = exact[:, 1] >= threshold
    rows = np.arange(len(exact))
    return {
        "n": len(malignant),
        "accuracy": float(accuracy_score(malignant, referred)),
        "balanced_accuracy": None,
        "macro_auc": None,
        "macro_f1": None,
        "macro_precision": None,
        "macro_recall": None,
        "log_loss": float(log_loss(malignant, exact, labels=[False, True])),
        "ece": expected_calibration_error(exact[rows, referred.astype(int)], referred == malignant),
        "malignant": _decision(malignant, exact[:, 1], threshold),
        "per_class": None,
        "confusion_matrix": None,
        "classes": ["benign", "malignant"],
    }


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Mean gap between confidence (N,) and share of correct answers (N,), over 15 bins of equal mass.

    Equal confidences share a bin, so the order of the rows does not matter (Guo et al. 2017, equation 3, with
    the equal-mass bins of Nguyen and O'Connor 2015).
    """
    return float(resampling.Ranking(confidence).ece(np.ones((1, len(confidence))), correct)[0])


def bootstrap(
    labels: np.ndarray,
    probabilities: np.ndarray,
    groups: np.ndarray | None,
    *,
    threshold: float,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """95 % intervals of the figures of `score`: percentiles of resamples, as `resampling.intervals` takes them.

    Rows of one group (images of one lesion) are drawn together.  Only resamples that hold every class that is
    there count for the macro figures.  The interval of ece is corrected for the noise that resampling adds.

    Args:
        labels: true class indices (N,).
        probabilities: (N, 7), taxonomy order, rows summing to 1.
        groups: lesion of each row (N,), or None to draw single images.
        threshold: as in `score`.
        samples: number of resamples.
        seed: of the resampling.

    Returns:
        [low, high] under flat keys such as "macro_auc", "malignant.auc" and "per_class.mel.recall" (left out for
        undefined figures and those of too few lesions), "unit" ("lesion" or "image") and "samples".

    Raises:
        DatasetError: for an empty set.
        BundleError: for rows that are no probabilities.
    """
    _checked(probabilities)
    labels = np.asarray(labels, dtype=int)
    return resampling.intervals(
        sources(labels, np.asarray(probabilities), threshold), len(labels), groups, samples, seed
    )


def sources(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> list[resampling.Figures]:
    """What the figures of `score` are computed from anew for every resample; arguments as there."""
    exact = probabilities.astype(np.float64)  # values that were tied in single precision still are
    return [
        resampling.Answers(
            exact.argmax(axis=1) == labels, exact.max(axis=1), normalised(exact)[np.arange(len(exact)), labels]
        ),
        resampling.ClassWise(labels, exact),
        resampling.Decision(np.isin(labels, MALIGNANT_INDICES), malignant_probability(probabilities), threshold),
    ]


def bootstrap_binary(
    malignant: np.ndarray,
    probability: np.ndarray,
    groups: np.ndarray | None,
    *,
    threshold: float,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """95 % intervals of the figures of `score_binary`.

    Arguments as there and in `bootstrap`; so are what is returned and the errors.
    """
    malignant, exact = np.asarray(malignant, dtype=bool), _pair(probability)
    referred = exact[:, 1] >= threshold
    rows = np.arange(len(exact))
    sources = (
        resampling.Answers(
            referred == malignant, exact[rows, referred.astype(int)], exact[rows, malignant.astype(int)]
        ),
        resampling.Decision(malignant, exact[:, 1], threshold),
    )
    return resampling.intervals(sources, len(malignant), groups, samples, seed)


def _checked(probabilities: np.ndarray) -> np.ndarray:
    """The rows in double precision; values that were tied in single precision still are."""
    exact = np.asarray(probabilities, dtype=np.float64)
    if not len(exact):
        raise DatasetError("There is no labelled image to evaluate; check the labels table and the image folder.")
    fits_one = abs(exact.sum(axis=1) - 1) < 1e-3
    bad = ~(np.isfinite(exact).all(axis=1) & (exact >= 0).all(axis=1) & fits_one)
    if bad.any():
        raise BundleError(
            f"The model gave no valid probabilities for {bad.sum()} of {len(bad)} images; "
            "choose another model or train this one again."
        )
    return exact


def normalised(probabilities: np.ndarray) -> np.ndarray:
    """Rows summing to 1 in double precision, as scikit-learn's log loss asks."""
    exact = np.asarray(probabilities, dtype=np.float64)
    return exact / exact.sum(axis=1, keepdims=True)


def _pair(probability: np.ndarray) -> np.ndarray:
    """Columns benign and malignant, (N,) -> float64 (N, 2)."""
    exact = np.asarray(probability, dtype=np.float64)
    return _checked(np.stack([1 - exact, exact], axis=1))


def _auc(positive: np.ndarray, scores: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    return None if positive.all() or not positive.any() else float(roc_auc_score(positive, scores))


def _decision(malignant: np.ndarray, probability: np.ndarray, threshold: float) -> dict[str, float | None]:
    from sklearn.metrics import confusion_matrix

    referred = probability >= threshold
    (tn, fp), (fn, tp) = confusion_matrix(malignant, referred, labels=[False, True]).tolist()
    return {
        "auc": _auc(malignant, probability),
        "threshold": float(threshold),
        "sensitivity": tp / (tp + fn) if tp + fn else None,
        "specificity": tn / (tn + fp) if tn + fp else None,
        "precision": tp / (tp + fp) if tp + fp else (0.0 if fn else None),
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
    }
