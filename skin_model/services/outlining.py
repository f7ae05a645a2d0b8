"""Outline the lesion of an analysed picture and measure it, when asked for."""

from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from skin_model import features, settings
from skin_model.entities import Analysis, Outline
from skin_model.explain import overlay

if TYPE_CHECKING:
    from skin_model.segmentation.outline import Segmenter

_loading = Lock()


def outline(*, analysis: Analysis, uploaded: tuple[int, int]) -> Outline:
    """Outline the lesion of an analysed picture and measure it.

    Args:
        analysis: a finished analysis; its picture may be a reduced copy.
        uploaded: (width, height) of the picture as uploaded.

    Raises:
        BundleError: the segmentation is missing or damaged.
    """
    with _loading:  # once, however many ask
        segmenter = _load(settings.ASSETS / "segmentation")
    pixels = analysis.image.pixels
    mask = segmenter.mask(pixels)
    found = features.measure(pixels, mask, scale=uploaded[0] / pixels.shape[1])
    test = segmenter.manifest.figures["test"]
    dice, poor = test["dice"]["value"], test["poor"]["value"]
    return Outline(mask, None, found, dice, poor) if isinstance(found, str) else Outline(mask, found, "", dice, poor)


def draw(*, analysis: Analysis, outline: Outline) -> np.ndarray:
    """The analysed picture, RGB uint8 (H, W, 3), with the outline on it."""
    return overlay.outlined(analysis.image.pixels, outline.mask)


@lru_cache(maxsize=1)
def _load(folder: Path) -> "Segmenter":
    from skin_model.segmentation.outline import Segmenter

    return Segmenter.load(folder)
