"""Entities -> Plotly figures and pictures for pages and reports; the one way a probability is written."""

import base64
import dataclasses
from typing import Any, TypeVar

import cv2
import numpy as np
import plotly.graph_objects as go

from skin_model.entities import Analysis, NotJudged, Prediction
from skin_model.recipe import EpochRecord
from skin_model.taxonomy import BY_CODE, CODES, DIAGNOSES, Diagnosis

DISPLAY_SIDE = 1200  # pixels, as wide as the overlay is drawn; some 0.2 MB as JPEG
MALIGNANT_MARK = "▲"
CARE_MARK = "⚠"
INK = "#1B2B34"
Seen = TypeVar("Seen", Analysis, NotJudged)
_GRID = "#D9E1E5"
_REFERENCE = {"color": "#7A8B95", "dash": "dash", "width": 1.5}
_DASHES = ("solid", "dash", "dot", "dashdot")  # beside colour, which says nothing alone
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


def display_copy(analysis: Seen, *, longest_side: int = DISPLAY_SIDE) -> Seen:
    """The same analysis or refusal, picture and box reduced for the screen to a longer side of `longest_side`."""
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
        hovertemplate="%{y}<br>%{text}<br>%{customdata}<extra></extra>",
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


def rate_curves(curves: dict[str, dict[str, list[float]]], x: str, y: str, *, chance: bool = False) -> go.Figure:
    """ROC or precision-recall curves on the unit square: malignant in ink, each class in its own colour and dash.

    Args:
        curves: points ("x", "y") by "malignant" or class code.
        x, y: what the axes show.
        chance: draw the diagonal of a model that cannot rank.
    """
    figure = go.Figure()
    if chance:
        figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=_REFERENCE, name="chance", hoverinfo="skip")
    for name, points in curves.items():
        diagnosis = BY_CODE.get(name)
        style = {"color": INK, "width": 3} if diagnosis is None else {
            "color": diagnosis.colour, "width": 1.8, "dash": _DASHES[diagnosis.index % len(_DASHES)]
        }  # fmt: skip
        shown = marked_name(diagnosis) if diagnosis else "Malignant against benign"
        figure.add_scatter(
            x=points["x"], y=points["y"], mode="lines", line=style, name=shown,
            hovertemplate=f"{shown}<br>{x} %{{x:.3f}}<br>{y} %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    return _framed(figure, x, y, unit=True).update_layout(height=640)  # the legend takes nine lines on a phone


def reliability_diagram(bins: list[dict[str, Any]]) -> go.Figure:
    """Share of hits against the probability given, with intervals, beside the diagonal of perfect calibration.

    Args:
        bins: each with probability, value (share of hits), interval and images.
    """
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=_REFERENCE, name="perfect", hoverinfo="skip")
    figure.add_scatter(
        x=[b["probability"] for b in bins], y=[b["value"] for b in bins], mode="lines+markers", name="measured",
        line={"color": INK}, error_y=_bars(bins), customdata=[b["images"] for b in bins],
        hovertemplate="given %{x:.3f}<br>true %{y:.3f}<br>%{customdata} images<extra></extra>",
    )  # fmt: skip
    return _framed(figure, "probability given", "share that was so", unit=True)


def decision_curve(curve: dict[str, list[Any]]) -> go.Figure:
    """Net benefit by the risk from which on a referral is worth it, against referring all and no one."""
    risk, low, high = curve["risk"], *zip(*curve["interval"], strict=True)
    figure = go.Figure()
    figure.add_scatter(
        x=[*risk, *risk[::-1]], y=[*high, *low[::-1]], fill="toself", fillcolor="rgba(27,43,52,0.12)",
        line={"width": 0}, name="95 % interval", hoverinfo="skip",
    )  # fmt: skip
    for name, values, style in (
        ("by the model", curve["model"], {"color": INK, "width": 3}),
        ("refer all", curve["all"], {"color": "#8A5A00", "dash": "dash"}),
        ("refer no one", [0.0] * len(risk), {"color": "#4A5B66", "dash": "dot"}),
    ):
        figure.add_scatter(x=risk, y=values, mode="lines", line=style, name=name)
    top = max(*high, 0.02)
    figure = _framed(figure, "risk from which on a referral is worth it", "net benefit")
    return figure.update_yaxes(range=[-0.25 * top, 1.1 * top])


