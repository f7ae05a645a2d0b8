"""Attention from masks: a second loss, the share of the true class's activation that lies outside the lesion.

Class activation is that of Zhou et al., "Learning deep features for discriminative localization", CVPR 2016: the last
dense layer applied to every place of the feature map, which for networks that pool globally is their Grad-CAM; here
less the mean over the classes.  What all of them share cancels in the softmax, so a network could put that on the
lesion and go on deciding by the skin around.  That a network may be told where not to look is the idea of Ross, Hughes
and Doshi-Velez, "Right for the right reasons", 2017.
"""

from functools import cache
from typing import Any

from skin_model import networks
from skin_model.errors import ConfigurationError

FAINT = 1.0  # activation besides, in logits summed over all places, that lies outside: no activation is no way out


def watched(model: Any) -> Any:
    """The network with lesion masks (B, s, s, 1) in [0, 1] as one more input and the shares outside as an output.

    Args:
        model: of `networks.build` with `linear_head`.

    Returns:
        A model of the same layers with outputs `output` (B, K) and `outside` (B, K).

    Raises:
        ConfigurationError: the network does not pool globally.
    """
    import keras

    if not any(layer.name == "pooling" for layer in model.layers):
        raise ConfigurationError(
            f"{model.name} has hidden layers behind its feature map, so its class activation has no place in the "
            "picture. Set attention to 0, or take a network that pools globally, such as mobilenet."
        )
    features, head = model.get_layer("features").output, model.get_layer("picture_logits")
    mask = keras.layers.Input((*model.get_layer("image").output.shape[1:3], 1), name="mask")
    nothing = head(keras.ops.zeros_like(features))  # the bias, which has no place either
    outside = layers()["Outside"](name="outside")([head(features) - nothing, mask])
    return keras.Model([*model.inputs, mask], {"output": model.outputs[0], "outside": outside}, name=model.name)


def answering(model: Any) -> Any:
    """The network that answers, in the form that `networks.build` gives by default; `model` itself if it is one."""
    import keras

    if not isinstance(model.output, dict):
        return model
    inputs = [tensor for tensor in model.inputs if tensor.name != "mask"]
    plain = keras.Model(inputs, model.output["output"], name=model.name)
    return networks.picture_part(plain) if len(inputs) == 1 else plain


@cache
def layers() -> dict[str, Any]:
    """What a checkpoint may hold besides Keras' own classes; to be called before one is loaded."""
    import keras
    from keras import ops

    register = keras.saving.register_keras_serializable("skin_model")

    @register
    class Outside(keras.layers.Layer):
        """Share of each class's activation outside the lesion: (B, h, w, K) and masks (B, s, s, 1) -> (B, K).

        Where nothing is active the share is 1, or a network could satisfy the loss by showing nothing at all.
        """

        def call(self, inputs: Any) -> Any:
            activation, mask = inputs
            shared = ops.mean(activation, axis=-1, keepdims=True) if activation.shape[-1] > 1 else 0.0
            active = ops.relu(activation - shared)
            lesion = ops.image.resize(mask, activation.shape[1:3], antialias=True)
            return 1 - ops.sum(active * lesion, axis=(1, 2)) / (ops.sum(active, axis=(1, 2)) + FAINT)

        def compute_output_shape(self, shapes: Any) -> Any:
            return shapes[0][0], shapes[0][-1]

    @register
    def of_true_class(y_true: Any, y_pred: Any) -> Any:
        """The share (B,) of the classes that are true."""
        return ops.sum(y_true * y_pred, axis=-1)

    return {"Outside": Outside, "of_true_class": of_true_class}
