"""Files written by Pillow, OpenCV and pydicom are read back; hostile bytes give an ImageError or an image."""

import hashlib
import io
import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pydicom import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from skin_model import imaging
from skin_model.errors import ImageError

DERMOSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.7"
PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
FULL_SIZE = Path(__file__).parent.parent.parent / "shared" / "data" / "full_size_examples"


def picture(height=110, width=150, seed=0):
    """A smooth coloured picture without symmetry, so that lossy formats keep it and every turn shows."""
    grid = np.random.default_rng(seed).integers(20, 236, (4, 5, 3), dtype=np.uint8)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


def stored(image, kind, **options):
    """The bytes of a file that Pillow writes of an array or image."""
    buffer = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def difference(first, second):
    return float(np.abs(first.astype(float) - second.astype(float)).mean())


def dicom(values, *, photometric="RGB", kind=DERMOSCOPY, syntax=ExplicitVRLittleEndian, pixels=None, **attributes):
    """The bytes of a DICOM file holding `values`, (H, W) or (H, W, 3), or the encoded frames in `pixels`."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.SOPClassUID, data.SOPInstanceUID = kind, "1.2.3"
    data.PatientName = "Somebody^Known"
    data.Rows, data.Columns = values.shape[:2]
    data.SamplesPerPixel = 3 if values.ndim == 3 else 1
    if values.ndim == 3:
        data.PlanarConfiguration = 0
    bits = 8 * values.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    data.PhotometricInterpretation = photometric
    if syntax == ExplicitVRBigEndian:
        values = values.astype(values.dtype.newbyteorder(">"))
    data.PixelData = values.tobytes() if pixels is None else encapsulate(pixels)
    data["PixelData"].VR = "OB" if bits == 8 else "OW"
    for name, value in attributes.items():
        setattr(data, name, value)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


LOSSLESS = {
    "PNG": {},
    "TIFF": {},
    "TIFF deflate": {"compression": "tiff_adobe_deflate"},
    "TIFF LZW big": {"compression": "tiff_lzw", "big_tiff": True},
    "WEBP": {"lossless": True},
    "BMP": {},
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_give_back_exactly_the_pixels_written(name):
    decoded = imaging.decode(stored(picture(), name.split()[0], **LOSSLESS[name]))
    assert np.array_equal(decoded.pixels, picture())
    assert decoded.pixels.dtype == np.uint8
    assert decoded.notes == ()


@given(
    height=st.integers(100, 260),
    width=st.integers(100, 260),
    quality=st.integers(30, 100),
    progressive=st.booleans(),
    subsampling=st.integers(0, 2),
)
@settings(max_examples=40, deadline=None)
def test_a_jpeg_of_any_size_and_kind_gives_the_pixels_that_pillow_reads(
    height, width, quality, progressive, subsampling
):
    data = stored(picture(height, width), "JPEG", quality=quality, progressive=progressive, subsampling=subsampling)
    with Image.open(io.BytesIO(data)) as reference:
        assert np.array_equal(imaging.decode(data).pixels, np.asarray(reference))


def test_the_hash_is_of_the_files_bytes():
    data = stored(picture(), "PNG")
    assert imaging.decode(data).sha256 == hashlib.sha256(data).hexdigest()


def test_equal_pixels_from_different_files_have_one_pixel_hash_and_other_shapes_another():
    png, bmp = (imaging.decode(stored(picture(), kind)) for kind in ("PNG", "BMP"))
    assert png.sha256 != bmp.sha256
    assert imaging.pixel_hash(png.pixels) == imaging.pixel_hash(bmp.pixels)
    changed = png.pixels.copy()
    changed[5, 5, 1] ^= 1
    assert imaging.pixel_hash(changed) != imaging.pixel_hash(png.pixels)
    black = np.zeros((100, 200, 3), np.uint8)
    assert imaging.pixel_hash(black) != imaging.pixel_hash(black.transpose(1, 0, 2))
    assert imaging.pixel_hash(png.pixels[:, ::-1]) == imaging.pixel_hash(png.pixels[:, ::-1].copy())


# How the upright picture must be stored so that a viewer who obeys the orientation shows it upright again.
STORED_AS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: p.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda p: np.rot90(p, -1),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF deflate", "WEBP", "JPEG"])
@given(orientation=st.sampled_from(sorted(STORED_AS)), height=st.integers(100, 180), width=st.integers(100, 180))
@settings(max_examples=24, deadline=None)
def test_a_file_turned_by_its_exif_equals_the_upright_one(kind, orientation, height, width):
    upright = picture(height, width)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = np.ascontiguousarray(STORED_AS[orientation](upright))
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else LOSSLESS[kind]
    pixels = imaging.decode(stored(turned, kind.split()[0], exif=exif, **options)).pixels
    assert pixels.shape == upright.shape
    assert pixels.flags.c_contiguous
    if kind == "JPEG":
        assert difference(pixels, upright) < 2
    else:
        assert np.array_equal(pixels, upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's; an error among the tests only
def test_a_damaged_exif_block_costs_the_orientation_and_not_the_picture():
    data = stored(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fnonsense")
    assert imaging.decode(data).pixels.shape == (110, 150, 3)


def test_greyscale_becomes_three_equal_channels():
    grey = picture()[..., 0]
    for image in (Image.fromarray(grey), Image.fromarray(grey).convert("LA")):
        pixels = imaging.decode(stored(image, "PNG")).pixels
        assert np.array_equal(pixels, np.stack([grey] * 3, axis=2))
    assert imaging.decode(stored(Image.fromarray(grey), "JPEG")).pixels.shape == (110, 150, 3)


def test_one_bit_and_palette_images_keep_their_colours():
    bits = picture()[..., 0] > 128
    assert np.array_equal(imaging.decode(stored(Image.fromarray(bits), "PNG")).pixels[..., 1], np.where(bits, 255, 0))
    palette = Image.fromarray(picture()).quantize(32)
    assert np.array_equal(imaging.decode(stored(palette, "PNG")).pixels, np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_read_as_the_colours_a_viewer_shows(kind):
    cmyk = Image.fromarray(picture()).convert("CMYK")  # Pillow writes JPEGs inverted, with Adobe's marker
    assert difference(imaging.decode(stored(cmyk, kind)).pixels, picture()) < 3


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_sixteen_bits_are_scaled_and_not_clipped(extension):
    colour = picture()
    deep = colour[..., ::-1].astype(np.uint16) * 257
    for written, expected in ((deep, colour), (deep[..., 0], np.stack([colour[..., 2]] * 3, axis=2))):
        _, encoded = cv2.imencode(extension, written)
        assert np.array_equal(imaging.decode(encoded.tobytes()).pixels, expected)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparent_areas_become_white(kind):
    layers = np.dstack([picture(), np.full((110, 150), 255, np.uint8)])
    layers[:50, :, 3] = 0
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = imaging.decode(stored(Image.fromarray(layers), kind, **options)).pixels
    assert (pixels[:50] == 255).all()
    assert np.array_equal(pixels[50:], picture()[50:])


def test_a_transparent_palette_colour_becomes_white():
    palette = Image.fromarray(picture()).quantize(16)
    hidden = int(np.asarray(palette)[0, 0])
    pixels = imaging.decode(stored(palette, "PNG", transparency=hidden)).pixels
    assert (pixels[np.asarray(palette) == hidden] == 255).all()


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "PNG"])
def test_of_an_animation_or_series_the_first_frame_is_used_and_the_user_told(kind):
    frames = [Image.fromarray(picture(seed=seed)) for seed in range(3)]
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = imaging.decode(stored(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert np.array_equal(decoded.pixels, picture(seed=0))
    assert "first frame" in decoded.notes[0]


def test_32_bit_values_are_refused_because_their_range_is_unknown():
    with pytest.raises(ImageError, match="8 or 16 bits"):
        imaging.decode(stored(Image.fromarray(picture()[..., 0].astype(np.float32)), "TIFF"))


# ---- bad input


BROKEN = {
    "a text file": b"Dear colleague, please find attached the photograph.",
    "a truncated JPEG": stored(picture(), "JPEG")[:-400],
    "a JPEG without its last two bytes": stored(picture(), "JPEG")[:-2],
    "a truncated progressive JPEG": stored(picture(), "JPEG", progressive=True)[:-400],
    "a truncated PNG": stored(picture(), "PNG")[:-400],
    "a truncated TIFF": stored(picture(), "TIFF")[:-400],
    "a truncated WebP": stored(picture(), "WEBP", lossless=True)[:-400],
    "a truncated BMP": stored(picture(), "BMP")[:-400],
    "a truncated DICOM": dicom(picture())[:-400],
    "a JPEG's first bytes": b"\xff\xd8\xff\xe0",
    "an empty file": b"",
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_readable_image_is_refused_with_what_is_accepted(name, capfd):
    with pytest.raises(ImageError, match=r"not a readable image.*JPEG, PNG, TIFF, WebP, BMP and DICOM"):
        imaging.decode(BROKEN[name])
    assert capfd.readouterr().err == ""


def test_a_valid_image_of_another_format_is_named():
    with pytest.raises(ImageError, match=r"a GIF file.*Accepted are JPEG"):
        imaging.decode(stored(picture(), "GIF"))


def test_more_than_25_megabytes_are_refused_before_decoding():
    data = stored(picture(), "JPEG")
    with pytest.raises(ImageError, match=r"25\.0 MB.*limit is 25 MB"):
        imaging.decode(data + bytes(imaging.MAX_BYTES + 1 - len(data)))


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(2**40)  # a sparse terabyte: reading it would fail otherwise
    with pytest.raises(ImageError, match="limit is 25 MB"):
        imaging.read(path)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(ImageError, match=path.name):
            imaging.read(path)


def test_a_file_is_read_as_its_bytes_are_decoded(tmp_path):
    path = tmp_path / "lesion.png"
    path.write_bytes(stored(picture(), "PNG"))
    assert np.array_equal(imaging.read(path).pixels, picture())


def png_of(width, height):
    """A small PNG that claims, with right checksums, to hold width x height pixels."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(10**6))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def resized_header(data, height, width):
    """`data` of a baseline JPEG whose frame header claims another size."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def deflated_zeros(count):
    """A deflated DICOM file followed, inside its deflated part, by `count` million zeros."""
    data = dicom(picture(), syntax=DeflatedExplicitVRLittleEndian)
    start = 144 + struct.unpack_from("<I", data, 140)[0]  # preamble, DICM, group length element, file meta
    deflate = zlib.compressobj(1, wbits=-15)
    body = [deflate.compress(zlib.decompress(data[start:], -15))]
    body += [deflate.compress(bytes(10**6)) for _ in range(count)]
    return data[:start] + b"".join(body) + deflate.flush()


BOMBS = {
    "PNG just above": lambda: png_of(10_000, 5_001),
    "PNG that Pillow warns of": lambda: png_of(10_000, 10_000),
    "PNG that Pillow refuses": lambda: png_of(60_000, 60_000),
    "JPEG": lambda: resized_header(stored(picture(), "JPEG"), 65_000, 65_000),
    "WebP": lambda: b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\0\xff\xff\0",
    "DICOM": lambda: dicom(picture(), Rows=10_000, Columns=6_000),
    "DICOM of many frames": lambda: dicom(picture(), NumberOfFrames=10_000),
    "deflated DICOM": lambda: deflated_zeros(310),
}


@pytest.mark.parametrize("name", BOMBS)
def test_decompression_bombs_are_refused_with_the_limit_and_before_decoding(name):
    data = BOMBS[name]()
    assert len(data) < 2 * 2**20
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="50 million pixels"):
            imaging.decode(data)
        assert tracemalloc.get_traced_memory()[1] < imaging.MAX_PIXELS
    finally:
        tracemalloc.stop()


def test_a_progressive_jpeg_of_endless_scans_is_refused_at_once():
    data = stored(np.full((5_000, 5_000, 3), 128, np.uint8), "JPEG", progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageError, match="not a readable image"):
        imaging.decode(data[:-2] + 100 * last_scan + data[-2:])


@pytest.mark.parametrize("make", [lambda p: stored(p, "JPEG"), lambda p: stored(p, "PNG"), dicom])
def test_a_shorter_side_under_100_pixels_is_refused_with_the_limit(make):
    with pytest.raises(ImageError, match=r"150 x 99 pixels is too small.*100 pixels"):
        imaging.decode(make(picture(99, 150)))
    assert imaging.decode(make(picture(100, 150))).pixels.shape == (100, 150, 3)


# ---- colours


def profile(name=b"Test"):
    """sRGB's profile with red and green exchanged, under a name of four letters."""
    known = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for encoding in ("ascii", "utf-16-be"):
        known = known.replace("sRGB".encode(encoding), name.decode().encode(encoding))
    return known.replace(b"rXYZ", b"xxxx", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"xxxx", b"gXYZ", 1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "DICOM"])
