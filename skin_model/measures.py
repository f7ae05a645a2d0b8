"""What can be measured of a dermoscopic picture in a millisecond or two: light, focus, the lesion's place, artefacts.

Every measure is a few OpenCV calls on 192 x 192 pixels: all of them together cost less than one pass of the network.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

SIDE = 192  # pixels, to which larger squares are reduced
_COARSE = 48  # pixels, for finding the lesion
_PEN_HUES = (40, 155)  # of 180: green, blue, violet
_NEAR_WHITE = 240
_HEADINGS = 36
_TURNS = np.arange(_HEADINGS) * np.pi / _HEADINGS
_AHEAD, _ASIDE = np.array([np.cos(_TURNS), np.sin(_TURNS)]), np.array([-np.sin(_TURNS), np.cos(_TURNS)])  # (2, n)


@dataclass(frozen=True)
class Lesion:
    """The lesion as darkness finds it; a rough guess, for its size and place alone.

    Attributes:
        mask: bool (48, 48).
        contrast: how much darker it is than the rest, in grey levels.
        edge: share of the square's edge that it reaches.
    """

    mask: np.ndarray
    contrast: float
    edge: float


def measures(square: np.ndarray) -> dict[str, float]:
    """Every measure of a square picture (s, s, 3), by name; shares lie between 0 and 1, brightness in grey levels."""
    if square.shape[0] > SIDE:
        square = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)
    levels = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().cumsum() / grey.size
    lesion = find_lesion(square)
    red, green, blue = cv2.split(square)
    whiteness = cv2.min(cv2.min(red, green), blue)
    usual = _usual(whiteness)
    shapes = _shapes(cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, _disc(7)) > 25)
    return {
        "variation": float(cv2.meanStdDev(square)[1].sum()),
        "focus": _focus(grey),
        "brightness": float(np.searchsorted(levels, 0.95)),
        "burnt": float(1 - levels[_NEAR_WHITE]),
        "area": float(lesion.mask.mean()),
        "edge": lesion.edge if lesion.contrast >= 40 else 0.0,
        "contrast": lesion.contrast,
        "hair": float(shapes.area[shapes.long(25) & shapes.thin(6)].sum() / grey.size),
        "ink": _ink(square, lesion.mask),
        "ruler": _ruler(shapes),
        "bubbles": _bubbles(whiteness, usual),
        "glare": float((whiteness >= max(_NEAR_WHITE, usual + 40)).mean()),
    }


def find_lesion(square: np.ndarray) -> Lesion:
    """Find the lesion by Otsu's threshold on darkness in blue light, which melanin and blood both absorb."""
    small = cv2.medianBlur(cv2.resize(square, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA), 5)
    middle, off_centre = _middle()
    darkness = 255.0 - np.minimum(small[..., 2], cv2.add(small[..., 1], 20))  # green too: magenta reflects blue
    brightest = small.max(axis=2)
    tube = (brightest < 0.55 * np.percentile(brightest, 75)) & (off_centre > 0.8)  # of the dermatoscope, at the corners
    if not tube.all():
        darkness[tube] = np.median(darkness[~tube])
    weighted = np.clip(darkness * (0.75 + 0.25 * middle), 0, 255).astype(np.uint8)
    level, dark = cv2.threshold(weighted, 0, 1, cv2.THRESH_OTSU)
    count, parts = cv2.connectedComponents(dark)
    if count == 1:
        return Lesion(np.zeros((_COARSE, _COARSE), bool), 0.0, 0.0)
    mask = parts == 1 + np.bincount(parts.ravel(), (middle**2).ravel())[1:].argmax()
    _, beyond = cv2.connectedComponents((darkness > 1.1 * level).astype(np.uint8))
    reaching = np.isin(beyond, np.setdiff1d(beyond[mask], 0)) & ~tube
    edge = np.concatenate([reaching[0], reaching[-1], reaching[1:-1, 0], reaching[1:-1, -1]]).mean()
    contrast = darkness[mask].mean() - darkness[~mask].mean() if not mask.all() else 0.0
    return Lesion(mask, float(contrast), float(edge))


