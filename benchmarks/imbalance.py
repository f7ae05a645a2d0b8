"""Which class weights serve best?  The last layers of a cross-validation's networks, fitted anew with each.

    python -m benchmarks.imbalance --data ../shared/data/ham10000 CROSSVAL

Every network stays as it is, trained without its fold; only what turns its embedding into probabilities is fitted
again on the lesions that it learned from (`--refit`), counted by class weights of several kinds.  Figures are of the
folds left out, all together, one view, at the temperature that the calibration part gives each network: melanomas that
are named, that are referred at a malignant specificity of 0.85, and specificity at a sensitivity of 0.95.  Last, in how
many folds log loss and balanced accuracy are better than with the weights that the networks were trained with.  The
test part is not touched.
"""

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model.dataset import ham10000, splits
from skin_model.dataset.labels import class_indices
from skin_model.evaluation import calibration, metrics
from skin_model.evaluation.decisions import AtFixedRates
from skin_model.evaluation.scored import Scored
from skin_model.services import training
from skin_model.services.teaching import answers
from skin_model.training.state import read_state, write_state

KINDS = ("none", "sqrt-class-weights", "class-weights")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--penalty", type=float, default=0.3)
    parser.add_argument("crossval", type=Path, metavar="CROSSVAL")
    options = parser.parse_args()
    runs = sorted(path.parent for path in options.crossval.glob("fold?/run.json"))
    table = splits.place(ham10000.read(options.data).table, splits.read(options.crossval / "split.csv"))
    kept = read_state(runs[0]).config.balance
    if read_state(runs[0]).config.refit:
        sys.exit("The last layers of these networks are fitted anew already. Give a cross-validation without --refit.")
    if kept not in KINDS:
        sys.exit(f"These networks were trained with {kept}; give a cross-validation with one of {', '.join(KINDS)}.")
    found = {kind: [refitted(run, kind, options.penalty, options.data, table) for run in runs] for kind in KINDS}
    by_fold = {kind: [figures(*of_fold) for of_fold in folds] for kind, folds in found.items()}
    print(f"{len(runs)} folds, networks trained with {kept}")
    print("log loss  macro AUC  balanced acc.  macro F1    ECE  mel named  mel referred  specificity  folds better")
    for kind, folds in found.items():
        rows, p = pd.concat([rows for rows, _ in folds]), np.concatenate([p for _, p in folds])
        scored = Scored.of(class_indices(rows["dx"]), p, splits.lesions(rows).to_numpy())
        s = figures(rows, p)
        named = s["per_class"]["mel"]["recall"]
        fixed = {key: of[0] for key, of in AtFixedRates(scored).figures(np.ones((1, len(rows)))).items()}
        pairs = list(zip(by_fold[kind], by_fold[kept], strict=True))
        less_loss = sum(new["log_loss"] < old["log_loss"] for new, old in pairs)
        more_recall = sum(new["balanced_accuracy"] > old["balanced_accuracy"] for new, old in pairs)
        print(
            f"{s['log_loss']:8.3f}  {s['macro_auc']:9.4f}  {s['balanced_accuracy']:13.3f}  {s['macro_f1']:8.3f}  "
            f"{s['ece']:5.3f}  {named:9.3f}  {fixed['melanoma_recall_at_specificity']:12.3f}  "
            f"{fixed['specificity_at_sensitivity']:11.3f}  {less_loss}, {more_recall}           {kind}"
        )


def refitted(run: Path, kind: str, penalty: float, data: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows of a run's validation fold, and its probabilities (N, 7) for them with the last layer fitted anew."""
    with tempfile.TemporaryDirectory(dir=run.parent) as name:
        folder = Path(name)
        shutil.copy(run / "best.keras", folder)
        shutil.copy(run / "split.csv", folder)
        state = read_state(run)
        config = replace(state.config, balance=kind, refit=penalty)
        write_state(replace(state, config=config, refitted=None), folder)
        training.train(data=data, folder=folder, config=config, resume=True, guard=False)
        fold, fitted_on = (table[table["part"] == part] for part in (config.validation, "calibration"))
        logits = [answers(folder, rows, 1, lambda *_: None) for rows in (fitted_on, fold)]
    temperature = calibration.fit_temperature(logits[0], class_indices(fitted_on["dx"]))
    return fold, calibration.softmax(logits[1], temperature)


def figures(rows: pd.DataFrame, probabilities: np.ndarray) -> dict[str, Any]:
    return metrics.score(class_indices(rows["dx"]), probabilities, threshold=0.5)


if __name__ == "__main__":
    main()
