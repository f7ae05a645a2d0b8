"""Where the network looked, held against lesion masks: the share of class activation inside the lesion.

The share is that of the energy-based pointing game (Wang et al., Score-CAM, CVPR workshops 2020), with the lesion's own
outline in place of a box.  Lesions mostly lie in the middle of a picture, so a share says something only above that of
a blob which stands in the middle of every picture and has seen none.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from skin_model.evaluation.resampling import Figures
from skin_model.evaluation.scored import Scored
from skin_model.taxonomy import CODES

BLOB = 0.15  # standard deviation of the centred Gaussian, in sides of the judged square
FAR = 0.25  # share of the lesions that count as lying off the centre


@dataclass(frozen=True)
class Look:
    """Where the network looked in one picture, over the judged square.

    Attributes:
        inside: share of the class activation inside the lesion's mask.
        blob: the same of the centred blob.
        grid: the same of the mask itself drawn on the network's grid: what a map of just the lesion's extent reaches.
        off_centre: distance from the square's middle to the mask's centre of gravity, in sides.
    """

    inside: float
    blob: float
    grid: float
    off_centre: float


def look(heat_map: np.ndarray, mask: np.ndarray) -> Look | None:
    """Hold one map against one mask; None where nothing is active, or no lesion lies in the square.

    Args:
        heat_map: (h, w), not negative, on the network's own grid.
        mask: uint8 (s, s), 255 on the lesion, through the geometry of `imaging.fit` and `imaging.centre`.
    """
    if not (heat_map.any() and mask.any()):
        return None
    lesion = mask / np.float32(255)
    x, y = ((np.arange(side) + 0.5) / side - 0.5 for side in lesion.shape[::-1])
    mass = lesion.sum()
    off = np.hypot(lesion.sum(axis=0) @ x / mass, lesion.sum(axis=1) @ y / mass)
    drawn = cv2.resize(lesion, heat_map.shape[::-1], interpolation=cv2.INTER_AREA)
    maps = _enlarged(heat_map, lesion), blob(len(lesion)), _enlarged(drawn, lesion)
    inside, by_blob, grid = (float((one * lesion).sum() / one.sum()) for one in maps)
    return Look(inside, by_blob, grid, float(off))


def localisation(scored: Scored, looks: Sequence[Look | None]) -> dict[str, Any] | None:
    """Shares inside the masks with 95 % bootstrap intervals by lesion; None where no picture has a mask.

    Args:
        scored: the model's answers.
        looks: one per answer, None where nothing could be measured.

    Returns:
        blob_sigma, off_centre_from (sides), and groups: all images, the quarter of the lesions that lies farthest off
        the centre (by the mean over a lesion's pictures), and each true class; each with name, images, lesions, and
        inside, blob, gain (inside - blob) and grid as {"value", "interval"}.
    """
    measured = np.array([one is not None for one in looks], dtype=bool)
    if not measured.any():
        return None
    part = scored.subset(measured)
    shares = np.array([astuple(one) for one in looks if one is not None])
    apart = _of_lesion(shares[:, 3], part.lesions)
    limit = float(np.quantile(apart[_firsts(part)], 1 - FAR))
    rows = {"all": np.ones(len(part), dtype=bool), "off-centre": apart >= limit}
    rows |= {code: part.labels == index for index, code in enumerate(CODES) if (part.labels == index).any()}
    groups = [
        {"name": name, "images": int(of.sum()), "lesions": part.subset(of).lesion_count}
        | part.subset(of).estimates([_Shares(shares[of])])
        for name, of in rows.items()
    ]
    return {"blob_sigma": BLOB, "off_centre_from": limit, "groups": groups}


class _Shares(Figures):
    """Mean shares of images (N, 4)."""

    def __init__(self, shares: np.ndarray) -> None:
        self._shares = np.column_stack([shares[:, :3], shares[:, 0] - shares[:, 1]])

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        means = (weights @ self._shares) / weights.sum(axis=1, keepdims=True)
        return dict(zip(("inside", "blob", "grid", "gain"), means.T, strict=True))


def _enlarged(heat_map: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The map over the square as the overlay draws it: cubic, nothing below zero."""
    return np.maximum(cv2.resize(heat_map, mask.shape[::-1], interpolation=cv2.INTER_CUBIC), 0)


@cache
def blob(side: int) -> np.ndarray:
    """The centred Gaussian, (side, side)."""
    profile = np.exp(-(((np.arange(side) + 0.5) / side - 0.5) ** 2) / (2 * BLOB**2))
    return np.outer(profile, profile)


def _of_lesion(values: np.ndarray, lesions: np.ndarray | None) -> np.ndarray:
    """For each image the mean over the images of its lesion."""
    if lesions is None:
        return values
    _, of = np.unique(lesions, return_inverse=True)
    return (np.bincount(of, values) / np.bincount(of))[of]


def _firsts(part: Scored) -> np.ndarray:
    """One row of each lesion."""
    return np.arange(len(part)) if part.lesions is None else np.unique(part.lesions, return_index=True)[1]