def test_a_colour_profile_is_followed_as_viewers_do(kind):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    if kind == "DICOM":
        decoded = imaging.decode(dicom(picture(), ICCProfile=profile()))
    else:
        decoded = imaging.decode(stored(picture(), kind, icc_profile=profile(), **options))
    assert difference(decoded.pixels, picture()[:, :, [1, 0, 2]]) < (3 if kind == "JPEG" else 1.5)
    assert difference(decoded.pixels, picture()) > 20
    assert decoded.notes == ()


def test_the_profile_of_srgb_changes_nothing():
    decoded = imaging.decode(stored(picture(), "PNG", icc_profile=profile(b"sRGB")))
    assert np.array_equal(decoded.pixels, picture())


@pytest.mark.parametrize("damaged", [b"no profile", profile()[:200], profile().replace(b"RGB ", b"CMYK", 1)])
def test_a_profile_that_cannot_be_used_costs_the_colours_and_says_so(damaged):
    decoded = imaging.decode(stored(picture(), "PNG", icc_profile=damaged))
    assert np.array_equal(decoded.pixels, picture())
    assert "other programs may show other colours" in decoded.notes[0]


# ---- DICOM


@pytest.mark.parametrize("kind", [DERMOSCOPY, PHOTOGRAPH, SECONDARY_CAPTURE])
def test_the_three_dicom_kinds_give_back_exactly_the_pixels_written(kind):
    decoded = imaging.decode(dicom(picture(), kind=kind))
    assert np.array_equal(decoded.pixels, picture())
    assert decoded.notes == ()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_every_uncompressed_dicom_encoding_is_read(syntax):
    assert np.array_equal(imaging.decode(dicom(picture(), syntax=syntax)).pixels, picture())
    deep = picture().astype(np.uint16) << 8
    assert np.array_equal(imaging.decode(dicom(deep, syntax=syntax)).pixels, picture())


