"""Several finished trainings as teachers of one: a small network learns what their average says (distillation).

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.  The teachers see the very view of an
image that is learned from (Beyer et al., "Knowledge distillation: a good teacher is patient and consistent", CVPR
2022), and it is taught by those that never learned from it, where there are some: what it knows by heart, a network
only repeats.
"""

from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd

from skin_model import conversion, imaging, networks
from skin_model.dataset.pipeline import Teaching
from skin_model.errors import ConfigurationError, TrainingError
from skin_model.inference import to_logits, turned
from skin_model.patients import PatientPart, of_table
from skin_model.recipe import TrainingConfig
from skin_model.services import prediction
from skin_model.training.state import RunState, lineage, read_state

OnAnswer = Callable[[int, int], None]  # (images answered, images in all)


def check(config: TrainingConfig, fingerprint: str) -> None:
    """Refuse teachers that would teach what is to be measured, before hours are spent; none are fine.

    Raises:
        ConfigurationError: teachers of another task, or that learned from lesions of the validation fold.
        TrainingError: teachers that are not finished, or of another split.
    """
    if config.teachers and config.task != "diagnosis":
        raise ConfigurationError("Teachers teach the seven diagnoses; leave --task out.")
    for teacher in config.teacher_runs:
        for state in lineage(teacher):
            _check_one(state, teacher, config, fingerprint)


def _check_one(state: RunState, teacher: Path, config: TrainingConfig, fingerprint: str) -> None:
    if state.config.task != "diagnosis":
        raise TrainingError(f"{teacher} cannot teach: it needs to be a training on the seven diagnoses.")
    if state.split != fingerprint:
        raise TrainingError(
            f"{teacher} was trained on another split, so it may have met test lesions of this one. "
            "Give the same --split to both trainings."
        )
    if config.validation not in ("none", state.config.validation):
        raise ConfigurationError(
            f"{teacher} has learned from lesions of {config.validation} and would teach the network what is to be "
            f"measured there. Name trainings validated on {config.validation}."
        )


def teaching(rows: pd.DataFrame, config: TrainingConfig) -> Teaching:
    """What a configuration's teachers have to say of the training rows, which have a column `part`.

    A teacher that takes the patient is told what the learner is told, if both take the same columns; else nothing.
    """
    teachers = [_Teacher(run, config) for run in config.teacher_runs]
    met = np.stack([rows["part"] != read_state(run).config.validation for run in config.teacher_runs], axis=1)
    counts = np.where(met.all(axis=1, keepdims=True), 1.0, ~met)
    return Teaching(
        answer=lambda images, patients: np.stack([teacher(images, patients) for teacher in teachers], axis=1),
        trusted=(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32),
        share=config.teacher_share,
    )


class _Teacher:
    """A finished network that is asked about batches; by one thread at a time, for memory's sake."""

    def __init__(self, run: Path, config: TrainingConfig) -> None:
        trained = conversion.load_keras(run / "best.keras")
        self._model = networks.picture_part(trained)
        part = PatientPart.of(trained, read_state(run).config.columns)
        self._part = part if part and part.columns == config.columns else None
        self._lock = Lock()

    def __call__(self, images: np.ndarray, patients: np.ndarray | None) -> np.ndarray:
        """Log probabilities (B, 7), but for what all classes share, of images (B, s, s, 3) of any size."""
        size = self._model.input_shape[1]
        if images.shape[1] != size:
            images = np.stack([imaging.fit(image, size) for image in images])
        with self._lock:
            logits = to_logits(np.asarray(self._model.predict_on_batch(images)))
        return logits if patients is None or self._part is None else logits + self._part.of_encoded(patients)


def answers(run: Path, rows: pd.DataFrame, views: int, on_answer: OnAnswer) -> np.ndarray:
    """Log probabilities float64 (N, 7) of a run's best network for the rows of a table, averaged over the views."""
    trained = conversion.load_keras(run / "best.keras")
    model = networks.picture_part(trained)
    logits: list[np.ndarray] = []
    done = 0
    for group in prediction.batches(prediction.readable(prediction.load(rows["path"], model.input_shape[1]))):
        squares = np.stack([item.square for item in group])
        outputs = np.asarray(model.predict_on_batch(imaging.to_network(turned(squares, views))))
        logits.append(to_logits(outputs).reshape(views, len(squares), -1).mean(0))
        done += len(squares)
        on_answer(done, len(rows))
    found = np.concatenate(logits)
    part = PatientPart.of(trained, read_state(run).config.columns)
    return found if part is None else found + part.logits(of_table(rows))
