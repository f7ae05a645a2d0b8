"""What is said of the prediction sets, counted by hand."""

import numpy as np
import pytest

from skin_model.evaluation import coverage
from skin_model.evaluation.scored import Scored
from skin_model.taxonomy import CODES

THRESHOLDS = dict.fromkeys(CODES, 0.25) | {"df": 0.0}
SETS = {"coverage": 0.9, "thresholds": THRESHOLDS, "lesions": dict.fromkeys(CODES, 50) | {"df": 3}}


def scored():
    probabilities = np.array(
        [
            [0.05, 0.05, 0.05, 0.05, 0.30, 0.45, 0.05],  # df, mel, nv
            [0.05, 0.05, 0.05, 0.05, 0.10, 0.65, 0.05],  # df, nv
            [0.20, 0.20, 0.20, 0.00, 0.20, 0.20, 0.00],  # df
        ]
    )
    return Scored.of(np.array([4, 4, 5]), probabilities, np.array(["a", "b", "c"]))


def test_coverage_and_size_are_counted_over_all_images_and_per_true_class():
    found = coverage.prediction_sets(scored(), SETS)
    values = {key: entry["value"] for key, entry in found.items() if isinstance(entry, dict) and "value" in entry}
    expected = {
        "coverage": 1 / 3, "size": 2.0, "empty": 0.0, "single": 1 / 3, "mel.coverage": 0.5, "mel.size": 2.5,
        "nv.coverage": 0.0, "nv.size": 1.0,
    }  # fmt: skip
    assert {key: values[key] for key in expected} == pytest.approx(expected)
    assert values["bcc.coverage"] is None
    assert (found["promised"], found["always_in"]) == (0.9, ["df"])


def test_an_image_that_fits_no_class_has_an_empty_set():
    high = SETS | {"thresholds": dict.fromkeys(CODES, 0.5)}
    found = coverage.prediction_sets(scored(), high)
    assert found["empty"]["value"] == pytest.approx(2 / 3)


def test_a_model_without_sets_reports_none():
    assert coverage.prediction_sets(scored(), {}) is None
    binary = Scored.of(np.array([4, 5]), np.array([[0.2], [0.3]]), None)
    assert coverage.prediction_sets(binary, SETS) is None
