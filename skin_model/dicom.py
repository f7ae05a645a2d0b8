"""Pixels of a DICOM file: dermoscopic photographs, other photographs and secondary captures."""

import io
import zlib
from typing import Any

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from skin_model.decoding import (
    MAX_PIXELS,
    UNREADABLE,
    as_colour,
    check_sides,
    decoding,
    eight_bits,
    in_srgb,
    opened,
    rgb,
    too_many_pixels,
)
from skin_model.errors import ImageError

_SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.77.1.7": "Dermoscopic Photography Image Storage",
    "1.2.840.10008.5.1.4.1.1.77.1.4": "VL Photographic Image Storage",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image Storage",
}
_DEFLATED, _RLE, _JPEG_12_BIT = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.51"
_MAX_UNPACKED = 6 * MAX_PIXELS  # bytes: three samples of 16 bits


def decode_dicom(data: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """RGB uint8 (H, W, 3) and notes of a DICOM file; ImageError for another kind, damage or too many pixels."""
    import pydicom  # a second at its first import, which most files need not pay

    with decoding():
        too_large = _inflates_beyond_limit(data)
    if too_large:
        raise ImageError(too_many_pixels("This image"))
    with decoding():
        dataset = pydicom.dcmread(io.BytesIO(data))
        kind = pydicom.uid.UID(str(dataset.get("SOPClassUID", "")))
        has_pixels = "PixelData" in dataset
    if kind not in _SOP_CLASSES or not has_pixels:
        found = f"{kind.name or 'unknown'!r}" + ("" if has_pixels else " without pixels")
        accepted = ", ".join(_SOP_CLASSES.values())
        raise ImageError(f"This DICOM file is of the kind {found}. Accepted are, with pixels: {accepted}.")
    with decoding():
        frames = max(1, int(dataset.get("NumberOfFrames") or 1))
        columns, rows = int(dataset.Columns), int(dataset.Rows)
    check_sides(columns, rows, frames)
    with decoding():
        profile = dataset.get("ICCProfile")
    pixels, notes = in_srgb(_first_frame(dataset, (columns, rows), frames), profile)
    if frames > 1:
        notes += (f"Only the first of the {frames} frames of this DICOM file is used.",)
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

    with decoding():
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
        with decoding():
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
            raise ImageError(too_many_pixels("This image"))
        return None
    image = opened(JpegImageFile if frame.startswith(b"\xff\xd8") else Jpeg2KImageFile, frame)
    if image.size != size:
        raise ImageError(UNREADABLE)
    named = photometric != "RGB" or not image.info.keys().isdisjoint(("jfif", "adobe"))
    return rgb(image, frame) if isinstance(image, JpegImageFile) and named else None


def _converted(dataset: Any, decoder: Any) -> np.ndarray:
    """RGB uint8 (H, W, 3) of the first frame as pydicom decodes it."""
    from pydicom.pixels import apply_color_lut

    with decoding():
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
    pixels = eight_bits(values, bits)
    return as_colour(pixels) if pixels.ndim == 2 else np.ascontiguousarray(pixels)
