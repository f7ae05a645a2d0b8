"""Explain one answer by any method: at once for the command line, in the background for the page."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from skin_model.entities import Analysis, Explanation, ModelSummary
from skin_model.errors import ConfigurationError, SkinModelError, StoppedError
from skin_model.evaluation import truthfulness
from skin_model.explain import overlay
from skin_model.explain.methods import METHODS
from skin_model.explain.subject import OnProgress, Subject, idle
from skin_model.services import memory, workspace
from skin_model.services.analysis import require_same_model
from skin_model.taxonomy import BY_CODE

if TYPE_CHECKING:
    from skin_model.inference import Classifier

STYLES: dict[str, Callable[..., np.ndarray]] = {"Heat map": overlay.overlay, "Contours": overlay.contours}
FIRST = "gradcam"  # the method whose maps come with every answer
UNEXPECTED = "Something went wrong inside this tool and there is no map. Try again; if it stays, tell your IT."
_loading = Lock()
_keras: "WeakKeyDictionary[Classifier, Any]" = WeakKeyDictionary()  # a model's network for gradients goes with it
_turn = Lock()  # one slow explanation at a time: together they would take as long, and hold up every analysis


@dataclass(frozen=True)
class Offer:
    """A method as a person chooses it.

    Attributes:
        key: for `explain`.
        name: as its authors write it.
        limits: a line on what it shows and cannot show.
        evidence: a sentence on how it did when measured, or that it was not.
        failed: it was measured and did no better than a map that knows nothing.
        slow: takes seconds.
        one_class: each class needs a run of its own; of the other methods one gives the maps of all.
    """

    key: str
    name: str
    limits: str
    evidence: str
    failed: bool
    slow: bool
    one_class: bool = False


def offers(*, summary: ModelSummary) -> list[Offer]:
    """Every method, with what was measured of it on a model."""
    return [offer(summary=summary, method=key) for key in METHODS]


def offer(*, summary: ModelSummary, method: str = FIRST) -> Offer:
    """One of them; `method` is a key of `METHODS`."""
    made, figures = METHODS[method], summary.explanations.get(method, {})
    failed = not figures.get("passed", True)
    return Offer(
        method, made.name, made.limits, truthfulness.sentence(figures), failed, made.slow, made.one_class is not None
    )


def explain(
    *,
    analysis: Analysis,
    method: str,
    target: str,
    classifier: "Classifier | None" = None,
    on_progress: OnProgress = idle,
    stop: Event | None = None,
) -> dict[str, Explanation]:
    """Where the network looked for a class.

    Args:
        analysis: a finished analysis; of its views only the unturned one is explained.
        method: a key of `METHODS`.
        target: class code.
        classifier: the model that made the analysis; the one in use by default.
        on_progress: told of steps done and their number.
        stop: once set, the work ends at its next step.

    Returns:
        Class code -> explanation: that of `target`, and those of other classes that came at no further cost.

    Raises:
        ConfigurationError: an unknown method or class.
        BundleError: another model is in use than the one that made the analysis.
        StoppedError: `stop` was set.
    """
    if method not in METHODS:
        raise ConfigurationError(f"There is no method {method!r}; choose one of {', '.join(METHODS)}.")
    if target not in BY_CODE:
        raise ConfigurationError(f"There is no class {target!r}; choose one of {', '.join(BY_CODE)}.")

    def step(done: int, total: int) -> None:
        if stop is not None and stop.is_set():
            raise StoppedError(f"{METHODS[method].name} was stopped.")
        on_progress(done, total)

    classifier = classifier or workspace.classifier()
    require_same_model(analysis, classifier)
    return METHODS[method].explain(subject(analysis.square, classifier), target, step)


def nothing(target: str) -> str:
    """What is said instead of showing an empty map."""
    return f"Nothing in the picture speaks for this class ({BY_CODE[target].name}), so there is no map to show."


def paint(*, analysis: Analysis, heat_map: np.ndarray, opacity: float, style: str = "Heat map") -> np.ndarray:
    """The analysed picture, RGB uint8 (H, W, 3), under a map; `style` is a key of `STYLES`."""
    return STYLES[style](analysis.image.pixels, analysis.box, heat_map, opacity)


def heat_scale(opacity: float) -> list[tuple[int, int, int]]:
    """The colours of a heat map over a grey picture, weakest first."""
    ramp, grey = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1)), np.full((32, 32, 3), 225, np.uint8)
    row = overlay.overlay(grey, (0, 0, 32), ramp, opacity)[16, ::2]
    return [(int(red), int(green), int(blue)) for red, green, blue in row]


def contour_scale() -> list[tuple[float, tuple[int, int, int]]]:
    """Level and colour of each contour."""
    return [(level, overlay.colour(level)) for level in overlay.CONTOURS]


@dataclass
class Run:
    """One explanation in the making, in a thread of its own; safe to read at any time.

    Attributes:
        method, target: what was asked for.
        share: of the steps done.
        waiting: for somebody else's to end.
        seconds: that it took, once done, without waiting.
        explanations: as `explain` returns them, once done.
        error: a sentence where it failed; empty where it was stopped.
    """

    method: str
    target: str
    share: float = 0.0
    waiting: bool = True
    seconds: float = 0.0
    explanations: dict[str, Explanation] = field(default_factory=dict)
    error: str = ""
    _stop: Event = field(default_factory=Event)
    _done: Event = field(default_factory=Event)

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._done.is_set()

    @property
    def stopped(self) -> bool:
        """Whether its user has stopped it."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End it at its next step."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it has ended; whether it has."""
        return self._done.wait(seconds)

    def _follow(self, done: int, total: int) -> None:
        self.share = done / total

    def _work(self, analysis: Analysis) -> None:
        try:
            with self._own_turn():
                began = time.monotonic()
                self.explanations = explain(
                    analysis=analysis, method=self.method, target=self.target, on_progress=self._follow, stop=self._stop
                )
                self.seconds = time.monotonic() - began
        except StoppedError:
            pass
        except SkinModelError as error:
            self.error = str(error)
        except Exception:
            logging.getLogger(__name__).exception("An explanation failed unexpectedly")
            self.error = UNEXPECTED
        finally:
            if METHODS[self.method].slow:
                memory.return_the_rest()
            self._done.set()

    @contextmanager
    def _own_turn(self) -> Iterator[None]:
        while not _turn.acquire(timeout=0.1):
            if self.stopped:
                raise StoppedError(f"{METHODS[self.method].name} was stopped.")
        try:
            self.waiting = False
            yield
        finally:
            _turn.release()


def begin(*, analysis: Analysis, method: str, target: str) -> Run:
    """Start an explanation in the background; `explain` says what can go wrong."""
    run = Run(method, target)
    Thread(target=run._work, args=(analysis,), name=f"explanation-{method}", daemon=True).start()
    return run


def subject(square: np.ndarray, classifier: "Classifier") -> Subject:
    """A judged square, uint8 (s, s, 3), and its classifier, as methods take them."""
    features = classifier.answer(square[None], views=1).features[0]
    return Subject(square, features, classifier.head, classifier.outputs, lambda: _saliency(classifier))


def _saliency(classifier: "Classifier") -> Any:
    """The classifier's Keras network, prepared once."""
    with _loading:  # those who wait here want TensorFlow too
        if classifier not in _keras:
            from skin_model.conversion import load_keras
            from skin_model.explain.gradients import prepared
            from skin_model.networks import picture_part

            _keras[classifier] = prepared(picture_part(load_keras(classifier.bundle.path("network.keras"))))
        return _keras[classifier]
