"""Grad-CAM of every class from one forward pass, with NumPy alone.

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
        maps = np.maximum(features @ self._channel_weights(features), 0)  # eq. 2, (h, w, K)
        maps = np.moveaxis(maps, -1, 0)
        peaks = maps.max(axis=(1, 2), keepdims=True)
        return (maps / np.where(peaks > 0, peaks, 1)).astype(np.float32)

    def _channel_weights(self, features: np.ndarray) -> np.ndarray:
        """The mean gradient of each logit per channel (eq. 1) up to a positive factor, (C, K)."""
        if not self.flattened:
            return self.kernels[0]
        x = features.reshape(-1)
        active = []
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            x = np.maximum(x @ kernel + bias, 0)
            active.append(x > 0)
        gradient = self.kernels[-1]
        for kernel, on in zip(self.kernels[-2::-1], active[::-1], strict=True):
            gradient = kernel @ (gradient * on[:, None])
        return gradient.reshape(*features.shape, -1).mean((0, 1))
