"""Pictures as clinics take them on a bad day: blurred, noisy, in the wrong light or colour, cropped, under hair or ink.

In the manner of MedMNIST-C (Di Salvo, Doerrich, Ledig, arXiv:2406.17536), whose list for dermoscopy lacks colour cast,
crop, hair and ink; ink raises false alarms on naevi (Winkler et al., JAMA Dermatology 2019).  Three severities of each:
hardly noticed, plain, and what a careful clinician would take again.  Lengths are shares of the picture's shorter side.
"""

from collections.abc import Callable

import cv2
import numpy as np

from skin_model import imaging
from skin_model.dataset.artefacts import compress, draw_hairs, draw_ink
from skin_model.dataset.augmentation import LUMA

SEVERITIES = (1, 2, 3)
SIDE = 450  # pixels, of HAM10000's originals: larger pictures are reduced, so that a severity means the same to all

_SEEN_AT = 224  # pixels on the side, at which MedMNIST-C states noise
_GAMMA = 2.2  # about sRGB's


def corrupt(image: np.ndarray, kind: str, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Corrupt one picture.

    Args:
        image: RGB uint8 (H, W, 3); it is not changed.
        kind: key of `CORRUPTIONS`.
        severity: 1 to 3.
        rng: source of all randomness.

    Returns:
        uint8, of another size where the picture was larger than `SIDE` or the corruption crops.
    """
    if min(image.shape[:2]) > SIDE:
        image = imaging.fit(image, SIDE)
    return CORRUPTIONS[kind](image, severity - 1, rng)


def _defocus(image: np.ndarray, level: int, _: np.random.Generator) -> np.ndarray:
    """The disc that a point out of focus becomes."""
    radius = (0.005, 0.01, 0.02)[level] * min(image.shape[:2])
    reach = np.arange(-int(radius) - 1, int(radius) + 2)
    disc = np.clip(radius + 0.5 - np.hypot(reach[:, None], reach), 0, 1)  # soft at the rim
    return cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)


def _motion(image: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """A hand that moved in a straight line while the shutter was open."""
    length = (0.015, 0.03, 0.06)[level] * min(image.shape[:2])
    heading = rng.uniform(0, np.pi)
    half = int(length / 2) + 2
    ends = np.array([[-1], [1]]) * (length / 2) * [np.cos(heading), np.sin(heading)] + half
    line = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    cv2.polylines(line, [np.round(ends * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
    return cv2.filter2D(image, -1, line / line.sum(dtype=float), borderType=cv2.BORDER_REFLECT)


def _noise(image: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """A sensor short of light: half of the variance from its electronics, half growing with the signal."""
    spread = 255 * (0.02, 0.04, 0.08)[level] * min(image.shape[:2]) / _SEEN_AT  # reducing the picture averages it
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    grain *= spread * np.sqrt(0.5 + 0.5 * image / np.float32(255))
    return _to_bytes(image + grain)


def _dark(image: np.ndarray, level: int, _: np.random.Generator) -> np.ndarray:
    return _exposed(image, (-0.7, -1.4, -2.2)[level])


def _bright(image: np.ndarray, level: int, _: np.random.Generator) -> np.ndarray:
    return _exposed(image, (0.3, 0.6, 1.0)[level])


def _exposed(image: np.ndarray, stops: float) -> np.ndarray:
    """Exposed longer or shorter by photographic stops; what is too bright burns out."""
    levels = np.arange(256) * 2 ** (stops / _GAMMA)
    return cv2.LUT(image, _to_bytes(levels))


def _cast(image: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """A white balance for another lamp: warm or cool, greenish or pinkish, equally light."""
    direction = rng.uniform(0, 2 * np.pi)
    warm, green = (0.08, 0.16, 0.25)[level] * np.array([np.cos(direction), 0.5 * np.sin(direction)])
    gains = np.exp([warm, green, -warm])
    return cv2.transform(image, np.diag(gains / (LUMA @ gains)))


def _jpeg(image: np.ndarray, level: int, _: np.random.Generator) -> np.ndarray:
    """Sent by a messenger that saves on data."""
    return compress(image, (40, 20, 10)[level])


def _crop(image: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Taken from too near and aimed beside the lesion; in 4:3 what was the middle stays in the judged square."""
    shape = np.array(image.shape[:2])
    kept = np.round(shape * (0.85, 0.7, 0.6)[level]).astype(int)
    top, left = (rng.random(2) * (shape - kept + 1)).astype(int)
    return image[top : top + kept[0], left : left + kept[1]]


def _hair(image: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    return draw_hairs(image, rng, (6, 16, 40)[level], short=False)


def _ink(image: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    return draw_ink(image, rng, (0.08, 0.3, 0.7)[level])


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


CORRUPTIONS: dict[str, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "defocus": _defocus, "motion": _motion, "noise": _noise, "dark": _dark, "bright": _bright, "colour cast": _cast,
    "jpeg": _jpeg, "crop": _crop, "hair": _hair, "ink": _ink,
}  # fmt: skip
