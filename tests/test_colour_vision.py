"""What colours tell apart on a page stays apart for people who see red and green alike.

Simulated by the matrices for a complete deficiency of Machado, Oliveira and Fernandes, "A physiologically-based model
for simulation of color vision deficiency" (IEEE TVCG 2009), which apply to linear RGB; differences are CIEDE2000, of
which about 2 can just be seen side by side.
"""

import re
from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from pages.ui import frame
from skin_model.services import explaining

SEEN = {
    "everything": np.eye(3),
    "no red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
PLAIN = 10  # told apart at a glance, not only side by side


def seen(colours: list[tuple[int, int, int]], eye: np.ndarray) -> np.ndarray:
    """CIELAB (N, 3) of sRGB colours as an eye sees them."""
    rgb = np.array(colours) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ eye.T, 0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


@pytest.fixture(params=SEEN)
def eye(request: pytest.FixtureRequest) -> np.ndarray:
    return SEEN[request.param]


def test_heat_is_told_from_weaker_and_stronger_heat(eye: np.ndarray) -> None:
    lab = seen(explaining.heat_scale(1.0)[::3], eye)  # over grey: where it is weak the picture shows through
    for one, other in combinations(range(len(lab)), 2):
        # neighbours merge into one another, as they should, but can be seen side by side
        least = 2 if other == one + 1 else PLAIN / 2
        assert deltaE_ciede2000(lab[one], lab[other]) > least, (one, other)
    assert deltaE_ciede2000(lab[0], lab[-1]) > 2 * PLAIN


def test_the_lines_of_a_map_are_told_apart(eye: np.ndarray) -> None:
    lab = seen([colour for _, colour in explaining.contour_scale()], eye)
    assert min(deltaE_ciede2000(one, other) for one, other in combinations(lab, 2)) > PLAIN


def test_the_boxes_of_the_four_outcomes_are_told_apart(eye: np.ndarray) -> None:
    borders = []
    for key in ("refer", "below", "care", "not-judged"):
        (rule,) = re.findall(rf"\.st-key-{key}[^{{}}]*\{{[^}}]*border-color: #(\w{{6}})", frame._STYLE)
        borders.append((int(rule[:2], 16), int(rule[2:4], 16), int(rule[4:], 16)))
    lab = seen(borders, eye)
    assert min(deltaE_ciede2000(one, other) for one, other in combinations(lab, 2)) > PLAIN
