"""Pictures of different lesions that look alike: listed for one review, and kept in one part where they are the same.

Candidates are pairs whose perceptual hashes are near, and the nearest by the network's embedding, of which most are
different lesions that resemble each other.  Those are listed in which many points of one picture are found again in
the other.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from skin_model.dataset import keypoints, layout, perceptual, splits
from skin_model.errors import DatasetError
from skin_model.neighbours import Axes

COLUMNS = (
    "image_a", "image_b", "lesion_a", "lesion_b", "dx_a", "dx_b", "matching_points", "embedding_distance",
    "hash_distance", "same_lesion",
)  # fmt: skip
OnStage = Callable[[str], None]

# docs/experiments.md, "Look-alikes", has the measurements on HAM10000.
_HASH_DISTANCE = 6  # of 64 bits: 1,527 pairs
_NEAREST = 8  # by embedding, of each picture
_POINTS = 6  # found again in 90 % of the pairs that are known to show one lesion and in none of 3,000 drawn by chance
_AXES = 256

_NEEDED = ("image_a", "image_b", "same_lesion")
_ANSWERS = ("yes", "no", "")


def find(
    table: pd.DataFrame,
    embeddings: np.ndarray,
    *,
    on_stage: OnStage = lambda _: None,
    on_progress: perceptual.OnProgress | None = None,
) -> pd.DataFrame:
    """Pairs of images that seem to show one lesion, but stand under different ones.

    Args:
        table: image_id, lesion_id, dx and path; an image without lesion_id is its own lesion.
        embeddings: float32 (N, D), which turning a picture must not change: `Classifier.embeddings`.
        on_stage: told of each stage.
        on_progress: told of (images or pairs done, in all) in each.

    Returns:
        `COLUMNS`, the pair with the most matching points first; `embedding_distance` is 1 less the cosine along
        principal axes of equal variance; `same_lesion` is empty.

    Raises:
        DatasetError: an image cannot be read, by its name.
    """
    paths, lesion = list(table["path"]), pd.factorize(splits.lesions(table))[0]
    on_stage("hashing the pictures")
    hashed = perceptual.hashes(perceptual.thumbnails(paths, on_progress))
    places = _places(embeddings)
    a, b = _candidates(hashed, places, lesion)
    on_stage("looking for points in them")
    points = keypoints.find(paths, on_progress)
    on_stage("comparing the points of pairs")
    matching = _matching(points, a, b, on_progress)
    a, b, matching = (of_pair[matching >= _POINTS] for of_pair in (a, b, matching))
    listed = _side(table, a, "a").join(_side(table, b, "b"))
    listed["matching_points"] = matching
    listed["embedding_distance"] = (1 - (places[a] * places[b]).sum(axis=1)).round(3)
    listed["hash_distance"] = np.bitwise_count(hashed[a] ^ hashed[b])
    listed["same_lesion"] = ""
    order = {"matching_points": False, "embedding_distance": True, "image_a": True, "image_b": True}
    return listed.sort_values([*order], ascending=[*order.values()], ignore_index=True)[list(COLUMNS)]


def _places(embeddings: np.ndarray) -> np.ndarray:
    """Unit vectors (N, K) along principal axes of equal variance.

    The nearest to a picture is another one of its lesion in 53 % of HAM10000, by bare embeddings in 31 %.
    """
    one_class, count = np.zeros(len(embeddings), int), min(_AXES, max(1, len(embeddings) // 4))
    axes = Axes.of(embeddings, one_class, widths=(), count=count)  # with lengths as they are, as in the list reviewed
    places = axes(embeddings)[0] / np.sqrt(axes.variances)
    return places / np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-12)


def _candidates(hashed: np.ndarray, places: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Pairs of rows of different lesions, (2, pairs), each once: near by hash (N,), or the nearest by place (N, K)."""
    found = []
    count = min(_NEAREST, len(places))
    for start, alike in perceptual.near(hashed, _HASH_DISTANCE):
        rows = slice(start, start + len(alike))
        other = lesion[rows, None] != lesion[None]
        apart = np.where(other, -places[rows] @ places.T, np.inf)
        np.put_along_axis(alike, np.argpartition(apart, count - 1, axis=1)[:, :count], True, axis=1)
        pairs = np.argwhere(alike & other)
        pairs[:, 0] += start
        found.append(np.sort(pairs, axis=1))
    return np.unique(np.concatenate(found), axis=0).T


def _matching(
    points: Sequence[keypoints.Keypoints], a: np.ndarray, b: np.ndarray, on_progress: perceptual.OnProgress | None
) -> np.ndarray:
    """How many points the pictures of each pair of rows share, (pairs,)."""
    counts = np.zeros(len(a), int)
    for pair, (one, other) in enumerate(zip(a, b, strict=True)):
        counts[pair] = keypoints.matching(points[one], points[other])
        if on_progress:
            on_progress(pair + 1, len(a))
    return counts


def _side(table: pd.DataFrame, rows: np.ndarray, name: str) -> pd.DataFrame:
    """image_a, lesion_a and dx_a (or b) of some rows."""
    side = table[["image_id", "lesion_id", "dx"]].iloc[rows].reset_index(drop=True)
    return side.set_axis([f"image_{name}", f"lesion_{name}", f"dx_{name}"], axis=1)


def read_review(path: Path) -> pd.DataFrame:
    """The pairs of a reviewed list that show one lesion: image_a, image_b.

    Raises:
        DatasetError: no such table, a missing column, or an answer other than yes, no or none.
    """
    listed = layout.read_cells(path)
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
