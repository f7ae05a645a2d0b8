"""The pictures of similar cases, where their data set lies on this server."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from skin_model import settings
from skin_model.entities import SimilarCase
from skin_model.errors import StoreError
from skin_model.services import registered


def pictures(*, cases: Sequence[SimilarCase]) -> dict[str, Path]:
    """The picture of each case that is there, by its image id; none of a data set whose folder is not, or no more."""
    found: dict[str, Path] = {}
    for folder in _folders():
        try:
            known = _pictures(folder, folder.stat().st_mtime_ns)
        except OSError:
            continue
        paths = {case.image: known[case.image] for case in cases if case.image in known}
        found = {image: path for image, path in paths.items() if path.is_file()} | found
    return found


def _folders() -> list[Path]:
    """Where data sets lie: the one of the settings, then those that were registered."""
    data = settings.load().data
    try:
        known = [data_set.folder for data_set in registered.data_sets()]
    except StoreError as error:
        logging.getLogger(__name__).warning("Similar cases are shown without the registered data sets: %s", error)
        known = []
    return [*([] if data is None else [data]), *known]


@lru_cache(maxsize=8)
def _pictures(data: Path, changed: int) -> dict[str, Path]:
    """Every picture below a folder by its image id; looked up anew once files came or went right in it."""
    from skin_model.dataset import layout

    return layout.by_image_id(layout.image_files(data))[0]
