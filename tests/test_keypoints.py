"""Points of a picture are found again in another of the same skin, and not in one of other skin."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from skin_model.dataset import keypoints
from skin_model.dataset.drawn import draw_lesion
from skin_model.errors import DatasetError


def turned(pixels: np.ndarray, degrees: float, scale: float = 1.0) -> np.ndarray:
    """Seen from another side and distance."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    return cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)


CHANGES = {
    "no change": lambda pixels: pixels,
    "a quarter turn": np.rot90,
    "a turn by 33 degrees": lambda pixels: turned(pixels, 33),
    "half the distance": lambda pixels: turned(pixels, 10, 1.9),
    "a mirror": lambda pixels: pixels[:, ::-1],
    "a mirror and a turn": lambda pixels: turned(pixels[:, ::-1], 70),
    "less light": lambda pixels: (pixels * 0.7).astype(np.uint8),
    "more pixels": lambda pixels: cv2.resize(pixels, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC),
}


def write(pixels: np.ndarray, path: Path) -> Path:
    cv2.imwrite(str(path), np.ascontiguousarray(pixels))
    return path


@pytest.fixture(scope="module")
def lesion() -> np.ndarray:
    return draw_lesion("mel", seed=3, height=225, width=300)[0]


@pytest.mark.parametrize("change", CHANGES)
def test_points_are_found_again_however_the_picture_was_turned_framed_and_lit(change, lesion, tmp_path):
    files = [write(lesion, tmp_path / "a.png"), write(CHANGES[change](lesion), tmp_path / "b.jpg")]
    a, b = keypoints.find(files)
    assert keypoints.matching(a, b) >= 30
    assert keypoints.matching(b, a) >= 30


def test_pictures_of_different_lesions_share_hardly_any_points(tmp_path):
    drawn = [draw_lesion("nv", seed=seed, height=225, width=300)[0] for seed in range(8)]
    found = keypoints.find([write(one, tmp_path / f"{i}.png") for i, one in enumerate(drawn)])
    assert min(len(one.places) for one in found) > 50
    assert max(keypoints.matching(a, b) for i, a in enumerate(found) for b in found[:i]) < 6


def test_a_picture_without_structure_has_no_points_and_matches_nothing(lesion, tmp_path):
    plain = np.full((225, 300, 3), 200, np.uint8)
    told = []
    empty, full = keypoints.find(
        [write(plain, tmp_path / "plain.png"), write(lesion, tmp_path / "lesion.png")], lambda *done: told.append(done)
    )
    assert told == [(1, 2), (2, 2)]
    assert empty.places.shape == (0, 2)
    assert empty.descriptors.shape == (0, 128)
    assert keypoints.matching(empty, full) == keypoints.matching(full, empty) == keypoints.matching(empty, empty) == 0


def test_an_unreadable_image_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    with pytest.raises(DatasetError, match=r"broken\.jpg: This file is not a readable image"):
        keypoints.find([tmp_path / "broken.jpg"])
