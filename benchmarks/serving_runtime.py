"""OpenVINO, which serves the bundle, against ONNX Runtime on the same float32 network.

    python -m benchmarks.serving_runtime

ONNX Runtime is not one of the project's requirements; what is missing is named.
"""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Comparison, arguments, interleaved, milliseconds, parsed, report
from skin_model import bundle
from skin_model.conversion import load_keras
from skin_model.inference import Classifier
from skin_model.networks import picture_part

NEEDED = ("onnxruntime", "onnx", "tf2onnx")
BATCH = 32
REPETITIONS = {1: 100, BATCH: 5}  # per round


def onnx_session(model: Any) -> Any:
    """The same network with the same three outputs in ONNX Runtime."""
    import keras
    import onnxruntime

    output = model.get_layer("output")
    serving = keras.Model(model.inputs, [output.output, output.input, model.get_layer("features").output])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        signature = [keras.InputSpec("float32", (None, *model.input_shape[1:]))]  # without one the batch is fixed at 1
        serving.export(path, format="onnx", verbose=False, input_signature=signature)
        return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def main() -> None:
    args = parsed(arguments("OpenVINO against ONNX Runtime.", rounds=5))
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.exit(f"Not installed: {', '.join(missing)}. Install them beside the requirements to measure this.")
    made = bundle.read(args.model)
    classifier, session = Classifier(made), onnx_session(picture_part(load_keras(made.path("network.keras"))))
    name = session.get_inputs()[0].name
    ways = {"OpenVINO": classifier.outputs, "ONNX Runtime": lambda x: session.run(None, {name: x})[0]}
    rows, size = [], made.manifest.size
    for count, repetitions in REPETITIONS.items():
        images = np.random.default_rng(0).random((count, size, size, 3), np.float32)
        times = interleaved(ways, [images], rounds=args.rounds, repetitions=repetitions)
        ours, other = (count / milliseconds(t) * 1e3 for t in times.values())
        rows.append(Comparison(f"float32, batches of {count}", ours, other, "images/s", ours / other, "none set"))
    difference = float(np.abs(np.subtract(*(way(images) for way in ways.values()))).max())
    report(
        args,
        rows,
        {
            "onnxruntime": sys.modules["onnxruntime"].__version__,
            "repetitions": f"{args.rounds} rounds of {REPETITIONS}",
            "largest difference of an output": f"{difference:.1g}",
        },
    )


if __name__ == "__main__":
    main()
