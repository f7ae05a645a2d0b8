"""LIME and SHAP: which superpixels carry a class, by hiding many random sets of them.

A hidden superpixel takes the colour of the picture's surroundings.  The same seed each time: one picture has one map.
"""

from collections.abc import Callable
from threading import Lock

import numpy as np

from skin_model.explain.activation import normalised
from skin_model.explain.perturbation import LEAST
from skin_model.explain.subject import OnProgress, Subject, surroundings

SUPERPIXELS = 36
SAMPLES = 498  # random sets; twenty batches with the two that SHAP adds
KERNEL_WIDTH = 0.25  # of LIME's similarity, its authors' choice for images
_random_state = Lock()  # SHAP draws from NumPy's global generator; held for milliseconds


def lime(subject: Subject, on_progress: OnProgress) -> np.ndarray:
    """LIME (Ribeiro et al., KDD 2016) by its own library: float32 (K, s, s) in [0, 1].

    A linear model of the class's probability by which superpixels are shown, fitted most closely where few are hidden.
    """
    from lime.lime_base import LimeBase
    from sklearn.metrics import pairwise_distances

    segments = superpixels(subject.square)
    count = segments.max() + 1
    shown = np.random.RandomState(0).randint(0, 2, SAMPLES * count).reshape(SAMPLES, count)
    shown[0] = 1
    answers = _answers(subject, segments, shown, on_progress)
    distances = pairwise_distances(shown, shown[:1], metric="cosine").ravel()
    base = LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / KERNEL_WIDTH**2)), random_state=0)
    effects = np.zeros((count, answers.shape[1]))
    for target in range(answers.shape[1]):
        _, weights, _, _ = base.explain_instance_with_data(shown, answers, distances, target, count)
        effects[[number for number, _ in weights], target] = [weight for _, weight in weights]
    return normalised(effects[segments], LEAST)


def shap(subject: Subject, on_progress: OnProgress) -> np.ndarray:
    """Kernel SHAP (Lundberg and Lee, NeurIPS 2017) by its own library: float32 (K, s, s) in [0, 1].

    The mean change of the class's probability when a superpixel is shown besides a random set of others.
    """
    segments = superpixels(subject.square)
    asked: list[np.ndarray] = []

    def note(shown: np.ndarray) -> np.ndarray:
        asked.append(shown.copy())
        return np.zeros((len(shown), 1))

    # Twice with the same seed: the first run tells which sets it wants, the second is given the network's answers.  The
    # network is thus asked outside the lock, and can be stopped.
    _shapley_values(note, segments.max() + 1)
    answers = iter(np.split(_answers(subject, segments, np.concatenate(asked), on_progress), _ends(asked)))
    effects = _shapley_values(lambda _: next(answers), segments.max() + 1)
    return normalised(effects[segments], LEAST)


def superpixels(square: np.ndarray) -> np.ndarray:
    """SLIC superpixels (Achanta et al., TPAMI 2012) of uint8 (s, s, 3): numbers from 0, int (s, s)."""
    from skimage.segmentation import slic

    return np.asarray(slic(square, n_segments=SUPERPIXELS, compactness=10, sigma=1, start_label=0))


def _answers(subject: Subject, segments: np.ndarray, shown: np.ndarray, on_progress: OnProgress) -> np.ndarray:
    """The network's answers (N, K) where only the superpixels marked in `shown` (N, superpixels) are shown."""
    image, cover = subject.image, surroundings(subject.square)
    return subject.ask(
        len(shown), lambda number: np.where(shown[number][segments][..., None] > 0, image, cover), on_progress
    )


def _ends(parts: list[np.ndarray]) -> list[int]:
    return list(np.cumsum([len(part) for part in parts])[:-1])


def _shapley_values(function: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
    """The library's Shapley values (count, K) of a function of which of `count` features are present."""
    from shap import KernelExplainer

    with _random_state:
        kept = np.random.get_state()
        np.random.seed(0)
        try:
            explainer = KernelExplainer(function, np.zeros((1, count)))
            return np.asarray(
                explainer.shap_values(np.ones((1, count)), nsamples=SAMPLES, l1_reg=False, silent=True)[0]
            )
        finally:
            np.random.set_state(kept)
