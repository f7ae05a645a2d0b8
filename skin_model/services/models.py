"""Make a bundle of a finished training, and describe the one in use."""

import gzip
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model import bundle, conversion, imaging
from skin_model.bundle import Bundle, Manifest
from skin_model.dataset import ham10000, splits
from skin_model.entities import ModelSummary, TrainingConfig
from skin_model.errors import BundleError
from skin_model.evaluation import calibration, metrics, report
from skin_model.inference import Classifier
from skin_model.services import evaluation, prediction
from skin_model.taxonomy import CODES
from skin_model.training import run

DRAWN = "drawn lesions"  # synthetic: nothing learned from them may serve patients
LIBRARIES = ("tensorflow", "keras", "openvino", "numpy", "opencv-python-headless", "pillow")
Progress = Callable[[str], None]


def make_bundle(
    *,
    data: Path,
    runs: Path,
    out: Path,
    views: int = 1,
    sensitivity: float = 0.95,
    progress: Progress = lambda _: None,
) -> Bundle:
    """Turn a training's best network into a bundle: convert, compare, calibrate, evaluate on the test part, describe.

    Everything is written to a temporary folder beside `out`, which takes its place when whole.

    Args:
        data: the folder the training used.
        runs: the run's folder with `best.keras`, `run.json` and `split.csv`.
        out: the bundle's folder; must not exist.
        views: flipped and turned views to average.
        sensitivity: for malignant images of the calibration part; decides the operating point.
        progress: told of each stage.

    Raises:
        BundleError, DatasetError, TrainingError: with a sentence on what to mend.
    """
    if out.exists():
        raise BundleError(f"{out} already exists; name a new folder, or remove the old model first.")
    split = splits.read(runs / "split.csv")
    dataset = ham10000.read(data)
    table = dataset.table.assign(part=splits.assign(dataset.table, split))
    lineage = run.lineage(runs)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".bundle-") as temporary:
        folder = Path(temporary) / out.name
        folder.mkdir()
        shutil.copyfile(runs / "best.keras", folder / "network.keras")
        shutil.copyfile(runs / "history.csv", folder / "history.csv")
        progress("hashing the images the model has met")
        _write_seen(table, folder / "seen.csv.gz")
        progress("converting to the serving form and comparing both")
        model = conversion.load_keras(folder / "network.keras")
        conversion.convert(model, folder)
        manifest = _manifest(lineage, table, splits.fingerprint(split), views, sensitivity)
        made = Bundle(folder, bundle.write_manifest(folder, manifest))
        classifier = Classifier(made)
        manifest = replace(manifest, agreement=_agreement(model, classifier, table[table.part == "calibration"]))
        progress("calibrating")
        manifest = _calibrated(manifest, classifier, table[table.part == "calibration"], sensitivity)
        made = Bundle(folder, bundle.write_manifest(folder, manifest))
        progress("evaluating on the test part")
        manifest = _evaluated(made, table[table.part == "test"])
        bundle.write_manifest(folder, manifest)
        os.replace(folder, out)
    return bundle.read(out)


def summary(made: Bundle) -> ModelSummary:
    """What a page says of a bundle."""
    manifest = made.manifest
    return ModelSummary(
        version=manifest.model_version,
        network=manifest.network,
        size=manifest.size,
        views=manifest.views,
        threshold=manifest.threshold,
        target_sensitivity=manifest.target_sensitivity,
        evaluation=json.loads(made.text("evaluation.json") or "{}"),
        card=made.text("card.md"),
    )


def _write_seen(table: pd.DataFrame, path: Path) -> None:
    """List every image that is not of the test part, with the hash of its pixels."""
    met = table[table.part != "test"]
    with ThreadPoolExecutor(prediction.READERS) as pool:
        hashes = list(pool.map(lambda p: imaging.pixel_hash(imaging.read(p).pixels), met["path"]))
    rows = met[["image_id", "lesion_id", "part"]].assign(pixels=[h[: evaluation.PIXEL_DIGITS] for h in hashes])
    # no time stamp inside the archive: the same data give the same file
    path.write_bytes(gzip.compress(rows.to_csv(index=False).encode(), mtime=0))


