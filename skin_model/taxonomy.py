"""The seven HAM10000 diagnoses: the only place that knows their order.

akiec, bkl and vasc are umbrella terms.  Groups follow the referral decision: pre-malignant akiec counts as malignant.
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
    colour: str  # Okabe and Ito's palette, melanoma a deeper red; never the only sign of a class

    @property
    def malignant(self) -> bool:
        """Whether the class counts as malignant for referral."""
        return self.group is not Group.BENIGN


DIAGNOSES: tuple[Diagnosis, ...] = (
    Diagnosis(0, "akiec", "Actinic keratosis / Bowen's disease", Group.PREMALIGNANT, "#E69F00"),
    Diagnosis(1, "bcc", "Basal cell carcinoma", Group.MALIGNANT, "#D55E00"),
    Diagnosis(2, "bkl", "Benign keratosis", Group.BENIGN, "#56B4E9"),
    Diagnosis(3, "df", "Dermatofibroma", Group.BENIGN, "#009E73"),
    Diagnosis(4, "mel", "Melanoma", Group.MALIGNANT, "#CC3311"),
    Diagnosis(5, "nv", "Melanocytic naevus", Group.BENIGN, "#0072B2"),
    Diagnosis(6, "vasc", "Vascular lesion", Group.BENIGN, "#CC79A7"),
)

CODES: tuple[str, ...] = tuple(d.code for d in DIAGNOSES)
MALIGNANT_INDICES: tuple[int, ...] = tuple(d.index for d in DIAGNOSES if d.malignant)
BY_CODE: dict[str, Diagnosis] = {d.code: d for d in DIAGNOSES}
