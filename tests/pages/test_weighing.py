"""The analyse page's reasons to trust an answer and reasons not to, run without a browser."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from test_pages import EVALUATION, SUMMARY, Services, open_page, picture, services, unfolded, upload, words

from skin_model.charts import display_copy
from skin_model.entities import (
    CARE,
    REFUSED,
    Agreement,
    Analysis,
    DecodedImage,
    Finding,
    ModelState,
    NotJudged,
    QualityReport,
    SimilarCase,
)
from skin_model.services import analysis as analysis_service
from skin_model.services import costs, similar, trust
from skin_model.taxonomy import CODES

__all__ = ["services"]  # the fixture

HAIRY = QualityReport((Finding("hair", CARE, "Hair covers much of the picture.", 0.2),))
UNFIT = QualityReport((Finding("unfamiliar", REFUSED, "This is no dermoscopic picture.", 9.0), *HAIRY.findings))
RATE = {"value": 0.9, "interval": [0.85, 0.95]}
POINT = {"threshold": 0.12, "sensitivity": RATE, "melanoma_recall": {"value": 0.92, "interval": [0.86, 0.97]},
         "specificity": {"value": 0.7, "interval": [0.65, 0.75]}}  # fmt: skip
DETAILS = {
    "operating_points": {"sensitive": POINT, "balanced": POINT | {"threshold": 0.3}},
    "prediction_sets": {"mel.coverage": {"value": 0.91, "interval": [0.85, 0.96]}},
    "curves": {"decision": {"risk": [0.1, 0.2], "model": [0.1, 0.05], "interval": [[0.0, 0.2]] * 2, "all": [0.1, 0]}},
}
SETS = {
    "coverage": 0.9,
    "thresholds": dict.fromkeys(CODES, 0.2) | {"vasc": 0.0},
    "lesions": dict.fromkeys(CODES, 50) | {"vasc": 7},
}
CASES = tuple(SimilarCase(f"ISIC_{n}", "mel" if n < 9 else "nv", "histo", 0.9 + n / 100) for n in range(16))


@pytest.fixture
def trusted(services: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    """A model that carries everything that helps to weigh its answers."""
    summary = replace(SUMMARY, evaluation=EVALUATION, details=DETAILS, prediction_sets=SETS)
    services.state = ModelState("ready", summary=summary)
    return services


def gated(services: Services, monkeypatch: pytest.MonkeyPatch, report: QualityReport) -> None:
    """From now on every picture gets this report and the sixteen cases."""
    plain = services.analyse

    def analyse(*, data: bytes) -> Analysis | NotJudged:
        found = replace(plain(data=data), quality=report, similar=CASES)
        if report.outcome != REFUSED:
            return found

        def judge(image: DecodedImage, box: tuple[int, int, int]) -> Analysis:
            return replace(found, image=image, box=box)

        return NotJudged(found.image, found.box, report, found.prediction.model_version, judge)

    monkeypatch.setattr(analysis_service, "analyse", analyse)


def analysed(*unfolded: str) -> AppTest:
    app = open_page("pages/analyse.py")
    for key in unfolded:
        app.session_state[key] = True
    app = upload(app, picture())
    assert not app.exception
    return app


def labels(app: AppTest) -> list[str]:
    return [expander.label for expander in app.expander]


def test_a_refused_picture_gets_its_reason_and_no_answer(trusted: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    gated(trusted, monkeypatch, UNFIT)
    app = analysed()
    text = words(app)
    assert "Not judged" in text
    assert "This is no dermoscopic picture." in text
    assert "Hair" not in text, "what decided, not all that was seen"
    assert "Malignant probability" not in text
    assert not app.get("plotly_chart")
    assert not labels(app)


def test_a_refused_picture_is_judged_all_the_same_on_demand_and_the_warning_stays(
    trusted: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated(trusted, monkeypatch, UNFIT)
    app = analysed()
    button = app.button(key="judge-anyway")
    button.click().run()
    button.click().run()  # as a double press does
    assert not app.exception
    text = words(app)
    assert "Malignant probability **36 %**" in text
    assert "do not rely on this answer" in text
    assert "This is no dermoscopic picture." in text
    assert len(trusted.analysed) == 1
    gated(trusted, monkeypatch, QualityReport())
    text = words(upload(app, picture(shade=60)))
    assert "do not rely" not in text, "the next picture is another one"


def test_where_no_diagnosis_fits_this_is_said_and_none_is_named(
    trusted: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted.promote("strict-1", prediction_sets=SETS | {"thresholds": dict.fromkeys(CODES, 0.9)})
    gated(trusted, monkeypatch, QualityReport())
    app = analysed("certainty")
    assert "How sure is this? No diagnosis fits at this coverage, which is a reason for care" in labels(app)
    text = words(app)
    assert "That rules nothing out" in text
    assert "**cannot be excluded** |" not in text


@pytest.mark.parametrize("status", ["loading", "ready"])
def test_a_refused_picture_is_judged_all_the_same_by_its_own_model_while_another_comes_into_use(
    trusted: Services, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    gated(trusted, monkeypatch, UNFIT)
    app = analysed()
    trusted.promote("some-model-2", network="another")
    if status == "loading":
        trusted.state = ModelState(status)
    app.button(key="judge-anyway").click().run()
    assert not app.exception
    assert bool(app.warning) is (status == "ready")
    assert "`some-model-1` (mobilenet, 224 pixels" in words(unfolded(app))
    assert any(label.startswith("How sure is this?") for label in labels(app)), "its own prediction sets"


def test_a_picture_to_be_used_with_care_says_why_beside_its_answer(
    trusted: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated(trusted, monkeypatch, HAIRY)
    text = words(analysed())
    assert "Use with care.** Hair covers much of the picture." in text
    assert "Malignant probability **36 %**" in text


def test_a_fine_picture_of_a_model_without_extras_shows_no_more_than_before(services: Services) -> None:
    app = analysed()
    text = words(app)
    assert "Use with care" not in text
    assert "cannot be excluded" not in "".join(labels(app))
    assert "Similar confirmed cases: this model carries none." in text


def test_the_page_follows_the_order_of_a_busy_reader(trusted: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    gated(trusted, monkeypatch, HAIRY)
    starts = [
        "How sure", "Deciding", "Why?", "Other explanations", "Outline", "Similar confirmed cases", "Patient",
        "Details",
    ]  # fmt: skip
    assert [label.startswith(start) for label, start in zip(labels(analysed()), starts, strict=True)] == [True] * 8


def test_what_cannot_be_excluded_is_said_in_words_with_the_coverage_that_it_had(
    trusted: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated(trusted, monkeypatch, QualityReport())
    app = analysed("certainty")
    assert any(
        label.endswith("Melanoma and 2 other diagnoses cannot be excluded at 90 % coverage") for label in labels(app)
    )
    text = words(app)
    assert "in 90 of 100 new lesions" in text
    assert "| ▲ Melanoma | 25 % | **cannot be excluded** | 91 (85 to 96) |" in text
    assert "Vascular lesion | 8 % | **cannot be excluded** (never is: too few cases to tell)" in text
    assert "| Dermatofibroma | <1 % | outside the set | not measured |" in text


def test_where_melanoma_is_outside_the_set_it_is_said_how_often_melanomas_were(
    trusted: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = SETS | {"thresholds": dict.fromkeys(CODES, 0.4)}
    trusted.promote("narrow-1", prediction_sets=narrow, details=DETAILS)
    gated(trusted, monkeypatch, QualityReport())
    said = "naevus cannot be excluded at 90 % coverage; melanoma is outside the set, as 9 of 100 melanomas were"
    assert any(label.endswith(said) for label in labels(analysed()))


BENIGN_FIRST = {"mel": 0.04, "bcc": 0.03, "akiec": 0.01, "nv": 0.5, "bkl": 0.42}  # 8 % malignant, below the 12 %


@pytest.mark.parametrize(
    ("thresholds", "label", "box"),
    [
        ({"mel": 0.02, "bcc": 0.02, "nv": 0.4, "bkl": 0.4},
         "Melanoma, Basal cell carcinoma and 2 other diagnoses cannot be excluded at 90 % coverage",
         "malignancy: at 90 % coverage, Melanoma and Basal cell carcinoma cannot be excluded (see \"How sure"),
        ({"bcc": 0.02, "nv": 0.4, "akiec": 0.005},
         "Basal cell carcinoma, Actinic keratosis / Bowen's disease and 1 other diagnosis cannot be excluded at 90 % "
         "coverage; melanoma is outside the set, as 9 of 100 melanomas were",
         "at 90 % coverage, Basal cell carcinoma and Actinic keratosis / Bowen's disease cannot be excluded"),
        ({"bcc": 0.02},
         "Basal cell carcinoma cannot be excluded at 90 % coverage; melanoma is outside the set, as 9 of 100 melanomas "
         "were", "malignancy: at 90 % coverage, Basal cell carcinoma cannot be excluded (see"),
        ({"nv": 0.4, "bkl": 0.4},
         "Melanocytic naevus and 1 other diagnosis cannot be excluded at 90 % coverage; melanoma is outside the set, "
         "as 9 of 100 melanomas were", "This does not rule out malignancy."),
    ],
)  # fmt: skip
def test_every_malignant_diagnosis_that_cannot_be_excluded_is_named_also_below_the_operating_point(
    trusted: Services, monkeypatch: pytest.MonkeyPatch, thresholds: dict[str, float], label: str, box: str
) -> None:
    trusted.probabilities = np.array([BENIGN_FIRST.get(code, 0.0) for code in CODES], np.float32)
    trusted.promote(
        "some-2", prediction_sets=SETS | {"thresholds": dict.fromkeys(CODES, 1.0) | thresholds}, details=DETAILS
    )
    gated(trusted, monkeypatch, QualityReport())
    app = analysed()
    assert f"How sure is this? {label}" in labels(app)
    text = words(app)
    assert "Below the operating point" in text
    assert box in text


def test_the_agreement_of_the_views_is_asked_for_and_kept(trusted: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    gated(trusted, monkeypatch, QualityReport())
    asked: list[str] = []

    def agree(*, analysis: Analysis, patient: Any) -> Agreement:
        asked.append(analysis.image.sha256)
        return Agreement(("nv",) * 5 + ("mel",) * 3, (0.05,) * 2 + (0.4,) * 6, 0.12)

    monkeypatch.setattr(trust, "agreement", agree)
    app = analysed("certainty")
    assert not asked, "views never delay the first answer"
    next(button for button in app.button if "turned views" in button.label).click().run()
    text = words(app)
    assert "Of 8 views, flipped and turned, 5 name Melanocytic naevus first; 6 reach the operating point" in text
    assert "the decision hangs on how the picture is turned" in text
    assert "from 5 % to 40 %" in text
    app.run()
    assert len(asked) == 1
    trusted.promote("some-model-2", prediction_sets=SETS)
    app = upload(app, picture())
    assert "Of 8 views" not in words(app), "those of another model"


def test_operating_points_are_told_in_words_and_at_the_clinics_own_prevalence(
    trusted: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated(trusted, monkeypatch, QualityReport())
    app = analysed("deciding")
    assert "Deciding: at this operating point 92 of 100 melanomas are referred" in labels(app)
    text = words(app)
    assert "12.0 % (in use, for most malignant ones found) | 90 (85 to 95) | 92 (86 to 97) | 30 (25 to 35) |" in text
    app.number_input(key="prevalence").set_value(10.0).run()
    text = words(app)
    # 0.9 x 0.1 found, 0.3 x 0.9 referred in vain; 0.01 missed among 0.64 not referred
    assert "about **25** are malignant, and of 1,000 not referred about **16** are malignant" in text
    assert any(chart.proto.id.endswith("decision-curve") for chart in app.get("plotly_chart"))
    app.number_input(key="prevalence").set_value(0.3).run()
    assert "of 1,000 not referred about **<1** are malignant" in words(app), "none would be a promise"
    app.number_input(key="prevalence").set_value(10.0).run()
    app.session_state["deciding"] = False
    app.run()
    app.session_state["deciding"] = True
    app = upload(app, picture(shade=60))
    assert app.number_input(key="prevalence").value == 10.0, "what a clinic says of itself holds for the next picture"


def test_the_figures_are_those_of_answers_that_knew_as_much_of_the_patient(
    trusted: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(share: float) -> dict[str, Any]:
        rate = {"value": share, "interval": [share - 0.05, share + 0.05]}
        evaluation = EVALUATION | {"malignant": {"sensitivity": share}}
        evaluation["intervals"] = {"malignant.sensitivity": rate["interval"]}
        details = DETAILS | {"operating_points": {"sensitive": POINT | {"sensitivity": rate, "melanoma_recall": rate}}}
        return {"evaluation": evaluation, "details": details | {"prediction_sets": {"mel.coverage": rate}}}

    known = measured(0.6)
    shares = {"age": 0.99, "sex": 0.99, "localization": 0.98}
    known["details"]["patients"] = {"known": shares, "alone": measured(0.8)}
    trusted.promote("told-1", prediction_sets=SETS, **known)
    trusted.takes_patient = True
    gated(trusted, monkeypatch, QualityReport())
    app = analysed("certainty", "deciding")
    assert "(on test pictures judged alone: 80 %, interval 75 to 85)" in words(app)
    assert "Deciding: at this operating point 80 of 100 melanomas are referred" in labels(app)
    assert "| ▲ Melanoma | 25 % | **cannot be excluded** | 80 (75 to 85) |" in words(app)
    next(box for box in app.number_input if box.label == "Age in years").set_value(70).run()
    lacking = "on test pictures with age, sex and site, of which only age is known here"
    assert f"({lacking}: 60 %, interval 55 to 65)" in words(app)
    assert f"how often that came true {lacking}; in the others" in words(app)
    next(box for box in app.selectbox if box.label == "Sex").set_value("male").run()
    assert "with age, sex and site, of which only age and sex are known here: 60 %" in words(app)
    next(box for box in app.selectbox if box.label == "Site of the lesion").set_value("back").run()
    assert "(on test pictures with age, sex and site: 60 %, interval 55 to 65)" in words(app)
    assert "Deciding: at this operating point 60 of 100 melanomas are referred" in labels(app)
    assert "**cannot be excluded** | 60 (55 to 65) |" in words(app)


def cost(app: AppTest, code: str) -> Any:
    return next(box for box in app.number_input if box.key.startswith(f"cost-{code}"))


def setting(app: AppTest) -> Any:
    return next(button for button in app.button if button.label == "Set for everyone")


def test_costs_that_someone_else_has_set_meanwhile_are_shown_and_not_written_over(
    trusted: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path))
    costs.keep(missed={"mel": 40.0, "bcc": 5.0, "akiec": 2.0}, who="first")
    gated(trusted, monkeypatch, QualityReport())
    app = analysed("deciding")
    cost(app, "mel").set_value(30.0)
    theirs = {"mel": 60.0, "bcc": 6.0, "akiec": 3.0}
    costs.keep(missed=theirs, who="colleague")
    setting(app).click().run()
    table = costs.current()
    assert table is not None
    assert (table.missed, table.actor) == (theirs, "colleague")
    assert any("colleague has set the department's costs meanwhile" in info.value for info in app.info)
    assert {code: cost(app, code).value for code in theirs} == theirs
    cost(app, "mel").set_value(30.0)
    setting(app).click().run()
    assert {code: cost(app, code).value for code in theirs} == theirs | {"mel": 30.0}
    assert not app.info


def test_the_departments_costs_are_set_once_for_everyone_and_decide(
    trusted: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path))
    gated(trusted, monkeypatch, QualityReport())
    app = analysed("deciding")
    assert "department's costs" not in words(app)
    setting(app).click().run()
    assert "Give a number from 1 to 1,000 for each of" in app.error[0].value
    assert costs.current() is None
    for code, value in {"mel": 40.0, "bcc": 5.0, "akiec": 2.0}.items():
        cost(app, code).set_value(value)
    setting(app).click().run()
    assert not app.error
    assert "meanwhile" not in "".join(info.value for info in app.info), "it was this user"
    another = analysed("deciding")
    assert "At the department's costs, not referring such lesions costs as much as" in words(another)
    assert "**refer**" in words(another)
    table = costs.current()
    assert table is not None
    assert table.missed == {"mel": 40.0, "bcc": 5.0, "akiec": 2.0}
    costs.keep(missed=table.missed | {"mel": 1000.0}, who="ada")
    dear = re.search(r"costs as much as \*\*([\d,]+)\*\* unneeded", words(analysed("deciding")))
    assert dear, "written out, not as a power of ten"
    assert int(dear[1].replace(",", "")) > 100


def test_similar_cases_stand_beside_the_answer_and_without_their_data_set_as_a_list(
    trusted: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated(trusted, monkeypatch, QualityReport())
    monkeypatch.setattr(similar, "pictures", lambda *, cases, model: {})
    app = analysed("similar")
    assert "Similar confirmed cases: 9 of 16 are Melanoma" in labels(app)
    text = words(app)
    assert "| ▲ Melanoma | 9 | 25 % |" in text
    assert "| Melanocytic naevus | 7 | 45 % |" in text
    assert "| 16 | Melanocytic naevus | histopathology | 1.05 |" in text
    assert "Their pictures are shown where the data set lies on the server" in text


@pytest.mark.parametrize(("nearest", "met"), [(0.1, True), (0.6, False)])
def test_a_picture_that_the_network_has_probably_learned_from_is_said_to_be_one(
    trusted: Services, monkeypatch: pytest.MonkeyPatch, nearest: float, met: bool
) -> None:
    gated(trusted, monkeypatch, QualityReport())
    monkeypatch.setattr(similar, "pictures", lambda *, cases, model: {})
    monkeypatch.setitem(globals(), "CASES", (replace(CASES[0], distance=nearest), *CASES[1:]))
    app = analysed("similar")
    assert any("has probably learned from this lesion" in info.value for info in app.info) is met


def test_pictures_of_similar_cases_show_where_the_data_set_lies(
    trusted: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gated(trusted, monkeypatch, QualityReport())
    for name, data in {"ISIC_0": picture(), "ISIC_1": b"damaged"}.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    paths = {name: tmp_path / f"{name}.png" for name in ("ISIC_0", "ISIC_1", "ISIC_gone")}
    monkeypatch.setattr(similar, "pictures", lambda *, cases, model: paths)
    text = words(analysed("similar"))
    assert text.count("(no picture here)") == 15, "also in place of one that cannot be read"
    assert "histopathology, distance 0.90" in text


def test_the_three_likeliest_each_show_what_speaks_for_them(trusted: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted.empty_map = "bkl"
    gated(trusted, monkeypatch, QualityReport())
    text = words(analysed("top-three"))
    for found in ("**▲ Melanoma**, 25 %", "9 of the 16 most similar", "Nothing in the picture speaks for it."):
        assert found in text


def of_maps(passed: bool) -> dict[str, Any]:
    """What a check of Grad-CAM's maps came to."""
    better = {"value": 0.1, "interval": [0.05, 0.15] if passed else [-0.05, 0.25]}
    return {"gradcam": {"images": 200, "empty": 0, "over_blob": better, "passed": passed}}


