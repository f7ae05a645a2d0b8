"""Curves against scikit-learn, and the net benefit against its definition."""

import numpy as np
import pytest
from sklearn import metrics as sk

from skin_model.evaluation import curves
from skin_model.evaluation.scored import Scored
from skin_model.taxonomy import CODES


@pytest.fixture(scope="module")
def scored():
    random = np.random.default_rng(0)
    labels = random.choice([1, 2, 4, 5], p=[0.1, 0.2, 0.2, 0.5], size=600)
    return Scored.of(labels, random.dirichlet(np.ones(7), size=600) * 0.7 + 0.3 * np.eye(7)[labels], None)


@pytest.fixture(scope="module")
def found(scored):
    return curves.curves(scored)


def test_the_area_under_each_drawn_curve_is_scikit_learns(scored, found):
    assert set(found["roc"]) == set(found["precision_recall"]) == {"malignant", "bcc", "bkl", "mel", "nv"}
    for name, points in found["roc"].items():
        positive = scored.malignant if name == "malignant" else scored.labels == CODES.index(name)
        score = scored.malignant_probability if name == "malignant" else scored.probabilities[:, CODES.index(name)]
        assert sk.auc(points["x"], points["y"]) == pytest.approx(sk.roc_auc_score(positive, score), abs=0.003)
        precision_recall = found["precision_recall"][name]
        assert sk.auc(precision_recall["x"], precision_recall["y"]) == pytest.approx(
            sk.average_precision_score(positive, score), abs=0.01
        )
        assert len(points["x"]) <= curves.POINTS
        assert len(precision_recall["x"]) <= curves.POINTS
        assert (points["x"][0], points["y"][0], points["x"][-1], points["y"][-1]) == (0, 0, 1, 1)


def test_net_benefit_is_true_referrals_less_false_ones_at_the_odds_of_the_risk(scored, found):
    curve = found["decision"]
    for risk in (0.05, 0.2, 0.5):
        place = curve["risk"].index(risk)
        referred = scored.malignant_probability >= risk
        right, wrong = np.mean(referred & scored.malignant), np.mean(referred & ~scored.malignant)
        assert curve["model"][place] == pytest.approx(right - wrong * risk / (1 - risk), abs=1e-5)
        share = scored.malignant.mean()
        assert curve["all"][place] == pytest.approx(share - (1 - share) * risk / (1 - risk), abs=1e-5)
        low, high = curve["interval"][place]
        assert low <= curve["model"][place] <= high


def test_referring_by_a_perfect_model_is_worth_the_share_of_malignant_images():
    labels = np.array([4, 5, 5, 5])
    curve = curves.net_benefit(Scored(labels, np.array([1.0, 0.0, 0.0, 0.0])))
    assert set(curve["model"]) == {0.25}
    assert curve["all"][curve["risk"].index(0.25)] == pytest.approx(0, abs=1e-5)  # no better than no one


def test_where_all_images_are_benign_there_is_no_malignant_curve():
    found = curves.curves(Scored.of(np.array([2, 5, 5]), np.full((3, 7), 1 / 7), None))
    assert set(found["roc"]) == {"bkl", "nv"}
