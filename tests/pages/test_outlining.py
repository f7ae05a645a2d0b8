"""The part of the analyse page that unfolds for outline and measurements, run without a browser."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from test_pages import Services, open_page, picture, services, upload, words

from skin_model.entities import CARE, REFUSED, Finding, Measurements, Outline, QualityReport
from skin_model.errors import BundleError
from skin_model.services import analysis, outlining

__all__ = ["services"]  # the fixture

MEASURED = Measurements(
    share=0.214, area=46_224, diameter=301.4, length=290.2, width=202.7, asymmetry=(0.052, 0.113),
    irregularity=1.37, colours={"light brown": 0.31, "dark brown": 0.62}, variegation=11.4,
)  # fmt: skip


@dataclass
class Outlining:
    """Stands in for the service."""

    asked: list[tuple[int, int]] = field(default_factory=list)
    drawn: int = 0
    found: Outline = field(
        default_factory=lambda: Outline(np.eye(120, 180, dtype=bool), MEASURED, "", dice=0.913, poor=0.082)
    )
    fault: Exception | None = None

    def outline(self, *, analysis: Any, uploaded: tuple[int, int]) -> Outline:
        self.asked.append(uploaded)
        if self.fault is not None:
            raise self.fault
        return self.found

    def draw(self, *, analysis: Any, outline: Outline) -> np.ndarray:
        self.drawn += 1
        return analysis.image.pixels


@pytest.fixture
def outlines(services: Services, monkeypatch: pytest.MonkeyPatch) -> Outlining:
    fake = Outlining()
    monkeypatch.setattr(outlining, "outline", fake.outline)
    monkeypatch.setattr(outlining, "draw", fake.draw)
    return fake


def analysed(unfolded: bool = True) -> AppTest:
    app = open_page("pages/analyse.py")
    app.session_state["outline"] = unfolded
    return upload(app, picture())


def test_nothing_is_outlined_before_it_is_unfolded(outlines: Outlining) -> None:
    app = analysed(unfolded=False)
    assert not app.exception
    assert "Outline and measurements of the lesion" in [expander.label for expander in app.expander]
    assert not outlines.asked


def test_the_measurements_stand_beside_the_outline_and_what_they_are_worth(outlines: Outlining) -> None:
    app = analysed()
    assert not app.exception
    assert outlines.drawn == 1
    text = words(app)
    assert "measurements, never a diagnosis" in text
    for said in ("21 % of the picture, 46,224 pixels", "301 pixels", "290 x 203 pixels", "5 % across the long axis",
                 "11 % across the short", "1.37", "2 of 6: dark brown 62 %, light brown 31 %", "11 Delta E",
                 "0.91 (mean Dice", "in 8 % of the pictures"):  # fmt: skip
        assert said in text


def test_lengths_are_of_the_picture_as_uploaded(outlines: Outlining) -> None:
    analysed()
    assert outlines.asked == [(180, 120)]


def test_the_outline_can_be_switched_off_and_is_found_once(outlines: Outlining) -> None:
    app = analysed()
    app.toggle(key="outline-shown").set_value(False).run()
    assert outlines.drawn == 1
    assert "301 pixels" in words(app)
    upload(app, picture(shade=60))
    assert len(outlines.asked) == 2, "once for each picture"


def test_an_outline_that_cannot_be_trusted_gets_a_warning_and_no_numbers(outlines: Outlining) -> None:
    outlines.found = replace(outlines.found, measurements=None, warning="The outline touches the picture's edge.")
    text = words(analysed())
    assert "No measurements.** The outline touches the picture's edge." in text
    assert "Greatest diameter" not in text
    assert "0.91 (mean Dice" in text


def test_where_no_lesion_was_found_there_is_no_outline_to_switch(outlines: Outlining) -> None:
    outlines.found = Outline(np.zeros((120, 180), bool), None, "No lesion was found.", 0.913, 0.082)
    app = analysed()
    assert not app.exception
    assert not [toggle for toggle in app.toggle if toggle.key == "outline-shown"]


def test_a_damaged_segmentation_is_told_in_words(outlines: Outlining) -> None:
    outlines.fault = BundleError("The segmentation was damaged. Restore it.")
    app = analysed()
    assert not app.exception
    assert "Restore it." in app.error[0].value


@pytest.mark.parametrize(("outcome", "offered"), [(CARE, True), (REFUSED, False)])
def test_a_picture_that_is_unfit_to_be_judged_is_not_measured(
    services: Services, outlines: Outlining, monkeypatch: pytest.MonkeyPatch, outcome: str, offered: bool
) -> None:
    report = QualityReport((Finding("blur", outcome, "The picture is blurred.", -2.0),))
    monkeypatch.setattr(analysis, "analyse", lambda *, data: replace(services.analyse(data=data), quality=report))
    app = analysed()
    assert not app.exception
    assert bool(outlines.asked) == offered
    assert ("Outline and measurements of the lesion" in [one.label for one in app.expander]) == offered
