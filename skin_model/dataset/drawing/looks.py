"""The dermoscopic looks of the seven classes, drawn into the tissue of one lesion."""

from collections.abc import Callable

import cv2
import numpy as np

from skin_model.dataset.drawing.canvas import Canvas, step
from skin_model.dataset.drawing.tissue import Tissue, flakes


def _network(c: Canvas, spacing: float, irregular: float) -> np.ndarray:
    """A pigment network between about -0.5 (holes) and 0.5 (lines), clear here and blurred there."""
    lines = step(c.cells(spacing) + irregular * c.noise(spacing * 1.6, 2), 0.18, 0.56) - 0.5
    return lines * np.clip(0.65 + 0.4 * c.noise(60, 2), 0.1, 1.2)


def _middle(depth: np.ndarray, coordinate: np.ndarray) -> float:
    """Mean of a coordinate over the lesion."""
    return float(coordinate[depth > 0].mean())


def _rays(c: Canvas, depth: np.ndarray, count: float, waver: float) -> np.ndarray:
    """Lines running outwards from the lesion's middle, sine of the angle around it."""
    around = cv2.phase(c.x - _middle(depth, c.x), c.y - _middle(depth, c.y))
    return np.sin(around * count + waver * c.noise(50, 2))


def _redden(c: Canvas, t: Tissue, inside: np.ndarray) -> None:
    """Blood in place of some melanin, here more than there: no two lesions are of one brown.

    The range is that of blue over green absorption among naevi, 0.9 to 1.4 in HAM10000.
    """
    share = np.clip(c.rng.uniform(0.0, 0.6) + 0.12 * c.noise(80, 3), 0, 0.8) * inside
    t.blood += share * t.melanin
    t.melanin *= 1.0 - share


def _naevus(c: Canvas, t: Tissue, depth: np.ndarray, softness: float) -> None:
    """Symmetric brown: a network that fades at the edge, globules, or nearly even colour."""
    rng, inside = c.rng, step(depth, -0.25 * softness, softness)
    tone = float(np.clip(0.70 * np.exp(rng.normal(0, 0.42)), 0.22, 1.7))
    kind = rng.choice(["network", "globules", "even"], p=[0.45, 0.2, 0.35])
    body = inside * (0.85 + 0.12 * c.noise(46, 3) + rng.uniform(0.03, 0.10) * c.noise(10, 3))
    body += rng.uniform(-0.2, 0.5) * step(depth, 0.2, 0.9)
    if kind == "network":
        contrast = rng.uniform(0.3, 0.65)
        body *= 1.0 + contrast * _network(c, rng.uniform(7.5, 11.5), 0.10) * step(depth, 1.0, 0.1)
    elif kind == "globules":
        body = body * 0.8 + 0.35 * c.spots(inside, int(rng.integers(60, 260)), (1.8, 4.5))
    t.melanin += tone * np.clip(body, 0, None)
    t.blood += inside * 0.05 * c.noise(30, 2)
    _redden(c, t, inside)
    if rng.random() < 0.5:
        t.melanin *= 1.0 - 0.22 * step(c.cells(30), 0.16, 0.05) * inside  # pale hair follicles


def _melanoma(c: Canvas, t: Tissue, depth: np.ndarray, softness: float) -> None:
    """Asymmetric, many colours: blotches, a broken network, streaks, dots, then what `_invasion` adds."""
    rng, inside = c.rng, step(depth, -0.2 * softness, softness)
    tone = float(np.clip(0.85 * np.exp(rng.normal(0, 0.5)), 0.3, 2.0))
    tilt = rng.normal(0, 2.0, 2)
    patches = 0.8 * c.noise(120, 3) + (c.x / c.width - 0.5) * float(tilt[0]) + (c.y / c.width - 0.4) * float(tilt[1])
    body = inside * (0.5 + 0.5 * step(patches, -2.0, 2.0) + rng.uniform(0.05, 0.11) * c.noise(26, 4))
    broken = step(c.noise(70, 2), -0.8, 0.8) * rng.uniform(0.2, 0.6)
    body *= 1.0 + broken * _network(c, rng.uniform(9, 13), 0.13)
    t.melanin += tone * np.clip(body, 0, None)
    dark = step(0.6 * c.noise(60, 4) + 0.9 * patches, 0.1, 2.6) * inside * rng.uniform(0.1, 0.8)
    t.melanin += 0.8 * dark
    t.deep += 0.5 * dark
    if rng.random() < 0.25:
        rays = step(_rays(c, depth, float(rng.integers(44, 80)), 3.0) + 0.8 * c.noise(22, 3), -0.4, 1.6)
        band = step(depth, -0.10, 0.04) * step(depth, 0.25, 0.05)
        t.melanin += 0.55 * tone * rays * band * step(patches, 0.0, 1.0)
    t.melanin += 0.6 * c.spots(inside * step(patches, -0.5, 1.0), int(rng.integers(5, 50)), (1.2, 3.6))
    t.blood += inside * np.clip(rng.uniform(-0.1, 0.15) + 0.10 * c.noise(80, 3), 0, None)
    _redden(c, t, inside)
    _invasion(c, t, depth, patches)


