"""Train the segmentation on lesion masks, measure it on lesions that it never saw, write its folder."""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model import features, imaging
from skin_model.dataset import ham10000, leaks, splits
from skin_model.errors import BundleError, ConfigurationError, DatasetError, ImageError
from skin_model.evaluation import resampling
from skin_model.evaluation.sections import with_interval
from skin_model.segmentation import network
from skin_model.segmentation.outline import Manifest, Segmenter, dice, squeezed, write_manifest
from skin_model.taxonomy import CODES

VALIDATION = "fold0"  # not learned from: for choosing settings
SEED = 0
POOR = 0.8  # a Dice below this is no outline to measure on

OnStep = Callable[[int, int], None]  # (done, in all)
OnStage = Callable[[str], None]


def make(
    *, data: Path, split: Path, out: Path, epochs: int = 14, on_stage: OnStage = lambda _: None,
    on_step: OnStep = lambda *_: None,
) -> Manifest:  # fmt: skip
    """Train a segmentation on the folds, measure it on the validation fold and on the test part, write its folder.

    Args:
        data: HAM10000 with its lesion masks.
        split: a split table.
        out: a new folder; it appears only when everything is written.
        epochs: over one picture of each lesion of the folds but the validation fold.
        on_stage: told in words what is done next.
        on_step: told of progress within.

    Raises:
        BundleError, ConfigurationError, DatasetError: with a sentence on what to mend.
    """
    if out.exists():
        raise BundleError(f"{out} already exists; name a new folder, or remove the old one first.")
    if epochs < 1:
        raise ConfigurationError(f"epochs must be at least 1; {epochs} was given.")
    table, parts = ham10000.read(data).table, splits.read(split, leaky=True)
    rows = _with_masks(splits.place(table, parts))
    to_learn = learned(rows)
    if to_learn.empty or not {VALIDATION, "test"} <= set(rows["part"]):
        raise DatasetError(
            f"The split {split} needs a test part, {VALIDATION} to validate on and another fold to learn."
        )
    on_stage("looking for leaks")
    leaks.refuse(table, parts, on_step)
    on_stage(f"reading {len(to_learn):,} pictures with their masks")
    pictures = layers(to_learn, on_step)
    on_stage("training")
    trained = network.train(pictures, epochs=epochs, seed=SEED, on_epoch=lambda epoch, all_, _: on_step(epoch, all_))
    made = Manifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        training={"epochs": epochs, "seed": SEED, "size": network.SIZE, "learned from": _counts(to_learn)},
        data={"name": ham10000.source_name(table), "split": splits.fingerprint(parts)},
    )
    return write(trained, made, rows, out, on_stage=on_stage, on_step=on_step)


