"""Why published accuracies of plain networks on HAM10000 look so high, and what is left of them on unseen lesions.

    python -m benchmarks.published_claims leak --data ../shared/data/ham10000 --split SPLIT.csv --out LEAKY.csv
    python -m benchmarks.published_claims measure --data ../shared/data/ham10000 --split SPLIT.csv RUN RUN ...

`leak` keeps the test part of an honest split apart and does to all other images what many have done to the whole data
set: repeats those of rare classes until all classes are equally common, then divides the rows by chance, not by lesion.
`measure` prints what networks trained on either split come to on their own training and validation images and on
the honest test part: accuracy as others publish it, one view, and balanced accuracy.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from skin_model.dataset import ham10000, splits
from skin_model.dataset.labels import class_indices, oversampled
from skin_model.evaluation import calibration, metrics
from skin_model.services.teaching import answers
from skin_model.training.state import read_state

MOST = 4000  # training images that are asked, drawn by chance: their accuracy needs no more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, work in (("leak", leak), ("measure", measure)):
        command = commands.add_parser(name)
        command.add_argument("--data", type=Path, required=True)
        command.add_argument("--split", type=Path, required=True, help="the honest split")
        command.set_defaults(run=work)
    commands.choices["leak"].add_argument("--out", type=Path, required=True)
    commands.choices["measure"].add_argument("runs", type=Path, nargs="+", metavar="RUN")
    options = parser.parse_args()
    options.run(options)


def leak(options: argparse.Namespace) -> None:
    """Write the leaky split."""
    split = splits.read(options.split)
    kept = split[split["part"].isin(["test", "calibration"])]
    rest = split[split["part"].str.startswith("fold")]
    copies = rest.iloc[oversampled(rest["dx"], 1.0, seed=0)]
    folds = np.random.default_rng(0).integers(0, 5, len(copies))
    splits.write(pd.concat([kept, copies.assign(part=[f"fold{fold}" for fold in folds])]), options.out)
    met = copies["image_id"][folds == 0].isin(copies["image_id"][folds != 0]).mean()
    print(f"{len(copies)} rows of {len(rest)} images; {100 * met:.0f} % of fold0's rows are copies of training rows")


def measure(options: argparse.Namespace) -> None:
    """Print a line per run."""
    table = ham10000.read(options.data).table
    test = table[splits.assign(table, splits.read(options.split)) == "test"]
    print("training  validation  test accuracy; balanced accuracy: validation   test")
    for run in options.runs:
        config = read_state(run).config
        rows = splits.place(table, splits.read(run / "split.csv", leaky=True))
        learned = rows[rows["part"].str.startswith("fold") & (rows["part"] != config.validation)]
        learned = learned.sample(min(MOST, len(learned)), random_state=0)
        scores = [score(run, part) for part in (learned, rows[rows["part"] == config.validation], test)]
        shown = "  ".join(f"{s['accuracy']:.3f}" for s in scores)
        print(f"{shown};  {scores[1]['balanced_accuracy']:.3f}  {scores[2]['balanced_accuracy']:.3f}  {run.name}")


def score(run: Path, rows: pd.DataFrame) -> dict[str, float]:
    """A run's figures on the rows of a table, one view; each picture is judged once, however often it stands there."""
    once = rows.drop_duplicates("image_id").set_index("image_id", drop=False)
    logits = answers(run, once, 1, lambda *_: None)
    every = logits[once.index.get_indexer(rows["image_id"])]
    return metrics.score(class_indices(rows["dx"]), calibration.softmax(every, 1.0), threshold=0.5)


if __name__ == "__main__":
    main()
