"""A picture under the heat map of one class."""

import cv2
import numpy as np

MAX_SIDE = 1200  # pixels; a screen shows no more, and a 50-megapixel upload would take seconds

_COLOURS = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].copy()  # RGB (256, 3)


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
        RGB uint8, the picture's aspect ratio, longer side at most `MAX_SIDE`.
    """
    height, width = pixels.shape[:2]
    factor = min(1.0, MAX_SIDE / max(height, width))
    if factor < 1:
        shape = (max(1, round(width * factor)), max(1, round(height * factor)))
        picture = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA)
        left, top, side = (round(v * factor) for v in box)
        side = min(side, picture.shape[0] - top, picture.shape[1] - left)
    else:
        picture, (left, top, side) = pixels.copy(), box
    if opacity <= 0 or not heat_map.any():
        return picture
    heat = np.clip(cv2.resize(heat_map, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    # (side, side) uint8 steps are enough for the eye and make the blend integer arithmetic
    steps = (heat * 255).astype(np.uint8)
    colours = cv2.LUT(cv2.merge([steps, steps, steps]), _COLOURS[None])
    alpha = heat * np.float32(opacity)
    square = picture[top : top + side, left : left + side]
    picture[top : top + side, left : left + side] = cv2.blendLinear(square, colours, 1 - alpha, alpha)
    return picture
