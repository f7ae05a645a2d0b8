"""What every benchmark shares: arguments, pictures, interleaved timing, the machine, one table and one JSON file."""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import cv2

from skin_model import bundle, imaging, settings
from skin_model.entities import Analysis
from skin_model.services import analysis
from skin_model.taxonomy import CODES

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 600, 450  # of HAM10000's own images
DRAWN = 14
UNMEASURED = 2  # repetitions at the head of each block: threads and caches return from the other way
PACKAGES = ("tensorflow", "keras", "openvino", "opencv-python-headless", "numpy", "tf-keras-vis", "streamlit")


@dataclass(frozen=True)
class Comparison:
    """One row: what ours costs, what the other way costs, and what was to be reached.

    Attributes:
        claim: what is compared.
        ours, against: medians in `unit`; `against` is None for a figure that stands alone.
        ratio: the figure that `reach` speaks of.
    """

    claim: str
    ours: float
    against: float | None
    unit: str
    ratio: float
    reach: str


def arguments(description: str, rounds: int) -> argparse.ArgumentParser:
    """The options of every benchmark; to be read by `parsed`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", type=Path, default=settings.load().bundle, help="bundle that is measured")
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data",
        help="folder with full_size_examples/*.jpg; drawn images where it is absent",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds in which the ways take turns")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line, and make the named bundle the one that the services use."""
    args = parser.parse_args()
    args.model = args.model.resolve()
    os.environ["SKIN_MODEL_BUNDLE"] = str(args.model)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return args


def photographs(data: Path, count: int) -> tuple[list[bytes], str]:
    """`count` JPEGs of 600 x 450 pixels, repeated where there are fewer, and a word on where they are from."""
    found = []
    for path in sorted((data / "full_size_examples").glob("*.jpg"))[:count]:
        content = path.read_bytes()
        if imaging.decode(content).pixels.shape == (HEIGHT, WIDTH, 3):
            found.append(content)
    source = f"{len(found)} different photographs"
    if not found:
        found = [_drawn(seed) for seed in range(min(count, DRAWN))]
        source = f"{len(found)} different drawn images"
    return list(islice(cycle(found), count)), f"{WIDTH} x {HEIGHT} JPEG, {source}"


def _drawn(seed: int) -> bytes:
    from skin_model.dataset.drawn import draw_lesion  # brings pandas, which most runs need not load

    pixels, _ = draw_lesion(CODES[seed % len(CODES)], seed=seed, height=HEIGHT, width=WIDTH)
    return cv2.imencode(".jpg", pixels[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, 95))[1].tobytes()


def judged(jpeg: bytes) -> Analysis:
    """One analysis as the page makes it, also of a picture that its gate would refuse."""
    found = analysis.analyse(data=jpeg)
    return found if isinstance(found, Analysis) else found.judge_anyway()


def folder_of(contents: Sequence[bytes]) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder with one file per JPEG; it goes when the returned object is left."""
    folder = tempfile.TemporaryDirectory()
    for number, content in enumerate(contents):
        (Path(folder.name) / f"{number:05d}.jpg").write_bytes(content)
    return folder


def interleaved(
    ways: dict[str, Callable[[Any], Any]],
    inputs: Sequence[Any],
    *,
    rounds: int,
    repetitions: int,
    unmeasured: int = UNMEASURED,
) -> dict[str, list[float]]:
    """Time several ways in turn: in each round every way handles the same inputs, the first `unmeasured` unmeasured.

    Blocks, not single turns: TensorFlow's idle threads spin for a while and would slow whatever comes right after.

    Returns:
        Way -> seconds of each measured call.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    source = cycle(inputs)
    for _ in range(rounds):
        block = list(islice(source, unmeasured + repetitions))
        for name, way in ways.items():
            for number, given in enumerate(block):
                began = time.perf_counter()
                way(given)
                if number >= unmeasured:
                    seconds[name].append(time.perf_counter() - began)
    return seconds


def milliseconds(seconds: Sequence[float]) -> float:
    """The median in milliseconds."""
    return 1e3 * statistics.median(seconds)


def resident() -> float:
    """Resident memory of this process in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def report(args: argparse.Namespace, rows: Sequence[Comparison], conditions: dict[str, Any]) -> None:
    """Print the table, and write it to `--json` with everything needed to judge it."""
    conditions = _machine() | _model(args.model) | conditions
    for name, value in conditions.items():
        print(f"{name}: {value}")
    print("\n| claim | ours | against | ratio | reach |\n|---|---|---|---|---|")
    for row in rows:
        against = "" if row.against is None else f"{row.against:.4g} {row.unit}"
        print(f"| {row.claim} | {row.ours:.4g} {row.unit} | {against} | {row.ratio:.3g} | {row.reach} |")
    if args.json:
        content = {"conditions": conditions, "rows": [asdict(row) for row in rows]}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


def _machine() -> dict[str, Any]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    return {
        "machine": f"{cpu}, {os.cpu_count()} cores, {platform.system()}, load {os.getloadavg()[0]:.1f}",
        "versions": ", ".join([f"Python {platform.python_version()}", *filter(None, map(_version, PACKAGES))]),
    }


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def _model(folder: Path) -> dict[str, Any]:
    manifest = bundle.read(folder).manifest
    return {"model": f"{manifest.model_version}, {manifest.network}, {manifest.size} pixels, {manifest.views} views"}
