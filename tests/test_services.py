"""The use-cases: measuring on unseen images only, judging files, the model in use and its first page."""

import io
import json
import logging
import shutil
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skin_model import bundle, cli, imaging, settings
from skin_model.dataset import ham10000
from skin_model.dataset.corruptions import CORRUPTIONS
from skin_model.entities import ModelState
from skin_model.errors import BundleError, DatasetError, ImageError
from skin_model.inference import Classifier
from skin_model.services import analysis, evaluation, prediction, reproduction, workspace
from skin_model.taxonomy import CODES

KEYS = {
    "n", "accuracy", "balanced_accuracy", "macro_auc", "macro_f1", "macro_precision", "macro_recall", "log_loss", "ece",
    "malignant", "per_class", "confusion_matrix", "classes", "n_excluded_seen", "model_version", "intervals",
}  # fmt: skip


@pytest.fixture
def in_use(made, monkeypatch):
    """Makes the small model the one in use, with no data set on the server."""
    monkeypatch.setenv("SKIN_MODEL_BUNDLE", str(made.folder))
    monkeypatch.delenv("SKIN_MODEL_DATA", raising=False)


@pytest.fixture(scope="module")
def test_part(parts) -> pd.DataFrame:
    return parts[parts.part == "test"].reset_index(drop=True)


@pytest.fixture
def fresh(test_part, tmp_path) -> "Labelled":
    """A folder with the images of the test part, to which a test adds others."""
    labelled = Labelled(tmp_path / "labelled")
    for row in test_part.itertuples():
        labelled.add(row.path.read_bytes(), row.image_id + ".jpg", row.lesion_id, row.dx)
    return labelled


