"""Class activation maps of every class from one forward pass, with NumPy alone: Grad-CAM, Grad-CAM++ and LayerCAM.

Grad-CAM (Selvaraju et al., ICCV 2017) weights each channel of the last feature map by the mean gradient of a class's
logit (eq. 1) and keeps what is positive of the weighted sum (eq. 2).  The gradient needs only the head: for global
average pooling and one dense layer it is the layer's kernel (Zhou et al., CVPR 2016); through hidden dense layers it is
a matrix product.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Head:
    """The part of a network behind its last feature map.

    Attributes:
        flattened: whether the feature map enters flattened; else it is averaged over its positions, and the only
            dense layer is the last.
        kernels, biases: of the dense layers in order; all but the last are followed by a ReLU.
    """

    flattened: bool
    kernels: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, model: Any) -> "Head":
        """Take the head of a network built by `networks.build`."""
        names = {layer.name for layer in model.layers}
        dense = [model.get_layer(name) for name in ("hidden", "output") if name in names]
        weights = [layer.get_weights() for layer in dense]
        return cls("flattening" in names, tuple(w[0] for w in weights), tuple(w[1] for w in weights))

    def save(self, path: Path) -> None:
        """Write the head as `.npz`."""
        arrays = {f"kernel{i}": k for i, k in enumerate(self.kernels)}
        arrays |= {f"bias{i}": b for i, b in enumerate(self.biases)}
        with path.open("wb") as file:
            np.savez(file, flattened=np.array(self.flattened), **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> "Head":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            count = sum(name.startswith("kernel") for name in file)
            return cls(
                bool(file["flattened"]),
                tuple(file[f"kernel{i}"] for i in range(count)),
                tuple(file[f"bias{i}"] for i in range(count)),
            )

    def gradcam(self, features: np.ndarray) -> np.ndarray:
        """Grad-CAM of all classes.

        Args:
            features: float32 (h, w, C), the last feature map of one image.

        Returns:
            float32 (K, h, w) in [0, 1]: each map divided by its own maximum; all zero where nothing speaks for a class.
        """
        weights = self._gradients(features).mean((0, 1))  # eq. 1 up to a positive factor, (C, K)
        return normalised(features @ weights)  # eq. 2

    def layercam(self, features: np.ndarray) -> np.ndarray:
        """LayerCAM (Jiang et al., IEEE TIP 2021) of all classes; arguments and result as of `gradcam`.

        Each position of each channel is weighted by its own gradient where that is positive (eq. 5 and 6).
        """
        gradients = np.maximum(self._gradients(features), 0)
        return normalised((gradients * features[..., None]).sum(2))

    def gradcam_plus_plus(self, features: np.ndarray) -> np.ndarray:
        """Grad-CAM++ (Chattopadhay et al., WACV 2018) of all classes; arguments and result as of `gradcam`.

        A channel's weight is the mean of its positive gradients, weighted by alpha (eq. 19), whose sum is set to 1 as
        in the authors' code.  A pooled head has one gradient per channel, so alpha cancels and this is LayerCAM.
        """
        g = self._gradients(features)
        denominator = 2 * g**2 + g**3 * features.sum((0, 1))[:, None]
        alpha = np.divide(g**2, denominator, out=np.zeros(g.shape), where=denominator != 0)  # (h, w, C, K)
        total = alpha.sum((0, 1))
        weights = np.divide((alpha * np.maximum(g, 0)).sum((0, 1)), total, out=np.zeros(total.shape), where=total != 0)
        return normalised(features @ weights)

    def _gradients(self, features: np.ndarray) -> np.ndarray:
        """The gradient of each logit up to a positive factor, (h, w, C, K); (1, 1, C, K) where positions share it."""
        if not self.flattened:
            return self.kernels[0][None, None]
        x = features.reshape(-1)
        active = []
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            x = np.maximum(x @ kernel + bias, 0)
            active.append(x > 0)
        gradient = self.kernels[-1]
        for kernel, on in zip(self.kernels[-2::-1], active[::-1], strict=True):
            gradient = kernel @ (gradient * on[:, None])
        return gradient.reshape(*features.shape, -1)


def normalised(maps: np.ndarray, least: float = 0.0) -> np.ndarray:
    """What is positive of maps (h, w, K), each over its own maximum: float32 (K, h, w) in [0, 1].

    A map whose maximum does not exceed `least` becomes all zero: divided by so little it would show noise.
    """
    maps = np.maximum(np.moveaxis(maps, -1, 0), 0)
    peaks = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, peaks, out=np.zeros(maps.shape), where=peaks > least).astype(np.float32)
