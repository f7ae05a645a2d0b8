"""What the gate costs: quality, strangeness and similar cases, against one bare forward pass of the network.

python -m benchmarks.gate_time
"""

import numpy as np

from benchmarks.measuring import Comparison, arguments, interleaved, milliseconds, parsed, photographs, report
from skin_model import bundle, imaging, quality
from skin_model.inference import Classifier
from skin_model.services.gate import Gate

REPETITIONS = 30  # per round and way


def main() -> None:
    args = parsed(arguments("The gate's time against one pass of the network.", rounds=5))
    made = bundle.read(args.model)
    classifier, gate = Classifier(made), Gate(made)
    jpegs, source = photographs(args.data, 42)
    squares = [imaging.centre(imaging.fit(imaging.decode(jpeg).pixels, made.manifest.size)) for jpeg in jpegs]
    inputs = [(square, classifier.answer(square[None], views=1).embeddings) for square in squares]
    ready = [imaging.to_network(square[None]) for square in squares]
    ways = {
        "gate": lambda given: gate.check(given[0][None], given[1]),
        "quality": lambda given: quality.inspect(given[0]),
        "bare": lambda given: classifier.outputs(ready[0]),
    }
    interleaved(ways, inputs, rounds=1, repetitions=3)
    times = {
        name: milliseconds(t)
        for name, t in interleaved(ways, inputs, rounds=args.rounds, repetitions=REPETITIONS).items()
    }
    cases = 0 if gate.references is None else len(gate.references.images)
    claim = "quality, strangeness and similar cases against one bare pass of the serving form, one view"
    report(
        args,
        [
            Comparison(claim, times["gate"], times["bare"], "ms", times["gate"] / times["bare"], "at most 1"),
            Comparison("quality alone", times["quality"], times["bare"], "ms", times["quality"] / times["bare"], ""),
        ],
        {"images": source, "reference cases": cases, "dimensions": int(np.size(inputs[0][1]))},
    )


if __name__ == "__main__":
    main()
