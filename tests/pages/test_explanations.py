"""The part of the analyse page that unfolds for other explanations, run without a browser."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from test_pages import Services, open_page, picture, services, upload, words

from skin_model.entities import Explanation
from skin_model.errors import BundleError
from skin_model.services import explaining
from skin_model.services.explaining import Offer, Run
from skin_model.taxonomy import CODES

__all__ = ["services"]  # the fixture

OFFERS = [
    Offer("gradcam", "Grad-CAM", "Shows regions.", "Measured on 200 pictures: better.", False, False),
    Offer("occlusion", "Occlusion", "Shows patches.", "Measured on 200 pictures: it failed this check.", True, False),
    Offer("lime", "LIME", "Shows superpixels.", "Measured on 40 pictures: better.", False, True),
    Offer("saliency", "Saliency", "Shows pixels.", "Measured on 40 pictures: better.", False, True, one_class=True),
]


@dataclass
class Explaining:
    """Stands in for the service; a test ends the runs by hand."""

    made: list[tuple[str, str]] = field(default_factory=list)
    painted: list[tuple[str, float]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    empty: str | None = None
    fault: Exception | None = None

    def explain(self, *, analysis: Any, method: str, target: str) -> dict[str, Explanation]:
        self.made.append((method, target))
        if self.fault is not None:
            raise self.fault
        return {code: Explanation(method, code, np.eye(4, dtype=np.float32) * (code != self.empty)) for code in CODES}

    def begin(self, *, analysis: Any, method: str, target: str) -> Run:
        self.runs.append(Run(method, target))
        return self.runs[-1]

    def paint(self, *, analysis: Any, heat_map: np.ndarray, opacity: float, style: str) -> np.ndarray:
        self.painted.append((style, opacity))
        return analysis.image.pixels

    def finish(self) -> None:
        run = self.runs[-1]
        run.explanations = self.explain(analysis=None, method=run.method, target=run.target)
        run.share, run.seconds = 1.0, 5.3
        run._done.set()


@pytest.fixture
def maps(services: Services, monkeypatch: pytest.MonkeyPatch) -> Explaining:
    fake = Explaining()
    monkeypatch.setattr(explaining, "offers", lambda *, summary: OFFERS)
    for name in ("explain", "begin", "paint"):
        monkeypatch.setattr(explaining, name, getattr(fake, name))
    return fake


def analysed(unfolded: bool = True) -> AppTest:
    app = open_page("pages/analyse.py")
    app.session_state["others"] = unfolded
    return upload(app, picture())


def chosen(app: AppTest, label: str, number: int) -> Any:
    return [box for box in app.selectbox if box.label == label][number]


def test_nothing_is_explained_before_it_is_unfolded(maps: Explaining) -> None:
    app = analysed(unfolded=False)
    assert not app.exception
    assert not maps.made
    assert not [box for box in app.selectbox if box.label == "Method"]


def test_two_maps_stand_side_by_side_each_with_its_limits_and_how_it_did(maps: Explaining) -> None:
    app = analysed()
    assert not app.exception
    assert [chosen(app, "Class", n).value for n in (0, 1)] == ["nv", "mel"], "the likeliest and the next"
    assert len(maps.painted) == 2
    text = words(app)
    assert text.count("Shows regions.") == 2
    assert "Measured on 200 pictures: better." in text
    assert maps.made == [("gradcam", "nv")], "one answer holds the maps of all classes"


def test_another_class_or_a_repeated_look_asks_nothing_twice(maps: Explaining) -> None:
    app = analysed()
    chosen(app, "Class", 1).set_value("vasc").run()
    app.run()
    assert maps.made == [("gradcam", "nv")]
    assert len(maps.painted) > 2


def test_a_method_that_failed_its_check_is_offered_only_on_demand_and_says_so(maps: Explaining) -> None:
    app = analysed()
    assert not [option for option in chosen(app, "Method", 0).options if "Occlusion" in option]
    (toggle,) = app.toggle
    assert "failed their check" in toggle.label
    assert "Occlusion" in toggle.help
    toggle.set_value(True).run()
    chosen(app, "Method", 0).set_value("occlusion").run()
    assert "it failed this check" in words(app)


def test_maps_can_be_drawn_as_contours_and_weaker(maps: Explaining) -> None:
    app = analysed()
    next(s for s in app.slider if s.label == "Strength").set_value(20).run()
    assert maps.painted[-1] == ("Heat map", 0.2)
    (style,) = app.get("button_group")
    style.set_value("Contours").run()
    assert maps.painted[-1] == ("Contours", 1.0)
    assert "25&nbsp;%" in words(app)


def test_what_was_set_is_found_again_when_the_part_was_folded_meanwhile(maps: Explaining) -> None:
    app = analysed()
    next(s for s in app.slider if s.label == "Strength").set_value(20).run()
    chosen(app, "Method", 1).set_value("lime").run()
    app.session_state["others"] = False
    app.run()
    assert not [box for box in app.selectbox if box.label == "Method"]
    app.session_state["others"] = True
    upload(app, picture(shade=60))
    assert next(s for s in app.slider if s.label == "Strength").value == 20
    assert [chosen(app, "Method", number).value for number in (0, 1)] == ["gradcam", "lime"]


def test_an_empty_map_says_so_instead_of_showing_noise(maps: Explaining) -> None:
    maps.empty = "mel"
    app = analysed()
    assert "Nothing in the picture speaks for this class (Melanoma)" in app.info[0].value


def test_a_model_that_was_replaced_meanwhile_is_explained(maps: Explaining) -> None:
    maps.fault = BundleError("Another model is in use now. Give the picture again.")
    app = analysed()
    assert not app.exception
    assert "Give the picture again" in app.error[0].value


def test_maps_of_one_model_never_stand_beside_the_answer_of_another(maps: Explaining, services: Services) -> None:
    app = analysed()
    services.promote("some-model-2")
    upload(app, picture())
    assert maps.made == [("gradcam", "nv")] * 2


def slow(maps: Explaining) -> AppTest:
    app = analysed()
    return chosen(app, "Method", 0).set_value("lime").run()


def test_a_slow_method_waits_to_be_asked_then_shows_its_progress_and_its_map(maps: Explaining) -> None:
    app = slow(maps)
    assert not maps.runs
    app.button(key="begin-0").click().run()
    (run,) = maps.runs
    app.run()
    assert "waiting for another one to end" in str(app.get("progress")[0].proto)
    run.waiting, run.share = False, 0.4
    app.run()
    assert "LIME: 40 %" in str(app.get("progress")[0].proto)
    maps.finish()
    app.run()
    assert not app.get("progress")
    assert "Shows superpixels." in words(app)
    assert "Computed in 5.3 s." in words(app)
    assert app.session_state["explained"]["lime", "vasc"].method == "lime"


@pytest.mark.parametrize("way", ["button", "another method", "another picture", "an unreadable file"])
def test_a_slow_method_is_stopped(maps: Explaining, way: str) -> None:
    app = slow(maps)
    app.button(key="begin-0").click().run()
    stop: dict[str, Callable[[], Any]] = {
        "button": lambda: app.button(key="stop-0").click().run(),
        "another method": lambda: chosen(app, "Method", 0).set_value("gradcam").run(),
        "another picture": lambda: upload(app, picture(shade=60)),
        "an unreadable file": lambda: upload(app, b"no picture"),
    }
    stop[way]()
    assert not app.exception
    assert maps.runs[0].stopped
    assert not app.get("progress")


def test_a_second_press_of_the_button_starts_nothing_that_nobody_could_stop(maps: Explaining) -> None:
    app = slow(maps)
    button = app.button(key="begin-0")
    button.click().run()
    button.click().run()
    (run,) = maps.runs
    app.button(key="stop-0").click().run()
    assert run.stopped
    app.button(key="begin-0").click().run()
    assert len(maps.runs) == 2, "what was stopped can be asked for again"


def test_both_panels_wait_for_one_run_where_it_gives_the_maps_of_all_classes(maps: Explaining) -> None:
    app = slow(maps)
    app.button(key="begin-0").click().run()
    chosen(app, "Method", 1).set_value("lime").run()
    assert len(app.get("progress")) == 2
    maps.finish()
    app.run()
    assert len(maps.runs) == 1
    assert words(app).count("Computed in 5.3 s.") == 2


def test_a_method_of_one_class_at_a_time_runs_for_each_until_it_is_asked_for_no_more(maps: Explaining) -> None:
    app = analysed()
    for number in (0, 1):
        chosen(app, "Method", number).set_value("saliency").run()
        app.button(key=f"begin-{number}").click().run()
    assert [run.target for run in maps.runs] == ["nv", "mel"]
    chosen(app, "Class", 1).set_value("nv").run()
    assert [run.stopped for run in maps.runs] == [False, True]
    chosen(app, "Method", 0).set_value("gradcam").run()
    assert not maps.runs[0].stopped, "the other panel still waits for it"


def test_where_every_method_failed_this_is_said_and_they_can_be_looked_at_all_the_same(
    maps: Explaining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "offers", lambda *, summary: [replace(offer, failed=True) for offer in OFFERS])
    app = analysed()
    assert not app.exception
    assert "Every method failed its check on this model" in app.info[0].value
    assert not maps.painted
    app.toggle[0].set_value(True).run()
    assert len(maps.painted) == 2
    assert not app.info


def test_a_slow_method_that_fails_says_so(maps: Explaining) -> None:
    app = slow(maps)
    app.button(key="begin-0").click().run()
    maps.runs[0].error = "There is no map."
    maps.runs[0]._done.set()
    app.run()
    assert "There is no map." in app.error[0].value
