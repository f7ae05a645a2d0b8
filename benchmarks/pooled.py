"""What do the networks of cross-validations come to on all lesions of the folds, alone or several averaged?

    python -m benchmarks.pooled --data ../shared/data/ham10000 --split ../shared/data/ham10000_split.csv ANSWERS ...
    python -m benchmarks.pooled ... ANSWERS ... --against ANSWERS ...

Every lesion is answered by the networks that did not learn from it.  ANSWERS is the folder of a `crossval --views 4`,
or a file that `--keep FILE` wrote of one: docs/answers has those that docs/experiments.md tells of, so that their
figures can be had without the hours of training.  Log probabilities of several are averaged; temperatures and
operating point come from the calibration part, prediction sets from that and the other folds, as in `crossval`.
`--against` compares with the mean of others instead: differences by paired bootstrap over lesions, and the folds in
which the first are better.  `--reviewed docs/ham10000_lookalikes.csv` leaves out the lesions that are in another fold
too, under another lesion id.  The test part is not touched.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from skin_model.dataset import ham10000, lookalikes, splits
from skin_model.dataset.labels import class_indices
from skin_model.evaluation import calibration, paired
from skin_model.recipe import TrainingConfig
from skin_model.services.crossval import LOGS, PROBABILITIES, answers_file, pooled, read_answers, rows, truth

VIEWS = 4
KEY = ["fold", "image_id"]
COMPARED = ("balanced_accuracy", "macro_auc", "macro_f1", "malignant.auc", "per_class.mel.recall", "log_loss", "ece")
MIDDLE = 0.5  # the figures compared need no operating point


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--reviewed", type=Path, metavar="CSV", help="leave out confirmed look-alikes of other folds")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the (mean) answers there, as CSV.gz")
    parser.add_argument("--against", type=Path, nargs="+", metavar="ANSWERS", help="compare with the mean of these")
    parser.add_argument("answers", type=Path, nargs="+", metavar="ANSWERS")
    options = parser.parse_args()
    split = splits.read(options.split)
    table = splits.place(ham10000.read(options.data).table, split)
    if options.reviewed:
        again = in_another_fold(table, lookalikes.read_review(options.reviewed))
        print(f"Left out: {again.sum()} images of {table['lesion_id'][again].nunique()} lesions.")
        table = table[~again]
    mean = mean_of(options.answers)
    answered = calibrated(mean, table)
    if options.against:
        other = mean_of(options.against)
        if set(other.index) != set(mean.index):
            sys.exit("What is compared must be of the same folds and images. Finish each cross-validation first.")
        compare(calibrated(other.loc[mean.index], table), answered)
        return
    if options.keep:
        mean.round(4).to_csv(options.keep)
    trained: dict[str, dict[str, int]] = {fold: {} for fold in sorted(answered["fold"].unique())}
    text = io.StringIO(answered.to_csv(index=False))
    for name, *values in rows(pooled(TrainingConfig(), splits.fingerprint(split), VIEWS, [text], trained)):
        print(f"{name:<52}" + "".join(f"{value:>18}" for value in values))


def mean_of(places: list[Path]) -> pd.DataFrame:
    """Mean log probabilities (n, 7) of the answers kept in each place, by fold and image."""
    found = [logits(place) for place in places]
    if any(set(one.index) != set(found[0].index) for one in found):
        sys.exit("These answers are not of the same folds and images. Finish each cross-validation first.")
    return sum(one.loc[found[0].index] for one in found) / len(found)


def logits(place: Path) -> pd.DataFrame:
    """Log probabilities (n, 7) of what each fold's network answered, by fold and image."""
    files = sorted(answers_file(fold, VIEWS) for fold in place.glob("fold?")) if place.is_dir() else [place]
    return pd.concat([read_answers(file) for file in files]).set_index(KEY)[LOGS]


def calibrated(mean: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The answers for the rows of a table, with each fold's temperature and probabilities."""
    answered = mean.reset_index().merge(table[["image_id", "lesion_id", "dx", "part"]], on="image_id")
    folds = []
    for _, of_fold in answered.groupby("fold"):
        fitted_on = of_fold[of_fold["part"] == "calibration"]
        temperature = calibration.fit_temperature(fitted_on[LOGS].to_numpy(), class_indices(fitted_on["dx"]))
        probabilities = calibration.softmax(of_fold[LOGS].to_numpy(), temperature)
        folds.append(of_fold.assign(temperature=temperature, **dict(zip(PROBABILITIES, probabilities.T, strict=True))))
    return pd.concat(folds)


def in_another_fold(table: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """Which rows are of a lesion that has a confirmed look-alike in another fold, bool by row."""
    of = table.set_index("image_id")[["lesion_id", "part"]]
    one, other = (of.loc[pairs[name]].reset_index(drop=True) for name in ("image_a", "image_b"))
    folds = one["part"].str.startswith("fold") & other["part"].str.startswith("fold")
    apart = folds & (one["part"] != other["part"])
    return table["lesion_id"].isin(pd.concat([one["lesion_id"][apart], other["lesion_id"][apart]]))


def compare(first: pd.DataFrame, second: pd.DataFrame) -> None:
    """Print each figure of both, second less first with its interval, and in how many folds the second is better."""
    first, second = (answered[answered["part"] != "calibration"] for answered in (first, second))
    labels, one = truth(first)
    other = truth(second)[1]
    folds = sorted(first["fold"].unique())
    lesions = splits.lesions(first).to_numpy()

    def of(rows: np.ndarray, samples: int) -> dict:
        answers = (paired.Answer(probabilities[rows], MIDDLE) for probabilities in (one, other))
        return paired.compare(labels[rows], *answers, lesions[rows], samples=samples)

    everything = of(np.ones(len(labels), bool), 1000)
    by_fold = [of((first["fold"] == fold).to_numpy(), 10) for fold in folds]
    print(f"{'figure':<30}{'against':>9}{'now':>9}{'difference':>12}{'95 % interval':>20}  folds better")
    for key in COMPARED:
        sign = -1 if key in paired.CALIBRATION else 1
        better = sum(sign * fold[key]["difference"] > 0 for fold in by_fold)
        found = everything[key]
        low, high = found["interval"]
        print(
            f"{paired.HEADLINES[key]:<30}{found['first']:>9.3f}{found['second']:>9.3f}{found['difference']:>+12.4f}"
            f"{f'{low:+.4f} to {high:+.4f}':>20}  {better} of {len(folds)}"
        )


if __name__ == "__main__":
    main()
