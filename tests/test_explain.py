"""Grad-CAM without TensorFlow, held against tf-keras-vis, and the picture under a heat map."""

from pathlib import Path

import numpy as np
import pytest

from skin_model import bundle, imaging, networks, settings
from skin_model.conversion import load_keras
from skin_model.dataset import drawn
from skin_model.explain.activation import Head
from skin_model.explain.overlay import overlay

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def pictures(size: int) -> np.ndarray:
    """Six images ready for a network: real ones where a data set lies beside the repository, else drawn ones."""
    real = sorted((DATA / "full_size_examples").glob("*.jpg"))[::7]
    decoded = [imaging.read(path).pixels for path in real]
    decoded = decoded or [drawn.draw_lesion(code, seed=1, height=150, width=200)[0] for code in drawn.CODES[:6]]
    return imaging.to_network(np.stack([imaging.centre(imaging.fit(pixels, size)) for pixels in decoded]))


def pooled_network():
    """The bundled network where it has global average pooling, else a MobileNet that saw some images."""
    if (settings.ASSETS / "model").is_dir():
        made = bundle.read(settings.ASSETS / "model")
        model = load_keras(made.path("network.keras"))
        if "pooling" in {layer.name for layer in model.layers}:
            return model, made.manifest.size
    model = networks.build("mobilenet", size=96)
    for _ in range(10):
        model(pictures(96), training=True)  # settles the statistics of batch normalisation
    return model, 96


def assert_equal_to_the_library(model, images: np.ndarray) -> None:
    """Correlation above 0.999 on the network's own grid for every image and class, and the same empty maps."""
    import keras
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
    from tf_keras_vis.utils.scores import CategoricalScore

    library = Gradcam(model, model_modifier=ReplaceToLinear(), clone=True)
    features = keras.Model(model.inputs, model.get_layer("features").output).predict_on_batch(images)
    head = Head.of(model)
    ours = np.stack([head.gradcam(one) for one in features])  # (N, 7, h, w)
    compared = 0
    for target in range(7):
        theirs = library(
            CategoricalScore([target] * len(images)),
            images,
            penultimate_layer="features",
            seek_penultimate_conv_layer=False,
            expand_cam=False,
        )
        for mine, other in zip(ours[:, target], np.asarray(theirs), strict=True):
            if mine.any():
                assert np.corrcoef(mine.ravel(), other.ravel())[0, 1] > 0.999
                compared += 1
            else:
                assert not other.any()
    assert compared >= 20  # of 42


def test_gradcam_equals_the_librarys_for_a_network_with_global_average_pooling():
    model, size = pooled_network()
    assert_equal_to_the_library(model, pictures(size))


def test_gradcam_equals_the_librarys_through_hidden_dense_layers(trained, tiny):
    assert_equal_to_the_library(load_keras(trained / "best.keras"), pictures(tiny.size))


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (120, 180, 3)).astype(np.uint8)


@pytest.fixture
def corner() -> np.ndarray:
    """Hot in the lower right quarter alone."""
    heat = np.zeros((8, 8), np.float32)
    heat[4:, 4:] = 1
    return heat


def test_the_overlay_colours_the_hot_part_of_the_judged_square_and_nothing_else(picture, corner):
    box = (30, 0, 120)
    changed = np.abs(overlay(picture, box, corner, 0.5).astype(int) - picture).max(axis=2) > 0

    assert changed[75:, 105:150].mean() > 0.95
    assert not changed[:, :30].any()
    assert not changed[:, 150:].any()
    assert not changed[:28, 30:58].any()  # two cells away: interpolation is cubic


def test_the_hottest_place_is_the_yellow_end_of_viridis_at_the_chosen_strength(picture, corner):
    yellow = np.array([253, 231, 37])
    for opacity in (0.25, 1.0):
        shown = overlay(picture, (30, 0, 120), corner, opacity)[110, 140]
        assert np.abs(shown - (opacity * yellow + (1 - opacity) * picture[110, 140])).max() <= 2


@pytest.mark.parametrize("nothing", ["no opacity", "an empty map"])
def test_without_anything_to_show_the_picture_stays_as_it_is(picture, corner, nothing):
    heat, opacity = (corner, 0.0) if nothing == "no opacity" else (corner * 0, 0.5)
    before = picture.copy()
    np.testing.assert_array_equal(overlay(picture, (30, 0, 120), heat, opacity), before)


def test_the_analysed_picture_itself_is_never_painted_on(picture, corner):
    before = picture.copy()
    overlay(picture, (30, 0, 120), corner, 1.0)
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("shape", [(450, 600), (600, 450), (301, 301)])
def test_the_overlay_has_the_pictures_own_size_with_the_map_on_its_judged_square(shape):
    left, top, side = imaging.judged_box(*shape)
    shown = overlay(np.full((*shape, 3), 128, np.uint8), (left, top, side), np.ones((7, 7), np.float32), 0.5)

    changed = (shown != 128).any(axis=2)
    assert changed.shape == shape
    assert changed[top : top + side, left : left + side].all()
    assert changed.sum() == side * side
