"""Augmentation of one image."""

import numpy as np
import pytest

from skin_model import imaging
from skin_model.dataset.augmentation import STRENGTHS, Strength, augment
from skin_model.dataset.drawn import draw_lesion

ACTIVE = [name for name, strength in STRENGTHS.items() if strength]
STILL = Strength(scale=0, shear=0, shift=0, light=0, colour=0)  # only flips and turns remain


def fitted(height: int = 110, width: int = 146, size: int = 64) -> np.ndarray:
    return imaging.fit(draw_lesion("mel", seed=3, height=height, width=width)[0], size)


def three_dots(size: int = 64, radius: int = 15) -> np.ndarray:
    """Dots of pure red, green and blue, anticlockwise around the centre, on black."""
    picture = np.zeros((size, size, 3), np.uint8)
    middle = (size - 1) / 2
    for channel, angle in enumerate(np.radians([90, 210, 330])):
        x, y = round(middle + radius * np.cos(angle)), round(middle - radius * np.sin(angle))
        picture[y - 3 : y + 4, x - 3 : x + 4, channel] = 255
    return picture


def dots_of(picture: np.ndarray) -> np.ndarray:
    """Centre of each channel's brightness as (x, y upwards), (3, 2)."""
    y, x = np.mgrid[: len(picture), : len(picture)]
    weights = picture.reshape(-1, 3).astype(float)
    return np.stack([x.ravel() @ weights, -y.ravel() @ weights], 1) / weights.sum(0)[:, None]


def chirality(picture: np.ndarray) -> float:
    """1 where red, green and blue lie anticlockwise, -1 where a mirror has turned that round."""
    red, green, blue = dots_of(picture)
    return float(np.sign(np.linalg.det(np.stack([green - red, blue - red]))))


@pytest.mark.parametrize("shape", [(110, 146), (146, 110), (128, 128)])
@pytest.mark.parametrize("name", STRENGTHS)
def test_every_image_becomes_the_networks_square(name, shape):
    out = augment(fitted(*shape), STRENGTHS[name], np.random.default_rng(0))
    assert (out.shape, out.dtype) == ((64, 64, 3), np.uint8)


def test_none_is_exactly_what_validation_and_use_see():
    image = fitted()
    out = augment(image, STRENGTHS["none"], np.random.default_rng(0))
    np.testing.assert_array_equal(out, imaging.centre(image))