class Labelled:
    """A folder of images with HAM10000's label table, filled one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.labels = folder, folder / "labels.csv"
        self.rows: list[dict[str, str]] = []
        folder.mkdir()

    def add(self, data: bytes, name: str, lesion: str, dx: str) -> None:
        (self.folder / name).write_bytes(data)
        row = {"lesion_id": lesion, "image_id": name.split(".")[0], "dx": dx, "dx_type": "histo", "age": "50"}
        self.rows.append(row | {"sex": "male", "localization": "back"})
        pd.DataFrame(self.rows).to_csv(self.labels, index=False)

    def evaluate(self, model, classifier, **options):
        return evaluation.evaluate(classifier=classifier, images=self.folder, labels=self.labels, **options)


def evaluate_all(made, classifier, data: Path, **options):
    """`evaluate` on the whole data set of the training."""
    labels = data / "HAM10000_metadata.csv"
    return evaluation.evaluate(classifier=classifier, images=data, labels=labels, **options)


def noise(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (110, 146, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


# -- evaluate ---------------------------------------------------------------------------------------------------------


def test_on_the_training_data_only_the_test_part_is_scored_and_the_others_are_counted(
    made, classifier, drawn_data, parts
):
    report = evaluate_all(made, classifier, drawn_data)
    tested = int((parts.part == "test").sum())
    assert (report["n"], report["n_excluded_seen"]) == (tested, len(parts) - tested)
    in_the_bundle = json.loads(made.text("evaluation.json"))
    assert report == in_the_bundle | {"n_excluded_seen": len(parts) - tested}


def test_allow_seen_scores_every_image_and_says_so(made, classifier, drawn_data, parts):
    report = evaluate_all(made, classifier, drawn_data, allow_seen=True)
    assert (report["n"], report["n_excluded_seen"], report["allow_seen"]) == (len(parts), 0, True)


@pytest.mark.parametrize("known_by", ["image id", "lesion", "pixels"])
def test_a_planted_image_of_the_training_is_left_out(made, classifier, fresh, parts, known_by):
    row = parts[parts.part == "fold1"].iloc[0]
    before = fresh.evaluate(made, classifier)
    assert before["n_excluded_seen"] == 0

    if known_by == "image id":
        fresh.add(noise(1), f"{row.image_id}.png", "ANOTHER_LESION", row.dx)
    elif known_by == "lesion":
        fresh.add(noise(1), "ANOTHER_IMAGE.png", row.lesion_id, row.dx)
    else:  # another kind of file, so that only the pixels are the same
        file = io.BytesIO()
        Image.fromarray(imaging.read(row.path).pixels).save(file, "PNG")
        fresh.add(file.getvalue(), "ANOTHER_IMAGE.png", "ANOTHER_LESION", row.dx)
    after = fresh.evaluate(made, classifier)

    assert after == before | {"n_excluded_seen": 1}


def test_an_image_that_was_never_met_is_scored(made, classifier, fresh):
    before = fresh.evaluate(made, classifier)
    fresh.add(noise(2), "ANOTHER_IMAGE.png", "ANOTHER_LESION", "nv")
    after = fresh.evaluate(made, classifier)
    assert (after["n"], after["n_excluded_seen"]) == (before["n"] + 1, 0)


def test_nothing_is_scored_where_every_image_was_met(made, classifier, parts, tmp_path):
    labelled = Labelled(tmp_path / "met")
    for row in parts[parts.part == "fold0"].itertuples():
        labelled.add(row.path.read_bytes(), row.image_id + ".jpg", row.lesion_id, row.dx)
    with pytest.raises(DatasetError, match=r"has met all .* --allow-seen"):
        labelled.evaluate(made, classifier)


def test_the_report_holds_exactly_the_promised_keys_as_plain_json(made, classifier, drawn_data):
    report = evaluate_all(made, classifier, drawn_data)

    assert json.loads(json.dumps(report)) == report
    assert set(report) == KEYS
    assert set(report["malignant"]) == {"auc", "threshold", "sensitivity", "specificity", "precision", "f1"}
    assert list(report["per_class"]) == list(CODES) == report["classes"]
    assert all(set(one) == {"recall", "precision", "f1", "auc", "n"} for one in report["per_class"].values())
    assert np.array(report["confusion_matrix"]).sum() == report["n"]
    assert report["malignant"]["threshold"] == made.manifest.threshold
    for key in ("accuracy", "malignant.auc", "malignant.sensitivity", "malignant.specificity"):
        low, high = report["intervals"][key]
        assert 0 <= low <= high <= 1
    assert "macro_auc" not in report["intervals"], "of each class three lesions or fewer were not met"


def test_an_absent_class_is_null(made, classifier, test_part, tmp_path):
    labelled = Labelled(tmp_path / "some")
    for row in test_part[test_part["dx"] != "df"].itertuples():
        labelled.add(row.path.read_bytes(), row.image_id + ".jpg", row.lesion_id, row.dx)
    report = labelled.evaluate(made, classifier)
    assert [code for code, one in report["per_class"].items() if one is None] == ["df"]


def test_one_hot_labels_give_the_same_figures_with_intervals_by_image(made, classifier, fresh, test_part):
    by_lesion = fresh.evaluate(made, classifier)
    header = ["image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    rows = [[r.image_id, *(float(h.lower() == r.dx) for h in header[1:])] for r in test_part.itertuples()]
    pd.DataFrame(rows, columns=header).to_csv(fresh.labels, index=False)

    by_image = fresh.evaluate(made, classifier)

    assert by_image["intervals"]["unit"] == "image"
    assert by_lesion["intervals"]["unit"] == "lesion"
    assert by_image | {"intervals": 0} == by_lesion | {"intervals": 0}


def test_an_unreadable_image_ends_an_evaluation_with_its_name(made, classifier, fresh):
    fresh.add(b"no image", "BROKEN.png", "ANOTHER_LESION", "nv")
    with pytest.raises(DatasetError, match=r"BROKEN\.png: This file is not a readable image"):
        fresh.evaluate(made, classifier)


@pytest.mark.usefixtures("in_use")
def test_the_figures_are_of_the_answers_that_the_page_gives(made, classifier, drawn_data, test_part):
    shown = [analysis.analyse(data=path.read_bytes()).prediction for path in test_part["path"]]
    commanded = [one.prediction for one in prediction.predict(classifier=classifier, paths=test_part["path"])]
    report = evaluate_all(made, classifier, drawn_data)

    for page, command in zip(shown, commanded, strict=True):
        np.testing.assert_allclose(page.probabilities, command.probabilities, atol=1e-6)
        assert (page.threshold, page.model_version) == (command.threshold, command.model_version)
    confusion = np.zeros((7, 7), int)
    for truth, page in zip(test_part["dx"], shown, strict=True):
        confusion[CODES.index(truth), page.diagnosis.index] += 1
    assert report["confusion_matrix"] == confusion.tolist()
    malignant = test_part["dx"].isin(["mel", "bcc", "akiec"])
    referred = np.array([page.refer for page in shown])
    assert report["malignant"]["sensitivity"] == pytest.approx(referred[malignant].mean())
    truth = [page.probabilities[CODES.index(dx)] for dx, page in zip(test_part["dx"], shown, strict=True)]
    assert report["log_loss"] == pytest.approx(-np.log(truth).mean(), rel=1e-4)


def test_a_report_is_written_whole_beside_the_figures_of_the_json(made, classifier, fresh, tmp_path):
    folder = tmp_path / "new" / "report"
    plain = fresh.evaluate(made, classifier)
    assert fresh.evaluate(made, classifier, report_folder=folder) == plain

    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "report.json"]
    written = json.loads((folder / "report.json").read_text())
    assert {key: value for key, value in written.items() if key not in ("details", "source")} == plain
    in_the_bundle = json.loads(made.text("details.json"))
    assert written["details"]["operating_points"] == in_the_bundle["operating_points"]
    assert written["details"]["prediction_sets"] == in_the_bundle["prediction_sets"]
    assert made.manifest.model_version in (folder / "report.html").read_text()


def write_shape(path: Path, shape: str, folder: Path) -> None:
    """Write a picture in another shape with the same square in its middle."""
    with Image.open(path) as image:
        width, height = image.size
        left = (width - height) // 2
        shapes = {
            "as it is": image,
            "square": image.crop((left, 0, left + height, height)),
            "portrait": image.crop((left, -left, left + height, height + left)),
            "wide": image.crop((-width, 0, 2 * width, height)),
            "large": image.resize((3 * width, 3 * height), Image.Resampling.NEAREST),
        }
        shapes[shape].save(folder / f"{path.stem}.png")


def test_a_folder_of_pictures_of_every_shape_and_size_is_judged_by_their_middle_squares(
    classifier, test_part, tmp_path
):
    labels = tmp_path / "labels.csv"
    test_part[["image_id", "lesion_id", "dx"]].to_csv(labels, index=False)
    known = []
    for shapes in (["as it is"], ["square", "portrait", "as it is", "wide", "large"]):
        images, masks = tmp_path / shapes[-1], tmp_path / shapes[-1] / "segmentations"
        masks.mkdir(parents=True)
        for number, row in enumerate(test_part.itertuples()):
            write_shape(row.path, shapes[number % len(shapes)], images)
            write_shape(row.mask, shapes[number % len(shapes)], masks)
        table = ham10000.read_labelled(images, labels).table
        known.append(evaluation.answer(classifier=classifier, table=table, with_looks=True))
    report = evaluation.evaluate(classifier=classifier, images=images, labels=labels, report_folder=tmp_path / "report")

    assert report["n"] == len(test_part)
    plain, mixed = known
    assert abs(plain.logits - mixed.logits).max() < 0.3 * plain.logits.std(axis=0).max()
    looks = [pair for pair in zip(plain.looks, mixed.looks, strict=True) if None not in pair]
    assert len(looks) > 20
    for one, other in looks:
        assert astuple(other) == pytest.approx(astuple(one), abs=0.05)


@pytest.fixture
def masked(fresh, test_part) -> "Labelled":
    """The images of the test part with their lesion masks in a folder beside them, two masks missing."""
    folder = fresh.folder / "HAM10000_segmentations_lesion_tschandl"
    folder.mkdir()
    for mask in test_part["mask"][2:]:
        shutil.copy(mask, folder)
    return fresh


@pytest.mark.usefixtures("in_use")
def test_the_report_tells_how_much_of_the_page_s_map_lies_inside_the_lesion(
    made, classifier, masked, test_part, tmp_path
):
    """Checked with Pillow's own cubic enlargement, on the pictures as a person gets them."""
    masked.evaluate(made, classifier, report_folder=tmp_path / "report")
    found = json.loads((tmp_path / "report" / "report.json").read_text())["details"]["localisation"]
    shares = []
    for row in test_part[2:].itertuples():
        shown = analysis.analyse(data=row.path.read_bytes())
        left, top, side = shown.box
        heat = Image.fromarray(shown.explanations[shown.prediction.diagnosis.code].heat_map)
        enlarged = np.maximum(np.asarray(heat.resize((side, side), Image.Resampling.BICUBIC)), 0)
        mask = np.asarray(Image.open(row.mask))[top : top + side, left : left + side] > 0
        shares.append(enlarged[mask].sum() / enlarged.sum() if enlarged.any() and mask.any() else None)
    measured = [share for share in shares if share is not None]
    assert found["groups"][0]["images"] == len(measured) > 20
    assert found["groups"][0]["inside"]["value"] == pytest.approx(np.mean(measured), abs=0.01)
    assert "Where the network looks" in (tmp_path / "report" / "report.html").read_text()


