"""A bundle's serving form, loaded once: calibrated probabilities, embeddings and feature maps, no TensorFlow."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skin_model import imaging, shared_weights
from skin_model.bundle import Bundle, Manifest
from skin_model.entities import Patient
from skin_model.errors import BundleError
from skin_model.evaluation.calibration import sigmoid, softmax
from skin_model.explain.activation import Head
from skin_model.patients import PatientPart

VIEWS = (1, 2, 4, 8)
IDLE = 2  # requests kept: each holds its buffers


@dataclass(frozen=True)
class Answers:
    """What a network says of N images.

    Attributes:
        logits: float64 (N, K), mean over the views; log probabilities, or the malignant logit of a binary network.
            Of the pictures alone: see `Classifier.with_patients`.
        embeddings: float32 (N, D), unturned view.
        features: float32 (N, h, w, C), last feature map of the unturned view.
    """

    logits: np.ndarray
    embeddings: np.ndarray
    features: np.ndarray


class Classifier:
    """A loaded bundle; safe to call from many threads at once.

    Raises:
        BundleError: where the serving form cannot be executed.
    """

    def __init__(self, bundle: Bundle) -> None:
        import openvino

        self.bundle, self.manifest = bundle, bundle.manifest
        self.head = Head.load(bundle.path("head.npz"))
        self.patient_part = PatientPart.load(bundle.path("patient.npz")) if self.manifest.metadata else None
        self._core = openvino.Core()
        # read whole: mapped weights would change under a bundle that is being replaced
        self._core.set_property({"ENABLE_MMAP": False})
        # bfloat16, OpenVINO's own choice on some processors, would change probabilities in the third digit
        hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        try:
            network = self._read(bundle)
            # pictures one by one, on all cores: what a layer leaves stays in the cache, and a batch needs a multiple of
            # the memory for no gain in time
            network.reshape([1, self.manifest.size, self.manifest.size, 3])
            self._compiled = self._core.compile_model(network, "CPU", hints)
        except RuntimeError as error:
            raise BundleError(f"The model {bundle.manifest.model_version} cannot be executed here: {error}") from error
        self._idle: deque[Any] = deque(maxlen=IDLE)  # requests that no thread is using

    def _read(self, bundle: Bundle) -> Any:
        import openvino

        network = bundle.path("serving.xml")
        if "serving.npz" not in self.manifest.files:
            return self._core.read_model(network, bundle.path("serving.bin"))
        weights = shared_weights.read(bundle.path("network.keras"), bundle.path("serving.npz"))
        return self._core.read_model(network.read_text(encoding="utf-8"), openvino.Tensor(weights))

    def require_diagnosis(self) -> None:
        """Refuse a model without the seven classes.  Raises BundleError."""
        if self.manifest.task != "diagnosis":
            raise BundleError(
                f"The model {self.manifest.model_version} only tells benign from malignant; it can be evaluated but "
                "not used on patients' images. Choose a model of the seven classes."
            )

    def answer(self, squares: np.ndarray, views: int | None = None) -> Answers:
        """Run the network on images prepared by `imaging.fit` and `imaging.centre`.

        Args:
            squares: uint8 (N, size, size, 3).
            views: how many views to average; the bundle's own number by default.
        """
        views = views or self.manifest.views
        inputs = imaging.to_network(turned(squares, views))  # (views * N, s, s, 3), view by view
        count = len(squares)
        outputs, embeddings, features = self._run(inputs, count)
        logits = to_logits(outputs).reshape(views, count, -1).mean(0)
        return Answers(logits, embeddings, features)

    def embeddings(self, squares: np.ndarray) -> np.ndarray:
        """Mean embeddings float32 (N, D) of all eight views: the same for a picture turned or mirrored.

        Args:
            squares: as for `answer`.
        """
        views = np.split(turned(squares, 8), 8)
        return np.mean([self._run(imaging.to_network(view), len(view))[1] for view in views], axis=0)

    def with_patients(self, logits: np.ndarray, patients: Sequence[Patient]) -> np.ndarray:
        """Logits (N, K) of pictures and of their patients together; unchanged for a model of pictures alone.

        Log probabilities of a picture differ from its logits by a number that all classes share, so the patient's can
        be added after the views are averaged.
        """
        return with_patients(logits, self.patient_part, patients)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities: float32 (N, 7), or (N, 1) malignant for a binary network."""
        return calibrated(logits, self.manifest)

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        """The network's bare outputs (N, K) for images float32 (N, s, s, 3) in [0, 1], as Keras would give them."""
        return self._run(inputs)[0]

    def _run(self, inputs: np.ndarray, count: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Outputs of all inputs; embeddings and feature maps, which are large, of the first `count`."""
        found: tuple[list[np.ndarray], ...] = ([], [], [])
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            for number, picture in enumerate(inputs[:, None]):
                request.infer([picture])
                for output, kept in enumerate(found if number < count else found[:1]):
                    kept.append(request.get_output_tensor(output).data.copy())
        finally:
            self._idle.append(request)  # the longest unused goes where there are too many
        outputs, embeddings, features = map(np.concatenate, found)
        return outputs, embeddings, features


def with_patients(logits: np.ndarray, part: PatientPart | None, patients: Sequence[Patient]) -> np.ndarray:
    """As `Classifier.with_patients`, from the part of it that judges patients alone."""
    return logits if part is None else logits + part.logits(patients)


def calibrated(logits: np.ndarray, manifest: Manifest) -> np.ndarray:
    """As `Classifier.probabilities`, from its manifest alone."""
    calibrate = softmax if manifest.task == "diagnosis" else sigmoid
    return calibrate(logits, manifest.temperature)


def turned(squares: np.ndarray, views: int) -> np.ndarray:
    """Flipped and turned views of square images: (views * N, s, s, 3), all of the first view, then of the second...

    Args:
        squares: (N, s, s, 3).
        views: 1 (as it is), 2 (and turned by half a circle, which tells more than a mirror), 4 (and these mirrored), 8
            (and all turned by a quarter).
    """
    if views not in VIEWS:
        raise ValueError(f"views must be one of {VIEWS}; {views} was given")
    stack = [squares]
    if views >= 2:
        stack += [x[:, ::-1, ::-1] for x in stack]
    if views >= 4:
        stack += [x[:, :, ::-1] for x in stack]
    if views >= 8:
        stack += [x.transpose(0, 2, 1, 3) for x in stack]
    return np.concatenate(stack) if views > 1 else squares


def to_logits(outputs: np.ndarray) -> np.ndarray:
    """Log probabilities float64 (N, 7) of softmax outputs, or the logit (N, 1) of sigmoid outputs."""
    p = np.clip(outputs.astype(np.float64), 1e-12, 1.0)
    return np.log(p) if p.shape[1] > 1 else np.log(p) - np.log(np.clip(1 - p, 1e-12, 1.0))
