"""Marks drawn onto training images."""

import numpy as np
import pytest

from skin_model import imaging
from skin_model.dataset import artefacts
from skin_model.dataset.artefacts import add_artefacts
from skin_model.dataset.drawn import draw_lesion

SKIN = np.full((96, 96, 3), (205, 165, 160), np.uint8)


@pytest.fixture(scope="module")
def lesion() -> np.ndarray:
    return imaging.centre(imaging.fit(draw_lesion("mel", seed=3, height=225, width=300)[0], 192)).copy()


@pytest.mark.parametrize("seed", range(5))
def test_no_chance_leaves_an_image_as_it_is(lesion, seed):
    np.testing.assert_array_equal(add_artefacts(lesion, 0.0, np.random.default_rng(seed)), lesion)


def test_marks_are_drawn_from_the_source_alone_and_not_into_the_image_given(lesion):
    before = lesion.copy()
    first, again, other = (add_artefacts(lesion, 1.0, np.random.default_rng([7, i])) for i in (1, 1, 2))
    np.testing.assert_array_equal(lesion, before)
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.2
    assert (first.shape, first.dtype) == (lesion.shape, np.uint8)


def test_an_image_is_spared_by_all_four_as_often_as_their_chance_says(lesion):
    spared = [np.array_equal(add_artefacts(lesion, 0.3, np.random.default_rng(s)), lesion) for s in range(300)]
    assert abs(np.mean(spared) - 0.7**4) < 0.1  # 4 standard deviations of 300 throws


def test_hairs_and_rulers_cover_a_small_part_of_the_picture_and_leave_the_rest_alone():
    for draw, most in ((artefacts._hairs, 0.35), (artefacts._ruler, 0.25)):
        covered = [(draw(SKIN, np.random.default_rng(s)) != SKIN).any(2).mean() for s in range(40)]
        assert max(covered) < most
        assert np.median(covered) > 0.005


def test_hairs_are_mostly_darker_than_skin_and_cross_the_picture():
    dark, reach = [], []
    for seed in range(40):
        drawn = artefacts._hairs(SKIN, np.random.default_rng(seed)).astype(int)
        rows, columns = np.nonzero((drawn != SKIN).any(2))
        dark.append(drawn[rows, columns].mean() < SKIN.mean())
        reach.append(max(np.ptp(rows), np.ptp(columns)) / 96)
    assert np.mean(dark) > 0.7
    assert np.median(reach) > 0.5


def test_a_ruler_lies_at_a_side_with_ticks_at_equal_distances():
    for seed in range(20):
        drawn = artefacts._ruler(SKIN, np.random.default_rng(seed))
        assert (drawn[40:56, 40:56] == SKIN[40:56, 40:56]).all()  # the middle stays free
        assert drawn.astype(int).min() < 130


def test_blur_takes_detail_away_and_compression_changes_it_but_both_keep_the_colours(lesion):
    def detail(image: np.ndarray) -> float:
        return float(np.abs(np.diff(image.astype(int), axis=0)).mean())

    for seed in range(10):
        blurred, packed = (f(lesion, np.random.default_rng(seed)) for f in (artefacts._blur, artefacts._jpeg))
        assert detail(blurred) < detail(lesion)
        assert (packed != lesion).mean() > 0.1
        for changed in (blurred, packed):
            assert np.abs(changed.astype(int) - lesion).mean() < 12
            np.testing.assert_allclose(changed.mean((0, 1)), lesion.mean((0, 1)), atol=2)