@pytest.mark.parametrize("name", ACTIVE)
def test_the_same_source_gives_the_same_pixels_and_another_gives_others(name):
    image = fitted()
    first, again, other = (augment(image, STRENGTHS[name], np.random.default_rng([7, i])) for i in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 2


@pytest.mark.parametrize("name", ACTIVE)
def test_turning_and_shifting_leave_no_black_corner(name):
    plain = np.full((64, 85, 3), (200, 150, 140), np.uint8)
    for seed in range(20):
        out = augment(plain, STRENGTHS[name], np.random.default_rng(seed))
        assert np.ptp(out.reshape(-1, 3), axis=0).max() == 0


def test_pictures_are_turned_by_any_angle_and_mirrored_half_of_the_time():
    drawn = [augment(three_dots(), STILL, np.random.default_rng(seed)) for seed in range(200)]
    sides = np.array([chirality(picture) for picture in drawn])
    angles = [np.arctan2(*(dots_of(picture)[0] - (31.5, -31.5))[::-1]) for picture in drawn]

    assert 70 <= (sides == 1).sum() <= 130  # 4 standard deviations of 200 fair throws
    assert set(np.floor(np.array(angles) / (np.pi / 4)).astype(int)) == set(range(-4, 4))
    assert len(set(np.floor(np.degrees(angles) / 10))) > 30


def test_pictures_are_zoomed_sheared_and_shifted_as_far_as_the_strength_says_and_no_farther():
    picture = three_dots(256, 20)  # so near the middle that no corner mirrors them

    def shapes(**of: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of 300 draws: the square root of the triangle's area, its longest side over its shortest, its centre."""
        strength = Strength(**vars(STILL) | of)
        dots = np.stack([dots_of(augment(picture, strength, np.random.default_rng(s))) for s in range(300)])
        sides = np.linalg.norm(dots - np.roll(dots, 1, axis=1), axis=2)
        area = np.abs(np.linalg.det(np.stack([dots[:, 1] - dots[:, 0], dots[:, 2] - dots[:, 0]], 1))) / 2
        return np.sqrt(area), sides.max(axis=1) / sides.min(axis=1), dots.mean(axis=1) - (127.5, -127.5)

    area, skew, centre = shapes()
    usual = np.median(area)
    assert np.ptp(area) < 0.05 * usual
    assert skew.max() < 1.1
    assert np.abs(centre).max() < 1

    zoomed = shapes(scale=0.25)[0] / usual
    assert (zoomed.min(), zoomed.max()) == pytest.approx((np.exp(-0.25), np.exp(0.25)), rel=0.05)
    # an equilateral triangle sheared by s becomes up to about 1 + s longer on one side than on another
    sheared = shapes(shear=0.15)
    assert 1.12 < sheared[1].max() < 1.25
    assert np.ptp(sheared[0]) < 0.05 * usual, "a shear keeps the area"
    shifted = np.abs(shapes(shift=0.1)[2])
    assert 0.09 * 256 < shifted.max() < 0.1 * np.sqrt(2) * 256 + 1


@pytest.mark.parametrize("name", ACTIVE)
def test_the_middle_of_the_picture_stays_in_sight(name):
    spot = np.zeros((64, 85, 3), np.uint8)
    spot[29:35, 39:46] = 255
    for seed in range(20):
        assert augment(spot, STRENGTHS[name], np.random.default_rng(seed)).max(axis=2)[8:-8, 8:-8].max() > 150


@pytest.mark.parametrize("name", ACTIVE)
def test_red_stays_red_and_colours_keep_their_mean(name):
    red = np.full((16, 16, 3), (200, 60, 60), np.uint8)
    drawn = np.array([augment(red, STRENGTHS[name], np.random.default_rng(seed))[0, 0] for seed in range(50)], float)
    assert (drawn[:, 0] > drawn[:, 2]).all()
    plain = np.full((16, 16, 3), (150, 120, 110), np.uint8)
    drawn = np.array([augment(plain, STRENGTHS[name], np.random.default_rng(seed))[0, 0] for seed in range(400)], float)
    np.testing.assert_allclose(drawn.mean(axis=0), (150, 120, 110), atol=3)


def test_light_changes_brightness_and_contrast_and_colour_saturation_and_balance():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32], picture[32:] = (150, 110, 90), (90, 90, 90)

    def halves(**of: float) -> np.ndarray:
        """The two colours of each of 200 draws, (200, 2, 3)."""
        drawn = [augment(picture, Strength(**vars(STILL) | of), np.random.default_rng(s)) for s in range(200)]
        tops = [np.unique(one.reshape(-1, 3), axis=0, return_counts=True) for one in drawn]
        two = [colours[np.argsort(counts)[-2:]].astype(float) for colours, counts in tops]
        return np.stack([pair[np.argsort(pair.sum(axis=1))] for pair in two])

    grey, coloured = halves(light=0.1).transpose(1, 0, 2)
    assert np.ptp(grey, axis=1).max() <= 1, "light leaves grey grey"
    assert np.ptp(grey.mean(axis=1)) > 30, "brighter and darker"
    assert np.ptp((coloured - grey).mean(axis=1)) > 3, "with more and less contrast"
    grey, coloured = halves(colour=0.1).transpose(1, 0, 2)
    assert np.ptp(grey[:, 0] - grey[:, 2]) > 8, "the balance of the channels changes"
    without_balance = coloured / grey
    assert np.ptp(without_balance[:, 0] / without_balance[:, 2]) > 0.1, "and the saturation besides"


def test_light_and_saturation_reach_as_far_as_the_strength_says():
    def drawn(plain: object, **of: float) -> np.ndarray:
        strength, picture = Strength(**vars(STILL) | of), np.full((8, 8, 3), plain, np.uint8)
        return np.stack([augment(picture, strength, np.random.default_rng(s))[0, 0].astype(float) for s in range(300)])

    grey = drawn(128, light=0.2)
    assert (grey.min(), grey.max()) == pytest.approx((77, 179), abs=2), "contrast turns about 128"
    seen = drawn((180, 120, 120), colour=0.15) / (drawn(128, colour=0.15) / 128)
    spread = (seen[:, 0] - seen[:, 1]) / 60
    assert (spread.min(), spread.max()) == pytest.approx((0.7, 1.3), abs=0.04)


def test_pictures_are_interpolated_smoothly():
    """By the nearest pixel a slanted edge would be a staircase of two values."""
    edge = np.zeros((64, 64, 3), np.uint8)
    edge[:, 32:] = 255
    drawn = [augment(edge, STILL, np.random.default_rng(seed)) for seed in range(20)]
    assert np.mean([((one > 20) & (one < 235)).mean() for one in drawn]) > 0.01


def test_a_stronger_augmentation_changes_light_and_colour_more():
    plain = np.full((64, 64, 3), (200, 150, 140), np.uint8)
    spread = {
        name: np.std([augment(plain, STRENGTHS[name], np.random.default_rng(s))[0, 0] for s in range(100)], axis=0)
        for name in ACTIVE
    }
    assert (spread["light"] > 3).all()
    assert (spread["light"] < spread["standard"]).all()
    assert (spread["standard"] < spread["strong"]).all()
