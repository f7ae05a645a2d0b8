"""The pictures of similar cases, where their data set lies on this server."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from skin_model import settings
from skin_model.entities import SimilarCase


def pictures(*, cases: Sequence[SimilarCase]) -> dict[str, Path]:
    """The picture of each case that is there, by its image id; none where the data set's folder is not, or no more."""
    data = settings.load().data
    if data is None:
        return {}
    try:
        known = _pictures(data, data.stat().st_mtime_ns)
    except OSError:
        return {}
    found = {case.image: known[case.image] for case in cases if case.image in known}
    return {image: path for image, path in found.items() if path.is_file()}


@lru_cache(maxsize=2)
def _pictures(data: Path, changed: int) -> dict[str, Path]:
    """Every picture below a folder by its image id; looked up anew once the folder has changed."""
    from skin_model.dataset import layout

    return layout.by_image_id(layout.image_files(data))[0]
