"""Points of one picture that are found again in another of the same skin, however turned, framed or lit.

SIFT (Lowe, International Journal of Computer Vision 60:91, 2004) with square-rooted descriptors (Arandjelovic and
Zisserman, CVPR 2012).  Matches count where one turn, scale and shift carries them over.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from skin_model import imaging
from skin_model.dataset import perceptual

_COUNT = 300
_SIDE = 225  # pixels of the shorter side, half of HAM10000's
_RATIO = 0.85  # of the distances to the best and the second best match
_APART = 4.0  # pixels between a point and where the transform puts it
_SCALE = 4.0  # beyond it, points that lie close together match anything
_FEWEST = 4  # two fix the transform
# A mirrored patch has its 4 x 4 cells in reverse order across its direction, and 8 directions counted the other way.
_MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()


@dataclass(frozen=True)
class Keypoints:
    """The points of one picture, about 300 at most: 40 kB.

    Attributes:
        places: float32 (P, 2), in pixels.
        descriptors: uint8 (P, 128).
    """

    places: np.ndarray
    descriptors: np.ndarray


def find(paths: Sequence[Path], on_progress: perceptual.OnProgress | None = None) -> list[Keypoints]:
    """The keypoints of image files, by several threads.

    Raises:
        DatasetError: an image cannot be read, by its name.
    """
    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for points in pool.map(_of, paths):
            found.append(points)
            if on_progress:
                on_progress(len(found), len(paths))
    return found


def matching(a: Keypoints, b: Keypoints) -> int:
    """How many points of `a` are found again in `b`, the picture as it is or mirrored."""
    mirrored = Keypoints(a.places * np.array([-1, 1], np.float32), a.descriptors[:, _MIRRORED])
    return max(_matching(a, b), _matching(mirrored, b))


def _of(path: Path) -> Keypoints:
    fitted = imaging.fit(perceptual.grey(path), _SIDE)
    evened = cv2.createCLAHE(3, (4, 4)).apply(fitted)  # pale lesions too shall have points
    points, descriptors = cv2.SIFT.create(_COUNT, contrastThreshold=0.01).detectAndCompute(evened, None)
    if descriptors is None:
        descriptors = np.empty((0, 128))
    places = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
    return Keypoints(places, descriptors.astype(np.uint8))


def _matching(a: Keypoints, b: Keypoints) -> int:
    if min(len(a.places), len(b.places)) < _FEWEST:
        return 0
    similarity = _rooted(a.descriptors) @ _rooted(b.descriptors).T  # (P, Q)
    best = similarity.argmax(axis=1)
    mutual = similarity.argmax(axis=0)[best] == np.arange(len(best))
    second, first = np.partition(similarity, -2, axis=1)[:, -2:].T
    kept = mutual & (1 - first < _RATIO**2 * (1 - second))  # squared distances are 2 - 2 * similarity
    if kept.sum() < _FEWEST:
        return 0
    transform, agreeing = cv2.estimateAffinePartial2D(
        a.places[kept], b.places[best[kept]], ransacReprojThreshold=_APART, maxIters=500
    )
    if transform is None:
        return 0
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    return int(agreeing.sum()) if 1 / _SCALE < scale < _SCALE else 0


def _rooted(descriptors: np.ndarray) -> np.ndarray:
    """Descriptors (P, 128) as unit vectors, whose product is Hellinger's kernel."""
    return np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True, dtype=np.float32), 1))
