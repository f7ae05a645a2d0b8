"""Diagnoses of a table's rows as numbers: class indices, targets, counts and loss weights."""

import numpy as np
import pandas as pd

from skin_model.taxonomy import BY_CODE, CODES, DIAGNOSES


def class_indices(dx: pd.Series) -> np.ndarray:
    """Softmax index of each diagnosis, int (N,)."""
    return dx.map({code: d.index for code, d in BY_CODE.items()}).to_numpy(int)


def is_malignant(indices: np.ndarray) -> np.ndarray:
    """Whether each class index counts as malignant for referral, bool (N,)."""
    return np.array([d.malignant for d in DIAGNOSES])[indices]


def class_counts(table: pd.DataFrame) -> dict[str, int]:
    """Images per class code, taxonomy order."""
    counts = table["dx"].value_counts()
    return {code: int(counts.get(code, 0)) for code in CODES}


def loss_weights(dx: pd.Series, balance: str) -> np.ndarray:
    """What each image counts in the loss, float32 (N,), mean 1; inverse class frequency or its square root."""
    if balance not in ("class-weights", "sqrt-class-weights"):
        return np.ones(len(dx), np.float32)
    weights = 1.0 / dx.map(dx.value_counts()).to_numpy(float)
    if balance == "sqrt-class-weights":
        weights = np.sqrt(weights)
    return (weights / weights.mean()).astype(np.float32)


def oversampled(dx: pd.Series, share: float, seed: int) -> np.ndarray:
    """Row numbers, int (M,), in which each class comes up to `share` times the commonest class's images.

    Every row comes at least once, and within a class none comes more than once oftener than another.

    Args:
        dx: diagnoses of the training part alone; repeating images before a split would put copies on both its sides.
        share: 0 repeats nothing, 1 makes all classes as common as the commonest.
        seed: draws the images that are repeated once more than others.
    """
    rng = np.random.default_rng(seed)
    codes = dx.to_numpy()
    counts = dx.value_counts()
    wanted = round(share * counts.max())
    rows = [np.arange(len(dx))]
    for code in sorted(counts.index):
        own = np.flatnonzero(codes == code)
        whole, rest = divmod(max(wanted - len(own), 0), len(own))
        rows += [np.tile(own, whole), rng.choice(own, rest, replace=False)]
    return np.concatenate(rows)


def targets(dx: pd.Series, task: str) -> np.ndarray:
    """One-hot classes float32 (N, 7), or malignant or not float32 (N, 1)."""
    indices = class_indices(dx)
    if task == "binary":
        return is_malignant(indices).astype(np.float32)[:, None]
    return np.eye(len(DIAGNOSES), dtype=np.float32)[indices]
