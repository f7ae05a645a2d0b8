"""The pages, run without a browser: what a person reads in each state.

The services are replaced, so that these tests speak of the pages alone and need no trained model.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from skin_model import tracking
from skin_model.entities import (
    Analysis,
    DecodedImage,
    Example,
    Explanation,
    ModelState,
    ModelSummary,
    Patient,
    Prediction,
)
from skin_model.errors import ImageError
from skin_model.services import analysis as analysis_service
from skin_model.services import registry, workspace
from skin_model.taxonomy import BY_CODE, CODES, DIAGNOSES

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["app.py", *(f"pages/{path.name}" for path in sorted((ROOT / "pages").glob("*.py")))]
PROBABILITIES = np.array([0.05, 0.06, 0.1, 0.01, 0.25, 0.45, 0.08], dtype=np.float32)
NOT_READABLE = "This file is not a readable image. Give a JPEG, PNG, TIFF, WebP, BMP or DICOM file."
EVALUATION: dict[str, Any] = {
    "n": 1432, "balanced_accuracy": 0.753, "macro_auc": 0.962,
    "malignant": {"auc": 0.93, "threshold": 0.12, "sensitivity": 0.948, "specificity": 0.652},
    "per_class": {c: {"recall": 0.5 + i / 20, "n": 100 + i} for i, c in enumerate(CODES)} | {"df": None},
    "confusion_matrix": [[40, 9, 1, 0, 0, 0, 0]] * 7,
    "intervals": {"macro_auc": [0.95, 0.97], "malignant.sensitivity": [0.92, 0.97], "unit": "lesion"},
}  # fmt: skip
FIRST = registry.Version(1, "some-model-1", "champion", False, "")
SUMMARY = ModelSummary("some-model-1", "mobilenet", 224, 4, 0.12, 0.95, EVALUATION, "# Card of some-model")


@dataclass
class Services:
    """What stands in for the services; a test sets what it needs before or between two runs of a page."""

    state: ModelState = ModelState("ready", summary=SUMMARY)  # noqa: RUF009  # frozen
    probabilities: np.ndarray = field(default_factory=PROBABILITIES.copy)
    empty_map: str | None = None
    notes: tuple[str, ...] = ()
    examples: list[Example] = field(default_factory=list)
    analysed: list[bytes] = field(default_factory=list)
    overlaid: list[str] = field(default_factory=list)
    fault: Exception | None = None
    takes_patient: bool = False
    version: str = SUMMARY.version

    def promote(self, version: str, **more: Any) -> None:
        self.version, self.state = version, ModelState("ready", summary=replace(SUMMARY, version=version, **more))

    def answer(self, patient: Patient) -> Prediction:
        """Older patients have more melanomas."""
        odds = self.probabilities * np.where(np.array(CODES) == "mel", 1 + (patient.age or 0) / 10, 1)
        return Prediction((odds / odds.sum()).astype(np.float32), 0.12, self.version)

    def analyse(self, *, data: bytes) -> Analysis:
        self.analysed.append(data)
        if self.fault is not None:
            raise self.fault
        if not data.startswith(b"\x89PNG"):
            raise ImageError(NOT_READABLE)
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        ramp = np.linspace(0, 1, 49, dtype=np.float32).reshape(7, 7)
        maps = {c: Explanation("Grad-CAM", c, ramp * (c != self.empty_map)) for c in CODES}
        image = DecodedImage(pixels, hashlib.sha256(data).hexdigest(), self.notes)
        answer = self.answer if self.takes_patient else None
        return Analysis(image, (30, 0, 120), Prediction(self.probabilities, 0.12, self.version), maps, answer)

    def overlay(self, *, analysis: Analysis, target: str, opacity: float = 0.45) -> np.ndarray:
        self.overlaid.append(target)
        return analysis.image.pixels


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    fake = Services()
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(workspace, "model_state", lambda: fake.state)
    monkeypatch.setattr(analysis_service, "analyse", fake.analyse)
    monkeypatch.setattr(analysis_service, "overlay", fake.overlay)
    monkeypatch.setattr(analysis_service, "examples", lambda: fake.examples)
    monkeypatch.setattr(registry, "versions", lambda: [FIRST])
    return fake


def open_page(page: str) -> AppTest:
    """A page opened by its own address, app.py not having run."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    return (app if page == "app.py" else app.switch_page(page)).run()


