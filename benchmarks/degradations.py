"""What spoils a picture besides `dataset.corruptions`: what is gross, what was aimed badly, what lies on the glass.

Three strengths of each.  Lengths are shares of the picture's shorter side.
"""

from collections.abc import Callable

import cv2
import numpy as np

from skin_model.dataset.corruptions import corrupt

FROM_CORRUPTIONS = ("defocus", "motion", "noise", "jpeg", "hair", "ink")


def spoiled(pixels: np.ndarray, kind: str, strength: int, seed: int) -> np.ndarray:
    """Spoil one picture.

    Args:
        pixels: RGB uint8 (H, W, 3); it is not changed.
        kind: one of `KINDS`.
        strength: 1 (slight), 2 or 3 (gross).
        seed: of what is random.
    """
    rng = np.random.default_rng([seed, strength, len(kind)])
    if kind in FROM_CORRUPTIONS:
        return corrupt(pixels, kind, strength, rng)
    return _OWN[kind](pixels, strength - 1, rng)


def _gain(*factors: float) -> Callable[[np.ndarray, int, np.random.Generator], np.ndarray]:
    return lambda pixels, level, rng: np.clip(pixels * factors[level], 0, 255).astype(np.uint8)


def _far(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """From further away: the same picture at the middle of grainy skin."""
    height, width = pixels.shape[:2]
    scale = (0.6, 0.4, 0.25)[level]
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    above, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    edge = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    wide = np.median(edge, axis=0) + rng.normal(0, 4, pixels.shape)
    wide[above : above + small.shape[0], left : left + small.shape[1]] = small
    return np.clip(wide, 0, 255).astype(np.uint8)


def _aside(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Aimed past the lesion, which lies at the middle of most pictures of HAM10000: it is cut off."""
    height, width = pixels.shape[:2]
    side = int(0.6 * min(height, width))
    left, top = int(width / 2 - (0.25, 0.12, 0.0)[level] * side), (height - side) // 2
    cut = pixels[top : top + side, left : left + side]
    return cut if rng.random() < 0.5 else cut.transpose(1, 0, 2).copy()


def _ruler(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Ticks in the lower part of the middle square, every fifth one longer, level or slanting."""
    turn = rng.normal(0, 0.15)
    ahead, aside = np.array([np.cos(turn), np.sin(turn)]), np.array([np.sin(turn), -np.cos(turn)])
    pitch, tick = rng.uniform(0.035, 0.07), (0.02, 0.035, 0.05)[level]
    foot = _extent(pixels) / 2 + np.array([0, rng.uniform(0.34, 0.46)])
    lines = []
    for number in range(-int(0.48 / pitch), int(0.48 / pitch) + 1):
        at = foot + number * pitch * ahead
        lines.append(np.stack([at, at + tick * (2 if number % 5 == 0 else 1) * aside]))
    return _strokes(pixels, lines, 0.006, 25, 0.9)


def _bubbles(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Air in the contact gel: pale rings, each with a spot of light."""
    around = np.linspace(0, 2 * np.pi, 40)
    rings, spots = [], []
    for _ in range((6, 15, 35)[level]):
        at, radius = rng.uniform(0.1, 0.9, 2) * _extent(pixels), rng.uniform(0.01, 0.035)
        rings.append(at + radius * np.stack([np.cos(around), np.sin(around)], 1))
        spots.append(at + radius * np.array([[-0.5, -0.5], [-0.3, -0.6]]))
    return _strokes(_strokes(pixels, rings, 0.006, 248, 0.55), spots, 0.012, 255, 0.9)


def _glare(pixels: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Light thrown back by the skin: soft burnt-out patches."""
    side = min(pixels.shape[:2])
    layer = np.zeros(pixels.shape[:2], np.float32)
    for _ in range((1, 2, 4)[level]):
        x, y = (rng.uniform(0.25, 0.75, 2) * _extent(pixels) * side).astype(int).tolist()
        axes = (rng.uniform((0.02, 0.05, 0.08)[level], (0.05, 0.09, 0.14)[level], 2) * side).astype(int).tolist()
        cv2.ellipse(layer, (x, y), axes, rng.uniform(0, 180), 0, 360, 1.3, -1)
    light = np.clip(cv2.GaussianBlur(layer, (0, 0), 0.01 * side), 0, 1)[..., None]
    return np.round(pixels + (255 - pixels.astype(float)) * light).astype(np.uint8)


def _strokes(pixels: np.ndarray, lines: list[np.ndarray], thick: float, grey: int, cover: float) -> np.ndarray:
    """Polylines (k, 2) of (x, y) as shares of the shorter side, blended in."""
    side = min(pixels.shape[:2])
    layer = np.zeros(pixels.shape[:2], np.uint8)
    for points in lines:
        cv2.polylines(layer, [np.round(points * side * 16).astype(np.int32)], False, 255,
                      max(round(thick * side), 1), cv2.LINE_AA, 4)  # fmt: skip
    share = cover * cv2.GaussianBlur(layer, (0, 0), 0.6)[..., None] / 255
    return np.round(pixels * (1 - share) + grey * share).astype(np.uint8)


def _extent(pixels: np.ndarray) -> np.ndarray:
    """(width, height) as shares of the shorter side."""
    return np.array(pixels.shape[1::-1]) / min(pixels.shape[:2])


_OWN: dict[str, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "darkness": _gain(0.6, 0.4, 0.15), "light": _gain(1.4, 1.8, 3.0), "far away": _far, "aimed aside": _aside,
    "ruler": _ruler, "bubbles": _bubbles, "glare": _glare,
}  # fmt: skip
KINDS = (*FROM_CORRUPTIONS, *_OWN)
