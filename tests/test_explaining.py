"""Explanations as page and command ask for them: one answer, any method and class, progress, stop, files."""

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import pytest

from skin_model import cli, imaging
from skin_model.entities import Analysis
from skin_model.errors import BundleError, ConfigurationError, StoppedError
from skin_model.explain.methods import METHODS
from skin_model.inference import Classifier
from skin_model.services import analysis as analysis_service
from skin_model.services import explaining, overlays, prediction, workspace
from skin_model.taxonomy import CODES

FAST = [key for key, method in METHODS.items() if not method.slow]


@pytest.fixture(scope="module")
def path(parts) -> Path:
    return parts["path"].iloc[0]


@pytest.fixture
def analysed(made, path, monkeypatch) -> Analysis:
    monkeypatch.setenv("SKIN_MODEL_BUNDLE", str(made.folder))
    return analysis_service.analyse(data=path.read_bytes())


def test_an_analysis_carries_what_the_network_saw(analysed, made, path):
    expected = imaging.centre(imaging.fit(imaging.read(path).pixels, made.manifest.size))
    np.testing.assert_array_equal(analysed.square, expected)


def test_grad_cam_asked_for_later_is_the_map_that_came_with_the_answer(analysed):
    later = explaining.explain(analysis=analysed, method="gradcam", target="mel")
    for code in CODES:
        np.testing.assert_allclose(later[code].heat_map, analysed.explanations[code].heat_map, atol=1e-5)


@pytest.mark.parametrize("method", FAST)
@pytest.mark.parametrize("target", ["akiec", "vasc"])
def test_every_fast_method_explains_any_class(analysed, method, target):
    steps = []
    found = explaining.explain(
        analysis=analysed, method=method, target=target, on_progress=lambda *step: steps.append(step)
    )
    explanation = found[target]
    assert (explanation.method, explanation.target) == (METHODS[method].name, target)
    assert explanation.heat_map.dtype == np.float32
    assert explanation.heat_map.max() in (0, 1)  # an empty one where nothing speaks for the class
    assert steps == [] or steps[-1][0] == steps[-1][1]
    assert bool(steps) == (method in ("scorecam", "occlusion"))


@pytest.mark.parametrize("order", [{"method": "tea-leaves"}, {"target": "wart"}])
def test_an_unknown_method_or_class_is_refused_with_those_there_are(analysed, order):
    with pytest.raises(ConfigurationError, match=r"choose one of \w+"):
        explaining.explain(**{"analysis": analysed, "method": "gradcam", "target": "mel"} | order)


def test_an_answer_of_another_model_is_not_explained_by_this_one(analysed):
    other = replace(analysed, prediction=replace(analysed.prediction, model_version="older-1"))
    with pytest.raises(BundleError, match="Give the picture again"):
        explaining.explain(analysis=other, method="gradcam", target="mel")


def test_a_stopped_explanation_ends_at_its_next_step(analysed):
    stop, steps = Event(), []

    def follow(done: int, total: int) -> None:
        steps.append(done)
        stop.set()

    with pytest.raises(StoppedError):
        explaining.explain(analysis=analysed, method="occlusion", target="mel", on_progress=follow, stop=stop)
    assert steps == [0]


def test_a_models_network_for_gradients_is_loaded_once_and_goes_with_the_model(analysed, made):
    classifier = Classifier(made)
    subject = explaining.subject(analysed.square, classifier)
    network = weakref.ref(subject.saliency().model)
    assert explaining.subject(analysed.square, classifier).saliency().model is network()
    del subject, classifier
    gc.collect()
    assert network() is None


def test_a_run_in_the_background_gives_the_same_map(analysed):
    run = explaining.begin(analysis=analysed, method="occlusion", target="mel")
    assert run.wait(60)
    direct = explaining.explain(analysis=analysed, method="occlusion", target="mel")
    assert run.done
    assert run.share == 1
    assert not run.error
    for code in CODES:
        np.testing.assert_allclose(run.explanations[code].heat_map, direct[code].heat_map, atol=1e-5)


def test_a_run_can_be_stopped_while_another_users_analysis_goes_on(analysed, path, monkeypatch):
    classifier = explaining.workspace.classifier()
    outputs, asked, go_on = classifier.outputs, Event(), Event()

    def held(images):
        asked.set()
        go_on.wait(10)  # of each of its twenty batches, so that an analysis that waited for it would find it done
        return outputs(images)

    monkeypatch.setattr(classifier, "outputs", held)
    run = explaining.begin(analysis=analysed, method="lime", target="mel")
    assert asked.wait(120)
    assert analysis_service.analyse(data=path.read_bytes()).prediction.sentence == analysed.prediction.sentence
    assert not run.done, "the analysis waited for the explanation"
    run.stop()
    go_on.set()
    assert run.wait(60)
    assert run.share < 1
    assert not run.explanations
    assert not run.error


def test_runs_take_turns_and_one_that_waits_can_be_stopped(analysed, monkeypatch):
    at_once, most, begun, release = [], [], Event(), Event()

    def explain(*, stop, **_):
        at_once.append(stop)
        most.append(len(at_once))
        begun.set()
        assert release.wait(60)
        at_once.remove(stop)
        return {}

    monkeypatch.setattr(explaining, "explain", explain)
    runs = [explaining.begin(analysis=analysed, method="lime", target="mel")]
    assert begun.wait(60)
    runs += [explaining.begin(analysis=analysed, method="lime", target="mel") for _ in range(5)]
    waiting = runs[-1]
    waiting.stop()
    assert waiting.wait(60)
    release.set()
    assert all(run.wait(60) for run in runs)
    assert set(most) == {1}
    assert len(most) == 5
    assert waiting.waiting
    assert not waiting.error
    assert all(run.seconds > 0 for run in runs if run is not waiting)


