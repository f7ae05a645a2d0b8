"""What do the networks of cross-validations come to on all lesions of the folds, alone or several averaged?

    python -m benchmarks.pooled --data ../shared/data/ham10000 --split ../shared/data/ham10000_split.csv ANSWERS ...

Every lesion is answered by the networks that did not learn from it.  ANSWERS is the folder of a `crossval --views 4`,
or a file that `--keep FILE` wrote of one: docs/answers has those that docs/experiments.md tells of, so that their
figures can be had without the hours of training.  Log probabilities of several are averaged; temperatures and
operating point come from the calibration part, prediction sets from that and the other folds, as in `crossval`.  The
test part is not touched.
"""

import argparse
import io
import sys
from pathlib import Path

import pandas as pd

from skin_model.dataset import ham10000, splits
from skin_model.dataset.labels import class_indices
from skin_model.evaluation import calibration
from skin_model.recipe import TrainingConfig
from skin_model.services.crossval import LOGS, PROBABILITIES, answers_file, pooled, read_answers, rows

VIEWS = 4
KEY = ["fold", "image_id"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the (mean) answers there, as CSV.gz")
    parser.add_argument("answers", type=Path, nargs="+", metavar="ANSWERS")
    options = parser.parse_args()
    found = [logits(place) for place in options.answers]
    if any(set(one.index) != set(found[0].index) for one in found):
        sys.exit("These answers are not of the same folds and images. Finish each cross-validation first.")
    mean = sum(one.loc[found[0].index] for one in found) / len(found)
    if options.keep:
        mean.round(4).to_csv(options.keep)
    split = splits.read(options.split)
    table = splits.place(ham10000.read(options.data).table, split)
    answered = calibrated(mean.reset_index().merge(table[["image_id", "lesion_id", "dx", "part"]], on="image_id"))
    trained: dict[str, dict[str, int]] = {fold: {} for fold in sorted(answered["fold"].unique())}
    text = io.StringIO(answered.to_csv(index=False))
    for name, *values in rows(pooled(TrainingConfig(), splits.fingerprint(split), VIEWS, [text], trained)):
        print(f"{name:<52}" + "".join(f"{value:>18}" for value in values))


def logits(place: Path) -> pd.DataFrame:
    """Log probabilities (n, 7) of what each fold's network answered, by fold and image."""
    files = sorted(answers_file(fold, VIEWS) for fold in place.glob("fold?")) if place.is_dir() else [place]
    return pd.concat([read_answers(file) for file in files]).set_index(KEY)[LOGS]


def calibrated(answered: pd.DataFrame) -> pd.DataFrame:
    """The answers with each fold's temperature and probabilities."""
    folds = []
    for _, of_fold in answered.groupby("fold"):
        fitted_on = of_fold[of_fold["part"] == "calibration"]
        temperature = calibration.fit_temperature(fitted_on[LOGS].to_numpy(), class_indices(fitted_on["dx"]))
        probabilities = calibration.softmax(of_fold[LOGS].to_numpy(), temperature)
        folds.append(of_fold.assign(temperature=temperature, **dict(zip(PROBABILITIES, probabilities.T, strict=True))))
    return pd.concat(folds)


if __name__ == "__main__":
    main()
