"""The loss that a network learns by; each is saved inside the checkpoint, so that a resumed run keeps it.

All take probabilities, (B, 7) from a softmax or (B, 1) from a sigmoid, and targets of the same shape that may lie
between 0 and 1; they use nothing but Keras' own operations, and so run on every back end.
"""

from functools import cache
from typing import Any

import numpy as np

from skin_model.recipe import TrainingConfig

FOCUS = 2.0  # gamma: Lin et al. (2017) found 2 to work best, and 0.5 to 5 to matter little


def loss_for(config: TrainingConfig, targets: np.ndarray) -> Any:
    """The configured `keras.losses.Loss`.

    Args:
        config: loss, task and label smoothing.
        targets: float32 (N, 7) or (N, 1) of the training part, whose class shares logit adjustment takes as priors.
    """
    import keras

    smoothing, seven = config.label_smoothing, config.task == "diagnosis"
    if config.loss == "logit-adjusted":
        share = targets.mean(0, dtype=np.float64)
        priors = share if seven else np.array([1 - share[0], share[0]])
        return registered()["LogitAdjusted"](priors=priors.tolist(), label_smoothing=smoothing)
    if config.loss == "focal":  # alpha 1: the balance of classes is a setting of its own
        if seven:
            return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=FOCUS, label_smoothing=smoothing)
        return keras.losses.BinaryFocalCrossentropy(gamma=FOCUS, label_smoothing=smoothing)
    plain = keras.losses.CategoricalCrossentropy if seven else keras.losses.BinaryCrossentropy
    return plain(label_smoothing=smoothing)


def metric_for(config: TrainingConfig) -> Any:
    """The share of training images named rightly; of a blend of two images, the heavier one counts."""
    if config.task == "binary" and config.mix != "none":  # Keras' own wants targets of exactly 0 or 1
        import keras

        return keras.metrics.MeanMetricWrapper(registered()["same_side"], name="accuracy")
    return "accuracy"


@cache
def registered() -> dict[str, Any]:
    """What a checkpoint may hold besides Keras' own classes; to be called before one is loaded."""
    import keras
    from keras import ops

    register = keras.saving.register_keras_serializable("skin_model")

    @register
    class LogitAdjusted(keras.losses.Loss):
        """Softmax cross-entropy of scores that are raised by the logarithm of their class's prior.

        A network trained so gives scores for balanced classes: Menon et al., "Long-tail learning via logit
        adjustment", ICLR 2021, equation 10 with tau = 1.  A sigmoid counts as two classes.

        Args:
            priors: share of each class among the training images, all above 0.
            label_smoothing: share of each target spread over all classes.
        """

        def __init__(
            self, priors: list[float], label_smoothing: float = 0.0, name: str = "logit_adjusted", **options: Any
        ) -> None:
            super().__init__(name=name, **options)
            self.priors, self.label_smoothing = list(priors), label_smoothing

        def call(self, y_true: Any, y_pred: Any) -> Any:
            if y_pred.shape[-1] == 1:
                y_true, y_pred = (ops.concatenate([1 - y, y], axis=-1) for y in (y_true, y_pred))
            y_true = y_true * (1 - self.label_smoothing) + self.label_smoothing / len(self.priors)
            logits = ops.log(ops.clip(y_pred, keras.config.epsilon(), 1.0))  # up to a constant per image
            adjusted = logits + ops.convert_to_tensor(np.log(self.priors), dtype=y_pred.dtype)
            return -ops.sum(y_true * ops.log_softmax(adjusted, axis=-1), axis=-1)

        def get_config(self) -> dict[str, Any]:
            return super().get_config() | {"priors": self.priors, "label_smoothing": self.label_smoothing}

    @register
    def same_side(y_true: Any, y_pred: Any) -> Any:
        """Whether target and probability lie on the same side of one half, (B,)."""
        return ops.mean(ops.cast(ops.equal(y_true > 0.5, y_pred > 0.5), y_pred.dtype), axis=-1)

    return {"LogitAdjusted": LogitAdjusted, "same_side": same_side}