def test_a_dicom_of_another_kind_is_named_beside_the_accepted_ones():
    with pytest.raises(ImageError, match=r"CT Image Storage.*Dermoscopic Photography.*Secondary Capture"):
        imaging.decode(dicom(picture(), kind=CTImageStorage))


def test_a_dicom_without_pixels_says_so_with_its_kind():
    data = pydicom.dcmread(io.BytesIO(dicom(picture())))
    del data.PixelData
    buffer = io.BytesIO()
    data.save_as(buffer)
    with pytest.raises(ImageError, match=r"Dermoscopic Photography Image Storage' without pixels"):
        imaging.decode(buffer.getvalue())


def test_of_a_dicom_series_the_first_frame_is_used_and_the_user_told():
    frames = np.stack([picture(seed=seed) for seed in range(3)])
    decoded = imaging.decode(dicom(picture(), NumberOfFrames=3, PixelData=frames.tobytes()))
    assert np.array_equal(decoded.pixels, picture(seed=0))
    assert "first of the 3 frames" in decoded.notes[0]


def test_grey_dicom_values_are_scaled_and_monochrome1_is_white_at_zero():
    grey = picture()[..., 0]
    expected = np.stack([grey] * 3, axis=2)
    twelve = dicom(grey.astype(np.uint16) << 4, photometric="MONOCHROME2", BitsStored=12, HighBit=11)
    signed = dicom(((grey.astype(np.int32) << 8) - 2**15).astype(np.int16), photometric="MONOCHROME2")
    for data in (dicom(grey, photometric="MONOCHROME2"), twelve, signed):
        assert np.array_equal(imaging.decode(data).pixels, expected)
    assert np.array_equal(imaging.decode(dicom(grey, photometric="MONOCHROME1")).pixels, 255 - expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_dicom_palette_colours_are_looked_up(bits):
    index = picture()[..., 0] // 64
    colours = np.array([[200, 10, 30], [20, 160, 90], [1, 2, 3], [250, 240, 0]], np.uint8)
    tables = {}
    for channel, name in enumerate(("Red", "Green", "Blue")):
        entries = colours[:, channel].astype(f"u{bits // 8}") * (257 if bits == 16 else 1)
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, bits]
        tables[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
    pixels = imaging.decode(dicom(index, photometric="PALETTE COLOR", **tables)).pixels
    assert np.array_equal(pixels, colours[index])


def test_uncompressed_ybr_is_converted_to_rgb():
    ybr = np.asarray(Image.fromarray(picture()).convert("YCbCr"))
    assert difference(imaging.decode(dicom(ybr, photometric="YBR_FULL")).pixels, picture()) < 1.5


def with_adobe_marker(jpeg):
    """The JPEG as Photoshop would mark it: Adobe's APP14 in place of JFIF's APP0, colours in YCbCr."""
    length = struct.unpack_from(">H", jpeg, 4)[0]
    marker = b"\xff\xee" + struct.pack(">H", 14) + b"Adobe\0\x64\0\0\0\0\x01"
    return jpeg[:2] + marker + jpeg[4 + length :]


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "RGB"])
@pytest.mark.parametrize("mark", [lambda jpeg: jpeg, with_adobe_marker], ids=["JFIF", "Adobe"])
def test_a_jpeg_inside_a_dicom_has_the_colours_of_the_jpeg(photometric, mark):
    jpeg = mark(stored(picture(), "JPEG", quality=95))
    data = dicom(picture(), photometric=photometric, syntax=JPEGBaseline8Bit, pixels=[jpeg])
    assert difference(imaging.decode(data).pixels, picture()) < 3


