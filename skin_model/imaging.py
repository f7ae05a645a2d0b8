"""From the bytes of one file to the network's input: the one preprocessing, shared by training and use.

Limits are checked on the header, before any pixel is decoded, and no library's global state is touched, so
that every function may run in several threads at once.  Only pixels survive: no EXIF, colour profile or DICOM
attribute.
"""

import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import BmpImagePlugin, ExifTags, Image, TiffImagePlugin
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from skin_model.entities import DecodedImage
from skin_model.errors import ImageError

MAX_BYTES = 25 * 2**20
MAX_PIXELS = 50_000_000
MIN_SIDE = 100
DEFAULT_SIZE = 224

_ACCEPTED = "Accepted are JPEG, PNG, TIFF, WebP, BMP and DICOM images."
_UNREADABLE = f"This file is not a readable image: it is damaged, incomplete or of another kind. {_ACCEPTED}"

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

_SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.77.1.7": "Dermoscopic Photography Image Storage",
    "1.2.840.10008.5.1.4.1.1.77.1.4": "VL Photographic Image Storage",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image Storage",
}
_DEFLATED, _RLE, _JPEG_12_BIT = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.51"
_MAX_UNPACKED = 6 * MAX_PIXELS  # bytes: three samples of 16 bits


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
    _check_bytes(len(data))
    pixels, notes = _decode_dicom(data) if data[128:132] == b"DICM" else _decode_raster(data)
    return DecodedImage(pixels, hashlib.sha256(data).hexdigest(), notes)


def read(path: Path) -> DecodedImage:
    """Decode the file at `path`; its size is checked before it is read.

    Raises:
        ImageError: as `decode` does, and where `path` is no file or cannot be read.
    """
    try:
        if not path.is_file():
            raise ImageError(f"There is no file {path.name!r} here; check its name and folder.")
        _check_bytes(path.stat().st_size)
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"The file {path.name!r} cannot be read: {error.strerror or error}.") from error
    return decode(data)


