"""What is trained when, and how fast."""

from dataclasses import replace

import pytest

from skin_model import networks
from skin_model.recipe import TrainingConfig
from skin_model.training import schedules

CONFIG = TrainingConfig(
    network="custom_cnn", weights="x.keras", size=32, epochs=5, warmup_epochs=1, learning_rate=0.01, frozen=0.5,
    freeze_epochs=2,
)  # fmt: skip


def rates(head_only: bool, at: list[int], **changed) -> list[float]:
    optimizer = schedules.optimizer_for(replace(CONFIG, **changed), steps=10, head_only=head_only)
    found = []
    for step in at:
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    return found


def test_the_cosine_takes_the_epochs_that_the_frozen_ones_leave():
    start, peak, middle, end = rates(False, [0, 10, 20, 30])
    assert (start, peak) == (pytest.approx(0.0001), pytest.approx(0.01))
    assert (middle, end) == (pytest.approx(0.005), pytest.approx(0, abs=1e-8))


@pytest.mark.parametrize(("epochs", "peak", "end"), [(3, 5, 10), (4, 10, 20), (5, 10, 30)])
def test_the_rate_is_reached_and_falls_again_however_few_epochs_follow_the_frozen_ones(epochs, peak, end):
    assert rates(False, [peak, end], epochs=epochs) == [pytest.approx(0.01), pytest.approx(0, abs=1e-8)]


def test_the_head_alone_learns_at_the_full_rate():
    assert rates(True, [0, 10, 19]) == [pytest.approx(0.01)] * 3


def test_a_frozen_network_trains_its_head_alone_and_a_thawed_one_what_frozen_leaves(tmp_path):
    import keras

    def trained(model) -> set[str]:
        return {layer.name for layer in model.layers if layer.trainable_variables}

    model = networks.build("custom_cnn", size=32)
    everything = trained(model)
    schedules.freeze_first(model, CONFIG.frozen)
    as_built = trained(model)
    assert {"hidden", "output"} < as_built < everything
    schedules.freeze_backbone(model)
    assert trained(model) == {"hidden", "output"}

    model.save(tmp_path / "checkpoint.keras")
    for frozen in (model, keras.saving.load_model(tmp_path / "checkpoint.keras")):
        schedules.freeze_first(frozen, CONFIG.frozen)
        assert trained(frozen) == as_built