def test_beside_the_map_stands_what_it_can_show_and_on_demand_how_it_did_when_measured(
    trusted: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted.promote("checked-1", explanations=of_maps(passed=True))
    gated(trusted, monkeypatch, QualityReport())
    app = analysed("top-three")
    (below, why) = [caption for caption in app.caption if "it cannot outline a structure" in caption.value]
    assert below.help.startswith("Measured on 200 pictures the model never saw")
    assert "Measured on 200 pictures the model never saw" in why.value
    assert not app.warning


def test_maps_that_failed_their_check_say_so_and_are_shown_on_demand_only(
    trusted: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted.promote("checked-2", explanations=of_maps(passed=False))
    gated(trusted, monkeypatch, QualityReport())
    app = analysed("top-three")
    assert "Grad-CAM failed its check on this model" in app.warning[0].value
    assert not trusted.overlaid
    assert words(app).count("No map: see above the picture.") == 3
    assert "strongest" not in words(app), "the legend of a map"
    app.toggle(key="failed-maps").set_value(True).run()
    assert set(trusted.overlaid) == {"nv", "mel", "bkl"}
    assert app.warning
    assert "No map" not in words(app)
    assert upload(app, picture(shade=60)).toggle(key="failed-maps").value


def test_the_users_own_impression_is_asked_for_first_where_that_is_set(
    trusted: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIN_MODEL_ASK_FIRST", "yes")
    gated(trusted, monkeypatch, QualityReport())
    kept: dict[str, str] = {}
    button: Callable[..., bool] = st.download_button
    monkeypatch.setattr(
        st, "download_button", lambda label, data, **rest: kept.update({label: data}) or button(label, data, **rest)
    )
    app = upload(open_page("pages/analyse.py"), picture(), "mel-1.png")
    text = words(app)
    (asked,) = app.get("image")
    assert asked.proto.imgs[0].alt
    assert "mel" not in asked.proto.imgs[0].alt + text, "not even to a screen reader the file's name"
    assert not kept
    assert "Your own impression first" in text
    assert "Malignant probability" not in text
    assert not app.get("plotly_chart")
    assert app.button(key="show-answer").disabled
    app.radio[0].set_value("mel").run()
    app.button(key="show-answer").click().run()
    text = words(app)
    assert "Malignant probability **36 %**" in text
    assert "Your impression:** ▲ Melanoma; the network names Melanocytic naevus first." in text
    unfolded(app)
    assert json.loads(kept["Download JSON"])["own_impression"] == "mel"
    assert [row["own_impression"] for row in csv.DictReader(kept["Download CSV"].splitlines())] == ["mel"] * 7
    assert "Your own impression first" in words(upload(app, picture(shade=60))), "each picture is asked anew"


def test_a_reduced_copy_of_a_refused_picture_is_judged_on_the_same_square() -> None:
    pixels = np.zeros((2400, 3200, 3), np.uint8)
    seen: list[Any] = []
    box = (400, 0, 2400)
    refused = NotJudged(DecodedImage(pixels, "x"), box, UNFIT, "", lambda image, box: seen.append((image, box)))
    display_copy(refused).judge_anyway()
    ((image, box),) = seen
    assert image.pixels.shape == (900, 1200, 3)
    assert box == (150, 0, 900)
