"""The lesion's outline and what is measured inside it, once unfolded."""

import streamlit as st

from pages.ui.shown import Shown
from pages.ui.viewer import picture_viewer
from skin_model.charts import CARE_MARK, percent
from skin_model.entities import REFUSED, Measurements, Outline
from skin_model.errors import SkinModelError
from skin_model.services import outlining

KEPT = "outlined"  # (SHA-256 of the picture, its outline)


@st.fragment
def outline_and_measurements(shown: Shown) -> None:
    """Expander: contour and measurements; none of a picture that is unfit to be judged, nothing before it unfolds."""
    if shown.analysis.quality.outcome == REFUSED:
        return
    with st.expander("Outline and measurements of the lesion", key="outline", on_change="rerun") as it:
        if not it.open:
            return
        st.markdown("These are measurements, never a diagnosis. Neither the answer nor the decision uses them.")
        try:
            found = _outline(shown)
        except SkinModelError as error:
            st.error(str(error))
            return
        left, right = st.columns(2, gap="large")
        with left:
            _picture(shown, found)
        with right:
            if found.measurements is None:
                with st.container(key="outline-care", gap=None):
                    st.markdown(f"**{CARE_MARK} No measurements.** {found.warning}")
            else:
                st.markdown(_table(found.measurements))
            st.caption(_trust(found))


def _outline(shown: Shown) -> Outline:
    subject = shown.analysis.image.sha256
    kept: tuple[str, Outline] | None = st.session_state.get(KEPT)
    if kept is None or kept[0] != subject:
        with st.spinner("Outlining …"):
            kept = subject, outlining.outline(analysis=shown.analysis, uploaded=shown.size)
        st.session_state[KEPT] = kept
    return kept[1]


def _picture(shown: Shown, found: Outline) -> None:
    drawn = shown.analysis.image.pixels
    if found.mask.any() and st.toggle("Show the outline", value=True, key="outline-shown"):
        drawn = outlining.draw(analysis=shown.analysis, outline=found)
    subject = shown.analysis.image.sha256
    alt = f"{shown.name}: outline of the lesion"
    picture_viewer(drawn, shown.analysis.box, alt=alt, subject=subject, key="outline-viewer")


def _table(found: Measurements) -> str:
    along, across = found.asymmetry
    names = ", ".join(f"{name} {percent(share)}" for name, share in _most_first(found.colours))
    rows = {
        "Area": f"{percent(found.share)} of the picture, {found.area:,} pixels",
        "Greatest diameter": f"{found.diameter:,.0f} pixels",
        "Length and width": f"{found.length:,.0f} x {found.width:,.0f} pixels",
        "Asymmetry": f"{percent(along)} across the long axis, {percent(across)} across the short one",
        "Irregularity of the border": f"{found.irregularity:.2f} (1: circle; 1.2: smooth oval, twice as long as wide)",
        "Colours": f"{len(found.colours)} of 6: {names}",
        "Spread of colours": f"{found.variegation:.0f} Delta E",
    }
    return "\n".join(["| Measured | Value |", "|:--|:--|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _most_first(colours: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(colours.items(), key=lambda one: -one[1])


def _trust(found: Outline) -> str:
    """By what all this is to be judged."""
    said = (
        f"On test lesions the outline overlaps with the one drawn for the data set by {found.dice:.2f} (mean Dice; 1: "
        f"the same outline), by less than 0.8 in {percent(found.poor)} of the pictures: compare it with the picture. "
    )
    if found.measurements is None:
        return said
    return said + (
        "Pixels are those of the picture as uploaded; without a scale in it they cannot be turned into millimetres. "
        "Asymmetry: share of the lesion without a counterpart on the other side; of the shape, not of colours. The "
        "outline is smooth, so fine notches of the border are lost. A colour counts from 5 % of the lesion on."
    )
