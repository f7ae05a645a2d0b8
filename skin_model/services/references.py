"""Make the confirmed cases that travel with a model, and set the limits of its gate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from skin_model.dataset.labels import class_indices
from skin_model.dataset.splits import lesions
from skin_model.inference import Classifier
from skin_model.neighbours import References
from skin_model.services import prediction


def write_references(
    classifier: Classifier, table: pd.DataFrame, path: Path, widths: Sequence[int] | None = None
) -> None:
    """Write the confirmed cases that a model learned from, one picture per lesion, and the limits of the gate.

    Args:
        classifier: the model.
        table: with image_id, lesion_id, dx, dx_type, path and part; the parts called fold... were learned from, but
            for the one that chose the best epoch.
        path: the file.
        widths: of the parts of an embedding that networks side by side give; see `neighbours.Axes`.
    """
    learned = table[table["part"].str.startswith("fold") & (table["part"] != classifier.manifest.data["validation"])]
    learned = learned[~lesions(learned).duplicated()].reset_index(drop=True)
    held = table[table["part"] == "calibration"].reset_index(drop=True)
    references = References.of(
        _embeddings(classifier, learned),
        class_indices(learned["dx"]),
        learned["image_id"].to_numpy(dtype=str),
        learned["dx_type"].fillna("").to_numpy(dtype=str),
        widths,
    )
    references.calibrated(_embeddings(classifier, held), lesions(held).to_numpy()).save(path)


def _embeddings(classifier: Classifier, table: pd.DataFrame) -> np.ndarray:
    """Embeddings (N, D) of a table's pictures."""
    stacks = prediction.squares(table["path"], classifier.manifest.size)
    return np.concatenate([classifier.answer(stack, views=1).embeddings for stack in stacks])
