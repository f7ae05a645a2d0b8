"""The quality gate on drawn lesions, on real ones where they lie beside the repository, and on both spoiled."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.degradations import spoiled
from skin_model import imaging, quality
from skin_model.dataset.drawn import draw_lesion
from skin_model.entities import CARE, FINE, OUTCOMES, REFUSED, Finding, QualityReport
from skin_model.measures import SIDE, find_lesion, measures
from skin_model.taxonomy import CODES


def square(pixels: np.ndarray, size: int = SIDE) -> np.ndarray:
    return imaging.centre(imaging.fit(pixels, size))


@pytest.fixture(scope="module")
def drawings() -> list[tuple[np.ndarray, np.ndarray]]:
    return [draw_lesion(code, seed=seed) for seed in range(4) for code in CODES]


@pytest.fixture(scope="module")
def photographs(real_data: Path) -> list[np.ndarray]:
    return [imaging.read(path).pixels for path in sorted((real_data / "full_size_examples").glob("*.jpg"))]


def names(pixels: np.ndarray) -> set[str]:
    return {finding.name for finding in quality.inspect(square(pixels)).findings}


def test_no_drawn_lesion_is_refused(drawings: list[tuple[np.ndarray, np.ndarray]]) -> None:
    reports = [quality.inspect(square(pixels)) for pixels, _ in drawings]
    assert not [report for report in reports if report.outcome == REFUSED]


def test_real_lesions_are_hardly_ever_warned_of_and_never_refused(photographs: list[np.ndarray]) -> None:
    outcomes = [quality.inspect(square(pixels)).outcome for pixels in photographs]
    assert REFUSED not in outcomes
    assert outcomes.count(FINE) >= 0.8 * len(outcomes)


GROSS = [
    ("defocus", "blur"), ("noise", "noise"), ("darkness", "dark"), ("light", "bright"), ("hair", "hair"),
    ("ink", "ink"), ("ruler", "ruler"), ("bubbles", "bubbles"), ("glare", "glare"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), GROSS)
def test_what_spoils_a_real_picture_is_named(photographs: list[np.ndarray], kind: str, name: str) -> None:
    some = photographs[::2]
    found = [name in names(spoiled(pixels, kind, 3, seed)) for seed, pixels in enumerate(some)]
    assert np.mean(found) > 0.7
    assert np.mean([name in names(pixels) for pixels in some]) < 0.15


@pytest.mark.parametrize(("kind", "name"), [case for case in GROSS if case[0] in ("defocus", "darkness", "glare")])
def test_what_spoils_a_drawn_picture_is_named(
    drawings: list[tuple[np.ndarray, np.ndarray]], kind: str, name: str
) -> None:
    found = [name in names(spoiled(pixels, kind, 3, seed)) for seed, (pixels, _) in enumerate(drawings[::2])]
    assert np.mean(found) > 0.7


def test_gross_blur_and_the_dark_are_refused_with_what_to_do(drawings: list[tuple[np.ndarray, np.ndarray]]) -> None:
    pixels = drawings[5][0]
    blurred = quality.inspect(square(cv2.GaussianBlur(pixels, (0, 0), 12)))
    assert blurred.outcome == REFUSED
    assert "Focus on the lesion" in blurred.reasons[0].sentence
    dark = quality.inspect(square(spoiled(pixels, "darkness", 3, 0)))
    assert dark.outcome == REFUSED
    assert "too dark" in " ".join(finding.sentence for finding in dark.reasons)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (222, 160, 150), (40, 80, 200)])
def test_a_picture_of_one_colour_is_refused_because_there_is_nothing_in_it(colour: tuple[int, int, int]) -> None:
    report = quality.inspect(np.full((SIDE, SIDE, 3), colour, np.uint8))
    assert report.outcome == REFUSED
    assert report.findings[0].name == "blank"
    assert "nothing in it to judge" in report.findings[0].sentence


def test_the_gravest_finding_comes_first(
    drawings: list[tuple[np.ndarray, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = square(drawings[0][0])
    soft_and_black = measures(pixels) | {"focus": -0.5, "brightness": 20.0, "hair": 0.1}
    monkeypatch.setattr(quality, "measures", lambda _: soft_and_black)
    found = quality.inspect(pixels).findings
    assert [(f.name, f.outcome) for f in found] == [("dark", REFUSED), ("blur", CARE), ("hair", CARE)]


LIMITS = [  # name, measure, and the values from which on it is careful and refuses; None where it never does
    ("blank", "variation", None, 2.5), ("blur", "focus", -0.4, -1.45), ("noise", "focus", 1.25, None),
    ("dark", "brightness", 70, 35), ("bright", "burnt", 0.4, 0.7), ("small", "area", 0.02, None),
    ("cut off", "edge", 0.22, None), ("no lesion", "contrast", 10, None), ("hair", "hair", 0.08, None),
    ("ink", "ink", 0.004, None), ("ruler", "ruler", 7, None), ("bubbles", "bubbles", 14, None),
    ("glare", "glare", 0.004, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "measure", "care", "refuse"), LIMITS)
def test_each_measure_is_told_of_from_its_limits_on_and_not_before(
    name: str, measure: str, care: float | None, refuse: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits are those that docs/experiments.md gives error rates for."""
    fine = {"variation": 30.0, "focus": 0.0, "brightness": 150.0, "burnt": 0.0, "area": 0.3, "edge": 0.0,
            "contrast": 60.0, "hair": 0.0, "ink": 0.0, "ruler": 0.0, "bubbles": 0.0, "glare": 0.0}  # fmt: skip
    pixels = np.zeros((8, 8, 3), np.uint8)

    def outcome(value: float) -> str:
        monkeypatch.setattr(quality, "measures", lambda _: fine | {measure: value})
        told = {finding.name: finding.outcome for finding in quality.inspect(pixels).findings}
        assert told.keys() <= {name}
        return told.get(name, FINE)

    for limit, before, after in ((care, FINE, CARE), (refuse, CARE if care is not None else FINE, REFUSED)):
        if limit is not None:
            step = 0.001 * abs(limit) * (1 if limit > fine[measure] else -1)
            assert (outcome(limit - step), outcome(limit), outcome(limit + step)) == (before, after, after)
    far = 1e6 if (care if care is not None else refuse) > fine[measure] else -1e6
    assert outcome(far) == (REFUSED if refuse is not None else CARE)


