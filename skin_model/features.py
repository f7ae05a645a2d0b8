"""What can be measured of a lesion once its outline is known: size, asymmetry, border, colours.

The four are those that the ABCD rule of dermoscopy asks for by eye (Nachbar et al., Journal of the American Academy of
Dermatology 30, 1994); what is measured here is geometry and colour alone, and no score is made of it.
"""

import cv2
import numpy as np

from skin_model.entities import Measurements

# The ABCD rule's six colours as sRGB, on skin that is `_SKIN`.  The names are Nachbar's; the values were set for this
# project, between the colours that training lesions of HAM10000 fall into: a rough count, as by eye.
COLOURS = {
    "white": (250, 235, 228),
    "red": (200, 62, 85),
    "light brown": (195, 120, 92),
    "dark brown": (118, 58, 45),
    "blue-grey": (120, 118, 142),
    "black": (45, 32, 35),
}
_SKIN = (225, 180, 165)
PRESENT = 0.05  # share of the lesion from which a colour counts
_MANY = 200  # pixels of a lesion's greatest diameter where its shape is compared with itself
_SMOOTH = 2.0  # of these pixels: else the steps of a coarse mask count as notches
_EDGE = 0.004  # longer sides: a mask enlarged from a smaller one may end this far from the edge that it touches


def measure(pixels: np.ndarray, mask: np.ndarray, scale: float = 1.0) -> Measurements | str:
    """Measure a lesion, unless its outline cannot be trusted.

    Args:
        pixels: RGB uint8 (H, W, 3).
        mask: bool (H, W), True on the lesion.
        scale: pixels of the picture as uploaded for each of these.

    Returns:
        The measurements, lengths in pixels of the upload, or a sentence on why there are none.
    """
    if said := untrusted(mask):
        return said
    angle, length, width = principal_axes(mask)
    share, variegation = colours(pixels, mask)
    return Measurements(
        share=float(mask.mean()),
        area=round(mask.sum() * scale**2),
        diameter=greatest_diameter(mask) * scale,
        length=length * scale,
        width=width * scale,
        asymmetry=asymmetry(mask, angle),
        irregularity=irregularity(mask, angle),
        colours={name: found for name, found in share.items() if found >= PRESENT},
        variegation=variegation,
    )


def untrusted(mask: np.ndarray) -> str:
    """Why a mask (H, W) cannot be measured, in a sentence; empty where it can."""
    if not mask.any():
        return "No lesion was found in this picture, so there is nothing to measure."
    if mask.all():
        return "The outline takes in the whole picture, so neither size nor border can be measured. Move back."
    islands = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1
    if islands > 1:
        return f"The outline falls into {islands} parts: it is not clear which is the lesion, so nothing is measured."
    edge = max(1, round(_EDGE * max(mask.shape)))
    if mask[:edge].any() or mask[-edge:].any() or mask[:, :edge].any() or mask[:, -edge:].any():
        return "The outline touches the picture's edge: the lesion goes on outside, so nothing is measured. Move back."
    return ""


def greatest_diameter(mask: np.ndarray) -> float:
    """The greatest distance between two points of the border, in pixels (Feret's diameter)."""
    hull = cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8)))[:, 0].astype(np.float64)
    hull = (hull[:, None] + 0.5 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])).reshape(-1, 2)  # pixels have a size
    return float(np.hypot(*(hull[:, None] - hull).transpose(2, 0, 1)).max())


def principal_axes(mask: np.ndarray) -> tuple[float, float, float]:
    """Direction of the long axis (radians from x towards y) and both lengths, of the ellipse of equal moments."""
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    xx, yy, xy = (moments[name] / moments["m00"] for name in ("mu20", "mu02", "mu11"))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    spread = np.hypot(xx - yy, 2 * xy)
    length, width = (4 * np.sqrt(max(0.0, xx + yy + sign * spread) / 2) for sign in (1, -1))
    return float(angle), float(length), float(width)