def test_a_run_that_fails_says_so_in_a_sentence_without_details(analysed, monkeypatch):
    def broken(*_):
        raise RuntimeError("secret /path/in/the/server")

    monkeypatch.setitem(METHODS, "occlusion", replace(METHODS["occlusion"], all_classes=broken))
    run = explaining.begin(analysis=analysed, method="occlusion", target="mel")
    assert run.wait(60)
    assert run.error == explaining.UNEXPECTED


def test_methods_that_were_never_measured_are_offered_and_say_so(analysed):
    offers = {offer.key: offer for offer in explaining.offers(summary=workspace.model_state().summary)}
    assert set(offers) == set(METHODS)
    assert all("Not measured" in offer.evidence and not offer.failed for offer in offers.values())


def predict(made, *arguments: object) -> int:
    return cli.main(["predict", "--model", str(made.folder), *map(str, arguments)])


def test_predict_writes_a_picture_per_image_method_and_class_that_reads_back(made, parts, tmp_path, capsys):
    paths = list(parts["path"].iloc[:3])
    out, answers = tmp_path / "maps", tmp_path / "answers.json"
    order = [
        "--explain",
        out,
        "--method",
        "gradcam",
        "--method",
        "occlusion",
        "--target",
        "likeliest",
        "--target",
        "df",
    ]
    assert predict(made, *paths, "--json", answers, *order) == 0

    written = set()
    for path, judged in zip(paths, json.loads(answers.read_text()), strict=True):
        wanted = {(m, t) for m in ("gradcam", "occlusion") for t in (judged["diagnosis"], "df")}
        assert {(e["method"], e["target"]) for e in judged["explanations"]} == wanted
        original = imaging.read(path).pixels
        for entry in judged["explanations"]:
            if entry["file"] is None:
                assert "Nothing in the picture speaks for this class" in entry["note"]
                continue
            written.add(entry["file"])
            shown = cv2.imread(str(out / entry["file"]), cv2.IMREAD_COLOR_RGB)
            assert shown.shape == original.shape
            left, top, side = imaging.judged_box(*original.shape[:2])
            changed = (shown != original).any(axis=2)
            assert changed[top : top + side, left : left + side].any()
            changed[top : top + side, left : left + side] = False
            assert not changed.any()
    assert written
    assert {p.name for p in out.iterdir()} == written


def test_predict_explains_the_map_that_the_page_shows(made, path, tmp_path, analysed):
    assert predict(made, path, "--explain", tmp_path / "maps") == 0
    (file,) = (tmp_path / "maps").iterdir()
    target = analysed.prediction.diagnosis.code
    assert file.name == f"{path.stem}-{analysed.image.sha256[:8]}-gradcam-{target}.png"
    expected = analysis_service.overlay(analysis=analysed, target=target)
    shown = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB).astype(int)
    assert np.abs(shown - expected).max() <= 2


def test_a_long_name_and_a_file_that_goes_away_meanwhile_stop_nothing(made, parts, tmp_path, capsys, monkeypatch):
    pictures = [tmp_path / name for name in ("ä" * 120 + ".jpg", "gone.jpg", "last.jpg")]
    for picture, source in zip(pictures, parts["path"].iloc[:3], strict=True):
        picture.write_bytes(source.read_bytes())
    once = overlays.imaging.read

    def read(path):
        if path.name == "gone.jpg" and path in seen:
            path.unlink(missing_ok=True)
        seen.add(path)
        return once(path)

    seen = set()
    monkeypatch.setattr(overlays.imaging, "read", read)
    out = tmp_path / "answers.json"
    assert predict(made, *pictures, "--explain", tmp_path / "maps", "--json", out) == 1
    answers = json.loads(out.read_text())
    assert [bool(answer.get("explanations")) for answer in answers] == [True, False, True]
    assert all("probabilities" in answer for answer in answers)
    assert len(list((tmp_path / "maps").iterdir())) == 2
    assert "gone.jpg: not explained: " in capsys.readouterr().err


def test_files_of_one_name_do_not_overwrite_each_other_and_a_bad_one_stops_nothing(made, parts, tmp_path, capsys):
    for folder, source in zip(("a", "b"), parts["path"].iloc[:2], strict=True):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "lesion.jpg").write_bytes(source.read_bytes())
    (tmp_path / "a" / "broken.jpg").write_bytes(b"no image")
    assert predict(made, tmp_path / "a", tmp_path / "b", "--explain", tmp_path / "maps") == 1
    assert len(list((tmp_path / "maps").iterdir())) == 2
    assert "broken.jpg: error:" in capsys.readouterr().err


@pytest.mark.parametrize("order", [["--explain", "maps", "--method", "tea-leaves"],
                                   ["--explain", "maps", "--target", "wart"], ["--method", "lime"]])  # fmt: skip
def test_an_order_that_cannot_be_met_is_refused_before_anything_is_written(
    made, path, tmp_path, capsys, order, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert predict(made, path, *order) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not list(tmp_path.iterdir())


def test_the_help_names_every_method(capsys):
    with pytest.raises(SystemExit):
        cli.main(["predict", "--help"])
    told = capsys.readouterr().out
    assert all(key in told for key in METHODS)


def test_predict_without_explain_writes_no_explanations(made, path, tmp_path):
    assert predict(made, path, "--json", tmp_path / "answers.json") == 0
    (judged,) = json.loads((tmp_path / "answers.json").read_text())
    assert "explanations" not in judged
    assert prediction.Judged(path, "", None, "bad").to_json()["error"] == "bad"
