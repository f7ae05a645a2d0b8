"""Augmentation of one image, drawn from (seed, epoch, index) alone: the same whatever thread or back end asks.

One composed affine warp brings the image, already scaled to the network's input, onto the network's grid, so that each
picture is interpolated once; one colour matrix changes light, contrast, saturation and colour balance together.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from skin_model import imaging


@dataclass(frozen=True)
class Strength:
    """Ranges of the random changes; each is drawn uniformly from plus or minus the range unless said otherwise."""

    scale: float  # natural logarithm of the zoom
    shear: float  # tangent of the angle
    shift: float  # share of the image's side
    light: float  # brightness and contrast, share of full scale
    colour: float  # saturation and the balance of the three channels, share


STRENGTHS: dict[str, Strength | None] = {
    "none": None,
    "light": Strength(scale=0.1, shear=0.05, shift=0.05, light=0.06, colour=0.04),
    "standard": Strength(scale=0.25, shear=0.15, shift=0.10, light=0.12, colour=0.08),
    "strong": Strength(scale=0.4, shear=0.2, shift=0.15, light=0.2, colour=0.15),
}

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def augment(fitted: np.ndarray, strength: Strength | None, rng: np.random.Generator) -> np.ndarray:
    """Flip, turn by any angle, zoom, shear, shift and recolour one image.

    Args:
        fitted: uint8 (h, w, 3) whose shorter side is the network's input size, from `imaging.fit`; or (h, w, 4) with
            a mask, which moves along and keeps its values.
        strength: ranges of the changes; None takes the centred square unchanged.
        rng: source of all randomness.

    Returns:
        uint8 (s, s, 3) or (s, s, 4) with s the shorter side.
    """
    if strength is None:
        return imaging.centre(fitted)
    warped = _warped(fitted, strength, rng)
    warped[..., :3] = cv2.transform(warped[..., :3], _colour(strength, rng))
    return warped


def _warped(fitted: np.ndarray, strength: Strength, rng: np.random.Generator) -> np.ndarray:
    height, width = fitted.shape[:2]
    size = min(height, width)
    return cv2.warpAffine(
        fitted,
        _matrix(height, width, size, strength, rng),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _matrix(height: int, width: int, size: int, strength: Strength, rng: np.random.Generator) -> np.ndarray:
    """The (2, 3) matrix from pixels of the network's grid to pixels of the fitted image."""
    angle = rng.uniform(0, 2 * np.pi)
    zoom = np.exp(rng.uniform(-strength.scale, strength.scale))
    shear = rng.uniform(-strength.shear, strength.shear)
    mirror = rng.choice((-1.0, 1.0))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag([zoom * mirror, zoom])
    shift = rng.uniform(-strength.shift, strength.shift, 2) * size
    target_centre = np.array([(size - 1) / 2, (size - 1) / 2])
    source_centre = np.array([(width - 1) / 2, (height - 1) / 2]) + shift
    return np.column_stack([linear, source_centre - linear @ target_centre])


def _colour(strength: Strength, rng: np.random.Generator) -> np.ndarray:
    """The (3, 4) matrix of one random change of light and colour; uint8 values saturate."""
    contrast = 1 + rng.uniform(-strength.light, strength.light)
    brightness = 255 * rng.uniform(-strength.light, strength.light)
    saturation = 1 + rng.uniform(-2 * strength.colour, 2 * strength.colour)
    balance = 1 + rng.uniform(-strength.colour, strength.colour, 3)
    grey = np.outer(np.ones(3), LUMA)
    linear = contrast * np.diag(balance) @ (grey + saturation * (np.eye(3) - grey))
    offset = brightness + 128 * (1 - contrast)
    return np.column_stack([linear, np.full(3, offset)])
