"""Frozen values passed between the layers.  Images are RGB uint8 (H, W, 3); probabilities float32 in taxonomy order."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
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
        heat_map: float32 (h, w) in [0, 1] on the method's own grid over the judged square; all zero where nothing
            speaks for the class.
    """

    method: str
    target: str
    heat_map: np.ndarray


FINE, CARE, REFUSED = OUTCOMES = ("fine", "use with care", "not judged")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a picture.

    Attributes:
        name: in a word or two, for example "blur".
        outcome: what it leads to, "use with care" or "not judged".
        sentence: what was seen and what to do, for a clinician.
        value: of the measure behind it.
    """

    name: str
    outcome: str
    sentence: str
    value: float


@dataclass(frozen=True)
class QualityReport:
    """Whether a picture should be judged at all, and why not."""

    findings: tuple[Finding, ...] = ()

    @property
    def outcome(self) -> str:
        """One of `OUTCOMES`, that of the gravest finding."""
        return max((f.outcome for f in self.findings), key=OUTCOMES.index, default=FINE)

    @property
    def reasons(self) -> tuple[Finding, ...]:
        """The findings that decided, as many as led to this outcome."""
        return tuple(f for f in self.findings if f.outcome == self.outcome)

    def to_json(self) -> dict[str, Any]:
        """Outcome and findings for a program."""
        found = [{"name": f.name, "outcome": f.outcome, "sentence": f.sentence} for f in self.findings]
        return {"outcome": self.outcome, "findings": found}


@dataclass(frozen=True)
class SimilarCase:
    """A confirmed case that a picture resembles.

    Attributes:
        image: id of its picture in the data set that the model learned from.
        diagnosis: class code.
        confirmed: how the diagnosis was confirmed, HAM10000's `dx_type`; "" where that is not known.
        distance: 1 is usual for the similar cases of a new lesion.
    """

    image: str
    diagnosis: str
    confirmed: str
    distance: float


@dataclass(frozen=True)
class PredictionSet:
    """The diagnoses that cannot be left out if the true one is to be among them as often as promised.

    Attributes:
        codes: class codes, the likeliest first.
        coverage: the promised share.
        always: codes that are in every set, because too few lesions were there to tell.
    """

    codes: tuple[str, ...]
    coverage: float
    always: tuple[str, ...] = ()


@dataclass(frozen=True)
class Agreement:
    """What flipped and turned views of one picture come to, each judged alone.

    Attributes:
        likeliest: class code by view.
        malignant: probability by view.
        threshold: the operating point.
    """

    likeliest: tuple[str, ...]
    malignant: tuple[float, ...]
    threshold: float

    @property
    def referred(self) -> int:
        return sum(probability >= self.threshold for probability in self.malignant)


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

    @property
    def sentence(self) -> str:
        """The answer in one line of text."""
        decision = "refer" if self.refer else "below the operating point"
        likely = f"{self.diagnosis.code} {self.probabilities.max():.3f}"
        return f"{likely}, malignant {self.malignant_probability:.3f}: {decision}"

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
        for_patient: the same model's answer for this picture of a patient; None for a model of pictures alone.
        square: uint8 (s, s, 3), the judged square as the network took it, for explanations asked for later.
        quality: whether the picture should be judged, and why not.
        similar: the confirmed cases it resembles most; None for a model that carries none.
    """

    image: DecodedImage
    box: tuple[int, int, int]
    prediction: Prediction
    explanations: dict[str, Explanation]
    for_patient: Callable[[Patient], Prediction] | None = None
    square: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 3), np.uint8))
    quality: QualityReport = field(default_factory=QualityReport)
    similar: tuple[SimilarCase, ...] | None = None


@dataclass(frozen=True)
class NotJudged:
    """A picture that the gate did not let through: it has no probabilities.

    Attributes:
        image: the decoded upload.
        box: (left, top, side) in pixels of the square of `image` that would have been judged.
        quality: why.
        model_version: the bundle that it was given to.
        judge: makes the analysis of it all the same.
    """

    image: DecodedImage
    box: tuple[int, int, int]
    quality: QualityReport
    model_version: str
    judge: Callable[[DecodedImage, tuple[int, int, int]], Analysis]

    def judge_anyway(self) -> Analysis:
        """What the model would have said; its `quality` still says why that should not be relied on."""
        return self.judge(self.image, self.box)


