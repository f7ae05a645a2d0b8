"""Explanations of judged files, as pictures in a folder."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2

from skin_model import files, imaging
from skin_model.entities import Analysis, Explanation
from skin_model.errors import ConfigurationError
from skin_model.explain.methods import METHODS
from skin_model.inference import Classifier
from skin_model.services import explaining
from skin_model.services.prediction import Judged
from skin_model.taxonomy import CODES

LIKELIEST = "likeliest"
OPACITY = 0.45
_STEM = 180  # bytes of a picture's own name in that of its explanation


def check_order(methods: Iterable[str], targets: Iterable[str]) -> None:
    """Refuse unknown names before anything is judged.  Raises ConfigurationError."""
    for name, known in (*((m, METHODS) for m in methods), *((t, (LIKELIEST, *CODES)) for t in targets)):
        if name not in known:
            raise ConfigurationError(f"There is no {name!r}; choose from {', '.join(known)}.")


def write(
    *, classifier: Classifier, judged: Judged, folder: Path, methods: Iterable[str], targets: Iterable[str]
) -> list[dict[str, Any]]:
    """Write the picture under each map as PNG into `folder`, which exists.

    Args:
        classifier: the model that judged the file.
        judged: a file with its answer.
        folder: where to.
        methods: keys of `METHODS`.
        targets: class codes, or `LIKELIEST` for the file's likeliest.

    Returns:
        Objects of method, target and `file`; where nothing speaks for the class, `file` is None and `note` says so.
    """
    assert judged.prediction is not None
    image = imaging.read(judged.path)
    square = imaging.centre(imaging.fit(image.pixels, classifier.manifest.size))
    analysis = Analysis(image, imaging.judged_box(*image.pixels.shape[:2]), judged.prediction, {}, square=square)
    codes = {judged.prediction.diagnosis.code if target == LIKELIEST else target: None for target in targets}
    written = []
    for method in methods:
        found: dict[str, Explanation] = {}
        for code in codes:
            if code not in found:
                found |= explaining.explain(analysis=analysis, method=method, target=code, classifier=classifier)
            entry: dict[str, Any] = {"method": method, "target": code, "file": None}
            if found[code].heat_map.any():
                # part of the hash: files of one name from several folders must not overwrite each other
                entry["file"] = f"{_short(judged.path.stem)}-{judged.sha256[:8]}-{method}-{code}.png"
                painted = explaining.paint(analysis=analysis, heat_map=found[code].heat_map, opacity=OPACITY)
                _, png = cv2.imencode(".png", painted[:, :, ::-1])
                with files.whole(folder / entry["file"]) as partial:
                    partial.write_bytes(png.tobytes())
            else:
                entry["note"] = explaining.nothing(code)
            written.append(entry)
    return written


def _short(stem: str) -> str:
    """A name that leaves room for what follows it in the 255 bytes of a file name; the hash keeps it apart."""
    whole = os.fsencode(stem)
    return stem if len(whole) <= _STEM else whole[:_STEM].decode(errors="ignore")