def words(app: AppTest) -> str:
    """Everything that is written on the page."""
    shown = [*app.title, *app.header, *app.markdown, *app.caption, *app.error, *app.info, *app.get("html")]
    texts = [getattr(element, "value", None) or element.proto.body for element in shown]
    texts += [f"{metric.label} {metric.value}" for metric in app.metric]
    return "\n".join(texts).replace("\N{NO-BREAK SPACE}", " ")


def picture(shade: int = 120) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (180, 120), (shade, 90, 80)).save(file, "PNG")
    return file.getvalue()


def unfolded(app: AppTest) -> AppTest:
    """The same with the details unfolded."""
    app.session_state["details"] = True
    return app.run()


def upload(app: AppTest, data: bytes, name: str = "lesion.png") -> AppTest:
    return app.file_uploader[0].upload(name, data, "image/png").run()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("status", ["ready", "loading", "failed"])
def test_every_page_opened_cold_shows_the_disclaimer_in_every_state(services: Services, page: str, status: str) -> None:
    services.state = ModelState(status, "The model's file is damaged.", SUMMARY if status == "ready" else None)
    app = open_page(page)
    assert not app.exception
    text = words(app).lower()
    for part in (
        "assistive only",
        "not a diagnosis",
        "not cleared as a medical device",
        "research and education",
    ):
        assert part in text


def test_a_run_that_is_broken_off_while_analysing_loses_no_picture(services: Services) -> None:
    app = open_page("pages/analyse.py")
    analyse, calls = services.analyse, []

    def broken_off_once(*, data: bytes) -> Analysis:
        calls.append(data)
        if len(calls) == 1:  # as Streamlit does where another run is asked for meanwhile
            st.rerun()
        return analyse(data=data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis_service, "analyse", broken_off_once)
        upload(app, picture())
    assert calls == [picture(), picture()]
    assert not app.error
    assert "Malignant probability" in words(app)


def test_an_answer_stands_beside_the_model_that_gave_it_though_it_came_into_use_meanwhile(services: Services) -> None:
    app, analyse = open_page("pages/analyse.py"), services.analyse

    def promoted_meanwhile(*, data: bytes) -> Analysis:
        services.promote("some-model-2", network="another")
        return analyse(data=data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis_service, "analyse", promoted_meanwhile)
        upload(app, picture())
    assert not app.exception
    assert "`some-model-2` (another, 224 pixels" in words(unfolded(app))
    assert not app.warning


def test_an_answer_by_a_model_that_is_in_use_no_more_says_so(services: Services) -> None:
    app = upload(open_page("pages/analyse.py"), picture())
    assert not app.warning
    services.promote("some-model-2")
    said = "This answer is by some-model-1; some-model-2 has come into use since."
    assert said in app.run().warning[0].value
    assert not upload(app, picture(shade=60)).warning


def test_a_picture_whose_model_is_not_known_any_more_is_asked_for_again(services: Services) -> None:
    services.version = "some-model-0"
    app = upload(open_page("pages/analyse.py"), picture())
    assert "Another model came into use while this picture was judged" in app.error[0].value
    assert "Malignant probability" not in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_failed_model_is_explained_and_nothing_can_be_analysed(services: Services, page: str) -> None:
    services.state = ModelState("failed", "The model's file is damaged; put the bundle back.")
    app = open_page(page)
    assert "The model's file is damaged; put the bundle back." in app.error[0].value
    assert not app.file_uploader
    assert not services.analysed
    assert page == "pages/training.py" or not app.button  # a better model can still be trained


@pytest.mark.parametrize("page", PAGES)
def test_a_damaged_record_is_explained_on_every_page(
    page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path))
    monkeypatch.setattr(tracking, "versions", lambda: [FIRST])
    (tmp_path / "record.db").write_bytes(b"this is no database, or no longer one " * 200)
    app = open_page(page)
    assert not app.exception
    assert not app.file_uploader
    for error in app.error:
        assert f"{tmp_path / 'record.db'} is damaged (file is not a database). Restore it from a backup" in error.value
    assert app.error


