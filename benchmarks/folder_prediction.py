"""A folder of JPEGs, from files to probabilities, against Keras' own folder reader and predict.

python -m benchmarks.folder_prediction
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import (
    Comparison,
    arguments,
    folder_of,
    interleaved,
    milliseconds,
    parsed,
    photographs,
    report,
)
from skin_model import bundle
from skin_model.conversion import load_keras
from skin_model.inference import Classifier
from skin_model.networks import picture_part
from skin_model.services import prediction


def judged(classifier: Classifier, folder: Path, views: int | None) -> int:
    """Ours; returns the number of answers."""
    return sum(item.prediction is not None for item in prediction.predict(
        classifier=classifier, paths=[folder], views=views))  # fmt: skip


def plainly(model: Any, folder: Path) -> np.ndarray:
    """What a user of Keras writes."""
    import keras

    images = keras.utils.image_dataset_from_directory(
        folder, labels=None, batch_size=32, image_size=model.input_shape[1:3], shuffle=False,
        crop_to_aspect_ratio=True, verbose=False,
    )  # fmt: skip
    return model.predict(images.map(lambda batch: batch / 255), verbose=0)


def main() -> None:
    parser = arguments("A folder of images against image_dataset_from_directory + predict.", rounds=3)
    parser.add_argument("--images", type=int, default=600, help="files in the folder")
    args = parsed(parser)
    made = bundle.read(args.model)
    classifier, model = Classifier(made), picture_part(load_keras(made.path("network.keras")))
    pictures, source = photographs(args.data, args.images)
    ways = {
        "one view": lambda folder: judged(classifier, folder, 1),
        "own views": lambda folder: judged(classifier, folder, None),
        "plain": lambda folder: plainly(model, folder),
    }
    with folder_of(pictures[:64]) as few, folder_of(pictures) as all_:
        interleaved(ways, [Path(few)], rounds=1, repetitions=0)
        times = interleaved(ways, [Path(all_)], rounds=args.rounds, repetitions=1, unmeasured=0)
    speeds = {name: args.images / (milliseconds(t) / 1e3) for name, t in times.items()}
    one, own, plain = (speeds[name] for name in ways)
    report(
        args,
        [
            Comparison("one view against image_dataset_from_directory + predict", one, plain, "images/s", one / plain,
                       "at least 2.5 times"),
            Comparison(f"{made.manifest.views} views against the same with one view", own, plain, "images/s",
                       own / plain, "none set"),
        ],
        {"images": f"{args.images} files, {source}", "repetitions": f"{args.rounds} rounds of the whole folder"},
    )  # fmt: skip


if __name__ == "__main__":
    main()
