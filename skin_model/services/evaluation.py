"""Measure a model on labelled images that it has never met."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model.bundle import Bundle
from skin_model.dataset import ham10000
from skin_model.errors import DatasetError
from skin_model.evaluation import metrics
from skin_model.inference import Classifier
from skin_model.services import prediction
from skin_model.taxonomy import BY_CODE, DIAGNOSES

PIXEL_DIGITS = 16  # of the pixels' SHA-256 kept in a bundle: no chance match among ten thousand images


def evaluate(
    *, bundle: Bundle, classifier: Classifier, images: Path, labels: Path, allow_seen: bool = False
) -> dict[str, Any]:
    """The report of `evaluate --json`, every figure by the function that the analyse page calls.

    Args:
        bundle, classifier: the model.
        images: folder searched for the images.
        labels: HAM10000 metadata or one-hot ISIC ground truth.
        allow_seen: score also images that the model met in training, validation or calibration.

    Raises:
        DatasetError: unusable labels, unreadable images, or nothing left to score.
    """
    table = ham10000.read_labelled(images, labels).table
    seen = read_seen(bundle)
    if not allow_seen:
        known = table["image_id"].isin(seen["image_id"])
        known |= table["lesion_id"].notna() & table["lesion_id"].isin(seen["lesion_id"].dropna())
        scored = table[~known]
    else:
        scored = table
    indices, logits = answer_rows(classifier, scored, frozenset() if allow_seen else frozenset(seen["pixels"]))
    if not len(indices):
        raise DatasetError(
            f"The model {bundle.manifest.model_version} has met all {len(table)} images in its training; nothing is "
            "left to score honestly. Give other images, or add --allow-seen to score them all the same."
        )
    scored = scored.iloc[indices]
    report = figures(classifier, scored, logits)
    report |= {"n_excluded_seen": len(table) - len(scored), "model_version": bundle.manifest.model_version}
    if allow_seen:
        report["allow_seen"] = True
    return report


def figures(classifier: Classifier, table: pd.DataFrame, logits: np.ndarray) -> dict[str, Any]:
    """Figures with intervals from the model's logits for the rows of a table."""
    probabilities = classifier.probabilities(logits)
    threshold = classifier.manifest.threshold
    labels = class_indices(table)
    groups = table["lesion_id"].to_numpy() if table["lesion_id"].notna().all() else None
    if classifier.manifest.task == "binary":
        malignant = is_malignant(labels)
        report = metrics.score_binary(malignant, probabilities[:, 0], threshold=threshold)
        intervals = metrics.bootstrap_binary(malignant, probabilities[:, 0], groups, threshold=threshold)
    else:
        report = metrics.score(labels, probabilities, threshold=threshold)
        intervals = metrics.bootstrap(labels, probabilities, groups, threshold=threshold)
    return report | {"intervals": intervals}


def class_indices(table: pd.DataFrame) -> np.ndarray:
    """Softmax index of each row's diagnosis, int (N,)."""
    return table["dx"].map({code: d.index for code, d in BY_CODE.items()}).to_numpy(int)


def is_malignant(labels: np.ndarray) -> np.ndarray:
    """Whether each class index counts as malignant, bool (N,)."""
    return np.array([d.malignant for d in DIAGNOSES])[labels]


def read_seen(bundle: Bundle) -> pd.DataFrame:
    """The images that the model has met: image_id, lesion_id, pixels (hash), part."""
    return pd.read_csv(bundle.path("seen.csv.gz"), dtype=str)


def answer_rows(
    classifier: Classifier, table: pd.DataFrame, seen_pixels: frozenset[str] = frozenset()
) -> tuple[list[int], np.ndarray]:
    """The model's logits for the rows of a table.

    Args:
        classifier: the model.
        table: with column `path`.
        seen_pixels: leave out images whose pixel hash, cut to `PIXEL_DIGITS`, is among these.

    Returns:
        Positions of the rows answered, and logits float64 (n, K) for them.

    Raises:
        DatasetError: where images cannot be read.
    """
    rows: list[int] = []
    logits: list[np.ndarray] = []
    failed: list[str] = []
    loaded = prediction.load(table["path"], classifier.manifest.size, with_pixels=bool(seen_pixels))
    for start, group in enumerate(prediction.batches(loaded)):
        squares = []
        for position, item in enumerate(group, start * prediction.BATCH):
            if item.square is None:
                failed.append(f"{item.path.name}: {item.error}")
            elif item.pixels[:PIXEL_DIGITS] not in seen_pixels:
                squares.append(item.square)
                rows.append(position)
        if squares:
            logits.append(classifier.answer(np.stack(squares)).logits)
    if failed:
        raise DatasetError(
            f"{len(failed)} images cannot be read, for example {failed[0]} Mend or remove them; "
            "`python -m skin_model dataset validate DIR` lists all."
        )
    return rows, np.concatenate(logits) if logits else np.empty((0, len(classifier.manifest.labels)))