def test_a_bundle_s_card_says_where_its_network_looks(made):
    assert json.loads(made.text("details.json"))["localisation"]["groups"][0]["name"] == "all"
    assert "## Where the network looks" in made.text("card.md")


def test_without_masks_a_report_says_nothing_of_where_the_network_looks(made, classifier, fresh, tmp_path):
    fresh.evaluate(made, classifier, report_folder=tmp_path / "report")
    assert json.loads((tmp_path / "report" / "report.json").read_text())["details"]["localisation"] is None
    assert "Where the network looks" not in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize("wrong", ["other proportions", "no image"])
def test_a_mask_that_cannot_be_the_picture_s_ends_a_report_with_both_names(
    made, classifier, masked, tmp_path, test_part, wrong
):
    mask = masked.folder / "HAM10000_segmentations_lesion_tschandl" / test_part["mask"].iloc[2].name
    if wrong == "no image":
        mask.write_bytes(b"no image")
    else:
        Image.new("L", (128, 128), 255).save(mask)
    with pytest.raises(DatasetError, match=rf"{test_part['image_id'].iloc[2]}\.jpg: Its lesion mask {mask.name}"):
        masked.evaluate(made, classifier, report_folder=tmp_path / "report")
    masked.evaluate(made, classifier)  # which needs no mask


