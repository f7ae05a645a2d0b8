"""Judge many image files: the same function as the analyse page, in batches."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skin_model import imaging
from skin_model.dataset.layout import image_files
from skin_model.dataset.pipeline import READERS
from skin_model.entities import Patient, Prediction
from skin_model.errors import ConfigurationError, DatasetError, ImageError
from skin_model.inference import Classifier

BATCH = 32


@dataclass(frozen=True)
class Loaded:
    """One file on its way into the network; where `error` says why it cannot go, `square` is empty."""

    path: Path
    square: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 3), np.uint8))
    sha256: str = ""
    pixels: str = ""
    error: str = ""


@dataclass(frozen=True)
class Judged:
    """One file with its answer, or the reason why it has none."""

    path: Path
    sha256: str
    prediction: Prediction | None
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """The object of `predict --json`."""
        if self.prediction is None:
            return {"image": str(self.path), "error": self.error}
        return {
            "image": str(self.path),
            "sha256": self.sha256,
            "probabilities": self.prediction.by_code(),
            "diagnosis": self.prediction.diagnosis.code,
            "malignant_probability": self.prediction.malignant_probability,
            "refer": self.prediction.refer,
            "model_version": self.prediction.model_version,
        }


def predict(
    *, classifier: Classifier, paths: Iterable[Path], views: int | None = None, patient: Patient | None = None
) -> Iterator[Judged]:
    """Judge files and folders, one answer per image in the order given; a bad file never stops the others.

    Args:
        classifier: a loaded seven-class model.
        paths: image files, or folders whose images (by suffix) are taken recursively, sorted.
        views: views to average; the bundle's own number by default.
        patient: what is known of the patient whose pictures these are.

    Raises:
        BundleError: for a model without the seven classes.
        ConfigurationError: a patient for a model that judges pictures alone.
    """
    classifier.require_diagnosis()
    patient = patient or Patient()
    if patient != Patient() and not classifier.manifest.metadata:
        raise ConfigurationError(
            f"The model {classifier.manifest.model_version} judges pictures alone; leave age, sex and site out."
        )
    size = classifier.manifest.size
    for group in batches(load(listed(paths), size)):
        squares = [item.square for item in group if not item.error]
        probabilities: Iterator[np.ndarray] = iter(())
        if squares:
            logits = classifier.answer(np.stack(squares), views).logits
            probabilities = iter(classifier.probabilities(classifier.with_patients(logits, [patient] * len(squares))))
        for item in group:
            prediction = None
            if not item.error:
                prediction = Prediction(
                    next(probabilities), classifier.manifest.threshold, classifier.manifest.model_version
                )
            yield Judged(item.path, item.sha256, prediction, item.error)


def listed(paths: Iterable[Path]) -> Iterator[Path]:
    """Expand folders to the images in them."""
    for path in paths:
        try:
            found = sorted(image_files(path)) if path.is_dir() else [path]
        except OSError:
            found = [path]  # reading it will say what is wrong with it
        yield from found


def load(paths: Iterable[Path], size: int, with_pixels: bool = False) -> Iterator[Loaded]:
    """Read and prepare files ahead of the network, in order, in threads; at most two batches wait in memory.

    Args:
        paths: files.
        size: side of the network's input.
        with_pixels: also hash the decoded pixels.
    """

    def one(path: Path) -> Loaded:
        try:
            image = imaging.read(path)
        except ImageError as error:
            return Loaded(path, error=str(error))
        square = imaging.centre(imaging.fit(image.pixels, size))
        return Loaded(path, square, image.sha256, imaging.pixel_hash(image.pixels) if with_pixels else "")

    waiting: deque[Future[Loaded]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for path in paths:
            waiting.append(pool.submit(one, path))
            if len(waiting) >= 2 * BATCH:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def readable(items: Iterable[Loaded]) -> Iterator[Loaded]:
    """The items as they are; raises DatasetError, naming the file, at the first that could not be read."""
    for item in items:
        if item.error:
            raise DatasetError(
                f"{item.path.name}: {item.error} `python -m skin_model dataset validate DIR` lists all such images."
            )
        yield item


def batches(items: Iterable[Loaded]) -> Iterator[list[Loaded]]:
    """Group items by `BATCH`."""
    group: list[Loaded] = []
    for item in items:
        group.append(item)
        if len(group) == BATCH:
            yield group
            group = []
    if group:
        yield group
