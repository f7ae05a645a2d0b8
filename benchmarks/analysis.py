"""One analysis of a dermoscopic JPEG against Keras' predict with tf-keras-vis, and against a bare TensorFlow pass.

python -m benchmarks.analysis
"""

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from benchmarks.measuring import Comparison, arguments, interleaved, judged, milliseconds, parsed, photographs, report
from skin_model import bundle, imaging
from skin_model.conversion import load_keras
from skin_model.explain.overlay import overlay
from skin_model.inference import Classifier
from skin_model.networks import picture_part
from skin_model.services import analysis, workspace

REPETITIONS = 12  # per round and way
OPACITY = 0.45


def analysed_once(classifier: Classifier, jpeg: bytes) -> np.ndarray:
    """Ours with one view: probabilities, all Grad-CAMs, and the picture under the likeliest class's."""
    image = imaging.decode(jpeg)
    square = imaging.centre(imaging.fit(image.pixels, classifier.manifest.size))
    answers = classifier.answer(square[None], views=1)
    probabilities = classifier.probabilities(answers.logits)[0]
    maps = classifier.head.gradcam(answers.features[0])
    box = imaging.judged_box(*image.pixels.shape[:2])
    return overlay(image.pixels, box, maps[int(probabilities.argmax())], OPACITY)


def analysed_as_page(jpeg: bytes) -> np.ndarray:
    """Ours as the page does it, with the bundle's own number of views."""
    found = judged(jpeg)
    return analysis.overlay(analysis=found, target=found.prediction.diagnosis.code, opacity=OPACITY)


class PlainWay:
    """What a user of Keras and tf-keras-vis writes: predict, Gradcam, colour map, blend."""

    def __init__(self, model: Any) -> None:
        from tf_keras_vis.gradcam import Gradcam
        from tf_keras_vis.utils.model_modifiers import ReplaceToLinear

        self.model = model
        self.gradcam = Gradcam(model, model_modifier=ReplaceToLinear(), clone=True)

    def __call__(self, jpeg: bytes) -> np.ndarray:
        from tf_keras_vis.utils.scores import CategoricalScore

        picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
        square = ImageOps.fit(picture, self.model.input_shape[1:3])
        inputs = np.asarray(square, np.float32)[None] / 255
        best = int(self.model.predict(inputs, verbose=0).argmax())
        heat = self.gradcam(CategoricalScore(best), inputs)[0]
        pixels = np.array(picture)
        left, top, side = imaging.judged_box(*pixels.shape[:2])
        judged = pixels[top : top + side, left : left + side]
        grey = (cv2.resize(heat, (side, side)) * 255).astype(np.uint8)
        colours = cv2.applyColorMap(grey, cv2.COLORMAP_JET)[:, :, ::-1]
        judged[:] = cv2.addWeighted(judged, 1 - OPACITY, np.ascontiguousarray(colours), OPACITY, 0)
        return pixels


def bare_pass(model: Any) -> Any:
    """One compiled forward pass of the network on one image that already lies in memory."""
    import tensorflow as tf

    shape = (1, *model.input_shape[1:])
    ready = tf.constant(np.random.default_rng(0).random(shape, np.float32))
    forward = tf.function(lambda x: model(x, training=False), input_signature=[tf.TensorSpec(shape)])
    return lambda _: forward(ready).numpy()


def main() -> None:
    args = parsed(arguments("One analysis against the plain way and a bare forward pass.", rounds=5))
    made = bundle.read(args.model)
    classifier, model = Classifier(made), picture_part(load_keras(made.path("network.keras")))
    workspace.classifier()
    pictures, source = photographs(args.data, 42)
    inputs = np.random.default_rng(0).random((4, *model.input_shape[1:]), np.float32)
    difference = np.abs(model.predict(inputs, verbose=0) - classifier.outputs(inputs)).max()
    ways = {
        "one view": lambda jpeg: analysed_once(classifier, jpeg),
        "page": analysed_as_page,
        "plain": PlainWay(model),
        "bare": bare_pass(model),
    }
    interleaved(ways, pictures, rounds=1, repetitions=3)  # traces and allocates
    times = {
        name: milliseconds(t)
        for name, t in interleaved(ways, pictures, rounds=args.rounds, repetitions=REPETITIONS).items()
    }
    one, page, plain, bare = (times[name] for name in ways)
    report(
        args,
        [
            Comparison("one view against predict + Gradcam", one, plain, "ms", plain / one, "at least 25 times faster"),
            Comparison("one view against a bare TensorFlow pass", one, bare, "ms", one / bare, "at most 0.8 of it"),
            Comparison(f"as the page does it ({made.manifest.views} views) against predict + Gradcam with one view",
                       page, plain, "ms", plain / page, "at least 5 times faster"),
        ],
        {
            "images": source,
            "repetitions": f"{args.rounds} rounds of {REPETITIONS} per way",
            "largest difference of an output between both networks": f"{difference:.1g}",
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
