"""Why: what speaks for each of the three most likely diagnoses."""

import streamlit as st

from pages.ui.memory import remembered
from pages.ui.picture import FAILED_MAPS
from pages.ui.shown import Shown
from skin_model.charts import marked_name, percent
from skin_model.services import analysis as analysis_service
from skin_model.services import explaining
from skin_model.taxonomy import BY_CODE

OPACITY = 0.45


@st.fragment
def top_three(shown: Shown) -> None:
    """Expander: map, probability and similar cases of the three most likely diagnoses, side by side."""
    names = ", ".join(BY_CODE[code].name for code in shown.ranked[:3])
    with st.expander(f"Why? What speaks for each of {names}", key="top-three", on_change="rerun") as it:
        if not it.open:
            return
        offer = explaining.offer(summary=shown.summary)
        mapped = not offer.failed or remembered(FAILED_MAPS, False)
        relative = " Each map is relative to its own strongest place: what speaks for a class, not how much."
        st.caption(f"**{offer.name}.** {offer.limits}{relative if mapped else ''}  \n{offer.evidence}")
        for column, code in zip(st.columns(3, gap="medium"), shown.ranked[:3], strict=True):
            with column:
                _one(shown, code, mapped)


def _one(shown: Shown, code: str, mapped: bool) -> None:
    found, name = shown.analysis, BY_CODE[code].name
    st.markdown(f"**{marked_name(BY_CODE[code])}**, {percent(found.prediction.by_code()[code])}")
    if not mapped:
        st.caption("No map: see above the picture.")
    elif found.explanations[code].heat_map.any():
        left, top, side = found.box
        painted = analysis_service.overlay(analysis=found, target=code, opacity=OPACITY)
        st.image(painted[top : top + side, left : left + side], width="stretch", alt=f"What speaks for {name}")
    else:
        st.caption("Nothing in the picture speaks for it.")
    if found.similar is not None:
        count = sum(case.diagnosis == code for case in found.similar)
        st.markdown(f"{count} of the {len(found.similar)} most similar confirmed cases")
