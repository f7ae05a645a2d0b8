"""The gate of a whole model: what travels in its bundle, what it refuses, what `predict` and the page make of that."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks.counter_examples import counter_examples
from skin_model import bundle, cli, imaging, quality, settings
from skin_model.bundle import Bundle
from skin_model.dataset.drawn import draw_lesion
from skin_model.entities import CARE, FINE, REFUSED, Analysis, ModelState, ModelSummary, NotJudged, SimilarCase
from skin_model.inference import Classifier
from skin_model.neighbours import References
from skin_model.services import analysis, prediction, references, registered, similar
from skin_model.services.gate import FILE, Gate
from skin_model.taxonomy import CODES

ONE_COLOUR = np.full((300, 300, 3), (222, 160, 150), np.uint8)


@pytest.fixture(scope="module")
def shipped() -> tuple[Classifier, Gate]:
    """The bundled model and its gate."""
    made = bundle.read(settings.ASSETS / "model")
    return Classifier(made), Gate(made)


def outcomes(shipped: tuple[Classifier, Gate], pictures: list[np.ndarray]) -> list[str]:
    classifier, gate = shipped
    squares = np.stack([imaging.centre(imaging.fit(pixels, classifier.manifest.size)) for pixels in pictures])
    checked = gate.check(squares, classifier.answer(squares, views=1).embeddings)
    return [report.outcome for report, _ in checked]


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def test_a_picture_is_of_one_quality_whatever_the_networks_size(
    made: Bundle, parts: pd.DataFrame, tmp_path: Path
) -> None:
    """The little network takes squares so small that a blurred picture looks sharp in them."""
    pixels = cv2.GaussianBlur(imaging.read(parts["path"].iloc[0]).pixels, (0, 0), 1.2)
    (tmp_path / "blurred.png").write_bytes(png(pixels))
    assert made.manifest.size < 100
    squares = [imaging.centre(imaging.fit(pixels, size)) for size in (made.manifest.size, 288)]
    small, large = ({finding.name for finding in quality.inspect(square).findings} for square in squares)
    assert "blur" in large - small
    (judged,) = prediction.predict(classifier=Classifier(made), paths=[tmp_path / "blurred.png"], judge_all=True)
    assert {finding.name for finding in judged.quality.findings} - {"unfamiliar"} == large


def test_a_bundle_carries_one_case_per_lesion_it_was_trained_on_and_no_other(made: Bundle, parts: pd.DataFrame) -> None:
    kept = References.load(made.path(FILE))
    lesion = dict(zip(parts["image_id"], parts["lesion_id"], strict=True))
    carried = [lesion[image] for image in kept.images]
    trained = parts[parts["part"].str.startswith("fold") & (parts["part"] != made.manifest.data["validation"])]
    assert sorted(carried) == sorted(trained["lesion_id"].unique())
    truth = dict(zip(parts["image_id"], parts["dx"], strict=True))
    assert [CODES[label] for label in kept.labels] == [truth[image] for image in kept.images]
    with np.load(made.path(FILE)) as stored:
        assert stored["coordinates"].dtype == np.float16
        assert stored["coordinates"].shape[1] <= 128


def test_a_set_without_lesion_names_gives_a_case_for_every_picture(
    classifier: Classifier, parts: pd.DataFrame, tmp_path: Path
) -> None:
    references.write_references(classifier, parts.assign(lesion_id=np.nan), tmp_path / FILE)
    kept = References.load(tmp_path / FILE)
    trained = parts["part"].str.startswith("fold") & (parts["part"] != classifier.manifest.data["validation"])
    assert len(kept.images) == trained.sum()
    assert kept.usual > 0


def test_the_limits_come_from_calibration_lesions_alone(
    classifier: Classifier, parts: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    embeddings = references._embeddings
    monkeypatch.setattr(
        references, "_embeddings", lambda model, table: asked.extend(table["part"]) or embeddings(model, table)
    )
    references.write_references(classifier, parts, tmp_path / FILE)
    assert "calibration" in asked
    assert "test" not in asked
    assert References.load(tmp_path / FILE).limits == (None, None), "too few drawn lesions to set any"


def test_a_bundle_made_before_the_gate_still_serves_and_checks_the_quality_of_pictures_alone(
    copied: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied()
    (folder / FILE).unlink()
    raw = json.loads((folder / "manifest.json").read_text())
    del raw["files"][FILE]
    (folder / "manifest.json").write_text(json.dumps(raw))
    monkeypatch.setenv("SKIN_MODEL_BUNDLE", str(folder))
    found = analysis.analyse(data=png(draw_lesion("mel", seed=3)[0]))
    assert isinstance(found, Analysis)
    assert found.similar is None
    assert isinstance(analysis.analyse(data=png(ONE_COLOUR)), NotJudged)


def test_drawn_lesions_pass_the_shipped_gate_as_real_ones_do(shipped: tuple[Classifier, Gate]) -> None:
    found = outcomes(shipped, [draw_lesion(code, seed=seed)[0] for seed in range(6) for code in CODES])
    assert found.count(REFUSED) <= 0.03 * len(found)
    examples = [imaging.read(path).pixels for path in sorted((settings.ASSETS / "examples").glob("*.jpg"))]
    assert REFUSED not in outcomes(shipped, examples), "the first that anybody tries"


def test_photographed_lesions_pass_the_shipped_gate(shipped: tuple[Classifier, Gate], real_data: Path) -> None:
    paths = sorted((real_data / "full_size_examples").glob("*.jpg"))
    found = outcomes(shipped, [imaging.read(path).pixels for path in paths])
    assert found.count(REFUSED) <= 0.05 * len(found)


def test_pictures_that_are_no_dermoscopy_are_refused_by_the_shipped_gate(shipped: tuple[Classifier, Gate]) -> None:
    by_family: dict[str, list[np.ndarray]] = {}
    for number, one in enumerate(counter_examples()):
        if number % 3 == 0:
            by_family.setdefault(one.family, []).append(one.pixels)
    found = {family: outcomes(shipped, pictures) for family, pictures in by_family.items()}
    assert len(found) == 7
    assert not [family for family, outcome in found.items() if FINE in outcome]
    refused = {family: outcome.count(REFUSED) / len(outcome) for family, outcome in found.items()}
    assert min(refused.values()) >= 0.7, refused
    assert np.mean(list(refused.values())) >= 0.85, refused


@pytest.mark.parametrize("text", ["Dear colleague, thank you for", "01 02 03 04 05 06 07"])
def test_written_text_is_refused(shipped: tuple[Classifier, Gate], text: str) -> None:
    page = np.full((450, 600, 3), 250, np.uint8)
    for row in range(40, 440, 36):
        cv2.putText(page, text, (20, row), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (20, 20, 20), 2, cv2.LINE_AA)
    assert outcomes(shipped, [page]) == [REFUSED]


def test_what_is_refused_has_no_probabilities_until_somebody_asks_for_them_all_the_same(
    made: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIN_MODEL_BUNDLE", str(made.folder))
    found = analysis.analyse(data=png(ONE_COLOUR))
    assert isinstance(found, NotJudged)
    assert found.quality.outcome == REFUSED
    assert not hasattr(found, "prediction")
    answer = found.judge_anyway()
    assert answer.quality == found.quality
    assert answer.prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
    alone = Classifier(made).answer(answer.square[None])
    np.testing.assert_allclose(
        answer.prediction.probabilities, Classifier(made).probabilities(alone.logits)[0], atol=1e-6
    )


def test_predict_says_why_a_picture_is_not_judged_and_judges_it_only_when_told_to(
    made: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dim, blank = tmp_path / "dim.png", tmp_path / "blank.png"
    dim.write_bytes(png(draw_lesion("nv", seed=0)[0] // 4))
    blank.write_bytes(png(ONE_COLOUR))
    written = tmp_path / "answers.json"
    arguments = ["predict", str(dim), str(blank), "--model", str(made.folder)]
    assert cli.main([*arguments, "--json", str(written)]) == 1
    assert "blank.png: not judged: The picture is of one even colour" in capsys.readouterr().err
    careful, refused = json.loads(written.read_text())
    assert [careful["outcome"], refused["outcome"]] == [CARE, REFUSED]
    assert sum(careful["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert "probabilities" not in refused
    assert refused["findings"][0]["name"] == "blank"
    assert cli.main([*arguments, "--judge-all"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "; use with care: " in told[0]
    assert "The picture is underexposed" in told[0]
    assert "; not judged: The picture is of one even colour" in told[1]


@pytest.fixture
def in_use(made: Bundle, monkeypatch: pytest.MonkeyPatch) -> str:
    """The model made for these tests is the one in use: its version."""
    classifier, version = Classifier(made), made.manifest.model_version
    summary = ModelSummary(version, "custom_cnn", 64, 1, 0.1, 0.95, {}, "")
    monkeypatch.setattr(similar.workspace, "model_state", lambda: ModelState("ready", summary=summary))
    monkeypatch.setattr(similar.workspace, "classifier", lambda: classifier)
    return version


def test_another_data_sets_picture_of_the_same_name_never_stands_for_a_similar_case(
    drawn_data: Path, in_use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, foreign = tmp_path / "own", tmp_path / "foreign"
    for folder in (own, foreign):
        shutil.copytree(drawn_data, folder)
    table = pd.read_csv(foreign / "HAM10000_metadata.csv")
    table["lesion_id"] = "OTHER_" + table["lesion_id"]
    table.to_csv(foreign / "HAM10000_metadata.csv", index=False)
    image = next(iter(sorted(own.rglob("*.jpg"))))
    cases = (SimilarCase(image.stem, "nv", "histo", 1.0),)
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path / "home"))
    registered.register(folder=foreign, who="anna")
    assert similar.pictures(cases=cases, model=in_use) == {}
    registered.register(folder=own, who="anna")
    assert similar.pictures(cases=cases, model=in_use) == {image.stem: image}
    assert similar.pictures(cases=cases, model="the model before") == {}


def test_a_data_set_without_lesions_is_known_by_its_split(
    drawn_data: Path, in_use: str, made: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(drawn_data, tmp_path / "data")
    table = pd.read_csv(tmp_path / "data" / "HAM10000_metadata.csv")
    table.assign(lesion_id="").to_csv(tmp_path / "data" / "HAM10000_metadata.csv", index=False)
    image = next(iter(sorted((tmp_path / "data").rglob("*.jpg"))))
    cases = (SimilarCase(image.stem, "nv", "histo", 1.0),)
    for split, expected in ((made.manifest.data["split"], {image.stem: image}), ("another", {})):
        monkeypatch.setattr(similar, "_folders", lambda split=split: [(tmp_path / "data", split)])
        assert similar.pictures(cases=cases, model=in_use) == expected


def test_a_data_set_that_vanished_leaves_similar_cases_without_pictures(
    drawn_data: Path, in_use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(drawn_data, folder)
    monkeypatch.setenv("SKIN_MODEL_DATA", str(folder))
    image = next(iter(sorted(folder.rglob("*.jpg"))))
    cases = (SimilarCase(image.stem, "nv", "histo", 1.0), SimilarCase("ISIC_9999999", "nv", "histo", 1.1))
    assert similar.pictures(cases=cases, model=in_use) == {image.stem: image}
    monkeypatch.delenv("SKIN_MODEL_DATA")
    assert similar.pictures(cases=cases, model=in_use) == {}
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path / "home"))
    registered.register(folder=folder, who="anna")
    assert similar.pictures(cases=cases, model=in_use) == {image.stem: image}
    image.unlink()
    assert similar.pictures(cases=cases, model=in_use) == {}
    shutil.rmtree(folder)
    assert similar.pictures(cases=cases, model=in_use) == {}
