"""Pictures of different lesions that look alike: listed for one review, and kept in one part where they are the same.

A perceptual hash finds candidates and no more: most of them are different lesions on similar skin.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from skin_model.dataset import perceptual, splits
from skin_model.errors import DatasetError

COLUMNS = (
    "image_a", "image_b", "lesion_a", "lesion_b", "dx_a", "dx_b", "distance", "correlation", "same_lesion",
)  # fmt: skip
DISTANCE = 6  # of 64 bits: 1,527 pairs in HAM10000; 330 at 4 and 5,611 at 8

_NEEDED = ("image_a", "image_b", "same_lesion")
_ANSWERS = ("yes", "no", "")


def find(
    table: pd.DataFrame, *, distance: int = DISTANCE, on_progress: perceptual.OnProgress | None = None
) -> pd.DataFrame:
    """Pairs of images of different lesions whose perceptual hashes are near.

    Args:
        table: image_id, lesion_id, dx and path; an image without lesion_id is its own lesion.
        distance: largest number of differing bits, of 64.
        on_progress: told of (images done, images in all).

    Returns:
        `COLUMNS`, with `correlation` of the grey 32 x 32 thumbnails and `same_lesion` empty; the most alike first.

    Raises:
        DatasetError: an image cannot be read, by its name.
    """
    small = perceptual.thumbnails(list(table["path"]), on_progress)
    hashed, lesion = perceptual.hashes(small), pd.factorize(splits.lesions(table))[0]
    found = [np.empty((0, 2), int)]
    for start, alike in perceptual.near(hashed, distance):
        other = lesion[start : start + len(alike), None] != lesion[None]
        pairs = np.argwhere(alike & other)
        pairs[:, 0] += start
        found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    a, b = np.concatenate(found).T
    listed = _side(table, a, "a").join(_side(table, b, "b"))
    listed["distance"] = np.bitwise_count(hashed[a] ^ hashed[b])
    listed["correlation"] = _correlation(small[a], small[b]).round(3)
    listed["same_lesion"] = ""
    listed = listed.sort_values(["correlation", "image_a", "image_b"], ascending=[False, True, True], ignore_index=True)
    return listed[list(COLUMNS)]


def _side(table: pd.DataFrame, rows: np.ndarray, name: str) -> pd.DataFrame:
    """image_a, lesion_a and dx_a (or b) of some rows."""
    side = table[["image_id", "lesion_id", "dx"]].iloc[rows].reset_index(drop=True)
    return side.set_axis([f"image_{name}", f"lesion_{name}", f"dx_{name}"], axis=1)


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each pair of thumbnails (N, h, w), float (N,); 0 for a picture of one grey."""
    a, b = (x - x.mean(axis=(1, 2), keepdims=True) for x in (a.astype(float), b.astype(float)))
    norms = np.sqrt((a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2)))
    return (a * b).sum(axis=(1, 2)) / np.where(norms > 0, norms, 1)


def read_review(path: Path) -> pd.DataFrame:
    """The pairs of a reviewed list that show one lesion: image_a, image_b.

    Raises:
        DatasetError: no such table, a missing column, or an answer other than yes, no or none.
    """
    try:
        listed = pd.read_csv(path, dtype=str, encoding="utf-8-sig", keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise DatasetError(f"The reviewed list {path} cannot be read ({error}). Give a CSV file in UTF-8.") from error
    if absent := [column for column in _NEEDED if column not in listed]:
        raise DatasetError(
            f"The reviewed list {path} lacks the columns {', '.join(absent)}. "
            "Make one with `python -m skin_model dataset lookalikes`."
        )
    answer = listed["same_lesion"].str.strip().str.lower()
    if not answer.isin(_ANSWERS).all():
        other = ", ".join(answer[~answer.isin(_ANSWERS)].unique()[:5])
        raise DatasetError(f"same_lesion in {path} must be yes, no or empty; found: {other}. Correct these rows.")
    return listed.loc[answer == "yes", ["image_a", "image_b"]].reset_index(drop=True)


def merge(table: pd.DataFrame, same: pd.DataFrame) -> pd.DataFrame:
    """Give lesions that were found to be one a common lesion_id, so that `splits.draw` keeps them in one part.

    Args:
        table: image_id and lesion_id of each image.
        same: image_a, image_b of pictures of one lesion; through chains too.

    Returns:
        A copy of `table`; all other lesions keep their lesion_id.

    Raises:
        DatasetError: a pair names an image that the table lacks.
    """
    unknown = sorted(set(same["image_a"]).union(same["image_b"]) - set(table["image_id"]))
    if unknown:
        raise DatasetError(
            f"{len(unknown):,} images of the reviewed list are not in this data set ({', '.join(unknown[:5])}). "
            "Give the list that was made of it."
        )
    lesion = splits.lesions(table)
    lesion_of = dict(zip(table["image_id"], lesion, strict=True))
    into: dict[str, str] = {}

    def final(name: str) -> str:
        while name in into:
            name = into[name]
        return name

    for a, b in zip(same["image_a"], same["image_b"], strict=True):
        low, high = sorted((final(lesion_of[a]), final(lesion_of[b])))
        if low != high:
            into[low] = high  # the higher name: that of an unknown lesion sorts before all others
    renamed = {name: final(name).removeprefix(splits.UNKNOWN) for name in [*into, *into.values()]}
    return table.assign(lesion_id=lesion.map(renamed).fillna(table["lesion_id"]))
