"""Blends of two training images of a batch, with targets that say how much of each is seen."""

from collections.abc import Sequence

import numpy as np

MIXUP_ALPHA = 0.2  # Zhang et al., "mixup", ICLR 2018: 0.1 to 0.4 on ImageNet


def blend(kind: str, batch: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Blend every image of a batch with another one of it.

    Args:
        kind: "mixup" adds two images by a share that is mostly near 0 or 1; "cutmix" puts a box of one into the other,
            of an area share uniform in 0 to 1 but for the border (Yun et al., "CutMix", ICCV 2019).
        batch: images float32 (B, s, s, 3), targets float32 (B, K), loss weights float32 (B,), and what else is known
            of each image, float32 (B, M), which is blended by the same shares.
        rng: source of all randomness.

    Returns:
        New arrays of the same shapes.  With any loss that is linear in its targets an image counts as its two parts
        would, each with its own weight and share.
    """
    images, targets, weights, *others = batch
    partner = rng.permutation(len(images))
    mixed, kept = (_added if kind == "mixup" else _boxed)(images, partner, rng)
    own, other = kept * weights, (1 - kept) * weights[partner]
    total = own + other
    soft = (own[:, None] * targets + other[:, None] * targets[partner]) / total[:, None]
    blended = [mixed, soft, total, *(kept[:, None] * x + (1 - kept)[:, None] * x[partner] for x in others)]
    return [part.astype(np.float32, copy=False) for part in blended]


def _added(images: np.ndarray, partner: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    kept = rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, len(images)).astype(np.float32)
    share = kept[:, None, None, None]
    mixed = images[partner]
    mixed *= 1 - share
    mixed += share * images
    return mixed, kept


def _boxed(images: np.ndarray, partner: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    size = images.shape[1]
    side = size * np.sqrt(rng.random(len(images)))
    centre = rng.uniform(0, size, (2, len(images)))
    low = np.clip(np.round(centre - side / 2), 0, size).astype(int)  # (2, B): rows and columns
    high = np.clip(np.round(centre + side / 2), 0, size).astype(int)
    mixed = images.copy()
    for i, ((top, left), (bottom, right)) in enumerate(zip(low.T, high.T, strict=True)):
        mixed[i, top:bottom, left:right] = images[partner[i], top:bottom, left:right]
    return mixed, 1 - np.prod(high - low, axis=0) / size**2