def _manifest(lineage: list[run.RunState], table: pd.DataFrame, split: str, views: int, sensitivity: float) -> Manifest:
    state = lineage[-1]
    config = state.config
    parts = {
        part: {"images": len(rows), "lesions": int(rows["lesion_id"].nunique())} for part, rows in table.groupby("part")
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
        training=_settings(state),
        stages=[_settings(stage) for stage in lineage[:-1]],
        data={"name": _data_name(table), "split": split, "validation": config.validation, "parts": parts},
        agreement={},
        environment={"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in LIBRARIES},
    )


def _settings(state: run.RunState) -> dict[str, Any]:
    """A training's settings without where its starting weights lay on that machine."""
    training = asdict(state.config) | {"best_epoch": state.best_epoch, "epochs_run": state.epoch}
    if state.config.weights:
        training["weights"] = Path(state.config.weights).name
    return training


def _data_name(table: pd.DataFrame) -> str:
    """HAM10000 and drawn lesions are known by their identifiers, whatever their folder is called."""
    for name, column, prefix in (("HAM10000", "lesion_id", "HAM_"), (DRAWN, "image_id", "DRAWN_")):
        if table[column].notna().all() and table[column].str.startswith(prefix).all():
            return name
    return "own data"


def commands(manifest: Manifest) -> list[str]:
    """The command lines that make such a bundle again."""
    lines = []
    stages = [*manifest.stages, manifest.training]
    defaults = asdict(TrainingConfig())
    for number, stage in enumerate(stages, 1):
        given = {k: v for k, v in stage.items() if k in defaults and v != defaults[k]}
        if number > 1:
            given["weights"] = f"runs/{number - 1}/best.keras"
        options = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in given.items())
        lines.append(f"python -m skin_model train --data DATA --split SPLIT.csv --out runs/{number} {options}".strip())
    lines.append(
        f"python -m skin_model bundle --data DATA --run runs/{len(stages)} --out MODEL --views {manifest.views} "
        f"--sensitivity {manifest.target_sensitivity}"
    )
    lines.append("python -m skin_model evaluate --images DATA --labels DATA/HAM10000_metadata.csv --model MODEL")
    return lines


def _squares(table: pd.DataFrame, size: int) -> np.ndarray:
    """Prepared images of a table's rows, uint8 (N, s, s, 3)."""
    squares = [item.square for item in prediction.load(table["path"], size) if item.square is not None]
    if len(squares) != len(table):
        raise BundleError(f"{len(table) - len(squares)} images cannot be read; validate the data set first.")
    return np.stack(squares)


def _agreement(model: Any, classifier: Classifier, table: pd.DataFrame) -> dict[str, float]:
    """Compare Keras and the serving form on up to 64 real images."""
    images = imaging.to_network(_squares(table.iloc[:: max(1, len(table) // 64)], classifier.manifest.size))
    difference = conversion.largest_difference(model, images, classifier.outputs(images))
    return {"largest_difference": difference, "images": len(images)}


def _calibrated(manifest: Manifest, classifier: Classifier, table: pd.DataFrame, sensitivity: float) -> Manifest:
    """Fit the temperature, then the operating point on the calibrated probabilities."""
    _, logits = evaluation.answer_rows(classifier, table)
    labels = evaluation.class_indices(table)
    malignant = evaluation.is_malignant(labels)
    if manifest.task == "binary":
        temperature = calibration.fit_temperature(logits[:, 0], malignant)
        probability = calibration.sigmoid(logits, temperature)[:, 0]
    else:
        temperature = calibration.fit_temperature(logits, labels)
        probability = metrics.malignant_probability(calibration.softmax(logits, temperature))
    threshold = calibration.operating_point(probability, malignant, sensitivity=sensitivity)
    return replace(manifest, temperature=temperature, threshold=threshold)


def _evaluated(made: Bundle, test: pd.DataFrame) -> Manifest:
    """Name the version by its content, score the test part, write `evaluation.json` and `card.md`."""
    content = made.manifest.files["network.keras"][:8]
    day = made.manifest.created[:10].replace("-", "")
    manifest = replace(made.manifest, model_version=f"{made.manifest.network}-{made.manifest.size}-{day}-{content}")
    made = Bundle(made.folder, manifest)
    classifier = Classifier(made)
    _, logits = evaluation.answer_rows(classifier, test)
    figures = evaluation.figures(classifier, test, logits)
    figures |= {"n_excluded_seen": 0, "model_version": manifest.model_version}
    (made.folder / "evaluation.json").write_text(json.dumps(figures, indent=1) + "\n")
    (made.folder / "card.md").write_text(
        report.model_card(manifest=asdict(manifest), evaluation=figures, commands=commands(manifest))
    )
    return manifest
