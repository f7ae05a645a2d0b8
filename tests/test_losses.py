"""The losses: their formulas, their way into a checkpoint and out of it, and the metric beside them."""

import numpy as np
import pytest

from skin_model.recipe import LOSSES, TASKS, TrainingConfig
from skin_model.training.losses import loss_for, metric_for, registered

RNG = np.random.default_rng(3)
LOGITS = RNG.normal(0, 2, (40, 7))
CLASSES = np.append(np.arange(7), RNG.choice(7, 33, p=[0.03, 0.05, 0.1, 0.02, 0.1, 0.67, 0.03]))
SEVEN = np.eye(7, dtype=np.float32)[CLASSES]
BINARY = (CLASSES % 3 == 0).astype(np.float32)[:, None]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def answers(task: str) -> tuple[np.ndarray, np.ndarray]:
    """Targets and probabilities of forty images."""
    if task == "binary":
        return BINARY, (1 / (1 + np.exp(-LOGITS[:, :1]))).astype(np.float32)
    return SEVEN, np.exp(log_softmax(LOGITS)).astype(np.float32)


def two_classes(column: np.ndarray) -> np.ndarray:
    return np.hstack([1 - column, column])


def config(loss: str, task: str = "diagnosis", smoothing: float = 0.0, mix: str = "none") -> TrainingConfig:
    return TrainingConfig(loss=loss, task=task, label_smoothing=smoothing, balance="none", mix=mix)


@pytest.mark.parametrize("task", TASKS)
def test_the_focal_loss_counts_an_image_less_the_surer_its_answer(task):
    truth, p = answers(task)
    own = np.sum(truth * p, 1) if task == "diagnosis" else np.sum(two_classes(truth) * two_classes(p), 1)
    expected = np.mean((1 - own) ** 2 * -np.log(own))  # Lin et al. (2017), equation 4
    assert float(loss_for(config("focal", task), truth)(truth, p)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("task", TASKS)
def test_the_logit_adjusted_loss_raises_each_score_by_the_logarithm_of_its_classs_share(task, smoothing):
    truth, p = answers(task)
    pair, logits = (truth, LOGITS) if task == "diagnosis" else (two_classes(truth), np.log(two_classes(p)))
    smooth = pair * (1 - smoothing) + smoothing / pair.shape[1]
    expected = -np.mean(np.sum(smooth * log_softmax(logits + np.log(pair.mean(0))), 1))
    measured = loss_for(config("logit-adjusted", task, smoothing), truth)(truth, p)
    assert float(measured) == pytest.approx(expected, rel=1e-4)


def test_logit_adjustment_for_equally_common_classes_is_plain_cross_entropy():
    truth, p = answers("diagnosis")
    even = np.eye(7, dtype=np.float32)
    adjusted, plain = (loss_for(config(name, smoothing=0.05), even) for name in ("logit-adjusted", "cross-entropy"))
    assert float(adjusted(truth, p)) == pytest.approx(float(plain(truth, p)), rel=1e-4)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_checkpoint_keeps_its_loss_and_metric(loss, task, tmp_path):
    import keras

    truth, p = answers(task)
    weights = np.linspace(0.5, 2, len(p), dtype=np.float32)
    settings = config(loss, task, 0.05, mix="mixup")
    model = keras.Sequential([keras.layers.Input((p.shape[1],)), keras.layers.Identity()])
    model.compile(optimizer="adam", loss=loss_for(settings, truth), metrics=[metric_for(settings)])
    before = model.evaluate(p, truth, sample_weight=weights, verbose=0)
    model.save(tmp_path / "checkpoint.keras")

    registered()
    again = keras.saving.load_model(tmp_path / "checkpoint.keras")

    assert again.evaluate(p, truth, sample_weight=weights, verbose=0) == before
    np.testing.assert_allclose(float(again.loss(truth, p)), float(loss_for(settings, truth)(truth, p)), rtol=1e-6)


def test_a_blend_of_two_images_is_named_rightly_by_its_heavier_one():
    settings = config("cross-entropy", "binary", mix="mixup")
    metric = metric_for(settings)
    metric.update_state(np.array([[0.8], [0.7], [0.2], [0.0]]), np.array([[0.9], [0.4], [0.1], [0.3]]))
    assert float(metric.result()) == pytest.approx(0.75)
    assert metric.name == "accuracy"
