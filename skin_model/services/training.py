"""Start or go on with a training on a data set and its split."""

from collections.abc import Callable
from pathlib import Path

from skin_model import files
from skin_model.dataset import ham10000, leaks, splits
from skin_model.errors import ConfigurationError
from skin_model.patients import known_of
from skin_model.recipe import TrainingConfig
from skin_model.services import runs, teaching
from skin_model.training import run


def train(
    *,
    data: Path,
    folder: Path,
    config: TrainingConfig,
    split: Path | None = None,
    resume: bool = False,
    guard: bool = True,
    on_check: Callable[[int, int], None] | None = None,
    on_batch: run.OnBatch | None = None,
    on_epoch: run.OnEpoch | None = None,
) -> run.RunState:
    """Train one network on all folds but the validation fold, if any; test and calibration part stay untouched.

    Args:
        data: HAM10000 or ISIC challenge folder.
        folder: the run's folder; the split in force is kept there as `split.csv`.
        config: all settings.
        split: a split table; by default one is drawn from the configuration's seed.
        resume: go on with the run in `folder`.
        guard: refuse a split that leaks; off only to measure what a leak does.
        on_check: told of (images done, images in all) while the guard compares pixels.
        on_batch, on_epoch: told of progress.

    Raises:
        BusyError: another process trains in the folder.
        DatasetError, TrainingError, ConfigurationError, BundleError: with a sentence on what to mend.
    """
    leaks.check_inputs(config.columns)
    if resume:
        run.read_state(folder)  # first: where there is none nothing is read or written
    with files.held(folder):
        if not resume:
            run.refuse_second(folder)
        table = ham10000.read(data).table
        kept = folder / "split.csv"
        if split is not None:
            parts = splits.read(split, leaky=True)
        elif resume and kept.is_file():
            parts = splits.read(kept, leaky=True)
        else:
            parts = splits.draw(table, seed=config.seed)
        rows = splits.place(table, parts)
        part, validated = rows["part"], config.validation != "none"
        runs.check_validation(config, set(part))
        teaching.check(config, splits.fingerprint(parts))
        if guard:
            leaks.refuse(table, parts, on_check)
        if not (folder / "run.json").exists():
            splits.write(parts, kept)
        learned = rows[part.str.startswith("fold") & (part != config.validation)]
        known = known_of(learned)
        if nothing := [column for column in config.columns if not known[column].any()]:
            raise ConfigurationError(
                f"{' and '.join(nothing)} of no training image is known in HAM10000's words, so nothing can be learned "
                "from it. Leave it out of metadata, or write it in the data set's table as HAM10000 does."
            )
        return run.train(
            config=config,
            training=learned,
            validation=rows[part == config.validation] if validated else None,
            folder=folder,
            split=splits.fingerprint(parts),
            teaching=teaching.teaching(learned, config) if config.teachers else None,
            resume=resume,
            on_batch=on_batch,
            on_epoch=on_epoch,
        )
