"""What several trainings on one split share: the split kept beside them, and who is told how far they are."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from skin_model.dataset import ham10000, leaks, splits
from skin_model.errors import DatasetError, TrainingError
from skin_model.recipe import EpochRecord, TrainingConfig
from skin_model.taxonomy import CODES


@dataclass(frozen=True)
class Watch:
    """Whom to tell of progress.

    Attributes:
        check: (done, total) images whose pixels the leak guard has compared.
        run: (name, number, count) of a training that starts or goes on, number from 0.
        batch: (epoch, batch, batches, loss) after each batch.
        epoch: (record, is the best so far) after each epoch.
        answer: (done, total) images that a finished network has judged.
    """

    check: Callable[[int, int], None] = lambda *_: None
    run: Callable[[str, int, int], None] = lambda *_: None
    batch: Callable[[int, int, int, float], None] = lambda *_: None
    epoch: Callable[[EpochRecord, bool], None] = lambda *_: None
    answer: Callable[[int, int], None] = lambda *_: None


@dataclass(frozen=True)
class SharedSplit:
    """A data set divided once for several trainings.

    Attributes:
        table: the data set's rows with column `part`.
        file: the split as CSV, kept beside the trainings.
        fingerprint: of the split.
    """

    table: pd.DataFrame
    file: Path
    fingerprint: str

    @property
    def folds(self) -> tuple[str, ...]:
        return tuple(sorted(p for p in self.table["part"].unique() if p.startswith("fold")))


def share(
    *, data: Path, out: Path, split: Path | None, seed: int, started: bool, guard: bool, watch: Watch
) -> SharedSplit:
    """Read a data set and its split, guard against leaks once for all, and keep the split as `out/split.csv`.

    Args:
        data: HAM10000 or ISIC challenge folder.
        out: folder of the trainings; made where it is missing.
        split: a split table; by default the one kept in `out`, or one drawn from the seed.
        seed: of the split to draw.
        started: trainings in `out` already use the kept split.
        guard: refuse a split that leaks.
        watch: told of progress of the guard.

    Raises:
        DatasetError: unusable data or split, or a leak.
        TrainingError: `split` is another one than the trainings in `out` use.
    """
    table, kept = ham10000.read(data).table, out / "split.csv"
    before = splits.read(kept, leaky=True) if started and kept.is_file() else None
    parts = splits.read(split, leaky=True) if split is not None else before
    if parts is None:
        parts = splits.draw(table, seed=seed)
    found = SharedSplit(splits.place(table, parts), kept, splits.fingerprint(parts))
    if before is not None and splits.fingerprint(before) != found.fingerprint:
        raise TrainingError(f"The trainings in {out} use another split. Leave --split out, or name a new folder.")
    if guard:
        leaks.refuse(table, parts, watch.check)
    if before is None:
        splits.write(parts, kept)
    return found


def check_validation(config: TrainingConfig, parts: set[str]) -> None:
    """Refuse a validation fold that is not among the split's parts, named in the DatasetError."""
    if config.validation not in {"none", *parts}:
        raise DatasetError(
            f"The split has no part {config.validation!r}; it has {', '.join(sorted(parts))}. "
            "Name one of its folds with --validation."
        )


def check_classes(shared: SharedSplit, parts: tuple[str, ...]) -> None:
    """Refuse parts in which a diagnosis has no lesion, and folds left to learn from, before hours are spent.

    Raises:
        DatasetError: naming the diagnoses, the parts, and how many lesions there are in all folds.
    """
    table = shared.table.assign(lesion=splits.lesions(shared.table))
    lesions = table.groupby(["dx", "part"])["lesion"].nunique().unstack(fill_value=0)
    lesions = lesions.reindex(index=list(CODES), columns=[*shared.folds, "calibration"], fill_value=0)
    own = set(parts) & set(shared.folds)
    if len(own) == 1:  # else another one, which the network learns from, is looked at by itself
        lesions["the other folds"] = lesions[[name for name in shared.folds if name not in own]].sum(axis=1)
        parts = (*parts, "the other folds")
    lacking = [
        f"{code} has none in {', '.join(empty)} ({lesions.loc[code, list(shared.folds)].sum()} in all folds)"
        for code in CODES
        if (empty := [part for part in parts if not lesions.loc[code, part]])
    ]
    if lacking:
        raise DatasetError(
            f"Each diagnosis needs a lesion in each of {', '.join(parts)}, but {'; '.join(lacking)}. "
            "Add images of these, or make a split of fewer folds with `python -m skin_model dataset split --folds N`."
        )


def release() -> None:
    """Let go of what Keras holds of finished networks, which otherwise adds up over many trainings."""
    if keras := sys.modules.get("keras"):
        keras.utils.clear_session()
