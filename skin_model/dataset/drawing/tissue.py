"""Skin and lesion tissue as optical densities over a skin colour (Beer-Lambert).

Melanin, blood, and melanin deep in the dermis, which looks blue-grey; before them lies what scatters all light:
keratin, scar, scale.  Skin colours, lesion areas and densities follow HAM10000's means and spreads.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from skin_model.dataset.drawing.canvas import Canvas, step

# Optical density per channel (R, G, B) of one unit of pigment; one unit halves green to 1/e.
# Rows melanin, blood in fine vessels, blood in lagoons, deep melanin; the first two span the hues of HAM10000's skin.
ABSORBED = np.array([[0.42, 1.0, 1.45], [0.20, 1.0, 0.62], [0.20, 1.0, 0.46], [1.0, 0.76, 0.50]], np.float32)
WHITE = (236.0, 214.0, 220.0)
KERATIN = (214.0, 172.0, 112.0)
HAIR = (70.0, 50.0, 46.0)


@dataclass(frozen=True)
class Habit:
    """What a class's images share; near the medians over HAM10000 where a figure can be measured."""

    skin: tuple[int, int, int]  # RGB beside the lesion
    area: float  # share of the picture
    irregularity: float  # of the outline
    ragged: float  # how far the border wavers from place to place, in pixels at a height of 450
    softness: float  # of the border, as a share of the radius
    damage: float  # sun damage of the skin around: mottling, lentigines, vessels
    age: int  # years
    dx_type: tuple[str, ...]  # how HAM10000 confirmed it


HABITS = {
    "akiec": Habit((213, 174, 180), 0.36, 0.18, 6.0, 0.40, 0.9, 67, ("histo",)),
    "bcc": Habit((206, 174, 178), 0.21, 0.14, 5.0, 0.40, 0.8, 67, ("histo",)),
    "bkl": Habit((203, 164, 172), 0.29, 0.11, 5.0, 0.22, 0.6, 64, ("histo", "consensus", "confocal")),
    "df": Habit((214, 169, 175), 0.28, 0.11, 4.0, 0.70, 0.4, 53, ("histo", "consensus")),
    "mel": Habit((201, 164, 173), 0.31, 0.18, 4.0, 0.26, 0.4, 61, ("histo",)),
    "nv": Habit((225, 158, 165), 0.20, 0.09, 3.0, 0.38, 0.2, 47, ("histo", "follow_up", "consensus")),
    "vasc": Habit((217, 167, 176), 0.07, 0.06, 0.0, 0.40, 0.2, 53, ("histo", "consensus")),
}


def _whitest(skin: np.ndarray) -> list[float]:
    """What scar and scale look like on a skin: no brighter than its light allows."""
    return [min(white, 1.12 * tone + 25.0) for white, tone in zip(WHITE, skin.tolist(), strict=True)]


class Tissue:
    """The layers that a look fills: densities of four pigments, then shares of keratin, white, hair."""

    def __init__(self, canvas: Canvas) -> None:
        self.layers = np.zeros((7, canvas.height, canvas.width), np.float32)
        self.melanin, self.blood, self.venous, self.deep, self.keratin, self.white, self.hair = self.layers

    def colour(self, skin: np.ndarray) -> np.ndarray:
        """The layers over a skin colour (3,) as float32 RGB planes (3, H, W)."""
        planes = np.zeros((3, *self.hair.shape), np.float32)
        part = np.empty_like(self.hair)
        for plane, tone, column in zip(planes, skin.tolist(), ABSORBED.T, strict=True):
            for layer, absorbed in zip(self.layers, column, strict=False):
                plane -= np.multiply(layer, absorbed, out=part)
            cv2.exp(plane, plane)
            plane *= tone
        for layer, colours in ((self.keratin, KERATIN), (self.white, _whitest(skin)), (self.hair, HAIR)):
            if layer.any():
                for plane, colour in zip(planes, colours, strict=True):
                    plane += (colour - plane) * layer
        return planes


def outline(c: Canvas, habit: Habit) -> tuple[np.ndarray, np.ndarray]:
    """Depth in the lesion (0 at its edge, about 1 in its middle, less outside) and mask uint8 {0, 255}."""
    share = float(np.clip(habit.area * np.exp(c.rng.normal(0, 0.6)), 0.03, 0.60))
    radius = float(np.sqrt(share * c.height * c.width / np.pi))
    slack = np.clip(np.array([c.width, c.height]) / 2 - radius, 0, None) * 0.55
    centre = np.array([c.width, c.height]) / 2 + np.clip(c.rng.normal(0, 0.35, 2), -1, 1) * slack
    angle, stretch = c.rng.uniform(0, np.pi), float(np.sqrt(c.rng.uniform(1.0, 1.7)))
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    x, y = c.x - np.float32(centre[0]), c.y - np.float32(centre[1])
    u = (x * cos + y * sin) * (1 / (radius * stretch))
    v = (y * cos - x * sin) * (stretch / radius)
    depth = 1.0 - cv2.magnitude(u, v)
    size = radius / c.scale
    depth = depth + habit.irregularity * (0.55 * c.noise(size * 0.8, 2) + 0.13 * c.noise(size * 0.24, 3))
    inside = (depth > 0).astype(np.uint8)
    edges, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(edges, key=cv2.contourArea)
    mask = cv2.drawContours(np.zeros_like(inside), [largest], -1, 255, -1)
    depth[(mask == 0) & (depth > 0)] = -0.05  # islands beside the lesion fade
    return depth + np.float32(habit.ragged / size) * c.noise(12, 3), mask  # a mask is drawn by hand, so smoother


def draw_skin(c: Canvas, t: Tissue, damage: float) -> None:
    """Pores, furrows, blotches and, on sun-damaged skin, lentigines and widened vessels."""
    rng = c.rng
    t.melanin += 0.02 * c.noise(170, 2) + (0.007 + 0.025 * damage) * c.noise(34, 4)
    t.blood += 0.02 * c.noise(150, 2) + (0.006 + 0.016 * damage) * c.noise(22, 4)
    t.venous += (0.008 + 0.016 * damage) * c.noise(90, 3)
    if rng.random() < 0.6:
        angle = rng.uniform(0, 180)
        furrows = c.furrows(6, angle) + c.furrows(7, angle + rng.uniform(50, 100))
        t.melanin += rng.uniform(0.015, 0.05) * furrows * rng.choice([1.0, -0.7])
    if rng.random() < 0.6 * damage**2:  # half of actinic keratoses, hardly any naevi
        t.melanin += rng.uniform(0.05, 0.25) * step(c.noise(60, 3), 0.3, 4.0)
    if rng.random() < 0.7 * damage**2:
        lines = []
        for start in c.places(c.blank() + 1.0, int(rng.integers(3, 9))):
            lines += c.vessels(start.astype(float), rng.uniform(0, 6.3), rng.uniform(40, 130), rng.uniform(1.2, 2.6))
        t.blood += rng.uniform(0.08, 0.25) * c.strokes(lines, 2.0)


def flakes(c: Canvas, weight: np.ndarray, count: int, length: float) -> np.ndarray:
    """Short white curls, as scale and dry skin leave them under the glass."""
    starts = c.places(weight, count)
    paths = c.walks(starts, c.rng.uniform(0, 6.3, len(starts)), length, c.rng.uniform(0.05, 0.6))
    ends, thickness = c.rng.uniform(0.4, 1.0, len(starts)), c.rng.uniform(0.4, 1.1, len(starts))
    lines = [(path[: 2 + int(len(path) * end)], wide) for path, end, wide in zip(paths, ends, thickness, strict=True)]
    return c.strokes(lines, 0.5)
