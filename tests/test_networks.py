"""Every network that can be trained, from its first step to its serving form."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.error import ContentTooShortError, URLError

import numpy as np
import pytest

from skin_model import backbones, bundle, conversion, efficientnet_lite, networks
from skin_model.bundle import Manifest
from skin_model.entities import Patient
from skin_model.errors import ConfigurationError
from skin_model.explain.activation import Head
from skin_model.inference import Classifier
from skin_model.patients import encode
from skin_model.services import training
from skin_model.training import state
from skin_model.training.schedules import freeze_first

SIZE = 64


@pytest.fixture(scope="module")
def squares() -> np.ndarray:
    """Six images of noise with a tone of their own each, uint8 (6, 64, 64, 3)."""
    random = np.random.default_rng(0)
    tones = random.integers(0, 200, (6, 1, 1, 3))
    return (tones + random.integers(0, 56, (6, SIZE, SIZE, 3))).astype(np.uint8)


def inputs_of(model, squares: np.ndarray, known: bool = True):
    """The images, with patients where the network takes some: known ones, or ones of whom nothing is known."""
    images = squares / np.float32(255)
    if len(model.inputs) == 1:
        return images
    patients = [Patient(70, "male", "back") if known else Patient()] * len(images)
    return {"image": images, "patient": encode(patients, COLUMNS)}


def train_a_step(model, squares: np.ndarray) -> float:
    """One step towards arbitrary targets; run eagerly, which spares compiling.  Returns the loss."""
    import keras

    units, count = model.output_shape[-1], len(squares)
    targets = np.eye(7, dtype=np.float32)[:count] if units > 1 else np.arange(count, dtype=np.float32)[:, None] % 2
    loss = "categorical_crossentropy" if units > 1 else "binary_crossentropy"
    model.compile(keras.optimizers.SGD(0.01), loss=loss, run_eagerly=True)
    return float(model.train_on_batch(inputs_of(model, squares), targets))


def answers_and_features(model, images: np.ndarray) -> list[np.ndarray]:
    """Probabilities, input of the last dense layer and last feature map; run eagerly, which spares compiling."""
    import keras

    output, features = model.get_layer("output"), model.get_layer("features")
    inner = keras.Model(model.inputs, [output.output, output.input, features.output])
    return [np.asarray(found) for found in inner([images], training=False)]


def gradcam_by_differentiating(model, features: np.ndarray) -> np.ndarray:
    """Grad-CAM (7, h, w) of one feature map (h, w, C), its gradients taken by TensorFlow through the head."""
    import tensorflow as tf

    head = model.layers[model.layers.index(model.get_layer("features")) + 1 : -1]
    kernel, bias = model.get_layer("output").get_weights()
    maps = []
    for target in range(7):
        with tf.GradientTape() as tape:
            x = known = tf.constant(features[None])
            tape.watch(known)
            for layer in head:
                x = layer(x, training=False)
            logit = (x @ kernel + bias)[0, target]
        weights = np.asarray(tape.gradient(logit, known)).mean(axis=(0, 1, 2))
        heat = np.maximum(features @ weights, 0)
        maps.append(heat / (heat.max() or 1))
    return np.stack(maps)


def served(folder: Path, model) -> Classifier:
    """The serving form of a network, loaded from a bundle with nothing else in it."""
    conversion.convert(model, folder)
    manifest = Manifest(
        model_version="converted", created="", network=model.name, task="diagnosis", labels=bundle.CODES, size=SIZE,
        views=1, temperature=1.0, threshold=0.5, target_sensitivity=0.95, training={}, data={}, agreement={},
        environment={},
    )  # fmt: skip
    return Classifier(bundle.Bundle(folder, bundle.write_manifest(folder, manifest)))


# Either head, and each kind of layer that behaves otherwise when served; the others would take minutes.
SERVED = ["custom_cnn", "vgg_like", "mobilenet", "mobilenet_v3_small"]
COLUMNS = ("age", "sex", "localization")


@pytest.mark.parametrize(("name", "columns"), [*((n, COLUMNS) for n in networks.NETWORKS), *((n, ()) for n in SERVED)])
def test_a_network_trains_is_saved_loaded_served_and_explained(name, columns, squares, tmp_path):
    import keras

    keras.utils.set_random_seed(0)
    squares = squares[:2]
    images = squares / np.float32(255)
    model = networks.build(name, size=SIZE, metadata=columns)
    before = [weight.numpy() for weight in model.trainable_weights]
    assert np.isfinite(train_a_step(model, squares))
    changed = [not np.array_equal(a, b.numpy()) for a, b in zip(before, model.trainable_weights, strict=True)]
    assert np.mean(changed) > 0.9  # a squeeze-and-excitation unit may be silent for two images
    momenta = {layer.momentum for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert momenta == {0.9}

    model.save(tmp_path / "network.keras")
    whole = conversion.load_keras(tmp_path / "network.keras")
    loaded = networks.picture_part(whole)
    probabilities, embeddings, features = answers_and_features(loaded, images)
    np.testing.assert_allclose(probabilities, model(inputs_of(model, squares, known=False)), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)

    maps = Head.of(loaded).gradcam(features[0])
    assert maps.shape == (7, *features.shape[1:3])
    np.testing.assert_allclose(maps, gradcam_by_differentiating(loaded, features[0]), atol=1e-4)

    if name in SERVED:
        classifier = served(tmp_path, whole)
        answers = classifier.answer(squares)
        np.testing.assert_allclose(classifier.outputs(images), probabilities, atol=1e-4)
        for ours, theirs in ((answers.embeddings, embeddings), (answers.features, features)):
            np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max())
        np.testing.assert_array_equal(classifier.head.gradcam(features[0]), maps)


@pytest.mark.parametrize("name", ["vgg_like", "mobilenet"])  # with and without a hidden layer
def test_a_binary_head_learns_malignant_or_not(name, squares):
    model = networks.build(name, size=SIZE, task="binary")
    assert model.output_shape == (None, 1)
    assert np.isfinite(train_a_step(model, squares))
    probability = np.asarray(model(squares / np.float32(255)))
    assert ((probability > 0) & (probability < 1)).all()


@pytest.mark.parametrize("name", networks.PRETRAINED)
def test_each_network_scales_its_input_as_its_imagenet_weights_were_trained(name):
    """Held against `preprocess_input`; where that does nothing, against one that does the same as Keras' own layers."""
    import keras

    with_one = {"mobilenet": "mobilenet", "mobilenet_v2": "mobilenet_v2", "resnet50": "resnet50"}
    like = {"mobilenet_v3_small": "mobilenet_v2", "mobilenet_v3_large": "mobilenet_v2"}
    module = getattr(keras.applications, (with_one | like).get(name, "densenet"))
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3)).astype(np.float32)
    expected = (images - 127) / 128 if "lite" in name else module.preprocess_input(images.copy())

    scaled = backbones.scale(backbones.APPLICATIONS[name][1], images / 255)

    np.testing.assert_allclose(np.asarray(scaled), expected, atol=1e-4)


