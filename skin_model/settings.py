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
        data: HAM10000 folder whose unseen images serve as examples (`SKIN_MODEL_DATA`; default: none, drawn examples).
    """

    bundle: Path
    data: Path | None


def load() -> Settings:
    """Read the settings from the environment, anew at each call."""
    data = os.environ.get("SKIN_MODEL_DATA", "").strip()
    return Settings(
        bundle=Path(os.environ.get("SKIN_MODEL_BUNDLE", "").strip() or ASSETS / "model").expanduser(),
        data=Path(data).expanduser() if data else None,
    )
