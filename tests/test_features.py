"""What is measured of a lesion, against scikit-image on ellipses and against shapes whose measures are known."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from skimage.measure import perimeter_crofton, regionprops

from skin_model import features
from skin_model.entities import Measurements

PICTURE = np.full((300, 400, 3), (150, 100, 80), np.uint8)


def ellipse(long: float, short: float, degrees: float = 0.0, at: tuple[int, int] = (200, 150)) -> np.ndarray:
    """Half axes in pixels, turned by an angle, on a canvas of 300 x 400."""
    mask = np.zeros((300, 400), np.uint8)
    fine = [round(16 * value) for value in (*at, long, short)]
    cv2.ellipse(mask, tuple(fine[:2]), tuple(fine[2:]), degrees, 0, 360, 1, cv2.FILLED, shift=4)
    return mask > 0


def polygon(*corners: tuple[int, int]) -> np.ndarray:
    return cv2.fillPoly(np.zeros((300, 400), np.uint8), [np.array(corners)], 1) > 0


def measured(mask: np.ndarray, pixels: np.ndarray = PICTURE, scale: float = 1.0) -> Measurements:
    found = features.measure(pixels, mask, scale)
    assert isinstance(found, Measurements), found
    return found


ELLIPSES = [(40, 40, 0), (90, 45, 0), (90, 45, 30), (100, 30, 75), (60, 55, 120), (12, 7, 20)]


@pytest.mark.parametrize(("long", "short", "degrees"), ELLIPSES)
def test_size_and_axes_are_those_of_scikit_image(long: float, short: float, degrees: float) -> None:
    mask = ellipse(long, short, degrees)
    (known,) = regionprops(mask.astype(int))
    found = measured(mask)
    assert found.area == known.area
    assert found.share == pytest.approx(known.area / mask.size)
    assert found.diameter == pytest.approx(known.feret_diameter_max, abs=1)  # theirs is of the hull drawn in pixels
    assert found.length == pytest.approx(known.axis_major_length)
    assert found.width == pytest.approx(known.axis_minor_length)
    if long != short:
        angle = features.principal_axes(mask)[0]  # theirs is from rows towards columns
        assert np.sin(angle - (np.pi / 2 - known.orientation)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("long", "short", "degrees"), ELLIPSES)
def test_the_border_is_as_long_as_by_scikit_image(long: float, short: float, degrees: float) -> None:
    mask = ellipse(long, short, degrees)
    assert features.perimeter(mask) == pytest.approx(perimeter_crofton(mask, directions=4))


def test_a_circle_is_regular_and_an_oval_is_only_a_little_less_so() -> None:
    assert features.irregularity(ellipse(100, 100)) == pytest.approx(1, abs=0.03)
    assert features.irregularity(ellipse(120, 60)) == pytest.approx(1.19, abs=0.04)


def test_a_star_is_far_more_irregular_than_a_circle_of_its_size() -> None:
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = np.where(np.arange(24) % 2, 120, 60)
    star = polygon(*np.stack([200 + radius * np.cos(around), 150 + radius * np.sin(around)], 1).astype(int))
    assert features.irregularity(star) > 3


@pytest.mark.parametrize("degrees", [0, 25, 90, 160])
def test_an_oval_is_symmetric_however_it_lies(degrees: float) -> None:
    assert max(measured(ellipse(90, 50, degrees)).asymmetry) < 0.03


def test_half_a_disc_is_symmetric_across_one_axis_alone() -> None:
    half = ellipse(100, 100)
    half[150:] = False
    along, across = measured(half).asymmetry
    assert across < 0.03, "folded along the short axis, left meets right"
    # its centre of gravity lies 4 / 3 pi above the straight side; what is alone when folded there, by integration
    y = np.linspace(0, 1, 100_001)
    wide, folded = np.sqrt(1 - y**2), np.sqrt(np.clip(1 - (8 / (3 * np.pi) - y) ** 2, 0, None))
    folded[y > 8 / (3 * np.pi)] = 0
    assert along == pytest.approx(np.clip(wide - folded, 0, None).sum() / wide.sum(), abs=0.01)


def test_lengths_are_told_in_pixels_of_the_upload() -> None:
    small, large = measured(ellipse(60, 40)), measured(ellipse(60, 40), scale=3.0)
    assert large.diameter == pytest.approx(3 * small.diameter)
    assert (large.length, large.width) == pytest.approx((3 * small.length, 3 * small.width))
    assert large.area == 9 * small.area
    assert (large.share, large.irregularity, large.asymmetry) == (small.share, small.irregularity, small.asymmetry)


def test_shape_does_not_hang_on_the_size_of_the_picture() -> None:
    def scaled(mask: np.ndarray) -> np.ndarray:
        return cv2.resize(mask.astype(np.uint8), None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST) > 0

    mask = ellipse(80, 50, 30) | ellipse(50, 30, 0, at=(240, 170))
    small, large = measured(mask), measured(scaled(mask), cv2.resize(PICTURE, (1200, 900)))
    assert large.asymmetry == pytest.approx(small.asymmetry, abs=0.01)
    assert large.irregularity == pytest.approx(small.irregularity, rel=0.02)


SKIN = (225, 180, 165)


def test_a_colour_counts_from_a_twentieth_on_and_hairs_are_no_colour() -> None:
    mask, pixels = ellipse(100, 80), np.full_like(PICTURE, SKIN)
    pixels[mask] = features.COLOURS["dark brown"]
    for width, known in ((40, False), (70, True)):
        marked = pixels.copy()
        marked[140:160, 200 : 200 + width] = features.COLOURS["blue-grey"]
        assert ("blue-grey" in measured(mask, marked).colours) == known
    pixels[mask] = features.COLOURS["light brown"]
    pixels[:, 110:300:10] = (20, 15, 15)
    assert set(measured(mask, pixels).colours) == {"light brown"}
    assert measured(mask, pixels).variegation < 3


def test_colours_are_counted_inside_the_lesion_alone() -> None:
    pixels, mask = np.full_like(PICTURE, SKIN), ellipse(100, 80)
    pixels[mask] = features.COLOURS["dark brown"]
    pixels[140:160, 150:250] = features.COLOURS["blue-grey"]
    found = measured(mask, pixels)
    assert set(found.colours) == {"dark brown", "blue-grey"}
    assert found.colours["blue-grey"] == pytest.approx(2000 / mask.sum(), abs=0.02)


@pytest.mark.parametrize("name", features.COLOURS)
def test_each_colour_is_known_in_other_light(name: str) -> None:
    mask = ellipse(80, 50)
    for light in ((0.7, 0.7, 0.7), (1.0, 0.85, 0.8), (0.8, 0.9, 1.0)):
        pixels = np.full(PICTURE.shape, SKIN) * light
        pixels[mask] = np.array(features.COLOURS[name]) * light
        found = measured(mask, pixels.astype(np.uint8))
        assert max(found.colours, key=found.colours.__getitem__) == name
        assert found.colours[name] > 0.95, "but for the blurred border"


def test_variegation_is_the_spread_of_colour_in_delta_e() -> None:
    pixels, mask = PICTURE.copy(), ellipse(100, 80)
    pixels[:, :200], pixels[:, 200:] = 100, 160  # grey: L* 42.4 and 65.9
    assert measured(mask, pixels).variegation == pytest.approx((65.9 - 42.4) / 2, rel=0.05)


BROKEN: dict[str, tuple[Callable[[], np.ndarray], str]] = {
    "empty": (lambda: np.zeros((300, 400), bool), "No lesion was found"),
    "whole": (lambda: np.ones((300, 400), bool), "takes in the whole picture"),
    "islands": (lambda: ellipse(30, 20, 0, (100, 100)) | ellipse(30, 20, 0, (300, 200)), "falls into 2 parts"),
    "edge": (lambda: ellipse(60, 60, 0, (20, 150)), "touches the picture's edge"),
    "nearly at the edge": (lambda: np.pad(np.ones((297, 396), bool), ((1, 2), (2, 2))), "touches"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_mask_that_cannot_be_measured_gets_a_sentence_and_no_numbers(kind: str) -> None:
    mask, words = BROKEN[kind]
    found = features.measure(PICTURE, mask())
    assert isinstance(found, str)
    assert words in found


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (2, 9)])
def test_the_smallest_of_lesions_are_measured_without_a_fault(shape: tuple[int, int], times: int) -> None:
    mask = np.zeros((300 * times, 400 * times), bool)
    mask[150 : 150 + shape[0], 200 : 200 + shape[1]] = True
    found = measured(mask, PICTURE.repeat(times, axis=0).repeat(times, axis=1))
    assert all(np.isfinite([found.diameter, found.irregularity, found.variegation, *found.asymmetry]))