@pytest.mark.parametrize(("level", "published"), [(0, 4_652_008), (1, 5_416_680), (2, 6_092_072)])
def test_efficientnet_lite_has_as_many_weights_as_its_authors_say(level, published):
    """Theirs has a top of 1,000 classes; its last layer's weights are counted here."""
    model = efficientnet_lite.build(level, input_shape=(SIZE, SIZE, 3))
    assert sum(int(np.prod(weights.shape)) for weights in model.trainable_weights) + 1281 * 1000 == published
    assert model.output_shape == (None, SIZE // 32, SIZE // 32, 1280)


def test_nobody_has_imagenet_weights_of_efficientnet_lite_for_keras():
    with pytest.raises(ConfigurationError, match="Give a weights file"):
        networks.build("efficientnet_lite0", size=SIZE, weights="imagenet")


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_b0", "efficientnet_v2_b0"])
def test_what_keras_scales_itself_is_scaled_once_and_alike(name, tmp_path):
    """The same weights and pixels give the features of Keras' own network."""
    import keras

    keras.utils.set_random_seed(0)
    application = getattr(keras.applications, backbones.APPLICATIONS[name][0])
    theirs = application(input_shape=(SIZE, SIZE, 3), include_top=False, weights=None)
    for layer in theirs.layers:
        if name == "efficientnet_b0" and isinstance(layer, keras.layers.Normalization):
            store = {"0": [0.485, 0.456, 0.406], "1": [0.229**2, 0.224**2, 0.225**2], "2": 0}
            layer.load_own_variables({key: np.array(value) for key, value in store.items()})
    theirs.save_weights(tmp_path / "public.weights.h5")
    ours = networks.build(name, size=SIZE, weights=str(tmp_path / "public.weights.h5"))
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.float32)

    expected = np.asarray(theirs(images, training=False))

    found = answers_and_features(ours, images / 255)[2]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_frozen_layers_keep_their_weights_and_statistics_and_the_others_learn(squares):
    model = networks.build("custom_cnn", size=SIZE)
    freeze_first(model, 0.5)
    before = {w.path: w.numpy() for w in model.weights}
    train_a_step(model, squares)

    changed = [not np.array_equal(before[w.path], w.numpy()) for w in model.weights if "seed" not in w.path]
    first = changed.index(True)
    assert first == 10  # two of four blocks: a kernel and four vectors of batch normalisation each
    assert all(changed[first:])