def _invasion(c: Canvas, t: Tissue, depth: np.ndarray, patches: np.ndarray) -> None:
    """Blue-white veil, and regression: scar-like white with grey peppering and some red."""
    rng = c.rng
    if rng.random() < 0.6:
        veil = step(c.noise(110, 3) + 0.3 * patches, -0.8, 2.0) * step(depth, 0.0, 0.6) * rng.uniform(0.3, 1.0)
        t.deep += 0.5 * veil
        t.white += 0.22 * veil
    if rng.random() < 0.5:
        scar = step(0.7 * c.noise(85, 4) - 0.8 * patches, -0.2, 2.2) * step(depth, -0.05, 0.5) * rng.uniform(0.5, 1.0)
        t.melanin *= 1.0 - 0.7 * scar
        t.white += 0.25 * scar
        t.deep += scar * (0.1 + 0.4 * c.spots(scar, 150, (0.9, 1.8)))
        t.blood += rng.uniform(0.1, 0.3) * scar


def _basal(c: Canvas, t: Tissue, depth: np.ndarray, softness: float) -> None:
    """Pink, pearly: sharp branching vessels, blue-grey nests, brown leaf-like areas, an ulcer."""
    rng, inside = c.rng, step(depth, -0.3 * softness, softness)
    t.blood += inside * np.clip(rng.uniform(0.08, 0.35) + 0.08 * c.noise(60, 3), 0, None)
    t.melanin += inside * np.clip(rng.uniform(-0.03, 0.25) + 0.08 * c.noise(50, 4), 0, None)
    t.white += inside * np.clip(0.08 + 0.10 * c.noise(50, 3), 0, 0.4)
    lines = []
    for start in c.places(step(np.abs(depth - 0.1), 0.3, 0.0), int(rng.integers(2, 9))):
        to_middle = np.arctan2(_middle(depth, c.y) - start[1], _middle(depth, c.x) - start[0])
        lines += c.vessels(
            start.astype(float), to_middle + rng.normal(0, 0.9), rng.uniform(40, 150), rng.uniform(1.2, 2.8)
        )
    t.blood += rng.uniform(0.15, 0.5) * c.strokes(lines, 1.0) * step(depth, -0.4, 0.1)
    if rng.random() < 0.75:
        ring = step(depth, 0.0, 0.15) * (0.2 + step(c.noise(80, 2), 0.0, 1.2))
        nests = c.spots(ring, int(rng.integers(4, 22)), (3.0, 14.0))
        nests = cv2.GaussianBlur(nests, (0, 0), 4.5 * c.scale) * (1.0 + 0.3 * c.noise(12, 3))
        nests = step(nests, 0.0, 1.1) * inside
        t.deep += rng.uniform(0.3, 0.8) * nests
        t.melanin += rng.uniform(0.1, 0.7) * nests + 0.5 * c.spots(ring, int(rng.integers(3, 24)), (0.9, 2.0))
    if rng.random() < 0.35:
        ulcer = step(c.noise(50, 4) * 0.5 + 3.0 * depth, 1.9, 2.9)
        t.blood += ulcer * np.clip(0.45 + 0.3 * c.noise(14, 3), 0, None)
        t.melanin += ulcer * np.clip(0.35 + 0.25 * c.noise(18, 3), 0, None)
        t.keratin += 0.3 * ulcer * step(c.noise(16, 2), 0.0, 1.2)
    t.white += 0.45 * flakes(c, inside, int(rng.integers(0, 16)), 30) + 0.25 * c.spots(inside, 10, (1.5, 3.5))