def test_a_lesion_that_fills_the_picture_and_one_that_is_not_in_it_are_told(real_data: Path) -> None:
    filling = missing = total = 0
    for path in sorted((real_data / "full_size_examples").glob("*.jpg")):
        pixels = imaging.read(path).pixels
        lesion = find_lesion(square(pixels))
        if not (0.15 < lesion.mask.mean() < 0.4 and lesion.contrast > 50 and lesion.edge == 0):
            continue  # only those that lie well inside
        total += 1
        rows, columns = np.nonzero(cv2.resize(lesion.mask.astype(np.uint8), (450, 450)))
        y, x = int(np.median(rows)), int(np.median(columns)) + 75
        inside = pixels[max(y - 55, 0) : y + 55, max(x - 55, 0) : x + 55]
        filling += bool(names(inside) & {"cut off", "no lesion", "blur"})
        missing += bool(names(pixels[:110, :110]) & {"cut off", "no lesion", "small", "blur"})
    assert total > 5
    assert filling > 0.6 * total
    assert missing > 0.6 * total


def test_the_lesion_is_found_about_where_its_mask_says(real_data: Path) -> None:
    masks = sorted((real_data / "ham10000" / "HAM10000_segmentations_lesion_tschandl").glob("*.png"))[::100]
    overlaps, shares = [], []
    for mask in masks:
        (path,) = (real_data / "ham10000").glob(f"HAM10000_images_part_*/{mask.stem.removesuffix('_segmentation')}.jpg")
        truth = cv2.resize(imaging.centre(cv2.imread(str(mask))), (48, 48), interpolation=cv2.INTER_AREA)[..., 0] > 127
        found = find_lesion(square(imaging.read(path).pixels)).mask
        overlaps.append((found & truth).sum() / (found | truth).sum())
        shares.append((found.mean(), truth.mean()))
    assert np.median(overlaps) > 0.7
    assert np.corrcoef(np.array(shares).T)[0, 1] > 0.75


def test_the_dark_tube_of_the_dermatoscope_is_not_taken_for_the_lesion() -> None:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    off = np.hypot(x, y)
    picture = np.full((SIDE, SIDE, 3), (215, 160, 150), np.float64)
    picture[off < 25] = (110, 60, 50)
    picture[off > 0.54 * SIDE] = (12, 10, 10)
    grain = np.random.default_rng(0).normal(0, 3, picture.shape)
    lesion = find_lesion(np.clip(picture + grain, 0, 255).astype(np.uint8))
    assert lesion.mask.mean() == pytest.approx(np.pi * 25**2 / SIDE**2, rel=0.3)
    assert lesion.edge == 0


def test_a_blue_lesion_is_no_ink() -> None:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    picture = np.full((SIDE, SIDE, 3), (215, 165, 150), np.uint8)
    picture[np.hypot(x, y) < 45] = (50, 65, 120)
    assert measures(picture)["ink"] == 0
    picture[:12] = (50, 65, 170)
    assert measures(picture)["ink"] > 0.03


def test_the_gravest_finding_decides_and_gives_the_reasons() -> None:
    careful, refusing = Finding("hair", CARE, "Hair.", 1.0), Finding("blank", REFUSED, "Nothing.", 0.0)
    assert QualityReport().outcome == FINE
    assert QualityReport((careful,)).outcome == CARE
    both = QualityReport((careful, refusing))
    assert both.outcome == REFUSED
    assert both.reasons == (refusing,)
    assert both.to_json()["findings"][0] == {"name": "hair", "outcome": CARE, "sentence": "Hair."}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([32, 64, 100, 192, 224, 300]), st.integers(0, 7))
def test_whatever_the_picture_every_measure_is_a_number_and_the_outcome_one_of_three(
    seed: int, side: int, bits: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8) >> bits
    assert all(np.isfinite(value) for value in measures(pixels).values())
    assert quality.inspect(pixels).outcome in OUTCOMES
