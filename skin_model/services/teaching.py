"""Several finished trainings as teachers of one: a small network learns what their average says (distillation).

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.  An image's teachers are those that
never learned from it, where there are some: on what it has learned by heart, a network repeats the label.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from skin_model import conversion, files, imaging, networks
from skin_model.dataset.labels import TAUGHT
from skin_model.entities import TrainingConfig
from skin_model.errors import ConfigurationError, TrainingError
from skin_model.evaluation import calibration
from skin_model.inference import to_logits, turned
from skin_model.patients import PatientPart, of_table
from skin_model.services import prediction
from skin_model.training.state import RunState, lineage, read_state

VIEWS = 2  # averaged per teacher
_KEPT = "teachers.csv"

OnAnswer = Callable[[int, int], None]  # (images answered, images in all)


def check(config: TrainingConfig, fingerprint: str) -> None:
    """Refuse teachers that would teach what is to be measured, before hours are spent.

    Raises:
        ConfigurationError: teachers of another task, or that learned from lesions of the validation fold.
        TrainingError: teachers that are not finished, or of another split.
    """
    if config.task != "diagnosis":
        raise ConfigurationError("Teachers teach the seven diagnoses; leave --task out.")
    for teacher in config.teacher_runs:
        for state in lineage(teacher):
            _check_one(state, teacher, config, fingerprint)


def _check_one(state: RunState, teacher: Path, config: TrainingConfig, fingerprint: str) -> None:
    if not state.finished or state.to_refit or state.config.task != "diagnosis":
        raise TrainingError(f"{teacher} cannot teach: it needs to be a finished training on the seven diagnoses.")
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


def with_teachers(rows: pd.DataFrame, config: TrainingConfig, folder: Path, on_answer: OnAnswer) -> pd.DataFrame:
    """The training rows with the teachers' probabilities in columns `TAUGHT`; kept in the run's folder.

    Args:
        rows: with columns image_id, part, path, age, sex and localization.
        config: names the teachers.
        folder: of the run that is taught.
        on_answer: told of progress.
    """
    kept = folder / _KEPT
    if kept.is_file():
        known = pd.read_csv(kept, dtype={"image_id": str, "teachers": str}).set_index("image_id")
        if set(rows["image_id"]) <= set(known.index) and set(known["teachers"]) == {config.teachers}:
            return rows.join(known.loc[rows["image_id"], list(TAUGHT)].astype(np.float32).set_axis(rows.index))
    teachers = config.teacher_runs
    met = np.stack([rows["part"] != read_state(run).config.validation for run in teachers], axis=1)  # (N, teachers)
    logits = np.stack([answers(run, rows, VIEWS, on_answer) for run in teachers], axis=1)  # (N, teachers, 7)
    counts = np.where(met.all(axis=1, keepdims=True), 1.0, ~met)
    mean = np.einsum("nt,ntk->nk", counts / counts.sum(axis=1, keepdims=True), logits)
    taught = pd.DataFrame(calibration.softmax(mean, 1.0), rows.index, columns=list(TAUGHT))
    folder.mkdir(parents=True, exist_ok=True)
    with files.whole(kept) as partial:
        taught.assign(image_id=rows["image_id"], teachers=config.teachers).to_csv(partial, index=False)
    return rows.join(taught)


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
