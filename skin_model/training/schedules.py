"""Learning rate, optimizer and what is trained when: with `freeze_epochs` first the head, then the whole network.

Each of the two phases has an optimizer of its own, since one keeps moments only for what it trains.  The head learns
at a constant rate; the learning rate of the rest rises over the warm-up and falls to zero along a cosine.
"""

from typing import Any

from skin_model import backbones
from skin_model.recipe import TrainingConfig


def optimizer_for(config: TrainingConfig, steps: int, head_only: bool) -> Any:
    """A new optimizer for one phase.

    Args:
        config: optimizer, rates, epochs, and the momentum of averaged weights.
        steps: batches per epoch.
        head_only: for the phase in which the backbone is frozen.
    """
    import keras

    whole = config.epochs - config.freeze_epochs
    warmup = round(min(config.warmup_epochs, whole / 2) * steps)  # or a short training never reaches its rate
    cosine = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 100 if warmup else config.learning_rate,
        max(1, whole * steps - warmup),
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
    freeze_first(model, 1.0)


def freeze_first(model: Any, share: float) -> None:
    """Train everything but a share of the backbone's layers, from the input on; of networks side by side, of each.

    Those keep their starting weights, and batch normalisation there uses its stored statistics.
    """
    for backbone in _backbones(model):
        kept = round(share * len(backbone))
        for number, layer in enumerate(backbone):
            layer.trainable = number >= kept


def _backbones(model: Any) -> list[list[Any]]:
    """The layers before `features` of each network side by side, whatever other inputs there are."""
    import keras

    beside = [layer.input for layer in model.layers if layer.name == backbones.BESIDE]
    ends = beside[0] if beside else [model.get_layer("features").input]
    return [list(keras.Model(model.get_layer("image").output, end).layers) for end in ends]