def asymmetry(mask: np.ndarray, angle: float) -> tuple[float, float]:
    """Share of the lesion without a counterpart when it is folded along its long and along its short axis.

    0 is symmetric.  After Stoecker, Li and Moss, "Automatic detection of asymmetry in skin tumors", Computerized
    Medical Imaging and Graphics 16 (1992): the axes pass through the centre of gravity; the area that does not overlap
    is divided by the lesion's, here once for each of both axes and counted on one side of the fold only.
    """
    upright = _upright(mask, angle)
    alone = [float((upright & ~folded).sum() / upright.sum()) for folded in (upright[::-1], upright[:, ::-1])]
    return alone[0], alone[1]


def perimeter(mask: np.ndarray) -> float:
    """Length of the border in pixels, by the Cauchy-Crofton formula over four directions.

    How often lines across the picture enter and leave the lesion tells how long its border is (Legland, Kieu and
    Devaux, Image Analysis and Stereology 26, 2007); counting steps along pixels would overrate slanting borders.
    """
    framed = np.pad(mask, 1)
    straight = (framed[:, 1:] != framed[:, :-1]).sum() + (framed[1:] != framed[:-1]).sum()
    slanting = (framed[1:, 1:] != framed[:-1, :-1]).sum() + (framed[1:, :-1] != framed[:-1, 1:]).sum()
    return float(np.pi / 8 * (straight + slanting / np.sqrt(2)))


def irregularity(mask: np.ndarray, angle: float = 0.0) -> float:
    """Perimeter squared over 4 pi times the area: 1 for a circle, 1.2 for a smooth oval twice as long as wide.

    Measured on the lesion drawn in one size, turned by `angle`, so that it does not hang on the picture's.

    The irregularity index of Golston, Stoecker, Moss and Dhillon, "Automatic detection of irregular borders in melanoma
    and other skin tumors", Computerized Medical Imaging and Graphics 16 (1992).
    """
    drawn = _upright(mask, angle)
    return perimeter(drawn) ** 2 / (4 * np.pi * float(drawn.sum()))


def _upright(mask: np.ndarray, angle: float) -> np.ndarray:
    """The lesion, its greatest diameter `_MANY` pixels, its centre of gravity in the middle, that axis level."""
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    side = 2 * _MANY + 1  # no point lies further from the centre than the greatest diameter
    zoom = _MANY / greatest_diameter(mask)
    turn = zoom * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([turn, (side - 1) / 2 - turn @ centre])
    drawn = cv2.warpAffine(mask.astype(np.float32), matrix, (side, side))
    return cv2.GaussianBlur(drawn, (0, 0), _SMOOTH) >= 0.5


def colours(pixels: np.ndarray, mask: np.ndarray) -> tuple[dict[str, float], float]:
    """Which of the six colours the lesion has, and how much its colour varies.

    For the six, light and complexion are taken out first: every channel is scaled until the skin around is `_SKIN`
    (colours relative to the skin, after Stanley, Stoecker and Moss, Skin Research and Technology 13, 2007).  Each pixel
    counts for the nearest in CIELAB (1976), slightly blurred: hairs and glare weigh less.

    Args:
        pixels: RGB uint8 (H, W, 3).
        mask: bool (H, W), neither empty nor full.

    Returns:
        Share of the lesion by colour, and the root mean square distance (Delta E*ab) from the lesion's mean colour.
    """
    factor = min(1.0, 400 / max(mask.shape))
    size = (max(1, round(mask.shape[1] * factor)), max(1, round(mask.shape[0] * factor)))
    inside = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0  # bytes round thin ones away
    small = cv2.medianBlur(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), 5)
    gain = np.array(_SKIN) / np.maximum(np.median(small[~inside], axis=0), 1) if not inside.all() else np.ones(3)
    adapted = np.clip(small[inside] * gain, 0, 255)[None]
    known = _lab(np.array([list(COLOURS.values())]))[0]
    nearest = np.stack([((_lab(adapted)[0] - one) ** 2).sum(axis=1) for one in known]).argmin(axis=0)
    counts = np.bincount(nearest, minlength=len(COLOURS)) / inside.sum()
    plain = _lab(small[inside][None])[0]
    variegation = np.sqrt(((plain - plain.mean(axis=0)) ** 2).sum(axis=1).mean())
    return dict(zip(COLOURS, counts.tolist(), strict=True)), float(variegation)


def _lab(pixels: np.ndarray) -> np.ndarray:
    """CIELAB of RGB (H, W, 3) from 0 to 255: float32, L* from 0 to 100."""
    return cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
