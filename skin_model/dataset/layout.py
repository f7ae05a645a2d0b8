"""Find labels, images and masks on disk, in HAM10000's layout or an ISIC challenge's, and judge nothing."""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from skin_model.errors import DatasetError
from skin_model.taxonomy import CODES

HAM10000, ISIC_CHALLENGE = "HAM10000", "ISIC challenge"
LABELS = ("image_id", "lesion_id", "dx", "dx_type", "age", "sex", "localization")
NEEDED = {HAM10000: ("image_id", "dx"), ISIC_CHALLENGE: ("image", *CODES)}

_SUFFIX = re.compile(r"\.(jpe?g|png|tiff?|webp|bmp|dcm)$", re.IGNORECASE)
_PART_FOLDER = re.compile(r"ham10000_images_part_\d+", re.IGNORECASE)
_UNKNOWN = ("unknown", "nan", "na", "n/a")
_MASK_END = "_segmentation"  # ISIC_0024306_segmentation.png


@dataclass(frozen=True)
class Found:
    """What lies in a folder, before anything is judged.

    Attributes:
        kind: "HAM10000" or "ISIC challenge".
        labels: the columns `LABELS` as stripped strings, empty where nothing is known.
        sources: names of the files that the labels come from.
        absent: columns that were looked for in vain.
        images: image_id -> file.
        twice: image ids of further files of the same name.
        masks: image_id -> lesion mask.
    """

    kind: str
    labels: pd.DataFrame
    sources: tuple[str, ...]
    absent: tuple[str, ...]
    images: dict[str, Path]
    twice: tuple[str, ...]
    masks: dict[str, Path]


def find(root: Path) -> Found:
    """What lies in HAM10000's folder or that of an ISIC challenge.  Raises DatasetError where it is neither."""
    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}. Name the folder that holds HAM10000 or an ISIC challenge set.")
    sources = _label_files(root)
    if not sources:
        raise DatasetError(
            f"{root} is not laid out as HAM10000 or an ISIC challenge: neither HAM10000_metadata(.csv) "
            "beside the folders HAM10000_images_part_1 and HAM10000_images_part_2 (or one folder of images) "
            "nor *_GroundTruth.csv beside a folder *_Input was found. HAM10000 can be had under "
            "doi:10.7910/DVN/DBW86T (https://doi.org/10.7910/DVN/DBW86T)."
        )
    parts = [read_labels(source) for source in sources]
    kind = parts[0][0]
    labels = pd.concat([table for _, table, _ in parts], ignore_index=True)
    absent = tuple(dict.fromkeys(column for *_, columns in parts for column in columns))
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]
    masks = [folder for folder in folders if _holds_masks(folder)]
    images = _dataset_images(root, [folder for folder in folders if folder not in masks], set(labels["image_id"]))
    index, twice = by_image_id(images)
    by_image = _by_masked_image(path for folder in masks for path in image_files(folder))
    return Found(kind, labels, tuple(source.name for source in sources), absent, index, twice, by_image)


def find_labelled(images: Path, labels: Path) -> Found:
    """The images and masks anywhere below a folder, with a table of labels that may lie elsewhere."""
    kind, table, absent = read_labels(labels)
    absent = tuple(column for column in absent if column in NEEDED[kind])
    below = image_files(images)
    masks = [path for path in below if any(map(_holds_masks, path.relative_to(images).parents))]
    index, twice = by_image_id(sorted(set(below) - set(masks)))
    return Found(kind, table, (labels.name,), absent, index, twice, _by_masked_image(masks))


def _holds_masks(folder: Path) -> bool:
    """By its own name: those above it lie where nobody knows."""
    return "segmentation" in folder.name.lower()


def _by_masked_image(masks: Iterable[Path]) -> dict[str, Path]:
    return {stem.removesuffix(_MASK_END): path for stem, path in by_image_id(masks)[0].items()}


def _label_files(root: Path) -> list[Path]:
    """HAM10000's metadata if it is there, otherwise every *_GroundTruth.csv, here or in its own folder."""
    here = sorted(path for path in root.iterdir() if path.is_file())
    metadata = [p for p in here if re.fullmatch(r"ham10000_metadata(\.csv|\.tab)?", p.name, re.IGNORECASE)]
    below = sorted(path for path in root.glob("*/*") if path.parent.name.lower() == path.stem.lower())
    return metadata[:1] or [path for path in here + below if path.name.lower().endswith("_groundtruth.csv")]


