"""Fit a model's temperature, operating points and prediction sets, on images that no answering network learned from."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model.bundle import Manifest
from skin_model.dataset import splits
from skin_model.dataset.labels import class_indices, is_malignant
from skin_model.errors import ConfigurationError, TrainingError
from skin_model.evaluation import calibration, limits, metrics
from skin_model.inference import Classifier
from skin_model.patients import of_table
from skin_model.recipe import TrainingConfig
from skin_model.services import crossval, evaluation
from skin_model.training.state import lineage, without_places


@dataclass(frozen=True)
class OutOfFold:
    """What the networks of a cross-validation say of the folds' images, each of those it did not learn from.

    Attributes:
        told: their answers, each network's by its own temperature from the calibration part.
        about: what a model says of it: images, lesions, views, the settings of the trainings, and under "stages" those
            of the cross-validations whose networks they started from, as far as known.
    """

    told: limits.Told
    about: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, split: pd.DataFrame) -> "OutOfFold":
        """Read what `crossval` left in its folder.

        Raises:
            ConfigurationError: it is not of this split, or not all folds are finished.
        """
        try:
            found = json.loads((folder / "crossval.json").read_text(encoding="utf-8"))
            answered = crossval.read_answers(folder / "oof.csv")
            settings, own_split, views = TrainingConfig(**found["config"]), found["split"], found["views"]
            labels, probabilities = crossval.truth(answered)
            logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
        except (OSError, ValueError, KeyError, TypeError, ConfigurationError) as error:
            raise ConfigurationError(
                f"{folder} holds no finished cross-validation ({error}); finish it with `crossval --resume`."
            ) from error
        if own_split != splits.fingerprint(split):
            raise ConfigurationError(
                f"The cross-validation in {folder} divided the lesions otherwise than the training, so its networks "
                "may have learned from the test part. Give one of the same split."
            )
        if set(answered["image_id"]) != set(split["image_id"][split["part"].str.startswith("fold")]):
            raise ConfigurationError(
                f"The cross-validation in {folder} was not done for all folds; go on with `crossval --resume`."
            )
        lesions = splits.lesions(answered).to_numpy()
        about = {"images": len(labels), "lesions": len(set(lesions)), "views": views}
        stages = _stages(folder / min(found["folds"])) if "{fold}" in (settings.weights or "") else []
        about |= {"stages": stages, "training": without_places(settings)}
        return cls(limits.Told(logs, labels, lesions), about)


def _stages(fold: Path) -> list[dict[str, Any]]:
    """The settings of the trainings that a fold's started from, the first one first."""
    try:
        *earlier, _ = lineage(fold)
    except TrainingError:  # one of them is gone; the card then says that it is not known
        return []
    return [without_places(run.config) | {"epochs_run": run.epoch} for run in earlier]


def calibrated(
    manifest: Manifest, classifier: Classifier, table: pd.DataFrame, out_of_fold: OutOfFold | None = None
) -> Manifest:
    """Fit the temperature on the calibration images, then operating points and prediction sets on the probabilities.

    With out-of-fold answers, they too decide on the limits, and correct the temperature: see `evaluation.limits`.

    Args:
        manifest: of the model; `target_sensitivity` decides the operating point.
        classifier: answers for it.
        table: the calibration images.
        out_of_fold: further answers.
    """
    _, pictures = evaluation.answer_rows(classifier, table)
    logits = classifier.with_patients(pictures, of_table(table))
    labels = class_indices(table["dx"])
    if manifest.task == "binary":
        temperature = calibration.fit_temperature(logits[:, 0], is_malignant(labels))
        probability = calibration.sigmoid(logits, temperature)[:, 0]
        sets, correction = {}, 1.0
    else:
        temperature = calibration.fit_temperature(logits, labels)
        own = limits.Told(logits / temperature, labels, splits.lesions(table).to_numpy())
        fitted = limits.fit(own, out_of_fold.told if out_of_fold else None)
        labels, sets, correction = fitted.labels, fitted.sets, fitted.correction
        probability = metrics.malignant_probability(fitted.probabilities)
    malignant = is_malignant(labels)
    return replace(
        manifest,
        temperature=temperature * correction,
        threshold=calibration.operating_point(probability, malignant, sensitivity=manifest.target_sensitivity),
        balanced_threshold=calibration.balanced_point(probability, malignant),
        prediction_sets=sets,
        out_of_fold=out_of_fold.about | {"correction": correction} if out_of_fold else {},
    )
