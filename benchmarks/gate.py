"""Whom the gate refuses: lesions the model never met, and pictures that are no dermoscopy.

    python -m benchmarks.gate --data ../shared/data/ham10000 --split ../shared/data/ham10000_split.csv \\
        --second ../shared/data/isic2018_task3_validation

The limits were set on calibration lesions when the model was made; nothing here sets any.  With --part fold0 or
calibration instead of test the method can be chosen without looking at the test part.
"""

import argparse
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.counter_examples import counter_examples
from skin_model import bundle, imaging, settings
from skin_model.dataset import ham10000, splits
from skin_model.dataset.drawn import draw_lesion
from skin_model.dataset.layout import image_files
from skin_model.entities import OUTCOMES
from skin_model.inference import Classifier
from skin_model.services.gate import Gate
from skin_model.services.gate import square as gated_square
from skin_model.taxonomy import CODES

BATCH = 32
DRAWN = 20  # lesions of each class


@dataclass(frozen=True)
class Checked:
    """Pictures after the gate: strangeness (N,), outcomes, and what each was said to have."""

    strangeness: np.ndarray
    outcomes: list[str]
    findings: list[list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--second", type=Path, help="a folder of dermoscopic pictures from elsewhere")
    parser.add_argument("--part", default="test")
    parser.add_argument("--seed", type=int, default=0, help="of the counter-examples that are made, and of all cuts")
    parser.add_argument("--model", type=Path, default=settings.load().bundle)
    options = parser.parse_args()
    classifier = Classifier(bundle.read(options.model))
    gate = Gate(classifier.bundle)
    if gate.references is None:
        parser.error(f"The model in {options.model} carries no references; make the bundle again.")
    print(f"{classifier.manifest.model_version}: {len(gate.references.images)} cases, limits {gate.references.limits}")
    table = ham10000.read(options.data).table
    table = table[splits.assign(table, splits.read(options.split)) == options.part]
    real = checked(classifier, gate, (imaging.read(path).pixels for path in table["path"]))
    print(f"\n| pictures | number | {' | '.join(OUTCOMES)} | AUROC against {options.part} | found as |")
    print("|---" * (5 + len(OUTCOMES)) + "|")
    row(f"{options.part} part", real)
    for code in CODES:
        row(f"- {code}", chosen(real, (table["dx"] == code).to_numpy()))
    if options.second:
        row("second source", checked(classifier, gate, (imaging.read(p).pixels for p in image_files(options.second))))
    drawn = (draw_lesion(code, seed=seed)[0] for seed in range(DRAWN) for code in CODES)
    row("drawn lesions", checked(classifier, gate, drawn))
    counter = list(counter_examples(options.seed))
    strange = checked(classifier, gate, (one.pixels for one in counter))
    families = np.array([one.family for one in counter])
    row("no dermoscopy", strange, real)
    for family in sorted(set(families)):
        row(f"- {family}", chosen(strange, families == family), real)


def checked(classifier: Classifier, gate: Gate, pictures: Iterable[np.ndarray]) -> Checked:
    squares, gated = [], []
    for pixels in pictures:
        squares.append(imaging.centre(imaging.fit(pixels, classifier.manifest.size)))
        gated.append(gated_square(pixels, squares[-1]))
    strangeness, outcomes, findings = [], [], []
    for start in range(0, len(squares), BATCH):
        stack = np.stack(squares[start : start + BATCH])
        embeddings = classifier.answer(stack, views=1).embeddings
        strangeness += [found.strangeness for found in gate.references.look_up(embeddings)]
        reports = [report for report, _ in gate.check(gated[start : start + BATCH], embeddings)]
        outcomes += [report.outcome for report in reports]
        findings += [[finding.name for finding in report.findings] for report in reports]
    return Checked(np.array(strangeness), outcomes, findings)


def chosen(found: Checked, which: np.ndarray) -> Checked:
    places = np.flatnonzero(which)
    return Checked(found.strangeness[places], [found.outcomes[i] for i in places], [found.findings[i] for i in places])


def row(name: str, found: Checked, real: Checked | None = None) -> None:
    count = len(found.outcomes)
    shares = Counter(found.outcomes)
    area = ""
    if real is not None:
        labels = np.r_[np.zeros(len(real.outcomes)), np.ones(count)]
        area = f"{roc_auc_score(labels, np.r_[real.strangeness, found.strangeness]):.4f}"
    names = Counter(name for one in found.findings for name in one).most_common(5)
    listed = ", ".join(f"{what} {100 * times / count:.1f} %" for what, times in names)
    columns = " | ".join(f"{100 * shares[outcome] / count:.1f} %" for outcome in OUTCOMES)
    print(f"| {name} | {count} | {columns} | {area} | {listed} |", flush=True)


if __name__ == "__main__":
    main()
