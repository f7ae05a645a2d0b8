"""From the bytes of one file to the network's input: the one preprocessing, shared by training and use.

Only pixels survive, upright and in the colours of sRGB: no EXIF, colour profile or DICOM attribute.
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np

from skin_model.decoding import MAX_BYTES, MAX_PIXELS, MIN_SIDE, check_bytes, decode_raster
from skin_model.dicom import decode_dicom
from skin_model.entities import DecodedImage
from skin_model.errors import ImageError

__all__ = ["DEFAULT_SIZE", "MAX_BYTES", "MAX_PIXELS", "MIN_SIDE", "centre", "decode", "fit", "judged_box",
           "pixel_hash", "read", "read_mask", "to_network"]  # fmt: skip

DEFAULT_SIZE = 224


def decode(data: bytes) -> DecodedImage:
    """Decode the bytes of one file.

    Transparent areas become white, as viewers show them: the network judges what the clinician sees, and
    black would look like pigment.  Of more than 8 bits per sample the 8 highest are kept.

    Returns:
        Pixels RGB uint8 (H, W, 3), upright; SHA-256 of `data`; notes such as "only the first frame is used".

    Raises:
        ImageError: for bytes that are no image of an accepted format, a damaged image, or one outside the
            limits on bytes, pixels or sides.
    """
    check_bytes(len(data))
    pixels, notes = decode_dicom(data) if data[128:132] == b"DICM" else decode_raster(data)
    return DecodedImage(pixels, hashlib.sha256(data).hexdigest(), notes)


def read(path: Path) -> DecodedImage:
    """Decode the file at `path`; its size is checked before it is read.

    Raises:
        ImageError: as `decode` does, and where `path` is no file or cannot be read.
    """
    try:
        if not path.is_file():
            raise ImageError(f"There is no file {path.name!r} here; check its name and folder.")
        check_bytes(path.stat().st_size)
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"The file {path.name!r} cannot be read: {error.strerror or error}.") from error
    return decode(data)


def read_mask(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The lesion mask of a picture of `shape` (H, W, ...): uint8 (H, W), 255 on the lesion.

    Raises:
        ImageError: where it cannot be read, has other proportions than the picture, or marks nothing.
    """
    try:
        mask = read(path).pixels[:, :, 0]
    except ImageError as error:
        raise ImageError(f"Its lesion mask {path.name} cannot be used: {error}") from error
    (height, width), (tall, wide) = shape[:2], mask.shape
    if abs(height * wide - width * tall) > max(height, width, tall, wide):  # more than rounding to whole pixels gives
        raise ImageError(
            f"Its lesion mask {path.name} has other proportions ({wide} x {tall} pixels for {width} x {height}). "
            "Put the right mask there, or take it away."
        )
    if mask.max() < 128:  # as where 1 stands for the lesion
        raise ImageError(
            f"Its lesion mask {path.name} marks no lesion: no pixel is brighter than {mask.max()} of 255. Put a mask "
            "there that is 255 on the lesion, or take it away."
        )
    return mask if (tall, wide) == (height, width) else cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)


def fit(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize (H, W, 3), uint8 or float32, to (h, w, 3) with the aspect ratio kept and the shorter side exactly `size`.

    A whole-number reduction first, for which OpenCV has a fast path: 600 x 450 to 299 x 224 takes a fifth of
    the time of one INTER_AREA call, and the outcome is as near to that of the same photograph at 448 x 336.
    """
    height, width = pixels.shape[:2]
    factor = min(height, width) / size
    target = (round(width / factor), round(height / factor))
    if (whole := int(factor)) > 1:
        bottom, right = height % whole, width % whole  # rows and columns that fill no whole output pixel
        inner = pixels[bottom // 2 : height - (bottom + 1) // 2, right // 2 : width - (right + 1) // 2]
        pixels = cv2.resize(inner, (width // whole, height // whole), interpolation=cv2.INTER_AREA)
    if pixels.shape[1::-1] == target:
        return pixels
    # Below a tenth there is nothing left to average.
    method = cv2.INTER_AREA if min(pixels.shape[:2]) > 1.1 * size else cv2.INTER_LINEAR
    return cv2.resize(pixels, target, interpolation=method)


def centre(fitted: np.ndarray) -> np.ndarray:
    """Cut the centred square (s, s, 3) of the shorter side s out of (h, w, 3)."""
    left, top, side = judged_box(*fitted.shape[:2])
    return fitted[top : top + side, left : left + side]


def judged_box(height: int, width: int) -> tuple[int, int, int]:
    """(left, top, side) in pixels of the centred square that the network judges of an image of this size."""
    side = min(height, width)
    return (width - side) // 2, (height - side) // 2, side


def to_network(images: np.ndarray) -> np.ndarray:
    """Turn uint8 (N, s, s, 3) into float32 in [0, 1]; each network scales further by itself."""
    return np.divide(images, 255, dtype=np.float32)


def pixel_hash(pixels: np.ndarray) -> str:
    """SHA-256, hexadecimal, of shape and RGB bytes: equal for equal pixels, whatever file they came from."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
