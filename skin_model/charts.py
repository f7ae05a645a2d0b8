"""Entities -> Plotly figures and pictures for pages and reports; the one way a probability is written."""

import base64
import dataclasses

import cv2
import numpy as np
import plotly.graph_objects as go

from skin_model.entities import Analysis, Prediction
from skin_model.taxonomy import DIAGNOSES, Diagnosis

DISPLAY_SIDE = 1200  # pixels, as wide as the overlay is drawn; some 0.2 MB as JPEG
MALIGNANT_MARK = "▲"
INK = "#1B2B34"
_GRID = "#D9E1E5"
_FONT = '"Source Sans", "Source Sans Pro", Arial, sans-serif'


def percent(value: float, *, digits: int = 0) -> str:
    """Write a probability for a person: "34 %"; "<1 %" and ">99 %" where rounding would claim certainty.

    Args:
        value: between 0 and 1.
        digits: decimals, for two values that must be told apart.
    """
    unit = 10.0**-digits
    if 0 < value * 100 < unit:
        return f"<{unit:.{digits}f}\N{NO-BREAK SPACE}%"
    if 100 - unit < value * 100 < 100:
        return f">{100 - unit:.{digits}f}\N{NO-BREAK SPACE}%"
    return f"{value * 100:.{digits}f}\N{NO-BREAK SPACE}%"


def marked_name(diagnosis: Diagnosis) -> str:
    """The full name, with the mark of the malignant and pre-malignant classes before it."""
    return f"{MALIGNANT_MARK} {diagnosis.name}" if diagnosis.malignant else diagnosis.name


def display_copy(analysis: Analysis, *, longest_side: int = DISPLAY_SIDE) -> Analysis:
    """The same analysis, picture and box reduced for the screen to a longer side of `longest_side`."""
    pixels = analysis.image.pixels
    height, width = pixels.shape[:2]
    scale = longest_side / max(height, width)
    if scale >= 1:
        return analysis
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    smaller = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_AREA)
    left, top, side = (round(value * scale) for value in analysis.box)
    side = min(side, new_width, new_height)
    box = (min(left, new_width - side), min(top, new_height - side), side)
    return dataclasses.replace(analysis, image=dataclasses.replace(analysis.image, pixels=smaller), box=box)


def probability_bars(prediction: Prediction) -> go.Figure:
    """The seven probabilities as horizontal bars, the most likely on top.

    `x` are the exact values, `y` the names.

    Malignant and pre-malignant classes carry a mark before the name and a hatched bar, so that colour says
    nothing alone; the name stands above its bar, which leaves narrow screens the whole width.
    """
    ranked = sorted(DIAGNOSES, key=lambda d: prediction.probabilities[d.index])
    values = [float(prediction.probabilities[d.index]) for d in ranked]
    bars = go.Bar(
        x=values,
        y=[d.name for d in ranked],
        orientation="h",
        width=0.36,
        offset=-0.38,
        text=[percent(value) for value in values],
        textposition="outside",
        textfont={"size": 15, "color": INK},
        cliponaxis=False,
        marker={
            "color": [d.colour for d in ranked],
            "line": {"color": "#3D4F5A", "width": 1},
            "pattern": {
                "fillmode": "overlay",
                "shape": ["/" if d.malignant else "" for d in ranked],
                "fgopacity": 0.85,
                "size": 8,
                "solidity": 0.3,
            },
        },
        customdata=[d.group.value for d in ranked],
        hovertemplate="%{y}<br>%{x:.2%}<br>%{customdata}<extra></extra>",
    )
    figure = go.Figure(bars)
    for position, diagnosis in enumerate(ranked):
        bold = diagnosis is prediction.diagnosis
        name = marked_name(diagnosis)
        figure.add_annotation(
            x=0, y=position, xref="x", yref="y", text=f"<b>{name}</b>" if bold else name, showarrow=False,
            xanchor="left", yanchor="bottom", xshift=-2, yshift=-3, font={"size": 15, "color": INK},
        )  # fmt: skip
    figure.update_xaxes(
        range=[0, 1.12], tickvals=[0, 0.25, 0.5, 0.75, 1], ticktext=["0", "25", "50", "75", "100 %"],
        gridcolor=_GRID, zeroline=False, fixedrange=True, tickfont={"size": 13, "color": "#4A5B66"},
    )  # fmt: skip
    figure.update_yaxes(visible=False, fixedrange=True, range=[-0.5, len(ranked) - 0.35])
    return figure.update_layout(
        height=390,
        margin={"l": 4, "r": 4, "t": 4, "b": 28},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": _FONT, "color": INK},
        showlegend=False,
    )


def image_data_uri(image: np.ndarray) -> str:
    """An RGB uint8 (H, W, 3) image for a web page: JPEG at quality 92, a tenth of a PNG in time and size."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
