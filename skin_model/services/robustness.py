"""Measure a model on the same pictures corrupted in many ways; every condition is a whole evaluation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from skin_model.dataset.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from skin_model.evaluation import robustness
from skin_model.evaluation.scored import Scored
from skin_model.inference import Classifier
from skin_model.patients import of_table
from skin_model.services import prediction


def measure(
    *,
    classifier: Classifier,
    table: pd.DataFrame,
    clean: Scored,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Figures under every corruption and severity, by the function that the analyse page calls, all its views included.

    Args:
        classifier: the model.
        table: the pictures' rows, with path, age, sex and localization.
        clean: the model's answers for them as they are.
        on_progress: told of pictures judged and their number over all conditions.

    Returns:
        clean: as `robustness.figures`; conditions: one per kind and severity, each with kind, severity and
        `robustness.changes`.

    Raises:
        DatasetError: a picture cannot be read.
    """
    threshold = classifier.manifest.threshold
    paths, patients = list(table["path"]), of_table(table)
    planned = [(kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES]
    conditions = []
    for number, (kind, severity) in enumerate(planned):
        logits: list[np.ndarray] = []
        done = number * len(paths)
        for stack in prediction.squares(paths, classifier.manifest.size, partial(_changed, kind, severity)):
            logits.append(classifier.answer(stack).logits)
            done += len(stack)
            if on_progress:
                on_progress(done, len(planned) * len(paths))
        probabilities = classifier.probabilities(classifier.with_patients(np.concatenate(logits), patients))
        corrupted = Scored.of(clean.labels, probabilities, clean.lesions)
        found = robustness.changes(clean, corrupted, threshold)
        conditions.append({"kind": kind, "severity": severity} | found)
    return {"clean": robustness.figures(clean, threshold), "conditions": conditions}


def _changed(kind: str, severity: int, position: int, pixels: np.ndarray) -> np.ndarray:
    """The picture at a position under a condition; its source of chance is the same at every severity."""
    return corrupt(pixels, kind, severity, np.random.default_rng([list(CORRUPTIONS).index(kind), position]))
