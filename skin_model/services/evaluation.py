"""Measure a model on labelled images that it has never met."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model import files
from skin_model.bundle import Bundle
from skin_model.dataset import ham10000
from skin_model.dataset.labels import class_indices, is_malignant
from skin_model.errors import DatasetError
from skin_model.evaluation import metrics, report
from skin_model.evaluation.details import measure
from skin_model.evaluation.scored import Scored
from skin_model.inference import Classifier
from skin_model.services import prediction

OnProgress = Callable[[int, int], None]  # (done, total)
PIXEL_DIGITS = 16  # of the pixels' SHA-256 kept in a bundle: no chance match among ten thousand images


@dataclass(frozen=True)
class Answered:
    """A model's answers for the images that may be scored.

    Attributes:
        table: their rows.
        logits: float64 (n, K).
        excluded: number of images left out because the model had met them.
        allow_seen: whether such images were scored all the same.
    """

    table: pd.DataFrame
    logits: np.ndarray
    excluded: int
    allow_seen: bool = False


def evaluate(
    *,
    classifier: Classifier,
    images: Path,
    labels: Path,
    allow_seen: bool = False,
    on_progress: OnProgress | None = None,
    report_folder: Path | None = None,
) -> dict[str, Any]:
    """The report of `evaluate --json`, every figure by the function that the analyse page calls.

    Args:
        classifier: the model.
        images: folder searched for the images.
        labels: HAM10000 metadata or one-hot ISIC ground truth.
        allow_seen: score also images that the model met in training, validation or calibration.
        on_progress: told of images done and their number.
        report_folder: also write the detailed report there: report.html for people, report.json for programs.

    Raises:
        DatasetError: unusable labels, unreadable images, or nothing left to score.
        BusyError: another process is writing to the folder.
    """
    with files.held(report_folder) if report_folder else nullcontext():
        table = ham10000.read_labelled(images, labels).table
        answered = answer(classifier=classifier, table=table, allow_seen=allow_seen, on_progress=on_progress)
        found = figures(classifier, answered)
        if report_folder:
            _write_report(report_folder, found, details(classifier, answered), answered.table)
    return found


def score(
    *,
    classifier: Classifier,
    table: pd.DataFrame,
    allow_seen: bool = False,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """As `evaluate`, for the rows of a table with image_id, lesion_id, dx and path."""
    answered = answer(classifier=classifier, table=table, allow_seen=allow_seen, on_progress=on_progress)
    return figures(classifier, answered)


def answer(
    *,
    classifier: Classifier,
    table: pd.DataFrame,
    allow_seen: bool = False,
    on_progress: OnProgress | None = None,
) -> Answered:
    """The model's answers for the rows of a table with image_id, lesion_id, dx and path, seen images left out.

    Raises:
        DatasetError: images cannot be read, or nothing is left to score.
    """
    scored, seen_pixels = table, frozenset[str]()
    if not allow_seen:
        seen = read_seen(classifier.bundle)
        known = table["image_id"].isin(seen["image_id"])
        known |= table["lesion_id"].notna() & table["lesion_id"].isin(seen["lesion_id"].dropna())
        scored, seen_pixels = table[~known], frozenset(seen["pixels"])
    positions, logits = answer_rows(classifier, scored, seen_pixels, on_progress)
    if not positions:
        raise DatasetError(
            f"The model {classifier.manifest.model_version} has met all {len(table)} images in its training; "
            "nothing is left to score honestly. Give other images, or add --allow-seen to score them all the same."
        )
    return Answered(scored.iloc[positions], logits, len(table) - len(positions), allow_seen)


def figures(classifier: Classifier, answered: Answered) -> dict[str, Any]:
    """Figures with intervals, under the keys of `evaluate --json`."""
    probabilities = classifier.probabilities(answered.logits)
    threshold = classifier.manifest.threshold
    labels, groups = class_indices(answered.table["dx"]), lesion_groups(answered.table)
    if classifier.manifest.task == "binary":
        malignant = is_malignant(labels)
        found = metrics.score_binary(malignant, probabilities[:, 0], threshold=threshold)
        intervals = metrics.bootstrap_binary(malignant, probabilities[:, 0], groups, threshold=threshold)
    else:
        found = metrics.score(labels, probabilities, threshold=threshold)
        intervals = metrics.bootstrap(labels, probabilities, groups, threshold=threshold)
    found |= {"intervals": intervals, "n_excluded_seen": answered.excluded}
    found |= {"model_version": classifier.manifest.model_version}
    return found | ({"allow_seen": True} if answered.allow_seen else {})


def details(classifier: Classifier, answered: Answered) -> dict[str, Any]:
    """Everything else that can be measured on the same answers: see `evaluation.details.measure`."""
    manifest, table = classifier.manifest, answered.table
    thresholds = {"sensitive": manifest.threshold}
    if manifest.balanced_threshold is not None:
        thresholds["balanced"] = manifest.balanced_threshold
    scored = Scored.of(class_indices(table["dx"]), classifier.probabilities(answered.logits), lesion_groups(table))
    return measure(scored, table, thresholds=thresholds, sets=manifest.prediction_sets)


def lesion_groups(table: pd.DataFrame) -> np.ndarray | None:
    """The lesion of each row, an image of an unknown one counting as a lesion of its own; None where none is known."""
    lesions = table["lesion_id"]
    return lesions.fillna(table["image_id"]).to_numpy() if lesions.notna().any() else None


def _write_report(folder: Path, found: dict[str, Any], detailed: dict[str, Any], table: pd.DataFrame) -> None:
    from skin_model.services import report_page  # Plotly, which measuring alone need not wait for

    page = report_page.html(found, detailed, source=ham10000.source_name(table))
    with files.whole(folder / "report.html") as of_page, files.whole(folder / "report.json") as of_figures:
        of_figures.write_text(json.dumps(found | {"details": detailed}, indent=1) + "\n", encoding="utf-8")
        of_page.write_text(page, encoding="utf-8")


def rows(evaluation: dict[str, Any]) -> list[tuple[str, str, str]]:
    """A report as lines (figure, value, 95 % interval) in reading order."""
    return report.table(evaluation)


def read_seen(made: Bundle) -> pd.DataFrame:
    """The images that a bundle's model has met: image_id, lesion_id, pixels (hash), part."""
    return pd.read_csv(made.path("seen.csv.gz"), dtype=str)


