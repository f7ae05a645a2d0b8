"""Reasons to trust an answer and reasons not to: the gate, how sure it is, what follows at the clinic's own terms."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from pages.ui.memory import forget, remember, remembered
from pages.ui.shown import Shown
from pages.ui.words import listed, literal, malignant_names
from skin_model import charts
from skin_model.charts import marked_name, percent
from skin_model.entities import CARE, FINE, Example, ModelSummary, NotJudged, PredictionSet, QualityReport
from skin_model.errors import SkinModelError
from skin_model.services import costs, registered, trust
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
    st.markdown(
        f"Of {count} views, flipped and turned, {same} name {likeliest.name} first; {found.referred} reach the "
        f"operating point{decided}. Malignant probability from {percent(min(found.malignant))} to "
        f"{percent(max(found.malignant))}."
    )


@st.fragment
def deciding(shown: Shown) -> None:
    """Expander: operating points in words, and what follows at the clinic's own prevalence and price of a mistake."""
    points = trust.operating_points(summary=shown.measured)
    learned = trust.prevalence(summary=shown.summary)
    if not points or learned is None:
        return
    label = f"Deciding: at this operating point {whole(points[0].melanoma[0])} of 100 melanomas are referred"
    with st.expander(label, key="deciding", on_change="rerun") as it:
        if not it.open:
            return
        lines = [
            "| Refer from | Of 100 malignant, referred | Of 100 melanomas, referred | Of 100 benign, referred |",
            "|:--|:--|:--|:--|",
        ]
        for point in points:
            low, high = 1 - point.specificity[2], 1 - point.specificity[1]
            benign = of_100((1 - point.specificity[0], low, high))
            lines.append(
                f"| {percent(point.threshold, digits=1)} ({point.name}) | {of_100(point.sensitivity)} "
                f"| {of_100(point.melanoma)} | {benign} |"
            )
        st.markdown("\n".join(lines))
        known = f", {shown.known}" if shown.known else ""
        st.caption(f"On test pictures of lesions that the model never saw{known}; in brackets 95 % intervals.")
        _own_terms(shown, points[0], learned)
        curve = shown.measured.details.get("curves", {}).get("decision")
        if curve:
            st.markdown(
                "**Decision curve.** Net benefit of referring by this model, of referring every lesion and of "
                "referring none: true referrals per lesion, less unneeded ones, which weigh the more the higher the "
                "threshold (at 10 %, nine of them as much as one true one). The highest line is the best policy at "
                f"that threshold, where {100 * learned:.0f} of 100 lesions are malignant, as in the test part."
            )
            st.plotly_chart(charts.decision_curve(curve), key="decision-curve", theme=None,
                            config={"displayModeBar": False})  # fmt: skip


def _own_terms(shown: Shown, point: trust.OperatingPoint, learned: float) -> None:
    """What the answer means where malignancy is as common, and a missed one as dear, as the clinic says."""
    of_100_own = st.number_input(
        "Of 100 lesions that you photograph, how many are malignant?", 0.1, 99.0,
        remembered("prevalence", round(100 * learned, 1)), step=1.0, format="%.3g", key="prevalence",
        help=f"In the test part {100 * learned:.0f} of 100 are.", width=420,
    )  # fmt: skip
    own = remember("prevalence", of_100_own) / 100
    positive, negative = point.predictive_values(own)
    prediction = shown.analysis.prediction
    adjusted = trust.at_prevalence(prediction=prediction, learned=learned, own=own)
    malignant = sum(adjusted[code] for code in costs.MALIGNANT)
    st.markdown(
        f"Where {100 * own:.3g} of 100 are malignant: of 100 lesions referred at this operating point "
        f"**{whole(positive)}** are malignant, and of 1,000 not referred **{1000 * negative:.0f}** are malignant all "
        f"the same. The malignant probability of this lesion, {percent(prediction.malignant_probability)}, becomes "
        f"**{percent(malignant)}**."
    )
    try:
        table = costs.current()
    except SkinModelError as error:
        st.error(str(error))
        return
    if table is not None:
        st.markdown(_weighed(adjusted, table, refer=prediction.refer))
    _set_costs(table)


def _weighed(probabilities: dict[str, float], table: costs.Costs, *, refer: bool) -> str:
    """The decision that follows from the department's costs."""
    not_referring = costs.of_not_referring(probabilities=probabilities, costs=table)
    referring = costs.of_referring(probabilities=probabilities)
    decided = not_referring >= referring
    verdict = "refer" if decided else "not referring costs less, which does not rule out malignancy"
    differs = "" if decided == refer else " This differs from the decision at the operating point."
    return (
        f"At the department's costs, not referring such lesions costs as much as **{not_referring:.2g}** unneeded "
        f"referrals each, referring them **{referring:.2g}**: **{verdict}**.{differs}"
    )


def _set_costs(table: costs.Costs | None) -> None:
    """What it is worth not to miss each malignant diagnosis: set once, for everyone.

    The form is that of one table, so that numbers entered beside an older one neither hide nor replace a newer one.
    """
    label = "Set what a missed one costs, for the department"
    if table is not None:
        label = "The department's costs"
    stamp = table.at.isoformat() if table else ""
    if table is not None and remembered("costs-shown", stamp) != stamp:
        st.info(f"{table.actor} has set the department's costs meanwhile; numbers entered here before were not set.")
    remember("costs-shown", stamp)
    with st.popover(label, key="costs-popover"), st.form(f"costs-{stamp}", border=False):
        st.markdown("Not to refer **one** of these is as bad as how many unneeded referrals?")
        given = {
            code: st.number_input(
                marked_name(BY_CODE[code]), 1.0, float(costs.MOST), table.missed[code] if table else None, step=1.0,
                format="%.4g", placeholder="not set", key=f"cost-{code}-{stamp}",
            )
            for code in costs.MALIGNANT
        }  # fmt: skip
        if table is not None:
            st.caption(f"Set by {table.actor} on {table.at:%d %B %Y}; every change stays in the audit log.")
        if st.form_submit_button("Set for everyone"):
            try:
                costs.keep(missed={code: value or 0 for code, value in given.items()}, who=registered.actor())
            except SkinModelError as error:
                st.error(str(error))
                return
            forget("costs-shown")
            st.rerun(scope="fragment")


def of_100(rate: Rate) -> str:
    """A measured rate with its interval: "92 (86 to 97)"."""
    value, low, high = rate
    return f"{whole(value)} ({whole(low)} to {whole(high)})"


def whole(share: float) -> str:
    return f"{100 * share:.0f}"
