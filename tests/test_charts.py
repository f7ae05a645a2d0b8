"""Charts: what a reader would misread if it were wrong."""

import base64
from dataclasses import replace

import cv2
import numpy as np
import plotly.graph_objects as go
import pytest

from skin_model import charts
from skin_model.entities import Analysis, DecodedImage, Prediction
from skin_model.taxonomy import BY_CODE, DIAGNOSES

PREDICTION = Prediction(np.array([0.05, 0.004, 0.1, 0.02, 0.3, 0.5, 0.026], dtype=np.float32), 0.2, "some-model")


@pytest.mark.parametrize(
    ("value", "digits", "words"),
    [
        (0.34, 0, "34 %"), (0.0, 0, "0 %"), (1.0, 0, "100 %"), (0.004, 0, "<1 %"), (0.996, 0, ">99 %"),
        (0.118, 1, "11.8 %"), (0.0004, 1, "<0.1 %"), (0.9996, 1, ">99.9 %"), (0.01, 0, "1 %"),
        (0.99, 0, "99 %"),
    ],
)  # fmt: skip
def test_a_percentage_never_claims_certainty_that_is_not_there(value: float, digits: int, words: str) -> None:
    assert charts.percent(value, digits=digits).replace("\N{NO-BREAK SPACE}", " ") == words


def test_each_bar_carries_the_exact_probability_of_the_diagnosis_it_names() -> None:
    (bars,) = charts.probability_bars(PREDICTION).data
    expected = {d.name: float(PREDICTION.probabilities[d.index]) for d in DIAGNOSES}
    assert dict(zip(bars.y, bars.x, strict=True)) == expected


def test_the_pointer_over_a_bar_reads_the_percentage_that_stands_beside_it() -> None:
    (bars,) = charts.probability_bars(PREDICTION).data
    written = {name: text.replace("\N{NO-BREAK SPACE}", " ") for name, text in zip(bars.y, bars.text, strict=True)}
    assert written["Basal cell carcinoma"] == "<1 %"
    assert written["Melanoma"] == "30 %"
    assert "%{text}" in bars.hovertemplate
    assert "%{x" not in bars.hovertemplate, "more digits than the model knows"


def test_the_most_likely_diagnosis_stands_on_top_and_its_name_is_emphasised() -> None:
    figure = charts.probability_bars(PREDICTION)
    assert list(figure.data[0].x) == sorted(figure.data[0].x)  # Plotly draws the last category on top
    top = max(figure.layout.annotations, key=lambda note: note.y)
    assert top.text == "<b>Melanocytic naevus</b>"


def test_every_name_stands_at_its_own_bar() -> None:
    figure = charts.probability_bars(PREDICTION)
    for position, name in enumerate(figure.data[0].y):
        (note,) = [note for note in figure.layout.annotations if note.y == position]
        assert name in note.text


def test_malignant_classes_are_told_apart_without_colour() -> None:
    figure = charts.probability_bars(PREDICTION)
    hatched = {n for n, s in zip(figure.data[0].y, figure.data[0].marker.pattern.shape, strict=True) if s}
    marked = {note.text.split(charts.MALIGNANT_MARK)[1].strip() for note in figure.layout.annotations
              if charts.MALIGNANT_MARK in note.text}  # fmt: skip
    assert hatched == marked == {BY_CODE[code].name for code in ("akiec", "bcc", "mel")}


def _analysis(height: int, width: int) -> Analysis:
    """A picture that is white in its judged square and black elsewhere."""
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[top : top + side, left : left + side] = 255
    return Analysis(DecodedImage(pixels, "0" * 64), (left, top, side), PREDICTION, {})


@pytest.mark.parametrize(("height", "width"), [(3000, 4000), (4000, 3000), (2400, 2401), (1300, 5000)])
def test_the_frame_still_holds_the_judged_square_after_the_picture_was_reduced(height: int, width: int) -> None:
    shown = charts.display_copy(_analysis(height, width))
    left, top, side = shown.box
    assert max(shown.image.pixels.shape[:2]) == charts.DISPLAY_SIDE
    square = shown.image.pixels[top : top + side, left : left + side]
    assert square.shape[:2] == (side, side)
    assert square[2:-2, 2:-2].min() == 255
    outside = shown.image.pixels.astype(int).sum() - square.astype(int).sum()
    assert outside <= 2 * 2 * side * 3 * 255  # at most two rows or columns lost on either side


def test_a_picture_that_fits_the_screen_is_shown_as_it_is() -> None:
    analysis = _analysis(450, 600)
    assert charts.display_copy(analysis) is analysis


