"""Trainings joined into one network, and models whose weights take two bytes each."""

import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest

from skin_model import bundle, cli, conversion, imaging, networks, shared_weights
from skin_model.bundle import Bundle
from skin_model.entities import Patient
from skin_model.errors import BundleError, ConfigurationError, TrainingError
from skin_model.evaluation import faithfulness
from skin_model.evaluation.calibration import softmax
from skin_model.inference import Classifier
from skin_model.neighbours import References
from skin_model.patients import encode
from skin_model.recipe import TrainingConfig
from skin_model.services import explanation_check, gate, joining, models, prediction, reproduction, training
from skin_model.taxonomy import CODES
from skin_model.training.state import RunState, lineage, read_state, write_state

SIZE = 64
COLUMNS = ("age", "sex")
PAIR = ("efficientnet_lite0", "mobilenet")


@pytest.fixture(scope="module")
def settings() -> TrainingConfig:
    return TrainingConfig(size=SIZE, epochs=1, batch=8, metadata=",".join(COLUMNS), validation="none")


@pytest.fixture(scope="module")
def runs(drawn_data: Path, split_file: Path, settings: TrainingConfig, tmp_path_factory) -> list[Path]:
    folders = [tmp_path_factory.mktemp("alone") / name for name in PAIR]
    for folder in folders:
        config = replace(settings, network=folder.name)
        training.train(data=drawn_data, folder=folder, config=config, split=split_file)
    return folders