def write(
    trained: Any, made: Manifest, rows: pd.DataFrame, out: Path, *, on_stage: OnStage, on_step: OnStep
) -> Manifest:
    """Convert a trained network, measure what will be served, and write it as `out`, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-unfinished-") as temporary:
        folder = Path(temporary) / out.name
        folder.mkdir()
        network.write(trained, folder)
        made = write_manifest(folder, made)
        segmenter = Segmenter(folder, made)
        figures = {}
        for name, part in (("validation", VALIDATION), ("test", "test")):
            on_stage(f"measuring on the {name} lesions")
            figures[name] = measure(segmenter, rows[rows["part"] == part], on_step)
        made = write_manifest(folder, replace(made, figures=figures))
        os.replace(folder, out)
    return made


def measure(segmenter: Segmenter, rows: pd.DataFrame, on_step: OnStep) -> dict[str, Any]:
    """How well outlines agree with masks: figures with 95 % bootstrap intervals by lesion, and of what they are.

    Of the pictures whose mask and outline can both be measured: how far area and diameter are off, in the median.
    """
    found = np.empty((len(rows), 3))
    for number, pair in enumerate(zip(rows["path"], rows["mask"], strict=True)):
        pixels, truth = read_pair(*pair)
        found[number] = _compared(segmenter.mask(pixels), truth)
        on_step(number + 1, len(rows))
    dices, off = found[:, 0], found[~np.isnan(found[:, 1]), 1:]
    sources = [_Overlaps(dices, rows["dx"].to_numpy())]
    estimates = resampling.estimates(sources, len(rows), splits.lesions(rows).to_numpy())
    return _counts(rows) | estimates | {
        "measurable": len(off), "area_off": _median(off[:, 0]), "diameter_off": _median(off[:, 1])
    }  # fmt: skip


def lines(made: Manifest) -> list[str]:
    """The figures in words."""
    said = []
    for name, found in made.figures.items():
        said.append(
            f"{name}: {found['images']:,} pictures of {found['lesions']:,} lesions, mean Dice "
            f"{with_interval(found['dice'])}, below {POOR}: {found['poor']['value']:.1%}"
        )
        if found["measurable"]:
            said.append(
                f"  of {found['measurable']:,} that can be measured, in the median area is off by "
                f"{found['area_off']:.1%}, greatest diameter by {found['diameter_off']:.1%}"
            )
    return said


class _Overlaps(resampling.Figures):
    """Mean Dice and the share below `POOR` of pictures (N,), and the mean by true class (N,)."""

    def __init__(self, dices: np.ndarray, classes: np.ndarray) -> None:
        self._dices, self._classes = dices, classes
        self.rates = {"poor": np.ones(len(dices), bool)}

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        of_class = {f"dice.{code}": self._mean(weights * (self._classes == code)) for code in CODES}
        poor = weights @ (self._dices < POOR) / weights.sum(axis=1)
        return {"dice": self._mean(weights), "poor": poor} | of_class

    def _mean(self, weights: np.ndarray) -> np.ndarray:
        return resampling.ratio(weights @ self._dices, weights.sum(axis=1))


def learned(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows to learn from: of each lesion of the folds, but for the validation fold, the first picture by name."""
    folds = rows[rows["part"].str.startswith("fold") & (rows["part"] != VALIDATION)]
    return folds.loc[~splits.lesions(folds).duplicated()]


def layers(rows: pd.DataFrame, on_step: OnStep) -> np.ndarray:
    """Pictures with their masks as `network.train` takes them, uint8 (N, SIZE, SIZE, 4), read by several threads."""

    def one(row: tuple[Path, Path]) -> np.ndarray:
        pixels, mask = read_pair(*row)
        return np.dstack([squeezed(pixels), squeezed(np.uint8(255) * mask)])

    found = np.empty((len(rows), network.SIZE, network.SIZE, 4), np.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, layer in enumerate(pool.map(one, zip(rows["path"], rows["mask"], strict=True))):
            found[number] = layer
            on_step(number + 1, len(rows))
    return found


def read_pair(path: Path, mask: Path) -> tuple[np.ndarray, np.ndarray]:
    """A picture, RGB uint8 (H, W, 3), and its mask, bool (H, W).

    Raises:
        DatasetError: one of them cannot be used, by its name.
    """
    try:
        pixels = imaging.read(path).pixels
        return pixels, imaging.read_mask(mask, pixels.shape) > 127
    except ImageError as error:
        raise DatasetError(f"{path.name} cannot be used: {error}") from error


def _with_masks(rows: pd.DataFrame) -> pd.DataFrame:
    if without := int(rows["mask"].isna().sum()):
        raise DatasetError(
            f"{without:,} of {len(rows):,} pictures have no lesion mask. HAM10000's lie in the folder "
            "HAM10000_segmentations_lesion_tschandl; put it beside the images."
        )
    return rows


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {"images": len(rows), "lesions": int(splits.lesions(rows).nunique())}


def _compared(mask: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Dice, and by what share area and greatest diameter are off; NaN where they are not measured."""
    overlap = dice(mask, truth)
    if features.untrusted(mask) or features.untrusted(truth):
        return overlap, np.nan, np.nan
    lengths = [features.greatest_diameter(one) for one in (mask, truth)]
    return overlap, abs(mask.sum() / truth.sum() - 1), abs(lengths[0] / lengths[1] - 1)


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None
