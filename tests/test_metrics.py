"""Every figure against scikit-learn, on random answers with absent classes and ties."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as sk

from skin_model.entities import Prediction
from skin_model.errors import BundleError, DatasetError
from skin_model.evaluation import metrics, report, resampling, sections
from skin_model.taxonomy import CODES, MALIGNANT_INDICES

KEYS = {
    "n", "accuracy", "balanced_accuracy", "macro_auc", "macro_f1", "macro_precision", "macro_recall",
    "log_loss", "ece", "malignant", "per_class", "confusion_matrix", "classes",
}  # fmt: skip


def answers(seed, rows, classes=range(7), sharpness=2.0, digits=3):
    """Labels drawn from the very probabilities given, which are rounded so that ties occur."""
    random = np.random.default_rng(seed)
    logits = sharpness * random.normal(size=(rows, 7))
    probabilities = np.round(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), digits) + 1e-4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    allowed = np.isin(np.arange(7), list(classes))
    labels = np.array([random.choice(7, p=row * allowed / (row * allowed).sum()) for row in probabilities])
    return labels, probabilities.astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 80),
    classes=st.sets(st.integers(0, 6), min_size=1),
    threshold=st.floats(0, 1),
)
def test_every_figure_is_scikit_learns(seed, rows, classes, threshold):
    labels, probabilities = answers(seed, rows, classes)
    found = metrics.score(labels, probabilities, threshold=threshold)
    predicted, present = probabilities.argmax(axis=1), sorted(set(labels))
    macro = {"labels": present, "average": "macro", "zero_division": 0}
    assert set(found) == KEYS
    assert found["accuracy"] == pytest.approx(np.mean(predicted == labels))
    assert found["balanced_accuracy"] == pytest.approx(sk.recall_score(labels, predicted, **macro))
    assert found["macro_recall"] == found["balanced_accuracy"]
    assert found["macro_precision"] == pytest.approx(sk.precision_score(labels, predicted, **macro))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(labels, predicted, **macro))
    true = probabilities[np.arange(rows), labels].astype(float)
    assert found["log_loss"] == pytest.approx(-np.log(true).mean(), rel=1e-5)
    assert found["confusion_matrix"] == sk.confusion_matrix(labels, predicted, labels=range(7)).tolist()
    for index, code in enumerate(CODES):
        of_class = found["per_class"][code]
        if index not in present:
            assert of_class is None
            continue
        one = {"labels": [index], "average": None, "zero_division": 0}
        assert of_class["n"] == np.sum(labels == index)
        assert of_class["recall"] == pytest.approx(sk.recall_score(labels, predicted, **one)[0])
        assert of_class["precision"] == pytest.approx(sk.precision_score(labels, predicted, **one)[0])
        assert of_class["f1"] == pytest.approx(sk.f1_score(labels, predicted, **one)[0])
        if len(present) > 1:
            expected = sk.roc_auc_score(labels == index, probabilities[:, index])
            assert of_class["auc"] == pytest.approx(expected)
        else:
            assert of_class["auc"] is None
            assert found["macro_auc"] is None


def test_macro_auc_is_scikit_learns_over_all_seven_classes():
    labels, probabilities = answers(1, 400)
    expected = sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert metrics.score(labels, probabilities, threshold=0.5)["macro_auc"] == pytest.approx(expected)


def test_the_malignant_decision_is_scikit_learns():
    labels, probabilities = answers(2, 300)
    found = metrics.score(labels, probabilities, threshold=0.3)["malignant"]
    malignant = np.isin(labels, MALIGNANT_INDICES)
    p = metrics.malignant_probability(probabilities)
    assert found == pytest.approx({
        "auc": sk.roc_auc_score(malignant, p),
        "threshold": 0.3,
        "sensitivity": sk.recall_score(malignant, p >= 0.3),
        "specificity": sk.recall_score(~malignant, p < 0.3),
        "precision": sk.precision_score(malignant, p >= 0.3),
        "f1": sk.f1_score(malignant, p >= 0.3),
    })  # fmt: skip


def test_rates_of_which_half_are_right_are_a_half():
    malignant, p = np.array([True, True, False, False]), np.array([0.9, 0.1, 0.9, 0.1])
    found = metrics.score_binary(malignant, p, threshold=0.5)["malignant"]
    assert {found[name] for name in ("sensitivity", "specificity", "precision", "f1")} == {0.5}


def test_the_threshold_decides_as_it_does_on_the_page():
    _, probabilities = answers(3, 300)
    for threshold in (0.7, *metrics.malignant_probability(probabilities[:20])):
        page = [Prediction(row, float(threshold), "v").refer for row in probabilities]
        assert (metrics.malignant_probability(probabilities) >= threshold).tolist() == page
    edge = np.float32([[0, 0.7, 0, 0, 0, 0.3, 0]])  # 0.7 in float32 is a little less than 0.7
    found = metrics.score(np.array([1]), edge, threshold=0.7)["malignant"]["sensitivity"]
    assert found == float(Prediction(edge[0], 0.7, "v").refer) == 0.0


@pytest.mark.parametrize("classes", [[5], [2, 5], [4]])
def test_figures_that_are_not_defined_are_null_in_the_json(classes):
    labels, probabilities = answers(4, 30, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.score(labels, probabilities, threshold=0.5)
        found["intervals"] = metrics.bootstrap(labels, probabilities, None, threshold=0.5, samples=20)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    if 4 in classes:
        assert found["malignant"]["specificity"] is None
    else:
        assert found["malignant"]["sensitivity"] is found["malignant"]["auc"] is None
        assert "malignant.sensitivity" not in found["intervals"]
        assert "per_class.mel.recall" not in found["intervals"]


def test_the_binary_report_has_the_same_keys_and_scikit_learns_figures():
    labels, probabilities = answers(5, 300)
    malignant = np.isin(labels, MALIGNANT_INDICES)
    p = metrics.malignant_probability(probabilities)
    found = metrics.score_binary(malignant, p, threshold=0.2)
    assert set(found) == KEYS
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(malignant, p >= 0.2))
    assert found["log_loss"] == pytest.approx(sk.log_loss(malignant, p))
    assert found["malignant"] == metrics.score(labels, probabilities, threshold=0.2)["malignant"]
    taken, right = np.where(p >= 0.2, p, 1 - p), (p >= 0.2) == malignant
    assert found["ece"] == pytest.approx(metrics.expected_calibration_error(taken, right))
    assert found["per_class"] is found["confusion_matrix"] is found["balanced_accuracy"] is None
    intervals = metrics.bootstrap_binary(malignant, p, None, threshold=0.2, samples=50)
    for key in ("accuracy", "log_loss"):
        assert intervals[key][0] < found[key] < intervals[key][1]


def test_a_calibrated_model_has_a_small_calibration_error_and_an_overconfident_one_a_large_one():
    labels, probabilities = answers(6, 4000, digits=6)
    calibrated = metrics.score(labels, probabilities, threshold=0.5)["ece"]
    sharp = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    gap = sharp.max(axis=1).mean() - (sharp.argmax(axis=1) == labels).mean()
    assert calibrated < 0.03
    assert metrics.score(labels, sharp, threshold=0.5)["ece"] == pytest.approx(gap, abs=0.01)
    assert gap > 0.15


def test_calibration_error_compares_confidence_and_accuracy_in_fifteen_equally_filled_bins():
    random = np.random.default_rng(7)
    confidence = random.random(300)
    correct = random.random(300) < confidence**2
    bins = np.array_split(np.argsort(confidence), 15)
    expected = sum(abs(confidence[b].mean() - correct[b].mean()) * len(b) / 300 for b in bins)
    assert metrics.expected_calibration_error(confidence, correct) == pytest.approx(expected)


def test_the_order_of_the_images_changes_no_figure():
    labels, probabilities = answers(8, 200, digits=1)
    order = np.random.default_rng(0).permutation(200)
    straight = metrics.score(labels, probabilities, threshold=0.5)
    shuffled = metrics.score(labels[order], probabilities[order], threshold=0.5)
    for key in ("ece", "macro_auc", "log_loss"):
        assert straight[key] == pytest.approx(shuffled[key])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 50))
def test_the_weighted_auc_is_scikit_learns(seed, levels):
    random = np.random.default_rng(seed)
    scores, positive = random.integers(levels, size=60) / levels, random.random(60) < 0.4
    positive[:2] = True, False
    weights = random.integers(0, 4, size=(5, 60)).astype(float)
    weights[:, :2] = 1
    expected = [sk.roc_auc_score(positive, scores, sample_weight=row) for row in weights]
    assert resampling.Ranking(scores).auc(weights, positive) == pytest.approx(np.array(expected))


def test_a_resample_scores_as_if_its_rows_had_been_written_out():
    labels, probabilities = answers(9, 40)
    malignant = np.isin(labels, MALIGNANT_INDICES)
    exact = probabilities.astype(float)
    of_truth = exact[np.arange(40), labels] / exact.sum(axis=1)
    sources = (
        resampling.Answers(exact.argmax(axis=1) == labels, exact.max(axis=1), of_truth),
        resampling.ClassWise(labels, exact),
        resampling.Decision(malignant, metrics.malignant_probability(probabilities), 0.3),
    )
    weights = np.random.default_rng(0).integers(0, 3, size=(6, 40))
    weights[1, labels == 4] = 0  # a resample without melanoma
    drawn = {k: v for s in sources for k, v in s.figures(weights.astype(float)).items()}
    for number, row in enumerate(weights):
        rows = np.repeat(np.arange(40), row)
        whole = metrics.score(labels[rows], probabilities[rows], threshold=0.3)
        for key, values in drawn.items():
            expected = whole
            for part in key.split("."):
                expected = expected and expected[part]
            if number == 1 and key.startswith(("macro", "balanced")):
                expected = None  # the mean over six classes is not what the figure is
            assert values[number] == pytest.approx(np.nan if expected is None else expected, nan_ok=True), key


def test_intervals_hold_the_figures_and_repeat_with_the_seed():
    labels, probabilities = answers(10, 300)
    found = metrics.score(labels, probabilities, threshold=0.3)
    intervals = metrics.bootstrap(labels, probabilities, None, threshold=0.3, samples=300, seed=4)
    assert intervals == metrics.bootstrap(labels, probabilities, None, threshold=0.3, samples=300, seed=4)
    assert intervals["unit"] == "image"
    assert intervals["samples"] == 300
    assert {type(bound) for value in intervals.values() if isinstance(value, list) for bound in value} == {float}
    for key, figure in found.items():
        if isinstance(figure, float):
            assert intervals[key][0] <= figure <= intervals[key][1], key
    for key in ("auc", "recall", "precision", "f1"):
        low, high = intervals[f"per_class.mel.{key}"]
        assert low < found["per_class"]["mel"][key] < high


def test_the_interval_of_a_calibration_error_lies_around_it_though_resamples_show_more():
    for seed in range(6):
        labels, probabilities = answers(seed, 300, digits=6)
        found = metrics.score(labels, probabilities, threshold=0.5)["ece"]
        low, high = metrics.bootstrap(labels, probabilities, None, threshold=0.5, samples=200)["ece"]
        assert low < found < high
        assert abs((low + high) / 2 - found) < (high - low) / 4


def test_intervals_by_lesion_are_wider_where_the_images_of_a_lesion_repeat():
    labels, probabilities = answers(11, 100)
    labels, probabilities = np.repeat(labels, 4), np.repeat(probabilities, 4, axis=0)
    lesions = np.repeat([f"HAM_{number}" for number in range(100)], 4)
    by_lesion = metrics.bootstrap(labels, probabilities, lesions, threshold=0.3, samples=300)
    by_image = metrics.bootstrap(labels, probabilities, None, threshold=0.3, samples=300)
    assert by_lesion["unit"] == "lesion"
    for key in ("accuracy", "macro_auc", "malignant.auc", "log_loss"):
        assert np.ptp(by_lesion[key]) > 1.5 * np.ptp(by_image[key])


def of_classes(lesions, right):
    """Labels and probabilities of as many images per class, all right or all wrong by class."""
    labels = np.repeat(range(7), lesions)
    said = np.where(np.isin(labels, right), labels, (labels + 1) % 7)
    return labels, np.eye(7)[said] * 0.86 + 0.02


def test_a_share_of_all_or_none_has_the_exact_interval_of_its_lesions():
    labels, probabilities = of_classes([6, 20, 20, 8, 20, 20, 20], right=[0, 1, 2, 4, 5, 6])
    lesions = np.arange(len(labels)) // 2  # two images of each
    found = metrics.bootstrap(labels, probabilities, lesions, threshold=0.3, samples=200)
    for code, known, right in (("akiec", 3, 3), ("bcc", 10, 10), ("df", 4, 0)):
        exact = binomtest(right, known).proportion_ci(method="exact")
        assert found[f"per_class.{code}.recall"] == pytest.approx([exact.low, exact.high])
    assert "per_class.bcc.precision" in found
    assert not {"per_class.bcc.f1", "per_class.vasc.auc"} & set(found), "no share, so nothing bounds it exactly"


def test_intervals_of_a_share_hold_the_truth_as_often_as_they_say_also_where_all_are_right():
    random = np.random.default_rng(0)
    held = []
    for _ in range(400):
        answers = resampling.Answers(random.random(16) < 0.95, random.random(16), random.random(16))
        low, high = resampling.intervals([answers], 16, None, 200, seed=0)["accuracy"]
        held.append(low <= 0.95 <= high)
    assert np.mean(held) > 0.93


def test_a_macro_figure_has_an_interval_only_where_resamples_hold_every_class():
    random = np.random.default_rng(0)
    for rarest, enough in ((1, False), (3, False), (6, True)):
        labels = np.repeat(range(7), [20, 20, 20, rarest, 20, 90, 20])
        probabilities = 0.6 * random.dirichlet(np.ones(7), len(labels)) + 0.4 * np.eye(7)[labels]
        found = metrics.score(labels, probabilities, threshold=0.3)
        found["intervals"] = metrics.bootstrap(labels, probabilities, None, threshold=0.3, samples=300)
        for key in ("balanced_accuracy", "macro_auc", "macro_f1"):
            assert (key in found["intervals"]) is enough
        shown = {name: interval for name, _, interval in report.table(found)}
        assert (shown["Balanced accuracy"] == sections.NO_INTERVAL) is not enough
        assert " to " in shown["Accuracy"]
        assert shown["Images"] == shown["Malignant: Threshold"] == ""


def test_resamples_without_a_class_do_not_pull_the_interval_of_a_macro_figure_to_the_other_classes():
    """Five rare lesions, all wrong, among classes all right: a resample that misses them would come to one."""
    labels, probabilities = of_classes([20, 20, 20, 5, 20, 20, 20], right=[0, 1, 2, 4, 5, 6])
    values = resampling.ClassWise(labels, probabilities).figures(np.eye(len(labels)) + (labels != 3))
    assert np.nanmax(values["balanced_accuracy"]) == pytest.approx(6 / 7)


def test_the_memory_portions_do_not_change_the_intervals(monkeypatch):
    labels, probabilities = answers(12, 50)
    whole = metrics.bootstrap(labels, probabilities, None, threshold=0.3, samples=25)
    monkeypatch.setattr(resampling, "CELLS_AT_ONCE", 200)
    portions = metrics.bootstrap(labels, probabilities, None, threshold=0.3, samples=25)
    assert portions.keys() == whole.keys()
    for key in whole.keys() - {"unit"}:
        assert portions[key] == pytest.approx(whole[key])


def test_an_empty_set_and_broken_probabilities_are_refused_in_words():
    with pytest.raises(DatasetError, match="no labelled image"):
        metrics.score(np.array([], int), np.zeros((0, 7)), threshold=0.5)
    labels, probabilities = answers(13, 10)
    for value in (np.nan, 3.0):
        broken = probabilities.copy()
        broken[2, 1] = value
        with pytest.raises(BundleError, match="1 of 10 images"):
            metrics.score(labels, broken, threshold=0.5)
