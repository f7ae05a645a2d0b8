"""Similar cases and strangeness: checked against scikit-learn, and against what a clinician would be misled by."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from skin_model import neighbours
from skin_model.entities import CARE, REFUSED
from skin_model.neighbours import AXES, CASE_AXES, NEAREST, Axes, References
from skin_model.taxonomy import CODES

DIMENSIONS = 320  # so many that cases lie along fewer axes than strangeness is told along


def embeddings(count: int, seed: int, centre: float = 0.5, spread: float = 0.15) -> np.ndarray:
    """Activations after a ReLU, most of their variance along a few directions."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).standard_normal((8, DIMENSIONS))
    found = centre + spread * rng.standard_normal((count, 8)) @ mixing + 0.05 * rng.standard_normal((count, DIMENSIONS))
    return np.maximum(found, 0).astype(np.float32)


@pytest.fixture(scope="module")
def references() -> References:
    """Five hundred cases of all classes, with limits from a thousand other lesions."""
    labels = np.random.default_rng(1).integers(7, size=500)
    names = np.array([f"ISIC_{i:07d}" for i in range(500)])
    made = References.of(embeddings(500, 2), labels, names, np.array(["histo", "follow_up"] * 250))
    return made.calibrated(embeddings(1000, 3), np.arange(1000))


def test_the_similar_cases_are_those_that_scikit_learn_finds_the_nearest_first(references: References) -> None:
    asked = embeddings(40, 4)
    places = references.axes(asked)[0][:, :CASE_AXES]
    assert places.shape[1] < len(references.axes.variances)
    distances, positions = NearestNeighbors(n_neighbors=NEAREST).fit(references.coordinates).kneighbors(places)
    for found, distance, position in zip(references.look_up(asked), distances, positions, strict=True):
        assert [case.image for case in found.similar] == [references.images[i] for i in position]
        assert [case.diagnosis for case in found.similar] == [CODES[references.labels[i]] for i in position]
        assert [case.confirmed for case in found.similar] == [references.confirmed[i] for i in position]
        np.testing.assert_allclose([case.distance * references.usual for case in found.similar], distance, rtol=1e-3)


def test_every_class_weighs_the_same_in_the_axes() -> None:
    common, rare = embeddings(90, 5), embeddings(10, 6, centre=1.5)
    axes = Axes.of(np.concatenate([common, rare]), np.repeat([5, 3], [90, 10]))
    repeated = np.concatenate([common, *[rare] * 9])  # the rare ones repeated until both are equally common
    rooted = np.sqrt(repeated / np.linalg.norm(repeated, axis=1, keepdims=True))
    expected = PCA(n_components=len(axes.variances)).fit(rooted)
    np.testing.assert_allclose(axes.mean, expected.mean_, rtol=1e-4)
    np.testing.assert_allclose(axes.variances, expected.explained_variance_ * 179 / 180, rtol=1e-3, atol=1e-6)


def test_new_pictures_pass_and_what_is_unlike_all_cases_does_not(references: References) -> None:
    care, refuse = references.limits
    assert care is not None
    assert refuse is not None
    assert care < refuse
    fitted = np.array([found.strangeness for found in references.look_up(embeddings(1000, 3))])
    assert ((fitted > care).sum(), (fitted > refuse).sum()) == (49, 4)  # 5 and 0.5 % of a thousand and one
    new = [found.strangeness for found in references.look_up(embeddings(2000, 8))]
    assert np.mean(np.array(new) > refuse) < 0.02
    assert 0.02 < np.mean(np.array(new) > care) < 0.1
    along_no_axis = embeddings(50, 9) + np.random.default_rng(0).uniform(0, 1.5, (50, DIMENSIONS)).astype(np.float32)
    far_along_the_axes = embeddings(50, 10, spread=2.0)
    for strange in (along_no_axis, far_along_the_axes):
        findings = [references.finding(found.strangeness) for found in references.look_up(strange)]
        assert all(finding is not None and finding.outcome == REFUSED for finding in findings)


def test_strangeness_is_the_distance_to_the_nearest_cases_and_to_the_mean_along_the_other_axes(
    references: References,
) -> None:
    asked, axes = embeddings(30, 11), references.axes
    along, left = axes(asked)
    cases, variances = references.coordinates.astype(float), axes.variances.astype(float)
    for place, rest, found in zip(along.astype(float), left, references.look_up(asked), strict=True):
        apart = cases - place[:CASE_AXES]
        nearest = np.argsort((apart**2).sum(axis=1))[:NEAREST]
        squared = (apart[nearest] ** 2 / variances[:CASE_AXES]).sum(axis=1).mean()
        squared += (place[CASE_AXES:] ** 2 / variances[CASE_AXES:]).sum() + rest / axes.rest
        assert found.strangeness == pytest.approx(np.sqrt(squared), rel=1e-3)


def test_what_is_strange_only_along_axes_without_cases_is_refused(references: References) -> None:
    axes, usual = references.axes, embeddings(20, 21)
    further = axes.directions[:, CASE_AXES:].T * np.sqrt(axes.variances[CASE_AXES:, None])
    rooted = np.sqrt(usual / np.linalg.norm(usual, axis=1, keepdims=True)) + 10 * further.sum(axis=0)
    for found in references.look_up(np.sign(rooted) * rooted**2):
        finding = references.finding(found.strangeness)
        assert finding is not None
        assert finding.outcome == REFUSED


