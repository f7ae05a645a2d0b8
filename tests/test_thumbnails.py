"""Small copies of pictures: what a page that shows many sends to a telephone."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from skin_model.services import thumbnails


@pytest.mark.parametrize(("size", "small"), [((1500, 1000), (300, 200)), ((400, 1200), (100, 300)), ((180, 120),) * 2])
def test_a_picture_becomes_a_small_jpeg_of_its_own_proportions(tmp_path, size, small):
    Image.new("RGB", size, (200, 120, 90)).save(tmp_path / "lesion.png")
    read = Image.open(io.BytesIO(thumbnails.thumbnail(tmp_path / "lesion.png")))
    assert (read.format, read.size) == ("JPEG", small)
    np.testing.assert_allclose(np.asarray(read).mean((0, 1)), (200, 120, 90), atol=3)


def test_what_cannot_be_read_has_none_and_a_file_that_was_mended_has_one(tmp_path):
    path = tmp_path / "lesion.jpg"
    assert thumbnails.thumbnail(path) is None
    path.write_bytes(b"damaged")
    assert thumbnails.thumbnail(path) is None
    for shade, at in ((50, 1), (200, 2)):
        Image.new("RGB", (200, 200), (shade,) * 3).save(path)
        os.utime(path, (at, at))
        assert abs(np.asarray(Image.open(io.BytesIO(thumbnails.thumbnail(path)))).mean() - shade) < 3
