"""The details of an answer: probabilities with downloads of the exact ones, the picture alone, file and model."""

import csv
import io
import json
from dataclasses import asdict
from typing import Any

import streamlit as st

from pages.ui.shown import Shown
from pages.ui.words import literal
from skin_model.entities import REFUSED, Patient
from skin_model.services.prediction import no_formula
from skin_model.taxonomy import DIAGNOSES

USE = "assistive only; not a diagnosis; not cleared as a medical device; research and education"


@st.fragment
def details(shown: Shown, patient: Patient) -> None:
    """Expander: probabilities with downloads of the exact ones, the picture alone, file and model."""
    label = "Details: probabilities, downloads, picture without map, file and model"
    with st.expander(label, key="details", on_change="rerun") as it:
        if it.open:
            _details(shown, patient)


def _details(shown: Shown, patient: Patient) -> None:
    rows = _table(shown)
    numbers, alone = st.columns([1, 1], gap="large")
    with numbers:
        st.markdown("**Probabilities** (with all their digits in the downloads)")
        lines = [f"| {name} | {group} | {value:.3f} |" for _, name, group, value in rows]
        st.markdown("\n".join(["| Diagnosis | Group | Probability |", "|:--|:--|--:|", *lines]))
        with st.container(horizontal=True):
            _download("Download CSV", _as_csv(shown, patient), "text/csv", f"{shown.name}.csv")
            _download("Download JSON", _as_json(shown, patient), "application/json", f"{shown.name}.json")
    with alone:
        st.markdown("**Picture without map**")
        st.image(shown.analysis.image.pixels, width="stretch", alt=f"{shown.name} without map")
    width, height = shown.size
    summary = shown.summary
    st.markdown(
        f"**File** {literal(shown.name)}, {width} x {height} pixels  \n"
        f"**SHA-256** `{shown.analysis.image.sha256}`  \n"
        f"**Model** `{shown.analysis.prediction.model_version}` ({summary.network}, {summary.size} pixels, "
        f"{_views(summary.views)})"
    )


def _views(count: int) -> str:
    return "one view" if count == 1 else f"mean of {count} flipped and turned views"


def _download(label: str, content: str, mime: str, name: str) -> None:
    st.download_button(label, content, file_name=name, mime=mime, on_click="ignore")


def _table(shown: Shown) -> list[tuple[str, str, str, float]]:
    values = shown.analysis.prediction.by_code()
    return [(d.code, d.name, d.group.value, values[d.code]) for d in DIAGNOSES]


def _about(shown: Shown) -> dict[str, bool]:
    """What an answer must not be read without: that nobody should rely on it, or that it is of no patient."""
    return {
        "judged_although_unfit": shown.analysis.quality.outcome == REFUSED,
        "synthetic_example": shown.example is not None and shown.example.synthetic,
    }


def _as_csv(shown: Shown, patient: Patient) -> str:
    """One row per class; what holds for the whole answer stands in every row, so that none can be quoted without it."""
    prediction = shown.analysis.prediction
    whole = {
        "malignant_probability": prediction.malignant_probability,
        "threshold": prediction.threshold,
        "refer": prediction.refer,
        "image": no_formula(shown.name),
        "sha256": shown.analysis.image.sha256,
        "model_version": prediction.model_version,
        "notes": " ".join(shown.analysis.image.notes),
        "picture": shown.analysis.quality.outcome,
        "picture_reasons": " ".join(finding.sentence for finding in shown.analysis.quality.reasons),
        **_about(shown),
        "own_impression": shown.impression or "",
        **asdict(patient),
        "patient_taken_into_account": shown.alone is not None,
        "use": USE,
    }
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("code", "diagnosis", "group", "probability", *whole))
    writer.writerows((*row, *whole.values()) for row in _table(shown))
    return text.getvalue()


def _as_json(shown: Shown, patient: Patient) -> str:
    prediction = shown.analysis.prediction
    record: dict[str, Any] = {
        "image": shown.name,
        "sha256": shown.analysis.image.sha256,
        "probabilities": prediction.by_code(),
        "diagnosis": prediction.diagnosis.code,
        "malignant_probability": prediction.malignant_probability,
        "threshold": prediction.threshold,
        "refer": prediction.refer,
        "model_version": prediction.model_version,
        "notes": list(shown.analysis.image.notes),
        "picture": shown.analysis.quality.to_json(),
        **_about(shown),
        "own_impression": shown.impression,
        "patient": asdict(patient),
        "patient_taken_into_account": shown.alone is not None,
        "probabilities_of_the_picture_alone": (shown.alone or prediction).by_code(),
        "use": USE,
    }
    return json.dumps(record, indent=2, ensure_ascii=False)
