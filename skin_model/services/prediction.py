"""Judge many image files: the same function as the analyse page, in batches."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np

from skin_model import imaging
from skin_model.dataset.layout import image_files
from skin_model.dataset.pipeline import READERS
from skin_model.entities import FINE, REFUSED, Patient, Prediction, QualityReport
from skin_model.errors import ConfigurationError, DatasetError, ImageError
from skin_model.inference import Classifier
from skin_model.services.gate import Gate
from skin_model.services.gate import square as gated_square

BATCH = 32
Change = Callable[[int, np.ndarray], np.ndarray]  # (position, pixels) -> pixels


@dataclass(frozen=True)
class Loaded:
    """One file on its way into the network.

    Attributes:
        path: the file.
        square: uint8 (s, s, 3); empty where `error` says why it cannot go.
        sha256, pixels: hashes of the file's bytes and of its pixels, where asked for.
        mask: uint8 (s, s), the lesion's mask over the same square, or None where there is none.
        error: a sentence.
        gated: what the gate looks at, where asked for.
    """

    path: Path
    square: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 3), np.uint8))
    sha256: str = ""
    pixels: str = ""
    mask: np.ndarray | None = None
    error: str = ""
    gated: np.ndarray | None = None


@dataclass(frozen=True)
class Judged:
    """One file with its answer for a patient, or why it has none: `error`, or a `quality` that is "not judged"."""

    path: Path
    sha256: str
    prediction: Prediction | None
    error: str = ""
    quality: QualityReport = field(default_factory=QualityReport)
    patient: Patient = field(default_factory=Patient)

    def to_json(self) -> dict[str, Any]:
        """The object of `predict --json`."""
        if self.error:
            return {"image": str(self.path), "error": self.error}
        found: dict[str, Any] = {"image": str(self.path), "sha256": self.sha256} | self.quality.to_json()
        if self.prediction is None:
            return found
        return found | {
            "probabilities": self.prediction.by_code(),
            "diagnosis": self.prediction.diagnosis.code,
            "malignant_probability": self.prediction.malignant_probability,
            "threshold": self.prediction.threshold,
            "refer": self.prediction.refer,
            "model_version": self.prediction.model_version,
            "patient": asdict(self.patient),
        }

    @property
    def sentence(self) -> str:
        """The outcome in one line of text."""
        if self.error:
            return f"error: {self.error}"
        why = " ".join(finding.sentence for finding in self.quality.reasons)
        if self.prediction is None:
            return f"{REFUSED}: {why}"
        gated = "" if self.quality.outcome == FINE else f"; {self.quality.outcome}: {why}"
        return self.prediction.sentence + gated


def predict(
    *,
    classifier: Classifier,
    paths: Iterable[Path],
    views: int | None = None,
    patient: Patient | None = None,
    judge_all: bool = False,
) -> Iterator[Judged]:
    """Judge files and folders, one answer per image in the order given; a bad file never stops the others.

    Args:
        classifier: a loaded seven-class model.
        paths: image files, or folders whose images (by suffix) are taken recursively, sorted.
        views: views to average; the bundle's own number by default.
        patient: what is known of the patient whose pictures these are.
        judge_all: also judge pictures that the gate refuses.

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
    gate, manifest = Gate(classifier.bundle), classifier.manifest
    for group in batches(load(listed(paths), manifest.size, to_gate=True)):
        squares = [item.square for item in group if not item.error]
        answered: Iterator[tuple[np.ndarray, QualityReport]] = iter(())
        if squares:
            stack = np.stack(squares)
            answers = classifier.answer(stack, views)
            logits = classifier.with_patients(answers.logits, [patient] * len(squares))
            looked_at = [item.gated for item in group if item.gated is not None]
            reports = [report for report, _ in gate.check(looked_at, answers.embeddings)]
            answered = zip(classifier.probabilities(logits), reports, strict=True)
        for item in group:
            if item.error:
                yield Judged(item.path, item.sha256, None, item.error)
                continue
            probabilities, report = next(answered)
            prediction = Prediction(probabilities, manifest.threshold, manifest.model_version)
            withheld = report.outcome == REFUSED and not judge_all
            yield Judged(item.path, item.sha256, None if withheld else prediction, quality=report, patient=patient)


def listed(paths: Iterable[Path]) -> Iterator[Path]:
    """Expand folders to the images in them."""
    for path in paths:
        try:
            found = sorted(image_files(path)) if path.is_dir() else [path]
        except OSError:
            found = [path]  # reading it will say what is wrong with it
        yield from found


def load(
    paths: Iterable[Path],
    size: int,
    with_pixels: bool = False,
    *,
    masks: Iterable[Path | None] = (),
    change: Change | None = None,
    to_gate: bool = False,
) -> Iterator[Loaded]:
    """Read and prepare files ahead of the network, in order, in threads; at most two batches wait in memory.

    Args:
        paths: files.
        size: side of the network's input.
        with_pixels: also hash the decoded pixels.
        masks: the lesion mask of each file, or none at all.
        change: makes another picture of each, told its position.
        to_gate: also cut what the gate looks at.
    """

    def one(position: int, path: Path, mask: Path | None) -> Loaded:
        try:
            image = imaging.read(path)
            found = None if mask is None else imaging.read_mask(mask, image.pixels.shape)
        except ImageError as error:
            return Loaded(path, error=str(error))
        pixels = change(position, image.pixels) if change else image.pixels
        square = imaging.centre(imaging.fit(pixels, size))
        judged = None if found is None else imaging.centre(imaging.fit(found, size))
        hashed = imaging.pixel_hash(pixels) if with_pixels else ""
        gated = gated_square(pixels, square) if to_gate else None
        return Loaded(path, square, image.sha256, hashed, judged, gated=gated)

    waiting: deque[Future[Loaded]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for position, (path, mask) in enumerate(zip(paths, chain(masks, repeat(None)), strict=False)):
            waiting.append(pool.submit(one, position, path, mask))
            if len(waiting) >= 2 * BATCH:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def squares(paths: Iterable[Path], size: int, change: Change | None = None) -> Iterator[np.ndarray]:
    """Files as `Classifier.answer` takes them, uint8 (n, size, size, 3), `BATCH` at a time.

    Arguments as of `load`.  Raises DatasetError, naming the file, at the first that cannot be read.
    """
    for group in batches(readable(load(paths, size, change=change))):
        yield np.stack([item.square for item in group])


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


def no_formula(text: str) -> str:
    """Text for a cell of a CSV that no spreadsheet takes for a formula (OWASP, "CSV injection")."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
