"""Check, draw and split data sets."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from skin_model.dataset import drawn, ham10000, splits

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


def split(*, folder: Path, file: Path, seed: int = 0) -> tuple[pd.DataFrame, str]:
    """Divide a data set by lesion and write the table; returns it with its fingerprint.

    Raises:
        DatasetError: unusable data, or a class with too few lesions.
    """
    table = splits.draw(ham10000.read(folder).table, seed=seed)
    splits.write(table, file)
    return table, splits.fingerprint(table)