def answer_rows(
    classifier: Classifier,
    table: pd.DataFrame,
    seen_pixels: frozenset[str] = frozenset(),
    on_progress: OnProgress | None = None,
) -> tuple[list[int], np.ndarray]:
    """The model's logits for the rows of a table.

    Args:
        classifier: the model.
        table: with column `path`.
        seen_pixels: leave out images whose pixel hash, cut to `PIXEL_DIGITS`, is among these.
        on_progress: told of images done and their number.

    Returns:
        Positions of the rows answered, and logits float64 (n, K) for them.

    Raises:
        DatasetError: where images cannot be read.
    """
    rows: list[int] = []
    logits: list[np.ndarray] = []
    loaded = prediction.load(table["path"], classifier.manifest.size, with_pixels=bool(seen_pixels))
    for start, group in enumerate(prediction.batches(prediction.readable(loaded))):
        squares = []
        for position, item in enumerate(group, start * prediction.BATCH):
            if item.pixels[:PIXEL_DIGITS] not in seen_pixels:
                squares.append(item.square)
                rows.append(position)
        if squares:
            logits.append(classifier.answer(np.stack(squares)).logits)
        if on_progress:
            on_progress(start * prediction.BATCH + len(group), len(table))
    return rows, np.concatenate(logits) if logits else np.empty((0, len(classifier.manifest.labels)))
