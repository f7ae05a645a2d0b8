"""Learning rate, optimizer and what is trained when: with `freeze_epochs` first the head, then the whole network.

Each of the two phases has an optimizer of its own, since one keeps moments only for what it trains.  The head learns
at a constant rate; the learning rate of the rest rises over the warm-up and falls to zero along a cosine.
"""

from typing import Any

from skin_model import networks
from skin_model.entities import TrainingConfig


def optimizer_for(config: TrainingConfig, steps: int, head_only: bool) -> Any:
    """A new optimizer for one phase.

    Args:
        config: optimizer, rates, epochs, and the momentum of averaged weights.
        steps: batches per epoch.
        head_only: for the phase in which the backbone is frozen.
    """
    import keras

    warmup = round(config.warmup_epochs * steps)
    cosine = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 100 if warmup else config.learning_rate,
        max(1, (config.epochs - config.freeze_epochs) * steps - warmup),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    kinds = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW, "nadam": keras.optimizers.Nadam}
    options: dict[str, Any] = {"weight_decay": config.weight_decay} if config.optimizer == "adamw" else {}
    if config.average:
        options |= {"use_ema": True, "ema_momentum": config.average}
    return kinds[config.optimizer](config.learning_rate if head_only else cosine, **options)


def freeze_backbone(model: Any) -> None:
    """Leave only the layers behind `features` to be trained."""
    for layer in _backbone(model):
        layer.trainable = False


def thaw_backbone(model: Any, config: TrainingConfig) -> None:
    """Undo `freeze_backbone`, but for the share of layers that `frozen` keeps as they are.

    A checkpoint of the first phase does not say what the second one trains: a network built afresh does.
    """
    fresh = networks.build(
        config.network, size=config.size, task=config.task, dropout=config.dropout, frozen=config.frozen
    )
    for layer, as_built in zip(_backbone(model), _backbone(fresh), strict=True):
        layer.trainable = as_built.trainable


def _backbone(model: Any) -> list[Any]:
    """The layers that the layer `features` is computed by, whatever other inputs the network has."""
    import keras

    features = model.get_layer("features").output
    return list(keras.Model(model.get_layer("image").output, features).layers)
