"""Divide a data set into test, calibration and folds by lesion: none is both learned from and measured.

A split is a table `image_id, lesion_id, dx, part`, kept as CSV and used by every later step.
"""

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from skin_model import files
from skin_model.dataset import layout
from skin_model.errors import ConfigurationError, DatasetError
from skin_model.taxonomy import CODES

COLUMNS = ("image_id", "lesion_id", "dx", "part")

UNKNOWN = "\0"  # begins the name of an unknown lesion, as no lesion_id can

_PART = re.compile(r"test|calibration|fold\d")
_MAKE_ONE = "or make one with `python -m skin_model dataset split`"


def draw(
    table: pd.DataFrame,
    *,
    seed: int,
    folds: int = 5,
    test_share: float = 0.143,
    calibration_share: float = 0.071,
) -> pd.DataFrame:
    """Draw a split by lesion, each class in proportion to the shares; the folds share what is left equally.

    Class by class, lesions in random order, those with most images first, go where images / share is
    smallest (Adams' rule of apportionment).  So each part holds every class, and a class is shared out to
    within an image or two, whatever the shares; scikit-learn's StratifiedGroupKFold makes only parts of equal
    size, and may leave a rare class out of one.

    Args:
        table: image_id, lesion_id and dx of each image, in any order; an image whose lesion_id is missing is
            its own lesion; a lesion with two diagnoses counts with the more frequent one.
        seed: the same seed and images always give the same split.
        folds: number of folds, 2 to 10.
        test_share, calibration_share: of the images; by default as many of HAM10000's as others commonly test on (one
            in seven), and half as many to calibrate.

    Returns:
        `COLUMNS`, sorted by image_id.

    Raises:
        ConfigurationError: seed, shares or folds out of their range.
        DatasetError: a class has fewer lesions than there are parts.
    """
    if seed < 0:
        raise ConfigurationError(f"The seed must be 0 or more; {seed} was given.")
    left = 1 - test_share - calibration_share
    if not 2 <= folds <= 10 or min(test_share, calibration_share, left) <= 0:
        raise ConfigurationError(
            "A split needs 2 to 10 folds and shares above 0 for test, calibration and folds; "
            f"{folds} folds, test {test_share} and calibration {calibration_share} were given."
        )
    shares = {"test": test_share, "calibration": calibration_share} | {f"fold{i}": left / folds for i in range(folds)}
    split = table[["image_id", "lesion_id", "dx"]].sort_values("image_id", ignore_index=True)
    lesion = lesions(split)
    sizes = Counter(lesion)
    lesions_of = _by_class(lesion, split["dx"])
    _check_enough(lesions_of, len(shares))
    random = np.random.default_rng(seed)
    part_of: dict[str, str] = {}
    for members in lesions_of.values():
        members = [members[i] for i in random.permutation(len(members))]
        members.sort(key=lambda name: -sizes[name])  # stable: equal sizes stay in random order
        part_of |= _apportion(members, sizes, shares)
    split["part"] = lesion.map(part_of)
    return split


def read(path: Path, *, leaky: bool = False) -> pd.DataFrame:
    """Read a split from CSV; columns beyond `COLUMNS` are ignored.

    Args:
        path: the table.
        leaky: take an image that stands twice, and a lesion in two parts, as they are; `leaks.refuse` names them.

    Raises:
        DatasetError: no such table, a missing column, an unknown part or diagnosis; unless `leaky`, an image
            twice or a lesion in two parts.
    """
    raw = layout.read_cells(path)
    if absent := [column for column in COLUMNS if column not in raw]:
        raise DatasetError(f"The split {path} lacks the columns {', '.join(absent)}. It needs {', '.join(COLUMNS)}.")
    split = _table(raw)
    _refuse(path, "a part other than test, calibration, fold0 ...", split[~split["part"].str.fullmatch(_PART)])
    _refuse(path, f"a diagnosis other than {', '.join(CODES)}", split[~split["dx"].isin(CODES)])
    if leaky:
        return split
    _refuse(path, "an image that has another row", split[split["image_id"].duplicated(keep=False)])
    parts = split.groupby(lesions(split))["part"].transform("nunique")
    _refuse(path, "a lesion that lies in two parts", split[parts > 1])
    return split


def read_text(text: str) -> pd.DataFrame:
    """A split as CSV that was checked when it was kept."""
    return _table(pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False))


