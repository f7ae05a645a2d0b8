"""Analyses per second while a training runs in the background, against none running.

python -m benchmarks.analyses_while_training
"""

import os
import statistics
import time

from benchmarks import installation
from benchmarks.measuring import Comparison, arguments, parsed, photographs, report
from skin_model.jobs import queue
from skin_model.services import analysis, orders, workspace


def analyse(uploads: list[bytes], seconds: float) -> list[float]:
    """Seconds of each analysis."""
    taken: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        analysis.analyse(data=uploads[len(taken) % len(uploads)])
        taken.append(time.perf_counter() - began)
    return taken


def batches(job: str) -> int:
    """How many the training has done, of all its epochs."""
    told = queue.find(job).progress
    return int((told["epoch"] - 1) * told["batches"] + told["batch"])


def main() -> None:
    parser = arguments("Analyses per second beside a training.", rounds=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each block of analyses")
    args = parsed(parser)
    uploads, source = photographs(args.data, 42)
    with installation.installation(60) as data:
        os.environ["SKIN_MODEL_BUNDLE"] = str(args.model)
        workspace.classifier()
        analyse(uploads, 2)
        alone: list[float] = []
        beside: list[float] = []
        pace = {"beside": 0.0, "alone": 0.0}  # batches per second
        for _ in range(args.rounds):
            alone += analyse(uploads, args.seconds)
            job = installation.start(data, installation.small(network="mobilenet", size=128, epochs=500))
            installation.wait(lambda job=job: len(orders.history(job=job)) >= 2)
            first = batches(job)
            time.sleep(args.seconds)
            second = batches(job)
            beside += analyse(uploads, args.seconds)
            third = batches(job)
            pace["alone"] += (second - first) / args.seconds / args.rounds
            pace["beside"] += (third - second) / args.seconds / args.rounds
            orders.cancel(job=job, who="benchmark")
            installation.wait(lambda job=job: queue.find(job).over)
            time.sleep(3)  # for the batch under way
    ours, against = len(beside) / sum(beside), len(alone) / sum(alone)
    row = Comparison("analyses while a training runs, against none", ours, against, "analyses/s", ours / against,
                     "at least 0.4")  # fmt: skip
    report(args, [row], {
        "input": source, "median": f"{1e3 * statistics.median(beside):.0f} ms beside, "
        f"{1e3 * statistics.median(alone):.0f} ms alone",
        "training": f"{pace['beside']:.2f} batches per second beside, {pace['alone']:.2f} alone",
    })  # fmt: skip


if __name__ == "__main__":
    main()
