"""Champion against challenger on test lesions that neither has met in training, validation or calibration."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skin_model.dataset import ham10000
from skin_model.dataset.labels import class_indices
from skin_model.dataset.splits import lesions
from skin_model.entities import DataSet
from skin_model.errors import DatasetError
from skin_model.evaluation import paired
from skin_model.inference import Classifier
from skin_model.patients import of_table
from skin_model.services import evaluation
from skin_model.taxonomy import CODES

OnProgress = Callable[[int, int], None]  # (done, total)
EXAMPLES = 12  # images on which the two disagree, the surest disagreements first


@dataclass(frozen=True)
class Comparison:
    """Two models on the same lesions.

    Attributes:
        images, lesions: that were compared.
        met: images of the test part left out because one of the two has met them.
        figures: as `paired.compare` gives them; first is the champion.
        worse: subgroups that got worse, as sentences.
        disagreements: path, dx, and what champion and challenger said.
        supported: whether the evidence supports promotion; None where there is too little.
        sentence: why.
    """

    images: int
    lesions: int
    met: int
    figures: dict[str, dict[str, Any]]
    worse: list[str]
    disagreements: list[dict[str, str]]
    supported: bool | None
    sentence: str

    def to_plain(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)


def compare(
    *, champion: Classifier, challenger: Classifier, data: DataSet, split: pd.DataFrame,
    on_progress: OnProgress = lambda *_: None,
) -> Comparison:  # fmt: skip
    """Compare two seven-class models on the test part of a data set.

    Args:
        champion: the model in use.
        challenger: the one that may follow.
        data: a registered data set.
        split: its split; only the test part is read.
        on_progress: told of (images judged by one model, all judgements).

    Raises:
        DatasetError: no test image is left that neither has met.
        BundleError: a model without the seven diagnoses.
    """
    models = (champion, challenger)
    for model in models:
        model.require_diagnosis()
    table = ham10000.read(data.folder).table
    table = table[table["image_id"].isin(split.loc[split["part"] == "test", "image_id"])]
    fresh, pixels = evaluation.unseen(table, *(model.bundle for model in models))
    logits: list[np.ndarray] = []
    rows: list[int] = []
    for number, model in enumerate(models):
        rows, found = evaluation.answer_rows(model, fresh, pixels, _half(on_progress, number))
        logits.append(model.with_patients(found, of_table(fresh.iloc[rows])))
    if not rows:
        raise DatasetError(
            f"One of the two models has met every test image of {data.name}; nothing is left to compare them on. "
            "Register a data set that neither was trained on."
        )
    judged = fresh.iloc[rows]
    answers = [
        paired.Answer(model.probabilities(found), model.manifest.threshold)
        for model, found in zip(models, logits, strict=True)
    ]
    return _compared(judged, answers[0], answers[1], len(table) - len(judged))


def _half(on_progress: OnProgress, number: int) -> OnProgress:
    """Progress of the first (0) or second (1) model as that of both."""
    return lambda done, total: on_progress(number * total + done, 2 * total)


def _compared(table: pd.DataFrame, first: paired.Answer, second: paired.Answer, met: int) -> Comparison:
    labels, groups = class_indices(table["dx"]), lesions(table).to_numpy()
    figures = paired.compare(labels, first, second, groups)
    supported, sentence = paired.verdict(figures, labels, groups)
    return Comparison(
        images=len(table),
        lesions=len(np.unique(groups)),
        met=met,
        figures=figures,
        worse=paired.worse_subgroups(table, labels, first, second, groups) if supported is not None else [],
        disagreements=_disagreements(table, first, second),
        supported=supported,
        sentence=sentence,
    )


def _disagreements(table: pd.DataFrame, first: paired.Answer, second: paired.Answer) -> list[dict[str, str]]:
    said = first.probabilities.argmax(axis=1), second.probabilities.argmax(axis=1)
    distance = np.abs(first.probabilities - second.probabilities).sum(axis=1)
    order = [row for row in np.argsort(-distance) if said[0][row] != said[1][row]][:EXAMPLES]
    return [
        {
            "path": str(table["path"].iloc[row]),
            "dx": str(table["dx"].iloc[row]), "champion": CODES[said[0][row]], "challenger": CODES[said[1][row]],
        }
        for row in order
    ]  # fmt: skip