def read_labels(path: Path) -> tuple[str, pd.DataFrame, tuple[str, ...]]:
    """Kind, labels (n, 7) as `Found` holds them, and the columns that were looked for in vain."""
    raw = read_cells(path)
    kind = HAM10000 if "dx" in raw or not set(CODES) & set(raw) else ISIC_CHALLENGE
    expected = LABELS if kind == HAM10000 else NEEDED[ISIC_CHALLENGE]
    absent = tuple(column for column in expected if column not in raw)
    if kind == ISIC_CHALLENGE:
        diagnoses = _one_hot_diagnosis(raw.reindex(columns=list(CODES)))
        raw = raw.reindex(columns=["image"], fill_value="").rename(columns={"image": "image_id"})
        raw["dx"] = diagnoses
    labels = raw.reindex(columns=list(LABELS), fill_value="")
    labels["image_id"] = labels["image_id"].str.replace(_SUFFIX, "", regex=True)
    labels["dx"] = labels["dx"].str.lower()
    facts = labels[["lesion_id", "dx_type", "age", "sex", "localization"]]
    labels[facts.columns] = facts.mask(facts.map(str.lower).isin(_UNKNOWN), "")
    return kind, labels, absent


def read_cells(path: Path) -> pd.DataFrame:
    """The cells as stripped strings under lower-case column names.

    Python's reader, because it takes short rows, and rows with a comma too many, without shifting columns.

    Raises:
        DatasetError: it is no table in UTF-8, or breaks off.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)  # some countries' spreadsheets write ";"
        cells = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is no table that can be read ({error}). Give a CSV file in UTF-8.") from error
    header, *rows = cells or [[]]
    if rows and len(rows[-1]) < len(header) and not text.endswith("\n"):
        raise DatasetError(f"{path} breaks off in the middle of its last row. Download or copy it again.")
    names = [name.strip().lower() for name in header]
    records = [dict(zip(names, map(str.strip, row), strict=False)) for row in rows]
    return pd.DataFrame(records, columns=list(dict.fromkeys(names)), dtype=str).fillna("")


def _one_hot_diagnosis(columns: pd.DataFrame) -> list[str]:
    """The class whose column is 1 where all the others are 0; otherwise empty."""
    values = columns.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)  # (n, 7)
    single = (values.max(axis=1, initial=0) == 1) & (np.abs(values).sum(axis=1) == 1)
    return [CODES[int(row.argmax())] if one else "" for row, one in zip(values, single, strict=True)]


def _dataset_images(root: Path, folders: list[Path], named: set[str]) -> list[Path]:
    """The images of HAM10000's folders and of every other one that holds an image of the table.

    Other data may lie beside them: the archive of HAM10000 itself holds the ISIC 2018 test images too.
    """
    groups = [([path for path in sorted(root.iterdir()) if _is_image(path)], False)]
    groups += [(image_files(folder), bool(_PART_FOLDER.fullmatch(folder.name))) for folder in folders]
    chosen = [files for files, known in groups if known or any(path.stem in named for path in files)]
    return [path for files in chosen or [files for files, _ in groups] for path in files]


def image_files(folder: Path) -> list[Path]:
    """The images anywhere below a folder, sorted."""
    here = list(folder.iterdir())  # `rglob` enters no linked folder but the one that it begins with
    below = (path for child in here if child.is_dir() for path in child.rglob("*"))
    return sorted(path for path in (*here, *below) if _is_image(path))


def _is_image(path: Path) -> bool:
    # macOS leaves "._NAME.jpg" beside the files of an unpacked archive
    return bool(_SUFFIX.search(path.name)) and not path.name.startswith(".")


def by_image_id(paths: Iterable[Path]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Each image id's first file, and the ids of further files of the same name."""
    index: dict[str, Path] = {}
    twice = []
    for path in paths:
        if index.setdefault(path.stem, path) is not path:
            twice.append(path.stem)
    return index, tuple(twice)
