"""The segmentation network, its training, and the form in which it is served."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from skin_model import conversion
from skin_model.dataset.augmentation import STRENGTHS, Strength, augment

SIZE = 96  # pixels: the whole picture, whatever its shape, becomes a square of this side
BATCH = 32
LEARNING_RATE = 3e-3
_WIDTHS = (16, 32, 48, 64, 96)  # channels at a half to a thirty-second of the side
_STRENGTH: Strength = STRENGTHS["standard"]  # type: ignore[assignment]

OnEpoch = Callable[[int, int, float], None]  # (epoch from 1, epochs, mean loss)


def build() -> Any:
    """A U-Net (Ronneberger, Fischer, Brox, MICCAI 2015) of 0.4 million parameters.

    Its first convolution halves the side and its last answer is enlarged again, which costs little: outlines are
    smooth.  In: image float32 (B, SIZE, SIZE, 3) in [0, 1].  Out: logits of "lesion", (B, SIZE, SIZE, 1).
    """
    import keras
    from keras import layers

    def block(x: Any, channels: int, stride: int = 1) -> Any:
        x = layers.Conv2D(channels, 3, stride, "same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    inputs = layers.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(4.0, -2.0)(inputs)
    levels = []
    for channels in _WIDTHS:
        x = block(block(x, channels, stride=2), channels)
        levels.append(x)
    for channels, skipped in zip(_WIDTHS[-2::-1], levels[-2::-1], strict=True):
        x = layers.UpSampling2D(interpolation="bilinear")(x)
        x = block(layers.Concatenate()([x, skipped]), channels)
    x = layers.Conv2D(1, 1)(x)
    return keras.Model(inputs, layers.UpSampling2D(interpolation="bilinear", dtype="float32")(x))


def train(layers: np.ndarray, *, epochs: int, seed: int, on_epoch: OnEpoch) -> Any:
    """Train a network from nothing.

    Args:
        layers: uint8 (N, SIZE, SIZE, 4), each a picture and, last, its mask, 255 on the lesion.
        epochs: over all of them; the learning rate falls to zero with them.
        seed: of weights, order and augmentation.
        on_epoch: told of progress.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    model, random = build(), np.random.default_rng(seed)
    steps = epochs * (len(layers) // min(BATCH, len(layers)))
    warmup = min(100, steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps - warmup, warmup_target=LEARNING_RATE, warmup_steps=warmup)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(images: Any, masks: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = _loss(masks, model(images, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    for epoch in range(epochs):
        order, losses = random.permutation(len(layers)), []
        for start in range(0, len(order) - min(BATCH, len(order)) + 1, BATCH):
            batch = np.stack([_changed(layers[i], random) for i in order[start : start + BATCH]])
            scaled = batch.astype(np.float32) / 255
            losses.append(float(step(scaled[..., :3], scaled[..., 3:])))
        on_epoch(epoch + 1, epochs, float(np.mean(losses)))
    return model


def write(model: Any, folder: Path) -> None:
    """Write `serving.xml` and `serving.bin`, weights as float16; the answer is the probability of "lesion".

    Raises:
        BundleError: where the libraries cannot convert it, or find no room for their files.
    """
    import keras

    serving = keras.Model(model.inputs, keras.layers.Activation("sigmoid")(model.output))
    conversion.write_serving(serving, folder, source="segmentation", half=True)


def _changed(one: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Another view of a picture with its mask, and now and then of other proportions, as other cameras have."""
    changed = augment(one, _STRENGTH, random)
    if random.random() < 0.5:
        return changed
    stretch = np.diag(np.exp(random.uniform(-0.25, 0.25) * np.array([1.0, -1.0])))
    middle = np.full(2, (SIZE - 1) / 2)
    matrix = np.column_stack([stretch, middle - stretch @ middle])
    return cv2.warpAffine(changed, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT_101)


def _loss(masks: Any, logits: Any) -> Any:
    """Cross-entropy and 1 - soft Dice (Milletari, Navab, Ahmadi, 3DV 2016), mean over the pictures."""
    import tensorflow as tf

    probabilities = tf.sigmoid(logits)
    over = (1, 2, 3)
    entropy = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(masks, logits), over)
    shared = tf.reduce_sum(masks * probabilities, over)
    dice = (2 * shared + 1) / (tf.reduce_sum(masks, over) + tf.reduce_sum(probabilities, over) + 1)
    return tf.reduce_mean(entropy + 1 - dice)
