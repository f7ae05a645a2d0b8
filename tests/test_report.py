"""The card and the table say what the evaluation says, and nothing else."""

import re

import numpy as np
import pytest

from skin_model.errors import BundleError
from skin_model.evaluation import card_texts, metrics, report
from skin_model.taxonomy import CODES, DIAGNOSES

MANIFEST = {
    "model_version": "mobilenet-abc", "network": "mobilenet", "task": "diagnosis", "created": "2026-01-02",
    "size": 224, "views": 4, "temperature": 1.234, "threshold": 0.1234, "target_sensitivity": 0.95,
    "training": {"epochs": 12, "learning_rate": 0.001, "weights": "somewhere/parent.h5", "patience": None},
    "data": {
        "name": "HAM10000", "split": "0123abcd", "validation": "fold3",
        "parts": {"test": {"images": 77, "lesions": 66}, "calibration": {"images": 55, "lesions": 44}},
    },
    "agreement": {"largest_difference": 2e-6, "images": 64}, "environment": {"keras": "3.99"},
}  # fmt: skip
COMMANDS = [
    "python -m skin_model train --data DIR",
    "python -m skin_model evaluate --images DIR --labels CSV",
]


def evaluated(classes=range(7)):
    random = np.random.default_rng(0)
    labels = random.choice(list(classes), size=200)
    probabilities = random.dirichlet(np.ones(7), size=200) * 0.8 + 0.2 * np.eye(7)[labels]
    report_of = metrics.score(labels, probabilities, threshold=0.3)
    intervals = metrics.bootstrap(labels, probabilities, None, threshold=0.3, samples=50)
    return report_of | {"intervals": intervals, "model_version": "mobilenet-abc", "n_excluded_seen": 13}


def test_the_card_holds_every_figure_with_its_interval():
    evaluation = evaluated()
    card = report.model_card(manifest=MANIFEST, evaluation=evaluation, commands=COMMANDS)
    rows = [line for line in card.splitlines() if line.startswith("|")]
    for key, value in report.figures(evaluation).items():
        shown = str(value) if isinstance(value, int) else f"{value:.3f}"
        bounds = evaluation["intervals"].get(key)
        wanted = [shown, *([f"{bounds[0]:.3f} to {bounds[1]:.3f}"] if bounds else [])]
        assert any(all(part in row for part in wanted) for row in rows), key
        assert bounds or key.endswith(("n", "threshold")), key
    for code, counts in zip(CODES, evaluation["confusion_matrix"], strict=True):
        assert f"| **{code}** | " + " | ".join(map(str, counts)) + " |" in card


def test_the_card_holds_what_the_manifest_records():
    card = report.model_card(manifest=MANIFEST, evaluation=evaluated(), commands=COMMANDS)
    for text in (
        "mobilenet-abc",
        "2026-01-02",
        "224",
        "1.234",
        "0.1234",
        "0.95",
        "epochs",
        "0.001",
        "0123abcd",
    ):
        assert text in card
    for text in ("images: 77, lesions: 66", "parent.h5", "seven diagnoses", "| 13 |", *COMMANDS):
        assert text in card
    for diagnosis in DIAGNOSES:
        assert diagnosis.name in card
    assert "somewhere" not in card  # folders of one machine are nobody's business


@pytest.mark.parametrize(("monitor", "said"), [("macro_auc", "fold3"), ("last", "none: the last epoch was kept")])
def test_the_card_names_the_part_that_chose_the_epoch_only_where_one_did(monitor, said):
    manifest = MANIFEST | {"training": MANIFEST["training"] | {"monitor": monitor}}
    card = report.model_card(manifest=manifest, evaluation=evaluated(), commands=COMMANDS)
    assert f"| Part that chose the best epoch of the last training | {said} |" in card


def test_the_card_claims_nothing_of_the_choice_among_models_but_what_its_makers_say():
    def protocol(**said: str) -> str:
        card = report.model_card(manifest=MANIFEST | said, evaluation=evaluated(), commands=COMMANDS)
        return " ".join(card.partition("## Protocol")[2].partition("## Figures")[0].split())

    note = "Three candidates were scored on the test part."
    assert f"Its makers say: {note}" in protocol(note=note)
    for text in (protocol(), protocol(note="")):
        assert "Its makers say" not in text
        assert "before anything was chosen" not in text
        assert "Nothing was fitted on the test part: no weight, no temperature, no limit" in text


def test_the_card_states_intended_use_limits_and_licence():
    card = report.model_card(manifest=MANIFEST, evaluation=evaluated(), commands=COMMANDS)
    for text in ("assistive only", "not a diagnosis", "not cleared as a medical device", "CC BY-NC 4.0"):
        assert text in card
    for text in ("non-commercial", "Apache-2.0", "two centres", "umbrella terms", "lighter skin"):
        assert text in card