@cache
def _middle() -> tuple[np.ndarray, np.ndarray]:
    """How central each coarse pixel is (1 to 0), and its squared distance from the middle in half sides."""
    along = (np.arange(_COARSE) + 0.5) / _COARSE * 2 - 1
    squared = along[:, None] ** 2 + along**2
    return np.exp(-squared / (2 * 0.84**2)), squared


@cache
def _disc(side: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _focus(grey: np.ndarray) -> float:
    """Log of fine over middling detail, median of 36 tiles: blur takes the fine first, on any skin."""
    plain = grey.astype(np.float32)
    soft, softer = (cv2.GaussianBlur(plain, (0, 0), sigma) for sigma in (1.0, 2.0))
    fine, middling = (cv2.resize(x**2, (6, 6), interpolation=cv2.INTER_AREA) for x in (plain - soft, soft - softer))
    return float(np.median(np.log(fine + 0.01) - np.log(middling + 0.4)))


@dataclass(frozen=True)
class _Shapes:
    """Connected shapes: centres (n, 2), diagonals of their boxes and areas, in pixels."""

    centres: np.ndarray
    extent: np.ndarray
    area: np.ndarray

    def long(self, pixels: float) -> np.ndarray:
        return self.extent >= pixels

    def thin(self, times: float) -> np.ndarray:
        return self.extent**2 > times * self.area


def _shapes(where: np.ndarray) -> _Shapes:
    _, _, boxes, centres = cv2.connectedComponentsWithStats(where.astype(np.uint8), connectivity=8)
    return _Shapes(centres[1:], np.hypot(boxes[1:, 2], boxes[1:, 3]), boxes[1:, 4])


def _ink(square: np.ndarray, lesion: np.ndarray) -> float:
    """Share of pixels outside the lesion, which may be blue itself, in the colours of skin markers."""
    half = cv2.resize(square, (2 * _COARSE, 2 * _COARSE), interpolation=cv2.INTER_AREA)
    hue, saturation, value = cv2.split(cv2.cvtColor(half, cv2.COLOR_RGB2HSV))
    inked = (hue > _PEN_HUES[0]) & (hue < _PEN_HUES[1]) & (saturation > 80) & (value > 60)
    outside = cv2.dilate(lesion.astype(np.uint8), _disc(7)).repeat(2, 0).repeat(2, 1) == 0
    return float((inked & outside).mean())


def _ruler(shapes: _Shapes) -> float:
    """How many short dark strokes lie on one line at even distances; 0 where those on the fullest line are uneven."""
    ticks = shapes.centres[shapes.long(4) & ~shapes.long(25) & shapes.thin(2)]
    if not 5 <= len(ticks) <= 150:  # more are stubble
        return 0.0
    strips = ((ticks @ _ASIDE + 2 * SIDE) // 6).astype(int)  # (n, headings): which strip of six pixels
    fullest = np.bincount((strips + 200 * np.arange(_HEADINGS)).ravel()).argmax()
    strip, heading = fullest % 200, fullest // 200
    on_line = ticks[strips[:, heading] == strip]
    gaps = np.diff(np.sort(on_line @ _AHEAD[:, heading]))
    if len(gaps) < 4:
        return 0.0
    even = np.abs(gaps - np.median(gaps)) < 0.25 * np.median(gaps)
    return float(even.sum() + 1) if even.mean() > 0.7 else 0.0


def _bubbles(whiteness: np.ndarray, usual: float) -> float:
    """The number of small spots and rings that are whiter than what surrounds them and than half of the picture."""
    spots = cv2.morphologyEx(whiteness, cv2.MORPH_TOPHAT, _disc(7)) > 40
    shapes = _shapes(spots & (whiteness > usual + 40))
    return float((~shapes.thin(8) & (shapes.area >= 2)).sum())


def _usual(plane: np.ndarray) -> float:
    """The median of a plane of bytes; NumPy's own sorts."""
    counts = cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel().cumsum()
    return float(np.searchsorted(counts, plane.size / 2))
