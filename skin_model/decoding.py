"""Pixels of a JPEG, PNG, TIFF, WebP or BMP file, and the limits that every image must keep.

Limits are checked on the header, before any pixel is decoded, and no library's global state is touched, so that every
function may run in several threads at once.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from PIL import BmpImagePlugin, ExifTags, Image, ImageCms, TiffImagePlugin
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from skin_model.errors import ImageError

MAX_BYTES = 25 * 2**20
MAX_PIXELS = 50_000_000
MIN_SIDE = 100
MAX_ASPECT = 20  # longer side over shorter; beyond, resizing would need gigabytes

_ACCEPTED = "Accepted are JPEG, PNG, TIFF, WebP, BMP and DICOM images."
UNREADABLE = f"This file is not a readable image: it is damaged, incomplete or of another kind. {_ACCEPTED}"

# Called directly: Image.open would announce large images through the warnings of the whole process.
_PLUGINS: dict[bytes, type[ImageFile]] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"RIFF": WebPImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
}
_REFUSED_FORMATS = (
    (0, b"GIF8", "a GIF"), (0, b"8BPS", "a Photoshop"), (0, b"%PDF-", "a PDF"), (4, b"ftypavif", "an AVIF"),
    (4, b"ftyphei", "a HEIC"), (4, b"ftypmif1", "a HEIC"), (4, b"jP  \r\n", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
)  # fmt: skip
# A progressive JPEG may pass over all its pixels in thousands of tiny scans: 7 KB more cost 11 seconds.
_MAX_SCANNED = 20 * MAX_PIXELS


@contextmanager
def decoding() -> Iterator[None]:
    """Around calls into a decoder only: on hostile bytes they raise nearly anything."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise ImageError(too_many_pixels("This image")) from error
    except Exception as error:
        raise ImageError(UNREADABLE) from error


def check_bytes(count: int) -> None:
    """Refuse an empty file and one above `MAX_BYTES` with an ImageError."""
    if count == 0:
        raise ImageError(f"This file is not a readable image: it is empty. {_ACCEPTED}")
    if count > MAX_BYTES:
        raise ImageError(
            f"This file has {count / 2**20:.1f} MB and the limit is {MAX_BYTES // 2**20} MB. "
            "Save it as a JPEG or at a lower resolution."
        )


def too_many_pixels(what: str) -> str:
    """The sentence for a picture above `MAX_PIXELS`."""
    limit = f"{MAX_PIXELS // 10**6} million pixels"
    return f"{what} has more than the limit of {limit}. Save it at a lower resolution."


def check_sides(width: int, height: int, frames: int = 1) -> None:
    """Refuse sides in pixels that are too many, too few or too unequal with an ImageError."""
    if width * height * frames > MAX_PIXELS:
        size = f"{width} x {height}" + (f" x {frames} frames" if frames > 1 else "")
        raise ImageError(too_many_pixels(f"This image of {size}"))
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"This image of {width} x {height} pixels is too long and narrow for a photograph of a lesion. "
            "Cut it to the lesion and its surroundings."
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"This image of {width} x {height} pixels is too small: its shorter side must have at least "
            f"{MIN_SIDE} pixels. Use the original photograph."
        )


def decode_raster(data: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """RGB uint8 (H, W, 3), upright, and notes of a JPEG, PNG, TIFF, WebP or BMP file; ImageError if it is none."""
    plugin = next((plugin for magic, plugin in _PLUGINS.items() if data.startswith(magic)), None)
    if plugin is None:
        for offset, magic, kind in _REFUSED_FORMATS:
            if data.startswith(magic, offset):
                raise ImageError(f"This is {kind} file, which cannot be used here. {_ACCEPTED}")
        raise ImageError(UNREADABLE)
    image = opened(plugin, data)
    pixels, notes = in_srgb(rgb(image, data), image.info.get("icc_profile"))
    if getattr(image, "is_animated", False):
        notes += ("Only the first frame of this animation or series is used.",)
    return _upright(pixels, _orientation(image)), notes


def in_srgb(pixels: np.ndarray, profile: bytes | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """RGB uint8 (H, W, 3) as viewers show it by the ICC profile that came with it, and a note where that cannot be.

    Telephones store wider colours than sRGB, in which the pictures are that the networks learned from.
    """
    if not profile:
        return pixels, ()
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if own.profile.xcolor_space.strip() == "GRAY" or "sRGB" in (own.profile.profile_description or ""):
            return pixels, ()
        common = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        changed = ImageCms.profileToProfile(Image.fromarray(pixels), own, common, outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return pixels, ("Its colour profile cannot be used: other programs may show other colours.",)
    return np.array(changed), ()


def opened(plugin: type[ImageFile], data: bytes) -> ImageFile:
    """The image with its header read and checked, its pixels still packed; ImageError for one that must not be."""
    with decoding():
        image = plugin(io.BytesIO(data))
    width, height = image.size
    check_sides(width, height)
    if "progressive" in image.info and width * height * data.count(b"\xff\xda") > _MAX_SCANNED:
        raise ImageError(UNREADABLE)
    if image.mode in ("I", "F"):
        raise ImageError("This image has 32 bits per value, of unknown range. Save it with 8 or 16 bits.")
    return image


def rgb(image: ImageFile, data: bytes) -> np.ndarray:
    """RGB uint8 (H, W, 3) of an opened image of any mode, on white where it is transparent; ImageError if damaged."""
    if isinstance(image, JpegImageFile) and image.mode == "RGB":
        # Same pixels as Pillow in three quarters of the time; a truncated file gives None.
        with decoding():
            flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if pixels is None or pixels.shape != (image.height, image.width, 3):
            raise ImageError(UNREADABLE)
        return pixels
    with decoding():
        image.load()  # applies the orientation of a TIFF, which `getexif` then no longer has
        if image.mode.startswith("I;16"):
            return as_colour(eight_bits(np.asarray(image), bits=16))
        opaque: Image.Image = image
        if image.has_transparency_data:
            above = image.convert("RGBA")
            opaque = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
        return np.array(opaque.convert("RGB"))


def as_colour(grey: np.ndarray) -> np.ndarray:
    """Grey (H, W) as three equal channels (H, W, 3)."""
    return np.repeat(grey[..., None], 3, axis=2)


def eight_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Scale integers of `bits` bits from 0 up to uint8; truncating, as Pillow does for 48-bit colour."""
    top = 2**bits - 1
    values = np.clip(values, 0, top)
    if bits > 8:
        return (values >> (bits - 8)).astype(np.uint8)
    return values.astype(np.uint8) if bits == 8 else (values.astype(np.uint16) * 255 // top).astype(np.uint8)


def _orientation(image: Image.Image) -> Any:
    """The EXIF orientation, 1 where it is missing or damaged: without it the picture is turned, but whole."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # the EXIF block is as hostile as the rest of the file
        return 1


def _upright(pixels: np.ndarray, orientation: Any) -> np.ndarray:
    """Undo an EXIF orientation (CIPA DC-008, tag 274: where the 0th row and the 0th column are seen)."""
    if orientation not in range(2, 9):
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
