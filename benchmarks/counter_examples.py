"""Pictures that are no dermoscopy: what the gate must refuse.  Made here, or shipped inside well-kept packages."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SIDE = 384  # pixels, the shorter side of the pictures made here
MADE = 16  # pictures of each kind that is made
CROPS = 4  # cuts out of each shipped picture, beside the whole of it
DOCS = Path(__file__).resolve().parent.parent / "docs"
PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
               "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png", "rocket.jpg", "horse.png", "color.png",
               "logo.png")  # fmt: skip
TEXTURES = ("brick.png", "grass.png", "gravel.png")
MEDICAL = ("cell.png", "ihc.png", "microaneurysms.png", "phantom.png", "retina.jpg")
SCANS = ("CT_small.dcm", "MR_small.dcm", "693_J2KI.dcm", "examples_palette.dcm", "examples_rgb_color.dcm",
         "examples_ybr_color.dcm", "examples_overlay.dcm", "liver_1frame.dcm", "image_dfl.dcm")  # fmt: skip


@dataclass(frozen=True)
class CounterExample:
    """One picture that is no dermoscopy.

    Attributes:
        family: "photographs", "documents", "charts", "screens", "noise", "textures" or "medical".
        source: what it was cut from or made by; pictures of one source are alike.
        pixels: RGB uint8 (H, W, 3).
    """

    family: str
    source: str
    pixels: np.ndarray


def counter_examples(seed: int = 0) -> Iterator[CounterExample]:
    """All of them, the same for the same seed; the packages must be installed, nothing is fetched."""
    for family, source, pixels in _shipped():
        for cut in _cuts(pixels, np.random.default_rng([seed, len(source), pixels.shape[0]])):
            yield CounterExample(family, source, cut)
    makers: dict[str, tuple[Callable[[np.random.Generator], np.ndarray], ...]] = {
        "documents": (_letter, _table, _label),
        "charts": (_bar_chart, _line_chart, _scatter_chart, _pie_chart),
        "noise": (_white_noise, _grey_noise, _tinted_noise, _clouds, _gradient),
        "textures": (_stripes, _checks, _cells, _weave),
    }
    for family, made in makers.items():
        for make in made:
            for number in range(MADE):
                rng = np.random.default_rng([seed, number, len(make.__name__)])
                yield CounterExample(family, make.__name__.strip("_"), make(rng))


def _shipped() -> Iterator[tuple[str, str, np.ndarray]]:
    import pydicom
    import skimage.data
    import sklearn.datasets
    from pydicom.data import get_testdata_file

    folder = Path(skimage.data.__file__).parent
    for family, names in (("photographs", PHOTOGRAPHS), ("textures", TEXTURES), ("medical", MEDICAL),
                          ("documents", ("page.png", "text.png"))):  # fmt: skip
        for name in names:
            yield family, name, cv2.imread(str(folder / name), cv2.IMREAD_COLOR_RGB)
    for name in ("china.jpg", "flower.jpg"):
        yield "photographs", name, sklearn.datasets.load_sample_image(name)
    for number, face in enumerate(skimage.data.lfw_subset()[:100:5]):  # 25 x 25 pixels, grey
        grey = cv2.resize((255 * face).astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        yield "photographs", f"face {number}", cv2.merge([grey] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of pydicom's test files are wrong on purpose
        for name in SCANS:
            yield "medical", name, _rendered(pydicom.dcmread(get_testdata_file(name, download=False)).pixel_array)
    for path in sorted(DOCS.glob("demo-[12367]*.png")):
        yield "screens", path.name, cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def _rendered(stored: np.ndarray) -> np.ndarray:
    """The first frame of a scan as a viewer would show it: RGB uint8, its whole range of values."""
    frame = stored[0] if stored.ndim == 4 or (stored.ndim == 3 and stored.shape[-1] > 4) else stored
    frame = frame.astype(np.float64)
    grey = np.uint8(255 * (frame - frame.min()) / max(np.ptp(frame), 1))
    return grey if grey.ndim == 3 else cv2.merge([grey] * 3)


def _cuts(pixels: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    yield pixels
    height, width = pixels.shape[:2]
    if min(height, width) < 150 or height == width == SIDE:
        return
    for share in rng.uniform(0.3, 0.8, CROPS):
        side = int(share * min(height, width))
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        yield pixels[top : top + side, left : left + side]


# -- documents and charts ---------------------------------------------------------------------------------------------

WORDS = ("patient", "referral", "dermoscopy", "history", "lesion", "report", "date", "no", "the", "of", "normal", "see")


def _sheet(rng: np.random.Generator) -> np.ndarray:
    """Paper: white, yellowed, or the grey of a photograph of it."""
    shade = rng.choice([[255, 255, 255], [250, 245, 230], [215, 214, 210], [236, 214, 200]])
    return np.full((SIDE, int(SIDE * rng.choice([0.75, 1.0, 1.33])), 3), shade, np.uint8)


def _write(page: np.ndarray, text: str, x: float, y: float, size: float, shade: int = 20) -> None:
    at = int(x * page.shape[1]), int(y * page.shape[0])
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (shade,) * 3, 1, cv2.LINE_AA)


def _letter(rng: np.random.Generator) -> np.ndarray:
    page, pitch = _sheet(rng), rng.uniform(0.03, 0.08)
    for y in np.arange(0.1, 0.95, pitch):
        _write(page, " ".join(rng.choice(WORDS, 9)), 0.06, y, 12 * pitch * rng.uniform(0.8, 1.1))
    return page


def _table(rng: np.random.Generator) -> np.ndarray:
    page, rows, columns = _sheet(rng), int(rng.integers(4, 14)), int(rng.integers(2, 7))
    for i in range(rows + 1):
        y = int(page.shape[0] * (0.05 + 0.9 * i / rows))
        cv2.line(page, (10, y), (page.shape[1] - 10, y), (90, 90, 90), 1)
        for j in range(columns):
            _write(page, str(rng.integers(1000)), 0.06 + 0.9 * j / columns, y / page.shape[0] - 0.02, 0.4)
    return page


def _label(rng: np.random.Generator) -> np.ndarray:
    """A few large words, or a barcode, on paper of some colour."""
    page = _sheet(rng)
    page[:] = page * rng.uniform(0.6, 1, 3)
    if rng.random() < 0.5:
        for x in np.flatnonzero(rng.random(page.shape[1] - 60) < 0.5):
            page[page.shape[0] // 4 : page.shape[0] // 2, 30 + x] = 15
    for y in (0.65, 0.8):
        _write(page, str(rng.choice(WORDS)).upper(), 0.1, y, rng.uniform(0.8, 2.5))
    return page


def _plotted(draw: Callable[..., object], rng: np.random.Generator) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(rng.uniform(3.4, 5.5), 3.84), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes)
    axes.set_title(str(rng.choice(WORDS)))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _bar_chart(rng: np.random.Generator) -> np.ndarray:
    n = int(rng.integers(3, 12))
    return _plotted(lambda axes: axes.bar(np.arange(n), rng.random(n), color=rng.random((n, 3))), rng)


def _line_chart(rng: np.random.Generator) -> np.ndarray:
    return _plotted(lambda axes: axes.plot(rng.normal(0, 1, (60, int(rng.integers(1, 6)))).cumsum(0)), rng)


def _scatter_chart(rng: np.random.Generator) -> np.ndarray:
    return _plotted(
        lambda axes: axes.scatter(*rng.normal(0, 1, (2, 200)), c=rng.random(200), s=rng.uniform(5, 80)), rng
    )


def _pie_chart(rng: np.random.Generator) -> np.ndarray:
    n = int(rng.integers(2, 8))
    return _plotted(lambda axes: axes.pie(rng.random(n) + 0.1, colors=rng.random((n, 3))), rng)


# -- noise and textures -----------------------------------------------------------------------------------------------


def _white_noise(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)


def _grey_noise(rng: np.random.Generator) -> np.ndarray:
    grey = np.clip(rng.normal(rng.uniform(60, 200), rng.uniform(10, 60), (SIDE, SIDE)), 0, 255)
    return cv2.merge([grey.astype(np.uint8)] * 3)


def _tinted_noise(rng: np.random.Generator) -> np.ndarray:
    """Grain of any strength on any one colour, that of skin among them."""
    tint = (220, 165, 150) if rng.random() < 0.4 else rng.uniform(20, 235, 3)
    noise = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE, 3)), (0, 0), rng.uniform(0.3, 3))
    return np.clip(tint + rng.uniform(5, 60) * noise / noise.std(), 0, 255).astype(np.uint8)


def _clouds(rng: np.random.Generator) -> np.ndarray:
    """Noise of all scales (1/f) between two colours."""
    clouds = sum(
        scale * cv2.resize(rng.normal(0, 1, (SIDE // scale + 1,) * 2), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        for scale in (2, 8, 32, 128)
    )
    return _coloured(cv2.normalize(np.asarray(clouds), None, 0, 1, cv2.NORM_MINMAX), rng)


def _gradient(rng: np.random.Generator) -> np.ndarray:
    return _coloured(np.linspace(0, 1, SIDE)[:, None] * np.ones((1, SIDE)), rng)


def _waves(rng: np.random.Generator) -> np.ndarray:
    """A wave of random direction and pitch, -1 to 1, (SIDE, SIDE)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    turn, pitch = rng.uniform(0, np.pi), rng.uniform(6, 60)
    return np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / pitch)


def _coloured(share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """From one random colour to another by shares of 0 to 1."""
    share = share[..., None]
    return (share * rng.uniform(0, 255, 3) + (1 - share) * rng.uniform(0, 255, 3)).astype(np.uint8)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    return _coloured((_waves(rng) > rng.uniform(-0.5, 0.5)).astype(float), rng)


def _checks(rng: np.random.Generator) -> np.ndarray:
    return _coloured((_waves(rng) * _waves(rng) > 0).astype(float), rng)


def _cells(rng: np.random.Generator) -> np.ndarray:
    """Voronoi cells, as of tiles, leather or cracked earth."""
    walls = np.full((SIDE, SIDE), 255, np.uint8)
    points = rng.integers(0, SIDE, (int(rng.integers(20, 300)), 2))
    walls[points[:, 1], points[:, 0]] = 0
    depth = cv2.distanceTransform(walls, cv2.DIST_L2, 5)
    return _coloured(np.clip(depth / np.percentile(depth, 95), 0, 1), rng)


def _weave(rng: np.random.Generator) -> np.ndarray:
    share = (2 + _waves(rng) + _waves(rng)) / 4 + rng.normal(0, 0.05, (SIDE, SIDE))
    return _coloured(np.clip(share, 0, 1), rng)
