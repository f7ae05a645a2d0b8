"""A canvas for drawing: coordinates, noise, cells, spots and lines, all from one random generator.

Lengths are pixels at a picture height of 450.
"""

from functools import lru_cache

import cv2
import numpy as np


def step(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 at `low` to 1 at `high`; falls where `low` is the larger."""
    t = (x - low) * (1.0 / (high - low))
    np.clip(t, 0.0, 1.0, out=t)
    rise = t * -2.0
    rise += 3.0
    rise *= t
    rise *= t
    return rise


@lru_cache(maxsize=4)
def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates y and x of every pixel, float32 (height, width)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y.flags.writeable = x.flags.writeable = False
    return y, x


class Canvas:
    """Random fields and strokes of one drawing; every array is float32 (H, W)."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.rng, self.height, self.width, self.scale = rng, height, width, height / 450.0
        self.y, self.x = grid(height, width)

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
        lines = step(np.abs(self.noise(size, 2, stretch=9.0)), 0.28, 0.0)
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
