"""Batches for training and validation."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skin_model import imaging
from skin_model.dataset.pipeline import Batches, as_keras
from skin_model.entities import SEXES, SITES, Patient
from skin_model.patients import encode

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def source(parts) -> Batches:
    """Twenty-one images, three of each class, in batches of four; the last one is short."""
    rows = parts.groupby("dx").head(3)
    codes = rows["dx"].astype("category").cat.codes.to_numpy()
    return Batches(
        paths=list(rows["path"]),
        targets=np.eye(7, dtype=np.float32)[codes],
        weights=np.linspace(0.5, 1.5, len(rows), dtype=np.float32),
        size=48,
        batch=4,
        augmentation="standard",
        seed=5,
    )


def epoch_of(source: Batches, epoch: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    order = source.order(epoch)
    return [source.get(epoch, number, order) for number in range(len(source))]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_epoch_is_the_same_whatever_thread_or_order_asks_for_its_batches(source):
    in_order = epoch_of(source, 1)
    order = source.order(1)
    backwards = list(reversed(range(len(source))))
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda number: source.get(1, number, order), backwards))

    assert_same(in_order, drawn[::-1])


def test_an_epoch_in_multiples_leaves_out_a_few_images_and_others_the_next_time(source):
    shared = replace(source, multiple=4)
    orders = [set(shared.order(epoch).tolist()) for epoch in range(8)]
    assert (len(shared), {len(order) for order in orders}) == (5, {20})
    assert [len(images) for images, *_ in epoch_of(shared, 0)] == [4] * 5
    assert set.union(*orders) == set(range(21))


def test_another_epoch_or_seed_brings_another_order_and_other_views_of_the_same_image(source):
    assert list(source.order(0)) != list(source.order(1))
    assert list(source.order(0)) != list(replace(source, seed=6).order(0))
    views = [source.load(0, 0, 0), source.load(0, 1, 0), source.load(0, 0, 1), replace(source, seed=6).load(0, 0, 0)]
    assert len({view.tobytes() for view in views}) == 4


def test_every_image_comes_once_an_epoch_with_its_own_target_and_weight(source):
    plain = replace(source, augmentation="none")
    batches = epoch_of(plain, 3)
    images, targets, weights = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))

    assert [len(batch[0]) for batch in batches] == [4, 4, 4, 4, 4, 1]
    rows = [int(np.flatnonzero(plain.weights == weight)[0]) for weight in weights]
    assert sorted(rows) == list(range(21))
    assert rows != list(range(21))
    np.testing.assert_array_equal(targets, plain.targets[rows])
    expected = np.stack([imaging.centre(imaging.fit(imaging.read(plain.paths[row]).pixels, 48)) for row in rows])
    np.testing.assert_array_equal(images, imaging.to_network(expected))


def test_images_reach_the_network_as_float32_between_0_and_1(source):
    images, _, _ = epoch_of(source, 0)[0]
    assert (images.dtype, images.shape) == (np.float32, (4, 48, 48, 3))
    assert images.min() >= 0
    assert 0.5 < images.max() <= 1


def test_validation_keeps_the_files_order_in_every_epoch(source):
    validation = replace(source, ordered=True, augmentation="none")
    assert list(validation.order(0)) == list(validation.order(9)) == list(range(21))
    assert_same(epoch_of(validation, 0), epoch_of(validation, 9))


def test_pictures_of_every_shape_and_size_make_one_epoch_and_their_masks_stay_on_the_lesions(tmp_path):
    """Each lesion is white on black, off the centre, so that the picture itself says where its mask belongs."""
    shapes = [(110, 150), (150, 110), (120, 120), (900, 1200), (1201, 899), (101, 404), (100, 100)]
    paths, masks = ([tmp_path / f"{kind}{i}.png" for i in range(len(shapes))] for kind in ("image", "mask"))
    for (height, width), *files in zip(shapes, paths, masks, strict=True):
        pixels = np.zeros((height, width), np.uint8)
        y, x, side = height // 2, width // 2, min(height, width)
        pixels[y - side // 3 : y + side // 8, x - side // 4 : x + side // 5] = 255
        for path, made in zip(files, (np.dstack([pixels] * 3), pixels), strict=True):
            Image.fromarray(made).save(path)
    mixed = Batches(
        paths, np.eye(7, dtype=np.float32), np.ones(7, np.float32), 48, 4, "strong", 5, masks=[*masks[:-1], None]
    )

    batches = [epoch_of(mixed, 2), epoch_of(replace(mixed, ordered=True, augmentation="none"), 0)]

    for epoch, order in zip(batches, (mixed.order(2), np.arange(7)), strict=True):
        images, given = (np.concatenate([inputs[name] for inputs, *_ in epoch]) for name in ("image", "mask"))
        assert (images.shape, given.shape) == ((7, 48, 48, 3), (7, 48, 48, 1))
        white = images.mean(axis=3) > 0.5
        assert ((white.mean((1, 2)) > 0.03) & (white.mean((1, 2)) < 0.5)).all()
        for row, seen, mask in zip(order, white, given[..., 0], strict=True):
            assert np.mean(seen == (mask > 0.5)) > 0.97 if row < 6 else (mask == 1).all()


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_marked_and_blended_batches_are_the_same_whatever_thread_asks_and_others_in_another_epoch(source, kind):
    rich = replace(source, artefacts=0.5, mix=kind)
    order = rich.order(1)
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda number: rich.get(1, number, order), reversed(range(len(rich)))))

    assert_same(epoch_of(rich, 1), drawn[::-1])
    plain, blended, later = (s.get(e, 0, order) for s, e in ((source, 1), (rich, 1), (rich, 2)))
    assert (plain[0] != blended[0]).any()
    assert (blended[1] != later[1]).any()
    alone = replace(rich, targets=np.eye(21, dtype=np.float32), weights=np.ones(21, np.float32))
    shares = [alone.get(1, number, order)[1].max(axis=1) for number in range(5)]
    assert len({share.tobytes() for share in shares}) == 5, "each batch has shares of its own"


def test_artefacts_are_drawn_after_the_warp_and_leave_it_as_it_was(source):
    rare = replace(source, artefacts=1e-9)  # drawn for, but never happening
    np.testing.assert_array_equal(rare.load(3, 1, 2), source.load(3, 1, 2))
    assert (replace(source, artefacts=1.0).load(3, 1, 2) != source.load(3, 1, 2)).mean() > 0.1


def test_every_image_of_an_epoch_has_draws_of_its_own_in_later_batches_too(source):
    order = source.order(1)
    images, _, _ = source.get(1, 2, order)
    expected = np.stack([source.load(int(order[place]), 1, place) for place in range(8, 12)])
    np.testing.assert_array_equal(images, imaging.to_network(expected))


def test_each_image_is_told_of_its_own_patient_and_in_training_often_of_none(source):
    columns = ("age", "sex", "localization")
    known = [Patient(4 * row + 1, SEXES[row % 2], SITES[row % len(SITES)]) for row in range(21)]
    whole = encode(known, columns)
    told = replace(source, patients=known, columns=columns, augmentation="none")

    def patients_of(batches: Batches, epoch: int) -> np.ndarray:
        return np.concatenate([inputs["patient"] for inputs, *_ in epoch_of(batches, epoch)])

    np.testing.assert_array_equal(patients_of(replace(told, ordered=True), 3), whole)
    first, second = (dict(zip(told.order(e), patients_of(told, e), strict=True)) for e in (0, 1))
    for row in range(21):
        assert all((one[row] <= whole[row]).all() for one in (first, second)), "what is told is this patient's"
    forgotten = [{row for row in range(21) if not one[row].any()} for one in (first, second)]
    assert all(2 <= len(rows) <= 12 for rows in forgotten)
    assert forgotten[0] != forgotten[1]
    assert any(one.any() and (one != whole[row]).any() for row, one in first.items()), "or a part of it is left out"


def test_sampling_by_shares_draws_a_rare_class_as_often_as_a_common_one(source):
    rare = np.arange(400) < 20
    shares = np.where(rare, 0.5 / 20, 0.5 / 380)
    many = Batches([Path("x")] * 400, np.zeros((400, 7), np.float32), np.ones(400, np.float32), 48, 4, shares=shares)

    drawn = np.concatenate([many.order(epoch) for epoch in range(5)])

    assert len(drawn) == 2000
    assert abs(rare[drawn].mean() - 0.5) < 0.05  # 4 standard deviations of 2,000 fair throws
    assert len(set(drawn[rare[drawn]])) == 20


def test_keras_is_fed_exactly_these_batches(source):
    adapter = as_keras(source, 2)
    assert len(adapter) == len(source)
    assert_same(epoch_of(source, 2), [adapter[number] for number in range(len(adapter))])


def test_batches_need_no_deep_learning_library_and_are_the_same_in_another_process(source):
    code = (
        "import sys, hashlib, numpy as np; from skin_model.dataset.pipeline import Batches\n"
        "paths = sys.argv[1:]; n = len(paths)\n"
        "b = Batches(paths, np.eye(n, dtype=np.float32), np.ones(n, np.float32), 48, 4, 'strong', 5)\n"
        "images, _, _ = b.get(1, 0, b.order(1))\n"
        "print(hashlib.sha256(images.tobytes()).hexdigest(), *sys.modules)"
    )
    paths = [str(path) for path in source.paths[:6]]
    done = subprocess.run([sys.executable, "-c", code, *paths], cwd=ROOT, capture_output=True, text=True, check=True)
    digest, *modules = done.stdout.split()

    assert not {"tensorflow", "keras", "torch", "jax"} & set(modules)
    few = replace(source, paths=source.paths[:6], augmentation="strong")
    assert digest == hashlib.sha256(few.get(1, 0, few.order(1))[0].tobytes()).hexdigest()