def test_of_networks_side_by_side_the_first_layers_of_each_are_frozen():
    import keras

    model = networks.build("lite0_mobilenet", size=SIZE)
    freeze_first(model, 0.3)
    image, ends = model.get_layer("image").output, model.get_layer(backbones.BESIDE).input
    for end in ends:
        learns = [layer.trainable for layer in keras.Model(image, end).layers]
        assert learns == sorted(learns)
        assert learns.count(False) == round(0.3 * len(learns))


def test_a_network_that_takes_the_patient_starts_one_of_pictures_alone(squares, tmp_path):
    told = networks.build("custom_cnn", size=SIZE, metadata=COLUMNS)
    told.get_layer("patient_logits").set_weights([np.ones((16, 7), np.float32) * np.arange(7)])
    told.save(tmp_path / "told.keras")
    nobody = np.zeros((len(squares), told.inputs[1].shape[1]), np.float32)
    expected = told([squares / np.float32(255), nobody], training=False)
    for linear_head in (False, True):
        alone = networks.build("custom_cnn", size=SIZE, weights=str(tmp_path / "told.keras"), linear_head=linear_head)
        np.testing.assert_allclose(alone(squares / np.float32(255), training=False), expected, atol=1e-6)


def test_a_network_of_pictures_alone_starts_one_that_takes_the_patient(squares, tmp_path):
    earlier = networks.build("custom_cnn", size=SIZE)
    train_a_step(earlier, squares)
    earlier.save(tmp_path / "pictures.keras")
    told = networks.build("custom_cnn", size=SIZE, weights=str(tmp_path / "pictures.keras"), metadata=COLUMNS)
    expected = earlier(squares / np.float32(255), training=False)
    np.testing.assert_allclose(told(inputs_of(told, squares), training=False), expected, atol=1e-6)

    told.get_layer("patient_logits").set_weights([np.ones((16, 7), np.float32) * np.arange(7)])
    told.save(tmp_path / "told.keras")
    again = networks.build("custom_cnn", size=SIZE, weights=str(tmp_path / "told.keras"), metadata=COLUMNS)
    answers = [model(inputs_of(model, squares), training=False) for model in (told, again)]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)
    assert np.abs(np.asarray(answers[0]) - expected).max() > 0.01


def test_weights_of_an_earlier_training_start_another_at_another_size(squares, tmp_path):
    earlier = networks.build("mobilenet", size=SIZE)
    train_a_step(earlier, squares)
    earlier.save(tmp_path / "best.keras")

    larger = networks.build("mobilenet", size=96, weights=str(tmp_path / "best.keras"))

    assert larger.input_shape == (None, 96, 96, 3)
    for old, new in zip(earlier.get_weights(), larger.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_training_at_a_larger_size_goes_on_from_one_at_a_smaller(trained, drawn_data, split_file, tiny, tmp_path):
    """At 72 pixels, as at 64, four poolings leave 4 x 4 positions; another seed would draw other first weights."""
    config = replace(tiny, size=72, epochs=1, learning_rate=1e-5, seed=1, weights=str(trained / "best.keras"))

    assert training.train(data=drawn_data, folder=tmp_path, config=config, split=split_file).finished

    assert [stage.config.size for stage in state.lineage(tmp_path)] == [64, 72]
    before, after = (conversion.load_keras(folder / "best.keras") for folder in (trained, tmp_path))
    assert after.input_shape == (None, 72, 72, 3)
    for old, new in zip(before.trainable_weights, after.trainable_weights, strict=True):
        assert 0 < np.abs(old.numpy() - new.numpy()).max() < 1e-3


def test_public_weights_fill_the_backbone_whether_complete_or_without_the_last_block(tmp_path):
    import keras

    base = keras.applications.MobileNet(input_shape=(SIZE, SIZE, 3), include_top=False, weights=None)
    partial = keras.Model(base.input, base.get_layer(backbones.PARTIAL_MOBILENET_END).output)
    for number, source in enumerate((base, partial)):
        path = tmp_path / f"{number}.weights.h5"
        source.save_weights(path)
        model = networks.build("mobilenet", size=SIZE, weights=str(path))
        for layer in source.layers:
            for given, loaded in zip(layer.get_weights(), _twin(model, layer).get_weights(), strict=True):
                np.testing.assert_array_equal(given, loaded)


def _twin(model, layer):
    """The layer of the same name; the input layer has no weights and another name."""
    return layer if not layer.weights else model.get_layer(layer.name)


def test_real_mobilenet_weights_fit_where_they_lie_beside_the_repository(real_data):
    weights = real_data.parent / "weights"
    files = {
        "mobilenet": weights / "mobilenet_1.0_imagenet_to_conv_dw_13_relu.weights.h5",
        "mobilenet_v2": weights / "mobilenet_v2_1.0_imagenet_notop.weights.h5",
    }
    if not all(path.is_file() for path in files.values()):
        pytest.skip("the public weights do not lie beside the repository, in ../shared/weights")
    for name, path in files.items():
        kernel = networks.build(name, size=SIZE, weights=str(path)).layers[2].get_weights()[0]
        assert np.abs(kernel).max() > 0.5  # random ones stay below 0.2


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [
        ("resnet9000", None, "choose one of custom_cnn, vgg_like, mobilenet, mobilenet_v2"),
        ("custom_cnn", "imagenet", "random weights"),
        ("custom_cnn", "some.weights.h5", "random weights"),
        ("mobilenet", "nowhere/some.weights.h5", "no weights file nowhere/some.weights.h5"),
        ("custom_cnn", "nowhere/best.keras", "no weights file nowhere/best.keras"),
    ],
)
def test_an_unknown_network_or_missing_weights_are_refused_in_a_sentence(name, weights, expected):
    with pytest.raises(ConfigurationError, match=expected):
        networks.build(name, size=SIZE, weights=weights)


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning:keras")  # Keras warns, then raises
@pytest.mark.parametrize("damage", ["another network", "another task", "another size", "cut short", "no Keras file"])
def test_weights_that_do_not_fit_are_refused_by_name(damage, trained, tiny, tmp_path):
    best = tmp_path / "best.keras"
    shutil.copyfile(trained / "best.keras", best)
    name, size, task = tiny.network, tiny.size, tiny.task
    if damage == "another network":
        name = "vgg_like"
    elif damage == "another task":
        task = "binary"
    elif damage == "another size":  # its dense layer counts the positions of the feature map
        size = tiny.size * 2
    elif damage == "cut short":
        best.write_bytes(best.read_bytes()[:5000])
    else:
        best.write_text("weights")
    with pytest.raises(ConfigurationError, match=rf"best\.keras do not fit {name}"):
        networks.build(name, size=size, task=task, weights=str(best))


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning:keras")
def test_a_weights_file_of_another_backbone_is_refused_by_name(tmp_path):
    path = tmp_path / "other.weights.h5"
    networks.build("custom_cnn", size=SIZE).save_weights(path)
    with pytest.raises(ConfigurationError, match=r"other\.weights\.h5 do not fit"):
        networks.build("mobilenet_v2", size=SIZE, weights=str(path))


