"""What a model answered for labelled images: all that the detailed figures are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skin_model.evaluation import metrics, resampling
from skin_model.taxonomy import MALIGNANT_INDICES


@dataclass(frozen=True)
class Scored:
    """Answers for N labelled images.

    Attributes:
        labels: true class indices (N,), taxonomy order.
        malignant_probability: float64 (N,), as a threshold sees it.
        probabilities: (N, 7), or None for a model that only tells malignant from benign.
        lesions: lesion of each image (N,), or None where each image is a lesion of its own.
    """

    labels: np.ndarray
    malignant_probability: np.ndarray
    probabilities: np.ndarray | None = None
    lesions: np.ndarray | None = None

    @classmethod
    def of(cls, labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray | None) -> "Scored":
        """From calibrated probabilities (N, 7), or (N, 1) malignant of a binary model."""
        if probabilities.shape[1] == 1:
            return cls(labels, probabilities[:, 0].astype(np.float64), None, lesions)
        return cls(labels, metrics.malignant_probability(probabilities), probabilities, lesions)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def malignant(self) -> np.ndarray:
        """Truth of malignancy, bool (N,)."""
        return np.isin(self.labels, MALIGNANT_INDICES)

    @property
    def lesion_count(self) -> int:
        """Number of lesions."""
        return len(self) if self.lesions is None else len(np.unique(self.lesions))

    def subset(self, rows: np.ndarray) -> "Scored":
        """The images chosen by a mask or by positions."""
        return Scored(
            self.labels[rows],
            self.malignant_probability[rows],
            None if self.probabilities is None else self.probabilities[rows],
            None if self.lesions is None else self.lesions[rows],
        )

    def estimates(self, sources: Sequence[resampling.Figures], samples: int = 1000) -> dict[str, dict[str, Any]]:
        """Figures with 95 % bootstrap intervals, the images of one lesion drawn together."""
        return resampling.estimates(sources, len(self), self.lesions, samples)
