"""The last layer fitted anew after the last epoch."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skin_model import cli, imaging, networks, tracking
from skin_model.conversion import load_keras
from skin_model.dataset.labels import loss_weights, oversampled
from skin_model.dataset.pipeline import Batches
from skin_model.errors import TrainingError
from skin_model.recipe import TrainingConfig
from skin_model.services import durable, models, training
from skin_model.services.telling import Telling
from skin_model.taxonomy import CODES
from skin_model.training import attention, last_layer, run
from skin_model.training.state import read_state
from skin_model.training.validation import judge


def weights(folder) -> list[np.ndarray]:
    return load_keras(folder / "best.keras").get_weights()


def test_the_layer_is_that_of_a_logistic_regression_on_the_embeddings(refitted, refit_settings, parts):
    import keras

    model = load_keras(refitted / "best.keras")
    layer = model.get_layer("picture_logits")
    rows = parts[parts.part == "fold1"]
    squares = [imaging.centre(imaging.fit(imaging.read(path).pixels, 64)) for path in rows["path"]]
    network = keras.Model(model.get_layer("image").output, [layer.input, layer.output])
    embeddings, logits = network.predict(imaging.to_network(np.stack(squares)), verbose=0)

    counts = loss_weights(rows["dx"], "sqrt-class-weights").astype(float)
    known = make_pipeline(
        StandardScaler(with_mean=False),
        LogisticRegression(C=1 / (refit_settings.refit * counts.sum()), fit_intercept=False, max_iter=1000),
    )
    known.fit(embeddings.astype(float), rows["dx"].map(CODES.index), logisticregression__sample_weight=counts)
    expected = known.predict_proba(embeddings.astype(float))
    answers = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(answers / answers.sum(1, keepdims=True), expected, atol=2e-3)
    assert not layer.get_weights()[1].any()


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_oversampled_classes_weigh_in_the_layer_what_their_copies_weigh_in_the_training(share, parts, refit_settings):
    naevi = parts[parts["dx"] == "nv"]
    table = pd.concat([parts[parts["dx"] != "nv"].groupby("dx").head(2), naevi, naevi, naevi])
    config = replace(refit_settings, balance="oversampling", oversample_to=share, attention=0.0)
    copies = table["dx"].iloc[oversampled(table["dx"], share, config.seed)].value_counts(normalize=True)
    weights = pd.Series(run._once(config, table).weights).groupby(table["dx"].to_numpy()).sum() / len(table)
    for code in CODES:
        assert weights[code] == pytest.approx(copies[code], abs=1e-6)


def test_its_figures_are_told_where_a_training_ends(refitted, refit_settings, drawn_data, monkeypatch, capsys):
    state = read_state(refitted)
    monkeypatch.setattr(training, "train", lambda **_: state)
    assert cli.main(["train", f"--data={drawn_data}", "--out=run"]) == 0
    figure = f"macro AUC {state.refitted['val_macro_auc']:.4f}"
    assert any(
        line.startswith("with its last layer fitted anew") and figure in line
        for line in capsys.readouterr().out.splitlines()
    )

    logged, told = {}, []
    monkeypatch.setattr(durable, "step", lambda _, act, *given: act(*given))
    monkeypatch.setattr(tracking, "log_figures", lambda run, figures, epoch: logged.update(figures))
    telling = Telling(SimpleNamespace(tell=lambda known, now: told.append(known["log"][-1])), refit_settings)
    data = SimpleNamespace(folder=drawn_data)
    durable.trained(SimpleNamespace(job="a job"), telling, refit_settings, data, refitted, "run")
    assert logged["refitted_val_macro_auc"] == state.refitted["val_macro_auc"]
    assert f"macro AUC {state.refitted['val_macro_auc']:.3f}" in told[-1]


def test_its_figures_stand_in_the_run_and_the_patient_still_counts(refitted, refit_settings, parts):
    state, kept = read_state(refitted), load_keras(refitted / "best.keras")
    figures = judge(kept, run._in_order(refit_settings, parts[parts.part == "fold0"], "validation"))
    assert state.refitted["val_loss"] == pytest.approx(figures.val_loss, abs=1e-6)
    assert state.refitted["val_loss"] != pytest.approx(state.history[-1].val_loss, abs=1e-3)
    assert np.abs(kept.get_layer("patient_logits").get_weights()[0]).max() > 0


def test_broken_off_while_it_is_fitted_it_is_no_finished_training_and_goes_on(
    refitted, refit_settings, drawn_data, split_file, tmp_path
):
    def stop(epoch: int, batch: int, batches: int, loss: float) -> bool:
        return epoch == refit_settings.epochs  # as told while it is fitted

    places = {"data": drawn_data, "folder": tmp_path, "config": refit_settings, "split": split_file}
    assert not training.train(on_batch=stop, **places).finished
    with pytest.raises(TrainingError, match="--resume"):
        models.make_bundle(data=drawn_data, run=tmp_path, out=tmp_path / "model")
    before = weights(tmp_path)
    assert training.train(resume=True, **places).finished
    after = weights(tmp_path)

    assert any((one != other).any() for one, other in zip(before, after, strict=True))
    for one, other in zip(after, weights(refitted), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_network_of_two_classes_is_fitted_too(refit_settings, drawn_data, split_file, parts, tmp_path):
    config = replace(refit_settings, task="binary", metadata="", balance="sampling")
    training.train(data=drawn_data, folder=tmp_path, config=config, split=split_file)
    known = run._in_order(config, parts[parts.part == "fold1"], "validation")
    assert judge(load_keras(tmp_path / "best.keras"), known).val_macro_auc > 0.8


def test_with_attention_the_layer_loses_what_a_training_with_attention_would(parts, tmp_path):
    import keras

    config = TrainingConfig(network="mobilenet", size=96, attention=0.7, balance="none", label_smoothing=0.0)
    batches = run._once(config, parts[parts.part == "fold1"])
    model = attention.watched(networks.build("mobilenet", size=96, linear_head=True))
    networks.last_layer(model).bias.assign(np.zeros(7))
    images, targets, _ = replace(batches, batch=batches.images).get(0, 0, np.arange(batches.images))
    told = model.predict(images, verbose=0)
    entropy = -np.log((told["output"] * targets["output"]).sum(1))
    outside = (told["outside"] * targets["outside"]).sum(1)

    backbone = keras.Model(model.get_layer("image").output, model.get_layer("features").output)
    features = backbone.predict(images["image"], verbose=0)
    inside = keras.ops.image.resize(images["mask"], (3, 3), antialias=True).numpy().reshape(-1, 9)
    activation = features.reshape(len(features), 9, -1) @ networks.last_layer(model).get_weights()[0]
    losses, _ = last_layer.losses_and_slopes(activation, targets["output"], inside, 0.7)
    np.testing.assert_allclose(losses, entropy + 0.7 * outside, rtol=1e-4)

    random = np.random.default_rng(0)
    activation = random.normal(size=activation.shape)
    step = 1e-6 * random.normal(size=activation.shape)
    truth = targets["output"].astype(float)
    above, below = (last_layer.losses_and_slopes(activation + s, truth, inside, 0.7)[0] for s in (step, -step))
    slopes = last_layer.losses_and_slopes(activation, truth, inside, 0.7)[1]
    np.testing.assert_allclose(above - below, 2 * (slopes * step).sum((1, 2)), rtol=1e-3, atol=1e-9)


def test_images_gone_through_in_parts_give_what_all_at_once_give(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(20, 3)).astype(np.float32)
    embeddings[:, 0] = 0  # a channel that is never active
    truth = np.eye(7, dtype=np.float32)[np.arange(20) % 7]
    batches = Batches([Path("unread.jpg")] * 20, truth, random.random(20), size=64, batch=8)
    places = last_layer._Places(tmp_path / "places.npy", batches, (None, 3))
    for number in range(len(batches)):
        places.add(number, embeddings[8 * number :][:8], None)
    scale = np.array([1, *embeddings[:, 1:].std(0)])
    whole = places.loss(np.arange(21.0), scale, 0.1, 0.0)

    monkeypatch.setattr(last_layer, "_AT_ONCE", 6)
    np.testing.assert_allclose(places.scale(), scale, rtol=1e-6)
    for one, other in zip(places.loss(np.arange(21.0), scale, 0.1, 0.0), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_attention_keeps_the_fitted_layer_inside_the_lesions(drawn_data, split_file, parts, tmp_path):
    config = TrainingConfig(network="mobilenet", size=96, epochs=1, batch=8, attention=1e-3, refit=0.1)
    places = {"data": drawn_data, "split": split_file}
    training.train(folder=tmp_path / "kept", config=replace(config, refit=0.0), **places)
    batches = replace(run._once(config, parts[parts.part == "fold1"]), batch=1000)
    images, targets, _ = batches.get(0, 0, np.arange(batches.images))
    outside = []
    for weight in (1e-3, 1.0):
        model = networks.build("mobilenet", size=96, linear_head=True, weights=str(tmp_path / "kept" / "best.keras"))
        assert last_layer.refit(model, batches, 0.1, weight, tmp_path, lambda done: False)
        found = attention.watched(model).predict(images, verbose=0)["outside"]
        outside.append((found * targets["outside"]).sum(1).mean())
    assert outside[1] < outside[0] - 0.02, outside
    assert not (tmp_path / "places.npy").exists()