def test_the_home_page_says_how_good_the_model_is_with_intervals_and_numbers_of_images(
    services: Services,
) -> None:
    text = words(open_page("app.py"))
    assert "some-model-1" in text
    assert "1,432 test pictures" in text
    assert "95 of 100" in text
    assert "(92 to 97)" in text
    assert "(0.95 to 0.97)" in text
    assert "Of 100 melanomas in the test part, 70 are named melanoma" in text
    for diagnosis in DIAGNOSES:
        assert diagnosis.name in text
    assert "not in the test part" in text
    assert "# Card of some-model" in text


def test_the_home_page_shows_how_good_a_first_answer_is_and_beside_it_what_knowing_the_patient_changes(
    services: Services,
) -> None:
    assert "judged alone" not in words(open_page("app.py")), "nothing is claimed where it was not told apart"
    alone = EVALUATION | {
        "malignant": {"sensitivity": 0.88, "specificity": 0.71},
        "per_class": EVALUATION["per_class"] | {"mel": {"recall": 0.61, "n": 104}},
        "intervals": {"malignant.sensitivity": [0.84, 0.91], "unit": "lesion"},
    }
    services.promote("told-1", details={"patients": {"alone": {"evaluation": alone, "details": {}}}})
    app = open_page("app.py")
    assert [metric.value for metric in app.metric[:2]] == ["88 of 100", "71 of 100"]
    text = words(app)
    assert "1,432 test pictures of lesions kept out of its training, each judged alone, as in a first answer" in text
    assert "(84 to 91) pictures of malignant" in text
    assert "With age, sex and site: 95 of 100 (92 to 97)" in text
    assert "Of 100 melanomas in the test part, 61 are named melanoma" in text


def test_a_model_without_evaluation_is_shown_without_invented_figures(services: Services) -> None:
    bare = ModelSummary("bare-1", "mobilenet", 224, 1, 0.5, 0.95, {}, "card")
    services.state = ModelState("ready", summary=bare)
    app = open_page("app.py")
    assert not app.exception
    assert not app.metric
    assert "No evaluation came with this model" in words(app)


def test_the_home_page_comes_up_while_the_model_loads_and_fills_in_once_it_is_ready(
    services: Services,
) -> None:
    services.state = ModelState("loading")
    app = open_page("app.py")
    assert "The model is loading" in words(app)
    services.state = ModelState("ready", summary=SUMMARY)
    app.run()
    assert "is loading" not in words(app)
    assert app.metric


def test_an_upload_shows_decision_seven_names_and_their_probabilities(services: Services) -> None:
    app = unfolded(upload(open_page("pages/analyse.py"), picture()))
    assert not app.exception
    text = words(app)
    assert "Refer" in app.header[0].value
    assert "Malignant probability **36 %** reaches the operating point of 12 %" in text
    assert "95 % of malignant pictures (on test pictures: 95 %, interval 92 to 97)" in text
    assert "enter them below" not in text, "a model that judges pictures alone"
    (chart,) = app.get("plotly_chart")
    (bars,) = json.loads(chart.proto.spec)["data"]
    assert set(bars["y"]) == {d.name for d in DIAGNOSES}
    exact = [float(row.split("|")[3]) for row in text.splitlines() if row.startswith("| ") and "benign" in row]
    assert exact == pytest.approx([0.1, 0.01, 0.45, 0.08])


def test_a_low_malignant_probability_is_not_taken_for_the_all_clear(services: Services) -> None:
    services.probabilities = np.array([0.001, 0.001, 0.1, 0.1, 0.001, 0.697, 0.1], dtype=np.float32)
    text = words(upload(open_page("pages/analyse.py"), picture()))
    assert "Malignant probability **<1 %** does not reach the operating point of 12 %" in text
    assert "does not rule out malignancy" in text


def test_a_probability_close_to_the_operating_point_is_written_so_that_they_differ(
    services: Services,
) -> None:
    services.probabilities = np.array([0.039, 0.04, 0.2, 0.2, 0.04, 0.281, 0.2], dtype=np.float32)
    text = words(upload(open_page("pages/analyse.py"), picture()))
    assert "**11.9 %** does not reach the operating point of 12.0 %" in text


