"""Measure a model on labelled images that it has never met."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model import files
from skin_model.bundle import Bundle
from skin_model.dataset import ham10000
from skin_model.dataset.labels import class_indices, is_malignant
from skin_model.dataset.splits import lesions
from skin_model.errors import ConfigurationError, DatasetError
from skin_model.evaluation import metrics, paired, report, truthfulness
from skin_model.evaluation.details import measure
from skin_model.evaluation.localisation import Look, look
from skin_model.evaluation.scored import Scored
from skin_model.inference import Answers, Classifier
from skin_model.patients import known_of, of_table
from skin_model.services import prediction, robustness

OnProgress = Callable[[int, int], None]  # (done, total)
PIXEL_DIGITS = 16  # of the pixels' SHA-256 kept in a bundle: no chance match among ten thousand images


@dataclass(frozen=True)
class Answered:
    """A model's answers for the images that may be scored.

    Attributes:
        table: their rows.
        logits: float64 (n, K), of pictures and patients where the model takes both.
        pictures: float64 (n, K), of the pictures alone.
        excluded: number of images left out because the model had met them.
        allow_seen: whether such images were scored all the same.
        looks: where the network looked in each, None for an image without a mask; empty where nobody asked.
    """

    table: pd.DataFrame
    logits: np.ndarray
    pictures: np.ndarray
    excluded: int
    allow_seen: bool = False
    looks: Sequence[Look | None] = ()


def evaluate(
    *,
    classifier: Classifier,
    images: Path,
    labels: Path,
    allow_seen: bool = False,
    on_progress: OnProgress | None = None,
    report_folder: Path | None = None,
    corruptions: bool = False,
) -> dict[str, Any]:
    """The report of `evaluate --json`, every figure by the function that the analyse page calls.

    Args:
        classifier: the model.
        images: folder searched for the images.
        labels: HAM10000 metadata or one-hot ISIC ground truth.
        allow_seen: score also images that the model met in training, validation or calibration.
        on_progress: told of images done and their number.
        report_folder: also write the detailed report there: report.html for people, report.json for programs.
        corruptions: measure for the report also the same images corrupted, which takes thirty times as long.

    Raises:
        ConfigurationError: corruptions without a report.
        DatasetError: unusable labels, unreadable images, or nothing left to score.
        BusyError: another process is writing to the folder.
    """
    if corruptions and report_folder is None:
        raise ConfigurationError("The figures of corrupted images stand in the report; add --report DIR.")
    with files.held(report_folder) if report_folder else nullcontext():
        table = ham10000.read_labelled(images, labels).table
        answered = answer(
            classifier=classifier,
            table=table,
            allow_seen=allow_seen,
            on_progress=on_progress,
            with_looks=report_folder is not None,
        )
        found = figures(classifier, answered)
        if report_folder:
            from skin_model.services import report_page  # Plotly, which measuring alone need not wait for

            detailed = details(classifier, answered)
            if corruptions:
                detailed["corruptions"] = robustness.measure(
                    classifier=classifier,
                    table=answered.table,
                    clean=scored(classifier, answered),
                    on_progress=on_progress,
                )
            source = {
                "name": ham10000.source_name(table),
                "images": files.shown(images.resolve().name),
                "labels": files.shown(labels.name),
                "learned_from": classifier.manifest.data.get("name"),
                "note": classifier.manifest.note,
            }
            report_page.write(report_folder, found, detailed, source=source)
    return found


def answer(
    *,
    classifier: Classifier,
    table: pd.DataFrame,
    allow_seen: bool = False,
    on_progress: OnProgress | None = None,
    with_looks: bool = False,
) -> Answered:
    """The model's answers for the rows of a table with image_id, lesion_id, dx and path, seen images left out.

    `with_looks`: also hold the network's maps against the lesion masks that the table names.

    Raises:
        DatasetError: images cannot be read, or nothing is left to score.
    """
    fresh, seen_pixels = table, frozenset[str]()
    if not allow_seen:
        fresh, seen_pixels = unseen(table, classifier.bundle)
    looks: list[Look | None] | None = [] if with_looks else None
    positions, pictures = answer_rows(classifier, fresh, seen_pixels, on_progress, looks)
    if not positions:
        raise DatasetError(
            f"The model {classifier.manifest.model_version} has met all {len(table)} images in its training; "
            "nothing is left to score honestly. Give other images, or add --allow-seen to score them all the same."
        )
    fresh = fresh.iloc[positions]
    logits = classifier.with_patients(pictures, of_table(fresh))
    return Answered(fresh, logits, pictures, len(table) - len(positions), allow_seen, looks or ())


def figures(classifier: Classifier, answered: Answered) -> dict[str, Any]:
    """Figures with intervals, under the keys of `evaluate --json`."""
    probabilities = classifier.probabilities(answered.logits)
    threshold = classifier.manifest.threshold
    labels, groups = class_indices(answered.table["dx"]), lesion_groups(answered.table)
    if classifier.manifest.task == "binary":
        malignant = is_malignant(labels)
        found = metrics.score_binary(malignant, probabilities[:, 0], threshold=threshold)
        intervals = metrics.bootstrap_binary(malignant, probabilities[:, 0], groups, threshold=threshold)
    else:
        found = metrics.score(labels, probabilities, threshold=threshold)
        intervals = metrics.bootstrap(labels, probabilities, groups, threshold=threshold)
    found |= {"intervals": intervals, "n_excluded_seen": answered.excluded}
    found |= {"model_version": classifier.manifest.model_version}
    return found | ({"allow_seen": True} if answered.allow_seen else {})


def details(classifier: Classifier, answered: Answered) -> dict[str, Any]:
    """Everything else that can be measured on the same answers: see `evaluation.details.measure`.

    For a model that takes the patient, "patients" holds how much was known, what the same images come to without
    (`figures` and details of their own, under "alone") and what knowing changes ("worth", as `paired.compare`).
    """
    found, manifest = _details(classifier, answered), classifier.manifest
    if manifest.metadata:
        known = known_of(answered.table)[list(manifest.metadata)]
        pictures = replace(answered, logits=answered.pictures, looks=())
        alone = {"evaluation": figures(classifier, pictures), "details": _details(classifier, pictures)}
        found["patients"] = {"known": known.mean().to_dict(), "alone": alone}
        if manifest.task == "diagnosis":
            found["patients"]["worth"] = _worth(classifier, answered)
    return truthfulness.added(found, classifier.bundle)


def _details(classifier: Classifier, answered: Answered) -> dict[str, Any]:
    manifest = classifier.manifest
    thresholds = {"sensitive": manifest.threshold}
    if manifest.balanced_threshold is not None:
        thresholds["balanced"] = manifest.balanced_threshold
    return measure(
        scored(classifier, answered),
        answered.table,
        thresholds=thresholds,
        sets=manifest.prediction_sets,
        looks=answered.looks,
    )


def _worth(classifier: Classifier, answered: Answered) -> dict[str, dict[str, Any]]:
    """What the patient's particulars change: `paired.compare` of the answers without and with them."""
    without, known = (
        paired.Answer(classifier.probabilities(logits), classifier.manifest.threshold)
        for logits in (answered.pictures, answered.logits)
    )
    return paired.compare(class_indices(answered.table["dx"]), without, known, lesion_groups(answered.table))


