"""The segmentation: the bundled one on lesions whose outline is known, its folder's checks, a small training."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest

from skin_model import imaging, settings
from skin_model.cli import main
from skin_model.dataset import ham10000, splits
from skin_model.dataset.drawn import draw_lesion
from skin_model.entities import Analysis, DecodedImage, Prediction
from skin_model.errors import BundleError
from skin_model.segmentation import outline
from skin_model.segmentation.outline import Segmenter, dice
from skin_model.services import outlining, segmentation
from skin_model.taxonomy import CODES

BUNDLED = settings.ASSETS / "segmentation"
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load(BUNDLED)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLED, tmp_path / "segmentation"))


def test_drawn_lesions_are_outlined_where_they_were_drawn(segmenter: Segmenter) -> None:
    found = []
    for code in CODES:
        for seed in range(3):
            pixels, truth = draw_lesion(code, seed=seed)
            found.append(dice(segmenter.mask(pixels), truth > 0))
    assert np.mean(found) >= 0.8


def test_test_lesions_are_outlined_as_well_as_the_manifest_says(segmenter: Segmenter, real_data: Path) -> None:
    """On a tenth of them, as many as take seconds."""
    rows = splits.place(ham10000.read(real_data / "ham10000").table, splits.read(real_data / "ham10000_split.csv"))
    some = rows[rows["part"] == "test"].iloc[::10]
    found = segmentation.measure(segmenter, some, lambda *_: None)
    assert found["dice"]["value"] == pytest.approx(segmenter.manifest.figures["test"]["dice"]["value"], abs=0.02)


def test_the_reach_is_met_on_the_test_lesions_of_the_fixed_split(segmenter: Segmenter, real_data: Path) -> None:
    split = splits.read(real_data / "ham10000_split.csv")
    test = segmenter.manifest.figures["test"]
    assert segmenter.manifest.data["split"] == splits.fingerprint(split)
    assert test["images"] == (split["part"] == "test").sum()
    assert test["dice"]["value"] >= 0.9


@pytest.mark.parametrize("shape", [(450, 600), (600, 450), (300, 300), (200, 900)])
def test_a_mask_has_the_size_of_its_picture(segmenter: Segmenter, shape: tuple[int, int]) -> None:
    mask = segmenter.mask(draw_lesion("nv", seed=1, height=shape[0], width=shape[1])[0])
    assert mask.shape == shape
    assert mask.dtype == bool


def test_a_mirrored_picture_has_the_mirrored_outline(segmenter: Segmenter) -> None:
    pixels, _ = draw_lesion("mel", seed=2, height=288, width=384)
    mirrored = np.ascontiguousarray(pixels[:, ::-1])
    assert dice(segmenter.mask(mirrored)[:, ::-1], segmenter.mask(pixels)) > 0.999


def test_several_threads_get_the_answers_of_one(segmenter: Segmenter) -> None:
    pictures = [draw_lesion(code, seed=5)[0] for code in CODES]
    alone = [segmenter.mask(pixels) for pixels in pictures]
    together: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        for _ in range(5):
            together[number] = segmenter.mask(pictures[number])

    threads = [Thread(target=work, args=(number,)) for number in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((together[number] == mask).all() for number, mask in enumerate(alone))


def test_holes_are_filled_and_specks_dropped_but_islands_stay() -> None:
    mask = np.zeros((100, 100), bool)
    mask[10:50, 10:50] = True
    mask[20:25, 20:25] = False  # a hole
    mask[90:93, 90:93] = True  # a speck
    mask[60:80, 60:80] = True  # a quarter of the largest
    found = outline.tidied(mask)
    assert found[22, 22]
    assert not found[91, 91]
    assert found[70, 70]
    assert not outline.tidied(np.zeros((9, 9), bool)).any()


def test_dice_is_what_its_definition_says() -> None:
    one, other = np.zeros((2, 4, 4), bool)
    one[:2], other[1:3] = True, True
    assert dice(one, other) == 0.5
    assert dice(one, one) == 1
    assert dice(one, ~one) == 0
    assert dice(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1


def test_the_bundled_files_are_small() -> None:
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 2 * 2**20


def _shorten(folder: Path) -> None:
    (folder / "serving.bin").write_bytes((folder / "serving.bin").read_bytes()[:-100])


def _without_format(folder: Path) -> None:
    raw = json.loads((folder / "manifest.json").read_text()) | {"format": 99}
    (folder / "manifest.json").write_text(json.dumps(raw))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "weights cut short": _shorten,
    "weights gone": lambda folder: (folder / "serving.bin").unlink(),
    "network changed": lambda folder: (folder / "serving.xml").write_text("<net/>"),
    "manifest gone": lambda folder: (folder / "manifest.json").unlink(),
    "manifest no JSON": lambda folder: (folder / "manifest.json").write_text("{"),
    "manifest a list": lambda folder: (folder / "manifest.json").write_text("[]"),
    "another format": _without_format,
    "no folder": shutil.rmtree,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_segmentation_is_refused_with_what_to_do(copied: Path, kind: str) -> None:
    DAMAGE[kind](copied)
    with pytest.raises(BundleError, match="Restore the folder"):
        Segmenter.load(copied)


def analysed(pixels: np.ndarray) -> Analysis:
    probabilities = np.full(7, 1 / 7, np.float32)
    image = DecodedImage(pixels, "0" * 64, ())
    return Analysis(image, imaging.judged_box(*pixels.shape[:2]), Prediction(probabilities, 0.5, "some"), {})


def test_an_analysed_picture_is_measured_in_pixels_of_the_upload() -> None:
    pixels, truth = draw_lesion("nv", seed=3)
    found = outlining.outline(analysis=analysed(pixels), uploaded=(1200, 900))
    assert found.measurements is not None
    assert found.measurements.area == pytest.approx(4 * (truth > 0).sum(), rel=0.3)
    assert 0.5 < found.dice < 1
    drawn = outlining.draw(analysis=analysed(pixels), outline=found)
    changed = (drawn != pixels).any(axis=2)
    assert changed.any()
    assert not changed[~found.mask & (truth == 0)][:10].any()


def test_a_picture_without_a_lesion_gets_a_sentence() -> None:
    found = outlining.outline(analysis=analysed(np.full((300, 400, 3), (220, 180, 165), np.uint8)), uploaded=(400, 300))
    assert found.measurements is None
    assert found.warning


def test_the_first_answer_does_not_wait_for_the_segmentation() -> None:
    code = (
        "import sys; from pages.ui import outlining; import pages.ui.explanations;"
        "print('skin_model.segmentation' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")


def test_only_lesions_of_the_folds_but_the_validation_fold_are_learned(parts: pd.DataFrame) -> None:
    rows = segmentation.learned(parts)
    assert set(rows["part"]) == {"fold1"}
    assert rows["lesion_id"].is_unique
    held_out = parts[parts["part"] != "fold1"]
    assert not set(rows["lesion_id"]) & set(held_out["lesion_id"])
    assert set(rows["lesion_id"]) == set(parts.loc[parts["part"] == "fold1", "lesion_id"])


@pytest.fixture(scope="module")
def small(drawn_data: Path, split_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of seconds, by the command."""
    out = tmp_path_factory.mktemp("made") / "segmentation"
    arguments = ["--data", str(drawn_data), "--split", str(split_file), "--out", str(out), "--epochs", "2"]
    assert main(["segmentation", *arguments]) == 0
    return out


