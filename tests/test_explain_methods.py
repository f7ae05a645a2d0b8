"""Every explanation method on a network that looks for one colour, and on the libraries' own ground."""

from functools import cache
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from test_explain import pictures, pooled_network

from skin_model import imaging
from skin_model.explain import superpixels
from skin_model.explain.activation import Head
from skin_model.explain.gradients import prepared
from skin_model.explain.methods import METHODS
from skin_model.explain.perturbation import CHANNELS, score_cam
from skin_model.explain.subject import BATCH, Subject, idle
from skin_model.taxonomy import CODES

SIZE, CELLS = 64, 8
PATCH = (slice(12, 28), slice(36, 52))  # where the decisive colour is planted
HEARD, DEAF = "mel", "vasc"


@cache
def blue_seeker():
    """A network whose one channel is how much bluer than red a cell is; only `HEARD` listens, `DEAF` has no weight."""
    import keras
    from keras import layers

    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.AveragePooling2D(SIZE // CELLS)(image)
    bluer = layers.Conv2D(2, 1, activation="relu", name="bluer")
    x = layers.Activation("linear", name="features")(bluer(x))
    x = layers.GlobalAveragePooling2D(name="pooling")(x)
    output = layers.Dense(7, activation="softmax", name="output")
    model = keras.Model([image], output(x))
    bluer.set_weights([np.array([[[[-1, 0], [0, 0], [1, 0]]]], np.float32), np.array([0, 0.1], np.float32)])
    weights = np.zeros((2, 7), np.float32)
    weights[0, CODES.index(HEARD)] = 400
    output.set_weights([weights, np.full(7, 0.0, np.float32)])
    return model


@cache
def planted() -> Subject:
    """Skin with a blue patch, and the network that seeks it."""
    import keras

    model = blue_seeker()
    square = np.random.default_rng(0).normal((200, 160, 150), 3, (SIZE, SIZE, 3)).clip(0, 255).astype(np.uint8)
    square[PATCH] = (60, 70, 160)
    features = keras.Model(model.inputs, model.get_layer("features").output)
    return Subject(
        square,
        np.asarray(features([imaging.to_network(square[None])]))[0],
        Head.of(model),
        lambda images: np.asarray(model([images])),
        lambda: prepared(model),
    )


@cache
def bundled() -> list[Subject]:
    """Two pictures and the bundled network, asked through Keras."""
    import keras

    model, size = pooled_network()
    features = keras.Model(model.inputs, model.get_layer("features").output)
    return [
        Subject(
            np.rint(255 * image).astype(np.uint8),
            features.predict_on_batch(image[None])[0],
            Head.of(model),
            model.predict_on_batch,
            lambda: prepared(model),
        )
        for image in pictures(size)[:2]
    ]


@pytest.mark.parametrize("key", METHODS)
def test_a_patch_that_alone_decides_the_class_is_found(key):
    explanation = METHODS[key].explain(planted(), HEARD, idle)[HEARD]
    heat = explanation.heat_map
    assert (explanation.method, explanation.target) == (METHODS[key].name, HEARD)
    assert heat.dtype == np.float32
    assert (heat.min(), heat.max()) == (0, 1)
    scale = SIZE / len(heat)
    rows, columns = np.nonzero(heat > 0.9)
    centre = ((rows.mean() + 0.5) * scale, (columns.mean() + 0.5) * scale)
    assert PATCH[0].start <= centre[0] <= PATCH[0].stop
    assert PATCH[1].start <= centre[1] <= PATCH[1].stop
    assert heat[tuple(slice(int(s.start / scale), int(s.stop / scale)) for s in PATCH)].sum() > 0.4 * heat.sum()


@pytest.mark.parametrize("key", METHODS)
def test_a_class_to_which_the_network_is_deaf_gets_an_empty_map_and_no_noise(key):
    heat = METHODS[key].explain(planted(), DEAF, idle)[DEAF].heat_map
    assert not heat.any()


@pytest.mark.parametrize("key", [key for key, method in METHODS.items() if method.all_classes])
def test_methods_that_ask_the_network_give_all_classes_at_once(key):
    assert list(METHODS[key].explain(planted(), HEARD, idle)) == list(CODES)


@pytest.mark.parametrize("key", ["scorecam", "occlusion", "saliency", "lime", "shap"])
def test_progress_reaches_its_end_and_may_stop_the_work_after_any_batch(key):
    steps: list[tuple[int, int]] = []
    asked: list[int] = []

    def count(images):
        asked.append(len(images))
        return planted().network(images)

    subject = SimpleNamespace(**vars(planted()))
    subject = Subject(**vars(subject) | {"network": count})
    first = METHODS[key].explain(subject, HEARD, lambda done, total: steps.append((done, total)))
    assert steps[0][0] == 0
    assert steps[-1][0] == steps[-1][1]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert all(0 < count <= BATCH for count in asked), "more would keep who stops the work waiting"

    def break_off(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        METHODS[key].explain(subject, HEARD, break_off)
    assert len(asked) <= 1
    again = METHODS[key].explain(subject, HEARD, idle)
    np.testing.assert_array_equal(again[HEARD].heat_map, first[HEARD].heat_map)


@pytest.mark.parametrize("key", ["occlusion", "scorecam", "lime", "shap"])
def test_a_picture_of_one_colour_has_no_map_by_perturbation(key):
    even = Subject(**vars(planted()) | {"square": np.full((SIZE, SIZE, 3), 90, np.uint8),
                                        "features": np.zeros_like(planted().features)})  # fmt: skip
    assert not any(e.heat_map.any() for e in METHODS[key].explain(even, HEARD, idle).values())


def test_score_cam_equals_the_librarys():
    from tf_keras_vis.scorecam import Scorecam
    from tf_keras_vis.utils.model_modifiers import ReplaceToLinear

    model, _ = pooled_network()
    library = Scorecam(model, ReplaceToLinear(), clone=True)
    compared = []
    for subject in bundled():
        black = subject.network(np.zeros((1, *subject.image.shape), np.float32))[0]
        ours = score_cam(subject, idle)
        # of a class that is no likelier than for a black picture, the map is the difference of small numbers
        for target in np.flatnonzero(ours.any((1, 2)) & (subject.network(subject.image[None])[0] > black)):
            theirs = library(
                lambda p, k=target, least=float(black[target]): p[:, k] - least,  # it leaves the black picture out
                subject.image[None],
                penultimate_layer="features",
                seek_penultimate_conv_layer=False,
                expand_cam=False,
                max_N=CHANNELS,
            )
            compared.append(np.corrcoef(ours[target].ravel(), np.asarray(theirs)[0].ravel())[0, 1])
    assert len(compared) >= 2
    assert min(compared) > 0.9  # its masks are enlarged from corner to corner, ours from cell to cell
    assert np.mean(compared) > 0.95


def test_smoothgrad_equals_the_librarys_up_to_its_noise():
    from tf_keras_vis.utils.scores import CategoricalScore

    subject = bundled()[0]
    target = int(subject.network(subject.image[None])[0].argmax())
    ours = METHODS["saliency"].explain(subject, CODES[target], idle)[CODES[target]].heat_map
    theirs = subject.saliency()(CategoricalScore(target), subject.image[None], smooth_samples=16, smooth_noise=0.1)[0]
    coarse = cv2.resize(np.asarray(theirs), ours.shape, interpolation=cv2.INTER_AREA)
    assert np.corrcoef(ours.ravel(), coarse.ravel())[0, 1] > 0.9


def test_lime_equals_the_librarys_own_explainer_of_images():
    from lime.lime_image import LimeImageExplainer

    subject = planted()
    cover = tuple(255 * float(v) for v in superpixels.surroundings(subject.square))
    theirs = LimeImageExplainer(random_state=0).explain_instance(
        subject.square.astype(np.float64),
        lambda images: subject.network((images / 255).astype(np.float32)),
        hide_color=cover,
        top_labels=7,
        num_samples=superpixels.SAMPLES,
        segmentation_fn=lambda _: superpixels.superpixels(subject.square),
        random_seed=0,
    )
    weights = dict(theirs.local_exp[CODES.index(HEARD)])
    segments = superpixels.superpixels(subject.square)
    expected = np.maximum(np.vectorize(weights.get)(segments), 0)
    ours = superpixels.lime(subject, idle)[CODES.index(HEARD)]
    np.testing.assert_allclose(ours, expected / expected.max(), atol=1e-4)


def test_shap_shares_an_additive_answer_out_exactly_and_leaves_the_global_random_numbers_alone():
    square = planted().square
    segments = superpixels.superpixels(square)
    worth = np.random.default_rng(1).random(segments.max() + 1) + 0.1
    image, cover = imaging.to_network(square), superpixels.surroundings(square)
    inside = [np.argwhere(segments == number)[0] for number in range(len(worth))]
    assert all(np.abs(image[r, c] - cover).max() > 0 for r, c in inside)

    def additive(images):
        shown = np.array([[np.allclose(one[r, c], image[r, c], atol=1e-6) for r, c in inside] for one in images])
        total = (shown @ worth / worth.sum())[:, None]
        return np.concatenate([total, np.repeat((1 - total) / 6, 6, axis=1)], axis=1)

    subject = Subject(**vars(planted()) | {"network": additive})
    np.random.seed(5)
    before = np.random.random()
    np.random.seed(5)
    heat = superpixels.shap(subject, idle)
    assert np.random.random() == before
    np.testing.assert_allclose(heat[0], (worth / worth.max())[segments], atol=1e-3)
    assert not heat[1:].any(), "every superpixel speaks against the other classes"


def test_superpixels_cover_the_picture_and_follow_the_planted_edge():
    segments = superpixels.superpixels(planted().square)
    assert set(np.unique(segments)) == set(range(segments.max() + 1))
    assert 10 <= segments.max() + 1 <= 60
    inside = np.isin(segments, np.unique(segments[PATCH][4:-4, 4:-4]))
    assert inside[PATCH].mean() > 0.75
    assert inside.sum() < 1.3 * inside[PATCH].size


def test_every_method_says_in_one_line_what_it_shows_and_what_it_cannot():
    for method in METHODS.values():
        assert method.limits.startswith(("Shows", "Shares", "As "))
        assert 80 < len(method.limits) < 260
        assert (method.all_classes is None) != (method.one_class is None)
