"""Class activation maps without TensorFlow, held against tf-keras-vis, and the picture under a heat map."""

import importlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from skin_model import bundle, imaging, networks, settings
from skin_model.conversion import load_keras
from skin_model.dataset import drawn
from skin_model.explain.activation import Head
from skin_model.explain.overlay import CONTOURS, colour, contours, overlay

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def pictures(size: int) -> np.ndarray:
    """Six images ready for a network: real ones where a data set lies beside the repository, else drawn ones."""
    real = sorted((DATA / "full_size_examples").glob("*.jpg"))[::7]
    decoded = [imaging.read(path).pixels for path in real]
    decoded = decoded or [drawn.draw_lesion(code, seed=1, height=150, width=200)[0] for code in drawn.CODES[:6]]
    return imaging.to_network(np.stack([imaging.centre(imaging.fit(pixels, size)) for pixels in decoded]))


@cache
def pooled_network():
    """The bundled network where it has global average pooling, else a MobileNet that saw some images."""
    if (settings.ASSETS / "model").is_dir():
        made = bundle.read(settings.ASSETS / "model")
        model = networks.picture_part(load_keras(made.path("network.keras")))
        if "pooling" in {layer.name for layer in model.layers}:
            return model, made.manifest.size
    model = networks.build("mobilenet", size=96)
    for _ in range(10):
        model(pictures(96), training=True)  # settles the statistics of batch normalisation
    return model, 96


LIBRARY = {"gradcam": "gradcam.Gradcam", "gradcam_plus_plus": "gradcam_plus_plus.GradcamPlusPlus",
           "layercam": "layercam.Layercam"}  # fmt: skip


def assert_equal_to_the_library(model, images: np.ndarray, method: str) -> None:
    """Correlation above 0.999 on the network's own grid for every image and class, and the same empty maps."""
    import keras
    from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
    from tf_keras_vis.utils.scores import CategoricalScore

    module, name = LIBRARY[method].split(".")
    library = getattr(importlib.import_module(f"tf_keras_vis.{module}"), name)(model, ReplaceToLinear(), clone=True)
    features = keras.Model(model.inputs, model.get_layer("features").output).predict_on_batch(images)
    head = Head.of(model)
    ours = np.stack([getattr(head, method)(one) for one in features])  # (N, 7, h, w)
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


@pytest.mark.parametrize("method", LIBRARY)
def test_class_activation_maps_equal_the_librarys_for_a_network_with_global_average_pooling(method):
    model, size = pooled_network()
    assert_equal_to_the_library(model, pictures(size), method)


@pytest.mark.parametrize("method", LIBRARY)
def test_class_activation_maps_equal_the_librarys_through_hidden_dense_layers(trained, tiny, method):
    assert_equal_to_the_library(load_keras(trained / "best.keras"), pictures(tiny.size), method)


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


@pytest.mark.parametrize("draw", [overlay, contours])
@pytest.mark.parametrize("nothing", ["no opacity", "an empty map"])
def test_without_anything_to_show_the_picture_stays_as_it_is(picture, corner, nothing, draw):
    heat, opacity = (corner, 0.0) if nothing == "no opacity" else (corner * 0, 0.5)
    before = picture.copy()
    np.testing.assert_array_equal(draw(picture, (30, 0, 120), heat, opacity), before)


@pytest.mark.parametrize("draw", [overlay, contours])
def test_the_analysed_picture_itself_is_never_painted_on(picture, corner, draw):
    before = picture.copy()
    draw(picture, (30, 0, 120), corner, 1.0)
    np.testing.assert_array_equal(picture, before)


def test_contours_run_around_the_hot_part_in_the_colours_of_their_levels_and_leave_the_rest():
    skin = np.full((400, 600, 3), 190, np.uint8)
    hill = np.exp(-((np.mgrid[:41, :41] - 20.0) ** 2).sum(0) / 128).astype(np.float32)
    drawn = contours(skin, (100, 0, 400), hill, 1.0)
    touched = (drawn != skin).any(axis=2)

    assert touched.mean() < 0.06  # three lines of two pixels with dark edges of one; a heat map covers a third
    assert not touched[:, :100].any()
    radii = {}
    for level in CONTOURS:
        rows, columns = np.nonzero((drawn == colour(level)).all(axis=2))
        assert len(rows) > 50
        radii[level] = np.hypot(rows - 200, columns - 300).mean()
        assert radii[level] == pytest.approx(np.sqrt(-128 * np.log(level)) / 41 * 400, abs=6)
    assert radii[0.25] > radii[0.5] > radii[0.75]


@pytest.mark.parametrize("shape", [(450, 600), (600, 450), (301, 301)])
def test_the_overlay_has_the_pictures_own_size_with_the_map_on_its_judged_square(shape):
    left, top, side = imaging.judged_box(*shape)
    shown = overlay(np.full((*shape, 3), 128, np.uint8), (left, top, side), np.ones((7, 7), np.float32), 0.5)

    changed = (shown != 128).any(axis=2)
    assert changed.shape == shape
    assert changed[top : top + side, left : left + side].all()
    assert changed.sum() == side * side
