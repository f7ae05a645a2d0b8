"""Where the network looked: shares inside the mask against sums written out, and what must be left out."""

import numpy as np
import pytest

from skin_model.evaluation.localisation import BLOB, Look, localisation, look
from skin_model.evaluation.scored import Scored


def disc(x: float, y: float, radius: float, side: int = 96) -> np.ndarray:
    """A mask with a disc at (x, y); all in sides."""
    across = (np.arange(side) + 0.5) / side
    return np.uint8(255) * (np.hypot(across[None] - x, across[:, None] - y) <= radius)


def scored(labels: list[int], lesions: list[str] | None) -> Scored:
    return Scored(np.array(labels), np.zeros(len(labels)), None, None if lesions is None else np.array(lesions))


def test_an_even_map_has_the_share_of_the_lesions_area_inside() -> None:
    mask = disc(0.3, 0.6, 0.2)
    assert look(np.ones((6, 6), np.float32), mask).inside == pytest.approx(mask.mean() / 255)  # type: ignore[union-attr]


def test_a_map_of_the_very_mask_lies_inside_and_one_beside_it_outside() -> None:
    mask = disc(0.25, 0.5, 0.2)
    heat = np.zeros((96, 96), np.float32)
    heat[mask > 0] = 1
    assert look(heat, mask).inside == pytest.approx(1)  # type: ignore[union-attr]
    assert look(heat[:, ::-1].copy(), mask).inside == pytest.approx(0)  # type: ignore[union-attr]


def test_the_share_of_the_blob_is_the_integral_of_its_gaussian_over_the_lesion() -> None:
    for radius in (0.1, 0.2, 0.3):  # over a disc around its middle a round Gaussian has the integral 1 - exp(...)
        found = look(np.ones((6, 6), np.float32), disc(0.5, 0.5, radius, 400))
        assert found is not None
        assert found.blob == pytest.approx(1 - np.exp(-(radius**2) / (2 * BLOB**2)), abs=0.01)
        assert found.off_centre == pytest.approx(0, abs=1e-3)


def test_off_centre_is_the_distance_of_the_masks_centre_in_sides() -> None:
    found = look(np.ones((6, 6), np.float32), disc(0.2, 0.9, 0.05, 400))
    assert found is not None
    assert found.off_centre == pytest.approx(0.5, abs=0.005)


def test_each_cell_of_a_map_lies_over_its_own_part_of_the_picture() -> None:
    for row, column in np.ndindex(6, 6):
        heat = np.zeros((6, 6), np.float32)
        heat[row, column] = 1
        mask = np.zeros((96, 96), np.uint8)
        mask[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 255
        own = look(heat, mask)
        other = look(heat, np.roll(mask, (48, 48), (0, 1)))
        assert own is not None
        assert other is not None
        assert own.inside > 0.5
        assert other.inside == 0


def test_nothing_is_measured_without_activation_or_without_a_lesion_in_the_square() -> None:
    assert look(np.zeros((6, 6), np.float32), disc(0.5, 0.5, 0.2)) is None
    assert look(np.ones((6, 6), np.float32), np.zeros((96, 96), np.uint8)) is None


def test_groups_hold_the_images_they_name_and_their_mean_gain() -> None:
    looks = [
        Look(0.9, 0.6, 0.7, 0.01),
        Look(0.5, 0.6, 0.7, 0.02),
        None,
        Look(0.2, 0.4, 0.7, 0.03),
        Look(0.3, 0.1, 0.7, 0.3),
    ]
    found = localisation(scored([5, 5, 4, 4, 5], ["a", "b", "x", "c", "d"]), looks)
    assert found is not None
    groups = {group["name"]: group for group in found["groups"]}
    assert list(groups) == ["all", "off-centre", "mel", "nv"]
    assert (groups["all"]["images"], groups["all"]["lesions"]) == (4, 4)
    assert groups["all"]["inside"]["value"] == pytest.approx(1.9 / 4)
    assert groups["all"]["gain"]["value"] == pytest.approx(0.2 / 4)
    assert groups["mel"]["gain"]["value"] == pytest.approx(-0.2)
    assert groups["off-centre"]["images"] == 1
    assert groups["off-centre"]["gain"]["value"] == pytest.approx(0.2)


def test_the_farthest_quarter_is_one_of_lesions_not_of_images() -> None:
    """One lesion far off in twelve pictures is one of eight lesions, so another one belongs to the quarter too."""
    lesions = [f"L{n}" for n in range(8)] + ["L7"] * 11
    looks = [Look(0.5, 0.5, 0.5, n / 20) for n in range(8)] + [Look(0.5, 0.5, 0.5, 7 / 20)] * 11
    found = localisation(scored([5] * len(looks), lesions), looks)
    assert found is not None
    assert found["groups"][1]["lesions"] == 2


def test_lesions_are_drawn_together() -> None:
    random = np.random.default_rng(0)
    looks = [Look(value, 0.5, 0.5, 0.1) for value in random.random(60) for _ in range(4)]
    by_image = localisation(scored([0] * 240, None), looks)
    by_lesion = localisation(scored([0] * 240, [str(n // 4) for n in range(240)]), looks)
    assert by_image is not None
    assert by_lesion is not None
    wide, narrow = (np.ptp(found["groups"][0]["gain"]["interval"]) for found in (by_lesion, by_image))
    assert wide > 1.5 * narrow


def test_without_masks_there_is_nothing_to_report() -> None:
    assert localisation(scored([5, 5], None), [None, None]) is None
    assert localisation(scored([5, 5], None), ()) is None
