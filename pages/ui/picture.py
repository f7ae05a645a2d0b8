"""The picture under its map and the probabilities beside it."""

import plotly.graph_objects as go
import streamlit as st

from pages.ui.memory import remember, remembered
from pages.ui.shown import Shown
from pages.ui.viewer import picture_viewer
from skin_model import charts
from skin_model.charts import percent
from skin_model.services import analysis as analysis_service
from skin_model.services import explaining
from skin_model.services.explaining import Offer
from skin_model.taxonomy import BY_CODE

FAILED_MAPS = "failed-maps"  # remembered: show the maps beside the answer though their method failed its check


def picture_under_map(shown: Shown, target: str, opacity: float) -> None:
    """The picture under the class activation map of one class, with the map's legend and what it can show."""
    analysis = shown.analysis
    explanation, name = analysis.explanations[target], BY_CODE[target].name
    offer = explaining.offer(summary=shown.summary)
    wanted, empty = not offer.failed or _wanted_though_failed(offer), not explanation.heat_map.any()
    drawn = ("no evidence" if empty else explanation.method) if wanted else "no map"
    image = analysis.image.pixels
    if wanted:
        image = analysis_service.overlay(analysis=analysis, target=target, opacity=opacity)
    with st.container(key="picture"):
        title = f"{shown.name}: {drawn} for {name}"
        picture_viewer(image, analysis.box, alt=title, subject=analysis.image.sha256)
    if wanted and empty:
        st.info(explaining.nothing(target))
    elif wanted:
        st.html(heat_legend(f"{explanation.method}: what speaks for <b>{name}</b>", opacity))
        st.caption(offer.limits, help=offer.evidence)
    for sentence in _remarks(shown):
        st.caption(sentence)


def _wanted_though_failed(offer: Offer) -> bool:
    """Ask whether the maps of a method that failed its check are to be shown all the same."""
    st.warning(
        f"{offer.name} failed its check on this model: its maps may mislead, and are not shown unless asked for."
    )
    asked = st.toggle("Show them", remembered(FAILED_MAPS, False), help=offer.evidence, key=FAILED_MAPS)
    return remember(FAILED_MAPS, asked)


def _remarks(shown: Shown) -> list[str]:
    """What a reader of the picture must know besides the map."""
    height, width = shown.analysis.image.pixels.shape[:2]
    framed = "" if width == height else "Only the framed square is judged. "
    remarks = [f"{framed}Scroll, pinch or press + and - to zoom, drag to move."]
    if shown.alone is not None:
        remarks.append("The map explains what the picture says; what the patient adds does not show in it.")
    remarks += list(shown.analysis.image.notes)
    if shown.example is not None:
        truth = BY_CODE[shown.example.diagnosis].name
        drawn = shown.example.synthetic
        words = "This synthetic example was drawn to resemble" if drawn else "Diagnosis given by the data set"
        remarks.append(f"{words}: {truth}.")
    return remarks


def heat_legend(words: str, opacity: float) -> str:
    """The colours of a heat map, in HTML, with words at their ends."""
    colours = ", ".join(f"rgb{colour}" for colour in explaining.heat_scale(opacity))
    scale = f'<span>weakest<i style="background:linear-gradient(to right, {colours})"></i>strongest</span>'
    return f'<div class="legend"><div>{words}, relative to its own strongest place</div>{scale}</div>'


def probabilities(shown: Shown) -> None:
    """The seven calibrated probabilities as bars."""
    values = shown.analysis.prediction.by_code()
    spoken = "; ".join(f"{BY_CODE[code].name} {percent(values[code])}" for code in shown.ranked)
    st.plotly_chart(
        charts.probability_bars(shown.analysis.prediction),
        key="probabilities",
        theme=None,
        alt=f"Calibrated probabilities: {spoken}",
        config={"displayModeBar": False},
    )
    st.caption(f"{charts.MALIGNANT_MARK} and hatching: malignant or pre-malignant, counted for referral.")


def fetch_charts_ahead() -> None:
    """Have the browser load Plotly (some megabytes of script) while a picture is still being chosen.

    The style sheet hides this empty figure from eyes and screen readers alike.
    """
    with st.container(key="charts-ahead"):
        st.plotly_chart(go.Figure(go.Scatter()), key="charts-ahead-figure")
