"""What can be wrong with a dermoscopic picture, said to a clinician.

The limits were set on good and spoiled pictures of the validation fold by `python -m benchmarks.quality`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from skin_model.entities import CARE, OUTCOMES, REFUSED, Finding, QualityReport
from skin_model.measures import measures


@dataclass(frozen=True)
class _Limit:
    """A measure with its limits: from `care` on the picture is to be used with care, from `refuse` on not at all."""

    name: str
    measure: str
    care: float
    refuse: float
    careful: str
    refusing: str = ""
    below: bool = False  # the measure falls where others rise

    def finding(self, value: float) -> Finding | None:
        sign = -1 if self.below else 1
        if sign * value >= sign * self.refuse:
            return Finding(self.name, REFUSED, self.refusing, value)
        return Finding(self.name, CARE, self.careful, value) if sign * value >= sign * self.care else None


_NEVER = float("inf")
_LIMITS = (
    _Limit(
        "blank", "variation", -_NEVER, 2.5, "",
        "The picture is of one even colour: there is nothing in it to judge. Photograph the lesion.", below=True,
    ),
    _Limit(
        "blur", "focus", -0.4, -1.45,
        "The picture is blurred: network, dots and vessels may be lost. Focus and photograph again if you can.",
        "The picture is too blurred to be judged. Focus on the lesion and photograph again.", below=True,
    ),
    _Limit(
        "noise", "focus", 1.25, _NEVER,
        "The picture is grainy, as in too little light or from a strong digital zoom. Photograph again with the "
        "dermatoscope's light on if you can.",
    ),
    _Limit(
        "dark", "brightness", 70, 35,
        "The picture is underexposed: colours may be misread. Photograph again with the dermatoscope's light on.",
        "The picture is too dark to be judged. Photograph again with the dermatoscope's light on.", below=True,
    ),
    _Limit(
        "bright", "burnt", 0.4, 0.7,
        "The picture is overexposed: pale structures are burnt out. Photograph again with less light if you can.",
        "The picture is too bright to be judged: most of it is burnt out. Photograph again with less light.",
    ),
    _Limit(
        "small", "area", 0.02, -_NEVER,
        "The lesion takes up very little of the judged square. Move closer, so that it fills a third of it if you can.",
        below=True,
    ),
    _Limit(
        "cut off", "edge", 0.22, _NEVER,
        "The lesion reaches over the edge of the judged square, and only what lies inside is judged. "
        "Centre it and move back if you can.",
    ),
    _Limit(
        "no lesion", "contrast", 10, -_NEVER,
        "No lesion stands out from the skin: it may fill the whole square, lie outside it, or be very pale. "
        "Centre it, with skin all around, if you can.", below=True,
    ),
    _Limit(
        "hair", "hair", 0.08, _NEVER,
        "Hair covers much of the picture and hides structures. Comb it aside with gel, or trim it, if you can.",
    ),
    _Limit(
        "ink", "ink", 0.004, _NEVER,
        "There seem to be ink marks on the skin. Such marks raise false alarms; wipe them off if you can.",
    ),
    _Limit(
        "ruler", "ruler", 7, _NEVER,
        "There seems to be a ruler in the judged square. The network may take it for a sign; leave it outside.",
    ),
    _Limit(
        "bubbles", "bubbles", 14, _NEVER,
        "There are many small reflections or bubbles. Press the contact plate on gently, or use more gel, if you can.",
    ),
    _Limit(
        "glare", "glare", 0.004, _NEVER,
        "Light is thrown back by the skin and hides part of it. Use polarised light or more gel if you can.",
    ),
)  # fmt: skip


def inspect(square: np.ndarray) -> QualityReport:
    """Judge the quality of a picture.

    Args:
        square: RGB uint8 (s, s, 3), what `imaging.centre` cuts out of an image.

    Returns:
        The findings, the gravest first.
    """
    measured = measures(square)
    found = (limit.finding(measured[limit.measure]) for limit in _LIMITS)
    return report(f for f in found if f is not None)


def report(findings: Iterable[Finding]) -> QualityReport:
    """The findings as a report, the gravest first."""
    return QualityReport(tuple(sorted(findings, key=lambda f: -OUTCOMES.index(f.outcome))))
