"""Prediction sets, agreement of views, operating points and costs: checked by counting."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from skin_model.bundle import Bundle
from skin_model.dataset.drawn import draw_lesion
from skin_model.entities import Analysis, ModelSummary, Patient, Prediction
from skin_model.errors import BundleError, ConfigurationError
from skin_model.inference import Classifier
from skin_model.services import analysis, costs, trust
from skin_model.taxonomy import CODES

SUMMARY = ModelSummary("some-model-1", "mobilenet", 64, 2, 0.12, 0.95, {}, "")
ANSWER = Prediction(np.array([0.05, 0.06, 0.1, 0.01, 0.25, 0.45, 0.08], dtype=np.float32), 0.12, "some-model-1")


def test_predictive_values_are_those_of_counting_ten_thousand_lesions() -> None:
    point = trust.OperatingPoint("", 0.1, (0.9, 0, 1), (0.92, 0, 1), (0.7, 0, 1))
    found, missed, spared, in_vain = 90, 10, 0.7 * 9900, 0.3 * 9900  # of 100 malignant and 9,900 benign
    positive, negative = point.predictive_values(0.01)
    assert positive == pytest.approx(found / (found + in_vain))
    assert negative == pytest.approx(missed / (missed + spared))


def test_probabilities_at_another_prevalence_are_those_of_a_resampled_population() -> None:
    random = np.random.default_rng(0)
    learned, own = 0.2, 0.02
    malignant = random.random(2_000_000) < learned
    looks = random.random(malignant.size) < np.where(malignant, 0.6, 0.1)  # a sign that a picture shows or does not
    given = (malignant & looks).sum() / looks.sum()
    kept = random.random(malignant.size) < np.where(malignant, own / learned, (1 - own) / (1 - learned)) / 1.3
    expected = (malignant & looks & kept).sum() / (looks & kept).sum()
    answer = Prediction(np.array([0, 0, 0, 0, given, 1 - given, 0], dtype=np.float32), 0.1, "")
    found = trust.at_prevalence(prediction=answer, learned=learned, own=own)
    assert found["mel"] == pytest.approx(expected, rel=0.05)
    assert sum(found.values()) == pytest.approx(1)
    same = trust.at_prevalence(prediction=ANSWER, learned=learned, own=learned)
    assert same == pytest.approx(ANSWER.by_code(), abs=1e-6)


def test_the_set_holds_what_reaches_its_class_threshold_the_likeliest_first() -> None:
    fitted = {"coverage": 0.9, "thresholds": dict.fromkeys(CODES, 0.2) | {"vasc": 0.0, "akiec": 0.05},
              "lesions": dict.fromkeys(CODES, 50) | {"vasc": 5}}  # fmt: skip
    found = trust.prediction_set(prediction=ANSWER, summary=replace(SUMMARY, prediction_sets=fitted))
    assert found is not None
    assert found.codes == ("nv", "mel", "vasc", "akiec")
    assert found.always == ("vasc",)
    assert trust.prediction_set(prediction=ANSWER, summary=SUMMARY) is None, "a model made before there were sets"


def test_the_words_of_an_evaluation_are_the_figures_of_its_report(examined: Callable[..., tuple[Any, Any]]) -> None:
    evaluation, details = examined()
    summary = replace(SUMMARY, evaluation=evaluation, details=details)
    first, second = trust.operating_points(summary=summary)
    assert (first.threshold, second.threshold) == (0.3, 0.45)
    assert first.sensitivity[0] == pytest.approx(evaluation["malignant"]["sensitivity"])
    assert first.specificity[0] == pytest.approx(evaluation["malignant"]["specificity"])
    assert all(low <= value <= high for value, low, high in (first.melanoma, second.melanoma))
    counts = {code: evaluation["per_class"][code]["n"] for code in CODES}
    learned = (counts["mel"] + counts["bcc"] + counts["akiec"]) / 200
    assert trust.prevalence(summary=summary) == pytest.approx(learned)
    sets = details["prediction_sets"]
    measured = {code for code in CODES if sets.get(f"{code}.coverage", {}).get("interval")}
    assert "mel" in measured
    assert set(trust.coverages(summary=summary)) == measured
    few = {**details, "prediction_sets": {**sets, "mel.coverage": {"value": 0.5, "interval": None}}}
    covered = trust.coverages(summary=replace(summary, details=few))
    assert set(covered) == measured - {"mel"}, "too few lesions to say how sure it is"
    assert trust.operating_points(summary=SUMMARY) == []
    points = details["operating_points"]
    unsure = points | {"sensitive": points["sensitive"] | {"melanoma_recall": {"value": 0.5, "interval": None}}}
    assert trust.operating_points(summary=replace(summary, details=details | {"operating_points": unsure})) == [], (
        "another point must not be taken for the one in use"
    )
    assert trust.prevalence(summary=SUMMARY) is None


def test_a_patient_of_a_group_in_which_more_is_missed_is_told_apart_from_others() -> None:
    def group(factor: str, level: str, *sensitivity: float | None) -> dict[str, Any]:
        value, low, high = sensitivity or (None, None, None)
        measured = {"value": value, "interval": [low, high]}
        return {"factor": factor, "level": level, "malignant_lesions": 12, "sensitivity": measured}

    details = {
        "operating_points": {"sensitive": {"sensitivity": {"value": 0.93}}},
        "subgroups": [
            group("age", "30 to 44", 0.68, 0.44, 0.9), group("age", "75 and older", 0.97, 0.91, 1.0),
            group("localization", "abdomen", 0.67, 0.39, 0.89), 
            group("localization", "hand") | {"malignant_lesions": 0},
            group("localization", "foot", 0.0, 0.0, 0.0) | {"malignant_lesions": 1},
            group("sex", "female", 0.91, 0.83, 0.96), group("dx_type", "histo", 0.6, 0.5, 0.7),
        ],
    }  # fmt: skip
    summary = replace(SUMMARY, details=details)
    found = trust.weaknesses(patient=Patient(age=44, sex="female", site="abdomen"), summary=summary)
    assert [(one.level, one.sensitivity) for one in found] == [
        ("30 to 44", (0.68, 0.44, 0.9)), ("abdomen", (0.67, 0.39, 0.89)),
    ]  # fmt: skip
    for other in (Patient(), Patient(age=45, site="hand"), Patient(site="foot"), Patient(age=80, sex="female")):
        assert trust.weaknesses(patient=other, summary=summary) == []
    assert trust.weaknesses(patient=Patient(age=44), summary=SUMMARY) == [], "nothing was measured"


def test_each_view_is_judged_as_if_it_had_been_uploaded(
    made: Bundle, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIN_MODEL_BUNDLE", str(made.folder))
    found = analysis.analyse(data=cv2.imencode(".png", draw_lesion("bcc", seed=5)[0][..., ::-1])[1].tobytes())
    assert isinstance(found, Analysis)
    views = trust.agreement(analysis=found)
    turned = [np.rot90(side, times) for side in (found.square, found.square[:, ::-1]) for times in range(4)]
    alone = [classifier.probabilities(classifier.answer(one[None].copy(), views=1).logits)[0] for one in turned]
    expected = sorted(Prediction(one, 0.1, "").malignant_probability for one in alone)
    np.testing.assert_allclose(sorted(views.malignant), expected, atol=1e-5)
    assert len(views.likeliest) == trust.VIEWS
    other = replace(found, prediction=replace(found.prediction, model_version="older-1"))
    with pytest.raises(BundleError, match="Give the picture again"):
        trust.agreement(analysis=other)


def test_the_costs_in_force_are_the_newest_and_who_set_them_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIN_MODEL_HOME", str(tmp_path))
    assert costs.current() is None
    assert not list(tmp_path.iterdir()), "looking makes no record"
    costs.keep(missed={"mel": 40, "bcc": 5, "akiec": 2}, who="anna")
    costs.keep(missed={"mel": 20, "bcc": 5, "akiec": 2}, who="bert")
    table = costs.current()
    assert table is not None
    assert (table.missed["mel"], table.actor) == (20, "bert")
    for wrong in ({"mel": 40}, {"mel": 0, "bcc": 5, "akiec": 2}, {"mel": 2000, "bcc": 5, "akiec": 2}):
        with pytest.raises(ConfigurationError, match="from 1 to 1,000"):
            costs.keep(missed=wrong, who="anna")
    assert costs.current() == table


def test_a_lesion_is_referred_where_missing_it_costs_more_than_the_referral() -> None:
    table = costs.Costs({"mel": 40, "bcc": 5, "akiec": 2}, "anna", None)  # type: ignore[arg-type]
    probabilities = ANSWER.by_code()
    assert costs.of_not_referring(probabilities=probabilities, costs=table) == pytest.approx(10 + 0.3 + 0.1)
    assert costs.of_referring(probabilities=probabilities) == pytest.approx(0.64)