def test_also_the_picture_alone_is_never_written_as_the_operating_point_that_it_does_not_reach(
    services: Services,
) -> None:
    services.takes_patient = True
    services.probabilities = np.array([0.039, 0.04, 0.2, 0.2, 0.04, 0.281, 0.2], dtype=np.float32)
    app = upload(open_page("pages/analyse.py"), picture())
    app.number_input[0].set_value(30).run()
    assert "The picture alone: 11.9 % malignant (below the operating point)" in words(app)


def test_the_map_of_the_most_likely_class_comes_first_and_another_can_be_chosen(services: Services) -> None:
    app = upload(open_page("pages/analyse.py"), picture())
    assert app.selectbox[0].value == "nv"
    assert "nv" in services.overlaid
    app.selectbox[0].set_value("mel").run()
    app.slider[0].set_value(80).run()
    assert "mel" in services.overlaid
    assert len(services.analysed) == 1, "choosing a map must not run the network again"


def test_a_map_without_evidence_says_so(services: Services) -> None:
    services.empty_map = "nv"
    app = upload(open_page("pages/analyse.py"), picture())
    assert "Nothing in the picture speaks for this class (Melanocytic naevus)" in app.info[0].value


def test_notes_of_the_decoder_are_shown(services: Services) -> None:
    services.notes = ("Only the first frame of this animation was analysed.",)
    assert services.notes[0] in words(upload(open_page("pages/analyse.py"), picture()))


def test_a_bad_file_gets_the_sentence_of_the_error_and_no_traceback(services: Services) -> None:
    app = upload(open_page("pages/analyse.py"), b"plain text", "note.jpg")
    assert not app.exception
    assert NOT_READABLE in app.error[0].value
    assert "note.jpg" in app.error[0].value
    assert "operating point" not in words(app)


def test_an_unexpected_fault_is_told_without_its_details_and_the_next_picture_works(services: Services) -> None:
    services.fault = RuntimeError("secret /path/in/the/server")
    app = upload(open_page("pages/analyse.py"), picture())
    assert not app.exception
    assert "nothing was judged" in app.error[0].value
    assert "secret" not in words(app)
    services.fault = None
    assert "operating point" in words(upload(app, picture()))


def test_a_bad_file_after_a_good_one_takes_the_earlier_result_off_the_page(services: Services) -> None:
    app = upload(open_page("pages/analyse.py"), picture())
    app = upload(app, b"plain text", "note.jpg")
    assert app.error
    assert "operating point" not in words(app)
    app = upload(app, picture())
    assert not app.error
    assert "operating point" in words(app)