def test_a_report_on_another_source_names_it_and_what_the_model_learned_from(made, classifier, fresh, tmp_path):
    fresh.add(noise(3), "ANOTHER_IMAGE.png", "ANOTHER_LESION", "nv")
    fresh.evaluate(made, classifier, report_folder=tmp_path / "report")
    source = json.loads((tmp_path / "report" / "report.json").read_text())["source"]
    assert source == {
        "name": "own data", "images": "labelled", "labels": "labels.csv", "learned_from": "drawn lesions", "note": "",
    }  # fmt: skip


def test_corruptions_are_measured_on_the_scored_images_and_stand_in_the_report(made, classifier, fresh, tmp_path):
    steps: list[tuple[int, int]] = []
    folder = tmp_path / "report"
    plain = fresh.evaluate(
        made, classifier, report_folder=folder, corruptions=True, on_progress=lambda *step: steps.append(step)
    )
    found = json.loads((folder / "report.json").read_text())["details"]["corruptions"]
    conditions = [(one["kind"], one["severity"]) for one in found["conditions"]]
    assert conditions == [(kind, severity) for kind in CORRUPTIONS for severity in (1, 2, 3)]
    assert found["clean"]["balanced_accuracy"]["value"] == pytest.approx(plain["balanced_accuracy"])
    assert found["clean"]["malignant.sensitivity"]["value"] == pytest.approx(plain["malignant"]["sensitivity"])
    assert len({one["macro_auc"]["value"] for one in found["conditions"]}) > 5
    assert steps[-1] == (len(conditions) * plain["n"],) * 2
    assert "Corrupted pictures" in (folder / "report.html").read_text()


