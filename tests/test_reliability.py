"""Calibration figures against scikit-learn and MAPIE, bins made by hand, and models known to be calibrated or not."""

import json
from fractions import Fraction
from itertools import pairwise
from math import ceil

import numpy as np
import pytest
from mapie.metrics.calibration import expected_calibration_error
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from skin_model.evaluation import metrics, reliability
from skin_model.evaluation.scored import Scored
from skin_model.taxonomy import CODES


def drawn(seed, rows, power=1.0):
    """Labels drawn from probabilities that are then sharpened by a power: 1 leaves them calibrated."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(7, 0.4), size=rows) * 0.98 + 0.02 / 7
    labels = np.array([random.choice(7, p=row) for row in probabilities])
    sharp = probabilities**power
    return Scored.of(labels, sharp / sharp.sum(axis=1, keepdims=True), None)


@pytest.fixture(scope="module")
def calibrated():
    return reliability.calibration(drawn(0, 600))


@pytest.mark.parametrize(("seed", "rows"), [(1, 300), (13, 41), (14, 8)])
def test_brier_scores_are_scikit_learns(seed, rows):
    scored = drawn(seed, rows)
    found = reliability.calibration(scored)
    expected = brier_score_loss(scored.labels, scored.probabilities, labels=range(7), scale_by_half=False)
    assert found["brier"]["value"] == pytest.approx(expected)
    assert found["malignant.brier"]["value"] == pytest.approx(
        brier_score_loss(scored.malignant, scored.malignant_probability)
    )


def errors(scored, error):
    """The calibration errors of all kinds, by a function of probabilities and hits (N,)."""
    truth, exact = scored.labels, scored.probabilities
    return {
        "ece": error(exact.max(axis=1), exact.argmax(axis=1) == truth),
        "classwise_ece": np.mean([error(exact[:, index], truth == index) for index in range(7)]),
        "malignant.ece": error(scored.malignant_probability, scored.malignant),
    }


def ours(scored):
    ones = np.ones((1, len(scored)))
    sources = (
        reliability.Calibration(scored.labels, scored.probabilities),
        reliability.MalignantCalibration(scored.malignant, scored.malignant_probability),
    )
    found = {key: value[0] for source in sources for key, value in source.figures(ones).items()}
    return {key: found[key] for key in ("ece", "classwise_ece", "malignant.ece")}


def mapies(probability, hits):
    """MAPIE cuts rows into bins as they come, so it is given them sorted."""
    order = np.argsort(probability)
    return expected_calibration_error(hits[order], probability[order], num_bins=15, split_strategy="array split")


@pytest.mark.parametrize("power", [1.0, 3.0])
@pytest.mark.parametrize(("seed", "rows"), [(4, 450), (5, 15), (6, 60), (7, 1995)])
def test_calibration_errors_are_mapies_where_fifteen_bins_share_the_rows_equally(seed, rows, power):
    scored = drawn(seed, rows, power)
    expected = errors(scored, mapies)
    assert ours(scored) == pytest.approx(expected)
    assert metrics.score(scored.labels, scored.probabilities, threshold=0.5)["ece"] == pytest.approx(expected["ece"])


def test_the_calibration_errors_reported_are_those(calibrated):
    assert {key: calibrated[key]["value"] for key in ours(drawn(0, 600))} == pytest.approx(ours(drawn(0, 600)))


@pytest.mark.parametrize(("seed", "rows"), [(8, 7), (9, 16), (10, 44), (11, 457), (12, 1432)])
def test_bins_that_cannot_share_the_rows_equally_differ_by_one_image(seed, rows):
    """The k-th bin ends where k fifteenths of the images do; MAPIE puts the larger bins first, and comes close."""

    def by_hand(probability, hits):
        ends = [ceil(Fraction(k * rows, 15) - Fraction(1, 2)) for k in range(16)]
        assert np.ptp(np.diff(ends)) == 1
        order = np.argsort(probability)
        gaps = [(probability[order] - hits[order])[low:high].sum() for low, high in pairwise(ends)]
        return np.abs(gaps).sum() / rows

    scored = drawn(seed, rows)
    assert ours(scored) == pytest.approx(errors(scored, by_hand))
    if rows > 100:
        assert ours(scored) == pytest.approx(errors(scored, mapies), abs=0.01)


def test_the_class_wise_error_is_the_mean_over_classes_of_the_gaps_in_bins_of_equal_mass(calibrated):
    scored = drawn(0, 600)
    errors = []
    for index, code in enumerate(CODES):
        p = scored.probabilities[:, index]
        gaps = [
            abs(p[rows].mean() - np.mean(scored.labels[rows] == index)) * len(rows) / 600
            for rows in np.array_split(np.argsort(p), 15)
        ]
        errors.append(sum(gaps))
        assert calibrated[f"{code}.ece"]["value"] == pytest.approx(sum(gaps))
    assert calibrated["classwise_ece"]["value"] == pytest.approx(np.mean(errors))


def test_the_reliability_diagram_is_scikit_learns(calibrated):
    scored = drawn(0, 600)
    share, given = calibration_curve(scored.malignant, scored.malignant_probability, n_bins=15, strategy="quantile")
    bins = calibrated["reliability"]["malignant"]
    assert [b["images"] for b in bins] == [40] * 15
    assert [b["value"] for b in bins] == pytest.approx(share.tolist())
    assert [b["probability"] for b in bins] == pytest.approx(given.tolist())
    assert all(b["interval"][0] <= b["value"] <= b["interval"][1] for b in bins)


def test_a_calibrated_model_is_inside_the_noise_and_an_overconfident_one_is_not(calibrated):
    sharp = reliability.calibration(drawn(0, 600, power=3))
    for key in ("ece", "classwise_ece", "malignant.ece"):
        assert calibrated[key]["inside_noise"] is True
        assert sharp[key]["inside_noise"] is False
        assert 0 < calibrated[key]["if_calibrated"]["mean"] < calibrated[key]["if_calibrated"]["high"]


def test_the_simulated_noise_is_that_of_truths_drawn_from_the_same_probabilities(calibrated):
    """Drawn afresh two hundred times, a calibrated model's error lies at or below the bound about 95 times in 100."""
    scored = drawn(0, 600)
    random = np.random.default_rng(5)
    top = scored.probabilities.max(axis=1)
    errors = [reliability.Ranking(top).ece(np.ones((1, 600)), random.random(600) < top)[0] for _ in range(200)]
    noise = calibrated["ece"]["if_calibrated"]
    assert noise["mean"] == pytest.approx(np.mean(errors), rel=0.1)
    assert 0.88 < np.mean(np.array(errors) <= noise["high"]) < 0.99


def test_a_binary_model_has_the_malignant_figures_alone():
    seven = drawn(2, 200)
    found = reliability.calibration(Scored.of(seven.labels, seven.malignant_probability[:, None], None))
    assert set(found) == {"malignant.ece", "malignant.brier", "reliability"}
    assert set(found["reliability"]) == {"malignant"}


@pytest.mark.parametrize("rows", [1, 5])
def test_even_a_handful_of_images_gives_plain_json(rows):
    found = reliability.calibration(drawn(3, rows))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert sum(b["images"] for b in found["reliability"]["top"]) == rows