def test_a_jpeg_inside_a_dicom_without_markers_follows_the_dicoms_colour_space():
    jpeg = stored(picture(), "JPEG", quality=95)
    bare = jpeg[:2] + jpeg[4 + struct.unpack_from(">H", jpeg, 4)[0] :]
    options = {"syntax": JPEGBaseline8Bit, "pixels": [bare]}
    ybr = imaging.decode(dicom(picture(), photometric="YBR_FULL_422", **options)).pixels
    rgb = imaging.decode(dicom(picture(), photometric="RGB", **options)).pixels
    assert difference(ybr, picture()) < 3
    assert difference(rgb, np.asarray(Image.fromarray(picture()).convert("YCbCr"))) < 3


def test_jpeg_2000_and_run_length_dicoms_give_back_exactly_the_pixels_written():
    codestream = stored(picture(), "JPEG2000", no_jp2=True, irreversible=False, mct=1)
    data = dicom(picture(), photometric="YBR_RCT", syntax=JPEG2000Lossless, pixels=[codestream])
    assert np.array_equal(imaging.decode(data).pixels, picture())
    packed = pydicom.dcmread(io.BytesIO(dicom(picture())))
    packed.compress(RLELossless)
    buffer = io.BytesIO()
    packed.save_as(buffer)
    assert np.array_equal(imaging.decode(buffer.getvalue()).pixels, picture())


