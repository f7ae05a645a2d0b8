"""Drawn dermoscopy: synthetic lesions of seven looks, for tests and for demonstrations without a data set.

A drawing is a stack of optical densities over a skin colour (Beer-Lambert): melanin, blood, and melanin deep
in the dermis, which looks blue-grey; before them lies what scatters all light: keratin, scar, scale.  Skin
colours, lesion areas and densities follow HAM10000's means and spreads.  Lengths are pixels at height 450.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from skin_model.entities import SEXES, SITES
from skin_model.errors import ConfigurationError, DatasetError
from skin_model.taxonomy import BY_CODE, CODES

# Optical density per channel (R, G, B) of one unit of pigment; one unit halves green to 1/e.
# Rows melanin, blood in fine vessels, blood in lagoons, deep melanin.
ABSORBED = np.array([[0.44, 1.0, 1.30], [0.16, 1.0, 0.84], [0.20, 1.0, 0.46], [1.0, 0.76, 0.50]], np.float32)
WHITE = (236.0, 214.0, 220.0)
KERATIN = (214.0, 172.0, 112.0)
HAIR = (70.0, 50.0, 46.0)


@dataclass(frozen=True)
class _Habit:
    """What a class's images share; near the medians over HAM10000 where a figure can be measured."""

    skin: tuple[int, int, int]  # RGB beside the lesion
    area: float  # share of the picture
    irregularity: float  # of the outline
    softness: float  # of the border, as a share of the radius
    damage: float  # sun damage of the skin around: mottling, lentigines, vessels
    age: int  # years
    dx_type: tuple[str, ...]  # how HAM10000 confirmed it


_HABITS = {
    "akiec": _Habit((213, 174, 180), 0.30, 0.30, 0.40, 0.9, 67, ("histo",)),
    "bcc": _Habit((206, 174, 178), 0.19, 0.28, 0.40, 0.8, 67, ("histo",)),
    "bkl": _Habit((203, 164, 172), 0.25, 0.13, 0.16, 0.6, 64, ("histo", "consensus", "confocal")),
    "df": _Habit((214, 169, 175), 0.25, 0.18, 0.70, 0.4, 53, ("histo", "consensus")),
    "mel": _Habit((201, 164, 173), 0.28, 0.27, 0.26, 0.4, 61, ("histo",)),
    "nv": _Habit((225, 158, 165), 0.20, 0.11, 0.38, 0.2, 47, ("histo", "follow_up", "consensus")),
    "vasc": _Habit((217, 167, 176), 0.10, 0.08, 0.17, 0.2, 53, ("histo", "consensus")),
}


