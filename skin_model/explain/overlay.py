"""A picture under the heat map of one class, as colours or as contours."""

import cv2
import numpy as np

_LEVELS = np.arange(256, dtype=np.uint8)[:, None]  # of heat; a column, since OpenCV 4 and 5 differ on vectors
_COLOURS = cv2.applyColorMap(_LEVELS, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].copy()  # RGB (256, 3)
CONTOURS = (0.25, 0.5, 0.75)  # of the map's strongest place


def overlay(pixels: np.ndarray, box: tuple[int, int, int], heat_map: np.ndarray, opacity: float) -> np.ndarray:
    """Lay a heat map over the judged square of a picture.

    Viridis is told apart with every common colour-vision deficiency and differs from skin and lesion colours.  The
    map's own strength scales the opacity, so cold regions stay as they are.

    Args:
        pixels: RGB uint8 (H, W, 3).
        box: (left, top, side) of the judged square in `pixels`.
        heat_map: float32 (h, w) in [0, 1] over that square.
        opacity: 0 (picture alone) to 1.

    Returns:
        RGB uint8 (H, W, 3).
    """
    picture = pixels.copy()
    if opacity <= 0 or not heat_map.any():
        return picture
    left, top, side = box
    square = picture[top : top + side, left : left + side]
    # 256 levels of heat are enough for the eye; with two tables the blend is whole-number arithmetic, five times as
    # fast as one in float32
    levels = cv2.convertScaleAbs(heat_map, alpha=255)
    heat = cv2.resize(levels, (side, side), interpolation=cv2.INTER_CUBIC)  # (side, side), saturating
    alpha = opacity / 255 * _LEVELS  # (256, 1)
    kept = cv2.LUT(heat, np.rint(255 * (1 - alpha)).astype(np.uint8))
    added = cv2.applyColorMap(heat, np.rint(alpha * _COLOURS).astype(np.uint8)[:, None])
    square[:] = cv2.add(cv2.multiply(square, cv2.merge([kept] * 3), scale=1 / 255), added)
    return picture


def contours(pixels: np.ndarray, box: tuple[int, int, int], heat_map: np.ndarray, opacity: float) -> np.ndarray:
    """Draw lines where a heat map reaches the levels `CONTOURS`, which leave the picture itself to be seen.

    Each line has its level's colour on a dark edge, so that it stands out from light and dark skin alike.  Arguments
    and result as of `overlay`.
    """
    picture = pixels.copy()
    if opacity <= 0 or not heat_map.any():
        return picture
    left, top, side = box
    square = picture[top : top + side, left : left + side]
    heat = cv2.resize(heat_map, (side, side), interpolation=cv2.INTER_CUBIC)
    drawn = square.copy()
    for level in CONTOURS:
        _draw_border(drawn, heat >= level, colour(level), max(1, round(side / 220)))
    square[:] = cv2.addWeighted(drawn, opacity, square, 1 - opacity, 0)
    return picture


def outlined(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draw the border of a mask, bool (H, W), on a picture, RGB uint8 (H, W, 3): a bright line on a dark edge."""
    picture = pixels.copy()
    _draw_border(picture, mask, colour(1.0), max(1, round(min(mask.shape) / 220)))
    return picture


def _draw_border(picture: np.ndarray, mask: np.ndarray, of: tuple[int, int, int], thin: int) -> None:
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, lines, -1, (11, 29, 38), thin + 2, cv2.LINE_AA)
    cv2.drawContours(picture, lines, -1, of, thin, cv2.LINE_AA)


def colour(level: float) -> tuple[int, int, int]:
    """RGB of a level of heat in [0, 1]."""
    red, green, blue = (int(value) for value in _COLOURS[round(255 * level)])
    return red, green, blue