def test_a_picture_counts_as_the_same_however_strongly_the_network_answers_it(references: References) -> None:
    asked = embeddings(20, 22)
    for weak, strong in zip(references.look_up(asked), references.look_up(5 * asked), strict=True):
        assert strong.strangeness == pytest.approx(weak.strangeness, rel=1e-4)


def test_of_two_networks_side_by_side_the_louder_does_not_drown_the_other() -> None:
    labels, names = np.random.default_rng(1).integers(7, size=500), np.arange(500).astype(str)
    pair = [np.hstack([20 * embeddings(n, 23 + n), embeddings(n, 24 + n)]) for n in (500, 1000, 50)]
    known, new, strange = pair
    strange[:, DIMENSIONS:] = strange[:, DIMENSIONS:][:, ::-1]  # only the quieter network sees that something is odd
    made = References.of(known, labels, names, names, widths=(DIMENSIONS, DIMENSIONS)).calibrated(new, np.arange(1000))
    findings = [made.finding(found.strangeness) for found in made.look_up(strange)]
    assert all(finding is not None and finding.outcome == REFUSED for finding in findings)


def test_cases_kept_before_lengths_were_evened_out_are_compared_as_they_were(
    references: References, tmp_path: Path
) -> None:
    asked = embeddings(20, 14)
    axes = Axes.of(embeddings(500, 2), references.labels, widths=())
    kept = replace(references, axes=axes, coordinates=axes(embeddings(500, 2))[0][:, :CASE_AXES])
    kept.save(tmp_path / "now.npz")
    with np.load(tmp_path / "now.npz") as file:
        np.savez(tmp_path / "before.npz", **{name: file[name] for name in file if name != "widths"})
    assert References.load(tmp_path / "before.npz").look_up(asked) == References.load(tmp_path / "now.npz").look_up(
        asked
    )
    longer = References.load(tmp_path / "before.npz").look_up(5 * asked)
    assert all(a.strangeness > b.strangeness for a, b in zip(longer, kept.look_up(asked), strict=True))


def test_what_is_a_little_strange_is_to_be_used_with_care(references: References) -> None:
    care, refuse = references.limits
    assert care is not None
    assert refuse is not None
    assert references.finding(care - 0.01) is None
    between = references.finding((care + refuse) / 2)
    assert between is not None
    assert between.outcome == CARE
    assert "unlike" in between.sentence


def test_many_pictures_of_one_strange_lesion_count_as_one_lesion(references: References) -> None:
    usual, strange = embeddings(1000, 3), embeddings(200, 11, spread=2.0)
    lesions = np.r_[np.arange(1000), np.full(200, 1000)]
    again = references.calibrated(np.concatenate([usual, strange]), lesions)
    assert again.limits[0] == pytest.approx(references.limits[0], rel=0.05)


def test_with_too_few_new_lesions_no_limit_is_set_and_nothing_is_refused(references: References) -> None:
    few = references.calibrated(embeddings(12, 12), np.arange(12))
    assert few.limits == (None, None)
    assert few.finding(1e9) is None
    some = references.calibrated(embeddings(60, 12), np.arange(60))
    assert some.limits[0] is not None
    assert some.limits[1] is None, "199 lesions are needed to tell one in two hundred"


def test_the_usual_distance_is_that_of_new_lesions(references: References) -> None:
    distances = [case.distance for found in references.look_up(embeddings(300, 13)) for case in found.similar]
    assert np.median(distances) == pytest.approx(1, rel=0.1)


def test_what_is_written_is_read_back_and_finds_the_same(references: References, tmp_path: Path) -> None:
    references.save(tmp_path / "references.npz")
    again = References.load(tmp_path / "references.npz")
    assert again.limits == references.limits
    asked = embeddings(20, 14)
    assert again.look_up(asked) == references.look_up(asked)
    few = references.calibrated(embeddings(12, 12), np.arange(12))
    few.save(tmp_path / "few.npz")
    assert References.load(tmp_path / "few.npz").limits == (None, None)


def test_five_cases_of_a_small_network_are_enough_to_be_looked_up() -> None:
    made = References.of(embeddings(5, 15), np.arange(5), np.array(list("abcde")), np.array([""] * 5))
    assert made.coordinates.shape[1] < AXES
    (found,) = made.look_up(embeddings(1, 16))
    assert len(found.similar) == 5
    assert np.isfinite(found.strangeness)


def test_among_many_cases_the_search_by_cells_finds_99_of_100_of_the_nearest(references: References) -> None:
    pytest.importorskip("faiss", reason="Faiss is not installed; every distance is computed without it")
    several = np.concatenate([embeddings(20_000, seed) for seed in (17, 18)])
    cases = references.axes(several)[0][:, :CASE_AXES].astype(np.float32)
    asked = references.axes(embeddings(50, 19))[0][:, :CASE_AXES]
    exactly = neighbours.exact(cases)(asked, NEAREST)
    found = neighbours.approximate(cases)(asked, NEAREST)
    assert np.mean([len(set(a) & set(b)) / NEAREST for a, b in zip(exactly, found, strict=True)]) >= 0.99


def test_without_faiss_large_sets_are_searched_exactly(references: References, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(neighbours, "EXACT", 100)
    large = References(*(getattr(references, n) for n in ("axes", "coordinates", "images", "labels", "confirmed")))
    asked = embeddings(5, 20)
    for found, expected in zip(large.look_up(asked), references.look_up(asked), strict=True):
        assert [case.image for case in found.similar] == [case.image for case in expected.similar]
