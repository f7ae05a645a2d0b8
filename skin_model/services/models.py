"""Make a bundle of a finished training."""

import gzip
import hashlib
import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model import bundle, conversion, imaging, networks, shared_weights
from skin_model.bundle import Bundle, Manifest
from skin_model.dataset import ham10000, leaks, splits
from skin_model.errors import BundleError, ConfigurationError, DatasetError, TrainingError
from skin_model.evaluation import report
from skin_model.inference import VIEWS, Classifier, to_logits
from skin_model.patients import PatientPart, encode, of_table
from skin_model.recipe import EpochRecord
from skin_model.services import calibrating, evaluation, gate, prediction, references, reproduction
from skin_model.services.calibrating import OutOfFold
from skin_model.taxonomy import CODES
from skin_model.training.state import RunState, lineage, lineage_folders

LIBRARIES = ("tensorflow", "keras", "openvino", "numpy", "opencv-python-headless", "pillow")
DECIDING = (
    "task", "labels", "size", "views", "temperature", "threshold", "balanced_threshold", "target_sensitivity",
    "prediction_sets", "metadata",
)  # fmt: skip  # what of a manifest decides a model's answers, besides its network
OnStage = Callable[[str], None]


def make_bundle(
    *,
    data: Path,
    run: Path,
    out: Path,
    views: int = 1,
    sensitivity: float = 0.95,
    half: bool = False,
    crossval: Path | None = None,
    note: str = "",
    test: bool = True,
    on_stage: OnStage = lambda _: None,
    on_check: Callable[[int, int], None] | None = None,
) -> Bundle:
    """Turn a training's best network into a bundle: convert, compare, calibrate, evaluate on the test part, describe.

    Everything is written to a temporary folder beside `out`, which takes its place when whole.

    Args:
        data: the folder the training used.
        run: the finished run's folder with `best.keras`, `run.json` and `split.csv`.
        out: the bundle's folder; must not exist.
        views: flipped and turned views to average.
        sensitivity: for malignant images that the answering network did not learn from; decides the operating point.
        half: round weights to float16 before anything is measured, and store them so, once: a quarter of the size.
        crossval: folder of a cross-validation of the same split, whose out-of-fold answers help to fit the limits.
        note: what the card is to say of how the model was made.
        test: score the test part; without, the model has no figures, and nobody has looked at that part.
        on_stage: told of each stage.
        on_check: told of (images done, images in all) while the guard against leaks compares pixels.

    Raises:
        BundleError, ConfigurationError, DatasetError, TrainingError: with a sentence on what to mend.
    """
    stages = _check_order(run, out, views, sensitivity)
    out_of_fold = _out_of_fold(crossval, run, stages[-1].config.task) if crossval else None
    on_stage("looking for leaks")
    table = _guarded(data, run, stages[-1].split, on_check)
    model = conversion.load_keras(run / "best.keras")
    networks.centre(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-unfinished-") as temporary:
        folder = Path(temporary) / out.name
        folder.mkdir()
        epochs = [asdict(record) for record in stages[-1].history]
        columns = [field.name for field in fields(EpochRecord)]
        pd.DataFrame(epochs, columns=columns).to_csv(folder / "history.csv", index=False)
        on_stage("hashing the images the model has met")
        _write_seen(table[table.part != "test"], folder / "seen.csv.gz")
        on_stage("converting to the serving form and comparing both")
        _write_networks(model, folder, stages[-1].config.columns, half)
        calibration_rows = table[table.part == "calibration"]
        manifest = _manifest(
            stages[-1], reproduction.told(stages, lineage_folders(run)), table, views, sensitivity, half
        )
        classifier = Classifier(Bundle(folder, bundle.write_manifest(folder, manifest)))
        manifest = replace(manifest, note=note.strip(), agreement=_agreement(model, classifier, calibration_rows))
        on_stage("calibrating")
        manifest = calibrating.calibrated(manifest, classifier, calibration_rows, out_of_fold)
        on_stage("compressing the cases it learned from")
        references.write_references(classifier, table, folder / gate.FILE, networks.widths(model))
        made = Bundle(folder, bundle.write_manifest(folder, manifest))
        if test:
            on_stage("evaluating on the test part")
        manifest = _evaluated(made, table[table.part == "test"] if test else None)
        bundle.write_manifest(folder, manifest)
        os.replace(folder, out)
    return bundle.read(out)


def _check_order(run: Path, out: Path, views: int, sensitivity: float) -> list[RunState]:
    """Refuse what cannot succeed before minutes are spent on it; the run and those it started from, last one last."""
    if views not in VIEWS:
        raise ConfigurationError(f"views must be one of {', '.join(map(str, VIEWS))}; {views} was given.")
    if not 0 < sensitivity <= 1:
        raise ConfigurationError(f"sensitivity must lie above 0 and at most at 1; {sensitivity} was given.")
    if out.exists():
        raise BundleError(f"{out} already exists; name a new folder, or remove the old model first.")
    return lineage(run)


def _out_of_fold(folder: Path, run: Path, task: str) -> OutOfFold:
    """Read a cross-validation's answers; errors as `OutOfFold.read`."""
    if task != "diagnosis":
        raise ConfigurationError("A cross-validation answers with seven diagnoses; leave it out for a binary model.")
    return OutOfFold.read(folder, splits.read(run / "split.csv", leaky=True))


def _guarded(data: Path, run: Path, fingerprint: str, on_check: Callable[[int, int], None] | None) -> pd.DataFrame:
    """The data set's rows with their `part`; refuses a split that leaks, whatever the training was told to accept."""
    table, split = ham10000.read(data).table, splits.read(run / "split.csv", leaky=True)
    if splits.fingerprint(split) != fingerprint:
        raise TrainingError("split.csv in the run's folder was changed after the training; restore it.")
    placed = splits.place(table, split)
    if lacking := sorted({"calibration", "test"} - set(placed["part"])):
        raise DatasetError(
            f"The training's split has no {' and no '.join(lacking)} part, and a model is calibrated on the one and "
            "measured on the other. Train with a split of `python -m skin_model dataset split`."
        )
    leaks.refuse(table, split, on_check)
    return placed


def _write_networks(model: Any, folder: Path, columns: Sequence[str], half: bool) -> None:
    """The network in all its forms; where they are halved the model is, too."""
    if half:
        conversion.halve(model)
    conversion.save(model, folder / "network.keras", half=half)
    conversion.convert(model, folder, half=half)
    if half:
        shared_weights.leave_out(folder)
    if part := PatientPart.of(model, columns):
        part.save(folder / "patient.npz")


def _write_seen(met: pd.DataFrame, path: Path) -> None:
    """List every image the model has met, with the hash of its pixels."""
    items = prediction.load(met["path"], imaging.MIN_SIDE, with_pixels=True)
    hashes = [item.pixels[: evaluation.PIXEL_DIGITS] for item in prediction.readable(items)]
    rows = met[["image_id", "lesion_id", "part"]].assign(pixels=hashes)
    # no time stamp inside the archive: the same data give the same file
    path.write_bytes(gzip.compress(rows.to_csv(index=False).encode(), mtime=0))


def _manifest(
    state: RunState, told: list[dict[str, Any]], table: pd.DataFrame, views: int, sensitivity: float, half: bool
) -> Manifest:
    config = state.config
    parts = {
        part: {"images": len(rows), "lesions": int(splits.lesions(rows).nunique())}
        for part, rows in table.groupby("part")
    }
    return Manifest(
        model_version="unnamed",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        network=config.network,
        task=config.task,
        labels=CODES if config.task == "diagnosis" else ("malignant",),
        size=config.size,
        views=views,
        temperature=1.0,
        threshold=0.5,
        target_sensitivity=sensitivity,
        training=told[-1],
        stages=told[:-1],
        data={
            "name": ham10000.source_name(table),
            "split": state.split,
            "validation": config.validation,
            "parts": parts,
        },
        agreement={},
        metadata=config.columns,
        half=half,
        environment={"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in LIBRARIES},
    )


def _agreement(model: Any, classifier: Classifier, table: pd.DataFrame) -> dict[str, float]:
    """Compare Keras and the serving form on up to 64 real images."""
    rows = np.linspace(0, len(table) - 1, min(64, len(table))).astype(int)
    table = table.iloc[rows]
    items = prediction.readable(prediction.load(table["path"], classifier.manifest.size))
    images = imaging.to_network(np.stack([item.square for item in items]))
    known, columns = of_table(table), classifier.manifest.metadata
    logits = classifier.with_patients(to_logits(classifier.outputs(images)), known)
    inputs = {"image": images, "patient": encode(known, columns)} if columns else images
    difference = conversion.largest_difference(model, inputs, classifier.probabilities(logits))
    return {"largest_difference": difference, "images": len(images)}


def version_of(manifest: Manifest) -> str:
    """The name of a model: network, size, day, and a hash of its network and of all else that decides an answer."""
    deciding = {name: getattr(manifest, name) for name in DECIDING} | {"network": manifest.files["network.keras"]}
    content = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]
    return f"{manifest.network}-{manifest.size}-{manifest.created[:10].replace('-', '')}-{content}"


def _evaluated(made: Bundle, test: pd.DataFrame | None) -> Manifest:
    """Name the version by its content, score the test part as `evaluate` does, if any, write report and card."""
    manifest = replace(made.manifest, model_version=version_of(made.manifest))
    made = replace(made, manifest=manifest)
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    if test is not None:
        classifier = Classifier(made)
        answered = evaluation.answer(classifier=classifier, table=test, with_looks=True)
        figures, details = evaluation.figures(classifier, answered), evaluation.details(classifier, answered)
        for name, found in (("evaluation.json", figures), ("details.json", details)):
            (made.folder / name).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    card = report.model_card(
        manifest=asdict(manifest), evaluation=figures, commands=reproduction.commands(manifest), details=details
    )
    (made.folder / "card.md").write_text(card, encoding="utf-8")
    return manifest
