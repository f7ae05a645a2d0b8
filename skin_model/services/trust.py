"""What helps to weigh an answer: prediction set, agreement of views, operating points, the clinic's own prevalence."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skin_model.entities import Agreement, Analysis, ModelSummary, Patient, Prediction, PredictionSet
from skin_model.evaluation import conformal
from skin_model.evaluation.subgroups import levels, missed_more_in
from skin_model.services import workspace
from skin_model.services.analysis import require_same_model
from skin_model.taxonomy import CODES, DIAGNOSES

VIEWS = 8
NAMES = {"sensitive": "in use, for most malignant ones found", "balanced": "balanced"}


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the malignant probability and what it came to on test lesions; rates are (value, low, high).

    Attributes:
        name: in words.
        threshold: refer from this probability on.
        sensitivity: share of malignant pictures that are referred.
        melanoma: share of melanomas that are referred.
        specificity: share of benign pictures that are not.
    """

    name: str
    threshold: float
    sensitivity: tuple[float, float, float]
    melanoma: tuple[float, float, float]
    specificity: tuple[float, float, float]

    def predictive_values(self, prevalence: float) -> tuple[float, float]:
        """Share of malignant among the referred, and among those not referred, at a prevalence above 0 and below 1."""
        found, spared = self.sensitivity[0] * prevalence, self.specificity[0] * (1 - prevalence)
        referred, others = found + (1 - prevalence) - spared, prevalence - found + spared
        return found / referred if referred else 0.0, (prevalence - found) / others if others else 0.0


def prediction_set(*, prediction: Prediction, summary: ModelSummary) -> PredictionSet | None:
    """The diagnoses that cannot be left out at the promised coverage; None for a model without prediction sets."""
    fitted = summary.prediction_sets
    if not fitted:
        return None
    inside = conformal.members(prediction.probabilities[None], fitted)[0]
    likeliest = np.argsort(-prediction.probabilities, kind="stable")
    codes = tuple(CODES[index] for index in likeliest if inside[index])
    return PredictionSet(codes, fitted["coverage"], tuple(conformal.always_in(fitted)))


def agreement(*, analysis: Analysis, patient: Patient | None = None) -> Agreement:
    """Judge eight flipped and turned views of an analysed picture, each alone.

    Raises:
        BundleError: no model is fit for use, or another one is in use than the one that made the analysis.
    """
    from skin_model.inference import turned

    classifier = workspace.classifier()
    require_same_model(analysis, classifier)
    logits = classifier.answer(turned(analysis.square[None], VIEWS), views=1).logits
    told = classifier.probabilities(classifier.with_patients(logits, [patient or Patient()] * VIEWS))
    answers = [Prediction(one, classifier.manifest.threshold, classifier.manifest.model_version) for one in told]
    return Agreement(
        tuple(answer.diagnosis.code for answer in answers),
        tuple(answer.malignant_probability for answer in answers),
        classifier.manifest.threshold,
    )


def operating_points(*, summary: ModelSummary) -> list[OperatingPoint]:
    """The operating points that were measured on test lesions, that of the page first; none where that one was not."""
    points = []
    for key, figures in summary.details.get("operating_points", {}).items():
        found, melanoma, spared = (_rate(figures.get(n)) for n in ("sensitivity", "melanoma_recall", "specificity"))
        if not (found and melanoma and spared):  # too few lesions: none behind it may take its place
            break
        points.append(OperatingPoint(NAMES.get(key, key), figures["threshold"], found, melanoma, spared))
    return points


def _rate(estimate: dict[str, Any] | None) -> tuple[float, float, float] | None:
    if not estimate or estimate["interval"] is None:
        return None
    return (estimate["value"], *estimate["interval"])


@dataclass(frozen=True)
class Weakness:
    """A group of patients in whom the model was found to refer fewer malignant lesions than in all.

    Attributes:
        factor: "age", "sex" or "localization".
        level: of it, as subgroups name it: "30 to 44", "abdomen".
        sensitivity: share of the group's malignant test pictures that are referred, (value, low, high).
    """

    factor: str
    level: str
    sensitivity: tuple[float, float, float]


def weaknesses(*, patient: Patient, summary: ModelSummary) -> list[Weakness]:
    """The groups to which a patient belongs in whom the model, measured on test lesions, misses more."""
    of_patient = _as_table(patient)
    own = {(factor, level) for factor in of_patient for level, _ in levels(str(factor), of_patient)}
    return [weakness for weakness in _weaknesses(summary) if (weakness.factor, weakness.level) in own]


def unknown_weaknesses(*, patient: Patient, summary: ModelSummary) -> list[Weakness]:
    """Such groups to which a patient may belong, as what tells it has not been entered."""
    known = _as_table(patient).notna().all()
    return [weakness for weakness in _weaknesses(summary) if weakness.factor in known and not known[weakness.factor]]


def _weaknesses(summary: ModelSummary) -> list[Weakness]:
    rates = [(group, _rate(group["sensitivity"])) for group in missed_more_in(summary.details)]
    return [Weakness(group["factor"], group["level"], rate) for group, rate in rates if rate]


def _as_table(patient: Patient) -> pd.DataFrame:
    return pd.DataFrame({"age": [patient.age], "sex": [patient.sex], "localization": [patient.site]})


def coverages(*, summary: ModelSummary) -> dict[str, tuple[float, float, float]]:
    """How often the sets of test pictures held the true diagnosis, by its class code: (share, low, high).

    Classes of too few lesions for an interval are left out.
    """
    measured = summary.details.get("prediction_sets") or {}
    found = {code: _rate(measured.get(f"{code}.coverage")) for code in CODES}
    return {code: rate for code, rate in found.items() if rate is not None}


def prevalence(*, summary: ModelSummary) -> float | None:
    """The share of malignant pictures in the test part; None where none was measured."""
    counts = {code: figures["n"] for code, figures in summary.evaluation.get("per_class", {}).items() if figures}
    total = sum(counts.values())
    return sum(counts.get(d.code, 0) for d in DIAGNOSES if d.malignant) / total if total else None


def at_prevalence(*, prediction: Prediction, learned: float, own: float) -> dict[str, float]:
    """Probabilities by class code where lesions are malignant as often as `own`, not as `learned`.

    Both lie above 0 and below 1.  Saerens, Latinne and Decaestecker, Neural Computation 2002, eq. 2.4.
    """
    malignant, benign = own / learned, (1 - own) / (1 - learned)
    weights = {d.code: malignant if d.malignant else benign for d in DIAGNOSES}
    weighed = {code: value * weights[code] for code, value in prediction.by_code().items()}
    return {code: value / sum(weighed.values()) for code, value in weighed.items()}