def _keratosis_actinic(c: Canvas, t: Tissue, depth: np.ndarray, softness: float) -> None:
    """Red net around pale follicles with yellow plugs (strawberry pattern), dotted vessels, scale, brown."""
    rng, inside = c.rng, step(depth, -0.4 * softness, softness)
    holes = c.cells(rng.uniform(15, 26)) + 0.05 * c.noise(9, 2)
    t.blood += inside * np.clip(rng.uniform(0.12, 0.34) + 0.09 * c.noise(55, 4), 0, None)
    strawberry = inside * rng.uniform(0.0, 0.6) * step(c.noise(110, 3), -0.8, 1.4)
    t.blood += 0.35 * strawberry * (step(holes, 0.1, 0.5) - 0.4)
    t.white += 0.15 * strawberry * step(holes, 0.32, 0.0)
    t.keratin += 0.15 * strawberry * step(holes, 0.16, 0.0)
    brown = step(c.noise(75, 4), -0.1, 2.0) * inside
    t.melanin += brown * np.clip(rng.uniform(0.15, 0.75) * (0.9 + 0.25 * c.noise(16, 4)), 0, None)
    if rng.random() < 0.6:
        clusters = inside * step(c.noise(70, 2), -0.3, 1.2)
        t.blood += rng.uniform(0.2, 0.5) * c.spots(clusters, int(rng.integers(80, 300)), (1.0, 2.2))
    crust = step(c.noise(36, 4) + 0.25 * c.noise(7, 2), 0.7, 2.4) * inside * rng.uniform(0.1, 0.6)
    t.white += 0.7 * crust
    t.keratin += 0.35 * crust * step(c.noise(22, 2), 0.0, 1.0)
    t.white += 0.55 * flakes(c, inside, int(rng.integers(8, 50)), 20)


def _keratosis_benign(c: Canvas, t: Tissue, depth: np.ndarray, softness: float) -> None:
    """Stuck on, with a sharp edge: brain-like ridges, a cobbled or a plain surface, then `_keratin_marks`."""
    rng, inside = c.rng, step(depth, -0.2 * softness, softness)
    tone = float(np.clip(0.34 * np.exp(rng.normal(0, 0.5)), 0.14, 1.2))
    body = inside * (0.85 + 0.15 * c.noise(60, 4) + 0.06 * c.noise(9, 3))
    kind = rng.choice(["ridges", "cobbles", "plain"], p=[0.4, 0.25, 0.35])
    if kind == "ridges":
        ridge = np.abs(c.noise(rng.uniform(18, 30), 2) + 0.15 * c.noise(8, 2))
        body *= 1.0 + rng.uniform(0.3, 0.7) * (step(ridge, 0.9, 0.0) - 0.5) * step(c.noise(90, 2), -1.2, 0.5)
    elif kind == "cobbles":
        edge = step(c.cells(rng.uniform(16, 25)) + 0.2 * c.noise(16, 3), 0.20, 0.70)
        body *= 1.1 - rng.uniform(0.1, 0.4) * edge
        t.white += 0.08 * edge * inside
    t.melanin += tone * np.clip(body + 0.2 * step(np.abs(depth - 0.06), 0.14, 0.0) * inside, 0, None)
    t.deep += tone * rng.uniform(0.0, 0.5) * inside * np.clip(0.6 + 0.5 * c.noise(90, 4), 0, None)
    t.keratin += 0.15 * inside * step(c.noise(80, 3), -0.5, 1.4)
    t.blood += inside * np.clip(rng.uniform(-0.1, 0.18) + 0.06 * c.noise(40, 3), 0, None)
    _redden(c, t, inside)
    _keratin_marks(c, t, depth, tone)


