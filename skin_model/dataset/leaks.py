"""Refuse a training whose figures would be of what it has learned, with the offending rows named."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from skin_model import imaging
from skin_model.dataset import perceptual
from skin_model.errors import ConfigurationError, DatasetError

KNOWN_BEFORE = ("age", "sex", "localization")  # columns of a data set that are known before any diagnosis

# Measured on 334 images of HAM10000 written again as PNG: equal pixels differ in up to 2 of the 64 bits.
_CANDIDATE_DISTANCE = 4


def refuse(table: pd.DataFrame, split: pd.DataFrame, on_progress: perceptual.OnProgress | None = None) -> None:
    """Refuse a split in which one part holds what another one is to measure.

    An image may stand in the split once.  No lesion, by the data set or by the split, and no pixels, in whatever
    file, may stand in two parts.  Pixels are compared only where perceptual hashes are near, so that ten thousand
    images take seconds.

    Args:
        table: image_id, lesion_id and path of the data set's images.
        split: as `splits.read` gives it; images that the table lacks are passed over.
        on_progress: told of (images done, images in all).

    Raises:
        DatasetError: for the first kind of leak found, with its first five rows and their count.
    """
    given = table[["image_id", "lesion_id", "path"]].rename(columns={"lesion_id": "lesion of the data"})
    rows = split[["image_id", "lesion_id", "part"]].merge(given, on="image_id")
    _refuse_repeated(rows)
    for lesion in ("lesion of the data", "lesion_id"):
        _refuse_parted(rows, lesion)
    _refuse_identical(rows, on_progress)


def check_inputs(columns: Iterable[str]) -> None:
    """Refuse columns as a model's input that are not known before the diagnosis, such as `dx_type`.

    Raises:
        ConfigurationError: naming them, and what may be used.
    """
    if late := [column for column in columns if column not in KNOWN_BEFORE]:
        raise ConfigurationError(
            f"{', '.join(late)} cannot be an input of a model: only what is known before the diagnosis may be, and "
            "dx_type, for one, says how the diagnosis was confirmed afterwards. "
            f"Use any of {', '.join(KNOWN_BEFORE)}."
        )


def _refuse_repeated(rows: pd.DataFrame) -> None:
    repeated = rows[rows["image_id"].duplicated(keep=False)]
    if len(repeated):
        raise DatasetError(
            f"Resampling came before the split: {len(repeated):,} of its rows hold an image that has another row "
            f"({_named(repeated)}), so copies of what is learned are measured as if they were new. Split the images "
            "as they are; `--balance sampling` then draws rare classes more often inside the training part."
        )


def _refuse_parted(rows: pd.DataFrame, lesion: str) -> None:
    parted = _parted(rows, rows[lesion])  # an image without lesion_id is its own lesion
    if len(parted):
        raise DatasetError(
            f"{parted[lesion].nunique():,} lesions stand in two parts of the split or more, in {len(parted):,} images "
            f"({_named(parted, lesion)}): the model would be measured on lesions that it has learned. "
            "Divide by lesion with `python -m skin_model dataset split`."
        )


def _refuse_identical(rows: pd.DataFrame, on_progress: perceptual.OnProgress | None) -> None:
    hashed = perceptual.hashes(perceptual.thumbnails(list(rows["path"]), on_progress))
    parts = pd.factorize(rows["part"])[0]
    candidate = np.zeros(len(rows), bool)
    for start, alike in perceptual.near(hashed, _CANDIDATE_DISTANCE):
        stop = start + len(alike)
        candidate[start:stop] = (alike & (parts[start:stop, None] != parts[None])).any(axis=1)
    suspects = rows[candidate]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pixels = list(pool.map(_pixel_hash, suspects["path"]))
    copies = _parted(suspects, pd.Series(pixels, suspects.index, dtype=object))
    if len(copies):
        raise DatasetError(
            f"{len(copies):,} images have the pixels of an image in another part of the split "
            f"({_named(copies)}): resampling came before the split, or the data set holds copies. Remove the copies, "
            "or give each the lesion_id of its original, and split again."
        )


def _pixel_hash(path: Path) -> str:
    with perceptual.named(path):
        return imaging.pixel_hash(imaging.read(path).pixels)


def _parted(rows: pd.DataFrame, group: pd.Series) -> pd.DataFrame:
    """The rows whose group stands in more than one part, group by group; a missing group is none."""
    parted = rows[rows.groupby(group)["part"].transform("nunique") > 1]
    return parted.loc[group[parted.index].sort_values(kind="stable").index]


def _named(rows: pd.DataFrame, lesion: str | None = None) -> str:
    """The first five rows by image and part."""
    columns = ["image_id", "part"] if lesion is None else ["image_id", "part", lesion]
    named = [" of ".join((f"{image} in {part}", *rest)) for image, part, *rest in rows[columns].head(5).to_numpy()]
    return ", ".join(named) + (", ..." if len(rows) > 5 else "")
