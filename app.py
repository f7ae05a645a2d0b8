"""Home: what the tool is for and not for, the model in use and how good it is, where to go."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.ui.figures import between, value_of, whole
from pages.ui.frame import begin_page, explain_failure
from skin_model.charts import MALIGNANT_MARK, marked_name
from skin_model.entities import ModelSummary
from skin_model.taxonomy import DIAGNOSES

state = begin_page("A second look at a pigmented lesion")

LEAD = (
    "Give it one dermoscopic picture. Within a second you read what a neural network makes of it: refer or not, "
    "seven probabilities, and the places that spoke for each."
)
FOR = """
## What it is for
- A second look at **one dermoscopic picture of one pigmented lesion**.
- Seven probabilities, a decision at a stated operating point, maps of what spoke for each diagnosis.
- Research and teaching.
"""
NOT_FOR = """
## What it is not for
- Making or excluding a diagnosis, or deciding without a clinician.
- Photographs taken without a dermatoscope, nails, mucosa, lesions already treated.
- Anything but the seven diagnoses: whatever passes its check of pictures gets one of them.
- People unlike those it learned from: mostly fair skin, one Austrian and one Australian centre.
"""


def show_model(summary: ModelSummary) -> None:
    """The model in use and its figures on lesions kept out of its training: those of a first answer, of a picture."""
    report = summary.of_pictures_alone().evaluation
    st.header("The model in use, and how good it is", anchor=False)
    if report:
        show_figures(report, summary)
    else:
        st.info("No evaluation came with this model, so how good it is is not known here.")
    if report.get("per_class"):
        show_classes(report)
    with st.expander(f"Model card of {summary.version}"):
        st.markdown(summary.card)


def show_figures(report: dict[str, Any], summary: ModelSummary) -> None:
    """Sensitivity and specificity at the operating point, balanced accuracy, AUC: each with its interval.

    Those of a picture alone stand out; below them, where both were measured, those with the patient known.
    """
    cards: tuple[tuple[str, str, str, Callable[[float], str]], ...] = (
        ("Malignant, and referred", "malignant.sensitivity",
         "pictures of malignant or pre-malignant lesions are referred: the sensitivity", whole),
        ("Benign, and not referred", "malignant.specificity",
         "pictures of benign lesions are not referred: the specificity", whole),
        ("Named rightly", "balanced_accuracy",
         "pictures get their right name, each diagnosis counting alike: the balanced accuracy", whole),
        ("Ranked rightly", "macro_auc", "mean AUC of the seven diagnoses: 0.5 is chance, 1 is perfect", _as_auc),
    )  # fmt: skip
    unit = (report.get("intervals") or {}).get("unit", "image")
    alone = ", each judged alone, as in a first answer" if summary.told_apart else ""
    st.markdown(
        f"Trained on {summary.data}. Measured on {report['n']:,} test pictures of lesions kept out of its training"
        f"{alone}. In brackets: 95 % intervals, resampled by {unit}."
    )
    for column, (label, key, words, write) in zip(st.columns(4), cards, strict=True):
        with column.container(border=True, height="stretch", gap=None):
            st.metric(label, _figure(report, key, write))
            st.caption(f"{_interval(report, key, write)} {words}")
            if summary.told_apart:
                known = summary.evaluation
                st.caption(f"With age, sex and site: {_figure(known, key, write)} {_interval(known, key, write)}")


def show_classes(report: dict[str, Any]) -> None:
    """One line per diagnosis: how many of 100 are named as such, and what the others are taken for."""
    lines = [
        "| Diagnosis | Named as such, of 100 (recall) | Most often taken for | Test pictures |",
        "|:--|:--|:--|--:|",
    ]
    for diagnosis in DIAGNOSES:
        figures = report["per_class"].get(diagnosis.code)
        if figures is None:
            lines.append(f"| {marked_name(diagnosis)} | not in the test part | | 0 |")
            continue
        interval = _interval(report, f"per_class.{diagnosis.code}.recall", whole)
        lines.append(
            f"| {marked_name(diagnosis)} | **{whole(figures['recall'])}** {interval} "
            f"| {_mistaken_for(report, diagnosis.index)} | {figures['n']} |"
        )
    melanoma = report["per_class"].get("mel")
    if melanoma is not None:
        st.markdown(
            f"Of 100 melanomas in the test part, {whole(melanoma['recall'])} are named melanoma. "
            "A lesion may be referred even where its name is wrong."
        )
    st.markdown("\n".join(lines))
    st.caption(f"{MALIGNANT_MARK} malignant or pre-malignant, counted for referral")


def _mistaken_for(report: dict[str, Any], index: int) -> str:
    matrix = report.get("confusion_matrix")
    if matrix is None:
        return ""
    row = list(matrix[index])
    total, row[index] = sum(row), 0
    if not any(row):
        return "none"
    other = max(range(len(row)), key=row.__getitem__)
    return f"{DIAGNOSES[other].name} ({whole(row[other] / total)})"


def _figure(report: dict[str, Any], key: str, write: Callable[[float], str]) -> str:
    value = value_of(report, key)
    return "not known" if value is None else write(value) + (" of 100" if write is whole else "")


def _interval(report: dict[str, Any], key: str, write: Callable[[float], str]) -> str:
    interval = (report.get("intervals") or {}).get(key)
    return f"({between(interval, write)})"


def _as_auc(value: float) -> str:
    return f"{value:.2f}" if value < 0.995 else f"{value:.3f}"


st.markdown(LEAD)
if not explain_failure(state):
    with st.container(key="start"):
        st.page_link("pages/analyse.py", label="Analyse an image", width="content")
for column, text in zip(st.columns(2, gap="large"), (FOR, NOT_FOR), strict=True):
    column.markdown(text)
if state.status == "loading":
    st.info("The model is loading; its figures appear here in a moment.", icon=":material/hourglass_top:")
elif state.summary is not None:
    show_model(state.summary)
