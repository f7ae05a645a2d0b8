"""What a network comes to on the validation part, by the very function that is later served."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skin_model.dataset.pipeline import Batches, as_keras


@dataclass(frozen=True)
class Figures:
    """Validation figures over the task's own classes; all None where nothing was validated."""

    val_loss: float | None = None
    val_accuracy: float | None = None
    val_balanced_accuracy: float | None = None
    val_macro_auc: float | None = None


def judge(model: Any, batches: Batches) -> Figures | None:
    """Figures of every validation image; None where an answer is no number."""
    from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

    source = as_keras(batches, 0)
    with source.errors_named():
        p = np.asarray(model.predict(source, verbose=0), np.float64)
    if not np.isfinite(p).all():
        return None
    truth = batches.targets
    if truth.shape[1] == 1:
        p, truth = np.hstack([1 - p, p]), np.hstack([1 - truth, truth])
    labels, guesses = truth.argmax(1), p.argmax(1)
    p = np.clip(p, 1e-7, 1)
    p /= p.sum(1, keepdims=True)
    return Figures(
        val_loss=float(log_loss(labels, p, labels=range(p.shape[1]))),
        val_accuracy=float((labels == guesses).mean()),
        val_balanced_accuracy=float(balanced_accuracy_score(labels, guesses)),
        val_macro_auc=float(np.mean([roc_auc_score(labels == k, p[:, k]) for k in range(p.shape[1])])),
    )


def unjudged(model: Any) -> Figures | None:
    """No figures, where there is no validation image; None where a weight is no number."""
    return Figures() if all(np.isfinite(weight).all() for weight in model.get_weights()) else None
