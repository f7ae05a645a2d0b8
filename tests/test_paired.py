"""Two models on the same lesions: differences against a bootstrap written out, and when they carry a verdict."""

import numpy as np
import pandas as pd
import pytest

from skin_model.evaluation import metrics, paired
from skin_model.evaluation.paired import Answer
from skin_model.taxonomy import CODES

MEL = CODES.index("mel")


def answers(skill: float, seed: int, labels: np.ndarray, threshold: float = 0.3) -> Answer:
    """A model that knows a share of the truth."""
    noise = np.random.default_rng(seed).dirichlet(np.ones(7), size=len(labels))
    return Answer((1 - skill) * noise + skill * np.eye(7)[labels], threshold)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(7, size=600)


@pytest.fixture(scope="module")
def lesions() -> np.ndarray:
    return np.random.default_rng(1).integers(400, size=600)


def test_values_are_those_of_an_evaluation_and_intervals_those_of_a_bootstrap_written_out(
    labels: np.ndarray, lesions: np.ndarray
) -> None:
    first, second = answers(0.3, 3, labels), answers(0.2, 2, labels)
    found = paired.compare(labels, first, second, lesions)
    alone = [metrics.score(labels, a.probabilities, threshold=0.3) for a in (first, second)]
    assert found["macro_auc"]["first"] == pytest.approx(alone[0]["macro_auc"])
    assert found["per_class.mel.recall"]["second"] == pytest.approx(alone[1]["per_class"]["mel"]["recall"])
    assert found["ece"]["difference"] == pytest.approx(alone[1]["ece"] - alone[0]["ece"])

    random, rows_of = np.random.default_rng(9), [np.flatnonzero(lesions == k) for k in np.unique(lesions)]
    differences: dict[str, list[float]] = {"balanced_accuracy": [], "ece": []}
    for _ in range(300):
        rows = np.concatenate([rows_of[k] for k in random.integers(len(rows_of), size=len(rows_of))])
        scores = [metrics.score(labels[rows], a.probabilities[rows], threshold=0.3) for a in (first, second)]
        for figure, drawn in differences.items():
            drawn.append(scores[1][figure] - scores[0][figure])
    for figure, drawn in differences.items():
        assert found[figure]["interval"] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.015)


def test_a_model_against_itself_differs_by_nothing(labels: np.ndarray, lesions: np.ndarray) -> None:
    one = answers(0.3, 2, labels)
    found = paired.compare(labels, one, one, lesions)
    assert {figure["difference"] for figure in found.values()} == {0.0}
    assert found["log_loss"]["interval"] == [0.0, 0.0]
    supported, _ = paired.verdict(found, labels, lesions)
    assert supported is False


@pytest.mark.parametrize("gained", [0, 1])
@pytest.mark.parametrize(("melanomas", "supported"), [(15, None), (71, None), (72, True)])
def test_that_no_melanoma_was_lost_of_so_few_does_not_prove_that_few_are(
    melanomas: int, supported: bool | None, gained: int
) -> None:
    """Of 71 lesions none lost leaves a loss of 5 % possible (1 - 0.025 ** (1 / 71) = 0.0506), of 72 it does not."""
    labels = np.repeat([MEL, CODES.index("bcc"), CODES.index("nv"), CODES.index("bkl")], [melanomas, 35, 150, 150])
    good, poor = 0.9 * np.eye(7)[labels] + 0.1 / 7, 0.9 * np.eye(7)[labels] + 0.1 / 7
    poor[-60:] = 0.9 * np.eye(7)[MEL] + 0.1 / 7  # keratoses named melanoma
    poor[:gained] = 0.9 * np.eye(7)[CODES.index("nv")] + 0.1 / 7  # melanomas that only the second model names
    lesions = np.arange(len(labels))
    found = paired.compare(labels, Answer(poor, 0.5), Answer(good, 0.5), lesions)
    assert found["per_class.mel.recall"]["difference"] == pytest.approx(gained / melanomas)
    assert found["per_class.mel.recall"]["interval"][0] == pytest.approx(-(1 - 0.025 ** (1 / melanomas)))
    told, sentence = paired.verdict(found, labels, lesions)
    assert told is supported
    if not supported:
        assert f"{melanomas} of them melanomas" in sentence
    else:
        assert "balanced accuracy and macro AUC better" in sentence


def test_what_the_images_do_not_define_is_none(labels: np.ndarray, lesions: np.ndarray) -> None:
    benign = labels != MEL
    found = paired.compare(labels[benign], *(answers(s, 2, labels[benign]) for s in (0.3, 0.4)), lesions[benign])
    for key in ("per_class.mel.recall", "referral.melanoma_recall"):
        assert found.pop(key) == dict.fromkeys(("first", "second", "difference", "interval"))
    assert all(figure["interval"] for figure in found.values())


