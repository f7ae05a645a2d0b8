"""Small copies of pictures on this server, for a page that shows many."""

import io
from functools import lru_cache
from pathlib import Path

from PIL import Image

from skin_model import imaging
from skin_model.errors import ImageError

SIDE = 300  # pixels of the longer side: sharp at half of that on the dense screen of a telephone


def thumbnail(path: Path) -> bytes | None:
    """A picture as a JPEG of at most `SIDE` pixels; None where it cannot be read."""
    try:
        return _made(path, path.stat().st_mtime_ns)
    except (ImageError, OSError):
        return None


@lru_cache(maxsize=128)  # some 15 kB each
def _made(path: Path, changed: int) -> bytes:
    """Made anew once the file has changed."""
    small, file = Image.fromarray(imaging.read(path).pixels), io.BytesIO()
    small.thumbnail((SIDE, SIDE))
    small.save(file, "JPEG", quality=85)
    return file.getvalue()