def test_the_limits_name_the_commonest_mistakes_and_the_subgroups_where_the_decision_is_worse():
    matrix = np.diag([10] * 7)
    matrix[CODES.index("mel"), CODES.index("nv")] = 30
    matrix[CODES.index("akiec"), CODES.index("bkl")] = 5

    def group(level: str, *sensitivity: float | None) -> dict:
        value, low, high = sensitivity or (None, None, None)
        measured = {"value": value, "interval": [low, high]}
        counts = {"lesions": 30, "malignant_lesions": 12}
        plain = {"value": 0.7, "interval": [0.6, 0.8]}
        return counts | {"factor": "localization", "level": level, "sensitivity": measured, "specificity": plain}

    details = {
        "operating_points": {"sensitive": {"sensitivity": {"value": 0.93}, "specificity": {"value": 0.72}}},
        "subgroups": [
            group("abdomen", 0.6, 0.4, 0.8),
            group("trunk", 0.5, 0.0, 1.0),
            group("hand") | {"malignant_lesions": 0},
            group("ear", 0.0, 0.0, 0.0) | {"malignant_lesions": 1},
            group("not known", 0.2, 0.1, 0.3),
            group("face", 0.9, 0.8, 1.0) | {"specificity": {"value": 0.5, "interval": [0.4, 0.6]}},
            group("nose", 0.9, 0.8, 1.0) | {"lesions": 13, "specificity": {"value": 0.0, "interval": [0.0, 0.0]}},
        ],
    }
    card = report._limits(evaluated() | {"confusion_matrix": matrix.tolist()}, details, ())
    assert "Most often mistaken: mel for nv (30 of 40 images); akiec for bkl (5 of 15 images)." in card
    assert "less often than over all: site abdomen: sensitivity 0.600 (0.400 to 0.800), 12 of 30" in card
    assert "more often than over all: site face: specificity 0.500 (0.400 to 0.600), 12 of 30 lesions" in card
    assert "site nose" not in card
    assert "site ear" not in card
    assert "site not known" not in card


def test_unknown_things_are_called_unknown():
    card = report.model_card(manifest={}, evaluation={}, commands=[])
    assert "not recorded" in card
    assert "not defined" in card
    assert "CC BY-NC" not in card  # nothing is claimed of images that are not known
    full = report.model_card(manifest=MANIFEST, evaluation=evaluated([2, 5]), commands=COMMANDS)
    for text in (card, full):
        assert not re.search(r"\b(nan|None|True|False)\b", text)
    assert "| mel | Melanoma | 0 | not defined |" in full


def test_a_binary_model_gets_a_card_without_seven_class_figures():
    truth, p = np.array([True, False, True, False] * 10), np.linspace(0.1, 0.9, 40)
    evaluation = metrics.score_binary(truth, p, threshold=0.3)
    evaluation["intervals"] = metrics.bootstrap_binary(truth, p, None, threshold=0.3, samples=20)
    card = report.model_card(manifest={"task": "binary"}, evaluation=evaluation, commands=COMMANDS)
    assert card.count(card_texts.NOT_SEVEN) == 2
    assert card_texts.BINARY in card
    assert card_texts.SEVEN_CLASSES not in card
    assert f"{evaluation['malignant']['auc']:.3f}" in card


def test_a_card_is_refused_for_figures_of_another_model():
    with pytest.raises(BundleError, match="mobilenet-abc"):
        report.model_card(manifest=MANIFEST | {"model_version": "other"}, evaluation=evaluated(), commands=[])


def test_figures_on_images_that_the_model_saw_are_marked():
    plain, flattered = (
        report.model_card(manifest=MANIFEST, evaluation=evaluated() | extra, commands=[])
        for extra in ({}, {"allow_seen": True})
    )
    assert "flatter" in flattered
    assert "flatter" not in plain


def test_the_table_names_every_figure_once():
    evaluation = evaluated()
    rows = report.table(evaluation)
    names = [name for name, _, _ in rows]
    assert len(set(names)) == len(names) == len(report.figures(evaluation))
    assert ("Images", "200", "") in rows
    low, high = evaluation["intervals"]["per_class.mel.recall"]
    recall = evaluation["per_class"]["mel"]["recall"]
    assert ("Melanoma: recall", f"{recall:.3f}", f"{low:.3f} to {high:.3f}") in rows


def test_the_standing_texts_hold_no_typed_in_figures():
    texts = [value for name, value in vars(card_texts).items() if name.isupper()]
    flat = " ".join(text if isinstance(text, str) else " ".join(text) for text in texts)
    for source in ("HAM10000", "2018", "10.7910/DVN/DBW86T", "4.0", "2.0"):
        flat = flat.replace(source, "")
    assert not re.search(r"\d", flat)