def _keratin_marks(c: Canvas, t: Tissue, depth: np.ndarray, tone: float) -> None:
    """Milia-like cysts (white, blurred), comedo-like openings (dark brown plugs) and a little scale."""
    rng, weight = c.rng, step(depth, 0.03, 0.2)
    cysts = c.spots(weight, int(2 + 32 * rng.random() ** 3), (1.4, 4.0))  # few, mostly
    plugs = c.spots(weight, int(32 * rng.random() ** 3), (1.4, 5.5))
    plugs = np.clip(cv2.GaussianBlur(plugs, (0, 0), max(1.1 * c.scale, 0.3)) * (1.0 + 0.3 * c.noise(5, 2)), 0, 1)
    t.white += 0.5 * cv2.GaussianBlur(cysts, (0, 0), max(1.6 * c.scale, 0.4)) * (1.0 - plugs)
    t.melanin += (0.4 + 0.7 * tone) * plugs
    t.deep += 0.15 * plugs
    t.white += 0.5 * flakes(c, weight, int(rng.integers(0, 20)), 24)


def _fibroma(c: Canvas, t: Tissue, depth: np.ndarray, softness: float) -> None:
    """A white, scar-like middle with shining streaks; around it a delicate brown network that fades away."""
    rng, inside = c.rng, step(depth, -0.3 * softness, softness)
    ragged = depth + 0.12 * c.noise(90, 2)
    ring = inside * (1.0 - rng.uniform(0.2, 0.8) * step(ragged, 0.25, 0.95))
    tone = rng.uniform(0.25, 0.75)
    t.melanin += (
        tone * ring * np.clip(0.9 + 0.35 * _network(c, rng.uniform(9, 12), 0.10) + 0.22 * c.noise(45, 4), 0, None)
    )
    t.blood += inside * np.clip(rng.uniform(0.05, 0.4) + 0.09 * c.noise(80, 3), 0, None)
    scar = step(ragged, 0.5, 1.2) * rng.uniform(0.1, 0.5)
    t.white += scar * np.clip(0.85 + 0.18 * c.noise(22, 4), 0, None)
    t.venous += rng.uniform(0.0, 0.3) * scar
    rays = step(_rays(c, depth, float(rng.integers(15, 28)), 3.0) + 0.4 * c.noise(20, 3), 0.2, 1.5)
    t.white += rng.uniform(0.0, 0.15) * rays * step(np.abs(ragged - 0.5), 0.4, 0.0)
    t.white += 0.4 * flakes(c, step(ragged, 0.2, 0.6), int(30 * rng.random() ** 2), 30)


def _vascular(c: Canvas, t: Tissue, depth: np.ndarray, softness: float) -> None:
    """Red to purple lagoons parted by paler septa, sometimes clotted black-blue."""
    rng = c.rng
    spacing = rng.uniform(16, 40)
    lagoons = step(c.cells(spacing) + 0.09 * c.noise(spacing * 0.7, 3), 0.70, 0.20)
    inside = step(depth + 0.07 * (lagoons - 0.7), -0.2 * softness, softness)  # whole lagoons make the border
    tone, parted = float(np.clip(1.10 * np.exp(rng.normal(0, 0.35)), 0.7, 2.0)), rng.uniform(0.05, 0.35)
    filled = step(c.noise(spacing * 1.8, 2), -1.4, 0.3)
    density = 1.0 - parted + parted * lagoons * filled + 0.12 * c.noise(40, 4)
    density *= 1.0 - 0.5 * parted * step(depth, 0.25, -0.05) * (1.0 - lagoons)
    t.venous += tone * inside * np.clip(density, 0.1, None)
    purple = rng.random() ** 7
    t.deep += inside * np.clip(purple * (0.4 + 0.15 * lagoons) + 0.12 * c.noise(90, 4), 0, None)
    t.melanin += 0.5 * inside * purple * step(c.noise(60, 3), 0.4, 2.0)
    t.white += 0.10 * parted * inside * (1.0 - lagoons) * np.clip(0.6 + 0.4 * c.noise(40, 3), 0, None)
    t.venous += rng.uniform(0.0, 0.25) * step(depth, -0.5, 0.1)
    t.white += 0.45 * flakes(c, inside, int(rng.integers(0, 8)), 26)


LOOKS: dict[str, Callable[[Canvas, Tissue, np.ndarray, float], None]] = {
    "akiec": _keratosis_actinic, "bcc": _basal, "bkl": _keratosis_benign, "df": _fibroma, "mel": _melanoma,
    "nv": _naevus, "vasc": _vascular,
}  # fmt: skip