def test_an_evaluation_that_fails_leaves_no_report_folder(made, classifier, fresh, tmp_path):
    fresh.add(b"no image", "BROKEN.png", "ANOTHER_LESION", "nv")
    with pytest.raises(DatasetError):
        fresh.evaluate(made, classifier, report_folder=tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_model_made_before_prediction_sets_is_evaluated_and_reports_none(copied, made, fresh, tmp_path):
    folder = copied()
    raw = json.loads((folder / "manifest.json").read_text())
    kept = {key: value for key, value in raw.items() if key not in ("prediction_sets", "balanced_threshold")}
    (folder / "manifest.json").write_text(json.dumps(kept))
    older = Classifier(bundle.read(folder))

    fresh.evaluate(made, older, report_folder=tmp_path / "report")

    details = json.loads((tmp_path / "report" / "report.json").read_text())["details"]
    assert details["prediction_sets"] is None
    assert list(details["operating_points"]) == ["sensitive"]


# -- a binary model ---------------------------------------------------------------------------------------------------


def test_a_binary_model_is_evaluated_with_null_for_what_it_cannot_say(binary_made, drawn_data):
    report = evaluate_all(binary_made, Classifier(binary_made), drawn_data)
    assert set(report) == KEYS
    empty = {key for key, value in report.items() if value is None}
    assert empty == {
        "balanced_accuracy", "macro_auc", "macro_f1", "macro_precision", "macro_recall", "per_class",
        "confusion_matrix",
    }  # fmt: skip
    assert all(isinstance(value, float) for value in report["malignant"].values())
    assert report["intervals"]["malignant.auc"][0] <= report["malignant"]["auc"]


def test_a_binary_model_is_not_used_on_patients_images(binary_made, test_part, monkeypatch):
    with pytest.raises(BundleError, match="only tells benign from malignant"):
        next(prediction.predict(classifier=Classifier(binary_made), paths=test_part["path"]))

    monkeypatch.setenv("SKIN_MODEL_BUNDLE", str(binary_made.folder))
    with pytest.raises(BundleError, match="only tells benign from malignant"):
        analysis.analyse(data=test_part["path"][0].read_bytes())
    assert (workspace.model_state().status, workspace.model_state().summary) == ("failed", None)


# -- predict ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(test_part, tmp_path) -> Path:
    """A folder with three images, one of them in a sub-folder, a damaged one between them and a text."""
    folder = tmp_path / "mixed"
    (folder / "c").mkdir(parents=True)
    for name, path in zip(("a.jpg", "c/inner.JPG", "d.jpeg"), test_part["path"], strict=False):
        shutil.copyfile(path, folder / name)
    (folder / "b.jpg").write_bytes((folder / "a.jpg").read_bytes()[:700])
    (folder / "notes.txt").write_text("no image, and not named as one")
    return folder


def test_a_bad_file_gets_its_reason_and_never_stops_the_others(classifier, mixed, test_part):
    judged = list(prediction.predict(classifier=classifier, paths=[mixed, test_part["path"][3], mixed / "none.png"]))

    names = [str(one.path.relative_to(mixed)) for one in judged[:4]]
    assert names == ["a.jpg", "b.jpg", "c/inner.JPG", "d.jpeg"]
    assert [one.prediction is None for one in judged] == [False, True, False, False, False, True]
    assert "not a readable image" in judged[1].error
    assert "no file 'none.png'" in judged[5].error
    alone = next(prediction.predict(classifier=classifier, paths=[mixed / "d.jpeg"]))
    np.testing.assert_allclose(judged[3].prediction.probabilities, alone.prediction.probabilities, atol=1e-6)


def test_answers_keep_the_order_of_the_files_over_several_batches(classifier, parts):
    paths = list(parts["path"][:70])
    judged = list(prediction.predict(classifier=classifier, paths=paths))
    assert [one.path for one in judged] == paths
    for position in (0, 33, 69):
        alone = next(prediction.predict(classifier=classifier, paths=[paths[position]]))
        np.testing.assert_allclose(judged[position].prediction.probabilities, alone.prediction.probabilities, atol=1e-6)


def test_predict_writes_one_object_per_image_and_exits_with_1_where_any_failed(made, mixed, tmp_path, capsys):
    file = tmp_path / "answers.json"

    status = cli.main(["predict", str(mixed), "--model", str(made.folder), "--json", str(file)])

    good, bad, *others = json.loads(file.read_text())
    assert status == 1
    assert len(others) == 2
    assert list(good) == [
        "image", "sha256", "outcome", "findings",
        "probabilities", "diagnosis", "malignant_probability", "threshold", "refer", "model_version", "patient",
    ]  # fmt: skip
    assert list(good["probabilities"]) == list(CODES)
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert good["diagnosis"] == max(good["probabilities"], key=good["probabilities"].get)
    assert good["malignant_probability"] == pytest.approx(
        sum(good["probabilities"][c] for c in ("mel", "bcc", "akiec"))
    )
    assert good["threshold"] == made.manifest.threshold
    assert good["refer"] is (good["malignant_probability"] >= good["threshold"])
    assert good["patient"] == {"age": None, "sex": None, "site": None}
    assert good["sha256"] == imaging.read(mixed / "a.jpg").sha256
    assert list(bad) == ["image", "error"]
    assert "b.jpg: error: This file is not a readable image" in capsys.readouterr().err
    assert cli.main(["predict", str(mixed / "a.jpg"), "--model", str(made.folder)]) == 0


# -- the model in use -------------------------------------------------------------------------------------------------


def test_a_damaged_model_is_reported_and_a_restored_one_is_used_without_a_restart(copied, test_part, monkeypatch):
    folder = copied()
    image = test_part["path"][0].read_bytes()
    monkeypatch.setenv("SKIN_MODEL_BUNDLE", str(folder))
    good = analysis.analyse(data=image)
    assert workspace.model_state().status == "ready"

    weights = bytearray((folder / "serving.bin").read_bytes())
    weights[100] ^= 255
    (folder / "serving.bin").write_bytes(weights)
    with pytest.raises(BundleError, match=r"serving\.bin .* changed or damaged"):
        analysis.analyse(data=image)
    state = workspace.model_state()
    assert (state.status, state.summary) == ("failed", None)
    assert "serving.bin" in state.message
    assert "Restore" in state.message

    copied()
    np.testing.assert_array_equal(analysis.analyse(data=image).prediction.probabilities, good.prediction.probabilities)
    assert workspace.model_state().status == "ready"


def test_a_model_that_is_not_there_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("SKIN_MODEL_BUNDLE", str(tmp_path / "nowhere"))
    with pytest.raises(BundleError, match="There is no model in"):
        workspace.classifier()
    assert workspace.model_state().status == "failed"


@pytest.mark.usefixtures("in_use")
def test_the_model_is_loaded_once_and_described_as_its_manifest_says(made):
    first = workspace.classifier()
    summary = workspace.model_state().summary
    assert workspace.classifier() is first
    assert (summary.version, summary.network, summary.size) == (made.manifest.model_version, "custom_cnn", 64)
    assert (summary.views, summary.threshold) == (2, made.manifest.threshold)
    assert summary.evaluation["model_version"] == summary.version
    assert summary.version in summary.card


# -- analyse ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_use")
def test_an_analysis_holds_seven_probabilities_and_a_map_of_every_class(test_part):
    found = analysis.analyse(data=test_part["path"][0].read_bytes())

    assert found.prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert list(found.explanations) == list(CODES)
    for code, explanation in found.explanations.items():
        assert (explanation.target, explanation.method) == (code, "Grad-CAM")
        assert explanation.heat_map.shape == (4, 4)
        assert 0 <= explanation.heat_map.min() <= explanation.heat_map.max() <= 1
    assert any(explanation.heat_map.any() for explanation in found.explanations.values())
    assert found.image.pixels.shape == (110, 146, 3)
    assert found.box == (18, 0, 110)


@pytest.mark.usefixtures("in_use")
def test_the_overlay_is_of_the_class_that_was_asked_for(test_part):
    found = analysis.analyse(data=test_part["path"][0].read_bytes())
    shown = {code: analysis.overlay(analysis=found, target=code) for code in CODES}
    for code, picture in shown.items():
        assert picture.shape == found.image.pixels.shape
        assert bool((picture != found.image.pixels).any()) == bool(found.explanations[code].heat_map.any())
    assert len({picture.tobytes() for picture in shown.values()}) > 1


@pytest.mark.usefixtures("in_use")
def test_a_file_that_is_no_image_is_refused_by_the_analysis():
    with pytest.raises(ImageError, match="not a readable image"):
        analysis.analyse(data=b"a text named .jpg")


@pytest.mark.usefixtures("in_use")
def test_examples_from_a_data_set_are_one_unseen_image_of_each_class(drawn_data, test_part, monkeypatch):
    monkeypatch.setenv("SKIN_MODEL_DATA", str(drawn_data))
    workspace.classifier()  # waits for the model: before, none are known
    examples = analysis.examples()
    assert [example.diagnosis for example in examples] == sorted(CODES)
    assert {example.path for example in examples} <= set(test_part["path"])


@pytest.mark.usefixtures("in_use")
def test_no_page_waits_for_a_loading_model_for_the_sake_of_a_data_sets_examples(drawn_data, monkeypatch):
    monkeypatch.setenv("SKIN_MODEL_DATA", str(drawn_data))
    monkeypatch.setattr(workspace, "model_state", lambda: ModelState("loading"))
    monkeypatch.setattr(workspace, "classifier", lambda: pytest.fail("this waits until the model is loaded"))
    assert analysis.examples() == []


@pytest.mark.usefixtures("in_use")
def test_a_data_set_that_vanished_leaves_the_drawn_examples(drawn_data, tmp_path, monkeypatch):
    data = tmp_path / "data"
    shutil.copytree(drawn_data, data)
    monkeypatch.setenv("SKIN_MODEL_DATA", str(data))
    workspace.classifier()
    assert all(example.path.is_relative_to(data) for example in analysis.examples())
    shutil.rmtree(data)
    assert {example.path.parent for example in analysis.examples()} == {settings.ASSETS / "examples"}


@pytest.mark.usefixtures("in_use")
def test_without_a_data_set_the_examples_are_drawings_and_say_so(tmp_path, monkeypatch, caplog):
    shipped = sorted((settings.ASSETS / "examples").glob("*.jpg"))
    assert [example.path for example in analysis.examples()] == shipped
    assert all(e.synthetic and e.diagnosis in CODES for e in analysis.examples())
    workspace.classifier()
    with caplog.at_level(logging.WARNING):
        monkeypatch.setenv("SKIN_MODEL_DATA", str(tmp_path / "moved away"))
        assert [example.path for example in analysis.examples()] == shipped
    assert "SKIN_MODEL_DATA serves no examples" in caplog.text


def test_the_commands_in_a_card_name_every_setting_that_is_not_the_default(made):
    train, bundled, measured = reproduction.commands(made.manifest)
    assert train.endswith(
        "--out runs/1 --network custom_cnn --size 64 --epochs 4 --batch 8 --learning-rate 0.002 --augmentation light "
        "--patience 4"
    )
    assert "--run runs/1 --out MODEL --views 2 --sensitivity 0.95" in bundled
    assert measured.startswith("python -m skin_model evaluate")
