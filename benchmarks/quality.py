"""What the quality gate finds on good and on spoiled pictures, and what becomes of the network's answers meanwhile.

    python -m benchmarks.quality --data ../shared/data/ham10000 --split ../shared/data/ham10000_split.csv --model MODEL

The limits in `skin_model/quality.py` were set on these tables: one picture of each of `--lesions` lesions of the
validation fold of a model that left one out, which chose its best epoch and taught it nothing.  The test part is not
touched.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.degradations import KINDS, spoiled
from skin_model import bundle, imaging, quality, settings
from skin_model.dataset import ham10000, splits
from skin_model.dataset.labels import class_indices, is_malignant
from skin_model.entities import CARE, FINE, REFUSED, Prediction
from skin_model.inference import Classifier
from skin_model.measures import measures
from skin_model.services.gate import square as gated_square

BATCH = 32
SHARES = (0.0, 0.005, 0.02, 0.5, 0.98, 0.995, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=settings.load().bundle)
    parser.add_argument("--lesions", type=int, default=300)
    options = parser.parse_args()
    classifier = Classifier(bundle.read(options.model))
    table = _chosen(options.data, options.split, classifier.manifest.data["validation"], options.lesions)
    if table.empty:
        sys.exit("This model was trained on all folds: no picture is left to look at. Name another with --model.")
    pictures = [imaging.read(path).pixels for path in table["path"]]
    good = [_square(pixels, classifier.manifest.size) for pixels in pictures]
    _print_measures([gated_square(*pair) for pair in zip(pictures, good, strict=True)])
    print(f"\n{len(good)} lesions: share with each outcome, findings, and the answers beside those on the good ones")
    print(
        "| spoiled by | strength | fine | use with care | not judged | found as | malignant AUC | decisions changed |"
    )
    print("|---|---|---|---|---|---|---|---|")
    clean = _answers(classifier, good)
    _print_row("nothing", "", pictures, good, clean, clean, table)
    for kind in KINDS:
        for strength in (1, 2, 3):
            bad = [spoiled(pixels, kind, strength, seed) for seed, pixels in enumerate(pictures)]
            squares = [_square(pixels, classifier.manifest.size) for pixels in bad]
            _print_row(kind, strength, bad, squares, _answers(classifier, squares), clean, table)


def _chosen(data: Path, split: Path, part: str, lesions: int) -> pd.DataFrame:
    table = ham10000.read(data).table
    own = table[splits.assign(table, splits.read(split)) == part].drop_duplicates("lesion_id")
    return own.sample(min(lesions, len(own)), random_state=0).reset_index(drop=True)


def _square(pixels: np.ndarray, size: int) -> np.ndarray:
    return imaging.centre(imaging.fit(pixels, size))


def _answers(classifier: Classifier, squares: list[np.ndarray]) -> list[Prediction]:
    found: list[Prediction] = []
    for start in range(0, len(squares), BATCH):
        logits = classifier.answer(np.stack(squares[start : start + BATCH]), views=1).logits
        manifest = classifier.manifest
        found += [Prediction(p, manifest.threshold, manifest.model_version) for p in classifier.probabilities(logits)]
    return found


def _print_measures(squares: list[np.ndarray]) -> None:
    measured = pd.DataFrame([measures(square) for square in squares])
    print("| measure on good pictures | " + " | ".join(f"{100 * share:g} %" for share in SHARES) + " |")
    print("|---" * (1 + len(SHARES)) + "|")
    for name in measured:
        print(f"| {name} | " + " | ".join(f"{v:.3g}" for v in measured[name].quantile(SHARES)) + " |")


def _print_row(
    kind: str, strength: object, pictures: list[np.ndarray], squares: list[np.ndarray], answers: list[Prediction],
    clean: list[Prediction], table: pd.DataFrame,
) -> None:  # fmt: skip
    reports = [quality.inspect(gated_square(*pair)) for pair in zip(pictures, squares, strict=True)]
    outcomes = pd.Series([report.outcome for report in reports]).value_counts(normalize=True)
    names = pd.Series([finding.name for report in reports for finding in report.findings]).value_counts() / len(squares)
    found = ", ".join(f"{name} {share:.2f}" for name, share in names.items() if share >= 0.02)
    malignant = is_malignant(class_indices(table["dx"]))
    auc = roc_auc_score(malignant, [answer.malignant_probability for answer in answers])
    changed = np.mean([one.refer != other.refer for one, other in zip(answers, clean, strict=True)])
    shares = " | ".join(f"{outcomes.get(outcome, 0):.3f}" for outcome in (FINE, CARE, REFUSED))
    print(f"| {kind} | {strength} | {shares} | {found} | {auc:.3f} | {changed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