def test_a_dicom_compression_that_cannot_be_read_is_named():
    with pytest.raises(ImageError, match=r"JPEG-LS Lossless.*Export it uncompressed"):
        imaging.decode(dicom(picture(), syntax=JPEGLSLossless, pixels=[b"\xff\xd8\xff\xf7"]))


def test_a_dicom_whose_jpeg_is_larger_than_its_header_says_is_refused():
    jpeg = stored(picture(400, 500), "JPEG")
    with pytest.raises(ImageError, match="not a readable image"):
        imaging.decode(dicom(picture(), photometric="YBR_FULL_422", syntax=JPEGBaseline8Bit, pixels=[jpeg]))


# ---- hostile bytes


SEEDS = [
    stored(picture(), "JPEG"),
    stored(picture(), "JPEG", progressive=True),
    stored(Image.fromarray(picture()).convert("CMYK"), "JPEG"),
    stored(picture(), "PNG"),
    stored(Image.fromarray(picture()).quantize(16), "PNG"),
    *(stored(picture(), "TIFF", **options) for options in ({}, {"compression": "tiff_lzw"})),
    stored(picture(), "TIFF", compression="jpeg"),
    stored(picture(), "WEBP"),
    stored(picture(), "BMP"),
    dicom(picture()),
    dicom(picture()[..., 0], photometric="MONOCHROME1", syntax=ImplicitVRLittleEndian),
    dicom(picture(), syntax=DeflatedExplicitVRLittleEndian),
    dicom(picture(), photometric="YBR_FULL_422", syntax=JPEGBaseline8Bit, pixels=[stored(picture(), "JPEG")]),
]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_is_done_to_a_file_it_gives_an_image_or_an_image_error(data):
    content = bytearray(data.draw(st.sampled_from(SEEDS), label="file"))
    for _ in range(data.draw(st.integers(0, 6), label="changes")):
        # Half of the changes hit the header, where they do most.
        end = data.draw(st.sampled_from([700, len(content)]))
        at = data.draw(st.integers(0, max(0, min(end, len(content)) - 1)))
        content[at : at + data.draw(st.sampled_from([0, 1, 4]))] = data.draw(st.binary(max_size=4))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    try:
        pixels = imaging.decode(bytes(content)).pixels
    except ImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert min(pixels.shape[:2]) >= imaging.MIN_SIDE


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"II*\0", b"RIFF", b"BM", b"\xff\xd8\xff", bytes(128) + b"DICM"]),
)
@settings(deadline=None)
def test_random_bytes_behind_any_signature_are_refused(body, signature):
    with pytest.raises(ImageError):
        imaging.decode(signature + body)


