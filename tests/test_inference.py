"""A bundle's serving form under use: alone, in batches, over views and from many threads."""

import gc
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import numpy as np
import pytest

from skin_model import bundle, imaging, inference
from skin_model.errors import BundleError
from skin_model.inference import Classifier, to_logits
from skin_model.services import prediction


@pytest.fixture(scope="module")
def squares(parts, classifier) -> np.ndarray:
    """Prepared images, uint8 (24, s, s, 3)."""
    loaded = prediction.load(parts["path"].iloc[:24], classifier.manifest.size)
    return np.stack([item.square for item in loaded])


def test_an_image_alone_gets_the_answer_it_gets_in_a_batch(classifier, squares):
    together = classifier.answer(squares)
    for i in range(len(squares)):
        alone = classifier.answer(squares[i : i + 1])
        np.testing.assert_array_equal(alone.logits[0], together.logits[i])
        np.testing.assert_array_equal(alone.embeddings[0], together.embeddings[i])
        np.testing.assert_array_equal(alone.features[0], together.features[i])
    # the comparison above would also hold for a network that answers the same to everything
    assert np.ptp(together.logits, axis=0).min() > 1e-2


def test_different_batches_do_not_disturb_answers_given_before(classifier, squares):
    first = classifier.answer(squares[:3])
    kept = [first.logits.copy(), first.embeddings.copy(), first.features.copy()]
    classifier.answer(squares[3:6])
    for given, copy in zip((first.logits, first.embeddings, first.features), kept, strict=True):
        np.testing.assert_array_equal(given, copy)


def test_eight_threads_get_the_answers_that_one_gets(classifier, squares):
    batches = [squares[i : i + 1 + i % 3] for i in range(20)] * 3
    alone = [classifier.answer(batch).logits for batch in batches]

    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda batch: classifier.answer(batch).logits, batches))

    for one, other in zip(alone, at_once, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_few_of_the_requests_that_were_busy_at_once_are_kept(classifier, monkeypatch):
    crowd, made = Barrier(8, timeout=60), []

    class Request:
        def infer(self, *_, **__):
            crowd.wait()

        def get_output_tensor(self, _):
            return SimpleNamespace(data=np.zeros((1, 1)))

    def create():
        request = Request()
        made.append(weakref.ref(request))
        return request

    monkeypatch.setattr(classifier, "_compiled", SimpleNamespace(create_infer_request=create))
    monkeypatch.setattr(classifier, "_idle", deque(maxlen=inference.IDLE))
    inputs = np.zeros((1, 8, 8, 3), np.float32)
    for _ in range(2):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: classifier.outputs(inputs), range(8)))
    gc.collect()
    assert len(made) == 16 - inference.IDLE, "what is idle is used again"
    assert sum(request() is not None for request in made) == inference.IDLE


VIEWS = {
    1: [lambda x: x],
    2: [lambda x: x, lambda x: np.rot90(x, 2)],
    4: [lambda x: x, np.fliplr, np.flipud, lambda x: np.rot90(x, 2)],
    8: [lambda x, k=k, m=m: np.rot90(m(x), k) for k in range(4) for m in (np.asarray, np.fliplr)],
}


@pytest.mark.parametrize("views", VIEWS)
def test_averaging_views_is_the_mean_of_log_probabilities_by_hand(classifier, squares, views):
    few = squares[:4]
    together = classifier.answer(few, views)

    each = [
        [np.log(classifier.outputs(imaging.to_network(view(one)[None])).astype(np.float64))[0] for view in VIEWS[views]]
        for one in few
    ]

    np.testing.assert_allclose(together.logits, np.mean(each, axis=1), atol=1e-4)
    # map and embedding stay those of the picture as it lies, or the overlay would show a mixture
    np.testing.assert_allclose(together.features, classifier.answer(few, 1).features, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(together.embeddings, classifier.answer(few, 1).embeddings, rtol=1e-4, atol=1e-4)
    if views > 1:
        assert np.abs(together.logits - classifier.answer(few, 1).logits).max() > 1e-3


def test_embeddings_of_all_views_are_the_same_for_a_picture_turned_or_mirrored(classifier, squares):
    few = squares[:4]
    expected = classifier.embeddings(few)
    assert expected.shape == (4, classifier.answer(few).embeddings.shape[1])
    for view in VIEWS[8]:
        np.testing.assert_allclose(classifier.embeddings(np.stack([view(one) for one in few])), expected, atol=1e-4)
    by_hand = [classifier.answer(np.stack([view(one) for view in VIEWS[8]]), 1).embeddings.mean(axis=0) for one in few]
    np.testing.assert_allclose(expected, by_hand, atol=1e-4)
    assert np.abs(expected - classifier.answer(few, 1).embeddings).max() > 1e-3


def test_the_bundles_own_number_of_views_is_the_default(classifier, squares):
    assert classifier.manifest.views == 2
    np.testing.assert_allclose(classifier.answer(squares).logits, classifier.answer(squares, 2).logits, atol=1e-5)


@pytest.mark.parametrize("views", [-1, 3, 16])
def test_a_number_of_views_that_does_not_exist_is_refused(classifier, squares, views):
    with pytest.raises(ValueError, match="views"):
        classifier.answer(squares[:1], views)


def test_probabilities_are_float32_rows_that_sum_to_1_softened_by_the_temperature(classifier, squares):
    logits = classifier.answer(squares).logits
    probabilities = classifier.probabilities(logits)

    assert (probabilities.shape, probabilities.dtype) == ((24, 7), np.float32)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    by_hand = np.exp(logits / classifier.manifest.temperature)
    np.testing.assert_allclose(probabilities, by_hand / by_hand.sum(1, keepdims=True), rtol=1e-5)


def test_a_binary_model_gives_one_probability(binary_made, squares):
    binary = Classifier(binary_made)
    probability = binary.probabilities(binary.answer(squares).logits)
    bare = binary.outputs(imaging.to_network(squares)).astype(np.float64)
    odds = (bare / (1 - bare)) ** (1 / binary_made.manifest.temperature)

    assert (probability.shape, probability.dtype) == ((24, 1), np.float32)
    np.testing.assert_allclose(probability, odds / (1 + odds), rtol=1e-4)


def test_a_network_that_is_wholly_certain_still_gives_finite_logits():
    assert np.isfinite(to_logits(np.eye(7, dtype=np.float32))).all()
    certain = to_logits(np.array([[0.0], [1.0], [0.5]], np.float32)).ravel()
    assert np.isfinite(certain).all()
    assert certain[0] < -20 < certain[2] < 20 < certain[1]


def test_a_serving_form_that_cannot_be_executed_is_refused_with_the_models_name(copied):
    folder = copied()
    made = bundle.read(folder)
    (folder / "serving.xml").write_text("<net></net>")
    bundle.write_manifest(folder, made.manifest)

    with pytest.raises(BundleError, match=rf"{made.manifest.model_version} cannot be executed"):
        Classifier(bundle.read(folder))