def _table(raw: pd.DataFrame) -> pd.DataFrame:
    split = raw[list(COLUMNS)].sort_values(["image_id", "part"], ignore_index=True)
    split["lesion_id"] = split["lesion_id"].mask(split["lesion_id"] == "")
    return split


def write(split: pd.DataFrame, path: Path) -> None:
    """Write a split as CSV; the file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = split.sort_values(["image_id", "part"])
    with files.whole(path) as partial:
        rows.to_csv(partial, columns=list(COLUMNS), index=False, lineterminator="\n")


def assign(table: pd.DataFrame, split: pd.DataFrame) -> pd.Series:
    """The part of each row of `table`, with its index; rows of the split beyond those are fine.

    Raises:
        DatasetError: images that the split does not hold, or holds with another diagnosis.
    """
    known = split.set_index("image_id")
    part = table["image_id"].map(known["part"])
    if part.isna().any():
        raise DatasetError(
            f"{part.isna().sum():,} of {len(table):,} images are not in the split "
            f"({_some(table['image_id'][part.isna()])}). "
            f"Use the split that belongs to this data set, {_MAKE_ONE}."
        )
    differs = table["image_id"].map(known["dx"]) != table["dx"]
    if differs.any():
        raise DatasetError(
            f"{differs.sum():,} of {len(table):,} images have another diagnosis in the split "
            f"({_some(table['image_id'][differs])}). Use the split that belongs to this data set."
        )
    return part.rename("part")


def place(table: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` with their `part`, in its order; an image comes as often as it stands in the split.

    Each keeps its own lesion_id: lesions that a review joined are joined for the division alone, for under their own
    names other tables know them.

    Raises:
        DatasetError: as `assign` does, or for images of the split that the table lacks.
    """
    assign(table, split.drop_duplicates("image_id"))
    missing = sorted(set(split["image_id"]) - set(table["image_id"]))
    if missing:
        raise DatasetError(
            f"{len(missing):,} of {split['image_id'].nunique():,} images of the split are not in this data set "
            f"({_some(missing)}). Give the whole data set that the split was made of (its table or its images may be "
            f"incomplete), {_MAKE_ONE}."
        )
    return table.merge(split[["image_id", "part"]], on="image_id")


def lesions(table: pd.DataFrame) -> pd.Series:
    """A lesion's name for each row; an image of an unknown lesion gets one that no lesion_id can have."""
    return table["lesion_id"].where(table["lesion_id"].notna(), UNKNOWN + table["image_id"])


def fingerprint(split: pd.DataFrame) -> str:
    """SHA-256 of the rows sorted by image_id and part, as hexadecimal digits: names a split whatever its row order."""
    rows = split.sort_values(["image_id", "part"])[list(COLUMNS)].fillna("")
    return hashlib.sha256(rows.to_csv(index=False, header=False, lineterminator="\n").encode()).hexdigest()


def _by_class(lesion: pd.Series, dx: pd.Series) -> dict[str, list[str]]:
    """Class code -> its lesions, sorted by name; each lesion under its most frequent diagnosis."""
    counts = pd.DataFrame({"lesion": lesion, "dx": dx}).value_counts().reset_index()
    first = counts.sort_values(["lesion", "count", "dx"], ascending=[True, False, True]).drop_duplicates("lesion")
    return {code: first.loc[first["dx"] == code, "lesion"].tolist() for code in CODES}


def _check_enough(lesions_of: dict[str, list[str]], parts: int) -> None:
    if few := [f"{code} has {len(names)}" for code, names in lesions_of.items() if len(names) < parts]:
        raise DatasetError(
            f"Each diagnosis needs at least one lesion for each of the {parts} parts of the split, but "
            f"{', '.join(few)}. Add images of these, or make a split of fewer folds (2 or more) with "
            "`python -m skin_model dataset split --folds N`."
        )


def _apportion(members: list[str], sizes: Mapping[str, int], shares: dict[str, float]) -> dict[str, str]:
    """Lesion -> part: each lesion goes to the part with the fewest images for its share so far."""
    images = dict.fromkeys(shares, 0)
    part_of = {}
    for lesion in members:
        part = min(shares, key=lambda name: (images[name] / shares[name], -shares[name]))
        part_of[lesion] = part
        images[part] += sizes[lesion]
    return part_of


def _refuse(path: Path, what: str, rows: pd.DataFrame) -> None:
    if len(rows):
        raise DatasetError(
            f"The split {path} has {len(rows):,} rows with {what} ({_some(rows['image_id'])}). "
            f"Correct them, {_MAKE_ONE}."
        )


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
