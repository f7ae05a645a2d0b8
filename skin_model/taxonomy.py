"""The seven HAM10000 diagnoses: the only place that knows their order.

Terminology codes are given only where the standard's concept is exact; akiec, bkl and vasc are umbrella terms, so
their primary coding stays the project's own code.  Groups follow the referral decision: pre-malignant akiec counts as
malignant.
"""

from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    MALIGNANT = "malignant"
    PREMALIGNANT = "pre-malignant or in situ"
    BENIGN = "benign"


@dataclass(frozen=True)
class Diagnosis:
    """One class of the network's softmax; `index` is its position there."""

    index: int
    code: str
    name: str
    group: Group
    colour: str  # Okabe-Ito palette: told apart with protanopia and deuteranopia
    icd10: str
    explanation: str

    @property
    def malignant(self) -> bool:
        """Whether the class counts as malignant for referral."""
        return self.group is not Group.BENIGN


DIAGNOSES: tuple[Diagnosis, ...] = (
    Diagnosis(0, "akiec", "Actinic keratosis / Bowen's disease", Group.PREMALIGNANT, "#E69F00", "L57.0",
              "Actinic keratoses and intraepithelial carcinoma (Bowen's disease)"),
    Diagnosis(1, "bcc", "Basal cell carcinoma", Group.MALIGNANT, "#D55E00", "C44.91", "Basal cell carcinoma"),
    Diagnosis(2, "bkl", "Benign keratosis", Group.BENIGN, "#56B4E9", "L82.1",
              "Seborrhoeic keratosis, solar lentigo or lichen-planus-like keratosis"),
    Diagnosis(3, "df", "Dermatofibroma", Group.BENIGN, "#009E73", "D23.9", "Dermatofibroma"),
    Diagnosis(4, "mel", "Melanoma", Group.MALIGNANT, "#CC3311", "C43.9", "Melanoma, invasive or in situ"),
    Diagnosis(5, "nv", "Melanocytic naevus", Group.BENIGN, "#0072B2", "D22.9", "Melanocytic naevus of any kind"),
    Diagnosis(6, "vasc", "Vascular lesion", Group.BENIGN, "#CC79A7", "D18.01",
              "Angioma, angiokeratoma, pyogenic granuloma or haemorrhage"),
)  # fmt: skip

CODES: tuple[str, ...] = tuple(d.code for d in DIAGNOSES)
MALIGNANT_INDICES: tuple[int, ...] = tuple(d.index for d in DIAGNOSES if d.malignant)
BY_CODE: dict[str, Diagnosis] = {d.code: d for d in DIAGNOSES}
