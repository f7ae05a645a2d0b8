"""What to decide: operating points in words, and what follows at the clinic's own prevalence and costs."""

import streamlit as st

from pages.ui.figures import of_100, whole
from pages.ui.memory import forget, remember, remembered
from pages.ui.shown import Shown
from pages.ui.words import told_apart
from skin_model import charts
from skin_model.charts import marked_name, percent
from skin_model.errors import SkinModelError
from skin_model.services import costs, registered, trust
from skin_model.taxonomy import BY_CODE


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
        st.caption(f"On test pictures of lesions kept out of the model's training{known}; in brackets 95 % intervals.")
        _own_terms(shown, points[0], learned)
        curve = shown.measured.details.get("curves", {}).get("decision")
        if curve:
            st.markdown(
                "**Decision curve.** Net benefit of referring by this model, of referring every lesion and of "
                "referring none: true referrals per picture, less unneeded ones, which weigh the more the higher the "
                "threshold (at 10 %, nine of them as much as one true one). The highest line is the best policy at "
                f"that threshold, where {100 * learned:.0f} of 100 pictures are malignant, as in the test part."
            )
            st.plotly_chart(charts.decision_curve(curve), key="decision-curve", theme=None,
                            config={"displayModeBar": False})  # fmt: skip


def _own_terms(shown: Shown, point: trust.OperatingPoint, learned: float) -> None:
    """What the answer means where malignancy is as common, and a missed one as dear, as the clinic says."""
    of_100_own = st.number_input(
        "Of 100 lesions that you photograph, how many are malignant?", 0.1, 99.0,
        remembered("prevalence", round(100 * learned, 1)), step=1.0, format="%.3g", key="prevalence",
        help=f"In the test part {100 * learned:.0f} of 100 pictures are.", width=420,
    )  # fmt: skip
    own = remember("prevalence", of_100_own) / 100
    positive, negative = point.predictive_values(own)
    prediction = shown.analysis.prediction
    adjusted = trust.at_prevalence(prediction=prediction, learned=learned, own=own)
    malignant = sum(adjusted[code] for code in costs.MALIGNANT)
    found, _ = told_apart(prediction.malignant_probability, prediction.threshold)
    st.markdown(
        f"Where {100 * own:.3g} of 100 are malignant: of 100 lesions referred at this operating point about "
        f"**{whole(positive)}** are malignant, and of 1,000 not referred about **{whole(negative, of=1000)}** are "
        f"malignant all the same. The malignant probability of this lesion, {found}, becomes **{percent(malignant)}**."
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
        f"At the department's costs, not referring such lesions costs as much as **{_cost(not_referring)}** "
        f"unneeded referrals each, referring them **{_cost(referring)}**: **{verdict}**.{differs}"
    )


def _cost(referrals: float) -> str:
    if referrals < 0.01:
        return "<0.01"
    return f"{referrals:,.0f}" if referrals >= 10 else f"{referrals:.2g}"


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