@dataclass(frozen=True)
class Measurements:
    """What was measured of a lesion inside its outline; how is said in `features`.

    Attributes:
        share: of the picture.
        area: square pixels of the picture as uploaded.
        diameter: greatest, in pixels of the picture as uploaded.
        length, width: of the ellipse of equal moments, in the same.
        asymmetry: share of the lesion without a counterpart across its long and across its short axis.
        irregularity: of the border; 1 for a circle.
        colours: share of the lesion by colour name, those that count.
        variegation: spread of its colours, Delta E*ab.
    """

    share: float
    area: int
    diameter: float
    length: float
    width: float
    asymmetry: tuple[float, float]
    irregularity: float
    colours: dict[str, float]
    variegation: float


@dataclass(frozen=True)
class Outline:
    """A lesion's outline in a picture.

    Attributes:
        mask: bool (H, W), True on the lesion.
        measurements: of it; None where it cannot be trusted.
        warning: why it cannot; empty where it can.
        dice: mean overlap with outlines drawn for test lesions, by which to judge all this.
        poor: share of test pictures below the overlap that measurements need.
    """

    mask: np.ndarray
    measurements: Measurements | None
    warning: str
    dice: float
    poor: float


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
        target_sensitivity: the sensitivity for which it was chosen, on lesions not learned from.
        evaluation: the report of `evaluate` on the test part, empty where none was made.
        card: the model card, Markdown.
        data: name of the data set it learned from.
        drawn: it learned from drawings, so its answers mean nothing clinically.
        details: what else was measured on the test part, as `details.json` holds it; empty where nothing was.
        prediction_sets: as `conformal.fit` returns them; empty for a model without.
        explanations: what was measured of each method of explaining, as `truthfulness.summarise` returns it; empty
            where nothing was.
    """

    version: str
    network: str
    size: int
    views: int
    threshold: float
    target_sensitivity: float
    evaluation: dict[str, Any]
    card: str
    data: str = ""
    drawn: bool = False
    details: dict[str, Any] = field(default_factory=dict)
    prediction_sets: dict[str, Any] = field(default_factory=dict)
    explanations: dict[str, Any] = field(default_factory=dict)

    @property
    def told_apart(self) -> bool:
        """Whether answers that know nothing of the patient were measured beside those that do."""
        return "alone" in self.details.get("patients", {})

    def of_pictures_alone(self) -> "ModelSummary":
        """The same with the figures of answers that know nothing of the patient, where they were measured apart."""
        return replace(self, **self.details.get("patients", {}).get("alone", {}))


@dataclass(frozen=True)
class ModelState:
    """Whether analyses are possible now: status is "loading", "ready" or "failed"; `message` says why it failed."""

    status: str
    message: str = ""
    summary: ModelSummary | None = None


@dataclass(frozen=True)
class DataSet:
    """A registered data set: a folder on the server and the one split in force for it.

    Attributes:
        id: in the project's record.
        name: for people.
        folder: HAM10000 or ISIC challenge folder.
        split: the split table as CSV; `fingerprint` is its hash.
        summary: images and lesions per part and class, problems found, distributions.
        drawn: it holds drawings, so nothing learned from it may serve patients.
        registered, actor: when and by whom.
    """

    id: int
    name: str
    folder: Path
    split: str
    fingerprint: str
    summary: dict[str, Any]
    drawn: bool
    registered: datetime
    actor: str


@dataclass(frozen=True)
class AuditEvent:
    """Who did what to what, and when; never changed afterwards."""

    at: datetime
    actor: str
    action: str
    subject: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Promotion:
    """A version was put into use; the newest one says which is in use now.

    Attributes:
        at, actor, reason: when, by whom and why.
        version, previous: registered versions; 1 is the bundled model.
        bundle: where the registry keeps the version's files.
        manifest: SHA-256 of its manifest, which lists the hashes of all others.
    """

    at: datetime
    actor: str
    version: int
    previous: int
    bundle: str
    manifest: str
    reason: str


@dataclass(frozen=True)
class Job:
    """One entry of the queues.

    Attributes:
        id: unique; also the name of its folder.
        kind: name of the workflow.
        state: "waiting", "running", "done", "failed" or "cancelled".
        order: what was asked for.
        error: why it failed, a sentence.
        outcome: what came of it, once done.
        created, ended: times; None where not yet.
        worker: who runs or ran it.
        parent: the job it is a part of.
        progress: what its worker last told of it.
    """

    id: str
    kind: str
    state: str
    order: dict[str, Any]
    error: str = ""
    outcome: Any = None
    created: datetime | None = None
    ended: datetime | None = None
    worker: str = ""
    parent: str = ""
    progress: dict[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")