def test_the_command_writes_a_segmentation_with_its_figures(small: Path, parts: pd.DataFrame) -> None:
    made = Segmenter.load(small)
    test = made.manifest.figures["test"]
    low, high = test["dice"]["interval"]
    assert low <= test["dice"]["value"] <= high
    assert test["images"] == (parts["part"] == "test").sum()
    assert made.manifest.data["name"] == "drawn lesions"
    assert made.mask(draw_lesion("nv", seed=0)[0]).shape == (450, 600)
    assert [path.name for path in small.parent.iterdir()] == ["segmentation"], "nothing else stays behind"


def test_what_cannot_be_made_is_refused_and_nothing_is_written(
    small: Path, drawn_data: Path, split_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(data: Path = drawn_data, split: Path = split_file, out: Path = tmp_path / "out", epochs: int = 1) -> str:
        places = ["--data", str(data), "--split", str(split), "--out", str(out), "--epochs", str(epochs)]
        assert main(["segmentation", *places]) == 2
        return capsys.readouterr().err

    leaky = tmp_path / "leaky.csv"
    table = pd.read_csv(split_file)
    table.loc[table["part"] == "fold1", "lesion_id"] = table.loc[table["part"] == "test", "lesion_id"].iloc[0]
    table.to_csv(leaky, index=False)
    bare = Path(shutil.copytree(drawn_data, tmp_path / "bare"))
    shutil.rmtree(bare / "HAM10000_segmentations_lesion_tschandl")
    assert "already exists" in said(out=small)
    assert "at least 1" in said(epochs=0)
    assert "in two parts" in said(split=leaky)
    assert "no lesion mask" in said(data=bare)
    assert not (tmp_path / "out").exists()
