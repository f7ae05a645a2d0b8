"""Read and validate HAM10000 in its public layout, or a folder of an ISIC challenge.

HAM10000: Tschandl, Rosendahl, Kittler, Scientific Data 5:180161 (2018), doi:10.7910/DVN/DBW86T.
ISIC challenge: one-hot ground truth as in ISIC 2018 Task 3, Codella et al., arXiv:1902.03368.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from skin_model import imaging
from skin_model.bundle import DRAWN
from skin_model.dataset.layout import LABELS, Found, find, find_labelled
from skin_model.entities import SEXES, SITES
from skin_model.errors import DatasetError, ImageError
from skin_model.taxonomy import CODES

COLUMNS = (*LABELS, "path", "mask")

_EXAMPLES = 5


class _Kind(NamedTuple):
    """What a kind of problem means: whether it is fatal, whether `read` refuses, what was found, what to do."""

    fatal: bool
    refused: bool
    found: str
    remedy: str


_KINDS = {
    "missing column": _Kind(True, True, "Columns that the table lacks", "Use the table as it was published"),
    "empty file": _Kind(True, True, "Files that are empty", "Download or unpack them again"),
    "unknown dx": _Kind(True, True, "Images without a single known diagnosis", f"Use one of {', '.join(CODES)}"),
    "duplicate image_id": _Kind(True, True, "Images with more than one row", "Keep one row of each"),
    "missing image": _Kind(
        True, True, "Rows without an image file", "Unpack the archives or put the files back, or remove the rows"),
    "lesion with two diagnoses": _Kind(True, False, "Lesions with more than one diagnosis", "Correct their rows"),
    "unreadable image": _Kind(
        True, False, "Images that cannot be decoded, or are too small", "Download or unpack them again, or drop them"),
    "unusable mask": _Kind(
        True, False, "Lesion masks that cannot be decoded, or have other proportions than their picture",
        "Put the right ones there, or take them away"),
    "identical pixels under two lesions": _Kind(
        True, False, "Identical images of different lesions", "Give them one lesion_id, or remove copies"),
    "age out of range": _Kind(False, False, "Ages that are no number from 0 to 120", "They are read as missing"),
    "sex or site in other words": _Kind(
        False, False, "Sexes or sites in words that HAM10000 does not have", "They are read as not known"),
    "unknown lesion": _Kind(
        False, False, "Images without a lesion_id", "Each counts as its own lesion; pictures of one may be parted"),
    "empty class": _Kind(
        False, False, "Diagnoses without any image", "No model is measured on them, and a training needs all seven"),
    "image without row": _Kind(
        False, False, "Images that the table does not name", "They are left out; if many, download the table again"),
    "image file twice": _Kind(False, False, "Images that lie in more than one place", "The first place is used"),
    "identical pixels in one lesion": _Kind(
        False, False, "Identical images of one lesion", "They stay together in every split"),
}  # fmt: skip


@dataclass(frozen=True)
class Dataset:
    """A data set that was read.

    Attributes:
        root: its folder.
        table: one row per image with `COLUMNS`, sorted by image_id; `dx` is a taxonomy code, `age` in years
            (float), `path` a Path, `mask` a Path or None.  An unknown lesion_id, dx_type, age, sex or
            localization is missing (NaN).
        kind: "HAM10000" or "ISIC challenge".
    """

    root: Path
    table: pd.DataFrame
    kind: str


@dataclass(frozen=True)
class Problem:
    """One kind of problem of a data set.

    Attributes:
        kind: for example "missing image".
        names: of the rows, images, lesions or groups concerned.
        fatal: whether training or evaluation on this data set would fail or mislead.
    """

    kind: str
    names: tuple[str, ...]
    fatal: bool

    @property
    def count(self) -> int:
        """How many are concerned."""
        return len(self.names)

    @property
    def examples(self) -> tuple[str, ...]:
        """Up to five of them."""
        return self.names[:_EXAMPLES]

    @property
    def sentence(self) -> str:
        """What was found, with examples, and what to do."""
        kind = _KINDS[self.kind]
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{kind.found}: {self.count:,} ({', '.join(self.examples)}{more}). {kind.remedy}."


def read(root: Path) -> Dataset:
    """Read HAM10000 (image folders, metadata, optional masks) or an ISIC challenge folder, without decoding.

    Raises:
        DatasetError: the layout is not recognised, or the data set cannot be used as it is.
    """
    root = Path(root)
    found = find(root)
    for problem in _table_problems(found):
        if _KINDS[problem.kind].refused:
            raise DatasetError(
                f"The data set in {root} cannot be used. {problem.sentence} "
                f"All problems at once: python -m skin_model dataset validate {root}"
            )
    return Dataset(root, _clean(found), found.kind)


def read_labelled(images: Path, labels: Path) -> Dataset:
    """Read the images below a folder with their labels: HAM10000's columns or a challenge's one-hot form.

    Of HAM10000's columns image_id and dx suffice; other columns are ignored.  Every row needs an image, but
    images need no row.  Lesion masks are found in folders below with "segmentation" in their name.

    Raises:
        DatasetError: the table is of neither form or cannot be used, or images are missing.
    """
    images, labels = Path(images), Path(labels)
    if not images.is_dir():
        raise DatasetError(f"There is no folder {images}. Name the folder that holds the images.")
    if not labels.is_file():
        raise DatasetError(f"There is no file {labels}. Name the CSV file that holds the labels.")
    found = find_labelled(images, labels)
    for problem in _table_problems(found):
        if _KINDS[problem.kind].refused:
            raise DatasetError(f"{labels} cannot be used with the images in {images}. {problem.sentence}")
    return Dataset(images, _clean(found), found.kind)


def source_name(table: pd.DataFrame) -> str:
    """What images these are: HAM10000 and drawn lesions are known by their identifiers, whatever the folder's name."""
    for name, column, prefix in (("HAM10000", "lesion_id", "HAM_"), (DRAWN, "image_id", "DRAWN_")):
        if table[column].notna().all() and table[column].str.startswith(prefix).all():
            return name
    return "own data"


