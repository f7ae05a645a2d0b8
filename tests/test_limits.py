"""What a model's sets and correction are fitted on: its calibration part, and out-of-fold answers where there are."""

import numpy as np
import pytest

from skin_model.evaluation import conformal, limits
from skin_model.taxonomy import CODES


def told(seed: int, images: int, sureness: float) -> limits.Told:
    """Labels drawn from probabilities whose logarithms are then told too loudly: 1 is neither too sure nor unsure."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(7), images)
    labels = np.array([random.choice(7, p=row) for row in probabilities])
    return limits.Told(sureness * np.log(probabilities), labels, np.arange(images) + 1000 * seed)


def test_without_other_answers_the_sets_are_fitted_on_the_models_own_as_they_are():
    own = told(0, 200, 1.0)
    found = limits.fit(own, None)
    assert found.correction == 1
    assert found.probabilities == pytest.approx(np.exp(own.logits), abs=1e-6)
    assert found.sets == conformal.fit(own.labels, found.probabilities, own.lesions)


def test_networks_that_were_too_sure_of_their_folds_soften_the_models_answers_and_lend_their_lesions():
    own, folds = told(0, 200, 2.0), told(1, 2000, 2.0)
    found = limits.fit(own, folds)
    assert found.correction == pytest.approx(2, rel=0.1)
    assert found.labels.tolist() == [*own.labels, *folds.labels]
    expected = np.exp(np.concatenate([own.logits, folds.logits]) / found.correction)
    assert found.probabilities == pytest.approx(expected / expected.sum(axis=1, keepdims=True), abs=1e-6)
    counts = np.bincount(found.labels, minlength=7)
    assert found.sets["lesions"] == dict(zip(CODES, counts, strict=True))
