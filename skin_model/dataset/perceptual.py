"""A perceptual hash per image: equal pictures have equal or nearly equal bits, whatever file they came from.

The hash is pHash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010): of the 8 x 8
lowest frequencies of the discrete cosine transform of a grey 32 x 32 thumbnail, which ones exceed their median.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from skin_model import imaging
from skin_model.errors import DatasetError, ImageError

OnProgress = Callable[[int, int], None]  # (done, total)

_SIDE = 32
_JPEG = b"\xff\xd8\xff"
_ENOUGH = 80  # pixels of the shorter side: below, copies as JPEG and as PNG were told apart
_CHUNK = 256  # rows compared at once: 20 MB for ten thousand images


def thumbnails(paths: Sequence[Path], on_progress: OnProgress | None = None) -> np.ndarray:
    """Grey thumbnails of image files, uint8 (N, 32, 32), decoded by several threads.

    Raises:
        DatasetError: an image cannot be read, by its name.
    """
    small = np.empty((len(paths), _SIDE, _SIDE), np.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the decoders release the interpreter's lock
        for row, thumbnail in enumerate(pool.map(_thumbnail, paths)):
            small[row] = thumbnail
            if on_progress:
                on_progress(row + 1, len(paths))
    return small


def hashes(small: np.ndarray) -> np.ndarray:
    """The hash of each thumbnail (N, 32, 32) as 64 bits, uint64 (N,)."""
    frequencies = np.array([cv2.dct(one)[:8, :8].ravel() for one in small.astype(np.float32)]).reshape(-1, 64)
    bits = frequencies > np.median(frequencies, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def near(hashed: np.ndarray, distance: int) -> Iterator[tuple[int, np.ndarray]]:
    """Which hashes (N,) differ in at most `distance` bits, in slices: (first row, bool (rows, N))."""
    for start in range(0, len(hashed), _CHUNK):
        differing = np.bitwise_count(hashed[start : start + _CHUNK, None] ^ hashed[None])
        yield start, differing <= distance


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Around the reading of one file of a data set: errors become DatasetError with its name."""
    try:
        yield
    except (OSError, ImageError) as error:
        raise DatasetError(
            f"{path}: {error} `python -m skin_model dataset validate DIR` lists all such images."
        ) from error


def grey(path: Path, *, quarter: bool = False) -> np.ndarray:
    """An image file in grey, uint8 (H, W).

    `quarter`: JPEG may be decoded at a quarter of its size, in a quarter of the time, where that leaves enough of it
    for the same hash as of a file of another kind.

    Raises:
        DatasetError: it cannot be read, by its name.
    """
    with named(path):
        data = path.read_bytes()
        pixels = None
        if data.startswith(_JPEG):
            flag = cv2.IMREAD_REDUCED_GRAYSCALE_4 if quarter else cv2.IMREAD_GRAYSCALE
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
            if quarter and pixels is not None and min(pixels.shape) < _ENOUGH:
                pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        return cv2.cvtColor(imaging.decode(data).pixels, cv2.COLOR_RGB2GRAY) if pixels is None else pixels


def _thumbnail(path: Path) -> np.ndarray:
    return cv2.resize(grey(path, quarter=True), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
