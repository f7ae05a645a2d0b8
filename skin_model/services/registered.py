"""The data sets that trainings may use: folders on this server, checked, each with the one split in force."""

import getpass
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from skin_model import bundle, settings
from skin_model.dataset import drawn, ham10000, leaks, splits
from skin_model.entities import DataSet
from skin_model.errors import BundleError, DatasetError
from skin_model.services.evaluation import read_seen
from skin_model.store import database, records
from skin_model.taxonomy import CODES

OnProgress = Callable[[int, int], None]
DEMO = {"lesions_per_class": 16, "height": 225, "width": 300}
FOLDS = 5


def actor() -> str:
    """Who acts: the local user of this machine, as long as nobody logs in."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # usual in containers: no name for this user (OSError from Python 3.13)
        return f"uid {os.getuid()}"


def server_folder(given: Path) -> Path:
    """A folder on this server, with anything in it, as a person named it; its full path.

    Raises:
        DatasetError: none was named, or it is not there, is empty or cannot be read.
    """
    if str(given).strip() in ("", "."):  # an empty field; never the folder that this program was started in
        raise DatasetError("Name a folder on this server by its full path.")
    with _on_server(given):
        folder = given.expanduser().absolute()
        if folder.is_dir() and any(folder.iterdir()):
            return folder
    raise DatasetError(f"There is no folder {folder} with anything in it on this server. Give another one.")


@contextmanager
def _on_server(given: Path) -> Iterator[None]:
    """Turn what the system says of a path that a person named into a DatasetError."""
    try:
        yield
    except PermissionError as error:
        raise DatasetError(f"{given} may not be read by this program's user. Change its permissions.") from error
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, the home of nobody
        raise DatasetError(f"{str(given)!r} cannot be used on this server ({error}). Give another path.") from error


def data_sets() -> list[DataSet]:
    """All registered data sets, the first one first."""
    if not database.exists():
        return []
    with database.reading() as record:
        return records.data_sets(record)


def register(
    *, folder: Path, who: str, name: str = "", split: Path | None = None, on_progress: OnProgress | None = None
) -> DataSet:
    """Check a folder on this server and register it with its split.

    Args:
        folder: HAM10000 or ISIC challenge folder.
        who: asks for it.
        name: for people; what the images are by default.
        split: a split table.  By default that of the bundled model where it fits, so that its test lesions stay
            unseen; else one is drawn.
        on_progress: told of (images decoded, images to decode): every one twice, for damage and for leaks.

    Raises:
        DatasetError: not there, not readable, with a fatal problem, or a split that leaks; every problem is named.
    """
    folder = server_folder(folder)
    tell = on_progress or (lambda done, total: None)
    problems = ham10000.validate(folder, progress=lambda done, total: tell(done, 2 * total))
    if fatal := [problem.sentence for problem in problems if problem.fatal]:
        raise DatasetError(f"{folder} cannot be used: {' '.join(fatal)}")
    table = ham10000.read(folder).table
    parts = _given_split(split) if split else _bundled_split(table)
    if parts is None:
        parts = splits.draw(table, seed=0, folds=FOLDS)
    leaks.refuse(table, parts, lambda done, total: tell(total + done, 2 * total))
    placed = splits.place(table, parts)
    text = io.StringIO()
    parts[list(splits.COLUMNS)].to_csv(text, index=False, lineterminator="\n")
    source = ham10000.source_name(table)
    made = DataSet(
        id=0,
        name=name.strip() or source,
        folder=folder,
        split=text.getvalue(),
        fingerprint=splits.fingerprint(parts),
        summary=_summary(placed, [problem.sentence for problem in problems]),
        drawn=source == bundle.DRAWN,
        registered=datetime.now(UTC),
        actor=who,
    )
    with database.writing() as record:
        made = records.add_data_set(record, made)
        records.audit(
            record, actor=who, action="register data set", subject=made.name, folder=str(folder), split=made.fingerprint
        )
    return made


def register_demo(*, who: str, on_progress: OnProgress | None = None) -> DataSet:
    """Draw the demonstration set where it is missing, and register it."""
    folder = settings.load().home / "data" / "drawn"
    if not folder.is_dir():
        try:
            drawn.draw_dataset(folder, progress=on_progress, **DEMO)
        except (OSError, DatasetError) as error:
            if not folder.is_dir():  # else somebody else drew it meanwhile
                raise DatasetError(
                    f"Nothing could be drawn into {folder} ({error}). Mend this, then try again."
                ) from error
    return register(folder=folder, who=who, name="Drawn lesions (demonstration)")


def samples(*, data_set: DataSet, per_class: int = 4) -> dict[str, list[Path]]:
    """Class code -> some of its images, never of the test part."""
    table = ham10000.read(data_set.folder).table
    rows = splits.place(table, splits.read_text(data_set.split))
    rows = rows[rows["part"] != "test"]
    return {code: list(rows.loc[rows["dx"] == code, "path"].iloc[:per_class]) for code in CODES}


def _given_split(split: Path) -> pd.DataFrame:
    with _on_server(split):
        return splits.read(split.expanduser())


def _bundled_split(table: pd.DataFrame) -> pd.DataFrame | None:
    """The split that the bundled model was trained on, where these are its images."""
    try:
        made = bundle.read(settings.ASSETS / "model")
        seen = read_seen(made)
    except BundleError:
        return None
    parts = table[["image_id", "lesion_id", "dx"]].copy()
    parts["part"] = parts["image_id"].map(seen.set_index("image_id")["part"]).fillna("test")
    return parts if splits.fingerprint(parts) == made.manifest.data.get("split") else None


def _summary(table: pd.DataFrame, problems: list[str]) -> dict[str, Any]:
    """What a page says of a data set; `table` with its parts."""
    lesions = table.assign(lesion=splits.lesions(table)).groupby(["part", "dx"])["lesion"].nunique()
    images = table.groupby(["part", "dx"]).size()
    ages = table["age"].dropna() // 10 * 10
    return {
        "images": len(table),
        "masks": int(table["mask"].notna().sum()),
        "lesions": int(splits.lesions(table).nunique()),
        "parts": {
            part: {code: [int(images.get((part, code), 0)), int(lesions.get((part, code), 0))] for code in CODES}
            for part in sorted(table["part"].unique())
        },
        "ages": {f"{age:.0f}": int(n) for age, n in ages.value_counts().sort_index().items()},
        "sexes": {str(k): int(n) for k, n in table["sex"].fillna("unknown").value_counts().items()},
        "sites": {str(k): int(n) for k, n in table["localization"].fillna("unknown").value_counts().items()},
        "problems": problems,
    }
