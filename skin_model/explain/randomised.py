"""A network that has forgotten what it learned: the control of every explanation (Adebayo et al., NeurIPS 2018)."""

from typing import Any

import numpy as np


def randomise(model: Any, *, head_only: bool, seed: int = 0) -> None:
    """Shuffle the values of each kernel of a Keras network among themselves, in place.

    Shuffled rather than drawn anew, the weights keep their scale, so that the network still tells pictures apart but
    knows nothing of lesions.

    Args:
        model: a network built by `networks.build`.
        head_only: leave everything up to the last feature map as it is.
        seed: source of the order.
    """
    random = np.random.default_rng(seed)
    first = model.layers.index(model.get_layer("features")) if head_only else 0
    for layer in model.layers[first:]:
        layer.set_weights(
            [random.permuted(w.ravel()).reshape(w.shape) if w.ndim > 1 else w for w in layer.get_weights()]
        )
