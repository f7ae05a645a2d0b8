"""Whether a picture should be judged at all: its quality, and how unlike it is to what the network learned from."""

from collections.abc import Iterable

import numpy as np

from skin_model import imaging, quality
from skin_model.bundle import Bundle
from skin_model.entities import QualityReport, SimilarCase
from skin_model.neighbours import References

FILE = "references.npz"
# Reduced to other sizes pictures lose other detail: of good ones 0.5 % seem blurred at 288 pixels, 2.5 % at 224.
SIDE = 288


def square(pixels: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """What the gate looks at, whatever the network's size: the judged square of a picture, uint8 (288, 288, 3).

    Args:
        pixels: the decoded picture, uint8 (H, W, 3).
        taken: the square as the network took it, which serves where it is of this size.
    """
    return taken if len(taken) == SIDE else imaging.centre(imaging.fit(pixels, SIDE))


class Gate:
    """The gate of one model.

    Attributes:
        references: the model's confirmed cases; None for a model that carries none, whose pictures are checked for
            their quality alone.
    """

    def __init__(self, made: Bundle) -> None:
        self.references = References.load(made.path(FILE)) if FILE in made.manifest.files else None

    def check(
        self, squares: Iterable[np.ndarray], embeddings: np.ndarray
    ) -> list[tuple[QualityReport, tuple[SimilarCase, ...] | None]]:
        """Judge whether pictures may be judged.

        Args:
            squares: N, each as `square` cuts it.
            embeddings: float32 (N, D), the network's own.

        Returns:
            Of each picture what was found, the gravest first, and the confirmed cases it resembles.
        """
        reports = [quality.inspect(square) for square in squares]
        if self.references is None:
            return [(report, None) for report in reports]
        found = self.references.look_up(embeddings)
        strange = [self.references.finding(one.strangeness) for one in found]
        return [
            (report if extra is None else quality.report((extra, *report.findings)), one.similar)
            for report, extra, one in zip(reports, strange, found, strict=True)
        ]
