"""The correction and the prediction sets of a seven-class model, from its own answers and those of a cross-validation.

Where the calibration part is all there is, few of the rare classes decide.  So sets may also be fitted on the answers
of networks that learned from the other folds, after the idea of cross-conformal predictors (Vovk, Annals of Mathematics
and Artificial Intelligence 2015) but without their guarantee, and temperatures are corrected by as much as those
networks, with theirs from the same calibration part, are too certain or uncertain on the folds.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skin_model.evaluation import calibration, conformal


class Told(NamedTuple):
    """What networks say of images that they did not learn from.

    Attributes:
        logits: (N, 7), each network's divided by its own temperature.
        labels: true class indices (N,).
        lesions: lesion of each image (N,).
    """

    logits: np.ndarray
    labels: np.ndarray
    lesions: np.ndarray


@dataclass(frozen=True)
class Limits:
    """What was fitted.

    Attributes:
        correction: multiplies the model's temperature; 1 without out-of-fold answers.
        labels, probabilities: (M,) and (M, 7), of all images fitted on, corrected.
        sets: as `conformal.fit` returns them.
    """

    correction: float
    labels: np.ndarray
    probabilities: np.ndarray
    sets: dict[str, Any]


def fit(own: Told, out_of_fold: Told | None) -> Limits:
    """Fit the correction on the out-of-fold answers, where there are any, and the sets on them and the model's own.

    Args:
        own: the model's answers for its calibration part.
        out_of_fold: those of a cross-validation's networks, each for the fold that it did not learn from.
    """
    correction, together = 1.0, own
    if out_of_fold is not None:
        correction = calibration.fit_temperature(out_of_fold.logits, out_of_fold.labels)
        together = Told(*map(np.concatenate, zip(own, out_of_fold, strict=True)))
    probabilities = calibration.softmax(together.logits, correction)
    sets = conformal.fit(together.labels, probabilities, together.lesions)
    return Limits(correction, together.labels, probabilities, sets)
