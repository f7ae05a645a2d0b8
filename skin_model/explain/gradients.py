"""Saliency with SmoothGrad through tf-keras-vis: the one method that needs TensorFlow.

The library uses private Keras and deprecated SciPy names, so it is kept behind this module.
"""

from typing import Any

import cv2
import numpy as np

from skin_model.explain.activation import normalised
from skin_model.explain.subject import OnProgress, Subject

SAMPLES, AT_ONCE = 16, 2  # two at once take 0.5 GB less than four, and hardly longer
CELLS = 48  # a scatter of single pixels could not be read over a picture
NOISE = 0.1  # of each colour's range in the picture; 0.1 to 0.2 in the paper


def smoothgrad(subject: Subject, target: int, on_progress: OnProgress) -> np.ndarray:
    """How strongly each pixel moves the class's logit (Simonyan et al. 2013), averaged over noisy copies (SmoothGrad,
    Smilkov et al. 2017): float32 (CELLS, CELLS) in [0, 1], the mean over the pixels of each cell.

    The noise is drawn here and not by the library, which draws anew for every call: one picture has one map, and the
    work can be stopped between copies.
    """
    from tf_keras_vis.utils.scores import CategoricalScore

    on_progress(0, SAMPLES)
    saliency = subject.saliency()
    image, random = subject.image, np.random.default_rng(0)
    spread = NOISE * np.ptp(image, axis=(0, 1))
    total = np.zeros(image.shape)
    for done in range(0, SAMPLES, AT_ONCE):
        on_progress(done, SAMPLES)
        noisy = (image + spread * random.standard_normal((AT_ONCE, *image.shape))).astype(np.float32)
        found: Any = saliency(CategoricalScore([target] * AT_ONCE), noisy, keepdims=True, normalize_map=False)
        total += np.asarray(found).sum(0)
    on_progress(SAMPLES, SAMPLES)
    strongest = total.max(-1)  # of three colours
    heat = cv2.resize(strongest, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    heat = np.minimum(heat, np.percentile(heat, 99))  # as in the paper: single pixels would leave the rest dark
    return normalised(heat[..., None])[0]


def prepared(model: Any) -> Any:
    """The library's object for a Keras network, a copy of which it makes."""
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.utils.model_modifiers import ReplaceToLinear

    # from the softmax the gradients of a confident answer vanish: ReplaceToLinear gives those of the logit
    return Saliency(model, model_modifier=ReplaceToLinear(), clone=True)