def _step(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 at `low` to 1 at `high`; falls where `low` is the larger."""
    t = (x - low) * (1.0 / (high - low))
    np.clip(t, 0.0, 1.0, out=t)
    rise = t * -2.0
    rise += 3.0
    rise *= t
    rise *= t
    return rise


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates y and x of every pixel, float32 (height, width)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y.flags.writeable = x.flags.writeable = False
    return y, x


class _Canvas:
    """Random fields and strokes of one drawing; every array is float32 (H, W)."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.rng, self.height, self.width, self.scale = rng, height, width, height / 450.0
        self.y, self.x = _grid(height, width)

    def blank(self) -> np.ndarray:
        return np.zeros((self.height, self.width), np.float32)

    def noise(self, size: float, octaves: int = 3, stretch: float = 1.0) -> np.ndarray:
        """Fractal noise, mean 0, spread about 1; grains up to `size` high and `stretch` times as long."""
        total, amplitude = 0.0, 1.0
        field = np.zeros((1, 1), np.float32)
        for _ in range(octaves):
            shape = (int(450 / size) + 3, int(450 / size / stretch * self.width / self.height) + 3)
            grain = self.rng.standard_normal(shape, np.float32) * amplitude
            field = cv2.resize(field, shape[::-1], interpolation=cv2.INTER_CUBIC) + grain
            total, amplitude, size = total + amplitude**2, amplitude * 0.6, size / 2.0
            if size * self.scale < 1.0:
                break
        field *= np.float32(1.3 / np.sqrt(total))
        if size * self.scale > 1.5:  # smooth enough to be enlarged in two steps, the second one cheap
            field = cv2.resize(field, (self.width // 2, self.height // 2), interpolation=cv2.INTER_CUBIC)
            return cv2.resize(field, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return cv2.resize(field, (self.width, self.height), interpolation=cv2.INTER_CUBIC)

    def furrows(self, size: float, angle: float) -> np.ndarray:
        """Fine lines along one direction, 0 beside and 1 on a line."""
        lines = _step(np.abs(self.noise(size, 2, stretch=9.0)), 0.28, 0.0)
        turn = cv2.getRotationMatrix2D((self.width / 2, self.height / 2), angle, 1.35)
        return cv2.warpAffine(lines, turn, (self.width, self.height), borderMode=cv2.BORDER_REFLECT)

    def cells(self, spacing: float) -> np.ndarray:
        """Distance to the nearest of jittered honeycomb points: 0 at one, about 0.5 between two."""
        pitch = max(spacing * self.scale, 2.2)
        rows, columns = int(self.height / pitch / 0.87) + 2, int(self.width / pitch) + 2
        jitter = self.rng.uniform(-0.38, 0.38, (2, rows, columns))
        y = (np.arange(rows)[:, None] + jitter[0]) * pitch * 0.87
        x = (np.arange(columns)[None] + 0.5 * (np.arange(rows)[:, None] % 2) + jitter[1]) * pitch
        seeds = np.ones((self.height, self.width), np.uint8)
        seeds[np.clip(y, 0, self.height - 1).astype(int), np.clip(x, 0, self.width - 1).astype(int)] = 0
        return cv2.distanceTransform(seeds, cv2.DIST_L2, cv2.DIST_MASK_5) * np.float32(1.0 / pitch)

    def places(self, weight: np.ndarray, count: int) -> np.ndarray:
        """Up to `count` points (n, 2) as (x, y), likelier where `weight` is large (rejection sampling)."""
        tries = self.rng.random((12 * count, 3))
        x, y = (tries[:, 0] * self.width).astype(int), (tries[:, 1] * self.height).astype(int)
        kept = weight[y, x] > tries[:, 2] * max(float(weight.max()), 1e-6)
        return np.stack([x, y], 1)[kept][:count]

    def spots(self, weight: np.ndarray, count: int, radii: tuple[float, float]) -> np.ndarray:
        """Roundish spots of uneven strength, radii uniform in `radii`."""
        layer = np.zeros((self.height, self.width), np.uint8)
        for x, y in self.places(weight, count):
            radius = self.rng.uniform(*radii) * self.scale * 16
            axes = (max(int(radius), 8), max(int(radius * self.rng.uniform(0.65, 1.0)), 8))
            angle, strength = self.rng.uniform(0, 180), int(self.rng.uniform(150, 255))
            cv2.ellipse(layer, (int(x) * 16, int(y) * 16), axes, angle, 0, 360, strength, -1, cv2.LINE_AA, 4)
        return self.soften(layer, 0.8)

    def soften(self, layer: np.ndarray, sigma: float) -> np.ndarray:
        """A uint8 layer as float in [0, 1], blurred by `sigma`."""
        return cv2.GaussianBlur(layer, (0, 0), max(sigma * self.scale, 0.3)).astype(np.float32) * np.float32(1 / 255)

    def strokes(self, lines: list[tuple[np.ndarray, float]], sigma: float = 0.6) -> np.ndarray:
        """Polylines given as (points (n, 2), thickness); what is thinner than a pixel is paler instead."""
        layer = np.zeros((self.height, self.width), np.uint8)
        for points, thickness in lines:
            wide = thickness * self.scale
            cv2.polylines(layer, [np.round(points * 16).astype(np.int32)], False, int(255 * min(wide, 1.0)),
                          max(round(wide), 1), cv2.LINE_AA, 4)  # fmt: skip
        return self.soften(layer, sigma)

    def walks(self, starts: np.ndarray, headings: np.ndarray, length: float, wiggle: float) -> np.ndarray:
        """Paths (n, k, 2) from n starts, each turning by about `wiggle` radians every six pixels."""
        count = max(int(length / 6.0), 2)
        turns = headings[:, None] + np.cumsum(self.rng.normal(0, wiggle, (len(starts), count)), 1)
        steps = np.stack([np.cos(turns), np.sin(turns)], 2) * (6.0 * self.scale)
        return np.cumsum(np.concatenate([starts[:, None], steps], 1), 1)

    def vessels(
        self, start: np.ndarray, heading: float, length: float, thickness: float
    ) -> list[tuple[np.ndarray, float]]:
        """A branching vessel as lines for `strokes`, thinner with every branch."""
        path = self.walks(start[None], np.array([heading]), length, 0.25)[0]
        lines = [(path, thickness)]
        if thickness > 1.1:
            for _ in range(int(self.rng.integers(2, 4))):
                at = path[int(self.rng.integers(1, len(path)))]
                side = heading + self.rng.choice([-1, 1]) * self.rng.uniform(0.4, 1.1)
                lines += self.vessels(at, side, length * self.rng.uniform(0.4, 0.75), thickness * 0.65)
        return lines


def _whitest(skin: np.ndarray) -> list[float]:
    """What scar and scale look like on a skin: no brighter than its light allows."""
    return [min(white, 1.12 * tone + 25.0) for white, tone in zip(WHITE, skin.tolist(), strict=True)]


class _Tissue:
    """The layers that a look fills: densities of four pigments, then shares of keratin, white, hair."""

    def __init__(self, canvas: _Canvas) -> None:
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


def _outline(c: _Canvas, habit: _Habit) -> tuple[np.ndarray, np.ndarray]:
    """Depth in the lesion (0 at its edge, about 1 in its middle, less outside) and mask uint8 {0, 255}."""
    share = float(np.clip(habit.area * np.exp(c.rng.normal(0, 0.5)), 0.04, 0.55))
    radius = float(np.sqrt(share * c.height * c.width / np.pi))
    slack = np.clip(np.array([c.width, c.height]) / 2 - radius, 0, None) * 0.55
    centre = np.array([c.width, c.height]) / 2 + np.clip(c.rng.normal(0, 0.35, 2), -1, 1) * slack
    angle, stretch = c.rng.uniform(0, np.pi), float(np.sqrt(c.rng.uniform(1.0, 1.9)))
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
    return depth, mask


def _skin(c: _Canvas, t: _Tissue, damage: float) -> None:
    """Pores, furrows, blotches and, on sun-damaged skin, lentigines and widened vessels."""
    rng = c.rng
    t.melanin += 0.02 * c.noise(170, 2) + (0.007 + 0.025 * damage) * c.noise(34, 4)
    t.blood += 0.02 * c.noise(150, 2) + (0.006 + 0.016 * damage) * c.noise(22, 4)
    t.venous += (0.008 + 0.016 * damage) * c.noise(90, 3)
    if rng.random() < 0.6:
        angle = rng.uniform(0, 180)
        furrows = c.furrows(6, angle) + c.furrows(7, angle + rng.uniform(50, 100))
        t.melanin += rng.uniform(0.015, 0.05) * furrows * rng.choice([1.0, -0.7])
    if rng.random() < 0.6 * damage:
        t.melanin += rng.uniform(0.1, 0.35) * _step(c.noise(60, 3), 0.7, 3.6)
    if rng.random() < 0.7 * damage:
        lines = []
        for start in c.places(c.blank() + 1.0, int(rng.integers(3, 9))):
            lines += c.vessels(start.astype(float), rng.uniform(0, 6.3), rng.uniform(40, 130), rng.uniform(1.2, 2.6))
        t.blood += rng.uniform(0.08, 0.25) * c.strokes(lines, 2.0)


def _flakes(c: _Canvas, weight: np.ndarray, count: int, length: float) -> np.ndarray:
    """Short white curls, as scale and dry skin leave them under the glass."""
    starts = c.places(weight, count)
    paths = c.walks(starts, c.rng.uniform(0, 6.3, len(starts)), length, c.rng.uniform(0.05, 0.6))
    ends, thickness = c.rng.uniform(0.4, 1.0, len(starts)), c.rng.uniform(0.4, 1.1, len(starts))
    lines = [(path[: 2 + int(len(path) * end)], wide) for path, end, wide in zip(paths, ends, thickness, strict=True)]
    return c.strokes(lines, 0.5)


def _network(c: _Canvas, spacing: float, irregular: float) -> np.ndarray:
    """A pigment network between about -0.5 (holes) and 0.5 (lines), clear here and blurred there."""
    lines = _step(c.cells(spacing) + irregular * c.noise(spacing * 1.6, 2), 0.18, 0.56) - 0.5
    return lines * np.clip(0.65 + 0.4 * c.noise(60, 2), 0.1, 1.2)


def _middle(depth: np.ndarray, coordinate: np.ndarray) -> float:
    """Mean of a coordinate over the lesion."""
    return float(coordinate[depth > 0].mean())


def _rays(c: _Canvas, depth: np.ndarray, count: float, waver: float) -> np.ndarray:
    """Lines running outwards from the lesion's middle, sine of the angle around it."""
    around = cv2.phase(c.x - _middle(depth, c.x), c.y - _middle(depth, c.y))
    return np.sin(around * count + waver * c.noise(50, 2))


def _naevus(c: _Canvas, t: _Tissue, depth: np.ndarray, softness: float) -> None:
    """Symmetric brown: a network that fades at the edge, globules, or nearly even colour."""
    rng, inside = c.rng, _step(depth, -0.25 * softness, softness)
    tone = float(np.clip(0.70 * np.exp(rng.normal(0, 0.42)), 0.22, 1.7))
    kind = rng.choice(["network", "globules", "even"], p=[0.45, 0.2, 0.35])
    body = inside * (0.85 + 0.12 * c.noise(46, 3) + rng.uniform(0.03, 0.10) * c.noise(10, 3))
    body += rng.uniform(-0.2, 0.5) * _step(depth, 0.2, 0.9)
    if kind == "network":
        contrast = rng.uniform(0.3, 0.65)
        body *= 1.0 + contrast * _network(c, rng.uniform(7.5, 11.5), 0.10) * _step(depth, 1.0, 0.1)
    elif kind == "globules":
        body = body * 0.8 + 0.35 * c.spots(inside, int(rng.integers(60, 260)), (1.8, 4.5))
    t.melanin += tone * np.clip(body, 0, None)
    t.blood += inside * (tone * rng.uniform(0.0, 0.2) + 0.05 * c.noise(30, 2))
    if rng.random() < 0.5:
        t.melanin *= 1.0 - 0.22 * _step(c.cells(30), 0.16, 0.05) * inside  # pale hair follicles


def _melanoma(c: _Canvas, t: _Tissue, depth: np.ndarray, softness: float) -> None:
    """Asymmetric, many colours: blotches, a broken network, streaks, dots, then what `_invasion` adds."""
    rng, inside = c.rng, _step(depth, -0.2 * softness, softness)
    tone = float(np.clip(0.75 * np.exp(rng.normal(0, 0.4)), 0.3, 1.5))
    tilt = rng.normal(0, 2.0, 2)
    patches = 0.8 * c.noise(120, 3) + (c.x / c.width - 0.5) * float(tilt[0]) + (c.y / c.width - 0.4) * float(tilt[1])
    body = inside * (0.5 + 0.5 * _step(patches, -2.0, 2.0) + rng.uniform(0.05, 0.11) * c.noise(26, 4))
    broken = _step(c.noise(70, 2), -0.8, 0.8) * rng.uniform(0.2, 0.6)
    body *= 1.0 + broken * _network(c, rng.uniform(9, 13), 0.13)
    t.melanin += tone * np.clip(body, 0, None)
    dark = _step(0.6 * c.noise(60, 4) + 0.9 * patches, 0.1, 2.6) * inside * rng.uniform(0.1, 0.8)
    t.melanin += 0.8 * dark
    t.deep += 0.7 * dark
    if rng.random() < 0.25:
        rays = _step(_rays(c, depth, float(rng.integers(44, 80)), 3.0) + 0.8 * c.noise(22, 3), -0.4, 1.6)
        band = _step(depth, -0.10, 0.04) * _step(depth, 0.25, 0.05)
        t.melanin += 0.55 * tone * rays * band * _step(patches, 0.0, 1.0)
    t.melanin += 0.6 * c.spots(inside * _step(patches, -0.5, 1.0), int(rng.integers(5, 50)), (1.2, 3.6))
    t.blood += inside * np.clip(rng.uniform(-0.1, 0.15) + 0.10 * c.noise(80, 3), 0, None)
    _invasion(c, t, depth, patches)


def _invasion(c: _Canvas, t: _Tissue, depth: np.ndarray, patches: np.ndarray) -> None:
    """Blue-white veil, and regression: scar-like white with grey peppering and some red."""
    rng = c.rng
    if rng.random() < 0.6:
        veil = _step(c.noise(110, 3) + 0.3 * patches, -0.8, 2.0) * _step(depth, 0.0, 0.6) * rng.uniform(0.3, 1.0)
        t.deep += 0.5 * veil
        t.white += 0.22 * veil
    if rng.random() < 0.5:
        scar = _step(0.7 * c.noise(85, 4) - 0.8 * patches, -0.2, 2.2) * _step(depth, -0.05, 0.5) * rng.uniform(0.5, 1.0)
        t.melanin *= 1.0 - 0.7 * scar
        t.white += 0.25 * scar
        t.deep += scar * (0.1 + 0.4 * c.spots(scar, 150, (0.9, 1.8)))
        t.blood += rng.uniform(0.1, 0.3) * scar


def _basal(c: _Canvas, t: _Tissue, depth: np.ndarray, softness: float) -> None:
    """Pink, pearly: sharp branching vessels, blue-grey nests, brown leaf-like areas, an ulcer."""
    rng, inside = c.rng, _step(depth, -0.3 * softness, softness)
    t.blood += inside * np.clip(rng.uniform(0.05, 0.25) + 0.08 * c.noise(60, 3), 0, None)
    t.melanin += inside * np.clip(rng.uniform(-0.03, 0.25) + 0.08 * c.noise(50, 4), 0, None)
    t.white += inside * np.clip(0.08 + 0.10 * c.noise(50, 3), 0, 0.4)
    lines = []
    for start in c.places(_step(np.abs(depth - 0.1), 0.3, 0.0), int(rng.integers(2, 9))):
        to_middle = np.arctan2(_middle(depth, c.y) - start[1], _middle(depth, c.x) - start[0])
        lines += c.vessels(
            start.astype(float), to_middle + rng.normal(0, 0.9), rng.uniform(40, 150), rng.uniform(1.2, 2.8)
        )
    t.blood += rng.uniform(0.15, 0.5) * c.strokes(lines, 1.0) * _step(depth, -0.4, 0.1)
    if rng.random() < 0.75:
        ring = _step(depth, 0.0, 0.15) * (0.2 + _step(c.noise(80, 2), 0.0, 1.2))
        nests = c.spots(ring, int(rng.integers(4, 22)), (3.0, 14.0))
        nests = cv2.GaussianBlur(nests, (0, 0), 3.0 * c.scale) * (1.0 + 0.3 * c.noise(12, 3))
        nests = _step(nests, 0.08, 1.0) * inside
        t.deep += rng.uniform(0.3, 0.8) * nests
        t.melanin += rng.uniform(0.1, 0.7) * nests + 0.5 * c.spots(ring, int(rng.integers(3, 24)), (0.9, 2.0))
    if rng.random() < 0.35:
        ulcer = _step(c.noise(50, 4) * 0.5 + 3.0 * depth, 1.9, 2.9)
        t.blood += ulcer * np.clip(0.45 + 0.3 * c.noise(14, 3), 0, None)
        t.melanin += ulcer * np.clip(0.35 + 0.25 * c.noise(18, 3), 0, None)
        t.keratin += 0.3 * ulcer * _step(c.noise(16, 2), 0.0, 1.2)
    t.white += 0.45 * _flakes(c, inside, int(rng.integers(0, 16)), 30) + 0.25 * c.spots(inside, 10, (1.5, 3.5))


def _keratosis_actinic(c: _Canvas, t: _Tissue, depth: np.ndarray, softness: float) -> None:
    """Red net around pale follicles with yellow plugs (strawberry pattern), dotted vessels, scale, brown."""
    rng, inside = c.rng, _step(depth, -0.4 * softness, softness)
    holes = c.cells(rng.uniform(15, 26)) + 0.05 * c.noise(9, 2)
    t.blood += inside * np.clip(rng.uniform(0.08, 0.28) + 0.09 * c.noise(55, 4), 0, None)
    strawberry = inside * rng.uniform(0.1, 0.9) * _step(c.noise(110, 3), -0.8, 1.4)
    t.blood += 0.35 * strawberry * (_step(holes, 0.1, 0.5) - 0.4)
    t.white += 0.26 * strawberry * _step(holes, 0.28, 0.08)
    t.keratin += 0.30 * strawberry * _step(holes, 0.13, 0.03)
    brown = _step(c.noise(75, 4), -0.1, 2.0) * inside
    t.melanin += brown * np.clip(rng.uniform(0.15, 0.75) * (0.9 + 0.25 * c.noise(16, 4)), 0, None)
    if rng.random() < 0.6:
        clusters = inside * _step(c.noise(70, 2), -0.3, 1.2)
        t.blood += rng.uniform(0.2, 0.5) * c.spots(clusters, int(rng.integers(80, 300)), (1.0, 2.2))
    crust = _step(c.noise(36, 4) + 0.25 * c.noise(7, 2), 0.7, 2.4) * inside * rng.uniform(0.1, 0.6)
    t.white += 0.7 * crust
    t.keratin += 0.35 * crust * _step(c.noise(22, 2), 0.0, 1.0)
    t.white += 0.55 * _flakes(c, inside, int(rng.integers(8, 50)), 20)


def _keratosis_benign(c: _Canvas, t: _Tissue, depth: np.ndarray, softness: float) -> None:
    """Stuck on, with a sharp edge: brain-like ridges, a cobbled or a plain surface, then `_keratin_marks`."""
    rng, inside = c.rng, _step(depth, -0.2 * softness, softness)
    tone = float(np.clip(0.34 * np.exp(rng.normal(0, 0.5)), 0.14, 1.2))
    body = inside * (0.85 + 0.15 * c.noise(60, 4) + 0.06 * c.noise(9, 3))
    kind = rng.choice(["ridges", "cobbles", "plain"], p=[0.4, 0.25, 0.35])
    if kind == "ridges":
        ridge = np.abs(c.noise(rng.uniform(18, 30), 2) + 0.15 * c.noise(8, 2))
        body *= 1.0 + rng.uniform(0.3, 0.7) * (_step(ridge, 0.9, 0.0) - 0.5) * _step(c.noise(90, 2), -1.2, 0.5)
    elif kind == "cobbles":
        edge = _step(c.cells(rng.uniform(16, 25)) + 0.06 * c.noise(12, 2), 0.30, 0.60)
        body *= 1.1 - 0.45 * edge
        t.white += 0.16 * edge * inside
    t.melanin += tone * np.clip(body + 0.2 * _step(np.abs(depth - 0.06), 0.14, 0.0) * inside, 0, None)
    t.deep += tone * rng.uniform(0.0, 0.5) * inside * np.clip(0.6 + 0.5 * c.noise(90, 4), 0, None)
    t.keratin += 0.15 * inside * _step(c.noise(80, 3), -0.5, 1.4)
    t.blood += inside * np.clip(rng.uniform(-0.1, 0.18) + 0.06 * c.noise(40, 3), 0, None)
    _keratin_marks(c, t, depth, tone)


def _keratin_marks(c: _Canvas, t: _Tissue, depth: np.ndarray, tone: float) -> None:
    """Milia-like cysts (white, blurred), comedo-like openings (dark brown plugs) and a little scale."""
    rng, weight = c.rng, _step(depth, 0.03, 0.2)
    cysts = c.spots(weight, int(rng.integers(2, 34)), (1.4, 4.0))
    plugs = c.spots(weight, int(rng.integers(2, 34)), (1.4, 5.5))
    plugs = np.clip(cv2.GaussianBlur(plugs, (0, 0), max(1.1 * c.scale, 0.3)) * (1.0 + 0.3 * c.noise(5, 2)), 0, 1)
    t.white += 0.5 * cv2.GaussianBlur(cysts, (0, 0), max(1.6 * c.scale, 0.4)) * (1.0 - plugs)
    t.melanin += (0.5 + 0.8 * tone) * plugs
    t.deep += 0.25 * plugs
    t.white += 0.5 * _flakes(c, weight, int(rng.integers(0, 20)), 24)


def _fibroma(c: _Canvas, t: _Tissue, depth: np.ndarray, softness: float) -> None:
    """A white, scar-like middle with shining streaks; around it a delicate brown network that fades away."""
    rng, inside = c.rng, _step(depth, -0.3 * softness, softness)
    ragged = depth + 0.12 * c.noise(60, 4)
    ring = inside * (1.0 - 0.8 * _step(ragged, 0.25, 0.85))
    tone = rng.uniform(0.18, 0.55)
    t.melanin += (
        tone * ring * np.clip(0.9 + 0.5 * _network(c, rng.uniform(9, 12), 0.10) + 0.22 * c.noise(45, 4), 0, None)
    )
    t.blood += ring * np.clip(rng.uniform(0.1, 0.35) + 0.09 * c.noise(60, 3), 0, None)
    scar = _step(ragged, 0.35, 1.0) * rng.uniform(0.35, 0.8)
    t.white += scar * np.clip(0.85 + 0.18 * c.noise(22, 4), 0, None)
    t.venous += rng.uniform(0.0, 0.3) * scar
    rays = _step(_rays(c, depth, float(rng.integers(15, 28)), 3.0) + 0.4 * c.noise(20, 3), 0.2, 1.5)
    t.white += rng.uniform(0.05, 0.25) * rays * _step(np.abs(ragged - 0.5), 0.4, 0.0)
    t.white += 0.5 * _flakes(c, _step(ragged, 0.2, 0.6), int(rng.integers(4, 40)), 30)


def _vascular(c: _Canvas, t: _Tissue, depth: np.ndarray, softness: float) -> None:
    """Red to purple lagoons parted by paler septa, sometimes clotted black-blue."""
    rng, inside = c.rng, _step(depth, -0.2 * softness, softness)
    spacing = rng.uniform(14, 34)
    lagoons = _step(c.cells(spacing) + 0.09 * c.noise(spacing * 0.7, 3), 0.70, 0.20)
    tone, parted = float(np.clip(0.95 * np.exp(rng.normal(0, 0.3)), 0.5, 1.7)), rng.uniform(0.05, 0.5)
    filled = _step(c.noise(spacing * 1.8, 2), -1.4, 0.3)
    density = 1.0 - parted + parted * lagoons * filled + 0.07 * c.noise(24, 3)
    density *= 1.0 - 0.5 * parted * _step(depth, 0.25, -0.05) * (1.0 - lagoons)
    t.venous += tone * inside * np.clip(density, 0.1, None)
    purple = rng.random() ** 5
    t.deep += inside * purple * np.clip(0.35 + 0.4 * lagoons * (0.6 + 0.5 * c.noise(40, 2)), 0, None)
    t.melanin += 0.7 * inside * lagoons * purple * _step(c.noise(60, 3), 0.2, 1.6)
    t.white += 0.22 * parted * inside * (1.0 - lagoons) * np.clip(0.6 + 0.4 * c.noise(40, 3), 0, None)
    t.venous += rng.uniform(0.0, 0.16) * _step(depth, -0.6, 0.0)
    t.white += 0.45 * _flakes(c, inside, int(rng.integers(0, 8)), 26)


_LOOKS: dict[str, Callable[[_Canvas, _Tissue, np.ndarray, float], None]] = {
    "akiec": _keratosis_actinic, "bcc": _basal, "bkl": _keratosis_benign, "df": _fibroma, "mel": _melanoma,
    "nv": _naevus, "vasc": _vascular,
}  # fmt: skip


def _hairs(c: _Canvas) -> np.ndarray:
    """How much of each pixel is hair: none, a few long ones, or many short ones combed one way."""
    rng = c.rng
    kind = rng.choice(["none", "few", "many"], p=[0.56, 0.36, 0.08])
    if kind == "none":
        return c.blank()
    few = kind == "few"
    starts = c.places(c.blank() + 1.0, int(rng.integers(2, 12) if few else rng.integers(20, 60)))
    headings = rng.uniform(0, 6.3) + rng.normal(0, 0.9 if few else 0.35, len(starts))
    lines = []
    for path, heading in zip(c.walks(starts, headings, 520 if few else 150, 0.03), headings, strict=True):
        path = path[: max(int(len(path) * rng.uniform(0.25, 1.0)), 3)]
        along = np.arange(len(path))[:, None] / 40.0
        bend = rng.normal(0, 60.0) * c.scale * along**2 * (1.0 + rng.normal(0, 0.4) * along)
        path = path + bend * np.array([[-np.sin(heading), np.cos(heading)]])
        thickness = rng.uniform(0.7, 1.9)
        lines += [(path, 0.65 * thickness), (path[: 2 + len(path) * 4 // 5], thickness)]
    return c.strokes(lines, 0.7)


def _lesion(code: str, seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """What lies under the dermatoscope, evenly lit: float32 RGB planes (3, H, W) and the lesion's mask."""
    habit = _HABITS[code]
    c = _Canvas(np.random.default_rng([seed, CODES.index(code)]), height, width)
    tissue = _Tissue(c)
    spread = np.array([[20, 0, 0], [10.5, 17, 0], [9, 17.5, 10]])  # Cholesky factor of the covariance of skin colours
    skin = np.clip(np.array(habit.skin) + spread @ c.rng.standard_normal(3), (160, 112, 112), (246, 212, 222))
    _skin(c, tissue, float(np.clip(habit.damage * c.rng.uniform(0.5, 1.4), 0, 1)))
    depth, mask = _outline(c, habit)
    _LOOKS[code](c, tissue, depth, habit.softness * c.rng.uniform(0.6, 1.5))
    grain = c.noise(4.5, 2)
    tissue.melanin *= 1.0 + 0.08 * grain
    tissue.melanin += (c.rng.uniform(0.006, 0.014) + 0.010 * habit.damage) * grain
    if c.rng.random() < 0.45:
        tissue.white += c.rng.uniform(0.12, 0.4) * _flakes(c, c.blank() + 1.0, int(c.rng.integers(5, 60)), 70)
    np.clip(tissue.white, 0.0, 0.9, out=tissue.white)
    tissue.hair += _hairs(c) * c.rng.uniform(0.55, 0.95)
    return tissue.colour(skin), mask


def _turn(c: _Canvas, picture: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Another view of the same lesion: the glass turned, closer and shifted."""
    rng = c.rng
    angle = rng.choice([0.0, 180.0]) + rng.normal(0, 9.0)
    turn = cv2.getRotationMatrix2D((c.width / 2, c.height / 2), angle, rng.uniform(1.08, 1.3))
    turn[:, 2] += rng.uniform(-0.04, 0.04, 2) * (c.width, c.height)
    size = (c.width, c.height)
    planes = [cv2.warpAffine(plane, turn, size, borderMode=cv2.BORDER_REFLECT_101) for plane in picture]
    return np.stack(planes), cv2.warpAffine(mask, turn, size, flags=cv2.INTER_NEAREST)


def _marks(c: _Canvas, picture: np.ndarray) -> None:
    """Ruler ticks and bubbles of the contact gel, each on some pictures only."""
    rng = c.rng
    if rng.random() < 0.1:
        gap, slant, y = (
            rng.uniform(16, 28) * c.scale,
            rng.uniform(-0.3, 0.3),
            rng.uniform(0.0, 0.05) * c.height,
        )
        ticks = []
        for i, x in enumerate(np.arange(rng.uniform(0, 0.5) * c.width, c.width, gap)):
            length = (16 if i % 5 else 28) * c.scale
            ticks.append((np.array([[x, y], [x + slant * length, y + length]]), 2.0))
        picture *= 1.0 - 0.8 * c.strokes(ticks, 0.5)
    if rng.random() < 0.12:
        rings = []
        for x, y in c.places(c.blank() + 1.0, int(rng.integers(1, 6))):
            around, radius = np.linspace(0, 6.3, 40), rng.uniform(3, 13) * c.scale
            rings.append((np.stack([x + radius * np.cos(around), y + radius * np.sin(around)], 1), 1.2))
            rings.append((rings[-1][0][:9] * 0.8 + np.array([x, y]) * 0.2, 1.6))
        picture += (250.0 - picture) * (0.45 * c.strokes(rings, 0.6))


def _photograph(c: _Canvas, picture: np.ndarray) -> np.ndarray:
    """Light, focus and sensor of one exposure: uint8 RGB (H, W, 3)."""
    rng = c.rng
    y, x = (axis / axis.max() * 2.0 - 1.0 for axis in _grid(c.height // 4, c.width // 4))  # light is smooth
    edge = x * x + y * y * (c.height / c.width) ** 2
    light = 1.0 + rng.normal(0, 0.03) * x + rng.normal(0, 0.03) * y - rng.uniform(-0.02, 0.12) * edge * edge
    if rng.random() < 0.15:  # the tube of the dermatoscope stays in view
        radius = rng.uniform(0.98, 1.16)
        off = cv2.magnitude(x + np.float32(rng.normal(0, 0.05)), y * np.float32(c.height / c.width))
        light = light * np.clip(_step(off, radius + 0.06, radius - 0.07), 0.1, 1.0)
    picture *= cv2.resize(light.astype(np.float32), (c.width, c.height), interpolation=cv2.INTER_LINEAR)
    _marks(c, picture)
    blur = float(np.clip(0.52 * np.exp(rng.normal(0, 0.4)), 0.25, 1.5)) * c.scale
    exposed = cv2.GaussianBlur(cv2.merge([cv2.convertScaleAbs(plane) for plane in picture]), (0, 0), max(blur, 0.2))
    width = rng.uniform(1.5, 6.0)  # grey levels
    grain = cv2.convertScaleAbs(np.frombuffer(rng.bytes(c.height * c.width), np.uint8), alpha=width / 255.0)
    grain = cv2.merge([grain.reshape(c.height, c.width)] * 3)
    return cv2.subtract(cv2.add(exposed, grain), (round(width / 2),) * 3 + (0,))


def _draw(code: str, seed: int, view: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """View number `view` of a lesion; 0 is the one that `draw_lesion` shows."""
    picture, mask = _lesion(code, seed, height, width)
    c = _Canvas(np.random.default_rng([seed, CODES.index(code), 1 + view]), height, width)
    if view:
        picture, mask = _turn(c, picture, mask)
    return _photograph(c, picture), mask


def _check(codes: Iterable[str], seed: int, height: int, width: int) -> None:
    """Refuse what cannot be drawn."""
    for code in codes:
        if code not in BY_CODE:
            raise ConfigurationError(f"There is no class {code!r}; choose one of {', '.join(CODES)}.")
    if seed < 0 or min(height, width) < 48:
        given = f"seed {seed} and {width} x {height}"
        raise ConfigurationError(
            f"A drawing needs a seed of 0 or more and at least 48 x 48 pixels; {given} were given."
        )


def draw_lesion(
    diagnosis_code: str, *, seed: int, height: int = 450, width: int = 600
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one lesion of a class; the same arguments give the same pixels.

    Args:
        diagnosis_code: one of the seven class codes.
        seed: not negative; chooses skin, shape, structures and light.
        height, width: size in pixels, at least 48.

    Returns:
        Image uint8 RGB (height, width, 3) and mask uint8 (height, width), 255 on the lesion and 0 elsewhere.

    Raises:
        ConfigurationError: for an unknown class, a negative seed or a size below 48 pixels.
    """
    _check({diagnosis_code}, seed, height, width)
    return _draw(diagnosis_code, seed, 0, height, width)


def _plan(
    counts: Mapping[str, int], rng: np.random.Generator, extra_views: float
) -> list[tuple[str, int, int, dict[str, object]]]:
    """Class, seed, number of views and the person's metadata of every lesion, in random order."""
    codes = [code for code in CODES for _ in range(counts.get(code, 0))]
    rng.shuffle(codes)
    plan = []
    for code in codes:
        habit = _HABITS[code]
        age = float(np.clip(5 * round(rng.normal(habit.age, 14) / 5), 5, 85))
        person: dict[str, object] = {
            "dx_type": str(rng.choice(habit.dx_type)),
            "age": age if rng.random() > 0.03 else None,
            "sex": str(rng.choice(SEXES)) if rng.random() > 0.03 else "unknown",
            "localization": str(rng.choice(SITES)) if rng.random() > 0.03 else "unknown",
        }
        plan.append((code, int(rng.integers(2**31)), min(int(rng.geometric(1.0 - extra_views)), 6), person))
    return plan


def _write(part: Path, image_id: str, drawing: tuple[np.ndarray, np.ndarray]) -> None:
    """Image into the folder `part`, mask into the folder of masks beside it."""
    masks = part.parent / "HAM10000_segmentations_lesion_tschandl"
    image = cv2.cvtColor(drawing[0], cv2.COLOR_RGB2BGR)
    for folder, name, pixels in (
        (part, f"{image_id}.jpg", image),
        (masks, f"{image_id}_segmentation.png", drawing[1]),
    ):
        folder.mkdir(exist_ok=True)
        _, encoded = cv2.imencode(Path(name).suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])
        (folder / name).write_bytes(encoded.tobytes())  # unlike cv2.imwrite, raises when the disk is full


def draw_dataset(
    root: Path,
    *,
    lesions_per_class: int | Mapping[str, int] = 20,
    seed: int = 0,
    height: int = 450,
    width: int = 600,
    extra_views: float = 0.3,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw a data set in HAM10000's public layout: two image folders, metadata CSV, lesion masks.

    Args:
        root: folder to make; one that exists must be empty.  It appears only when everything is written.
        lesions_per_class: one number for all classes, or class code -> number.
        seed: the same seed draws the same pictures.
        height, width: size in pixels.
        extra_views: chance in [0, 1) that a lesion has one more picture, asked again after each, up to five.
        progress: called as progress(lesions done, lesions in all).

    Raises:
        DatasetError: where `root` is a file or a folder with something in it.
        ConfigurationError: for numbers, classes or a size that cannot be drawn.
    """
    counts = lesions_per_class if isinstance(lesions_per_class, Mapping) else dict.fromkeys(CODES, lesions_per_class)
    _check(counts, seed, height, width)
    if not 0 <= extra_views < 1 or min(counts.values(), default=0) < 0 or not any(counts.values()):
        raise ConfigurationError("Draw at least one lesion, and give a chance of extra views from 0 to below 1.")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DatasetError(f"{root} is not an empty folder; name a new folder for the drawn data set.")
    root.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{root.name}-unfinished-", dir=root.parent))
    try:
        plan = _plan(counts, np.random.default_rng(seed), extra_views)
        rows: list[dict[str, object]] = []
        for number, (code, lesion_seed, views, person) in enumerate(plan, 1):
            part = unfinished / f"HAM10000_images_part_{1 if 2 * number <= len(plan) else 2}"
            for view in range(views):
                image_id = f"DRAWN_{len(rows) + 1:07d}"
                _write(part, image_id, _draw(code, lesion_seed, view, height, width))
                rows.append({"lesion_id": f"DRAWN_L{number:06d}", "image_id": image_id, "dx": code} | person)
            if progress is not None:
                progress(number, len(plan))
        pd.DataFrame(rows).to_csv(unfinished / "HAM10000_metadata.csv", index=False)
        unfinished.chmod(0o755)  # mkdtemp lets nobody else read
        unfinished.rename(root)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
