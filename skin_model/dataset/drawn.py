"""Drawn dermoscopy: synthetic lesions of seven looks, for tests and for demonstrations without a data set."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from skin_model.dataset.drawing.canvas import Canvas, grid, step
from skin_model.dataset.drawing.looks import LOOKS
from skin_model.dataset.drawing.tissue import HABITS, Tissue, draw_skin, flakes, outline
from skin_model.entities import SEXES, SITES
from skin_model.errors import ConfigurationError, DatasetError
from skin_model.taxonomy import BY_CODE, CODES


def _hairs(c: Canvas) -> np.ndarray:
    """How much of each pixel is hair: none, a few long ones, or many short ones combed one way."""
    rng = c.rng
    kind = rng.choice(["none", "few", "many"], p=[0.66, 0.29, 0.05])
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
    habit = HABITS[code]
    c = Canvas(np.random.default_rng([seed, CODES.index(code)]), height, width)
    tissue = Tissue(c)
    spread = np.array([[20, 0, 0], [10.5, 17, 0], [9, 17.5, 10]])  # Cholesky factor of the covariance of skin colours
    skin = np.clip(np.array(habit.skin) + spread @ c.rng.standard_normal(3), (160, 112, 112), (246, 212, 222))
    draw_skin(c, tissue, float(np.clip(habit.damage * c.rng.uniform(0.5, 1.4), 0, 1)))
    depth, mask = outline(c, habit)
    LOOKS[code](c, tissue, depth, habit.softness * c.rng.uniform(0.6, 1.5))
    grain = c.noise(4.5, 2)
    tissue.melanin *= 1.0 + 0.13 * grain
    tissue.melanin += (c.rng.uniform(0.006, 0.014) + 0.010 * habit.damage) * grain
    if c.rng.random() < 0.45:
        tissue.white += c.rng.uniform(0.12, 0.4) * flakes(c, c.blank() + 1.0, int(c.rng.integers(5, 60)), 70)
    np.clip(tissue.white, 0.0, 0.9, out=tissue.white)
    tissue.hair += _hairs(c) * c.rng.uniform(0.55, 0.95)
    return tissue.colour(skin), mask


def _turn(c: Canvas, picture: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Another view of the same lesion: the glass turned, closer and shifted."""
    rng = c.rng
    angle = rng.choice([0.0, 180.0]) + rng.normal(0, 9.0)
    turn = cv2.getRotationMatrix2D((c.width / 2, c.height / 2), angle, rng.uniform(1.08, 1.3))
    turn[:, 2] += rng.uniform(-0.04, 0.04, 2) * (c.width, c.height)
    size = (c.width, c.height)
    planes = [cv2.warpAffine(plane, turn, size, borderMode=cv2.BORDER_REFLECT_101) for plane in picture]
    return np.stack(planes), cv2.warpAffine(mask, turn, size, flags=cv2.INTER_NEAREST)


def _marks(c: Canvas, picture: np.ndarray) -> None:
    """Ruler ticks and bubbles of the contact gel, each on some pictures only."""
    rng = c.rng
    if rng.random() < 0.1:  # printed on the glass, and seen in one corner
        slant, gap = rng.uniform(0.4, 1.2), rng.uniform(18, 26)
        along, across = np.array([np.cos(slant), -np.sin(slant)]), np.array([np.sin(slant), np.cos(slant)])
        on_line = rng.uniform(35, 55) * across + gap * np.arange(-6, 7)[:, None] * along  # pixels from the corner
        ticks = np.stack([on_line, on_line - 15 * across], 1) * c.scale
        corner = rng.integers(0, 2, 2)  # 0 left or top, 1 right or bottom
        ticks = corner * (c.width, c.height) + (1 - 2 * corner) * ticks
        picture *= 1.0 - 0.8 * c.strokes([(tick, 2.2) for tick in ticks], 0.5)
    if rng.random() < 0.12:
        rings = []
        for x, y in c.places(c.blank() + 1.0, int(rng.integers(1, 6))):
            around, radius = np.linspace(0, 6.3, 40), rng.uniform(3, 13) * c.scale
            rings.append((np.stack([x + radius * np.cos(around), y + radius * np.sin(around)], 1), 1.2))
            rings.append((rings[-1][0][:9] * 0.8 + np.array([x, y]) * 0.2, 1.6))
        picture += (250.0 - picture) * (0.45 * c.strokes(rings, 0.6))


def _photograph(c: Canvas, picture: np.ndarray) -> np.ndarray:
    """Light, focus and sensor of one exposure: uint8 RGB (H, W, 3)."""
    rng = c.rng
    y, x = (axis / axis.max() * 2.0 - 1.0 for axis in grid(c.height // 4, c.width // 4))  # light is smooth
    edge = x * x + y * y * (c.height / c.width) ** 2
    light = 1.0 + rng.normal(0, 0.03) * x + rng.normal(0, 0.03) * y - rng.uniform(-0.02, 0.12) * edge * edge
    if rng.random() < 0.08:  # the tube of the dermatoscope stays in view, as in 6 % of HAM10000
        radius = rng.uniform(1.0, 1.3)
        shift = rng.normal(0, 0.1, 2).astype(np.float32)
        off = cv2.magnitude(x + shift[0], y * np.float32(c.height / c.width) + shift[1])
        light = light * np.clip(step(off, radius + 0.06, radius - 0.07), 0.1, 1.0)
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
    c = Canvas(np.random.default_rng([seed, CODES.index(code), 1 + view]), height, width)
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
        habit = HABITS[code]
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
        suffix = Path(name).suffix
        _, encoded = cv2.imencode(suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 90] if suffix == ".jpg" else [])
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
    root = root.resolve()  # "." and "a/.." have no name that a finished folder could take
    if root.is_mount() or root == Path.cwd():
        raise DatasetError(f"{root} cannot be replaced by a drawn data set; name a new folder in it.")
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
