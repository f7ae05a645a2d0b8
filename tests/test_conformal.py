"""Prediction sets against their definition, against crepes, and against the promise they make."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from crepes import ConformalClassifier
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_model.errors import ConfigurationError, DatasetError
from skin_model.evaluation import conformal
from skin_model.taxonomy import CODES


def answers(seed, rows, digits=2):
    """Labels and probabilities rounded so that ties occur; the labels follow the probabilities."""
    random = np.random.default_rng(seed)
    probabilities = np.round(random.dirichlet(np.ones(7), size=rows), digits)
    labels = np.array([random.choice(7, p=(row + 0.01) / (row + 0.01).sum()) for row in probabilities])
    return labels, probabilities


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 200), percent=st.sampled_from([50, 80, 90, 95]))
def test_with_one_image_per_lesion_each_threshold_is_the_usual_order_statistic(seed, rows, percent):
    labels, probabilities = answers(seed, rows)
    fitted = conformal.fit(labels, probabilities, None, coverage=percent / 100)
    for index, code in enumerate(CODES):
        descending = np.sort(probabilities[labels == index, index])[::-1]
        rank = ceil(Fraction(percent, 100) * (len(descending) + 1))
        expected = descending[rank - 1] if rank <= len(descending) else 0
        assert fitted["thresholds"][code] == expected
        assert (code in conformal.always_in(fitted)) == (rank > len(descending))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 300), coverage=st.sampled_from([0.8, 0.9, 0.95]))
def test_a_class_is_in_a_set_where_crepes_gives_it_a_p_value_above_the_allowed_error(seed, rows, coverage):
    labels, probabilities = answers(seed, rows)
    _, fresh = answers(seed + 1, 50)
    lesions = np.random.default_rng(seed).permutation(rows).astype(str)  # one image each, so that crepes' rule is ours
    fitted = conformal.fit(labels, probabilities, lesions, coverage=coverage)
    assert fitted == conformal.fit(labels, probabilities, None, coverage=coverage)
    members = conformal.members(fresh, fitted)
    for index in np.unique(labels):
        reference = ConformalClassifier()
        reference.fit(1 - probabilities[labels == index, index])
        p_values = reference.predict_p(1 - fresh[:, [index]], smoothing=False)[:, 0]
        np.testing.assert_array_equal(members[:, index], p_values > 1 - coverage + 1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 120), lesions=st.integers(1, 60))
def test_images_and_lesions_above_a_threshold_reach_the_coverage_and_no_higher_threshold_does(seed, rows, lesions):
    labels, probabilities = answers(seed, rows)
    lesion = np.random.default_rng(seed).integers(lesions, size=rows)
    fitted = conformal.fit(labels, probabilities, lesion)
    for index, code in enumerate(CODES):
        own = labels == index
        threshold, count = fitted["thresholds"][code], fitted["lesions"][code]
        assert count == len(set(lesion[own]))

        def shares(holds, own=own, count=count):
            """Of the images, and over the lesions of the share of their images, times the number of lesions."""
            yield Fraction(count * int(holds[own].sum()), int(own.sum()))
            yield sum(Fraction(int(holds[own & (lesion == one)].sum()), int((own & (lesion == one)).sum()))
                      for one in set(lesion[own]))  # fmt: skip

        needed = Fraction(9, 10) * (count + 1)
        if code in conformal.always_in(fitted):
            assert count < 9
            assert threshold == 0
        else:
            assert min(shares(probabilities[:, index] >= threshold)) >= needed
            assert min(shares(probabilities[:, index] > threshold)) < needed


@pytest.mark.parametrize(("lesions", "always"), [(8, True), (9, False)])
def test_a_class_with_fewer_than_nine_calibration_lesions_is_in_every_set(lesions, always):
    labels = np.repeat([4, 5], [5 * lesions, 200])
    probabilities = np.full((len(labels), 7), 0.01)
    probabilities[np.arange(len(labels)), labels] = 0.94
    lesion = np.r_[np.repeat(np.arange(lesions), 5), 1000 + np.arange(200)]  # forty images or more, but of few lesions
    fitted = conformal.fit(labels, probabilities, lesion)
    naevus = probabilities[-1:]
    assert bool(conformal.members(naevus, fitted)[0, 4]) is always
    assert ("mel" in conformal.always_in(fitted)) is always
    assert "vasc" in conformal.always_in(fitted)  # no calibration image at all


@pytest.mark.parametrize("harder", [-0.5, 0.0, 0.5])
def test_images_of_new_lesions_are_covered_as_promised_counted_alike_and_by_lesion(harder):
    """Over many calibration sets at least 90 % both ways, and hardly more one way, whoever is photographed often."""
    random = np.random.default_rng(0)
    held, weights = [], []
    for _ in range(300):
        sizes = random.integers(1, 6, size=60)  # images of each of sixty melanomas, half of them new
        quality = random.normal(size=60) - harder * sizes
        scores = np.repeat(quality, sizes) + 0.3 * random.normal(size=sizes.sum())
        probabilities = np.zeros((len(scores), 7))
        probabilities[:, 4] = 1 / (1 + np.exp(-scores))
        lesion = np.repeat(np.arange(60), sizes)
        known = lesion < 30
        fitted = conformal.fit(np.full(known.sum(), 4), probabilities[known], lesion[known])
        held.append(conformal.members(probabilities[~known], fitted)[:, 4])
        weights.append((1 / np.repeat(sizes, sizes))[~known])
    inside = np.concatenate(held)
    ways = inside.mean(), np.average(inside, weights=np.concatenate(weights))
    assert min(ways) > 0.9 - 0.01
    assert min(ways) < 0.9 + 1 / 31 + 0.01


def test_thresholds_survive_the_manifest_to_the_last_digit():
    import json

    labels, probabilities = answers(1, 300)
    probabilities = probabilities.astype(np.float32)
    fitted = conformal.fit(labels, probabilities, None)
    read = json.loads(json.dumps(fitted))
    np.testing.assert_array_equal(conformal.members(probabilities, read), conformal.members(probabilities, fitted))
    own = conformal.members(probabilities, read)[np.arange(300), labels]
    assert own.mean() >= 0.9  # an image at the threshold itself is in


def test_an_impossible_coverage_and_an_empty_calibration_part_are_refused():
    for coverage in (0, 1, 1.5):
        with pytest.raises(ConfigurationError, match="coverage"):
            conformal.fit(np.array([1]), np.full((1, 7), 1 / 7), None, coverage=coverage)
    with pytest.raises(DatasetError, match="no calibration image"):
        conformal.fit(np.array([], int), np.zeros((0, 7)), None)
