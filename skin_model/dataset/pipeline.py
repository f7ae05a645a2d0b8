"""Batches for training and validation from image files, without TensorFlow; any Keras back end can take them."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skin_model import imaging
from skin_model.dataset.artefacts import add_artefacts
from skin_model.dataset.augmentation import STRENGTHS, augment
from skin_model.dataset.mixing import blend
from skin_model.entities import Patient
from skin_model.errors import DatasetError, ImageError
from skin_model.patients import encode, forget

READERS = min(8, os.cpu_count() or 2)  # threads that decode ahead of the network
_MIXING, _FORGETTING = 1, 2  # streams of their own: [seed, epoch, position] is that of an image's view


@dataclass(frozen=True)
class Teaching:
    """What is learned from other networks beside the labels.

    Attributes:
        answer: images float32 (B, s, s, 3) just as they are learned from, and patients float32 (B, M) or None -> log
            probabilities (B, T, K) of T teachers.
        trusted: float32 (N, T): what each teacher counts for each image; a row's sum is 1.
        share: of the target; the label has the rest.
    """

    answer: Callable[[np.ndarray, np.ndarray | None], np.ndarray]
    trusted: np.ndarray
    share: float

    def targets(
        self, labels: np.ndarray, images: np.ndarray, patients: np.ndarray | None, trusted: np.ndarray
    ) -> np.ndarray:
        """Labels (B, K) and what the teachers, each trusted (B, T) so much, make of a batch, float32 (B, K)."""
        mean = np.einsum("bt,btk->bk", trusted, self.answer(images, patients))
        said = np.exp(mean - mean.max(axis=1, keepdims=True))
        said /= said.sum(axis=1, keepdims=True)
        return ((1 - self.share) * labels + self.share * said).astype(np.float32)


@dataclass(frozen=True)
class Batches:
    """Every batch of every epoch, each a pure function of (seed, epoch, position).

    Attributes:
        paths: image files.
        targets: float32 (N, K): one-hot classes, or (N, 1) malignant or not.
        weights: float32 (N,): what each image counts in the loss.
        shares: float (N,) summing to 1: the chance of each image per draw, or None to take each once an epoch.
        size: side of the network's input in pixels.
        batch: images per batch.
        augmentation: key of `augmentation.STRENGTHS`.
        seed: source of order and augmentation.
        ordered: keep the files' order, for validation.
        artefacts: chance per image of each of `artefacts.add_artefacts`.
        mix: "none", or the kind of `mixing.blend`, which makes targets of two classes.
        patients: of the images, for networks that take `columns` of them as second input.
        columns: of `patients.encode`; none for networks that take images alone.
        masks: files of the lesions' masks, None where there is none, for networks that are told them in training.
        teaching: other networks to learn from.
        multiple: an epoch has a multiple of so many images, leaving out the last ones of its order.
    """

    paths: Sequence[Path]
    targets: np.ndarray
    weights: np.ndarray
    size: int
    batch: int
    augmentation: str = "none"
    seed: int = 0
    shares: np.ndarray | None = None
    ordered: bool = False
    artefacts: float = 0.0
    mix: str = "none"
    patients: Sequence[Patient] = ()
    columns: tuple[str, ...] = ()
    masks: Sequence[Path | None] = ()
    teaching: Teaching | None = None
    multiple: int = 1

    @property
    def images(self) -> int:
        """How many an epoch has."""
        return len(self.paths) - len(self.paths) % self.multiple

    def __len__(self) -> int:
        return -(-self.images // self.batch)

    def order(self, epoch: int) -> np.ndarray:
        """The rows of one epoch, int (images,), in the order in which they are seen."""
        rows = len(self.paths)
        if self.ordered:
            return np.arange(rows)
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(rows) if self.shares is None else rng.choice(rows, rows, p=self.shares)
        return order[: self.images]

    def load(self, row: int, epoch: int, position: int) -> np.ndarray:
        """One augmented image, uint8 (size, size, 3), or (size, size, 4) with its lesion mask where masks are given.

        Raises:
            DatasetError: it is unreadable; names the file.
        """
        try:
            pixels = imaging.read(Path(self.paths[row])).pixels
            if self.masks:
                pixels = np.dstack([pixels, self._mask(row, pixels)])
        except ImageError as error:
            raise DatasetError(
                f"{self.paths[row]}: {error} `python -m skin_model dataset validate DIR` lists all such images."
            ) from error
        fitted = imaging.fit(pixels, self.size)
        rng = np.random.default_rng([self.seed, epoch, position])
        view = augment(fitted, STRENGTHS[self.augmentation], rng)
        if self.artefacts:
            view[..., :3] = add_artefacts(view[..., :3], self.artefacts, rng)
        return view

    def _mask(self, row: int, pixels: np.ndarray) -> np.ndarray:
        """Where no mask is known the lesion may lie anywhere."""
        path = self.masks[row]
        return imaging.read_mask(path, pixels.shape) if path else np.full(pixels.shape[:2], 255, np.uint8)

    def get(self, epoch: int, number: int, order: np.ndarray) -> tuple[Any, Any, Any]:
        """Batch `number` of an epoch in its `order`: images float32 (B, s, s, 3) in [0, 1], targets, weights.

        With `columns` or `masks`, images are a dict of the network's inputs `image`, `patient` float32 (B, M) and
        `mask` float32 (B, s, s, 1); with `masks`, targets and weights are dicts of its outputs, too.
        """
        start = number * self.batch
        rows = order[start : start + self.batch]
        views = imaging.to_network(np.stack([self.load(int(row), epoch, start + i) for i, row in enumerate(rows)]))
        parts = [views[..., :3], self.targets[rows], self.weights[rows]]
        if self.columns:
            parts.append(self._patients(rows, np.random.default_rng([self.seed, epoch, number, _FORGETTING])))
        if self.teaching:
            parts.append(self.teaching.trusted[rows])
        if self.mix != "none":
            parts = blend(self.mix, parts, np.random.default_rng([self.seed, epoch, number, _MIXING]))
        images, targets, weights, *others = parts
        patient = others.pop(0) if self.columns else None
        if self.teaching:
            targets = self.teaching.targets(targets, images, patient, others[0])
        given = {"image": images} | ({} if patient is None else {"patient": patient})
        if self.masks:
            outputs = ("output", "outside")
            return given | {"mask": views[..., 3:]}, dict.fromkeys(outputs, targets), dict.fromkeys(outputs, weights)
        return (images if patient is None else given), targets, weights

    def _patients(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What the network is told of the patients: in training often less than is known."""
        told = [self.patients[row] for row in rows]
        return encode(told if self.ordered else [forget(patient, rng) for patient in told], self.columns)


def as_keras(batches: Batches, epoch: int) -> Any:
    """One epoch as a `keras.utils.PyDataset`, which every back end's `fit` takes; threads work ahead of the network.

    Its `errors_named()` wraps a call of `fit` or `predict`: back ends hide what went wrong in a batch behind their own
    errors, and the person at the screen needs the file's name.
    """
    import keras

    class Epoch(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__(workers=READERS, use_multiprocessing=False, max_queue_size=8)
            self.order = batches.order(epoch)
            self.error: DatasetError | None = None

        def __len__(self) -> int:
            return len(batches)

        def __getitem__(self, number: int) -> tuple[Any, Any, Any]:
            try:
                return batches.get(epoch, number, self.order)
            except DatasetError as error:
                self.error = error
                raise

        @contextmanager
        def errors_named(self) -> Iterator[None]:
            try:
                yield
            except Exception:
                if self.error:
                    raise self.error from None
                raise

    return Epoch()
