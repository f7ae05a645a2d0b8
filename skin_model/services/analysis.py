"""From an uploaded image to probabilities, decision and class activation maps."""

import io
import time

import numpy as np
from PIL import Image

from skin_model import settings
from skin_model.entities import Analysis, DecodedImage, Example, Explanation, Patient, Prediction
from skin_model.taxonomy import CODES

# PLACEHOLDER bodies, replaced by the integrator; the signatures are final.


def analyse(*, data: bytes, patient: Patient | None = None) -> Analysis:
    """Judge one uploaded image.

    Args:
        data: the file's bytes.
        patient: what is known of the patient.

    Raises:
        ImageError: the bytes cannot be used; the message says why and what is accepted.
        BundleError: no model is fit for use.
    """
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    height, width = pixels.shape[:2]
    side = min(height, width)
    p = np.array([0.05, 0.05, 0.1, 0.02, 0.3, 0.45, 0.03], np.float32)
    yy, xx = np.mgrid[-1:1:7j, -1:1:7j]
    maps = {c: Explanation("Grad-CAM", c, np.exp(-((xx - 0.1 * i) ** 2 + yy**2) * 3).astype(np.float32)) for i, c in enumerate(CODES)}
    time.sleep(0.05)
    return Analysis(DecodedImage(pixels, "0" * 64), ((width - side) // 2, (height - side) // 2, side),
                    Prediction(p, 0.2, "placeholder-0"), maps, patient or Patient())  # fmt: skip


def overlay(*, analysis: Analysis, target: str, opacity: float = 0.45) -> np.ndarray:
    """The analysed image under the heat map of one class: RGB uint8 (H, W, 3), the size of the upload.

    Args:
        analysis: a finished analysis.
        target: class code whose map is shown.
        opacity: 0 (picture alone) to 1; the map's own strength scales it locally, so cold regions stay readable.
    """
    return analysis.image.pixels


def examples() -> list[Example]:
    """Images for a first try: unseen ones of the data set on this server, otherwise drawn ones, labelled synthetic."""
    return [Example(p.stem, p, p.stem.split("-")[0], True) for p in sorted((settings.ASSETS / "examples").glob("*.jpg"))]
