"""The last layer fitted anew when the network is trained: logistic regression on its own embeddings.

A layer fitted for itself, once the network behind it stays as it is, serves rare classes better (Kang et al.,
"Decoupling representation and classifier for long-tailed recognition", ICLR 2020).  It has no bias: a class's logit is
then the mean of its activation over the picture, and nothing of it lies nowhere.  The fit is convex, so the layer that
was there before does not matter; with attention, the same second loss as in training, it starts from that layer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skin_model import networks
from skin_model.dataset.pipeline import Batches
from skin_model.errors import StoppedError
from skin_model.training.attention import FAINT

_AT_ONCE = 512  # images whose activation is in memory
_STEPS = 1000, 60  # at most, without and with attention: there each reads all feature maps, and soon betters little


def refit(
    model: Any, batches: Batches, penalty: float, attention: float, folder: Path, stopped: Callable[[int], bool]
) -> bool:
    """Replace the weights of a network's last layer; those that judge the patient stay.

    Args:
        model: of `networks.build`, trained.
        batches: every training image once, in order, as it is, without patients; `weights` say what each counts.
        penalty: half of it times the sum of the squared weights, of embeddings scaled to unit variance, is added to the
            mean loss.
        attention: weight of the share of the activation outside the masks of `batches`; 0 where these have none.
        folder: where what the layer is given may lie meanwhile: with attention whole feature maps, of MobileNet at 192
            pixels 150 kB an image, of the pair at 288 750 kB.
        stopped: told of the batches done; whether the work is to stop.

    Returns:
        False where it was stopped; the network is then as before.

    Raises:
        OSError: the disk is full.
    """
    import keras
    from scipy.optimize import minimize

    layer = networks.last_layer(model)
    seen = model.get_layer("features").output if attention else layer.input
    network = keras.Model(model.get_layer("image").output, seen)

    def tell(done: int) -> None:
        if stopped(done):
            raise StoppedError

    kept = folder / "places.npy"
    try:
        places = _Places(kept, batches, seen.shape)
        for number in range(len(batches)):
            images, _, _ = batches.get(0, number, np.arange(batches.images))
            places.add(number, np.asarray(network.predict_on_batch(images["image"] if attention else images)), images)
            tell(number + 1)
        scale = places.scale()
        start = layer.get_weights()[0] * scale[:, None]
        found = minimize(
            places.loss, start.ravel().astype(np.float64), args=(scale, penalty, attention), jac=True,
            method="L-BFGS-B", callback=lambda _: tell(len(batches)), options={"maxiter": _STEPS[attention > 0]},
        )  # fmt: skip
    except StoppedError:
        return False
    finally:
        kept.unlink(missing_ok=True)
    layer.set_weights([found.x.reshape(start.shape) / scale[:, None], np.zeros(layer.units)])
    return True


def fitted(model: Any) -> bool:
    """Whether a trained network's last layer is of `refit`: a training moves every bias, and here there is none."""
    return not networks.last_layer(model).get_weights()[1].any()


