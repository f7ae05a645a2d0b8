"""The time of an outline with its measurements, against one analysis as the page makes it.

python -m benchmarks.outlining
"""

from benchmarks.measuring import Comparison, arguments, interleaved, judged, milliseconds, parsed, photographs, report
from skin_model.entities import Analysis
from skin_model.services import outlining

REPETITIONS = 20  # per round and way


def outlined(given: tuple[bytes, Analysis]) -> None:
    """What unfolding the page's part computes."""
    found = outlining.outline(analysis=given[1], uploaded=given[1].image.pixels.shape[1::-1])
    outlining.draw(analysis=given[1], outline=found)


def main() -> None:
    args = parsed(arguments("The time of an outline against one analysis.", rounds=4))
    jpegs, source = photographs(args.data, 24)
    inputs = [(jpeg, judged(jpeg)) for jpeg in jpegs]
    ways = {"outline": outlined, "analysis": lambda given: judged(given[0])}
    times = {
        name: milliseconds(t)
        for name, t in interleaved(ways, inputs, rounds=args.rounds, repetitions=REPETITIONS).items()
    }
    claim = "outline, measurements and contour of one picture against one analysis"
    ratio = times["outline"] / times["analysis"]
    report(args, [Comparison(claim, times["outline"], times["analysis"], "ms", ratio, "1")], {"images": source})


if __name__ == "__main__":
    main()
