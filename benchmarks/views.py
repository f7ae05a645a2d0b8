"""Do several views earn their time?  Figures on the validation fold and milliseconds per image for 1, 2, 4 and 8 views.

    python -m benchmarks.views --data ../shared/data/ham10000 [--model BUNDLE]

The validation fold chose the best epoch of the training but nothing else; the test part is not touched.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from skin_model import bundle, settings
from skin_model.dataset import ham10000
from skin_model.dataset.labels import class_indices
from skin_model.evaluation import calibration, metrics
from skin_model.inference import VIEWS, Classifier
from skin_model.services import evaluation, prediction


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=settings.load().bundle)
    options = parser.parse_args()
    made = bundle.read(options.model)
    classifier = Classifier(made)
    seen = evaluation.read_seen(made)
    wanted = seen.loc[seen["part"] == made.manifest.data["validation"], "image_id"]
    table = ham10000.read(options.data).table
    table = table[table["image_id"].isin(wanted)]
    if table.empty:
        sys.exit("This model was trained on all folds: no picture is left to choose its views by.")
    labels = class_indices(table["dx"])
    squares = np.stack(
        [item.square for item in prediction.readable(prediction.load(table["path"], made.manifest.size))]
    )
    print(f"{made.manifest.model_version}, {len(table)} images of {made.manifest.data['validation']}")
    print("views  balanced accuracy  macro AUC  macro F1  log loss  malignant AUC  ms per image")
    for views in VIEWS:
        logits = np.concatenate([classifier.answer(part, views).logits for part in np.array_split(squares, 64)])
        temperature = calibration.fit_temperature(logits, labels)  # each number of views at its own best
        report = metrics.score(labels, calibration.softmax(logits, temperature), threshold=made.manifest.threshold)
        times = []
        for square in squares[:60]:
            began = time.perf_counter()
            classifier.answer(square[None], views)
            times.append(time.perf_counter() - began)
        print(
            f"{views:5d}  {report['balanced_accuracy']:17.3f}  {report['macro_auc']:9.4f}  {report['macro_f1']:8.3f}  "
            f"{report['log_loss']:8.4f}  {report['malignant']['auc']:13.4f}  {1000 * np.median(times):12.1f}"
        )


if __name__ == "__main__":
    main()
