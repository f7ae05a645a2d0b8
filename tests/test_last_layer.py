"""The last layer fitted anew after the last epoch."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skin_model import imaging
from skin_model.conversion import load_keras
from skin_model.dataset.labels import loss_weights
from skin_model.entities import TrainingConfig
from skin_model.errors import TrainingError
from skin_model.services import models, training
from skin_model.taxonomy import CODES
from skin_model.training import run
from skin_model.training.state import read_state
from skin_model.training.validation import judge

PENALTY = 0.5


@pytest.fixture(scope="module")
def settings(tiny) -> TrainingConfig:
    return replace(tiny, epochs=2, refit=PENALTY, metadata="age,sex")


@pytest.fixture(scope="module")
def refitted(settings, drawn_data, split_file, tmp_path_factory):
    """The folder and the outcome of a training whose last layer was fitted anew."""
    folder = tmp_path_factory.mktemp("refitted")
    return folder, training.train(data=drawn_data, folder=folder, config=settings, split=split_file)


def weights(folder) -> list[np.ndarray]:
    return load_keras(folder / "best.keras").get_weights()


def test_the_layer_is_that_of_a_logistic_regression_on_the_embeddings(refitted, parts):
    import keras

    model = load_keras(refitted[0] / "best.keras")
    layer = model.get_layer("picture_logits")
    rows = parts[parts.part == "fold1"]
    squares = [imaging.centre(imaging.fit(imaging.read(path).pixels, 64)) for path in rows["path"]]
    network = keras.Model(model.get_layer("image").output, [layer.input, layer.output])
    embeddings, logits = network.predict(imaging.to_network(np.stack(squares)), verbose=0)

    counts = loss_weights(rows["dx"], "sqrt-class-weights").astype(float)
    known = make_pipeline(
        StandardScaler(with_mean=False),
        LogisticRegression(C=1 / (PENALTY * counts.sum()), fit_intercept=False, max_iter=1000),
    )
    known.fit(embeddings.astype(float), rows["dx"].map(CODES.index), logisticregression__sample_weight=counts)
    expected = known.predict_proba(embeddings.astype(float))
    answers = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(answers / answers.sum(1, keepdims=True), expected, atol=2e-3)
    assert not layer.get_weights()[1].any()


def test_its_figures_stand_in_the_run_and_the_patient_still_counts(refitted, settings, parts):
    folder, state = refitted
    kept = load_keras(folder / "best.keras")
    figures = judge(kept, run._batches(settings, parts[parts.part == "fold0"], validate=True))
    assert state.refitted["val_loss"] == pytest.approx(figures.val_loss, abs=1e-6)
    assert state.refitted["val_loss"] != pytest.approx(state.history[-1].val_loss, abs=1e-3)
    assert np.abs(kept.get_layer("patient_logits").get_weights()[0]).max() > 0


def test_broken_off_while_it_is_fitted_it_is_no_finished_training_and_goes_on(
    refitted, settings, drawn_data, split_file, tmp_path
):
    def stop(epoch: int, batch: int, batches: int, loss: float) -> bool:
        return (tmp_path / "run.json").is_file() and read_state(tmp_path).finished

    places = {"data": drawn_data, "folder": tmp_path, "config": settings, "split": split_file}
    assert not training.train(on_batch=stop, **places).finished
    with pytest.raises(TrainingError, match="--resume"):
        models.make_bundle(data=drawn_data, run=tmp_path, out=tmp_path / "model")
    before = weights(tmp_path)
    assert training.train(resume=True, **places).finished
    after = weights(tmp_path)

    assert any((one != other).any() for one, other in zip(before, after, strict=True))
    for one, other in zip(after, weights(refitted[0]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_network_of_two_classes_is_fitted_too(settings, drawn_data, split_file, parts, tmp_path):
    config = replace(settings, task="binary", metadata="", balance="sampling")
    training.train(data=drawn_data, folder=tmp_path, config=config, split=split_file)
    known = run._batches(config, parts[parts.part == "fold1"], validate=True)
    assert judge(load_keras(tmp_path / "best.keras"), known).val_macro_auc > 0.8