@pytest.fixture
def waited(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model that loads for as long as nobody waits for it; what the page says beside each wait."""
    services.state, ready = ModelState("loading"), services.state
    analyse, told = services.analyse, []

    def analyse_once_loaded(*, data: bytes) -> Analysis:
        services.state = ready
        return analyse(data=data)

    def spinner(text: str) -> AbstractContextManager[None]:
        told.append(text)
        return nullcontext()

    monkeypatch.setattr(analysis_service, "analyse", analyse_once_loaded)
    monkeypatch.setattr(st, "spinner", spinner)
    return told


def test_a_picture_given_while_the_model_loads_is_analysed_once_it_is_ready(
    services: Services, waited: list[str]
) -> None:
    app = open_page("pages/analyse.py")
    assert not waited
    app = upload(app, picture())
    assert "still loading" in waited[0]
    assert len(services.analysed) == 1
    assert "operating point" in words(app)
    upload(app, picture(shade=60))
    assert "loading" not in waited[1]


def test_an_example_chosen_while_the_model_loads_is_judged_once_it_is_ready(
    services: Services, waited: list[str], tmp_path: Path
) -> None:
    (tmp_path / "first.png").write_bytes(picture())
    services.examples = [Example("first", tmp_path / "first.png", "vasc", synthetic=True)]
    app = open_page("pages/analyse.py")
    app.button(key="example-1").click().run()
    assert "still loading" in waited[0]
    assert len(services.analysed) == 1
    assert "operating point" in words(app)


def test_the_particulars_of_one_patient_never_stand_beside_the_next_picture(services: Services) -> None:
    app = upload(open_page("pages/analyse.py"), picture())
    app.number_input[0].set_value(54).run()
    app.selectbox[1].set_value("female").run()
    assert "54 years, female" in words(app)
    app = upload(app, picture(shade=60))
    assert app.number_input[0].value is None
    assert "54 years" not in words(app)
    assert len(services.analysed) == 2


def test_a_model_that_takes_the_patient_shows_its_answer_with_and_without_one(services: Services) -> None:
    services.takes_patient = True
    services.probabilities = np.array([0.01, 0.01, 0.02, 0.01, 0.05, 0.89, 0.01], dtype=np.float32)
    app = upload(open_page("pages/analyse.py"), picture())
    assert "Below the operating point" in words(app)
    asked = "Age, sex and site count too: enter them below."
    assert asked in words(app)
    assert "takes the patient into account" not in words(app)
    app.number_input[0].set_value(80).run()
    text = words(app)
    assert asked not in text
    assert "Refer" in text
    assert "Below the operating point" not in text
    assert "takes the patient into account: 80 years. The picture alone: 7 % malignant (below the operating" in text
    assert not any("%" in option for option in app.selectbox[0].options), "they would stay those without the patient"
    assert len(services.analysed) == 1


def test_a_look_at_another_page_leaves_the_patient_and_so_the_answer(services: Services) -> None:
    services.takes_patient = True
    app = upload(open_page("pages/analyse.py"), picture())
    app.number_input[0].set_value(80).run()
    app.selectbox[1].set_value("male").run()
    answer = app.header[0].value, app.markdown[1].value
    app.switch_page("pages/models.py").run()
    assert not app.number_input
    app.switch_page("pages/analyse.py").run()
    assert "takes the patient into account: 80 years, male" in words(app)
    assert (app.number_input[0].value, app.selectbox[1].value) == (80, "male")
    assert (app.header[0].value, app.markdown[1].value) == answer
    app.number_input[0].set_value(None).run()
    assert "takes the patient into account: male" in words(app), "what was taken back stays away"
    app = upload(app, picture(shade=60))
    assert "takes the patient into account" not in words(app)
    app = upload(app, picture())
    assert "takes the patient into account" not in words(app), "kept for the picture on the page alone"


def test_a_look_at_another_page_leaves_the_map_that_was_chosen(services: Services) -> None:
    app = upload(open_page("pages/analyse.py"), picture())
    chosen = app.selectbox[0].options[2]
    app.selectbox[0].select(chosen).run()
    app.slider[0].set_value(80).run()
    app.switch_page("pages/models.py").run()
    app.switch_page("pages/analyse.py").run()
    assert (BY_CODE[app.selectbox[0].value].name, app.slider[0].value) == (chosen, 80)
    app = upload(app, picture(shade=60))
    assert (BY_CODE[app.selectbox[0].value].name, app.slider[0].value) == (app.selectbox[0].options[0], 80)


@pytest.mark.parametrize("takes_patient", [True, False])
def test_below_the_operating_point_the_page_says_where_the_model_misses_more_in_patients_like_this(
    services: Services, takes_patient: bool
) -> None:
    details = {
        "operating_points": {"sensitive": {"sensitivity": {"value": 0.93, "interval": [0.9, 0.96]}}},
        "subgroups": [
            {
                "factor": "age",
                "level": "30 to 44",
                "malignant_lesions": 14,
                "sensitivity": {"value": 0.68, "interval": [0.44, 0.9]},
            },
            {
                "factor": "age",
                "level": "75 and older",
                "malignant_lesions": 50,
                "sensitivity": {"value": 0.96, "interval": [0.92, 1.0]},
            },
        ],
    }
    services.state = ModelState("ready", summary=replace(SUMMARY, details=details))
    services.takes_patient = takes_patient
    services.probabilities = np.array([0.01, 0.01, 0.02, 0.01, 0.0, 0.94, 0.01], dtype=np.float32)
    app = upload(open_page("pages/analyse.py"), picture())
    assert "misses more" not in words(app)
    assert "The model was found to miss more in some patients, and whether this is one was not" in words(app)
    assert "entered: patients aged 30 to 44." in words(app)
    app.number_input[0].set_value(35).run()
    assert "referred only 68 % (interval 44 to 90) in patients aged 30 to 44; of all 93 %." in words(app)
    app.number_input[0].set_value(80).run()
    assert "Below the operating point" in words(app)
    assert "misses more" not in words(app)
    assert "miss more" not in words(app)


@pytest.mark.parametrize("synthetic", [True, False])
def test_an_example_is_labelled_and_names_its_diagnosis_only_with_the_result(
    services: Services, synthetic: bool, tmp_path: Path
) -> None:
    (tmp_path / "first.png").write_bytes(picture())
    services.examples = [Example("first", tmp_path / "first.png", "vasc", synthetic)]
    app = open_page("pages/analyse.py")
    assert ("synthetic" in words(app)) is synthetic
    assert "Vascular lesion" not in words(app)
    app.button(key="example-1").click().run()
    assert services.analysed == [picture()]
    said = "drawn to resemble: Vascular" if synthetic else "Diagnosis given by the data set: Vascular"
    assert said in words(app)


@pytest.mark.parametrize("name", ["first.dcm", "first.png"])
def test_an_example_that_no_browser_shows_leaves_the_page_usable(services: Services, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"neither a DICOM nor a picture")
    services.examples = [Example("first", tmp_path / name, "vasc", False)]
    app = open_page("pages/analyse.py")
    assert "(cannot be shown)" in words(app)
    assert "Malignant probability" in words(upload(app, picture()))


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the page offers to download, by the button's label."""
    contents: dict[str, str] = {}
    original: Callable[..., bool] = st.download_button
    monkeypatch.setattr(
        st, "download_button",
        lambda label, data, **rest: contents.update({label: data}) or original(label, data, **rest),
    )  # fmt: skip
    return contents


def test_the_download_holds_the_exact_probabilities_and_the_patient(
    services: Services, downloads: dict[str, str]
) -> None:
    app = upload(open_page("pages/analyse.py"), picture())
    app.number_input[0].set_value(71).run()
    assert not downloads, "nothing is made before it is unfolded"
    unfolded(app)
    record = json.loads(downloads["Download JSON"])
    assert record["probabilities"] == {c: float(p) for c, p in zip(CODES, PROBABILITIES, strict=True)}
    assert record["sha256"] == hashlib.sha256(picture()).hexdigest()
    assert record["patient"]["age"] == 71
    assert record["refer"] is True
    table = [line.split(",") for line in downloads["Download CSV"].splitlines()]
    assert [row[0] for row in table[1:]] == list(CODES)
    assert sum(float(row[3]) for row in table[1:]) == pytest.approx(1)
    assert "not a diagnosis" in table[1][-1]
    for row in csv.DictReader(io.StringIO(downloads["Download CSV"])):
        assert (row["age"], row["sex"], row["patient_taken_into_account"]) == ("71", "", "False")
        assert (row["judged_although_unfit"], row["synthetic_example"]) == ("False", "False")


def test_the_download_of_a_drawn_example_says_that_it_is_one(
    services: Services, downloads: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "mel-1.png").write_bytes(picture())
    services.examples = [Example("mel-1", tmp_path / "mel-1.png", "mel", True)]
    app = open_page("pages/analyse.py")
    app.button(key="example-1").click().run()
    unfolded(app)
    assert json.loads(downloads["Download JSON"])["synthetic_example"] is True
    rows = csv.DictReader(io.StringIO(downloads["Download CSV"]))
    assert {row["synthetic_example"] for row in rows} == {"True"}


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@SUM(1).png", "lesion-1.png"])
def test_a_files_name_is_no_formula_to_a_spreadsheet(services: Services, downloads: dict[str, str], name: str) -> None:
    unfolded(upload(open_page("pages/analyse.py"), picture(), name))
    rows = list(csv.DictReader(io.StringIO(downloads["Download CSV"])))
    assert {row["image"] for row in rows} == {name if name == "lesion-1.png" else f"'{name}"}
    assert json.loads(downloads["Download JSON"])["image"] == name
