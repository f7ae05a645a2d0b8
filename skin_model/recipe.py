"""What decides a training besides the data, checked, and what is told of each of its epochs."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skin_model.errors import ConfigurationError

LOSSES = ("cross-entropy", "focal", "logit-adjusted")
BALANCES = ("none", "class-weights", "sqrt-class-weights", "sampling", "oversampling")
AUGMENTATIONS = ("none", "light", "standard", "strong")
MIXES = ("none", "mixup", "cutmix")
OPTIMIZERS = ("adam", "adamw", "nadam")
TASKS = ("diagnosis", "binary")
LAST = "last"  # the monitor of a training that keeps its last epoch
MONITORS = ("loss", "balanced_accuracy", "macro_auc", LAST)


def _option(default: Any, explanation: str) -> Any:
    return field(default=default, metadata={"help": explanation})


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a training besides the data; valid once constructed.

    Raises:
        ConfigurationError: for a value out of its range, naming the bound.
    """

    network: str = _option("mobilenet", "custom_cnn, vgg_like, mobilenet, efficientnet_b0 or another; README names all")
    weights: str | None = _option(
        None,
        "to start from: imagenet, a weights file, or another run's best.keras; of joined networks one each, by commas",
    )
    task: str = _option("diagnosis", "diagnosis (seven classes) or binary (malignant or not)")
    size: int = _option(224, "side of the network's input in pixels")
    metadata: str = _option("", "columns that are an input beside the image, such as age,sex,localization")
    epochs: int = _option(20, "passes over the training images")
    batch: int = _option(32, "images per step")
    learning_rate: float = _option(1e-3, "at its highest; cosine decay to zero over all epochs")
    warmup_epochs: float = _option(
        1.0, "epochs in which the learning rate rises; at most half of those that follow the frozen ones"
    )
    optimizer: str = _option("adam", "adam, adamw or nadam")
    weight_decay: float = _option(0.0, "decoupled, for adamw")
    average: float = _option(0.0, "momentum of the moving average of weights that is validated and kept; 0 for none")
    loss: str = _option("cross-entropy", "cross-entropy, focal, or logit-adjusted (by class shares; takes no balance)")
    label_smoothing: float = _option(0.05, "share of each target spread over all classes")
    dropout: float = _option(0.2, "rate before the last dense layer")
    teachers: str = _option("", "folders of finished trainings, commas between, whose mean answer is learned too")
    teacher_share: float = _option(0.7, "of the target, where there are teachers; the label has the rest")
    frozen: float = _option(0.0, "share of the backbone's layers, from the input on, that are not trained")
    freeze_epochs: int = _option(0, "first epochs, in which only the layers behind the backbone are trained")
    balance: str = _option("sqrt-class-weights", "none, class-weights, sqrt-class-weights, sampling or oversampling")
    oversample_to: float = _option(1.0, "share of the commonest class's images up to which oversampling repeats others")
    augmentation: str = _option("standard", "none, light, standard or strong")
    artefacts: float = _option(0.0, "chance per image of each of drawn hairs, a drawn ruler, blur, JPEG compression")
    mix: str = _option("none", "blends of two training images: none, mixup or cutmix")
    attention: float = _option(0.0, "weight of the loss that draws class activation into the lesion masks; 0: none")
    refit: float = _option(
        0.0, "penalty of the logistic regression that fits the last layer anew after the last epoch; 0: none"
    )
    monitor: str = _option(
        "balanced_accuracy",
        "validation figure that chooses the best epoch: that, loss or macro_auc; last keeps the last epoch",
    )
    patience: int = _option(8, "epochs without a better figure before training stops")
    validation: str = _option("fold0", "fold that chooses the best epoch; none trains on all and keeps the last epoch")
    seed: int = _option(0, "source of order, augmentation, dropout and new weights")

    def __post_init__(self) -> None:
        object.__setattr__(self, "metadata", ",".join(self.columns))  # however spaced: settings are compared as text
        if not re.fullmatch(r"fold\d|none", self.validation):
            raise ConfigurationError(
                f"validation must be a fold of the split, such as fold0, or none; {self.validation!r} was given. "
                "The test and calibration parts stay untouched."
            )
        for name, low, high in (
            ("size", 32, 1024), ("epochs", 1, 1000), ("batch", 1, 1024), ("learning_rate", 1e-7, 1.0),
            ("warmup_epochs", 0, 100), ("weight_decay", 0, 1), ("label_smoothing", 0, 0.5), ("dropout", 0, 0.9),
            ("frozen", 0, 1), ("patience", 1, 1000), ("seed", 0, 2**31 - 1), ("average", 0, 0.9999),
            ("freeze_epochs", 0, 999), ("oversample_to", 0, 1), ("artefacts", 0, 1), ("teacher_share", 0, 1),
            ("attention", 0, 10), ("refit", 0, 1000),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigurationError(f"{name} must lie between {low} and {high}; {value} was given.")
        for name, known in (
            ("task", TASKS), ("optimizer", OPTIMIZERS), ("balance", BALANCES),
            ("augmentation", AUGMENTATIONS), ("monitor", MONITORS), ("loss", LOSSES), ("mix", MIXES),
        ):  # fmt: skip
            value = getattr(self, name)
            if value not in known:
                raise ConfigurationError(f"{name} must be one of {', '.join(known)}; {value!r} was given.")
        self._check_together()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns named by `metadata`."""
        return tuple(column.strip() for column in self.metadata.split(",") if column.strip())

    @property
    def teacher_runs(self) -> tuple[Path, ...]:
        """The folders named by `teachers`."""
        return tuple(Path(run.strip()) for run in self.teachers.split(",") if run.strip())

    @property
    def keeps_last(self) -> bool:
        """Whether every epoch is trained and the last one kept, whatever the figures."""
        return self.validation == "none" or self.monitor == LAST

    def _check_together(self) -> None:
        """Refuse settings that contradict each other."""
        if self.loss == "logit-adjusted" and self.balance != "none":
            raise ConfigurationError(
                f"The logit-adjusted loss balances the classes by itself; with {self.balance} they would be balanced "
                "twice. Set balance to none."
            )
        if self.refit and self.loss != "cross-entropy":
            raise ConfigurationError(
                f"The last layer is fitted anew by cross-entropy, which would undo the {self.loss} loss. "
                "Set refit to 0 or loss to cross-entropy."
            )
        if self.oversample_to != 1 and self.balance != "oversampling":
            raise ConfigurationError(
                f"oversample_to belongs to oversampling, and balance is {self.balance}. Set balance to oversampling."
            )
        if self.weight_decay and self.optimizer != "adamw":
            raise ConfigurationError(
                f"weight_decay belongs to adamw, and optimizer is {self.optimizer}. Set optimizer to adamw."
            )
        if self.teacher_share != TrainingConfig.teacher_share and not self.teacher_runs:
            raise ConfigurationError(
                f"teacher_share is of what teachers say, and there are none. Name teachers, or leave it at "
                f"{TrainingConfig.teacher_share}."
            )
        if self.attention and self.mix != "none":
            raise ConfigurationError("A blend of two images has no lesion mask. Set mix to none or attention to 0.")
        if self.freeze_epochs >= self.epochs:
            raise ConfigurationError(
                f"With {self.freeze_epochs} of {self.epochs} epochs frozen, none is left for the whole network. "
                "Lower freeze_epochs."
            )
        for name in ("frozen", "freeze_epochs"):
            if getattr(self, name) and self.weights is None:
                raise ConfigurationError(
                    f"{name} keeps starting weights of the backbone, and a new network's are random. "
                    f"Give weights, or set {name} to 0."
                )


@dataclass(frozen=True)
class EpochRecord:
    """What one finished epoch came to; validation figures are of the task's own classes, None without validation."""

    epoch: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    val_balanced_accuracy: float | None
    val_macro_auc: float | None
    learning_rate: float
    seconds: float
