"""The only reader of the environment."""

import os
from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).resolve().parent.parent / "assets"


@dataclass(frozen=True)
class Settings:
    """Where things lie on this machine.

    Attributes:
        bundle: folder of the model in use (`SKIN_MODEL_BUNDLE`; default: the bundled model in `assets/model`).
        pinned: `SKIN_MODEL_BUNDLE` was given, so no promotion changes the model in use.
        data: HAM10000 folder whose unseen images serve as examples (`SKIN_MODEL_DATA`; default: none, drawn examples).
        home: folder of everything this installation makes (`SKIN_MODEL_HOME`; default: in the user's data folder).
        database: address of the project's own record (`DATABASE_URL`; default: SQLite in `home`).
        jobs: address of the queues (`SKIN_MODEL_JOBS_URL`; default: `database` if that is PostgreSQL, else SQLite).
        ask_first: the user's own impression is asked for before the answer is shown (`SKIN_MODEL_ASK_FIRST=yes`).
        tracking: address of MLflow (`MLFLOW_TRACKING_URI`; default: `database` if that is PostgreSQL, else SQLite).
    """

    bundle: Path
    pinned: bool
    data: Path | None
    home: Path
    database: str
    jobs: str
    tracking: str
    ask_first: bool = False

    @property
    def runs(self) -> Path:
        """Folder of the trainings' files on this machine."""
        return self.home / "runs"


def load() -> Settings:
    """Read the settings from the environment, anew at each call."""
    home = _folder("SKIN_MODEL_HOME") or _user_data() / "skin_model"
    bundle = _folder("SKIN_MODEL_BUNDLE")
    given = _address(os.environ.get("DATABASE_URL", ""))
    shared = given if given.startswith("postgresql") else ""
    return Settings(
        bundle=bundle or ASSETS / "model",
        pinned=bundle is not None,
        data=_folder("SKIN_MODEL_DATA"),
        home=home,
        database=given or f"sqlite:///{home / 'record.db'}",
        jobs=_address(os.environ.get("SKIN_MODEL_JOBS_URL", "")) or shared or f"sqlite:///{home / 'jobs.db'}",
        ask_first=os.environ.get("SKIN_MODEL_ASK_FIRST", "").strip().lower() in {"yes", "1", "true", "on"},
        tracking=os.environ.get("MLFLOW_TRACKING_URI", "").strip() or shared or f"sqlite:///{home / 'mlflow.db'}",
    )


def _folder(name: str) -> Path | None:
    given = os.environ.get(name, "").strip()
    return Path(given).expanduser().absolute() if given else None


def _user_data() -> Path:
    return _folder("XDG_DATA_HOME") or Path.home() / ".local" / "share"


def _address(given: str) -> str:
    """An address with the driver that is installed; hosting services hand out `postgres://`."""
    given = given.strip()
    for short in ("postgres://", "postgresql://"):
        if given.startswith(short):
            return "postgresql+psycopg://" + given.removeprefix(short)
    return given