def validate(root: Path, progress: Callable[[int, int], None] | None = None) -> list[Problem]:
    """Report every problem of a data set at once; decodes every image and mask.

    Args:
        root: as for `read`.
        progress: called with (images done, images in all).

    Returns:
        one Problem per kind, fatal ones first; empty for a data set without any.

    Raises:
        DatasetError: the layout is not recognised.
    """
    found = find(Path(root))
    problems = _table_problems(found) + _pixel_problems(found, progress)
    return sorted(problems, key=lambda problem: not problem.fatal)


def _clean(found: Found) -> pd.DataFrame:
    table = found.labels.sort_values("image_id", ignore_index=True)
    table["lesion_id"] = table["lesion_id"].mask(table["lesion_id"] == "")
    for column in ("dx_type", "sex", "localization"):
        table[column] = table[column].str.lower().mask(table[column] == "")
    age = pd.to_numeric(table["age"], errors="coerce").astype(float)
    table["age"] = age.where(age.between(0, 120))
    table["path"] = pd.Series([found.images[i] for i in table["image_id"]], dtype=object)
    table["mask"] = pd.Series([found.masks.get(i) for i in table["image_id"]], dtype=object)
    return table[list(COLUMNS)]


def _table_problems(found: Found) -> list[Problem]:
    """What the table and the file names tell, without opening an image."""
    labels, ids = found.labels, found.labels["image_id"]
    if labels.empty:
        return _problems({"empty file": found.sources})
    if {"image", "image_id"} & set(found.absent):
        return _problems({"missing column": found.absent})
    judged = labels[:0] if "dx" in found.absent else labels
    unknown = judged[~judged["dx"].isin(CODES)]
    diagnoses = judged[judged["lesion_id"] != ""].groupby("lesion_id")["dx"].unique()
    age = pd.to_numeric(labels["age"], errors="coerce")
    named = set(ids)
    return _problems(
        {
            "missing column": found.absent,
            "unknown dx": (unknown["image_id"] + " " + unknown["dx"]).str.strip(),
            "duplicate image_id": sorted(ids[ids.duplicated()].unique()),
            "missing image": sorted(named - set(found.images)),
            "lesion with two diagnoses": [f"{i} {' and '.join(dx)}" for i, dx in diagnoses.items() if len(dx) > 1],
            "age out of range": (ids + " " + labels["age"])[(labels["age"] != "") & ~age.between(0, 120)],
            "sex or site in other words": [
                f"{image} {word}"
                for column, words in (("sex", SEXES), ("localization", SITES))
                for image, word in zip(ids, labels[column], strict=True)
                if word and word.lower() not in words
            ],
            "unknown lesion": ids[labels["lesion_id"] == ""],
            "empty class": [code for code in CODES if len(judged) and code not in set(judged["dx"])],
            "image without row": sorted(set(found.images) - named),
            "image file twice": found.twice,
        }
    )


def _pixel_problems(found: Found, progress: Callable[[int, int], None] | None) -> list[Problem]:
    """What only decoding every image and mask tells."""
    lesions = dict(zip(found.labels["image_id"], found.labels["lesion_id"], strict=True))
    named = {image_id: path for image_id, path in found.images.items() if image_id in lesions}  # others are left out
    failed: dict[str, list[str]] = {"empty file": [], "unreadable image": [], "unusable mask": []}
    alike: dict[str, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the decoders release the interpreter's lock
        # no name for what `map` gives: where `progress` breaks off, it is to be dropped with all that has not begun
        for done, (image_id, (pixels, problem)) in enumerate(
            zip(named, pool.map(_look_at, named.values(), map(found.masks.get, named)), strict=True), start=1
        ):
            if problem:
                failed[problem].append(image_id)
            if pixels:
                alike[pixels].append(image_id)
            if progress:
                progress(done, len(named))
    copies = [group for group in alike.values() if len(group) > 1]
    within = [len({lesions[i] or i for i in group}) == 1 for group in copies]  # an unknown lesion is its own
    names = [" = ".join(group) for group in copies]
    return _problems(
        failed
        | {
            "identical pixels under two lesions": [n for n, one in zip(names, within, strict=True) if not one],
            "identical pixels in one lesion": [n for n, one in zip(names, within, strict=True) if one],
        }
    )


def _look_at(path: Path, mask: Path | None) -> tuple[str, str]:
    """The hash of the image's pixels, empty where it has none, and the kind of problem, empty where there is none."""
    try:
        if path.stat().st_size == 0:
            return "", "empty file"
        pixels = imaging.read(path).pixels
    except (ImageError, OSError):
        return "", "unreadable image"
    problem = ""
    if mask is not None:
        try:
            imaging.read_mask(mask, pixels.shape)
        except (ImageError, OSError):
            problem = "unusable mask"
    return imaging.pixel_hash(pixels), problem


def _problems(concerned: Mapping[str, Iterable[str]]) -> list[Problem]:
    """One Problem for each kind that concerns anything."""
    listed = {kind: tuple(names) for kind, names in concerned.items()}
    return [Problem(kind, names, _KINDS[kind].fatal) for kind, names in listed.items() if names]