@pytest.fixture(scope="module")
def joined(runs: list[Path], tmp_path_factory) -> Path:
    """By the command, the runs in the other order."""
    folder = tmp_path_factory.mktemp("joined") / "both"
    assert cli.main(["join", *map(str, reversed(runs)), "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def halved(drawn_data: Path, joined: Path, tmp_path_factory) -> Bundle:
    return models.make_bundle(data=drawn_data, run=joined, out=tmp_path_factory.mktemp("models") / "half", half=True)


@pytest.fixture(scope="module")
def inputs(parts) -> dict[str, np.ndarray]:
    """Eight drawn lesions, half of their patients known."""
    paths = parts[parts.part == "test"]["path"].head(8)
    squares = [item.square for item in prediction.readable(prediction.load(paths, SIZE))]
    patients = [Patient(), Patient(70, "male", "back"), Patient(33, None, "face"), Patient(None, "female", None)] * 2
    return {"image": imaging.to_network(np.stack(squares)), "patient": encode(patients, COLUMNS)}


def test_the_joined_network_answers_the_mean_of_both_with_and_without_the_patient(runs, joined, inputs):
    both, *alone = (conversion.load_keras(run / "best.keras") for run in (joined, *runs))
    unknown = 0 * inputs["patient"]
    for model in alone:  # the patient counts in both
        told = model.predict(inputs, verbose=0) - model.predict(inputs | {"patient": unknown}, verbose=0)
        assert np.abs(told).max() > 1e-5
    for patient in (inputs["patient"], unknown):
        told = inputs | {"patient": patient}
        expected = softmax(np.mean([np.log(model.predict(told, verbose=0)) for model in alone], axis=0), 1.0)
        np.testing.assert_allclose(both.predict(told, verbose=0), expected, atol=1e-6)
    assert both.get_layer("features").output.shape[1:] == (2, 2, 1280 + 1024)


def test_three_networks_are_joined_alike_also_one_to_a_joined_pair(runs, joined, inputs, tmp_path):
    third = changed(runs[0], tmp_path / "third", network="efficientnet_lite2")
    (third / "best.keras").unlink()
    networks.build("efficientnet_lite2", size=SIZE, metadata=COLUMNS).save(third / "best.keras")
    joining.join(runs=[third, *runs], folder=tmp_path / "all")
    three, *alone = (conversion.load_keras(run / "best.keras") for run in (tmp_path / "all", *runs, third))
    expected = softmax(np.mean([np.log(model.predict(inputs, verbose=0)) for model in alone], axis=0), 1.0)
    np.testing.assert_allclose(three.predict(inputs, verbose=0), expected, atol=1e-6)
    assert networks.widths(three) == (1280, 1024, 1280)

    joining.join(runs=[third, joined], folder=tmp_path / "later")
    later = conversion.load_keras(tmp_path / "later" / "best.keras")
    np.testing.assert_allclose(later.predict(inputs, verbose=0), expected, atol=1e-6)
    names = ["lite0_mobilenet", "efficientnet_lite2", "lite0_mobilenet_lite2"]
    assert [state.config.network for state in lineage(tmp_path / "later")] == [*PAIR, *names]


def test_what_each_half_started_from_is_told_and_how_to_join_them_again(runs, joined, halved):
    assert [state.config.network for state in lineage(joined)] == [*PAIR, "lite0_mobilenet"]
    manifest = halved.manifest
    assert [stage["network"] for stage in manifest.stages] == [*PAIR]
    assert (manifest.network, manifest.training["epochs_run"]) == ("lite0_mobilenet", 0)
    assert manifest.training["weights"] == "best.keras,best.keras"
    assert str(runs[0].parent) not in (halved.folder / "manifest.json").read_text()
    commands = reproduction.commands(manifest)
    assert "--network efficientnet_lite0" in commands[0]
    assert commands[2] == "python -m skin_model join runs/1 runs/2 --out runs/3"
    assert "--run runs/3" in commands[3]
    assert commands[3].endswith("--half")


def test_the_gate_of_a_joined_network_weighs_what_each_of_the_two_sees(halved):
    known = References.load(halved.path(gate.FILE))
    assert known.axes.widths == (1280, 1024)
    assert sum(known.axes.widths) == len(known.axes.mean)


def test_a_joined_run_goes_on_in_training_and_is_named_in_the_commands(
    runs, joined, settings, drawn_data, split_file, tmp_path
):
    weights = str(joined / "best.keras")
    config = replace(settings, network="lite0_mobilenet", weights=weights, learning_rate=1e-6)
    state = training.train(data=drawn_data, folder=tmp_path, config=config, split=split_file)
    assert state.finished
    before, after = (conversion.load_keras(run / "best.keras").trainable_weights for run in (joined, tmp_path))
    assert 0 < max(np.abs(a.numpy() - b.numpy()).max() for a, b in zip(before, after, strict=True)) < 1e-3
    assert [known.config.network for known in lineage(tmp_path)] == [*PAIR, "lite0_mobilenet", "lite0_mobilenet"]


def test_a_halved_model_takes_half_the_room_and_every_form_of_it_is_the_same_network(joined, halved, inputs):
    before = joined / "best.keras"
    assert halved.path("network.keras").stat().st_size < 0.56 * before.stat().st_size
    assert halved.path("serving.npz").stat().st_size < 0.03 * before.stat().st_size
    assert "serving.bin" not in halved.manifest.files
    kept, learned = conversion.load_keras(halved.path("network.keras")), conversion.load_keras(before)
    kernels = [weights for weights in kept.get_weights() if weights.ndim > 1]
    assert all((weights == weights.astype(np.float16)).all() for weights in kernels)
    assert halved.manifest.half
    assert halved.manifest.agreement["largest_difference"] < 1e-5  # rounded apart, both would differ by 1e-3

    answers = kept.predict(inputs, verbose=0)
    served = Classifier(halved).outputs(inputs["image"])
    np.testing.assert_allclose(networks.picture_part(kept).predict(inputs["image"], verbose=0), served, atol=1e-5)
    np.testing.assert_allclose(answers, learned.predict(inputs, verbose=0), atol=0.02)


def test_explanations_of_a_halved_model_can_be_checked(halved, drawn_data, monkeypatch):
    """Against the network with shuffled weights, which shares none with the serving form that the model came with."""
    monkeypatch.setattr(faithfulness, "DEPENDS", -1)
    found = explanation_check.check(classifier=Classifier(halved), data=drawn_data, images=1, slow_images=0)
    assert found["images"] == 1


def test_a_damaged_member_is_named(runs, joined, tmp_path):
    """A byte changed inside what was deflated: no archive's check sum is reached."""
    member = changed(runs[0], tmp_path / "member")
    (member / "best.keras").unlink()
    with ZipFile(runs[0] / "best.keras") as sound, ZipFile(member / "best.keras", "w", ZIP_DEFLATED) as damaged:
        for name in sound.namelist():
            damaged.writestr(name, sound.read(name))
        start = damaged.getinfo("config.json").header_offset + 60
    content = bytearray((member / "best.keras").read_bytes())
    content[start : start + 40] = bytes(40)
    (member / "best.keras").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"best\.keras is damaged or incomplete"):
        joining.join(runs=[member, runs[1]], folder=tmp_path / "out")


def test_kernels_that_both_forms_share_are_kept_once_and_nothing_is_lost(halved, joined, tmp_path):
    conversion.convert(conversion.load_keras(halved.path("network.keras")), tmp_path, half=True)
    served = (tmp_path / "serving.bin").read_bytes()
    assert shared_weights.read(halved.path("network.keras"), halved.path("serving.npz")).tobytes() == served

    shutil.copyfile(joined / "best.keras", tmp_path / "network.keras")  # as it was learned: hardly anything is the same
    shared_weights.leave_out(tmp_path)
    assert not (tmp_path / "serving.bin").exists()
    other = tmp_path / "network.keras", tmp_path / "serving.npz"
    assert shared_weights.read(*other).tobytes() == served
    assert other[1].stat().st_size > 10 * halved.path("serving.npz").stat().st_size


@pytest.mark.parametrize("other", ["of another kind", "of other weights"])
def test_a_network_of_another_model_is_not_served(halved, joined, trained, other, tmp_path):
    """Every hash may fit, and the two files not each other."""
    folder = tmp_path / "model"
    shutil.copytree(halved.folder, folder)
    run = trained if other == "of another kind" else joined
    shutil.copyfile(run / "best.keras", folder / "network.keras")
    bundle.write_manifest(folder, halved.manifest)
    with pytest.raises(BundleError, match=r"serving\.npz does not fit network\.keras"):
        Classifier(bundle.read(folder))


@pytest.mark.parametrize(
    "convolutions",
    [{"use_bias": False}, {"bias_initializer": "normal"}, {"use_bias": False, "activation": "relu"}],
    ids=["plain", "with biases", "bent before they are normalised"],
)
def test_handing_over_its_factors_leaves_a_network_with_unlucky_normalisations_as_it_was(convolutions):
    """Factors that are negative, nought or tiny, and a convolution of one channel; in training as in use."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    normalised = partial(layers.BatchNormalization, epsilon=1e-6)
    model = keras.Sequential(
        [
            layers.Input((16, 16, 3)), layers.Conv2D(6, 3, **convolutions), normalised(), layers.ReLU(),
            layers.DepthwiseConv2D(3, **convolutions), normalised(),
            layers.Conv2D(1, 1, use_bias=False), normalised(), layers.Conv2D(2, 1, use_bias=False),
        ]
    )  # fmt: skip
    for norm in (layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)):
        count = norm.gamma.shape[0]
        gamma = np.resize([-1.3, 0.8, 0.0, 1e-3, -2e-3, 2.0], count)
        norm.set_weights([gamma, *random.normal(size=(2, count)), random.uniform(0.1, 2, count)])
    images = random.random((4, 16, 16, 3), dtype=np.float32)
    learned = model.get_weights()
    expected, trained = model.predict(images, verbose=0), np.asarray(model(images, training=True))
    model.set_weights(learned)  # training moves what is normalised by

    conversion.halve(model)

    biases = [layer.bias.numpy() for layer in model.layers if getattr(layer, "use_bias", False)]
    assert not np.any(biases), "serving would fold them into what is rounded already"
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-3 * scale)
    np.testing.assert_allclose(model(images, training=True), trained, atol=1e-2 * scale)


def test_a_halved_file_is_read_by_keras_itself(halved, inputs):
    import keras

    path = halved.path("network.keras")
    with ZipFile(path) as file:
        assert set(file.namelist()) == {"metadata.json", "config.json", "model.weights.h5"}
    ours = conversion.load_keras(path).predict(inputs, verbose=0)
    np.testing.assert_array_equal(keras.saving.load_model(path, compile=False).predict(inputs, verbose=0), ours)


def changed(run: Path, folder: Path, **settings: object) -> Path:
    """The run's record with other settings; its network is not looked at."""
    state = read_state(run)
    folder.mkdir()
    os.link(run / "best.keras", folder / "best.keras")
    write_state(replace(state, config=replace(state.config, **settings)), folder)
    return folder


@pytest.mark.parametrize(
    ("others", "error", "sentence"),
    [
        ({"network": "resnet50"}, ConfigurationError, "resnet50 make no known network.*efficientnet_lite0 and mobile"),
        ({"size": 96}, ConfigurationError, "size is 64 in one training and 96 in another"),
        ({"metadata": "age"}, ConfigurationError, "metadata is age,sex in one training and age in another"),
        ({"validation": "fold1"}, ConfigurationError, "validation is none in one training and fold1 in another"),
        ({"refit": 0.3}, TrainingError, "is not finished yet; let it go on with --resume"),
    ],
)
def test_what_cannot_be_joined_is_refused_and_leaves_nothing(runs, others, error, sentence, tmp_path):
    other = changed(runs[1], tmp_path / "other", **others)
    with pytest.raises(error, match=sentence):
        joining.join(runs=[runs[0], other], folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_run_is_nothing_to_join(joined, tmp_path):
    with pytest.raises(ConfigurationError, match="Name two at least"):
        joining.join(runs=[joined], folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_trainings_of_different_splits_are_not_joined(runs, tmp_path):
    other = changed(runs[1], tmp_path / "other")
    write_state(replace(read_state(other), split="another"), other)
    with pytest.raises(TrainingError, match="was trained on another split"):
        joining.join(runs=[runs[0], other], folder=tmp_path / "out")
    assert not (tmp_path / "out" / "best.keras").exists()


def test_a_folder_with_a_training_is_not_written_over(runs, joined):
    before = (joined / "best.keras").read_bytes()
    with pytest.raises(TrainingError, match="already holds a training"):
        joining.join(runs=runs, folder=joined)
    assert (joined / "best.keras").read_bytes() == before


def test_feature_maps_of_different_size_are_refused_with_the_sizes_that_fit():
    with pytest.raises(ConfigurationError, match=r"size 208 .* make it a multiple of 32"):
        networks.build("lite0_mobilenet", size=208)


def test_an_unfinished_run_without_an_epoch_is_no_model(joined, drawn_data, tmp_path):
    folder = changed(joined, tmp_path / "run")
    state = read_state(joined)
    write_state(RunState(state.config, state.split), folder)
    with pytest.raises(TrainingError, match="is not finished yet"):
        models.make_bundle(data=drawn_data, run=folder, out=tmp_path / "model")


def test_a_joined_model_answers_through_every_part_of_the_product(halved, parts):
    """Loaded as the app loads it: probabilities, maps of each class, the history nobody trained."""
    classifier = Classifier(bundle.read(halved.folder))
    (judged,) = prediction.predict(classifier=classifier, paths=parts[parts.part == "test"]["path"].head(1))
    assert tuple(judged.prediction.by_code()) == CODES
    answers = classifier.answer(np.zeros((1, SIZE, SIZE, 3), np.uint8))
    assert classifier.head.gradcam(answers.features[0]).shape == (7, 2, 2)
    assert (halved.folder / "history.csv").read_text().count("\n") == 1