@pytest.mark.parametrize(("name", "application"), [("mobilenet", "MobileNet"), ("mobilenet_v2", "MobileNetV2")])
@pytest.mark.parametrize("rest", ["missing", "reserved"])  # some download tools reserve the whole file at once
def test_public_weights_whose_download_stopped_half_way_are_refused_by_name(name, application, rest, tmp_path):
    import keras

    path = tmp_path / "public.weights.h5"
    getattr(keras.applications, application)(input_shape=(SIZE, SIZE, 3), include_top=False, weights=None).save_weights(
        path
    )
    whole = path.read_bytes()
    half = len(whole) // 2
    path.write_bytes(whole[:half] + (bytes(len(whole) - half) if rest == "reserved" else b""))
    with pytest.raises(ConfigurationError, match=r"public\.weights\.h5 .*damaged or incomplete.* download it again"):
        networks.build(name, size=SIZE, weights=str(path))


@pytest.fixture
def downloads(tmp_path, monkeypatch) -> Callable[[Exception | None], list[str]]:
    """Lets every download of Keras stop half-way with an error, or for None as a kill would leave it; lists them."""

    def stop(error: Exception | None) -> list[str]:
        asked: list[str] = []

        def retrieve(origin: str, target: str, *_: object) -> None:
            asked.append(origin)
            Path(target).write_bytes(b"\x89HDF\r\n\x1a\n")
            if error:
                raise error

        monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", retrieve)
        monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
        return asked

    return stop


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (URLError("Name or service not known"), r"URL fetch failure .* Name or service not known"),
        (ContentTooShortError("got only 5 out of 10 bytes", b""), r"URL fetch failure .* got only 5 out of 10 bytes"),
        (ConnectionResetError("Connection reset by peer"), "Connection reset by peer"),
    ],
)
def test_imagenet_weights_that_cannot_be_downloaded_end_in_a_sentence_and_are_asked_for_again(
    downloads, error, sentence
):
    asked = downloads(error)
    for attempts in (1, 2):
        with pytest.raises(ConfigurationError, match=rf"not be downloaded \({sentence}\)\. Give a weights file, or"):
            networks.build("mobilenet", size=128, weights="imagenet")
        assert len(asked) == attempts


def test_what_a_killed_download_of_imagenet_weights_left_is_to_be_removed(downloads):
    """Keras takes the file for whole, so it never asks again."""
    asked = downloads(None)
    for _ in range(2):
        with pytest.raises(
            ConfigurationError, match=r"file.* Give a weights file, .* first remove .* ~/\.keras/models"
        ):
            networks.build("mobilenet", size=128, weights="imagenet")
    assert len(asked) == 1