def fit(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize (H, W, 3) uint8 to (h, w, 3) with the aspect ratio kept and the shorter side exactly `size`.

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


@contextmanager
def _decoding() -> Iterator[None]:
    """Around calls into a decoder only: on hostile bytes they raise nearly anything."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise ImageError(_too_many_pixels("This image")) from error
    except Exception as error:
        raise ImageError(_UNREADABLE) from error


def _check_bytes(count: int) -> None:
    if count == 0:
        raise ImageError(f"This file is not a readable image: it is empty. {_ACCEPTED}")
    if count > MAX_BYTES:
        raise ImageError(
            f"This file has {count / 2**20:.1f} MB and the limit is {MAX_BYTES // 2**20} MB. "
            "Save it as a JPEG or at a lower resolution."
        )


def _too_many_pixels(what: str) -> str:
    limit = f"{MAX_PIXELS // 10**6} million pixels"
    return f"{what} has more than the limit of {limit}. Save it at a lower resolution."


def _check_sides(width: int, height: int, frames: int = 1) -> None:
    if width * height * frames > MAX_PIXELS:
        size = f"{width} x {height}" + (f" x {frames} frames" if frames > 1 else "")
        raise ImageError(_too_many_pixels(f"This image of {size}"))
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"This image of {width} x {height} pixels is too small: its shorter side must have at least "
            f"{MIN_SIDE} pixels. Use the original photograph."
        )


def _decode_raster(data: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """Pixels and notes of a JPEG, PNG, TIFF, WebP or BMP file."""
    plugin = next((plugin for magic, plugin in _PLUGINS.items() if data.startswith(magic)), None)
    if plugin is None:
        for offset, magic, kind in _REFUSED_FORMATS:
            if data.startswith(magic, offset):
                raise ImageError(f"This is {kind} file, which cannot be used here. {_ACCEPTED}")
        raise ImageError(_UNREADABLE)
    image = _opened(plugin, data)
    pixels = _rgb(image, data)
    animated = getattr(image, "is_animated", False)
    notes = ("Only the first frame of this animation or series is used.",) if animated else ()
    return _upright(pixels, _orientation(image)), notes


def _opened(plugin: type[ImageFile], data: bytes) -> ImageFile:
    """The image with its header read and checked, its pixels still packed."""
    with _decoding():
        image = plugin(io.BytesIO(data))
    width, height = image.size
    _check_sides(width, height)
    if "progressive" in image.info and width * height * data.count(b"\xff\xda") > _MAX_SCANNED:
        raise ImageError(_UNREADABLE)
    if image.mode in ("I", "F"):
        raise ImageError("This image has 32 bits per value, of unknown range. Save it with 8 or 16 bits.")
    return image


def _rgb(image: ImageFile, data: bytes) -> np.ndarray:
    """RGB uint8 (H, W, 3) of an opened image of any mode, on white where it is transparent."""
    if isinstance(image, JpegImageFile) and image.mode == "RGB":
        # Same pixels as Pillow in three quarters of the time; a truncated file gives None.
        with _decoding():
            flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if pixels is None or pixels.shape != (image.height, image.width, 3):
            raise ImageError(_UNREADABLE)
        return pixels
    with _decoding():
        image.load()  # applies the orientation of a TIFF, which `getexif` then no longer has
        if image.mode.startswith("I;16"):
            return _colour(_eight_bits(np.asarray(image), bits=16))
        opaque: Image.Image = image
        if image.has_transparency_data:
            above = image.convert("RGBA")
            opaque = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
        return np.array(opaque.convert("RGB"))


def _colour(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def _eight_bits(values: np.ndarray, bits: int) -> np.ndarray:
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


def _decode_dicom(data: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """Pixels and notes of a DICOM file."""
    import pydicom  # a second at its first import, which most files need not pay

    with _decoding():
        too_large = _inflates_beyond_limit(data)
    if too_large:
        raise ImageError(_too_many_pixels("This image"))
    with _decoding():
        dataset = pydicom.dcmread(io.BytesIO(data))
        kind = pydicom.uid.UID(str(dataset.get("SOPClassUID", "")))
        has_pixels = "PixelData" in dataset
    if kind not in _SOP_CLASSES or not has_pixels:
        found = f"{kind.name or 'unknown'!r}" + ("" if has_pixels else " without pixels")
        accepted = ", ".join(_SOP_CLASSES.values())
        raise ImageError(f"This DICOM file is of the kind {found}. Accepted are, with pixels: {accepted}.")
    with _decoding():
        frames = max(1, int(dataset.get("NumberOfFrames") or 1))
        columns, rows = int(dataset.Columns), int(dataset.Rows)
    _check_sides(columns, rows, frames)
    pixels = _first_frame(dataset, (columns, rows), frames)
    notes = (f"Only the first of the {frames} frames of this DICOM file is used.",) if frames > 1 else ()
    return pixels, notes


def _inflates_beyond_limit(data: bytes) -> bool:
    """Whether a deflated data set unpacks to more than `_MAX_UNPACKED` bytes; it is unpacked no further."""
    from pydicom.filereader import read_dataset

    stream = io.BytesIO(data)
    stream.seek(132)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") != _DEFLATED:
        return False
    inflater, packed, unpacked = zlib.decompressobj(-zlib.MAX_WBITS), stream.read(), 0
    while packed and unpacked <= _MAX_UNPACKED:
        unpacked += len(inflater.decompress(packed, 2**24))
        packed = inflater.unconsumed_tail
    return unpacked > _MAX_UNPACKED


def _first_frame(dataset: Any, size: tuple[int, int], frames: int) -> np.ndarray:
    """RGB uint8 (H, W, 3) of a data set of (columns, rows) `size`."""
    from pydicom.encaps import get_frame
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    with _decoding():
        syntax, bits = UID(str(dataset.file_meta.TransferSyntaxUID)), int(dataset.BitsStored)
        photometric = str(dataset.PhotometricInterpretation)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        decoder = None
    if decoder is None or not decoder.is_available or (syntax == _JPEG_12_BIT and bits > 8):
        raise ImageError(
            f"This DICOM file is stored as {syntax.name!r} with {bits} bits, which cannot be read here. "
            "Export it uncompressed, as JPEG Baseline or as JPEG 2000."
        )
    pixels = None
    if syntax.is_encapsulated:
        with _decoding():
            frame = get_frame(dataset.PixelData, 0, number_of_frames=frames)
        pixels = _jpeg_frame(frame, size, photometric, syntax)
    if pixels is None:
        pixels = _converted(dataset, decoder)
    return 255 - pixels if photometric == "MONOCHROME1" else pixels


def _jpeg_frame(frame: bytes, size: tuple[int, int], photometric: str, syntax: str) -> np.ndarray | None:
    """RGB of a frame that is a JPEG stream with its colour space named; None for pydicom to decode.

    pydicom 3.0.2 converts a YCbCr stream with an Adobe marker twice.

    Raises:
        ImageError: for a frame that would unpack to more than the DICOM header says.
    """
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

    if syntax == _RLE:
        if 64 * len(frame) > _MAX_UNPACKED:  # two bytes give at most 128
            raise ImageError(_too_many_pixels("This image"))
        return None
    image = _opened(JpegImageFile if frame.startswith(b"\xff\xd8") else Jpeg2KImageFile, frame)
    if image.size != size:
        raise ImageError(_UNREADABLE)
    named = photometric != "RGB" or not image.info.keys().isdisjoint(("jfif", "adobe"))
    return _rgb(image, frame) if isinstance(image, JpegImageFile) and named else None


def _converted(dataset: Any, decoder: Any) -> np.ndarray:
    """RGB uint8 (H, W, 3) of the first frame as pydicom decodes it."""
    from pydicom.pixels import apply_color_lut

    with _decoding():
        values, properties = decoder.as_array(dataset, index=0)
        photometric, bits = properties["photometric_interpretation"], int(properties["bits_stored"])
        if photometric == "PALETTE COLOR":
            values = apply_color_lut(values, dataset)
            bits = 8 * values.dtype.itemsize
    if photometric not in ("RGB", "PALETTE COLOR", "MONOCHROME1", "MONOCHROME2") or bits > 16:
        raise ImageError(
            f"This DICOM file stores {photometric!r} values of {bits} bits, which cannot be read here. "
            "Export it as RGB with 8 bits."
        )
    if values.dtype.kind == "i":
        values = values.astype(np.int32) + 2 ** (bits - 1)
    pixels = _eight_bits(values, bits)
    return _colour(pixels) if pixels.ndim == 2 else np.ascontiguousarray(pixels)
