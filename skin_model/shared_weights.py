"""The weights that both forms of a bundle's network share, kept once.

A network of `conversion.halve` and its serving form have the same kernels, their axes in another order, up to a factor
for each output channel that nearly always is 1 or -1.  So `serving.bin` need not be kept: `serving.npz` holds where its
kernels stand in `network.keras`, these factors, and bit by bit the little that still differs.
"""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from skin_model import files
from skin_model.errors import BundleError

ALIKE = 0.9  # share of a kernel's weights that have to be the same; others are of another layer


def leave_out(folder: Path) -> None:
    """Replace a bundle's `serving.bin`, of float16, by `serving.npz`, of which `read` makes the very same bytes.

    Nothing is lost by a kernel that `network.keras` does not hold: all of it differs then.
    """
    weights = np.fromfile(folder / "serving.bin", np.uint8)
    checksum = zlib.crc32(weights.tobytes())
    kernels = _kernels(folder / "network.keras")
    names: list[str] = []
    offsets: list[int] = []
    factors: list[float] = []
    for offset, shape in _constants(folder / "serving.xml"):
        served = _at(weights, offset, int(np.prod(shape))).reshape(shape[0], -1)
        for name, kernel in kernels.items():
            if (of_channels := _factors(kernel, served)) is not None:
                names.append(name)
                offsets.append(offset)
                factors.extend(of_channels)
                break
    _toggle(weights, kernels, names, offsets, np.array(factors, np.float32))
    np.savez_compressed(
        folder / "serving.npz", names=np.array(names, str), offsets=np.array(offsets, np.int64),
        factors=np.array(factors, np.float32), difference=weights, checksum=checksum,
    )  # fmt: skip
    (folder / "serving.bin").unlink()


def read(network: Path, rest: Path) -> np.ndarray:
    """The bytes of `serving.bin`, uint8 (N,), from `network.keras` and `serving.npz`.

    Raises:
        BundleError: these two do not belong together.
    """
    try:
        with np.load(rest) as kept:
            weights = kept["difference"]
            _toggle(weights, _kernels(network), kept["names"], kept["offsets"], kept["factors"])
            if zlib.crc32(weights.tobytes()) != kept["checksum"]:
                raise ValueError("it was made of other weights")
    except files.UNREADABLE as error:
        raise BundleError(f"{rest.name} does not fit {network.name} ({error}). Make the bundle again.") from error
    return weights


def _toggle(weights: np.ndarray, kernels: dict[str, np.ndarray], names: Any, offsets: Any, factors: np.ndarray) -> None:
    """Take what the kernels foretell out of the weights bit by bit, or put it back: each undoes the other."""
    done = 0
    for name, offset in zip(names, offsets, strict=True):
        kernel = kernels[name]
        foretold = (kernel.astype(np.float32) * factors[done : done + len(kernel), None]).astype(np.float16).ravel()
        _at(weights, offset, foretold.size).view(np.uint16)[:] ^= foretold.view(np.uint16)
        done += len(kernel)


def _at(weights: np.ndarray, offset: int, count: int) -> np.ndarray:
    return weights[offset : offset + 2 * count].view(np.float16)


def _factors(kernel: np.ndarray, served: np.ndarray) -> np.ndarray | None:
    """By what each output channel was multiplied, float32 (channels,), or None for a kernel of another layer."""
    if kernel.shape != served.shape:
        return None
    kernel = kernel.astype(np.float32)
    largest = np.arange(len(kernel)), np.abs(kernel).argmax(axis=1)
    base = np.where(kernel[largest] == 0, 1, kernel[largest])  # of a channel that is nothing at all
    factors = served[largest].astype(np.float32) / base
    return factors if np.mean((kernel * factors[:, None]).astype(np.float16) == served) > ALIKE else None


def _kernels(network: Path) -> dict[str, np.ndarray]:
    """Every convolution's kernel by its name in a `.keras` file: (output channels, weights of each)."""
    import h5py

    kernels = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 4:
            depthwise = "depthwise" in name  # (h, w, C, 1), or (h, w, in, out)
            kernel = item[()].transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
            kernels[name] = kernel.reshape(len(kernel), -1)

    with zipfile.ZipFile(network) as whole, h5py.File(io.BytesIO(whole.read("model.weights.h5"))) as file:
        file.visititems(keep)
    return kernels


def _constants(xml: Path) -> list[tuple[int, tuple[int, ...]]]:
    """Offset and shape of every convolution's kernel in OpenVINO's weights."""
    found = []
    for layer in ElementTree.parse(xml).getroot().iter("layer"):
        data = layer.find("data")
        if layer.get("type") == "Const" and data is not None and data.get("element_type") == "f16":
            shape = tuple(int(side) for side in data.get("shape", "").split(",") if side.strip())
            if len(shape) > 3 and shape[0] > 1:  # what is added to all channels has a first side of 1
                found.append((int(data.get("offset", 0)), shape))
    return found
