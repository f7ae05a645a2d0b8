"""Measure a model on labelled images that it has never met."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model.bundle import Bundle
from skin_model.dataset import ham10000
from skin_model.dataset.labels import class_indices, is_malignant
from skin_model.errors import DatasetError
from skin_model.evaluation import metrics, report
from skin_model.inference import Classifier
from skin_model.services import prediction

OnProgress = Callable[[int, int], None]  # (done, total)
PIXEL_DIGITS = 16  # of the pixels' SHA-256 kept in a bundle: no chance match among ten thousand images


def evaluate(
    *,
    classifier: Classifier,
    images: Path,
    labels: Path,
    allow_seen: bool = False,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """The report of `evaluate --json`, every figure by the function that the analyse page calls.

    Args:
        classifier: the model.
        images: folder searched for the images.
        labels: HAM10000 metadata or one-hot ISIC ground truth.
        allow_seen: score also images that the model met in training, validation or calibration.
        on_progress: told of images done and their number.

    Raises:
        DatasetError: unusable labels, unreadable images, or nothing left to score.
    """
    table = ham10000.read_labelled(images, labels).table
    return score(classifier=classifier, table=table, allow_seen=allow_seen, on_progress=on_progress)


def score(
    *,
    classifier: Classifier,
    table: pd.DataFrame,
    allow_seen: bool = False,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """As `evaluate`, for the rows of a table with image_id, lesion_id, dx and path."""
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
    found = _figures(classifier, scored.iloc[positions], logits)
    found |= {"n_excluded_seen": len(table) - len(positions), "model_version": classifier.manifest.model_version}
    return found | ({"allow_seen": True} if allow_seen else {})


def _figures(classifier: Classifier, table: pd.DataFrame, logits: np.ndarray) -> dict[str, Any]:
    """Figures with intervals from the model's logits for the rows of a table."""
    probabilities = classifier.probabilities(logits)
    threshold = classifier.manifest.threshold
    labels = class_indices(table["dx"])
    lesions = table["lesion_id"]
    # an image of an unknown lesion counts as a lesion of its own
    groups = lesions.fillna(table["image_id"]).to_numpy() if lesions.notna().any() else None
    if classifier.manifest.task == "binary":
        malignant = is_malignant(labels)
        found = metrics.score_binary(malignant, probabilities[:, 0], threshold=threshold)
        intervals = metrics.bootstrap_binary(malignant, probabilities[:, 0], groups, threshold=threshold)
    else:
        found = metrics.score(labels, probabilities, threshold=threshold)
        intervals = metrics.bootstrap(labels, probabilities, groups, threshold=threshold)
    return found | {"intervals": intervals}


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
