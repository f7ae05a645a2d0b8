"""Sixteen nearest among a million cases: Faiss' inverted lists against every distance in NumPy, time and recall.

python -m benchmarks.similar_cases

The cases are the coordinates of the model's own, each moved a little by chance, as further pictures of like lesions.
"""

import time

import numpy as np

from benchmarks.measuring import Comparison, arguments, interleaved, milliseconds, parsed, report
from skin_model import bundle
from skin_model.neighbours import NEAREST, approximate, exact
from skin_model.services.gate import Gate

QUERIES = 200


def main() -> None:
    parser = arguments("Nearest cases among a million.", rounds=3)
    parser.add_argument("--cases", type=int, default=1_000_000)
    args = parsed(parser)
    references = Gate(bundle.read(args.model)).references
    if references is None:
        parser.error("The model carries no references; make the bundle again.")
    known = references.coordinates
    rng, spread = np.random.default_rng(0), 0.5 * np.sqrt(references.axes.variances[: known.shape[1]])

    def drawn(count: int) -> np.ndarray:
        chosen = known[rng.integers(len(known), size=count)]
        return chosen + rng.standard_normal(chosen.shape, dtype=np.float32) * spread

    cases, queries = drawn(args.cases), drawn(QUERIES)
    began = time.perf_counter()
    ours = approximate(cases)
    built = time.perf_counter() - began
    plain = exact(cases)
    found = [(set(ours(q[None], NEAREST)[0]), set(plain(q[None], NEAREST)[0])) for q in queries]
    recall = float(np.mean([len(a & b) / NEAREST for a, b in found]))
    ways = {"ours": lambda q: ours(q[None], NEAREST), "plain": lambda q: plain(q[None], NEAREST)}
    times = interleaved(ways, list(queries), rounds=args.rounds, repetitions=QUERIES // 5)
    median, against = milliseconds(times["ours"]), milliseconds(times["plain"])
    slow = 1e3 * float(np.quantile(times["ours"], 0.99))
    report(
        args,
        [
            Comparison(f"one search among {args.cases:,} cases", median, against, "ms", median, "below 50 ms"),
            Comparison("the slowest of 100 such searches", slow, None, "ms", slow, "below 50 ms"),
            Comparison("recall of the sixteen nearest", recall, 1.0, "", recall, "at least 0.99"),
        ],
        {"dimensions": cases.shape[1], "seconds to build the index, once per start": f"{built:.1f}"},
    )


if __name__ == "__main__":
    main()
