"""Drawn lesions: reproducible, told apart, and laid out as the readers of HAM10000 expect."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skin_model.dataset import drawn
from skin_model.dataset.drawn import draw_dataset, draw_lesion
from skin_model.entities import SEXES, SITES
from skin_model.errors import ConfigurationError, DatasetError
from skin_model.settings import ASSETS
from skin_model.taxonomy import BY_CODE, CODES

SMALL = {"height": 96, "width": 128}


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawings") / "set"
    draw_dataset(root, lesions_per_class=4, seed=3, extra_views=0.5, **SMALL)
    return root


def _table(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "HAM10000_metadata.csv")


def _image(root: Path, image_id: str) -> np.ndarray:
    (path,) = root.glob(f"HAM10000_images_part_*/{image_id}.jpg")
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("code", CODES)
def test_the_same_seed_draws_the_same_pixels_and_another_seed_does_not(code: str) -> None:
    image, mask = draw_lesion(code, seed=5, **SMALL)
    again, mask_again = draw_lesion(code, seed=5, **SMALL)
    other, _ = draw_lesion(code, seed=6, **SMALL)
    assert image.dtype == np.uint8
    assert image.shape == (96, 128, 3)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(mask, mask_again)
    assert np.abs(image.astype(int) - other).mean() > 5


def test_the_default_size_is_that_of_ham10000() -> None:
    image, mask = draw_lesion("nv", seed=0)
    assert image.shape == (450, 600, 3)
    assert mask.shape == (450, 600)


@pytest.mark.parametrize("code", CODES)
def test_the_mask_covers_a_lesion_that_differs_from_the_skin_around_it(code: str) -> None:
    contrasts = []
    for seed in range(6):
        image, mask = draw_lesion(code, seed=seed, **SMALL)
        assert set(np.unique(mask)) == {0, 255}
        assert 0.01 < (mask > 0).mean() < 0.8
        inside, outside = image[mask > 0].astype(float), image[mask == 0].astype(float)
        contrasts.append(np.abs(inside.mean(0) - np.median(outside, 0)).max())
    assert np.median(contrasts) > 10  # grey levels


def test_every_class_has_its_own_colours() -> None:
    """The density of each lesion over its own skin, averaged over drawings, lies nearest to its own class."""

    def densities(code: str, seeds: range) -> np.ndarray:
        rows = []
        for seed in seeds:
            image, mask = draw_lesion(code, seed=seed, **SMALL)
            skin = np.median(image[mask == 0].astype(float), 0)
            ratio = np.log(skin) - np.log(image[mask > 0].astype(float) + 1.0)
            rows.append(np.concatenate([ratio.mean(0), ratio.std(0), skin / 255.0]))
        return np.mean(rows, 0)

    known = np.array([densities(code, range(10)) for code in CODES])
    nearest = {code: CODES[int(np.argmin(((known - densities(code, range(50, 60))) ** 2).sum(1)))] for code in CODES}
    assert sum(nearest[code] == code for code in CODES) >= 5, nearest


def test_skin_colours_and_positions_vary_within_a_class() -> None:
    drawings = [draw_lesion("nv", seed=seed, **SMALL) for seed in range(16)]
    skins = np.array([np.median(image[mask == 0], 0) for image, mask in drawings])
    centres = np.array([np.argwhere(mask > 0).mean(0) for _, mask in drawings])
    areas = np.array([(mask > 0).mean() for _, mask in drawings])
    assert skins.std(0).min() > 5
    assert centres.std(0).min() > 1.5
    assert areas.max() > 2 * areas.min()


def test_a_drawn_data_set_reads_back_as_ham10000(data_set: Path) -> None:
    table = _table(data_set)
    assert list(table) == ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    assert table.image_id.is_unique
    assert table.image_id.str.match(r"^DRAWN_\d{7}$").all()
    assert table.lesion_id.str.match(r"^DRAWN_L\d{6}$").all()
    assert (table.drop_duplicates("lesion_id").dx.value_counts() == 4).all()
    assert set(table.dx) == set(CODES)
    assert table.age.dropna().between(0, 120).all()
    assert set(table.sex) <= {*SEXES, "unknown"}
    assert set(table.localization) <= {*SITES, "unknown"}
    for image_id in table.image_id:
        mask = Image.open(data_set / "HAM10000_segmentations_lesion_tschandl" / f"{image_id}_segmentation.png")
        assert mask.size == (128, 96)
        assert set(np.unique(np.asarray(mask))) == {0, 255}
        assert _image(data_set, image_id).shape == (96, 128, 3)
    parts = [len(list(data_set.glob(f"HAM10000_images_part_{part}/*.jpg"))) for part in (1, 2)]
    assert sum(parts) == len(table)
    assert min(parts) > 0


def test_some_lesions_have_several_different_pictures_and_one_history(data_set: Path) -> None:
    table = _table(data_set)
    views = [group for _, group in table.groupby("lesion_id") if len(group) > 1]
    assert views
    for group in views:
        assert (group[["dx", "dx_type", "age", "sex", "localization"]].nunique(dropna=False) == 1).all()
        first, second = (_image(data_set, image_id).astype(int) for image_id in group.image_id[:2])
        assert np.abs(first - second).mean() > 3


def test_a_large_data_set_lacks_some_ages_and_sexes_like_the_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = (np.zeros((48, 48, 3), np.uint8), np.zeros((48, 48), np.uint8))
    monkeypatch.setattr(drawn, "_draw", lambda *_: blank)
    draw_dataset(tmp_path / "set", lesions_per_class=60, height=48, width=48)
    table = _table(tmp_path / "set")
    assert 0 < table.age.isna().mean() < 0.15
    assert 0 < (table.sex == "unknown").mean() < 0.15


def test_the_same_seed_draws_the_same_data_set(data_set: Path, tmp_path: Path) -> None:
    draw_dataset(tmp_path / "again", lesions_per_class=4, seed=3, extra_views=0.5, **SMALL)
    pd.testing.assert_frame_equal(_table(data_set), _table(tmp_path / "again"))
    for image_id in _table(data_set).image_id[::7]:
        np.testing.assert_array_equal(_image(data_set, image_id), _image(tmp_path / "again", image_id))


def test_numbers_may_be_given_class_by_class_and_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    draw_dataset(
        tmp_path / "set",
        lesions_per_class={"mel": 2, "df": 1},
        extra_views=0,
        progress=lambda done, total: told.append((done, total)),
        **SMALL,
    )
    assert _table(tmp_path / "set").dx.value_counts().to_dict() == {"mel": 2, "df": 1}
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="not an empty folder"):
        draw_dataset(tmp_path, lesions_per_class=1, **SMALL)
    with pytest.raises(DatasetError, match="not an empty folder"):
        draw_dataset(tmp_path / "notes.txt", lesions_per_class=1, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    draw_dataset(tmp_path / "set", lesions_per_class={"nv": 1}, extra_views=0, **SMALL)
    assert len(_table(tmp_path / "set")) == 1


def test_an_interrupted_drawing_leaves_no_folder_behind(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert list(tmp_path.rglob("*.jpg"))
        assert not (tmp_path / "set").exists()
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_dataset(tmp_path / "set", lesions_per_class=1, progress=interrupt, **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        (lambda root: draw_lesion("wart", seed=0), "no class 'wart'"),
        (lambda root: draw_lesion("nv", seed=-1), "seed of 0 or more"),
        (lambda root: draw_lesion("nv", seed=0, height=20, width=20), "48 x 48"),
        (lambda root: draw_dataset(root, lesions_per_class={"wart": 1}), "no class 'wart'"),
        (lambda root: draw_dataset(root, lesions_per_class=0), "at least one lesion"),
        (lambda root: draw_dataset(root, extra_views=1.0), "chance of extra views"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(
    attempt: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        attempt(tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_every_class_has_a_drawn_example_of_a_clinical_upload_s_size() -> None:
    files = sorted((ASSETS / "examples").glob("*.jpg"))
    assert {path.stem.split("-")[0] for path in files} == set(BY_CODE)
    for path in files:
        with Image.open(path) as image:
            assert image.size == (600, 450)
            assert image.mode == "RGB"
        assert path.stat().st_size < 60_000
