"""Reasons to trust an answer and reasons not to: the gate, and how sure it is."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from pages.ui.figures import of_100, whole
from pages.ui.shown import Shown
from pages.ui.words import listed, literal, malignant_names, told_apart
from skin_model import charts
from skin_model.charts import marked_name, percent
from skin_model.entities import CARE, FINE, Example, ModelSummary, NotJudged, PredictionSet, QualityReport
from skin_model.errors import SkinModelError
from skin_model.services import trust
from skin_model.taxonomy import BY_CODE

Rate = tuple[float, float, float]


def gate(report: QualityReport) -> None:
    """Whether the picture can be judged, where that is not plain; stays as long as the answer does."""
    if report.outcome == FINE:
        return
    careful = report.outcome == CARE
    with st.container(key="care" if careful else "overridden", gap=None):
        heading = "Use with care" if careful else "Judged although the picture is unfit: do not rely on this answer"
        st.markdown(f"**{charts.CARE_MARK} {heading}.** {_reasons(report)}")


@dataclass(frozen=True)
class Withheld:
    """A picture that the gate refused, with what `Shown` needs should it be judged all the same."""

    name: str
    size: tuple[int, int]
    found: NotJudged
    summary: ModelSummary
    example: Example | None


def not_judged(withheld: Withheld, judge_anyway: Callable[[Withheld], None]) -> None:
    """A picture without an answer: why, what to do, and a way to have it judged all the same."""
    with st.container(key="not-judged", gap="small"):
        left, right = st.columns([2, 3], gap="large")
        with left:
            st.header(f"{charts.CARE_MARK} Not judged", anchor=False)
            st.markdown(f"{literal(withheld.name)}: {_reasons(withheld.found.quality)}")
            st.caption(
                "If it does show a skin lesion through a dermatoscope and no better picture can be had, it can be "
                "judged all the same; this warning then stays with the answer and its downloads."
            )
            st.button("Judge all the same", key="judge-anyway", on_click=judge_anyway, args=(withheld,))
        right.image(withheld.found.image.pixels, width="stretch", alt=f"{withheld.name}, not judged")


def _reasons(report: QualityReport) -> str:
    return " ".join(finding.sentence for finding in report.reasons)


@st.fragment
def certainty(shown: Shown) -> None:
    """Expander: what cannot be excluded, how often that holds for each diagnosis, whether the views agree."""
    found = trust.prediction_set(prediction=shown.analysis.prediction, summary=shown.summary)
    if found is None:
        return
    label = f"How sure is this? {_in_short(found, trust.coverages(summary=shown.measured).get('mel'))}"
    with st.expander(label, key="certainty", on_change="rerun") as it:
        if not it.open:
            return
        if not found.codes:
            st.markdown(
                f"**{charts.CARE_MARK} No diagnosis fits at this coverage:** none is as likely here as in "
                f"{found.coverage * 100:.0f} of 100 lesions of it. That rules nothing out and is a reason for care."
            )
        st.markdown(
            f"The diagnoses that **cannot be excluded** are chosen so that, for every diagnosis alike, the true one is "
            f"among them in {found.coverage * 100:.0f} of 100 new lesions. Beside each stands how often that came true "
            f"on test pictures{f' {shown.known}' if shown.known else ''}; in the others it was outside the set."
        )
        st.markdown(_set_table(shown, found.codes, found.always))
        _views(shown)


def _in_short(found: PredictionSet, melanomas: Rate | None) -> str:
    """What the set says, for the line above it; how often melanomas are in theirs tells what it is worth to be out."""
    codes = found.codes
    if not codes:
        return "No diagnosis fits at this coverage, which is a reason for care"
    named = malignant_names(found) or [BY_CODE[codes[0]].name]
    others = len(codes) - len(named)
    if others:
        named.append(f"{others} other diagnos{'es' if others > 1 else 'is'}")
    said = f"{listed(named)} cannot be excluded at {found.coverage * 100:.0f} % coverage"
    if "mel" in codes or melanomas is None:
        return said
    return f"{said}; melanoma is outside the set, as {whole(1 - melanomas[0])} of 100 melanomas were"


def _set_table(shown: Shown, inside: tuple[str, ...], always: tuple[str, ...]) -> str:
    measured = trust.coverages(summary=shown.measured)
    values = shown.analysis.prediction.by_code()
    lines = [
        "| Diagnosis | Probability | At this coverage | Test pictures of it whose set held it, of 100 |",
        "|:--|--:|:--|:--|",
    ]
    for code in shown.ranked:
        verdict = "**cannot be excluded**" if code in inside else "outside the set"
        if code in always:
            verdict += " (never is: too few cases to tell)"
        rate = of_100(measured[code]) if code in measured else "not measured"
        lines.append(f"| {marked_name(BY_CODE[code])} | {percent(values[code])} | {verdict} | {rate} |")
    return "\n".join(lines)


def _views(shown: Shown) -> None:
    """The same picture flipped and turned, each view judged alone, when asked for."""
    model = shown.analysis.prediction.model_version
    key = f"views-{model}-{shown.analysis.image.sha256}-{hash(shown.patient)}"
    if key not in st.session_state:
        asked = st.button("Judge flipped and turned views each alone", key=f"ask-{key}")
        if not asked:
            return
        try:
            st.session_state[key] = trust.agreement(analysis=shown.analysis, patient=shown.patient)
        except SkinModelError as error:
            st.error(str(error))
            return
    found = st.session_state[key]
    count, likeliest = len(found.likeliest), shown.analysis.prediction.diagnosis
    same = found.likeliest.count(likeliest.code)
    decided = "; the decision hangs on how the picture is turned" if 0 < found.referred < count else ""
    threshold = shown.analysis.prediction.threshold
    least, most = (told_apart(value, threshold)[0] for value in (min(found.malignant), max(found.malignant)))
    st.markdown(
        f"Of {count} views, flipped and turned, {same} name {likeliest.name} first; {found.referred} reach the "
        f"operating point{decided}. Malignant probability from {least} to {most}."
    )
