"""Figures under corruptions and their changes, against scikit-learn and a bootstrap written out."""

import numpy as np
import pytest
from sklearn import metrics as sk

from skin_model.evaluation import robustness
from skin_model.evaluation.scored import Scored

THRESHOLD = 0.4


@pytest.fixture(scope="module")
def answers() -> tuple[Scored, Scored]:
    """A good model's answers and, for the same pictures, worse ones."""
    random = np.random.default_rng(0)
    labels, lesions = random.integers(7, size=300), random.integers(200, size=300)
    noise = random.dirichlet(np.ones(7), size=300)
    return tuple(Scored.of(labels, (1 - w) * noise + w * np.eye(7)[labels], lesions) for w in (0.4, 0.2))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def found(answers) -> dict:
    clean, corrupted = answers
    harsher = [robustness.changes(clean, one, THRESHOLD) for one in (clean, corrupted)]
    conditions = [{"kind": "hair", "severity": number + 1} | one for number, one in enumerate(harsher)]
    return {"clean": robustness.figures(clean, THRESHOLD), "conditions": conditions}


def test_figures_and_changes_are_scikit_learns(answers, found):
    def expected(scored: Scored) -> dict[str, float]:
        referred = scored.malignant_probability >= THRESHOLD
        return {
            "balanced_accuracy": sk.balanced_accuracy_score(scored.labels, scored.probabilities.argmax(1)),
            "macro_auc": sk.roc_auc_score(scored.labels, scored.probabilities, multi_class="ovr"),
            "malignant.sensitivity": sk.recall_score(scored.malignant, referred),
            "malignant.specificity": sk.recall_score(~scored.malignant, ~referred),
        }

    clean, corrupted = map(expected, answers)
    for key in robustness.FIGURES:
        worse = found["conditions"][1][key]
        assert found["clean"][key]["value"] == pytest.approx(clean[key])
        assert worse["value"] == pytest.approx(corrupted[key])
        assert worse["change"]["value"] == pytest.approx(corrupted[key] - clean[key])


def test_a_change_is_drawn_with_the_same_lesions_on_both_sides(answers, found):
    """That n lesions are answered alike bounds a change of shares; a real one is narrower than figures side by side."""
    kept = {"malignant.sensitivity": answers[0].malignant, "malignant.specificity": ~answers[0].malignant}
    for key in robustness.FIGURES:
        same = found["conditions"][0][key]["change"]
        assert same["value"] == 0
        if key in kept:
            bound = 1 - 0.025 ** (1 / len(np.unique(answers[0].lesions[kept[key]])))
            assert same["interval"] == pytest.approx([-bound, bound])
        else:
            assert same["interval"] is None
    worse = found["conditions"][1]["balanced_accuracy"]
    apart = np.ptp(worse["interval"]) + np.ptp(found["clean"]["balanced_accuracy"]["interval"])
    assert 0 < np.ptp(worse["change"]["interval"]) < apart
    low, high = worse["change"]["interval"]
    assert low < worse["change"]["value"] < high < 0


def test_words_and_table_name_every_condition_and_the_lowest_one(found):
    words = " ".join(robustness.in_words(found))
    assert "lowest under hair of severity 2" in words
    (section,) = robustness.sections(found)
    assert [row[:2] for row in section.rows] == [("none", ""), ("hair", "1"), ("hair", "2")]
    assert {len(row) for row in section.rows} == {len(section.head)}
    value, change = (found["conditions"][1]["macro_auc"][part] for part in ("value", "change"))
    assert section.rows[2][3].startswith(f"{value:.3f}; {change['value']:.3f} (")


def test_a_binary_model_has_its_decision_alone(answers):
    clean, corrupted = (Scored.of(one.labels, one.malignant_probability[:, None], one.lesions) for one in answers)
    keys = {"malignant.sensitivity", "malignant.specificity"}
    assert set(robustness.figures(clean, THRESHOLD)) == keys == set(robustness.changes(clean, corrupted, THRESHOLD))


def test_pictures_without_malignant_ones_leave_the_sensitivity_undefined_and_are_told_all_the_same(answers):
    clean, corrupted = (one.subset(~one.malignant) for one in answers)
    conditions = [{"kind": "ink", "severity": 1} | robustness.changes(clean, corrupted, THRESHOLD)]
    found = {"clean": robustness.figures(clean, THRESHOLD), "conditions": conditions}
    (section,) = robustness.sections(found)
    assert section.rows[1][4] == "not defined"
    assert "malignant specificity" in " ".join(robustness.in_words(found))


def test_without_corruptions_nothing_is_said():
    assert robustness.in_words({}) == []
    assert list(robustness.sections({})) == []