def test_only_picture_and_frame_change_when_a_picture_is_reduced() -> None:
    analysis = _analysis(3000, 4000)
    shown = charts.display_copy(analysis)
    assert replace(shown, image=analysis.image, box=analysis.box) == analysis
    assert shown.image.sha256 == analysis.image.sha256


def test_an_image_for_the_page_keeps_its_colours() -> None:
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    image[:, :30], image[:, 30:] = (200, 40, 30), (20, 60, 180)
    head, data = charts.image_data_uri(image).split(",")
    assert head == "data:image/jpeg;base64"
    read = cv2.cvtColor(
        cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
    )
    assert np.abs(read[:, [5, 55]].astype(int) - image[:, [5, 55]]).max() < 12


CURVES = {"malignant": {"x": [0.0, 0.2, 1.0], "y": [0.0, 0.9, 1.0]}, "mel": {"x": [0.0, 1.0], "y": [0.0, 1.0]}}


def _drawn_by_name(figure: go.Figure) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in figure.data}


def test_a_curve_passes_through_its_points_under_the_name_of_its_class() -> None:
    traces = _drawn_by_name(charts.rate_curves(CURVES, "false positive rate", "true positive rate", chance=True))
    assert set(traces) == {"chance", "Malignant against benign", charts.marked_name(BY_CODE["mel"])}
    assert list(traces["Malignant against benign"].y) == CURVES["malignant"]["y"]
    assert set(_drawn_by_name(charts.rate_curves(CURVES, "recall", "precision"))) == set(traces) - {"chance"}


def test_no_two_classes_have_the_same_colour_and_dash() -> None:
    figure = charts.rate_curves({d.code: CURVES["mel"] for d in DIAGNOSES}, "x", "y")
    assert len({(trace.line.color, trace.line.dash) for trace in figure.data}) == len(DIAGNOSES)
    assert len({trace.line.dash for trace in figure.data}) > 1


def test_the_reliability_diagram_shows_shares_with_their_intervals_beside_the_diagonal() -> None:
    bins = [
        {"probability": 0.2, "value": 0.3, "interval": [0.1, 0.4], "images": 40},
        {"probability": 0.9, "value": 0.8, "interval": None, "images": 1},
    ]
    traces = _drawn_by_name(charts.reliability_diagram(bins))
    assert list(traces["perfect"].x) == list(traces["perfect"].y)
    measured = traces["measured"]
    assert (list(measured.x), list(measured.y)) == ([0.2, 0.9], [0.3, 0.8])
    assert list(measured.error_y.array) == pytest.approx([0.1, 0])
    assert list(measured.error_y.arrayminus) == pytest.approx([0.2, 0])


def test_the_decision_curve_compares_the_model_with_referring_all_and_no_one() -> None:
    curve = {"risk": [0.1, 0.2], "model": [0.15, 0.1], "interval": [[0.1, 0.2], [0.05, 0.15]], "all": [0.12, -0.3]}
    traces = _drawn_by_name(charts.decision_curve(curve))
    assert list(traces["by the model"].y) == curve["model"]
    assert list(traces["refer all"].y) == curve["all"]
    assert list(traces["refer no one"].y) == [0, 0]


def test_an_interval_plot_names_the_first_figure_on_top_and_leaves_out_what_is_not_defined() -> None:
    estimates = {
        "first": {"value": 0.9, "interval": [0.8, 0.95]},
        "none": {"value": None, "interval": None},
        "last": {"value": 0.5, "interval": [0.5, 0.5]},
    }
    figure = charts.interval_plot(estimates, "coverage", target=0.9)
    (dots,) = figure.data
    assert list(dots.y) == ["last", "first"]  # Plotly draws the last category on top
    assert list(dots.x) == [0.5, 0.9]
    assert list(dots.error_x.arrayminus) == pytest.approx([0, 0.1])
    assert figure.layout.shapes[0].x0 == 0.9


def test_changes_under_corruptions_stand_at_their_condition_one_trace_for_each_severity() -> None:
    changes = {"hair": [{"value": -0.1}, {"value": -0.2}], "ink": [{"value": 0.0}, {"value": None}]}
    mild, harsh = charts.severity_plot(changes, "change").data
    assert dict(zip(harsh.y, harsh.x, strict=True)) == {"hair": -0.2, "ink": None}
    assert mild.y[-1] == "hair"  # the last one is drawn on top
    assert mild.marker.symbol != harsh.marker.symbol
