"""What to do: the decision at the operating point, in words, and in whom the model misses more."""

import streamlit as st

from pages.ui.shown import Shown
from pages.ui.words import describe, listed, malignant_names, told_apart
from skin_model import charts
from skin_model.charts import percent
from skin_model.entities import ModelSummary, Patient
from skin_model.services import trust


def decision(shown: Shown, patient: Patient) -> None:
    """The decision at the operating point, in words, and whether the model misses more in patients like this one."""
    prediction = shown.analysis.prediction
    found, point = told_apart(prediction.malignant_probability, prediction.threshold)
    aim = _aim(shown)
    drawn = " :gray-badge[synthetic example]" if shown.example is not None and shown.example.synthetic else ""
    if prediction.refer:
        with st.container(key="refer", gap=None):
            st.header(f"{charts.MALIGNANT_MARK} Refer{drawn}", anchor=False)
            st.markdown(
                f"Malignant probability **{found}** reaches the operating point of {point}, {aim}. "
                f"Many lesions referred at this point prove benign.{_nobody_entered(shown)}"
            )
            _without_patient(shown)
        return
    with st.container(key="below", gap=None):
        st.header(f"Below the operating point{drawn}", anchor=False)
        st.markdown(
            f"Malignant probability **{found}** does not reach the operating point of {point}, {aim}. "
            f"This does not rule out malignancy{_not_excluded(shown)}.{_nobody_entered(shown)}"
        )
        _without_patient(shown)
        _missed_more(shown.summary, patient)
        _may_be_missed_more(shown.measured, patient)


def _nobody_entered(shown: Shown) -> str:
    """A sentence on where to enter the patient, to follow another; empty where one is, or the model takes none."""
    if shown.analysis.for_patient is None or shown.alone is not None:
        return ""
    return " Age, sex and site count too: enter them below."


def _not_excluded(shown: Shown) -> str:
    """The malignant diagnoses that cannot be excluded all the same, to go on a sentence; empty where there are none."""
    found = trust.prediction_set(prediction=shown.analysis.prediction, summary=shown.summary)
    named = malignant_names(found) if found else []
    if not found or not named:
        return ""
    return f': at {found.coverage * 100:.0f} % coverage, {listed(named)} cannot be excluded (see "How sure is this?")'


def _without_patient(shown: Shown) -> None:
    """What the picture alone comes to, where the answer takes the patient into account."""
    if shown.alone is None:
        return
    decided = "refer" if shown.alone.refer else "below the operating point"
    malignant, _ = told_apart(shown.alone.malignant_probability, shown.alone.threshold)
    st.markdown(
        f"This answer takes the patient into account: {describe(shown.patient)}. The picture alone: "
        f"{malignant} malignant ({decided}), most likely "
        f"{shown.alone.diagnosis.name} ({percent(float(shown.alone.probabilities.max()))})."
    )


def _missed_more(summary: ModelSummary, patient: Patient) -> None:
    """That malignant lesions of patients like this one are missed more often, where the model was found to do so."""
    groups = [
        f"{percent(weakness.sensitivity[0])} (interval {100 * weakness.sensitivity[1]:.0f} to "
        f"{100 * weakness.sensitivity[2]:.0f}) in {_group(weakness)}"
        for weakness in trust.weaknesses(patient=patient, summary=summary)
    ]
    if groups:
        overall = summary.details["operating_points"]["sensitive"]["sensitivity"]["value"]
        st.markdown(
            ":material/warning: **The model misses more in patients like this one.** Of malignant test pictures it "
            f"referred only {' and '.join(groups)}; of all {percent(overall)}."
        )


def _group(weakness: trust.Weakness) -> str:
    words = {"age": "patients aged {}", "sex": "{} patients", "localization": "lesions of: {}"}
    return words[weakness.factor].format(weakness.level)


def _may_be_missed_more(summary: ModelSummary, patient: Patient) -> None:
    """That this may be a patient in whom more is missed, where what tells so has not been entered."""
    groups = trust.unknown_weaknesses(patient=patient, summary=summary)
    if groups:
        named = "; ".join(_group(weakness) for weakness in groups)
        st.markdown(
            f"The model was found to miss more in some patients, and whether this is one was not entered: {named}."
        )


def _aim(shown: Shown) -> str:
    """What the operating point was chosen for, and what it came to on pictures the model never saw."""
    aim = f"chosen to refer {percent(shown.summary.target_sensitivity)} of malignant pictures"
    evaluation = shown.measured.evaluation
    measured = (evaluation.get("malignant") or {}).get("sensitivity")
    interval = (evaluation.get("intervals") or {}).get("malignant.sensitivity")
    if measured is None or interval is None:
        return aim
    low, high = (f"{100 * value:.0f}" for value in interval)
    known = f" {shown.known}" if shown.known else ""
    return f"{aim} (on test pictures{known}: {percent(measured)}, interval {low} to {high})"
