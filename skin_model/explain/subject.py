"""What is explained: one judged picture together with the network that judged it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skin_model import imaging
from skin_model.explain.activation import Head

OnProgress = Callable[[int, int], None]  # (done, total); may raise to stop the work
BATCH = 25  # few enough that a user who stops the work, or asks something else, does not wait long


def idle(done: int, total: int) -> None:
    """Progress that nobody follows."""


@dataclass(frozen=True)
class Subject:
    """One picture as the network sees it, unturned, and everything that explaining it can need.

    Attributes:
        square: uint8 (s, s, 3).
        features: float32 (h, w, C), its last feature map.
        head: the network behind the feature map.
        network: probabilities (N, K) of images float32 (N, s, s, 3) in [0, 1]; uncalibrated.
        saliency: loads the same network as `gradients.prepared` returns it; seconds, so only for those who need it.
    """

    square: np.ndarray
    features: np.ndarray
    head: Head
    network: Callable[[np.ndarray], np.ndarray]
    saliency: Callable[[], Any]

    @property
    def image(self) -> np.ndarray:
        """The square as the network takes it, float32 (s, s, 3) in [0, 1]."""
        return imaging.to_network(self.square)

    def ask(self, count: int, variant: Callable[[int], np.ndarray], on_progress: OnProgress = idle) -> np.ndarray:
        """The network's answers (count, K) for `variant(i)`, float32 (s, s, 3), i from 0 to count - 1, in batches."""
        answers = []
        for start in range(0, count, BATCH):
            on_progress(start, count)
            variants = [variant(i) for i in range(start, min(start + BATCH, count))]
            answers.append(self.network(np.stack(variants, dtype=np.float32)))
        on_progress(count, count)
        return np.concatenate(answers)


def surroundings(square: np.ndarray) -> np.ndarray:
    """The colour of what surrounds the lesion, float32 (3,) in [0, 1]: the median along the edge of uint8 (s, s, 3)."""
    rim = max(1, len(square) // 16)
    edge = np.ones(square.shape[:2], bool)
    edge[rim:-rim, rim:-rim] = False
    return np.median(square[edge], axis=0).astype(np.float32) / 255
