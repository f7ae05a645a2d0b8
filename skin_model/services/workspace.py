"""The one place that wires things together: the model in use, loaded once per process, behind the first paint."""

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skin_model import settings, tracking
from skin_model.entities import ModelState, ModelSummary, Promotion
from skin_model.errors import BundleError, ConfigurationError, StoreError
from skin_model.services import memory

if TYPE_CHECKING:
    from skin_model.bundle import Bundle
    from skin_model.inference import Classifier
    from skin_model.services.gate import Gate

Signature = tuple[tuple[str, int, int], ...]


@dataclass
class _Slot:
    """One attempt to load one state of a bundle's folder."""

    folder: Path
    signature: Signature
    done: threading.Event = field(default_factory=threading.Event)
    ended: float = 0.0
    classifier: "Classifier | None" = None
    gate: "Gate | None" = None
    summary: ModelSummary | None = None
    error: str = ""

    def stale(self, folder: Path, signature: Signature) -> bool:
        """Whether to load anew: another folder or other files, or it failed a while ago and may succeed now."""
        again = self.classifier is None and time.monotonic() - self.ended > _RETRY
        return self.folder != folder or (self.done.is_set() and (again or self.signature != signature))


_LOOK = 1.0  # seconds between two looks at who is champion
_RETRY = 10.0  # seconds after an attempt that failed until the next; longer than a page's looks are apart
_lock = threading.Lock()
_current: _Slot | None = None
_known: dict[str, tuple[float, Promotion | None]] = {}  # address of the record -> when looked at, what was there


def model_state() -> ModelState:
    """Tell whether the model is ready; the first call starts loading it in the background and returns at once."""
    try:
        slot = _slot()
    except StoreError as error:
        return ModelState("failed", str(error))
    if not slot.done.is_set():
        return ModelState("loading")
    if slot.classifier is None:
        return ModelState("failed", slot.error)
    return ModelState("ready", summary=slot.summary)


def classifier() -> "Classifier":
    """The loaded model; as `in_use`."""
    return in_use()[0]


def in_use() -> "tuple[Classifier, Gate]":
    """The loaded model and its gate; waits for them.

    Raises:
        BundleError: it cannot be used.
        StoreError: it is not known which version is in use.
    """
    slot = _slot()
    slot.done.wait()
    if slot.classifier is None or slot.gate is None:
        raise BundleError(slot.error)
    return slot.classifier, slot.gate


def load(folder: Path | None = None) -> "Classifier":
    """Load a bundle for one command: the given folder, or the model in use.  Raises BundleError, StoreError."""
    from threadpoolctl import threadpool_limits

    from skin_model import bundle
    from skin_model.inference import Classifier

    # OpenBLAS' threads wait busily after each product, and would keep a core from the network: 56 ms instead of 33
    threadpool_limits(1, user_api="blas")
    return Classifier(bundle.read(folder or folder_in_use()))


def folder_in_use() -> Path:
    """The folder of the model in use: as `SKIN_MODEL_BUNDLE` says, else of the version promoted last, else bundled.

    Raises:
        StoreError: the record cannot be reached, and was not before.
    """
    return _place(champion())


def champion() -> Promotion | None:
    """The promotion in force, at most a second old; None where the bundled or a given model is in use.

    Raises:
        StoreError: as `folder_in_use` does.
    """
    given = settings.load()
    if given.pinned:
        return None
    looked, promoted = _known.get(given.database, (-_LOOK, None))
    if time.monotonic() - looked >= _LOOK:
        try:
            promoted = _newest(given.database)
        except StoreError:  # what was in use stays in use
            if given.database not in _known:
                raise
        _known[given.database] = time.monotonic(), promoted
    return None if promoted is None or promoted.version == 1 else promoted


def refuse_change(folder: Path) -> None:
    """Refuse to change a model that is in use as it was when it was promoted, or a copy fetched from the registry.

    Raises:
        ConfigurationError: it is one of these.
        StoreError: it is not known which version was promoted.
    """
    given = settings.load()
    promoted = _newest(given.database)
    in_force = promoted is not None and promoted.version != 1 and folder.resolve() == _place(promoted).resolve()
    if in_force or folder.resolve().parent == (given.home / "models").resolve():
        raise ConfigurationError(
            f"The model in {folder} is a version of the registry, and would not be used any more once it differs from "
            "what was promoted. Leave --keep out, and write the figures to a file with --json."
        )


