"""The training and models pages without a browser, worker or registry: the services are replaced."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from skin_model.entities import DataSet, Job, ModelState, Promotion
from skin_model.errors import ConfigurationError, DatasetError, StoreError
from skin_model.recipe import EpochRecord, TrainingConfig
from skin_model.services import orders, plans, registered, registry, workspace
from skin_model.taxonomy import CODES

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)
PARTS = {part: {code: [9, 7] for code in CODES} for part in ("calibration", "fold0", "fold1", "test")}
DATA = DataSet(
    3, "Ward 7", Path("/data/ward"), "", "ab" * 32,
    {"images": 252, "lesions": 196, "parts": PARTS, "ages": {"40": 9}, "sexes": {"male": 9}, "sites": {"back": 9},
     "problems": ["2 ages are missing."]}, False, NOW, "ada",
)  # fmt: skip


def job(name: str, state: str, kind: str = "train", **more: Any) -> Job:
    order = {"name": name, "actor": "ada", "data": "Ward 7", "data_set": 3, "views": 4,
             "config": asdict(TrainingConfig()), "images": {"validation": 63}}  # fmt: skip
    return Job(name, kind, state, order, created=NOW, worker="here-0", **more)


def record(epoch: int) -> EpochRecord:
    known = dict.fromkeys((f.name for f in fields(EpochRecord)), 0.5)
    return EpochRecord(**(known | {"epoch": epoch, "loss": 1 / epoch}))


@dataclass
class Fake:
    """What stands in for the services; a test looks here for what was asked of them."""

    data: list[DataSet] = field(default_factory=lambda: [DATA])
    jobs: list[Job] = field(default_factory=list)
    parts: list[Job] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    fault: Exception | None = None

    def note(self, what: str) -> Callable[..., Any]:
        def act(**given: Any) -> Any:
            if self.fault:
                raise self.fault
            self.asked.append((what, given))
            return DATA

        return act


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(workspace, "model_state", lambda: ModelState("loading"))
    monkeypatch.setattr(registered, "data_sets", lambda: fake.data)
    monkeypatch.setattr(registered, "actor", lambda: "ada")
    monkeypatch.setattr(registered, "register", fake.note("register"))
    monkeypatch.setattr(orders, "jobs", lambda: fake.jobs)
    monkeypatch.setattr(orders, "history", lambda job: [record(1), record(2)])
    monkeypatch.setattr(orders, "starting_weights", lambda: {"new (random)": None})
    for name in ("submit", "rehearse", "cancel", "resume", "delete"):
        monkeypatch.setattr(orders, name, fake.note(name))
    for name in ("submit_crossval", "submit_search", "submit_scoring"):
        monkeypatch.setattr(plans, name, fake.note(name))
    monkeypatch.setattr(plans, "parts", lambda job: fake.parts)
    return fake


def open_page(page: str = "training") -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).switch_page(f"pages/{page}.py").run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    shown = [*app.markdown, *app.caption, *app.error, *app.info, *app.success, *app.warning]
    return "\n".join(str(element.value) for element in shown)


def press(app: AppTest, label: str) -> AppTest:
    app = next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def test_without_data_the_page_says_how_to_get_some(fake: Fake) -> None:
    fake.data = []
    text = words(open_page())
    assert "doi:10.7910/DVN/DBW86T" in text
    assert "never be promoted" in text


def with_preset(name: str) -> TrainingConfig:
    return replace(orders.defaults(DATA), **orders.PRESETS[name])


def test_a_training_starts_with_the_settings_of_the_shipped_model_and_once_however_often_one_presses(
    fake: Fake,
) -> None:
    app = press(open_page(), "Start the training")
    ((what, given),) = fake.asked
    assert what == "submit"
    assert given["config"] == with_preset("Standard (from new weights)")
    assert (given["data_set"], given["who"], given["views"]) == (DATA, "ada", 4)
    assert "You may close this page" in words(app)
    assert "Start the training" not in [button.label for button in app.button]
    app = press(press(app, "Prepare another training"), "Start the training")
    assert len({given["job"] for _, given in fake.asked}) == 2


def test_a_press_that_was_broken_off_after_it_queued_never_swallows_another_training(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[str] = []

    def broken_off(*, job: str, **_: Any) -> None:
        jobs.append(job)
        raise StoreError("The record cannot be reached.")  # once the job is queued

    monkeypatch.setattr(orders, "submit", broken_off)
    app = press(press(open_page(), "Start the training"), "Start the training")
    app.radio[0].set_value("Quick look (minutes)").run()
    press(app, "Start the training")
    assert jobs[0] == jobs[1], "the same training, pressed twice"
    assert jobs[2] != jobs[1]


def test_a_preset_changes_the_settings(fake: Fake) -> None:
    app = open_page()
    app.radio[0].set_value("Quick look (minutes)").run()
    press(app, "Start the training")
    assert fake.asked[0][1]["config"] == with_preset("Quick look (minutes)")


@pytest.mark.parametrize(
    ("label", "value", "bound"), [("Epochs", 0, "between 1 and 1000"), ("Learning rate", 5.0, "between 1e-07 and 1.0")]
)
def test_a_value_out_of_its_range_is_refused_with_the_bound(fake: Fake, label: str, value: float, bound: str) -> None:
    app = open_page()
    next(number for number in app.number_input if number.label == label).set_value(value)
    app = press(app, "Start the training")
    assert bound in app.error[0].value
    assert fake.asked == []
    assert "Start the training" in [button.label for button in app.button]


def test_what_the_service_refuses_is_told_and_nothing_is_said_to_be_queued(fake: Fake) -> None:
    app = open_page()
    fake.fault = ConfigurationError("batch must be at most 63, the number of training images; 64 given.")
    app = press(app, "Start the training")
    assert "at most 63" in app.error[0].value
    assert "queued" not in words(app)


def test_a_folder_with_problems_is_refused_with_them(fake: Fake) -> None:
    app = open_page()
    fake.fault = DatasetError("/data cannot be used: 3 images are missing.")
    assert "3 images are missing" in press(app, "Check and register").error[0].value


def test_a_check_that_a_click_broke_off_is_told_until_one_has_ended(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def broken_off(*, on_progress: Callable[[int, int], None], **_: object) -> None:
        on_progress(120, 10015)
        seen.append(True)
        st.rerun()  # as Streamlit does where something else is clicked

    monkeypatch.setattr(registered, "register", broken_off)
    app = open_page()
    next(text for text in app.text_input if text.label == "Folder").set_value("/data/mine")
    said = "The check of `/data/mine` was broken off by a click or by leaving this page, and nothing was registered."
    assert said in words(press(app, "Check and register"))
    assert seen == [True]
    assert said in words(app.switch_page("app.py").run().switch_page("pages/training.py").run())
    monkeypatch.setattr(registered, "register", lambda **_: DATA)
    app = press(app, "Check and register")
    assert f"{DATA.name} is registered." in words(app)
    assert "broken off" not in words(app)


def test_while_a_folder_is_checked_the_page_says_how_far_it_is_and_to_stay(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*, on_progress: Callable[[int, int], None], **_: object) -> None:
        on_progress(120, 10015)
        st.stop()

    monkeypatch.setattr(registered, "register", stopped)
    app = press(open_page(), "Check and register")
    assert "1 % done. Stay on this page and click nothing until this ends" in str(app.get("progress")[0].proto)


def test_a_registered_folder_that_vanished_is_told_instead_of_its_samples(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*, data_set: DataSet) -> None:
        raise DatasetError(f"There is no folder {data_set.folder}.")

    monkeypatch.setattr(registered, "samples", gone)
    app = open_page()
    app.toggle(key="samples-3").set_value(True).run()
    assert not app.exception
    assert "There is no folder /data/ward" in app.error[0].value


def test_samples_show_as_far_as_they_can_be_read(fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Image.new("RGB", (180, 120)).save(tmp_path / "sound.png")
    (tmp_path / "damaged.jpg").write_bytes(b"damaged")
    paths = [tmp_path / "sound.png", tmp_path / "damaged.jpg"]
    monkeypatch.setattr(registered, "samples", lambda *, data_set: {"mel": paths, "nv": []})
    app = open_page()
    app.toggle(key="samples-3").set_value(True).run()
    assert not app.exception
    assert [len(images.proto.imgs) for images in app.get("image")] == [1, 0]


def test_a_running_training_shows_progress_curves_and_log_and_can_be_cancelled(fake: Fake) -> None:
    told = {"stage": "training", "epoch": 3, "epochs": 7, "batch": 10, "batches": 200, "loss": 0.61, "left": 3700.0,
            "images_per_second": 33.2, "memory": 2**30, "log": ["06:29 epoch 2"], "at": NOW}  # fmt: skip
    fake.jobs = [job("second", "waiting"), job("first", "running", progress=told)]
    app = open_page()
    text = words(app)
    assert "**first**: running, asked for by ada" in text
    assert "33 images per second, 1024 MB" in text
    assert "epoch 3 of 7, batch 10 of 200, loss 0.610, 1:01:40 left for the training steps" in str(
        app.get("progress")[0].proto
    )
    assert "06:29 epoch 2" in app.code[0].value
    assert len(app.get("plotly_chart")) == 2
    app.button(key="cancel-first").click().run()
    assert fake.asked == [("cancel", {"job": "first", "who": "ada"})]


def test_a_record_that_cannot_be_read_while_a_training_is_followed_is_told(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*, job: str) -> None:
        raise StoreError("The record cannot be reached.")

    monkeypatch.setattr(orders, "history", unreadable)
    told = {"stage": "measuring", "done": 1, "at": NOW}
    fake.jobs = [job("first", "running", progress=told)]
    assert "The record cannot be reached" in open_page().error[0].value


def test_a_failed_training_says_why_and_can_be_resumed_cloned_and_deleted(fake: Fake) -> None:
    fake.jobs = [job("bad", "failed", error="The disk is full. Make room, then resume.")]
    app = open_page()
    assert "The disk is full" in words(app)
    press(app, "Resume")
    press(app, "Delete for good")
    assert [what for what, _ in fake.asked] == ["resume", "delete"]
    fake.jobs[0].order["config"]["epochs"] = 11
    app = press(open_page(), "Clone with changes")
    assert next(number for number in app.number_input if number.label == "Epochs").value == 11


def test_a_second_clone_takes_the_place_of_the_first_one_in_the_form(fake: Fake) -> None:
    fake.jobs = [job("one", "failed"), job("two", "failed")]
    for number, epochs in enumerate((11, 12)):
        fake.jobs[number].order["config"]["epochs"] = epochs
    app = open_page()
    app.multiselect(key="chosen").set_value(["one", "two"]).run()
    app.button(key="clone-one").click().run()
    app.button(key="clone-two").click().run()
    press(app, "Start the training")
    assert fake.asked[0][1]["config"].epochs == 12


def test_a_clone_is_on_the_same_data_in_the_same_way_also_when_another_set_stands_in_the_form(fake: Fake) -> None:
    fake.data = [replace(DATA, id=1, name="Ward 1"), DATA]
    fake.jobs = [job("folds", "failed", "crossval")]
    fake.jobs[0].order["views"] = 2
    app = open_page()
    assert [box.value.id for box in app.selectbox if box.label == "Data set"] == [1]
    press(press(app, "Clone with changes"), "Start the training")
    ((what, given),) = fake.asked
    assert (what, given["data_set"].id, given["views"]) == ("submit_crossval", 3, 2)


def test_a_data_set_that_was_chosen_stays_so_when_another_one_is_registered(fake: Fake) -> None:
    fake.data = [replace(DATA, id=1, name="Ward 1"), DATA]
    app = open_page()
    app.selectbox(key="data-0").select_index(1).run()
    fake.data = [*fake.data, replace(DATA, id=4, name="Ward 9")]
    assert app.run().selectbox(key="data-0").value.id == 3


def test_a_fault_while_drawing_is_not_taken_for_a_click(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: object) -> None:
        raise DatasetError("Nothing could be drawn into /home/drawn ([Errno 28] No space left on device).")

    monkeypatch.setattr(registered, "register_demo", fails)
    app = press(open_page(), "Draw a demonstration set")
    assert "No space left on device" in app.error[0].value
    assert "broken off" not in words(app.run())


def test_while_the_last_layer_is_fitted_no_epochs_are_said_to_be_left(fake: Fake) -> None:
    told = {"stage": "fitting the last layer anew", "done": 90, "total": 60, "left": 900.0, "at": NOW}
    fake.jobs = [job("first", "running", progress=told)]
    bar = open_page().get("progress")[0].proto
    assert (bar.value, bar.text) == (100, "fitting the last layer anew")


@pytest.mark.parametrize(("kind", "what"), [("crossval", "submit_crossval"), ("search", "submit_search")])
def test_folds_and_a_search_are_ordered_with_the_same_form(fake: Fake, kind: str, what: str) -> None:
    app = open_page()
    app.radio(key="kind-0").set_value(kind).run()
    if kind == "search":
        next(number for number in app.number_input if number.label == "Trials").set_value(7)
        next(several for several in app.multiselect if several.label == "Settings to search").set_value(["dropout"])
    app = press(app, "Try a few steps and estimate the time")
    press(app, "Start the training")
    (rehearsed, first), (ordered, given) = fake.asked
    assert (rehearsed, first["times"]) == ("rehearse", {"crossval": 2, "search": 7}[kind])
    assert (ordered, given["data_set"], given["config"]) == (
        what,
        DATA,
        with_preset("Standard (from new weights)"),
    )
    if kind == "search":
        assert (given["trials"], given["searched"]) == (7, ("dropout",))


def test_a_job_in_parts_shows_how_many_are_done_and_what_is_being_done(fake: Fake) -> None:
    told = {"stage": "training", "epoch": 1, "epochs": 7, "batch": 10, "batches": 200, "loss": 0.61, "at": NOW}
    whole = job("all folds", "running", "crossval")
    whole.order["folds"] = ["fold0", "fold1", "fold2"]
    fake.jobs = [whole]
    fake.parts = [job("all folds, fold0", "done", "fold"), job("all folds, fold1", "running", "fold", progress=told)]
    app = open_page()
    bars = [str(bar.proto) for bar in app.get("progress")]
    assert "1 of 3 folds done" in bars[0]
    assert "epoch 1 of 7" in bars[1]
    assert "**all folds, fold1**: running" in words(app)
    app.button(key="cancel-all folds").click().run()
    assert fake.asked == [("cancel", {"job": "all folds", "who": "ada"})]


def test_what_folds_and_trials_came_to_is_shown_and_the_best_settings_are_offered(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [("figure", "all folds", "95 % interval", "fold0"), ("Macro AUC", "0.912", "0.900 to 0.920", "0.911")]
    monkeypatch.setattr(plans, "figures", lambda job: lines)
    best = asdict(replace(TrainingConfig(), dropout=0.4))
    found = {"trial": 3, "config": best, "history": [{"trial": 3, "state": "complete", "macro_auc": 0.93}]}
    tally = {"images": 2000, "failed": 1, "refused": 9, "refer": 300, "diagnoses": {"mel": 300, "nv": 1690}}
    fake.jobs = [
        job("look", "done", "search", outcome=found),
        job("all folds", "done", "crossval", outcome={"pooled": {"macro_auc": 0.912}}),
        job("archive", "done", "score", outcome=tally),
    ]
    fake.jobs[2].order["version"] = 1
    del fake.jobs[2].order["config"]
    app = open_page()
    app.multiselect(key="chosen").set_value(["look", "all folds", "archive"]).run()
    assert "2,000 images by version 1: 300 to refer, 9 not judged for their quality or content, 1 could" in words(app)
    assert "Best: trial 3" in words(app)
    table = app.dataframe[0].value
    assert table["what"].tolist() == ["search", "K-fold", "folder of images"]
    assert table["macro AUC"].tolist()[1] == 0.912
    assert app.dataframe[2].value.columns.tolist() == list(lines[0])
    app = press(app, "Clone the best settings")
    assert next(number for number in app.number_input if number.label == "Dropout").value == 0.4


def test_two_trainings_are_compared_by_settings_recall_and_confusion(fake: Fake) -> None:
    matrix = [[3 if row == column else 1 for column in range(7)] for row in range(7)]
    for name, recall in (("one", 0.5), ("two", 0.75)):
        recalls = {code: {"value": recall, "interval": [recall - 0.1, recall + 0.1]} for code in CODES}
        outcome = {"version": 2, "name": "m", "figures": {"n": 63}, "best_epoch": 3, "epochs": 7, "recalls": recalls,
                   "confusion": matrix}  # fmt: skip
        fake.jobs.append(job(name, "done", outcome=outcome))
    fake.jobs[1].order["config"]["epochs"] = 11
    app = open_page()
    app.multiselect(key="chosen").set_value(["one", "two"]).run()
    text = words(app)
    assert "| epochs | 20 | 11 |" in text
    assert "| Melanoma | 0.500 (0.40 to 0.60) | 0.750 (0.65 to 0.85) |" in text
    assert len(app.get("plotly_chart")) == 4


def test_a_binary_training_has_no_figure_that_it_does_not_know(fake: Fake) -> None:
    figures = {"n": 63, "accuracy": 0.8, "malignant_auc": 0.87}
    outcome = {"version": 2, "name": "m", "figures": figures, "best_epoch": 3, "epochs": 7, "recalls": {},
               "confusion": None}  # fmt: skip
    fake.jobs.append(job("one", "done", outcome=outcome))
    app = open_page()
    app.multiselect(key="chosen").set_value(["one"]).run()
    assert not app.exception
    text = words(app)
    assert "epoch 3 of 7 kept; test part: malignant AUC 0.870, 63 images." in text
    assert "balanced accuracy" not in text


def test_two_trainings_of_one_name_and_minute_stand_beside_each_other(fake: Fake) -> None:
    fake.jobs = [job("one", "failed"), job("two", "failed")]
    for number, epochs in enumerate((11, 12)):
        fake.jobs[number].order["name"], fake.jobs[number].order["config"]["epochs"] = "mobilenet", epochs
    app = open_page()
    app.multiselect(key="chosen").set_value(["one", "two"]).run()
    assert not app.exception
    assert "| Setting | mobilenet (2026-11-21 06:30) one | mobilenet (2026-11-21 06:30) two |" in words(app)
    del fake.jobs[0]
    app.run()
    assert not app.exception
    assert app.multiselect(key="chosen").options == ["mobilenet (2026-11-21 06:30)"]


def test_a_folder_of_images_is_ordered_with_a_version(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    version = registry.Version(1, "first-model", "champion", False, "")
    monkeypatch.setattr(registry, "versions", lambda: [version])
    app = open_page()
    app.toggle[0].set_value(True).run()
    next(text for text in app.text_input if text.label == "Folder of images").set_value("/archive")
    app = press(app, "Judge them all")
    ((what, given),) = fake.asked
    assert what == "submit_scoring"
    assert (given["folder"], given["version"], given["who"]) == (Path("/archive"), version, "ada")
    assert "The folder is queued" in words(app)


def test_the_time_that_a_trial_measured_is_told(fake: Fake) -> None:
    app = press(open_page(), "Try a few steps and estimate the time")
    asked = fake.asked[0][1]["job"]
    outcome = {"start": 10.0, "batch": 0.5, "batches": 100}
    fake.jobs = [replace(job("trial", "done", "rehearse", outcome=outcome), id=asked)]
    assert "A step took 0.50 s: the whole training takes about 17 minutes at most" in words(app.run())


def test_a_challenger_is_put_into_use_with_its_reason_and_a_drawn_one_cannot_be(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [
        registry.Version(3, "drawn-model", "challenger", True, ""),
        registry.Version(1, "first-model", "retired", False, ""),
        registry.Version(2, "second-model", "champion", False, ""),
    ]
    papers = registry.papers(versions[1])
    past = [Promotion(NOW, "ben", 2, 1, "", "", "better on the ward")]
    monkeypatch.setattr(registry, "versions", lambda: versions)
    monkeypatch.setattr(registry, "papers", lambda version: papers)
    monkeypatch.setattr(registry, "history", lambda: past)
    monkeypatch.setattr(registry, "comparison", lambda challenger: None)
    monkeypatch.setattr(registry, "promote", fake.note("promote"))
    app = open_page("models")
    assert "can never be put into use" in words(app)
    app.toggle[0].set_value(True).run()
    assert "Confusion matrix" in app.get("iframe")[0].proto.srcdoc
    assert "Put this version into use" not in [button.label for button in app.button]
    app.selectbox[0].set_value(1).run()
    app.text_input[0].set_value("complaints")
    app = press(app, "Return to this version")
    assert fake.asked == [("promote", {"version": versions[1], "who": "ada", "reason": "complaints", "instead_of": 2})]
    assert "Version 1 is in use now" in words(app)


def test_the_version_chosen_stays_so_when_its_status_changes_or_another_one_is_registered(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [registry.Version(number, f"model-{number}", "challenger", False, "") for number in (3, 2, 1)]
    papers = registry.papers(replace(versions[2], status="champion"))
    monkeypatch.setattr(registry, "versions", lambda: versions)
    monkeypatch.setattr(registry, "papers", lambda version: papers)
    monkeypatch.setattr(registry, "history", list)
    monkeypatch.setattr(registry, "comparison", lambda challenger: None)
    app = open_page("models")
    app.selectbox(key="version").select(2).run()
    versions[1] = replace(versions[1], status="champion")
    assert app.run().selectbox(key="version").value == 2
    versions.insert(0, registry.Version(4, "model-4", "challenger", False, ""))
    assert app.run().selectbox(key="version").value == 2
    app = app.switch_page("app.py").run().switch_page("pages/models.py").run()
    assert app.selectbox(key="version").value == 2


def test_a_versions_figures_say_what_was_known_of_the_patients(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    version = registry.Version(1, "first-model", "champion", False, "")
    papers = registry.papers(version)
    alone = papers["evaluation"] | {"macro_auc": 0.111, "intervals": {"macro_auc": [0.101, 0.121]}}
    known = papers["evaluation"] | {"macro_auc": 0.999, "intervals": {"macro_auc": [0.998, 1.0]}}
    papers |= {"evaluation": known, "details": {"patients": {"alone": {"evaluation": alone}}}}
    monkeypatch.setattr(registry, "versions", lambda: [version])
    monkeypatch.setattr(registry, "papers", lambda version: papers)
    text = words(open_page("models"))
    assert "| Figure on the test part | judged alone | 95 % interval | with age, sex and site | 95 % interval |" in text
    assert "| Macro AUC | 0.111 | 0.101 to 0.121 | 0.999 | 0.998 to 1.000 |" in text
    papers["details"] = {}
    text = words(open_page("models"))
    assert "| Figure on the test part | value | 95 % interval |\n" in text
    assert "| Macro AUC | 0.999 | 0.998 to 1.000 |" in text


def test_a_comparison_is_shown_with_its_verdict_and_the_subgroups_that_got_worse(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registry.Version(1, "first-model", "challenger", False, "")
    papers = registry.papers(version)
    figure = {"first": 0.7, "second": 0.75, "difference": 0.05, "interval": [0.01, 0.09]}
    unknown = dict.fromkeys(figure)
    outcome = {
        "images": 900, "lesions": 700, "met": 3, "worse": ["age 75 and older: x"],
        "figures": {"macro_auc": figure, "log_loss": figure, "per_class.mel.recall": unknown},
        "disagreements": [{"path": "/gone/a.jpg", "dx": "mel", "champion": "nv", "challenger": "mel"}],
        "supported": True, "sentence": "The evidence supports promotion: macro AUC better.",
    }  # fmt: skip
    monkeypatch.setattr(registry, "versions", lambda: [version])
    monkeypatch.setattr(registry, "papers", lambda version: papers)
    monkeypatch.setattr(registry, "history", list)
    monkeypatch.setattr(registry, "comparison", lambda challenger: job("c", "done", "compare", outcome=outcome))
    app = open_page("models")
    app.toggle(key="images-c").set_value(True).run()
    assert not app.exception
    text = words(app)
    assert "(no picture here) Melanoma; in use: Melanocytic naevus; this version: Melanoma" in text
    assert "The evidence supports promotion" in text
    assert "| Macro AUC | 0.700 | 0.750 | +0.050 | +0.010 to +0.090 |" in text
    assert "| Log loss (less is better) | 0.700 |" in text
    compared = text.split("| Figure | in use | this version |")[1].split("900 images")[0]
    assert "Melanoma" not in compared, "of images without a melanoma there is no such figure"
    assert "Worse in age 75 and older: x. Of so many groups, one may stand here by chance." in text
    assert "900 images of 700 lesions" in text


def test_without_photographs_to_compare_on_the_page_says_where_to_register_some(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registry.Version(1, "first-model", "challenger", False, "")
    papers = registry.papers(version)
    monkeypatch.setattr(registry, "versions", lambda: [version])
    monkeypatch.setattr(registry, "papers", lambda version: papers)
    monkeypatch.setattr(registry, "history", list)
    monkeypatch.setattr(registry, "comparison", lambda challenger: None)
    fake.data = [replace(DATA, drawn=True)]
    app = open_page("models")
    assert "none is registered on this server. Register one on the Train page, under Data." in words(app)
    assert "Compare" not in [button.label for button in app.button]
    fake.data = [DATA]
    monkeypatch.setattr(registry, "order_comparison", fake.note("order_comparison"))
    app = press(open_page("models"), "Compare")
    assert "none is registered" not in words(app)
    ((what, given),) = fake.asked
    assert (what, given["challenger"], given["data_set"]) == ("order_comparison", version, DATA)


@pytest.mark.parametrize("meanwhile", ["withdrawn", "unreachable"])
def test_a_comparison_that_is_followed_survives_what_happens_to_its_version_and_to_the_record(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    first = registry.Version(1, "first-model", "champion", False, "")
    second = registry.Version(2, "second-model", "challenger", False, "")
    papers, looks = registry.papers(first), []

    def versions() -> list[registry.Version]:
        looks.append(1)
        if len(looks) == 2 and meanwhile == "unreachable":
            raise StoreError("The record cannot be reached.")
        return [second, first] if len(looks) == 1 else [first]

    monkeypatch.setattr(registry, "versions", versions)
    monkeypatch.setattr(registry, "papers", lambda version: papers)
    monkeypatch.setattr(registry, "history", list)
    monkeypatch.setattr(registry, "comparison", lambda challenger: job("c", "running", "compare"))
    app = open_page("models")
    if meanwhile == "unreachable":
        assert "The record cannot be reached" in app.error[0].value
    else:
        assert app.selectbox[0].options == ["● 1: first-model (champion)"]
