"""Referral rates at thresholds and at fixed rates, against scikit-learn and by trying every threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from skin_model.evaluation import decisions
from skin_model.evaluation.scored import Scored


def drawn(seed, rows=80, levels=20):
    """Answers with ties in the malignant probability; a melanoma, a carcinoma and a naevus stand first."""
    random = np.random.default_rng(seed)
    labels = random.integers(7, size=rows)
    labels[:3] = 4, 1, 5
    return Scored(labels, random.integers(levels + 1, size=rows) / levels)


def by_trying(scored):
    """Both fixed-rate figures by trying every threshold, or referring no one."""
    p, malignant, melanoma = scored.malignant_probability, scored.malignant, scored.labels == 4
    rates = [
        (np.mean(p[malignant] >= t), np.mean(p[~malignant] < t), np.mean(p[melanoma] >= t)) for t in [*np.unique(p), 2]
    ]
    return (
        max(recall for _, specificity, recall in rates if specificity >= 0.85 - 1e-9),
        max(specificity for sensitivity, specificity, _ in rates if sensitivity >= 0.95 - 1e-9),
    )


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(3, 80), levels=st.integers(1, 60))
def test_figures_at_fixed_rates_are_the_best_that_any_threshold_gives(seed, rows, levels):
    scored = drawn(seed, rows, levels)
    found = decisions.AtFixedRates(scored).figures(np.ones((1, rows)))
    recall, specificity = by_trying(scored)
    assert found["melanoma_recall_at_specificity"][0] == pytest.approx(recall)
    assert found["specificity_at_sensitivity"][0] == pytest.approx(specificity)
    assert found["auc"][0] == pytest.approx(sk.roc_auc_score(scored.malignant, scored.malignant_probability))
    assert found["average_precision"][0] == pytest.approx(
        sk.average_precision_score(scored.malignant, scored.malignant_probability)
    )


def test_a_resample_gives_the_figures_of_its_rows_written_out():
    scored = drawn(1)
    weights = np.random.default_rng(0).integers(0, 3, size=(20, len(scored)))
    weights[:, :3] = 1
    found = decisions.AtFixedRates(scored).figures(weights.astype(float))
    for number, row in enumerate(weights):
        again = scored.subset(np.repeat(np.arange(len(scored)), row))
        expected = decisions.AtFixedRates(again).figures(np.ones((1, len(again))))
        for key in found:
            assert found[key][number] == pytest.approx(expected[key][0]), key


def test_the_rates_of_an_operating_point_are_scikit_learns_and_lie_in_their_intervals():
    scored = drawn(2, 300)
    found = decisions.operating_points(scored, {"sensitive": 0.2, "balanced": 0.5})
    assert list(found) == ["sensitive", "balanced"]
    for point in found.values():
        referred = scored.malignant_probability >= point["threshold"]
        melanoma = scored.labels == 4
        assert point["sensitivity"]["value"] == pytest.approx(sk.recall_score(scored.malignant, referred))
        assert point["specificity"]["value"] == pytest.approx(sk.recall_score(~scored.malignant, ~referred))
        assert point["melanoma_recall"]["value"] == pytest.approx(referred[melanoma].mean())
        for key in ("sensitivity", "specificity", "melanoma_recall"):
            low, high = point[key]["interval"]
            assert low < point[key]["value"] < high


def test_without_melanoma_or_without_benign_images_there_is_no_melanoma_recall():
    for labels in ([1, 1, 5, 5], [4, 4, 1, 1]):
        found = Scored(np.array(labels), np.array([0.9, 0.8, 0.2, 0.1])).estimates(
            [decisions.AtFixedRates(Scored(np.array(labels), np.array([0.9, 0.8, 0.2, 0.1])))], samples=20
        )
        assert found["melanoma_recall_at_specificity"]["value"] is None


def test_intervals_are_wider_where_the_images_of_a_lesion_repeat():
    few = drawn(3, 100, 1000)
    rows = np.repeat(np.arange(100), 4)
    by_image = few.subset(rows)
    by_lesion = Scored(by_image.labels, by_image.malignant_probability, None, rows)
    wide, narrow = (
        decisions.operating_points(scored, {"one": 0.4})["one"]["sensitivity"] for scored in (by_lesion, by_image)
    )
    assert wide["value"] == narrow["value"]
    assert np.ptp(wide["interval"]) > 1.5 * np.ptp(narrow["interval"])
