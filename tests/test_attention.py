"""The loss that draws class activation into the lesion masks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skin_model import networks
from skin_model.conversion import load_keras
from skin_model.dataset import ham10000
from skin_model.dataset.pipeline import as_keras
from skin_model.errors import ConfigurationError, TrainingError
from skin_model.recipe import EpochRecord, TrainingConfig
from skin_model.services import training
from skin_model.training import attention, run
from skin_model.training.state import RunState
from skin_model.training.validation import judge

FIGURES = [name for name in EpochRecord.__dataclass_fields__ if name != "seconds"]


@pytest.fixture(scope="module")
def attentive() -> TrainingConfig:
    return TrainingConfig(
        network="mobilenet", size=96, epochs=2, batch=8, learning_rate=1e-3, dropout=0.2, attention=2.0
    )


@pytest.fixture(scope="module")
def with_patients(drawn_data, split_file, attentive, tmp_path_factory) -> tuple[dict[str, object], Path, RunState]:
    """What a training was given, its folder, and what is known of it."""
    places = {"data": drawn_data, "config": replace(attentive, metadata="age,sex"), "split": split_file}
    folder = tmp_path_factory.mktemp("undisturbed")
    return places, folder, training.train(folder=folder, **places)


def shares(model, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    return model.predict({"image": images, "mask": masks}, verbose=0)["outside"]  # (N, K)


def test_nothing_lies_outside_a_mask_of_everything_and_all_outside_one_of_nothing():
    model = attention.watched(networks.build("mobilenet", size=96, linear_head=True))
    head = model.get_layer("picture_logits")
    kernel = np.full_like(head.kernel, -100.0)
    kernel[:, 3] = 100.0
    head.set_weights([kernel, np.full_like(head.bias, -50.0)])  # class 3 is active everywhere, whatever the bias
    images = np.random.default_rng(0).random((2, 96, 96, 3), np.float32)
    everything = np.ones((2, 96, 96, 1), np.float32)
    for _ in range(10):
        model({"image": images, "mask": everything}, training=True)  # settles the statistics of batch normalisation

    faint = shares(model, images, everything)[:, 3]
    assert faint.max() < 0.1
    np.testing.assert_allclose(shares(model, images, 0 * everything), 1)
    left = everything.copy()
    left[:, :, 48:] = 0
    sides = shares(model, images, left) + shares(model, images, 1 - left)
    np.testing.assert_allclose(sides[:, 3], 1 + faint, atol=1e-4)


def test_neither_showing_nothing_nor_what_all_classes_share_is_a_way_out():
    model = attention.watched(networks.build("mobilenet", size=96, linear_head=True))
    head = model.get_layer("picture_logits")
    images, everything = np.ones((1, 96, 96, 3), np.float32), np.ones((1, 96, 96, 1), np.float32)
    for shared in (-1.0, 0.0, 100.0):
        head.set_weights([np.full_like(head.kernel, shared), np.zeros_like(head.bias)])
        np.testing.assert_allclose(shares(model, images, everything), 1, atol=1e-4)


def test_the_mask_moves_with_its_picture(parts, attentive):
    batches = run._batches(replace(attentive, augmentation="strong"), parts[parts.part == "fold1"])
    plain = replace(batches, masks=())
    found = 0
    for row in range(6):
        layers = batches.load(row, 0, row)
        np.testing.assert_array_equal(layers[..., :3], plain.load(row, 0, row))  # drawn as without masks
        grey, mask = layers[..., :3].mean(-1), layers[..., 3] > 127
        found += mask.any() and not mask.all() and grey[mask].mean() < grey[~mask].mean() - 10  # lesions are darker
    assert found >= 5


def test_training_with_attention_keeps_more_of_the_activation_inside(parts, attentive):
    rows = parts[parts.part == "fold1"]
    outside = {}
    for weight in (1e-6, 5.0):
        config = replace(attentive, attention=weight, epochs=15, learning_rate=3e-3, augmentation="none", dropout=0.0)
        batches = run._batches(config, rows)
        model = run._model(RunState(config, "a split"), Path(), batches)
        for epoch in range(config.epochs):
            model.fit(as_keras(batches, epoch), verbose=0)
        images, targets, _ = replace(batches, batch=len(rows)).get(0, 0, np.arange(len(rows)))
        # batch statistics: so few steps do not settle the averages of batch normalisation
        found = np.asarray(model(images, training=True)["outside"])
        outside[weight] = (found * targets["outside"]).sum(1).mean()
    assert outside[5.0] < 0.8 * outside[1e-6], outside


def test_a_training_with_attention_and_the_patient_goes_on_after_a_kill_as_if_there_had_been_none(
    with_patients, tmp_path
):
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    places, undisturbed, _ = with_patients
    with pytest.raises(KeyboardInterrupt):
        training.train(folder=tmp_path, on_epoch=kill, **places)
    training.train(folder=tmp_path, resume=True, **places)

    one, other = (pd.read_csv(folder / "history.csv")[FIGURES] for folder in (undisturbed, tmp_path))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_what_is_kept_is_an_ordinary_network_with_the_same_answers(parts, with_patients):
    places, folder, known = with_patients
    kept = load_keras(folder / "best.keras")
    assert [tensor.name for tensor in kept.inputs] == ["image", "patient"]
    figures = judge(kept, run._in_order(places["config"], parts[parts.part == "fold0"], "validation"))
    assert figures.val_loss == pytest.approx(known.history[known.best_epoch - 1].val_loss, abs=1e-6)


def test_attention_is_refused_where_it_cannot_be(drawn_data, split_file, parts, attentive, tmp_path):
    with pytest.raises(ConfigurationError, match="pools globally"):
        training.train(
            data=drawn_data, folder=tmp_path / "a", config=replace(attentive, network="custom_cnn"), split=split_file
        )
    with pytest.raises(ConfigurationError, match="mix to none"):
        replace(attentive, mix="mixup")
    with pytest.raises(TrainingError, match="lesion mask"):
        run._batches(attentive, parts.assign(mask=None))
    assert not Path(tmp_path / "a" / "run.json").exists()
    assert ham10000.read(drawn_data).table["mask"].notna().all()