def interval_plot(
    estimates: dict[str, dict[str, Any]], title: str, *, target: float | None = None, low: float = 0.0
) -> go.Figure:
    """Named figures as dots with their intervals, the first on top, on an axis from `low` to 1.

    `target` is drawn as a line to compare with.
    """
    shown = {name: e for name, e in reversed(estimates.items()) if e["value"] is not None}
    figure = go.Figure(
        go.Scatter(
            x=[e["value"] for e in shown.values()], y=list(shown), mode="markers", error_x=_bars(list(shown.values())),
            marker={"color": INK, "size": 9}, hovertemplate="%{y}<br>%{x:.3f}<extra></extra>",
        )
    )  # fmt: skip
    if target is not None:
        figure.add_vline(x=target, line=_REFERENCE)
    figure = _framed(figure, title, "")
    figure.update_xaxes(range=[low - 0.02, 1.02])
    return figure.update_layout(height=90 + 30 * len(shown), showlegend=False)


def training_curves(
    runs: dict[str, list[EpochRecord]], figures: dict[str, str], *, smoothing: float = 0.0
) -> go.Figure:
    """Figures per epoch (field of `EpochRecord` -> label) of trainings over each other: colour by run, dash by figure.

    `smoothing` is the share of what came before in each point, 0 for none.
    """
    figure = go.Figure()
    for number, (name, records) in enumerate(runs.items()):
        for (key, label), dash in zip(figures.items(), _DASHES, strict=False):
            values = _smoothed([getattr(record, key) for record in records], smoothing)
            figure.add_scatter(
                x=[record.epoch for record in records], y=values, mode="lines+markers", marker={"size": 5},
                name=f"{name}: {label}" if len(runs) > 1 else label,
                line={"color": DIAGNOSES[(5 + 3 * number) % 7].colour, "dash": dash},
                hovertemplate=f"epoch %{{x}}<br>{label} %{{y:.4f}}<extra></extra>",
            )  # fmt: skip
    figure = _framed(figure, "epoch", "")
    figure.update_xaxes(rangemode="tozero", tickformat="d")
    return figure.update_layout(height=320, showlegend=True)


def _smoothed(values: list[float | None], share: float) -> list[float | None]:
    """A value that was not measured stays away."""
    smooth: list[float | None] = []
    for value in values:
        before = smooth[-1] if smooth else None
        smooth.append(value if value is None or before is None else share * before + (1 - share) * value)
    return smooth


def confusion(counts: list[list[int]]) -> go.Figure:
    """A confusion matrix (7, 7) of images, true classes in rows, each row coloured by its shares."""
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    figure = go.Figure(
        go.Heatmap(
            z=shares, x=list(CODES), y=list(CODES), text=counts, texttemplate="%{text}", zmin=0, zmax=1,
            showscale=False, colorscale=[[0, "#FFFFFF"], [1, "#5B8DB8"]],
            hovertemplate="true %{y}, predicted %{x}: %{text} images<extra></extra>",
        )
    )  # fmt: skip
    figure = _framed(figure, "", "")
    figure.update_yaxes(autorange="reversed")
    return figure.update_layout(height=300)


def severity_plot(changes: dict[str, list[dict[str, Any]]], title: str) -> go.Figure:
    """Changes of a figure under named conditions of rising severity, the first condition on top.

    Severities differ in size and filling of their dots; the line of no change is drawn.
    """
    names = list(reversed(changes))
    figure = go.Figure()
    for level in range(max(map(len, changes.values()))):
        figure.add_scatter(
            x=[changes[name][level]["value"] for name in names], y=names, mode="markers",
            name=f"severity {level + 1}",
            marker={"color": INK, "size": 7 + 2 * level, "symbol": ("circle-open", "circle", "diamond")[level % 3]},
            hovertemplate="%{y}<br>%{x:+.3f}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line=_REFERENCE)
    return _framed(figure, title, "").update_layout(height=170 + 30 * len(names))


def _bars(estimates: list[dict[str, Any]]) -> dict[str, Any]:
    """Error bars from the values to the ends of their intervals."""
    ends = [e["interval"] or [e["value"], e["value"]] for e in estimates]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - e["value"]) for e, (_, high) in zip(estimates, ends, strict=True)],
        "arrayminus": [max(0.0, e["value"] - low) for e, (low, _) in zip(estimates, ends, strict=True)],
        "color": "#4A5B66",
        "thickness": 1.2,
    }


def _framed(figure: go.Figure, x: str, y: str, *, unit: bool = False) -> go.Figure:
    """The look of a chart with two axes: readable on a phone, the legend below, no zooming by accident."""
    axis = {"gridcolor": _GRID, "zeroline": False, "fixedrange": True, "automargin": True}
    figure.update_xaxes(title=x, **axis, **({"range": [-0.01, 1.01]} if unit else {}))
    figure.update_yaxes(title=y, **axis, **({"range": [-0.01, 1.01]} if unit else {}))
    return figure.update_layout(
        height=460,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": _FONT, "color": INK, "size": 14},
        legend={"orientation": "h", "yanchor": "top", "y": -0.22, "x": 0},
    )
