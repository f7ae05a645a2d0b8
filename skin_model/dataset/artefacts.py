"""What comes between lesion and network: hairs, a ruler, a blurred or compressed picture; drawn onto training images.

Networks take such marks for evidence where one class has more of them (Winkler et al., JAMA Dermatology 2019, of ink);
drawn on all classes alike they say nothing.  Lengths are shares of the picture's side.
"""

import cv2
import numpy as np

_SHIFT = 4  # OpenCV's lines take coordinates in sixteenths of a pixel


def add_artefacts(image: np.ndarray, chance: float, rng: np.random.Generator) -> np.ndarray:
    """Draw hairs and a ruler, blur and compress one image, each with the given chance.

    Args:
        image: RGB uint8 (s, s, 3); it is not changed.
        chance: 0 to 1.
        rng: source of all randomness.
    """
    changes = (_hairs, _ruler, _blur, _jpeg)  # in the order in which they come about
    for change, happens in zip(changes, rng.random(len(changes)) < chance, strict=True):
        if happens:
            image = change(image, rng)
    return image


def draw_hairs(image: np.ndarray, rng: np.random.Generator, count: int, *, short: bool) -> np.ndarray:
    """Hairs combed one way, mostly dark: long ones across the picture, or the short ones of a limb.

    Args:
        image: RGB uint8 (H, W, 3); it is not changed.
        rng: source of all randomness.
        count: number of hairs.
        short: and more alike in direction.
    """
    reach = np.array(image.shape[1::-1]) / min(image.shape[:2])
    length = (rng.uniform(0.15, 0.4, count) if short else rng.uniform(0.4, 1.3, count))[:, None, None]
    heading = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.25 if short else 0.7, count)
    ahead = np.stack([np.cos(heading), np.sin(heading)], 1)[:, None]  # (n, 1, 2)
    aside = ahead[..., ::-1] * (1, -1)
    along = np.linspace(-0.5, 0.5, 9)[None, :, None]
    bend = rng.normal(0, 0.25, (count, 1, 1))
    middles = rng.uniform(-0.1, 1.1, (count, 1, 2)) * reach
    paths = middles + length * (along * ahead + bend * (along**2) * aside)
    pale = rng.random() < 0.15
    tone = rng.uniform(170, 215) if pale else rng.uniform(20, 80)
    colour = np.array([tone, 0.85 * tone, 0.75 * tone])
    return _drawn(image, list(paths), rng.uniform(0.003, 0.008, count), colour, rng.uniform(0.5, 0.95))


def draw_ink(image: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """A surgeon's marks in violet or blue ink along a ring around the middle, where the lesion mostly lies.

    Args:
        image: RGB uint8 (H, W, 3); it is not changed.
        rng: source of all randomness.
        share: of the ring that is inked, above 0 to 1.
    """
    height, width = image.shape[:2]
    size = min(height, width)
    strokes = int(rng.integers(1, 5))  # one long one, or several with gaps
    radius, start = rng.uniform(0.34, 0.46), rng.uniform(0, 2 * np.pi)
    wide = rng.uniform(0.012, 0.03)
    layer = np.zeros((height, width), np.uint8)
    for number in range(strokes):
        turn = start + 2 * np.pi * (number / strokes + np.linspace(0, share / strokes, 24))
        wobble = radius * (1 + 0.04 * np.sin(3 * turn + start) + rng.normal(0, 0.01))
        points = np.stack([width / 2 + wobble * size * np.cos(turn), height / 2 + wobble * size * np.sin(turn)], 1)
        fixed = np.round(points * 2**_SHIFT).astype(np.int32)
        cv2.polylines(layer, [fixed], False, 255, max(round(wide * size), 1), cv2.LINE_AA, _SHIFT)
    grain = cv2.resize(rng.random((30, 40), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    cover = cv2.GaussianBlur(layer, (0, 0), 0.003 * size) / np.float32(255) * (0.7 + 0.3 * grain)
    lets_through = np.array([(0.4, 0.3, 0.7), (0.25, 0.4, 0.75)][int(rng.random() < 0.4)], np.float32)
    return np.round(image * (1 - cover[..., None] * (1 - lets_through))).clip(0, 255).astype(np.uint8)


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """An RGB image (H, W, 3) as JPEG leaves it, in the colour space that files are compressed in; quality 0 to 100."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, code = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(code, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def _hairs(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A few long hairs or many short ones."""
    short = rng.random() < 0.3
    return draw_hairs(image, rng, int(rng.integers(15, 40) if short else rng.integers(2, 12)), short=short)


def _ruler(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A dark scale along one side, as dermatoscopes and stickers have them: ticks, every fifth one longer."""
    heading = rng.uniform(0, 2 * np.pi)
    ahead = np.array([np.cos(heading), np.sin(heading)])
    aside = np.array([-ahead[1], ahead[0]])
    pitch, tick = rng.uniform(0.025, 0.08), rng.uniform(0.02, 0.05)
    numbers = np.arange(-int(0.7 / pitch), int(0.7 / pitch) + 1)
    feet = 0.5 + rng.uniform(0.28, 0.46) * aside + np.outer(numbers * pitch, ahead)
    heights = np.where(numbers % 5 == 0, 2.0, 1.0)[:, None] * tick * aside
    lines = list(np.stack([feet, feet + heights], 1))
    if rng.random() < 0.5:
        lines.append(feet[[0, -1]])
    thickness = np.full(len(lines), rng.uniform(0.004, 0.009))
    return _drawn(image, lines, thickness, np.full(3, rng.uniform(10, 70)), rng.uniform(0.6, 1.0))


def _blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus: a Gaussian of 0.3 to 0.9 % of the side."""
    return cv2.GaussianBlur(image, (0, 0), image.shape[0] * rng.uniform(0.003, 0.009))


def _jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compressed at a quality of 20 to 80."""
    return compress(image, int(rng.integers(20, 81)))


def _drawn(
    image: np.ndarray, lines: list[np.ndarray], thickness: np.ndarray, colour: np.ndarray, opacity: float
) -> np.ndarray:
    """Polylines (k, 2) as (x, y) in the colour (3,); what is thinner than a pixel is paler instead."""
    size = min(image.shape[:2])
    layer = np.zeros(image.shape[:2], np.uint8)
    for points, wide in zip(lines, thickness * size, strict=True):
        fixed = np.round(points * (size * 2**_SHIFT)).astype(np.int32)
        cv2.polylines(layer, [fixed], False, int(255 * min(wide, 1.0)), max(round(wide), 1), cv2.LINE_AA, _SHIFT)
    out = image.copy()
    rows, columns = np.nonzero(layer)
    cover = layer[rows, columns, None] * (opacity / 255)
    out[rows, columns] = np.round(out[rows, columns] * (1 - cover) + colour * cover)
    return out