class _Places:
    """What the last layer is given of every training image, kept in a file, and what it loses there.

    Either its embedding, as one place, or each place of its feature map with how much of it lies inside the lesion.
    """

    def __init__(self, path: Path, batches: Batches, shape: tuple[int, ...]) -> None:
        self._path, self._grid, channels = path, shape[1:-1], shape[-1]
        count = int(np.prod(self._grid))
        np.lib.format.open_memmap(path, "w+", np.float32, (batches.images, count, channels))
        self._inside = np.zeros((batches.images, count), np.float32)
        targets = batches.targets
        labels = targets.argmax(1) if targets.shape[1] > 1 else (targets[:, 0] > 0.5).astype(int)
        self._truth = np.eye(max(targets.shape[1], 2), dtype=np.float32)[labels]
        self._weights = batches.weights / batches.weights.sum()
        self._batch = batches.batch

    def add(self, number: int, features: np.ndarray, images: Any) -> None:
        """Keep a batch: features (B, C) or (B, h, w, C), and its images as `Batches.get` gives them."""
        from keras import ops

        features = np.ascontiguousarray(features, np.float32)
        rows = slice(number * self._batch, number * self._batch + len(features))
        with self._path.open("r+b") as file:  # through a mapping, a full disk would end the process by a signal
            file.seek(self._features.offset + rows.start * features[0].nbytes)
            file.write(features.data)
        if self._grid:
            inside = ops.image.resize(images["mask"], self._grid, antialias=True)
            self._inside[rows] = np.asarray(inside).reshape(len(features), -1)

    def scale(self) -> np.ndarray:
        """Standard deviation of each channel's mean over the places, float64 (C,); 1 where it never varies."""
        count = len(self._weights)
        centre = sum(self._features[part].mean(1, np.float64).sum(0) for part in self._parts()) / count
        squares = (((self._features[part].mean(1, np.float64) - centre) ** 2).sum(0) for part in self._parts())
        spread = np.sqrt(sum(squares) / count)
        return np.where(spread > 0, spread, 1.0)

    def loss(self, flat: np.ndarray, scale: np.ndarray, penalty: float, attention: float) -> tuple[float, np.ndarray]:
        """The loss of a layer's flattened kernel, for embeddings in units of `scale`, and its gradient."""
        scaled = flat.reshape(len(scale), -1)
        kernel = (scaled / scale[:, None]).astype(np.float32)
        total, gradient = 0.0, np.zeros_like(scaled)
        for part in self._parts():
            features, weights = self._features[part], self._weights[part]
            losses, slopes = losses_and_slopes(features @ kernel, self._truth[part], self._inside[part], attention)
            total += float(weights @ losses)
            slopes = (slopes * weights[:, None, None]).reshape(-1, kernel.shape[1])
            gradient += features.reshape(-1, len(kernel)).T @ slopes
        return total + penalty / 2 * float((scaled**2).sum()), (gradient / scale[:, None] + penalty * scaled).ravel()

    @property
    def _features(self) -> np.memmap:
        """Mapped anew for each use: what is read counts as memory for as long as its mapping lasts."""
        return np.load(self._path, mmap_mode="r")

    def _parts(self) -> list[slice]:
        return [slice(start, start + _AT_ONCE) for start in range(0, len(self._weights), _AT_ONCE)]


def losses_and_slopes(
    activation: np.ndarray, truth: np.ndarray, inside: np.ndarray, attention: float
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy plus `attention` times the true class's share outside, and its slopes by the activation.

    Args:
        activation: (B, P, K), of K classes at P places, or K = 1: malignant.
        truth: one-hot (B, K), or (B, 2): benign, malignant.
        inside: (B, P) in [0, 1], how much of each place the lesion covers.
        attention: weight; see `attention.layers` for what is active and outside.

    Returns:
        Losses (B,) and slopes (B, P, K).
    """
    from scipy.special import log_softmax

    places, units = activation.shape[1:]
    if units == 1:
        activation = np.concatenate([np.zeros_like(activation), activation], axis=2)
    logs = log_softmax(activation.mean(1), axis=1)
    losses = -(truth * logs).sum(1)
    slopes = np.repeat((np.exp(logs) - truth)[:, None] / places, places, axis=1)
    if attention:
        speaks = truth - (1 / units if units > 1 else 0)  # what speaks for a class rather than for all of them
        active = np.maximum((activation * speaks[:, None]).sum(2), 0)
        whole = active.sum(1, keepdims=True) + FAINT
        share = (active * inside).sum(1, keepdims=True) / whole
        losses += attention * (1 - share[:, 0])
        slopes += attention * np.where(active > 0, (share - inside) / whole, 0)[:, :, None] * speaks[:, None]
    return losses, slopes[:, :, -units:]