def test_many_threads_decode_the_same_pixels():
    expected = [imaging.decode(data).pixels for data in SEEDS]
    with ThreadPoolExecutor(8) as pool:
        for index, decoded in enumerate(pool.map(imaging.decode, SEEDS * 8)):
            assert np.array_equal(decoded.pixels, expected[index % len(SEEDS)])


# ---- from pixels to the network


@given(st.integers(100, 700), st.integers(100, 700), st.integers(32, 256))
@settings(max_examples=60, deadline=None)
def test_fitting_keeps_the_aspect_ratio_and_makes_the_shorter_side_exact(height, width, size):
    fitted = imaging.fit(np.zeros((height, width, 3), np.uint8), size)
    assert min(fitted.shape[:2]) == size
    assert abs(max(fitted.shape[:2]) - max(height, width) * size / min(height, width)) <= 0.5
    assert imaging.centre(fitted).shape == (size, size, 3)


@given(st.integers(300, 900), st.integers(300, 900), st.sampled_from([64, 128, 224]))
@settings(max_examples=40, deadline=None)
def test_fitting_averages_areas_and_moves_nothing(height, width, size):
    pixels = picture(height, width)
    fitted = imaging.fit(pixels, size)
    reference = cv2.resize(pixels, fitted.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert difference(fitted, reference) < 2  # a shift by one pixel would give about 10
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    area = min(height, width) / size
    assert imaging.fit(noise, size).std() < 1.25 * noise.std() / max(1.0, area)


def test_an_image_of_the_right_size_is_not_resampled():
    pixels = picture(224, 300)
    assert np.array_equal(imaging.fit(pixels, 224), pixels)


@given(st.integers(100, 500), st.integers(100, 500))
@settings(max_examples=40, deadline=None)
def test_the_judged_box_is_the_square_the_network_sees(height, width):
    left, top, side = imaging.judged_box(height, width)
    rows, columns = np.mgrid[:height, :width]
    where = np.dstack([rows, columns, rows]).astype(np.float32)
    seen = cv2.resize(where, imaging.fit(np.zeros((height, width, 3), np.uint8), 128).shape[1::-1])
    seen = imaging.centre(seen)
    step = side / 128  # one of the network's pixels
    assert abs(seen[..., 0].mean() - (top + (side - 1) / 2)) <= step
    assert abs(seen[..., 1].mean() - (left + (side - 1) / 2)) <= step
    assert top + side <= height
    assert left + side <= width


def test_the_network_gets_floats_from_zero_to_exactly_one():
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    values = imaging.to_network(images)
    assert values.dtype == np.float32
    assert values.shape == images.shape
    assert values.min() == 0
    assert values.max() == 1
    assert np.allclose(values[0, ..., 0].ravel() * 255, np.arange(256), atol=1e-4)


def test_real_photographs_are_decoded_as_pillow_decodes_them():
    paths = sorted(FULL_SIZE.glob("*.jpg"))[:12]
    if not paths:
        pytest.skip("the full-size HAM10000 examples are not on this machine (../shared/data/full_size_examples)")
    for path in paths:
        with Image.open(path) as reference:
            assert np.array_equal(imaging.read(path).pixels, np.asarray(reference))
