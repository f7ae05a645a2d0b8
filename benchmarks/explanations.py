"""Seconds of every explanation method, what a slow one costs another user, and memory after many mixed ones.

python -m benchmarks.explanations
"""

import time
from itertools import cycle, islice

from benchmarks.measuring import (
    Comparison,
    arguments,
    interleaved,
    judged,
    milliseconds,
    parsed,
    photographs,
    report,
    resident,
)
from skin_model.entities import Analysis
from skin_model.explain.methods import METHODS
from skin_model.services import explaining, workspace

FIRST = 50  # explanations after which memory is measured first
REPETITIONS = 3  # per round and fast method
FAST, SLOW = "below 1,000 ms", "below 20,000 ms"


def explained_once(found: Analysis, method: str) -> None:
    """One explanation of the likeliest class and its picture, as the page shows it."""
    target = found.prediction.diagnosis.code
    heat = explaining.explain(analysis=found, method=method, target=target)[target].heat_map
    explaining.paint(analysis=found, heat_map=heat, opacity=0.6)


def seconds(found: Analysis, method: str) -> float:
    began = time.perf_counter()
    explained_once(found, method)
    return time.perf_counter() - began


def slow_methods(pictures: list[Analysis], rounds: int) -> list[Comparison]:
    """Each with the loading of its library, which the first user of a server waits for, and without."""
    rows = []
    for key in (key for key, method in METHODS.items() if method.slow):
        name = METHODS[key].name
        first = 1e3 * seconds(pictures[0], key)
        later = milliseconds([seconds(found, key) for found in pictures[1 : 1 + rounds]])
        rows.append(Comparison(f"{name}, library loaded", later, None, "ms", later, SLOW))
        rows.append(Comparison(f"{name}, first in this process", first, None, "ms", first, SLOW))
    return rows


def another_user(picture: Analysis, uploads: list[bytes], method: str) -> Comparison:
    """An analysis while somebody else's explanation runs, over one alone."""
    alone = [_timed(upload) for upload in uploads]
    run = explaining.begin(analysis=picture, method=method, target=picture.prediction.diagnosis.code)
    meanwhile = []
    for upload in cycle(uploads):
        meanwhile.append(_timed(upload))
        if run.done:
            break
    ours, against = 1e3 * max(meanwhile), milliseconds(alone)
    claim = f"longest of {len(meanwhile)} analyses during somebody's {METHODS[method].name}, over one alone"
    return Comparison(claim, ours, against, "ms", ours / against, "below 1,000 ms")


def _timed(upload: bytes) -> float:
    began = time.perf_counter()
    judged(upload)
    return time.perf_counter() - began


def memory(pictures: list[Analysis], explanations: int) -> Comparison:
    """Resident MiB after the first 50 mixed explanations and after all."""
    orders = list(islice(zip(cycle(METHODS), cycle(pictures), strict=False), explanations))
    for method, found in orders[:FIRST]:
        explained_once(found, method)
    early = resident()
    for method, found in orders[FIRST:]:
        explained_once(found, method)
    late = resident()
    claim = f"memory after {explanations} mixed explanations over after the first {FIRST}"
    return Comparison(claim, late, early, "MiB", late / early, "at most 1.05")


def main() -> None:
    parser = arguments("Time and memory of explanations.", rounds=5)
    parser.add_argument("--explanations", type=int, default=500, help="mixed, for the figure of memory")
    args = parsed(parser)
    uploads, source = photographs(args.data, 21)
    workspace.classifier()
    pictures = [judged(upload) for upload in uploads]
    ways = {
        key: lambda found, key=key: explained_once(found, key) for key, method in METHODS.items() if not method.slow
    }
    times = interleaved(ways, pictures, rounds=args.rounds, repetitions=REPETITIONS)
    rows = [
        Comparison(METHODS[key].name, milliseconds(taken), None, "ms", milliseconds(taken), FAST)
        for key, taken in times.items()
    ]
    rows += slow_methods(pictures, args.rounds)
    rows += [another_user(pictures[0], uploads, method) for method in ("lime", "shap")]
    rows.append(memory(pictures, args.explanations))
    repetitions = f"{args.rounds} rounds of {REPETITIONS} per fast method, {args.rounds} per slow one"
    report(args, rows, {"images": source, "repetitions": repetitions})


if __name__ == "__main__":
    main()
