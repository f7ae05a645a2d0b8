"""Corrupted pictures: repeatable, harsher by severity, and each kind doing what its name says."""

import cv2
import numpy as np
import pytest

from skin_model import imaging
from skin_model.dataset.corruptions import CORRUPTIONS, SEVERITIES, SIDE, corrupt
from skin_model.dataset.drawn import draw_lesion


@pytest.fixture(scope="module")
def lesion() -> np.ndarray:
    return draw_lesion("nv", seed=5, height=225, width=300)[0]


def three(image: np.ndarray, kind: str, seed: int = 0) -> list[np.ndarray]:
    """The picture at each severity."""
    return [corrupt(image, kind, severity, np.random.default_rng(seed)) for severity in SEVERITIES]


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square difference of what a network of 96 pixels sees of both."""
    seen = [imaging.centre(imaging.fit(image, 96)).astype(float) for image in (one, other)]
    return float(np.sqrt(((seen[0] - seen[1]) ** 2).mean()))


def detail(image: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).std())


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corruption_depends_on_its_source_alone_and_leaves_the_picture_given_as_it_is(lesion, kind):
    before = lesion.copy()
    for first, again in zip(three(lesion, kind), three(lesion, kind), strict=True):
        np.testing.assert_array_equal(first, again)
        assert first.dtype == np.uint8
        assert first.shape[2] == 3
    np.testing.assert_array_equal(lesion, before)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_higher_severity_changes_more(lesion, kind):
    steps = np.mean([[difference(lesion, one) for one in three(lesion, kind, seed)] for seed in range(6)], axis=0)
    assert 0.2 < steps[0] < steps[1] < steps[2]


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_severity_means_the_same_to_a_large_picture(kind):
    """What the network sees of a camera's full picture is about as far from the clean one as of a small picture."""
    large = draw_lesion("mel", seed=9, height=2 * SIDE, width=int(2.6 * SIDE))[0]
    small = imaging.fit(large, SIDE // 2)
    of_large, of_small = (
        np.mean([[difference(image, one) for one in three(image, kind, seed)] for seed in range(4)])
        for image in (large, small)
    )
    assert of_large == pytest.approx(of_small, rel=0.35)


@pytest.mark.parametrize("kind", ["defocus", "motion"])
def test_blur_takes_detail_away_and_keeps_the_colours(lesion, kind):
    sharpness = [detail(lesion), *(detail(one) for one in three(lesion, kind))]
    assert sharpness == sorted(sharpness, reverse=True)
    for one in three(lesion, kind):
        np.testing.assert_allclose(one.mean((0, 1)), lesion.mean((0, 1)), atol=2)


def test_motion_blurs_along_one_direction_only():
    for seed in range(5):
        image = np.zeros((201, 201, 3), np.uint8)
        image[100, 100] = 255
        trace = np.argwhere(corrupt(image, "motion", 3, np.random.default_rng(seed))[:, :, 0] > 0) - 100.0
        _, extent, _ = np.linalg.svd(trace - trace.mean(0))
        assert extent[0] > 4 * extent[1]


def test_exposure_changes_light_by_stops_as_a_screen_shows_it():
    grey = np.full((16, 16, 3), 128, np.uint8)
    assert [int(one[0, 0, 0]) for one in three(grey, "dark")] == [103, 82, 64]  # 128 * 2 ** (stops / 2.2)
    assert [int(one[0, 0, 0]) for one in three(grey, "bright")] == [141, 155, 175]


def test_jpeg_is_compressed_as_hard_as_stated(lesion):
    for one, quality in zip(three(lesion, "jpeg"), (40, 20, 10), strict=True):
        data = cv2.imencode(".jpg", lesion[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        np.testing.assert_array_equal(one, cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])


def test_noise_grows_with_the_signal():
    spread = [np.std(three(np.full((448, 448, 3), level, np.uint8), "noise")[0].astype(float)) for level in (40, 200)]
    assert spread[1] / spread[0] == pytest.approx(np.sqrt((0.5 + 0.5 * 200 / 255) / (0.5 + 0.5 * 40 / 255)), rel=0.02)


def test_noise_has_no_drift_and_the_stated_spread_at_224_pixels():
    grey = np.full((448, 448, 3), 128, np.uint8)
    for one, stated in zip(three(grey, "noise"), (0.02, 0.04, 0.08), strict=True):
        seen = imaging.fit(one, 224).astype(float)
        assert seen.mean() == pytest.approx(128, abs=1)
        assert seen.std() == pytest.approx(255 * stated * np.sqrt(0.5 + 0.5 * 128 / 255), rel=0.1)


def test_dark_and_bright_move_the_light_and_leave_black_black(lesion):
    for kind, sign in (("dark", -1), ("bright", 1)):
        steps = [float(one.mean()) - lesion.mean() for one in three(lesion, kind)]
        assert all(sign * step > 0 for step in steps)
        assert not corrupt(np.zeros((96, 96, 3), np.uint8), kind, 3, np.random.default_rng(0)).any()


def test_a_colour_cast_changes_colour_but_hardly_the_light():
    grey = np.full((96, 96, 3), 120, np.uint8)
    spreads = []
    for seed in range(20):
        one = corrupt(grey, "colour cast", 3, np.random.default_rng(seed)).mean((0, 1))
        assert one @ (0.299, 0.587, 0.114) == pytest.approx(120, abs=1)
        spreads.append(tuple(np.sign(np.round(one - 120))))
        assert np.ptp(one) > 10
    assert len(set(spreads)) > 3  # warm and cool, greenish and pinkish


@pytest.mark.parametrize("shape", [(225, 300), (300, 225), (200, 200)])
def test_what_was_the_middle_stays_in_the_judged_square_of_a_crop(shape):
    image = np.zeros((*shape, 3), np.uint8)
    middle = shape[0] // 2, shape[1] // 2
    image[middle[0] - 2 : middle[0] + 2, middle[1] - 2 : middle[1] + 2] = 255
    places = set()
    for seed in range(40):
        for one, kept in zip(three(image, "crop", seed), (0.85, 0.7, 0.6), strict=True):
            assert one.shape[:2] == tuple(round(side * kept) for side in shape)
            assert imaging.centre(one).any()
            places.add(tuple(np.argwhere(one[:, :, 0])[0]))
    assert len(places) > 60


@pytest.mark.parametrize(("kind", "most"), [("hair", 0.6), ("ink", 0.3)])
def test_hair_and_ink_cover_a_part_and_leave_the_rest_alone(kind, most):
    skin = np.full((225, 300, 3), (205, 165, 160), np.uint8)
    covered = np.array([[(one != skin).any(2).mean() for one in three(skin, kind, seed)] for seed in range(10)])
    assert covered.max() < most
    assert covered.min() > 0
    assert (np.diff(covered.mean(0)) > 0).all()


def test_ink_is_bluish_lets_the_skin_through_and_keeps_off_the_middle():
    skin = np.full((225, 300, 3), (205, 165, 160), np.uint8)
    for seed in range(10):
        one = corrupt(skin, "ink", 3, np.random.default_rng(seed))
        marked = (one != skin).any(2)
        red, green, blue = one[one[:, :, 0] < 150].mean(0)  # well inside a stroke
        assert blue > red > 40
        assert blue > green
        assert not marked[90:135, 125:175].any()
