"""Resident memory after many analyses over that after the first 50.

python -m benchmarks.memory
"""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from benchmarks.measuring import Comparison, arguments, judged, parsed, photographs, report, resident
from skin_model.services import analysis, workspace

FIRST = 50
SCALES = (0.5, 0.8, 1.0, 1.0, 1.5, 2.5)
THREADS = 4  # browsers at the same time


def varied(jpegs: list[bytes]) -> list[bytes]:
    """The same pictures in other sizes and formats: an allocator that only ever meets one size proves little."""
    out = []
    for number, jpeg in enumerate(jpegs):
        scale = SCALES[number % len(SCALES)]
        pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        scaled = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        suffix = (".jpg", ".jpg", ".png", ".webp")[number % 4]
        out.append(cv2.imencode(suffix, scaled)[1].tobytes())
    return out


def once(data: bytes) -> None:
    """One analysis and its picture, as the page shows it."""
    found = judged(data)
    analysis.overlay(analysis=found, target=found.prediction.diagnosis.code)


def growth(uploads: list[bytes], analyses: int, threads: int) -> tuple[float, float]:
    """Resident MiB after the first 50 analyses and after all."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(once, (uploads[i % len(uploads)] for i in range(FIRST))))
        early = resident()
        list(pool.map(once, (uploads[i % len(uploads)] for i in range(FIRST, analyses))))
    return early, resident()


def main() -> None:
    parser = arguments("Resident memory after 1,000 analyses.", rounds=1)
    parser.add_argument("--analyses", type=int, default=1000)
    args = parsed(parser)
    pictures, source = photographs(args.data, 42)
    uploads = varied(pictures)
    workspace.classifier()
    rows = []
    for threads, words in ((1, "one after the other"), (THREADS, f"{THREADS} at a time")):
        early, late = growth(uploads, args.analyses, threads)
        claim = f"after {args.analyses} analyses, {words}, over after the first {FIRST}"
        rows.append(Comparison(claim, late, early, "MiB", late / early, "at most 1.05"))
    report(
        args,
        rows,
        {"images": f"{source}, in {len(set(SCALES))} sizes as JPEG, PNG and WebP", "repetitions": "one sequence each"},
    )


if __name__ == "__main__":
    main()
