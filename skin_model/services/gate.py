"""Whether a picture should be judged at all: its quality, and how unlike it is to what the network learned from."""

import numpy as np

from skin_model import quality
from skin_model.bundle import Bundle
from skin_model.entities import QualityReport, SimilarCase
from skin_model.neighbours import References

FILE = "references.npz"


class Gate:
    """The gate of one model.

    Attributes:
        references: the model's confirmed cases; None for a model that carries none, whose pictures are checked for
            their quality alone.
    """

    def __init__(self, made: Bundle) -> None:
        self.references = References.load(made.path(FILE)) if FILE in made.manifest.files else None

    def check(
        self, squares: np.ndarray, embeddings: np.ndarray
    ) -> list[tuple[QualityReport, tuple[SimilarCase, ...] | None]]:
        """Judge whether pictures may be judged.

        Args:
            squares: uint8 (N, s, s, 3) as the network took them.
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
