"""Frozen values passed between the layers.  Images are RGB uint8 (H, W, 3); probabilities float32 in taxonomy order."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skin_model.errors import ConfigurationError
from skin_model.taxonomy import CODES, DIAGNOSES, Diagnosis

SEXES = ("female", "male")
SITES = (
    "abdomen", "acral", "back", "chest", "ear", "face", "foot", "genital", "hand", "lower extremity", "neck", "scalp",
    "trunk", "upper extremity",
)  # fmt: skip  # HAM10000's `localization`


@dataclass(frozen=True)
class Patient:
    """What is known of the patient; None means not known.

    Raises:
        ConfigurationError: for an age outside 0 to 120, or a sex or site that HAM10000 does not name.
    """

    age: int | None = None
    sex: str | None = None
    site: str | None = None

    def __post_init__(self) -> None:
        if self.age is not None and not 0 <= self.age <= 120:
            raise ConfigurationError(f"The age must lie between 0 and 120 years; {self.age} was given.")
        if self.sex is not None and self.sex not in SEXES:
            raise ConfigurationError(f"The sex must be one of {', '.join(SEXES)} or unknown; {self.sex!r} was given.")
        if self.site is not None and self.site not in SITES:
            raise ConfigurationError(f"The site must be one of {', '.join(SITES)} or unknown; {self.site!r} was given.")


@dataclass(frozen=True)
class DecodedImage:
    """The pixels of one file and nothing else of it.

    Attributes:
        pixels: RGB uint8 (H, W, 3), upright.
        sha256: hexadecimal hash of the file's bytes.
        notes: sentences a user should read, such as "first frame of an animation".
    """

    pixels: np.ndarray
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """Where a network looked for one class.

    Attributes:
        method: name of the method, for example "Grad-CAM".
        target: class code.
        heat_map: float32 (h, w) in [0, 1] on the network's own grid over the judged square; all zero where nothing
            speaks for the class.
    """

    method: str
    target: str
    heat_map: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """Calibrated probabilities of one image and the decision at the bundle's operating point.

    Attributes:
        probabilities: float32 (7,), taxonomy order, sum 1.
        threshold: refer when the malignant probability reaches it.
        model_version: the bundle that answered.
    """

    probabilities: np.ndarray
    threshold: float
    model_version: str

    @property
    def diagnosis(self) -> Diagnosis:
        return DIAGNOSES[int(np.argmax(self.probabilities))]

    @property
    def malignant_probability(self) -> float:
        return float(sum(self.probabilities[d.index] for d in DIAGNOSES if d.malignant))

    @property
    def refer(self) -> bool:
        return self.malignant_probability >= self.threshold

    def by_code(self) -> dict[str, float]:
        return {code: float(p) for code, p in zip(CODES, self.probabilities, strict=True)}


@dataclass(frozen=True)
class Analysis:
    """One image from upload to answer, as the page shows it.

    Attributes:
        image: the decoded upload.
        box: (left, top, side) in pixels of the square of `image` that the network judged.
        prediction: probabilities and decision.
        explanations: class code -> Grad-CAM, all seven.
        patient: what was entered; shown with the result.
    """

    image: DecodedImage
    box: tuple[int, int, int]
    prediction: Prediction
    explanations: dict[str, Explanation]
    patient: Patient = field(default_factory=Patient)


@dataclass(frozen=True)
class Example:
    """An image offered for a first try; `diagnosis` is its confirmed class code, `synthetic` marks a drawing."""

    name: str
    path: Path
    diagnosis: str
    synthetic: bool


@dataclass(frozen=True)
class ModelSummary:
    """What a page or report says of a model.

    Attributes:
        version: unique name of the bundle.
        network: builder's name, for example "mobilenet".
        size: side of the network's input in pixels.
        views: number of flipped and turned views averaged per analysis.
        threshold: operating point on the malignant probability.
        target_sensitivity: the sensitivity on calibration lesions for which it was chosen.
        evaluation: the report of `evaluate` on the test part, empty where none was made.
        card: the model card, Markdown.
    """

    version: str
    network: str
    size: int
    views: int
    threshold: float
    target_sensitivity: float
    evaluation: dict[str, Any]
    card: str


@dataclass(frozen=True)
class ModelState:
    """Whether analyses are possible now: status is "loading", "ready" or "failed"; `message` says why it failed."""

    status: str
    message: str = ""
    summary: ModelSummary | None = None
