"""The pictures of similar cases, where their data set lies on this server."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from skin_model import settings
from skin_model.bundle import Bundle
from skin_model.entities import SimilarCase
from skin_model.errors import DatasetError, StoreError
from skin_model.services import registered, workspace


def pictures(*, cases: Sequence[SimilarCase], model: str) -> dict[str, Path]:
    """The picture of each case that is there, by its image id.

    None of a data set whose folder is not there, or that the model did not learn from: another clinic's picture of the
    same name must not stand under a confirmed diagnosis.

    Args:
        cases: as the model named them.
        model: its version; of one that is in use no more nothing is found.
    """
    in_use = workspace.model_state().summary
    if in_use is None or in_use.version != model:
        return {}
    made = workspace.classifier().bundle
    found: dict[str, Path] = {}
    for folder, split in _folders():
        try:
            known, lesions = _data_set(folder, folder.stat().st_mtime_ns)
        except (OSError, DatasetError):
            continue
        if split == made.manifest.data.get("split") or _same_lesions(lesions, _seen(made)):
            paths = {case.image: known[case.image] for case in cases if case.image in known}
            found = {image: path for image, path in paths.items() if path.is_file()} | found
    return found


def _folders() -> list[tuple[Path, str]]:
    """Where data sets lie, with the fingerprint of each one's split: that of the settings, then the registered ones."""
    data = settings.load().data
    try:
        known = [(data_set.folder, data_set.fingerprint) for data_set in registered.data_sets()]
    except StoreError as error:
        logging.getLogger(__name__).warning("Similar cases are shown without the registered data sets: %s", error)
        known = []
    return [*([] if data is None else [(data, "")]), *known]


def _same_lesions(lesions: dict[str, str], seen: dict[str, str]) -> bool:
    """Whether the pictures that both know by name are of the same lesions."""
    both = lesions.keys() & seen.keys()
    return bool(both) and all(lesions[image] == seen[image] for image in both)


def _seen(made: Bundle) -> dict[str, str]:
    """Image id -> lesion of what a model has met."""
    from skin_model.services.evaluation import read_seen

    seen = read_seen(made).dropna(subset="lesion_id")
    return dict(zip(seen["image_id"], seen["lesion_id"], strict=True))


@lru_cache(maxsize=8)
def _data_set(data: Path, changed: int) -> tuple[dict[str, Path], dict[str, str]]:
    """Image id -> picture, and image id -> lesion, of a folder; looked up anew once files came or went right in it."""
    from skin_model.dataset import layout

    found = layout.find(data)
    labelled = found.labels[found.labels["lesion_id"] != ""]
    return found.images, dict(zip(labelled["image_id"], labelled["lesion_id"], strict=True))
