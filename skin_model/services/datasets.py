"""Check, draw and split data sets, and find look-alikes in them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from skin_model import files
from skin_model.dataset import drawn, ham10000, lookalikes, splits
from skin_model.errors import DatasetError
from skin_model.inference import Classifier
from skin_model.services import prediction

OnProgress = Callable[[int, int], None]  # (done, total)


def validate(*, folder: Path, on_progress: OnProgress | None = None) -> list[ham10000.Problem]:
    """Every problem of a data set at once, fatal ones first.  Raises DatasetError where no layout is recognised."""
    return ham10000.validate(folder, progress=on_progress)


def draw(
    *,
    folder: Path,
    lesions: int,
    seed: int = 0,
    size: tuple[int, int] = (450, 600),
    on_progress: OnProgress | None = None,
) -> None:
    """Draw `lesions` synthetic lesions per class, `size` (height, width), in HAM10000's layout.

    Raises:
        DatasetError: where the folder holds anything.
        ConfigurationError: for a size or seed out of range.
    """
    drawn.draw_dataset(
        folder, lesions_per_class=lesions, seed=seed, height=size[0], width=size[1], progress=on_progress
    )


def find_lookalikes(
    *,
    classifier: Classifier,
    folder: Path,
    file: Path,
    on_stage: lookalikes.OnStage = lambda _: None,
    on_progress: OnProgress | None = None,
) -> pd.DataFrame:
    """List pictures that seem to show one lesion under different ones, for a review; returns `lookalikes.COLUMNS`.

    Write `yes` in the column `same_lesion` where two pictures show one lesion, and give the file to `split`.

    Args:
        classifier: any model; its embeddings find the pairs to compare.
        folder: HAM10000 or ISIC challenge folder.
        file: the list to write.
        on_stage: told of each stage.
        on_progress: told of (images or pairs done, in all) in each.

    Raises:
        DatasetError: unusable data, or a file that exists: it may hold a review.
    """
    if file.exists():
        raise DatasetError(f"{file} exists and may hold a review. Name another file, or remove it.")
    table = ham10000.read(folder).table
    file.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(file) as partial:
        partial.touch()  # where this cannot be written, nothing is computed in vain
        on_stage("asking the model for embeddings")
        embeddings = _embeddings(classifier, table, on_progress)
        listed = lookalikes.find(table, embeddings, on_stage=on_stage, on_progress=on_progress)
        listed.to_csv(partial, index=False, lineterminator="\n")
    return listed


def _embeddings(classifier: Classifier, table: pd.DataFrame, on_progress: OnProgress | None) -> np.ndarray:
    """Embeddings (N, D) of a table's pictures, the same however they are turned."""
    found: list[np.ndarray] = []
    for stack in prediction.squares(table["path"], classifier.manifest.size):
        found.extend(classifier.embeddings(stack))
        if on_progress:
            on_progress(len(found), len(table))
    return np.stack(found)


def split(
    *, folder: Path, file: Path, seed: int = 0, folds: int = 5, reviewed: Path | None = None
) -> tuple[pd.DataFrame, str]:
    """Divide a data set by lesion and write the table; returns it with its fingerprint.

    Args:
        folder: HAM10000 or ISIC challenge folder.
        file: the table to write.
        seed: the same seed and images give the same split.
        folds: 2 to 10; each class needs two lesions more than there are folds.
        reviewed: the list of `find_lookalikes` after a review; what it calls one lesion stays in one part.

    Raises:
        DatasetError: unusable data or review, a class with too few lesions, or a file that exists: trainings may hang
            on it, or it holds something else.
    """
    if file.exists():
        raise DatasetError(f"{file} exists. Name another file for the split, or remove it.")
    data = ham10000.read(folder).table
    if reviewed is not None:
        data = lookalikes.merge(data, lookalikes.read_review(reviewed))
    table = splits.draw(data, seed=seed, folds=folds)
    splits.write(table, file)
    return table, splits.fingerprint(table)