def look_again() -> None:
    """Forget who was champion, so that this process sees its own promotion at once."""
    _known.clear()


def _newest(address: str) -> Promotion | None:
    if not _has_record(address):
        return None
    from skin_model.store import database, records

    with database.reading() as record:
        newest = records.promotions(record, limit=1)
    return newest[0] if newest else None


def _has_record(address: str) -> bool:
    """Whether anything was ever recorded; without loading SQLAlchemy, which the first paint need not wait for."""
    return not address.startswith("sqlite:///") or Path(address.removeprefix("sqlite:///")).is_file()


def _place(promoted: Promotion | None) -> Path:
    given = settings.load()
    if promoted is None:
        return given.bundle
    return tracking.local_folder(promoted.bundle) or given.home / "models" / str(promoted.version)


def _slot() -> _Slot:
    """The model's state as it is now: a version promoted, restored or replaced is loaded without a restart."""
    global _current
    promoted = champion()
    folder = _place(promoted)
    signature = _signature(folder)
    with _lock:
        if _current is None or _current.stale(folder, signature):
            _current = _Slot(folder, signature)
            threading.Thread(target=_load, args=(_current, promoted), name="model-loader", daemon=True).start()
        return _current


def _signature(folder: Path) -> Signature:
    try:
        return tuple(sorted((e.name, e.stat().st_mtime_ns, e.stat().st_size) for e in folder.iterdir()))
    except OSError:
        return ()


def _load(slot: _Slot, promoted: Promotion | None) -> None:
    folder = slot.folder
    memory.return_large_arrays()
    try:
        import numpy as np

        from skin_model.services.gate import SIDE, Gate

        if promoted is not None:
            _fetch(promoted, folder)
            slot.signature = _signature(folder)
        loaded = load(folder)
        loaded.require_diagnosis()
        size = loaded.manifest.size
        gate, blank = Gate(loaded.bundle), np.zeros((1, size, size, 3), np.uint8)
        looked_at = [np.zeros((SIDE, SIDE, 3), np.uint8)]
        gate.check(looked_at, loaded.answer(blank).embeddings)  # the first run allocates; no user should wait for it
        slot.classifier, slot.gate, slot.summary = loaded, gate, _summary(loaded.bundle)
    except BundleError as error:
        slot.error = str(error) if promoted is None else _with_way_back(promoted, f"damaged: {error}")
    except StoreError as error:
        slot.error = str(error) if promoted is None else _with_way_back(promoted, f"could not be fetched: {error}")
    except Exception as error:
        slot.error = f"The model in {folder} cannot be loaded: {error}"
        raise
    finally:
        slot.ended = time.monotonic()
        slot.done.set()


def _fetch(promoted: Promotion, folder: Path) -> None:
    """Have the promoted version's files here; they must be those that were promoted."""
    from skin_model import bundle

    if tracking.local_folder(promoted.bundle) is None:
        tracking.folder_of(promoted.bundle, promoted.version)
    if (folder / "manifest.json").is_file() and bundle.sha256(folder / "manifest.json") != promoted.manifest:
        raise BundleError(f"The manifest in {folder} is not the one that was promoted.")


def _with_way_back(promoted: Promotion, why: str) -> str:
    return (
        f"Version {promoted.version} is in use and {why} To go on at once, roll back to another version on the Models "
        "page."
    )


def _summary(made: "Bundle") -> ModelSummary:
    """What a page says of a bundle."""
    from skin_model.evaluation import truthfulness

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
        data=str(manifest.data.get("name", "")),
        drawn=manifest.drawn,
        details=json.loads(made.text("details.json") or "{}"),
        prediction_sets=manifest.prediction_sets,
        explanations=json.loads(made.text(truthfulness.FILE) or "{}").get("methods", {}),
    )
