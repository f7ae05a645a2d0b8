"""Blends of two training images."""

import numpy as np
import pytest

from skin_model.dataset.mixing import blend

SIZE = 40


def plain_batch(count: int = 64, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Pictures of one value each, their number over the count, so that a pixel tells which picture it is from."""
    rng = np.random.default_rng(seed)
    values = (np.arange(count, dtype=np.float32) / count)[:, None, None, None]
    images = np.broadcast_to(values, (count, SIZE, SIZE, 3)).copy()
    return images, np.eye(7, dtype=np.float32)[rng.integers(0, 7, count)], np.ones(count, np.float32)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_blends_target_says_how_much_of_each_image_is_seen(kind):
    images, _, weights = plain_batch()
    itself = np.eye(64, dtype=np.float32)  # every image its own class: the target names both parts
    mixed, targets, _ = blend(kind, (images, itself, weights), np.random.default_rng(1))

    values = images[:, 0, 0, 0]
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(mixed.mean((1, 2, 3)), targets @ values, atol=1e-4)
    assert ((targets > 0).sum(1) <= 2).all()
    assert ((targets > 0.05).sum(1) == 2).sum() > 10  # real blends, not the same images again


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_what_else_is_known_of_the_images_is_blended_by_the_same_shares(kind):
    images, _, weights = plain_batch()
    itself = np.eye(64, dtype=np.float32)
    _, targets, _, others = blend(kind, (images, itself, weights, itself), np.random.default_rng(1))
    np.testing.assert_allclose(others, targets, atol=1e-6)


def test_cutmixs_boxes_are_of_all_areas_and_lie_anywhere():
    images, targets, weights = plain_batch(512)
    mixed, _, _ = blend("cutmix", (images, targets, weights), np.random.default_rng(1))
    boxes = [np.argwhere(new != old) for new, old in zip(mixed[..., 0], images[..., 0], strict=True)]
    boxes = [box for box in boxes if len(box)]
    areas, centres = np.array([len(box) / SIZE**2 for box in boxes]), np.array([box.mean(axis=0) for box in boxes])
    assert areas.min() < 0.02
    assert areas.max() > 0.7
    assert (centres.min(axis=0) < 0.15 * SIZE).all()
    assert (centres.max(axis=0) > 0.85 * SIZE).all()


def test_cutmix_leaves_every_pixel_to_one_of_two_images():
    images, targets, weights = plain_batch()
    mixed, _, _ = blend("cutmix", (images, targets, weights), np.random.default_rng(1))
    assert max(len(np.unique(picture)) for picture in mixed) == 2
    assert set(np.unique(mixed)) <= set(np.unique(images))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_blend_counts_in_the_loss_as_its_two_parts_would(kind):
    images, targets, _ = plain_batch()
    weights = np.random.default_rng(2).uniform(0.2, 4, 64).astype(np.float32)
    itself = np.eye(64, dtype=np.float32)
    losses = np.random.default_rng(5).uniform(0, 3, (64, 7))  # what the network would lose on each class

    _, shares, _ = blend(kind, (images, itself, np.ones(64, np.float32)), np.random.default_rng(1))
    _, soft, total = blend(kind, (images, targets, weights), np.random.default_rng(1))

    expected = np.sum(shares * weights * (losses @ targets.T), 1)
    np.testing.assert_allclose(total * np.sum(soft * losses, 1), expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_blends_keep_shapes_and_types_and_the_batch_they_are_made_of(kind):
    batch = plain_batch(5)
    before = [part.copy() for part in batch]
    for part, old, new in zip(batch, before, blend(kind, batch, np.random.default_rng(0)), strict=True):
        np.testing.assert_array_equal(part, old)
        assert (new.shape, new.dtype) == (old.shape, np.float32)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_last_batch_of_one_image_stays_as_it_is(kind):
    batch = plain_batch(1)
    for old, new in zip(batch, blend(kind, batch, np.random.default_rng(0)), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-6)


def test_mixup_mostly_leaves_one_image_in_front():
    itself = np.eye(64, dtype=np.float32)
    images, _, weights = plain_batch()
    heavier = [blend("mixup", (images, itself, weights), np.random.default_rng(s))[1].max(1) for s in range(10)]
    assert np.mean(np.concatenate(heavier) > 0.8) > 0.6  # Beta(0.2, 0.2) has 0.73 of its mass there
