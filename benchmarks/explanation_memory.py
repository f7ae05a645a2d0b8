"""Resident memory after many mixed explanations over that after the first 50, asked for as the page does.

python -m benchmarks.explanation_memory
"""

import gc
from itertools import cycle

from benchmarks.measuring import Comparison, arguments, judged, parsed, photographs, report, resident
from skin_model.explain.methods import METHODS
from skin_model.services import explaining, workspace

FIRST = 50


def main() -> None:
    parser = arguments("Memory of explanations.", rounds=1)
    parser.add_argument("--explanations", type=int, default=500, help="mixed; rounded up to whole turns of all methods")
    args = parsed(parser)
    uploads, source = photographs(args.data, 21)
    workspace.classifier()
    pictures = cycle([judged(upload) for upload in uploads])
    kept: list[tuple[int, float]] = []  # explanations, MiB: after each turn of all methods, so that turns compare
    while not kept or kept[-1][0] < args.explanations:
        for method in METHODS:
            found = next(pictures)
            target = found.prediction.diagnosis.code
            run = explaining.begin(analysis=found, method=method, target=target)
            run.wait()
            explaining.paint(analysis=found, heat_map=run.explanations[target].heat_map, opacity=0.6)
        gc.collect()
        kept.append(((len(kept) + 1) * len(METHODS), resident()))
        print(f"{kept[-1][0]}: {kept[-1][1]:.0f} MiB", flush=True)
    done, late = kept[-1]
    first, early = next((number, mib) for number, mib in kept if number >= min(FIRST, done))
    claim = f"memory after {done} mixed explanations over after the first {first}"
    rows = [Comparison(claim, late, early, "MiB", late / early, "at most 1.05")]
    highest = max(mib for number, mib in kept if number >= first)
    rows.append(Comparison("the same, highest after any turn", highest, early, "MiB", highest / early, "at most 1.05"))
    report(args, rows, {"images": source, "repetitions": "one sequence in a process that does nothing else"})


if __name__ == "__main__":
    main()
