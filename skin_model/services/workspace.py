"""The one place that wires things together: the model in use, loaded once per process, behind the first paint."""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skin_model import settings
from skin_model.entities import ModelState, ModelSummary
from skin_model.errors import BundleError

if TYPE_CHECKING:
    from skin_model.bundle import Bundle
    from skin_model.inference import Classifier

Signature = tuple[tuple[str, int, int], ...]


@dataclass
class _Slot:
    """One attempt to load one state of a bundle's folder."""

    signature: Signature
    done: threading.Event = field(default_factory=threading.Event)
    classifier: "Classifier | None" = None
    summary: ModelSummary | None = None
    error: str = ""


_lock = threading.Lock()
_slots: dict[Path, _Slot] = {}


def model_state() -> ModelState:
    """Tell whether the model is ready; the first call starts loading it in the background and returns at once."""
    slot = _slot()
    if not slot.done.is_set():
        return ModelState("loading")
    if slot.classifier is None:
        return ModelState("failed", slot.error)
    return ModelState("ready", summary=slot.summary)


def classifier() -> "Classifier":
    """The loaded model; waits for it.  Raises BundleError where it cannot be used."""
    slot = _slot()
    slot.done.wait()
    if slot.classifier is None:
        raise BundleError(slot.error)
    return slot.classifier


def load(folder: Path | None = None) -> "Classifier":
    """Load a bundle for one command: the given folder, or the model in use.  Raises BundleError."""
    from skin_model import bundle
    from skin_model.inference import Classifier

    return Classifier(bundle.read(folder or settings.load().bundle))


def _slot() -> _Slot:
    """The model's state for the folder as it is now: a restored or replaced bundle is loaded without a restart."""
    folder = settings.load().bundle
    signature = _signature(folder)
    with _lock:
        slot = _slots.get(folder)
        if slot is None or (slot.done.is_set() and slot.signature != signature):
            slot = _slots[folder] = _Slot(signature)
            threading.Thread(target=_load, args=(folder, slot), name="model-loader", daemon=True).start()
        return slot


def _signature(folder: Path) -> Signature:
    try:
        return tuple(sorted((e.name, e.stat().st_mtime_ns, e.stat().st_size) for e in folder.iterdir()))
    except OSError:
        return ()


def _load(folder: Path, slot: _Slot) -> None:
    try:
        import numpy as np

        loaded = load(folder)
        loaded.require_diagnosis()
        size = loaded.manifest.size
        loaded.answer(np.zeros((1, size, size, 3), np.uint8))  # the first run allocates; no user should wait for it
        slot.classifier, slot.summary = loaded, _summary(loaded.bundle)
    except BundleError as error:
        slot.error = str(error)
    except Exception as error:
        slot.error = f"The model in {folder} cannot be loaded: {error}"
        raise
    finally:
        slot.done.set()


def _summary(made: "Bundle") -> ModelSummary:
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
        data=str(manifest.data.get("name", "")),
        drawn=manifest.drawn,
    )
