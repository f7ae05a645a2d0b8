"""Temperature and operating point on answers whose truth is known."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from skin_model.errors import ConfigurationError, DatasetError
from skin_model.evaluation.calibration import balanced_point, fit_temperature, operating_point, sigmoid, softmax


def drawn(random, logits):
    """Labels drawn from the softmax of the logits."""
    return np.array([random.choice(7, p=row / row.sum(dtype=float)) for row in softmax(logits, 1.0).astype(float)])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature):
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(4000, 7))
    assert fit_temperature(temperature * logits, drawn(random, logits)) == pytest.approx(temperature, rel=0.07)


def test_no_other_temperature_has_a_lower_log_loss():
    random = np.random.default_rng(1)
    logits = 2 * random.normal(size=(200, 7))
    labels = drawn(random, logits)
    fitted = fit_temperature(3 * logits, labels)

    def loss(temperature):
        exact = softmax(3 * logits, temperature).astype(float)
        return log_loss(labels, exact / exact.sum(axis=1, keepdims=True), labels=range(7))

    assert all(loss(fitted) <= loss(other) + 1e-6 for other in np.geomspace(0.2, 10, 60))


def test_a_known_temperature_of_a_binary_head_is_recovered():
    random = np.random.default_rng(2)
    logits = 2 * random.normal(size=4000)
    malignant = random.random(4000) < sigmoid(logits, 1.0)
    assert fit_temperature(2 * logits, malignant) == pytest.approx(2, rel=0.1)


def test_a_tiny_set_without_mistakes_does_not_make_the_model_more_certain():
    logits = np.eye(7)[[0, 4, 5]]
    assert fit_temperature(logits, np.array([0, 4, 5])) == 1.0


def test_a_network_that_is_always_wrong_gets_the_softest_probabilities_allowed():
    logits = 20 * np.eye(7)[[0, 4, 5]]
    assert fit_temperature(logits, np.array([1, 2, 3])) == pytest.approx(10, rel=1e-3)


def test_temperature_needs_images_and_finite_outputs():
    with pytest.raises(DatasetError, match="no calibration image"):
        fit_temperature(np.zeros((0, 7)), np.zeros(0, int))
    with pytest.raises(DatasetError, match="not finite"):
        fit_temperature(np.full((2, 7), np.nan), np.zeros(2, int))


def test_probabilities_are_float32_sum_to_one_and_survive_huge_logits():
    logits = np.array([[1e4, -1e4, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7]])
    probabilities = softmax(logits, 0.5)
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(2), abs=1e-6)
    assert softmax(logits, 3.0).argmax(axis=1).tolist() == [0, 6]
    assert sigmoid(np.array([-1e4, 0.0, 1e4]), 2.0).tolist() == [0.0, 0.5, 1.0]


@settings(max_examples=100, deadline=None)
@given(
    cases=st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=40),
    sensitivity=st.floats(0.01, 1),
)
def test_the_operating_point_attains_its_sensitivity_and_no_higher_one_does(cases, sensitivity):
    probability = np.float32([level / 10 for level, _ in cases])  # eleven levels: many ties
    malignant = np.array([truth for _, truth in cases])
    malignant[0] = True
    threshold = operating_point(probability, malignant, sensitivity=sensitivity)
    exact = probability.astype(float)
    assert np.mean(exact[malignant] >= threshold) >= sensitivity
    assert np.mean(exact[malignant] > threshold) < sensitivity


def test_an_operating_point_needs_a_malignant_image_and_a_possible_sensitivity():
    with pytest.raises(DatasetError, match="malignant"):
        operating_point(np.array([0.2, 0.8]), np.array([False, False]), sensitivity=0.9)
    for sensitivity in (0.0, 1.2):
        with pytest.raises(ConfigurationError, match="sensitivity"):
            operating_point(np.array([0.2]), np.array([True]), sensitivity=sensitivity)


@settings(max_examples=100, deadline=None)
@given(cases=st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=2, max_size=40))
def test_no_threshold_has_a_larger_youden_index_than_the_balanced_one_and_no_lower_one_as_large(cases):
    probability = np.float32([level / 10 for level, _ in cases])
    malignant = np.array([truth for _, truth in cases])
    malignant[:2] = True, False

    def youden(threshold):
        referred = probability.astype(float) >= threshold
        return Fraction(int(referred[malignant].sum()), int(malignant.sum())) - Fraction(
            int(referred[~malignant].sum()), int((~malignant).sum())
        )

    chosen = balanced_point(probability, malignant)
    levels = np.unique(probability.astype(float))
    assert chosen in levels
    assert youden(chosen) == max(map(youden, levels))
    assert all(youden(level) < youden(chosen) for level in levels[levels < chosen])


@pytest.mark.parametrize("truth", [True, False])
def test_a_balanced_point_needs_malignant_and_benign_images(truth):
    with pytest.raises(DatasetError, match="all malignant or all benign"):
        balanced_point(np.array([0.2, 0.8]), np.array([truth, truth]))
