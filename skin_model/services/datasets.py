"""Check, draw and split data sets, and find look-alikes in them."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from skin_model import files
from skin_model.dataset import drawn, ham10000, lookalikes, splits
from skin_model.errors import ConfigurationError, DatasetError

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
    *, folder: Path, file: Path, distance: int = lookalikes.DISTANCE, on_progress: OnProgress | None = None
) -> pd.DataFrame:
    """List pictures of different lesions that look alike, for a review; returns the list (`lookalikes.COLUMNS`).

    Write `yes` in the column `same_lesion` where two pictures show one lesion, and give the file to `split`.

    Raises:
        DatasetError: unusable data, or a file that exists: it may hold a review.
        ConfigurationError: a distance outside 0 to 16 bits.
    """
    if not 0 <= distance <= 16:
        raise ConfigurationError(f"The distance must lie between 0 and 16 of 64 bits; {distance} was given.")
    if file.exists():
        raise DatasetError(f"{file} exists and may hold a review. Name another file, or remove it.")
    listed = lookalikes.find(ham10000.read(folder).table, distance=distance, on_progress=on_progress)
    file.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(file) as partial:
        listed.to_csv(partial, index=False, lineterminator="\n")
    return listed


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
        DatasetError: unusable data or review, or a class with too few lesions.
    """
    data = ham10000.read(folder).table
    if reviewed is not None:
        data = lookalikes.merge(data, lookalikes.read_review(reviewed))
    table = splits.draw(data, seed=seed, folds=folds)
    splits.write(table, file)
    return table, splits.fingerprint(table)
