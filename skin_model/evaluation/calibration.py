"""Temperature scaling and the operating points; all are fitted on lesions that no answering network
learned from.

Reference: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
"""

import numpy as np
from scipy.special import expit, log_softmax
from scipy.special import softmax as exact_softmax

from skin_model.errors import ConfigurationError, DatasetError

TEMPERATURES = (0.2, 10.0)  # a network outside is broken, and a tiny set must not make it seem certain


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that minimises the log loss of softmax(logits / temperature) (Guo et al., section 4.2).

    The loss is convex in 1 / temperature, so the one-dimensional search finds its minimum.  Where no image is
    misclassified, as happens in tiny sets, ever sharper probabilities lower the loss without end: then 1.

    Args:
        logits: (N, 7), or (N,) of a malignant logit for the binary task.
        labels: class indices (N,), or truth of malignancy for the binary task.

    Returns:
        A value between 0.2 and 10; above 1 softens the probabilities.

    Raises:
        DatasetError: for an empty set or logits that are not finite.
    """
    exact = np.asarray(logits, dtype=np.float64)
    if exact.ndim == 1:
        exact = np.stack([np.zeros_like(exact), exact], axis=1)
    if not len(exact):
        raise DatasetError("There is no calibration image; use a split whose calibration part is not empty.")
    if not np.isfinite(exact).all():
        raise DatasetError("The network's outputs on the calibration images are not finite; train it again.")
    rows, truth = np.arange(len(exact)), np.asarray(labels, dtype=int)
    if (exact[rows, truth] >= exact.max(axis=1)).all():
        return 1.0

    from scipy.optimize import minimize_scalar  # two seconds at its first import, which answering need not wait for

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(exact / np.exp(log_temperature), axis=1)[rows, truth].mean())

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Calibrated class probabilities, (N, 7) -> float32 (N, 7), rows summing to 1."""
    return exact_softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=-1).astype(np.float32)


def sigmoid(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Calibrated malignant probability of the binary task, (N,) -> float32 (N,)."""
    return expit(np.asarray(logits, dtype=np.float64) / temperature).astype(np.float32)


def operating_point(probability: np.ndarray, malignant: np.ndarray, *, sensitivity: float) -> float:
    """The largest threshold at which at least `sensitivity` of the malignant images are referred.

    An image is referred where its probability is the threshold or more.

    Args:
        probability: malignant probability (N,), as `metrics.malignant_probability` adds it.
        malignant: truth (N,), bool.
        sensitivity: above 0, at most 1.

    Returns:
        The probability of one of the malignant images; tied images are referred together.

    Raises:
        ConfigurationError: for a sensitivity out of its range.
        DatasetError: where no image is malignant.
    """
    if not 0 < sensitivity <= 1:
        raise ConfigurationError(f"The sensitivity must lie above 0 and at most at 1; {sensitivity} was given.")
    descending = np.sort(np.asarray(probability)[np.asarray(malignant, dtype=bool)])[::-1]
    if not len(descending):
        raise DatasetError(
            "No calibration image is malignant, so no operating point can be chosen; use a split whose "
            "calibration part holds melanomas, basal cell carcinomas or actinic keratoses."
        )
    attained = np.arange(1, len(descending) + 1) / len(descending)
    return float(descending[np.argmax(attained >= sensitivity)])


def balanced_point(probability: np.ndarray, malignant: np.ndarray) -> float:
    """The threshold with the largest Youden index, sensitivity + specificity - 1; the lowest of several.

    Reference: Youden, "Index for rating diagnostic tests", Cancer 1950.

    Args:
        probability: malignant probability (N,).
        malignant: truth (N,), bool.

    Returns:
        The probability of one of the images; an image is referred where its own reaches it.

    Raises:
        DatasetError: where not both malignant and benign images are there.
    """
    from sklearn.metrics import roc_curve

    truth = np.asarray(malignant, dtype=bool)
    if truth.all() or not truth.any():
        raise DatasetError(
            "The calibration images are all malignant or all benign, so no balanced operating point can be chosen; "
            "use a split whose calibration part holds both."
        )
    false_rate, true_rate, thresholds = roc_curve(truth, probability, drop_intermediate=False)
    youden = true_rate - false_rate
    # rates are quotients of counts, so equal indices may differ in their last digits; the first threshold refers no one
    best = np.flatnonzero(youden[1:] >= youden[1:].max() - 1e-9)[-1]
    return float(thresholds[1:][best])
