"""Which network is better, or several together?  Figures for each run and for all of them averaged.

    python -m benchmarks.ensembles --data ../shared/data/ham10000 RUN RUN ...

On the fold that all runs keep apart, or, for runs that learned from all folds, on the calibration part.  A run that
takes the patient is given him or her.  Log probabilities are averaged over the views, then over the networks, and
every line is at its own best temperature.  The test part is not touched.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from skin_model.dataset import ham10000, splits
from skin_model.dataset.labels import class_indices
from skin_model.evaluation import calibration, metrics
from skin_model.inference import VIEWS
from skin_model.services.teaching import answers
from skin_model.training.state import read_state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--views", type=int, default=4, choices=VIEWS)
    options = parser.parse_args()
    if len({run.resolve() for run in options.runs}) < len(options.runs):
        sys.exit("A run is named twice.")
    folds = {(read_state(run).split, read_state(run).config.validation) for run in options.runs}
    if len(folds) > 1:
        sys.exit("The runs keep different folds apart: no picture is new to all of them.")
    fold = next(iter(folds))[1]
    part = "calibration" if fold == "none" else fold
    table = ham10000.read(options.data).table
    table = table[splits.assign(table, splits.read(options.runs[0] / "split.csv")) == part]
    labels = class_indices(table["dx"])
    print(f"{len(table)} images of {part}, {options.views} views")
    print("balanced accuracy  macro AUC  macro F1  log loss  malignant AUC")
    logits = {str(run): answers(run, table, options.views, lambda *_: None) for run in options.runs}
    for name, values in {**logits, "all": np.mean(list(logits.values()), axis=0)}.items():
        p = calibration.softmax(values, calibration.fit_temperature(values, labels))
        s = metrics.score(labels, p, threshold=0.5)
        print(
            f"{s['balanced_accuracy']:17.3f}  {s['macro_auc']:9.4f}  {s['macro_f1']:8.3f}  {s['log_loss']:8.4f}  "
            f"{s['malignant']['auc']:13.4f}  {name}"
        )


if __name__ == "__main__":
    main()