def test_a_surely_better_model_is_supported_and_the_other_way_round_it_is_not(
    labels: np.ndarray, lesions: np.ndarray
) -> None:
    poor, good = answers(0.1, 2, labels, 0.35), answers(0.4, 2, labels, 0.35)
    supported, sentence = paired.verdict(paired.compare(labels, poor, good, lesions), labels, lesions)
    assert supported is True, sentence
    supported, sentence = paired.verdict(paired.compare(labels, good, poor, lesions), labels, lesions)
    assert supported is False


def test_fewer_melanomas_found_outweighs_every_other_gain(labels: np.ndarray, lesions: np.ndarray) -> None:
    poor, good = answers(0.1, 2, labels, 0.35), answers(0.6, 2, labels, 0.35)
    missing = good.probabilities.copy()
    missing[labels == MEL] = np.eye(7)[CODES.index("nv")]
    found = paired.compare(labels, poor, Answer(missing, 0.35), lesions)
    assert found["macro_f1"]["difference"] > 0
    supported, sentence = paired.verdict(found, labels, lesions)
    assert supported is False
    assert "melanoma" in sentence


def test_melanomas_no_longer_referred_outweigh_every_other_gain_even_if_they_are_named_as_before() -> None:
    labels = np.repeat([MEL, CODES.index("bcc"), CODES.index("nv"), CODES.index("bkl")], [120, 400, 200, 200])
    good, poor = 0.9 * np.eye(7)[labels] + 0.1 / 7, 0.9 * np.eye(7)[labels] + 0.1 / 7
    poor[-60:] = 0.9 * np.eye(7)[MEL] + 0.1 / 7  # keratoses named melanoma
    good[:20], poor[:20] = np.eye(7)[CODES.index("nv")], np.eye(7)[CODES.index("bcc")]
    found = paired.compare(labels, Answer(poor, 0.5), Answer(good, 0.5), np.arange(len(labels)))
    assert found["per_class.mel.recall"]["difference"] == 0
    assert found["referral.melanoma_recall"]["difference"] == pytest.approx(-20 / 120)
    supported, sentence = paired.verdict(found, labels, np.arange(len(labels)))
    assert supported is False
    assert "melanomas referred may be lower by more than 0.05" in sentence


def test_too_few_lesions_carry_no_verdict(labels: np.ndarray) -> None:
    few = labels[:60]
    found = paired.compare(few, answers(0.1, 2, few), answers(0.6, 2, few), None)
    supported, sentence = paired.verdict(found, few, np.arange(60))
    assert supported is None
    assert "60 lesions" in sentence


def test_few_melanomas_carry_no_verdict_however_many_other_lesions_there_are() -> None:
    labels = np.repeat([MEL, CODES.index("bcc"), CODES.index("nv")], [10, 150, 250])
    found = paired.compare(labels, answers(0.1, 2, labels), answers(0.6, 2, labels), None)
    supported, sentence = paired.verdict(found, labels, np.arange(410))
    assert supported is None
    assert "410 lesions, 10 of them melanomas" in sentence


def test_a_subgroup_that_got_worse_is_named(labels: np.ndarray, lesions: np.ndarray) -> None:
    table = pd.DataFrame({"sex": np.where(np.arange(600) % 2, "male", "female"), "age": 40.0, "localization": None})
    good, poor = answers(0.5, 2, labels), answers(0.02, 5, labels)
    mixed = np.where((table["sex"] == "male").to_numpy()[:, None], poor.probabilities, good.probabilities)
    worse = paired.worse_subgroups(table, labels, good, Answer(mixed, 0.3), lesions)
    assert any(sentence.startswith("sex male: ") for sentence in worse)
    assert not any("female" in sentence for sentence in worse)


@pytest.mark.parametrize(("group", "fewest", "figure"), [("mel", 9, "sensitivity"), ("nv", 9, "specificity")])
def test_a_group_of_few_malignant_or_benign_lesions_is_never_called_worse(group: str, fewest: int, figure: str) -> None:
    """Not even where the second model misses all of them, in however many pictures of others."""
    own, other = CODES.index(group), CODES.index("nv" if group == "mel" else "mel")
    for count, named in ((fewest, False), (fewest + 1, True)):
        labels = np.array([own] * count + [other] * 40)
        right, lesions = 0.9 * np.eye(7)[labels] + 0.1 / 7, np.arange(len(labels))
        wrong = right.copy()
        wrong[:count] = 0.9 * np.eye(7)[other] + 0.1 / 7
        table = pd.DataFrame({"sex": ["male"] * len(labels)})
        worse = paired.worse_subgroups(table, labels, Answer(right, 0.5), Answer(wrong, 0.5), lesions)
        assert (worse == [f"sex male: malignant: {figure} -1.000"]) is named
        assert bool(worse) is named
