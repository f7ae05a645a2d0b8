"""Which images a subgroup holds, and that its figures are those of its images alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from skin_model.evaluation.scored import Scored
from skin_model.evaluation.subgroups import ENOUGH, UNKNOWN, missed_more_in, referred_more_in, subgroups
from skin_model.taxonomy import CODES

SETS = {"coverage": 0.9, "thresholds": dict.fromkeys(CODES, 0.1), "lesions": dict.fromkeys(CODES, 50)}


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": random.choice([0.0, 25, 30, 44, 45, 60, 74, 75, 85, np.nan], size=200),
            "sex": random.choice(["male", "female", None], p=[0.5, 0.4, 0.1], size=200),
            "localization": random.choice(["back", "face", "unknown"], p=[0.6, 0.3, 0.1], size=200),
            "dx_type": random.choice(["histo", "follow_up"], size=200),
        }
    )


@pytest.fixture(scope="module")
def scored():
    random = np.random.default_rng(1)
    labels = random.integers(7, size=200)
    probabilities = random.dirichlet(np.ones(7), size=200) * 0.7 + 0.3 * np.eye(7)[labels]
    return Scored.of(labels, probabilities, random.integers(120, size=200))


@pytest.fixture(scope="module")
def found(scored, table):
    return subgroups(scored, table, threshold=0.4, sets=SETS)


def levels(found, factor):
    return {entry["level"]: entry for entry in found if entry["factor"] == factor}


def test_every_image_is_in_one_level_of_every_factor(found, table):
    for factor in table:
        assert sum(entry["images"] for entry in levels(found, factor).values()) == len(table)


def test_age_bands_stand_in_order_and_begin_where_they_say(found, table):
    ages = levels(found, "age")
    assert list(ages) == ["under 30", "30 to 44", "45 to 59", "60 to 74", "75 and older", UNKNOWN]
    assert ages["30 to 44"]["images"] == table["age"].isin([30, 44]).sum()
    assert ages["75 and older"]["images"] == table["age"].isin([75, 85]).sum()
    assert ages[UNKNOWN]["images"] == table["age"].isna().sum()


def test_other_levels_stand_by_size_with_the_unknown_last(found):
    assert list(levels(found, "sex")) == ["male", "female", UNKNOWN]
    assert list(levels(found, "localization")) == ["back", "face", UNKNOWN]


def test_the_figures_of_a_level_are_those_of_its_images(found, scored, table):
    entry = levels(found, "sex")["female"]
    rows = (table["sex"] == "female").to_numpy()
    labels, predicted = scored.labels[rows], scored.probabilities[rows].argmax(axis=1)
    malignant, p = scored.malignant[rows], scored.malignant_probability[rows]
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.recall_score(labels, predicted, average="macro"),
        "sensitivity": sk.recall_score(malignant, p >= 0.4),
        "specificity": sk.recall_score(~malignant, p < 0.4),
        "melanoma_recall": np.mean(p[labels == 4] >= 0.4),
        "malignant_auc": sk.roc_auc_score(malignant, p),
        "coverage": np.mean(scored.probabilities[rows, labels] >= 0.1),
    }
    assert {key: entry[key]["value"] for key in expected} == pytest.approx(expected)
    assert entry["lesions"] == len(np.unique(scored.lesions[rows]))
    assert all(entry[key]["interval"][0] <= value <= entry[key]["interval"][1] for key, value in expected.items())


def test_what_a_table_does_not_tell_makes_no_subgroup(scored, table):
    assert subgroups(scored, table[["sex"]].assign(age=np.nan), threshold=0.4, sets={})[0]["factor"] == "sex"
    assert subgroups(scored, pd.DataFrame(index=range(200)), threshold=0.4, sets={}) == []


def test_a_level_of_benign_images_has_no_sensitivity(scored, table):
    benign = table.assign(sex=np.where(scored.malignant, "male", "female"))
    entry = levels(subgroups(scored, benign[["sex"]], threshold=0.4, sets={}), "sex")["female"]
    assert entry["sensitivity"] == {"value": None, "interval": None}
    assert entry["specificity"]["value"] is not None
    assert "coverage" not in entry


def test_groups_surely_worse_than_all_are_told_where_they_are_known_and_large_enough():
    def group(level: str, malignant: int, benign: int, upper: float) -> dict[str, object]:
        rate = {"value": 0.5, "interval": [0.2, upper]}
        lesions = {"lesions": malignant + benign, "malignant_lesions": malignant}
        return {"factor": "sex", "level": level, "sensitivity": rate, "specificity": rate} | lesions

    groups = [
        group("worse", ENOUGH, ENOUGH, 0.79), group("few malignant", ENOUGH - 1, ENOUGH, 0.79),
        group("few benign", ENOUGH, ENOUGH - 1, 0.79), group("as good", ENOUGH, ENOUGH, 0.8),
        group(UNKNOWN, ENOUGH, ENOUGH, 0.79),
    ]  # fmt: skip
    details = {
        "subgroups": groups,
        "operating_points": {"sensitive": {key: {"value": 0.8} for key in ("sensitivity", "specificity")}},
    }
    assert [found["level"] for found in missed_more_in(details)] == ["worse", "few benign"]
    assert [found["level"] for found in referred_more_in(details)] == ["worse", "few malignant"]
    assert missed_more_in({}) == referred_more_in({"subgroups": []}) == []


def test_one_malignant_lesion_that_was_found_does_not_make_a_group_certain():
    labels, p = np.array([4, 5, 5, 5, 5, 5]), np.array([0.9, 0.1, 0.1, 0.1, 0.6, 0.1])
    probabilities = np.eye(7)[[4] * 6] * p[:, None] + np.eye(7)[[5] * 6] * (1 - p[:, None])
    of = pd.DataFrame({"sex": ["male"] * 6})
    (entry,) = subgroups(Scored.of(labels, probabilities, None), of, threshold=0.5, sets={})
    assert entry["sensitivity"]["interval"] == pytest.approx([0.025, 1])
    assert entry["balanced_accuracy"]["interval"] is None
    assert entry["specificity"]["interval"][0] < 0.8 < entry["specificity"]["interval"][1]