def scored(classifier: Classifier, answered: Answered) -> Scored:
    """The answers as calibrated probabilities beside the truth."""
    table = answered.table
    return Scored.of(class_indices(table["dx"]), classifier.probabilities(answered.logits), lesion_groups(table))


def lesion_groups(table: pd.DataFrame) -> np.ndarray | None:
    """The lesion of each row, an image of an unknown one counting as a lesion of its own; None where none is known."""
    return lesions(table).to_numpy() if table["lesion_id"].notna().any() else None


def rows(evaluation: dict[str, Any]) -> list[tuple[str, str, str]]:
    """A report as lines (figure, value, 95 % interval) in reading order."""
    return report.table(evaluation)


def read_seen(made: Bundle) -> pd.DataFrame:
    """The images that a bundle's model has met: image_id, lesion_id, pixels (hash), part."""
    return pd.read_csv(made.path("seen.csv.gz"), dtype=str)


def unseen(table: pd.DataFrame, *models: Bundle) -> tuple[pd.DataFrame, frozenset[str]]:
    """The rows whose image and lesion no model has met, and the pixel hashes that one of them has."""
    pixels = frozenset[str]()
    for made in models:
        seen = read_seen(made)
        known = table["lesion_id"].notna() & table["lesion_id"].isin(seen["lesion_id"].dropna())
        table = table[~(known | table["image_id"].isin(seen["image_id"]))]
        pixels |= frozenset(seen["pixels"])
    return table, pixels


def answer_rows(
    classifier: Classifier,
    table: pd.DataFrame,
    seen_pixels: frozenset[str] = frozenset(),
    on_progress: OnProgress | None = None,
    looks: list[Look | None] | None = None,
) -> tuple[list[int], np.ndarray]:
    """The model's logits for the pictures of a table's rows.

    Args:
        classifier: the model.
        table: with column `path`, and `mask` where masks are known.
        seen_pixels: leave out images whose pixel hash, cut to `PIXEL_DIGITS`, is among these.
        on_progress: told of images done and their number.
        looks: a list to add to, for each row answered, where a seven-class model looked.

    Returns:
        Positions of the rows answered, and logits float64 (n, K) for them.

    Raises:
        DatasetError: where images cannot be read.
    """
    rows: list[int] = []
    logits: list[np.ndarray] = []
    if classifier.manifest.task == "binary":  # the page shows no map of it
        looks = None
    masks = () if looks is None else table.get("mask", ())
    loaded = prediction.load(table["path"], classifier.manifest.size, bool(seen_pixels), masks=masks)
    for start, group in enumerate(prediction.batches(prediction.readable(loaded))):
        new = [position for position, item in enumerate(group) if item.pixels[:PIXEL_DIGITS] not in seen_pixels]
        if new:
            answers = classifier.answer(np.stack([group[position].square for position in new]))
            rows += [start * prediction.BATCH + position for position in new]
            logits.append(answers.logits)
            if looks is not None:
                of_group = table.iloc[[start * prediction.BATCH + position for position in new]]
                likeliest = classifier.with_patients(answers.logits, of_table(of_group)).argmax(axis=1)
                looks += _looks(classifier, answers, likeliest, [group[position].mask for position in new])
        if on_progress:
            on_progress(start * prediction.BATCH + len(group), len(table))
    return rows, np.concatenate(logits) if logits else np.empty((0, len(classifier.manifest.labels)))


def _looks(
    classifier: Classifier, answers: Answers, likeliest: np.ndarray, masks: Sequence[np.ndarray | None]
) -> Iterator[Look | None]:
    """Where the network looked for the likeliest diagnosis of each image: the map that the page shows first."""
    for features, target, mask in zip(answers.features, likeliest, masks, strict=True):
        yield None if mask is None else look(classifier.head.gradcam(features)[target], mask)
