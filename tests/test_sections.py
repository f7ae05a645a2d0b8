"""The detailed figures in words and tables: each is there with its interval, and nothing unmeasured is claimed."""

import numpy as np
import pytest

from skin_model.evaluation import conformal, sections
from skin_model.taxonomy import CODES, DIAGNOSES


@pytest.fixture(scope="module")
def diagnosis(examined):
    return examined()


def text_of(found):
    return "\n".join(
        "\n".join([section.title, *section.sentences, *(" | ".join(row) for row in section.rows)]) for section in found
    )


def estimates_of(part):
    """Every {"value", "interval"} below a part of the details."""
    if isinstance(part, dict) and "value" in part and "images" not in part:
        yield part
    elif isinstance(part, dict):
        for entry in part.values():
            yield from estimates_of(entry)
    elif isinstance(part, list):
        for entry in part:
            yield from estimates_of(entry)


def test_every_figure_stands_there_with_its_interval(diagnosis):
    _, detailed = diagnosis
    text = text_of(sections.sections(detailed))
    figures = list(
        estimates_of({key: value for key, value in detailed.items() if key not in ("curves", "fixed_rates")})
    )
    assert len(figures) > 50
    for figure in figures:
        written = sections.with_interval(figure), sections.with_interval(figure, digits=2)
        assert any(one in text for one in written), figure
    for key in ("melanoma_recall_at_specificity", "specificity_at_sensitivity", "average_precision"):
        assert sections.with_interval(detailed["fixed_rates"][key]) in text
    for entry in DIAGNOSES:
        assert entry.name in text


def test_each_row_of_a_table_has_a_cell_for_each_heading(diagnosis):
    for section in sections.sections(diagnosis[1]):
        assert {len(row) for row in section.rows} <= {len(section.head)}


def test_the_class_that_is_in_every_set_is_named_with_its_lesions(diagnosis):
    _, detailed = diagnosis
    text = text_of(sections.sections(detailed))
    assert "In every set, because too few lesions were there to fit a threshold: Vascular lesion (0)." in text


def test_the_thresholds_of_the_sets_are_said_to_be_what_the_fit_makes_them(diagnosis):
    """A lesion of four images, hardly recognised, is one of twenty by lesions; by images it lowers the threshold."""
    text = text_of(sections.sections(diagnosis[1]))
    assert "the lower of two, one with each lesion counting once and one with each image counting once" in text
    labels, lesions = np.full(23, CODES.index("nv")), np.r_[[0] * 4, 1:20]
    sure = np.r_[[0.1] * 4, np.linspace(0.5, 0.9, 19)][:, None] * np.eye(7)[labels]
    both, once = conformal.fit(labels, sure, lesions), conformal.fit(labels[3:], sure[3:], lesions[3:])
    assert both["thresholds"]["nv"] == 0.1 < once["thresholds"]["nv"]


def test_in_words_are_the_decision_the_melanomas_the_noise_and_the_sets(diagnosis):
    evaluation, detailed = diagnosis
    words = " ".join(sections.in_words(evaluation, detailed))
    low, high = evaluation["intervals"]["malignant.sensitivity"]
    assert f"{evaluation['malignant']['sensitivity']:.3f} ({low:.3f} to {high:.3f}) of the malignant images" in words
    assert "200 images of" in words
    assert "13 were left out" in words
    assert "Melanomas: at a malignant specificity of 0.85" in words
    inside = detailed["calibration"]["ece"]["inside_noise"]
    assert ("inside the noise" if inside else "more than noise") in words
    assert "promise 90 %" in words


def test_where_lesions_are_not_known_no_number_of_them_is_claimed(diagnosis):
    evaluation, detailed = diagnosis
    assert "200 images of" in sections.in_words(evaluation, detailed)[0]
    first = sections.in_words(evaluation | {"intervals": evaluation["intervals"] | {"unit": "image"}}, detailed)[0]
    assert first.startswith("200 images (of which lesions is not known, so each counts as one) were scored")


def test_a_model_without_sets_says_so_and_claims_no_coverage(examined):
    evaluation, detailed = examined(with_sets=False)
    text = text_of(sections.sections(detailed))
    assert sections.NO_SETS in text
    assert "coverage" not in text.lower()
    assert "sets" not in " ".join(sections.in_words(evaluation, detailed))


def test_without_masks_nothing_is_said_of_where_the_network_looks(examined):
    for with_masks in (True, False):
        evaluation, detailed = examined(with_masks=with_masks)
        words = " ".join(sections.in_words(evaluation, detailed))
        assert ("inside the lesion mask" in words) is with_masks
        assert (sections.LOOKS in text_of(sections.sections(detailed))) is with_masks


def test_details_made_before_masks_were_measured_still_have_their_sections(diagnosis):
    evaluation, detailed = diagnosis
    older = {key: value for key, value in detailed.items() if key != "localisation"}
    assert len(sections.sections(older)) == len(sections.sections(detailed)) - 1
    assert sections.in_words(evaluation, older)


def test_a_binary_model_is_told_without_diagnoses(examined):
    evaluation, detailed = examined(task="binary")
    words = " ".join(sections.in_words(evaluation, detailed))
    assert "seven diagnoses" not in words
    assert "malignant probability" in words
    assert "Brier score of the malignant probability" in text_of(sections.sections(detailed))


def test_what_is_not_defined_is_called_so():
    assert sections.with_interval({"value": None, "interval": None}) == "not defined"


def test_a_figure_without_an_interval_says_so():
    assert sections.with_interval({"value": 0.5, "interval": None}) == "0.500 (no interval)"


def test_without_details_there_are_no_sections():
    assert sections.sections({}) == []
