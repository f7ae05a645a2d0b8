"""Seconds of every explanation method, and what a slow one costs another user.

python -m benchmarks.explanations
"""

import time
from itertools import cycle

from benchmarks.measuring import (
    Comparison,
    arguments,
    interleaved,
    judged,
    milliseconds,
    parsed,
    photographs,
    report,
)
from skin_model.entities import Analysis
from skin_model.explain.methods import METHODS
from skin_model.services import explaining, workspace

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


def another_user(picture: Analysis, uploads: list[bytes], method: str) -> list[Comparison]:
    """An analysis while a server's first explanation by a slow method runs, over one alone; and how long that takes.

    The first user's run loads the method's library too.
    """
    alone = [_timed(upload) for upload in uploads]
    run = explaining.begin(analysis=picture, method=method, target=picture.prediction.diagnosis.code)
    meanwhile = []
    for upload in cycle(uploads):
        meanwhile.append(_timed(upload))
        if run.done:
            break
    name, ours, against = METHODS[method].name, 1e3 * max(meanwhile), milliseconds(alone)
    claim = f"longest of {len(meanwhile)} analyses during somebody's {name}, the server's first, over one alone"
    first = 1e3 * run.seconds
    return [
        Comparison(claim, ours, against, "ms", ours / against, "below 1,000 ms"),
        Comparison(f"{name}, first in this process, beside these analyses", first, None, "ms", first, SLOW),
    ]


def _timed(upload: bytes) -> float:
    began = time.perf_counter()
    judged(upload)
    return time.perf_counter() - began


def main() -> None:
    args = parsed(arguments("Time of explanations.", rounds=5))
    uploads, source = photographs(args.data, 21)
    workspace.classifier()
    pictures = [judged(upload) for upload in uploads]
    slow = [key for key, method in METHODS.items() if method.slow]
    rows = [row for key in slow for row in another_user(pictures[0], uploads, key)]
    ways = {key: lambda found, key=key: explained_once(found, key) for key in METHODS if key not in slow}
    times = interleaved(ways, pictures, rounds=args.rounds, repetitions=REPETITIONS)
    times |= {key: [seconds(found, key) for found in pictures[: args.rounds]] for key in slow}
    rows += [
        Comparison(
            METHODS[key].name, milliseconds(taken), None, "ms", milliseconds(taken), SLOW if key in slow else FAST
        )
        for key, taken in times.items()
    ]
    repetitions = f"{args.rounds} rounds of {REPETITIONS} per fast method, {args.rounds} per slow one"
    report(args, rows, {"images": source, "repetitions": repetitions})


if __name__ == "__main__":
    main()
