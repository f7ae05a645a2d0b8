"""The last layer fitted anew when the network is trained: logistic regression on its own embeddings.

A layer fitted for itself, once the network behind it stays as it is, serves rare classes better (Kang et al.,
"Decoupling representation and classifier for long-tailed recognition", ICLR 2020).  The fit is convex, so the layer
that was there before does not matter, and doing it twice changes nothing.  It has no bias: a class's logit is then the
mean of its activation over the picture, and nothing of it lies nowhere.
"""

from typing import Any

import numpy as np

from skin_model import networks
from skin_model.dataset.pipeline import Batches
from skin_model.training.epoch import OnBatch


def refit(model: Any, batches: Batches, penalty: float, on_batch: OnBatch | None, epoch: int, loss: float) -> bool:
    """Replace the weights of a network's last layer; those that judge the patient stay.

    Args:
        model: of `networks.build`, trained.
        batches: every training image once, in order, as it is, without patients; `weights` say what each counts.
        penalty: half of it times the sum of the squared weights, of embeddings scaled to unit variance, is added to the
            mean loss.
        on_batch: told of progress, with `epoch` and `loss`; may stop the work.

    Returns:
        False where it was stopped; the network is then as before.
    """
    import keras
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    layer = networks.last_layer(model)
    network = keras.Model(model.get_layer("image").output, layer.input)
    embeddings = []
    for number in range(len(batches)):
        images, _, _ = batches.get(0, number, np.arange(batches.images))
        embeddings.append(np.asarray(network.predict_on_batch(images)))
        if on_batch and on_batch(epoch, number + 1, len(batches), loss):
            return False
    truth = batches.targets
    labels = truth.argmax(1) if truth.shape[1] > 1 else truth[:, 0]
    scaler = StandardScaler(with_mean=False)
    scaled = scaler.fit_transform(np.concatenate(embeddings).astype(np.float64))
    fitted = LogisticRegression(C=1 / (penalty * batches.weights.sum()), fit_intercept=False, max_iter=1000)
    fitted.fit(scaled, labels, sample_weight=batches.weights)
    layer.set_weights([fitted.coef_.T / scaler.scale_[:, None], np.zeros(layer.units)])
    return True
