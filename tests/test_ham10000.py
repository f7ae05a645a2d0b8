"""Reading and validating HAM10000's layout and an ISIC challenge folder."""

import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skin_model import imaging
from skin_model.dataset import ham10000
from skin_model.errors import DatasetError
from skin_model.taxonomy import CODES

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
needs_ham10000 = pytest.mark.skipif(not (DATA / "ham10000").is_dir(), reason="HAM10000 is not beside the repository")

HEADER = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
ONE_HOT = ["image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]


def draw_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (100, 120, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def make_rows(count: int = 14) -> list[list[str]]:
    """Two images of one lesion for each class, in descending order of their ids."""
    rows = [[f"L{i // 2}", f"I{i:02}", CODES[i // 2 % 7], "histo", "45.0", "male", "back"] for i in range(count)]
    return rows[::-1]


def write_table(path: Path, rows: list[list[str]], header: list[str] = HEADER) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n", encoding="utf-8")


def make_ham10000(root: Path, rows: list[list[str]], folders: tuple[str, ...] = ("HAM10000_images_part_1",)) -> None:
    write_table(root / "HAM10000_metadata.csv", rows)
    for number, image_id in enumerate(dict.fromkeys(row[1] for row in rows)):
        draw_image(root / folders[number % len(folders)] / f"{image_id}.png", seed=number)


@pytest.mark.parametrize(
    ("folders", "metadata"),
    [
        (("HAM10000_images_part_1", "HAM10000_images_part_2"), "HAM10000_metadata.csv"),
        (("ham10000_images_part_1", "ham10000_images_part_2"), "HAM10000_metadata"),
        (("all pictures",), "HAM10000_metadata"),
        ((".",), "ham10000_metadata.csv"),
        (("HAM10000_images_part_1/unpacked/twice",), "HAM10000_metadata.tab"),
    ],
)
def test_every_public_form_of_the_layout_gives_the_same_table(tmp_path, folders, metadata):
    make_ham10000(tmp_path, make_rows(), folders)
    table = tmp_path / "HAM10000_metadata.csv"
    text = table.read_text()
    table.unlink()
    (tmp_path / metadata).write_text(text.replace(",", "\t") if metadata.endswith(".tab") else text)

    data = ham10000.read(tmp_path)

    assert data.kind == "HAM10000"
    assert tuple(data.table.columns) == ham10000.COLUMNS
    assert list(data.table["image_id"]) == [f"I{i:02}" for i in range(14)]
    assert list(data.table["dx"]) == [CODES[i // 2] for i in range(14)]
    assert [path.stem for path in data.table["path"]] == list(data.table["image_id"])
    assert all(path.is_file() for path in data.table["path"])
    assert list(data.table["mask"]) == [None] * 14


def test_a_byte_order_mark_or_semicolons_from_a_spreadsheet_do_not_change_the_table(tmp_path):
    make_ham10000(tmp_path, make_rows())
    plain = ham10000.read(tmp_path).table
    table = tmp_path / "HAM10000_metadata.csv"
    table.write_text("\ufeff" + table.read_text().replace(",", ";"), encoding="utf-8")

    pd.testing.assert_frame_equal(ham10000.read(tmp_path).table, plain)


@pytest.mark.parametrize("part", ["HAM_1,I99", "HAM_1,I05,nv,histo,40", ""])
def test_a_table_that_breaks_off_in_the_middle_of_a_row_is_refused_and_one_without_a_last_line_end_is_read(
    tmp_path, part
):
    make_ham10000(tmp_path, make_rows())
    table = tmp_path / "HAM10000_metadata.csv"
    table.write_text(table.read_text() + part if part else table.read_text().rstrip())
    if part:
        with pytest.raises(DatasetError, match=r"HAM10000_metadata\.csv breaks off .* Download or copy it again"):
            ham10000.read(tmp_path)
    else:
        assert len(ham10000.read(tmp_path).table) == len(make_rows())


def test_a_comma_too_many_at_the_end_of_each_row_does_not_shift_the_columns(tmp_path):
    make_ham10000(tmp_path, make_rows())
    plain = ham10000.read(tmp_path).table
    write_table(tmp_path / "HAM10000_metadata.csv", [[*row, ""] for row in make_rows()])

    pd.testing.assert_frame_equal(ham10000.read(tmp_path).table, plain)


@pytest.mark.parametrize("place", [0, 3, 7])
def test_a_further_column_such_as_dataset_in_newer_copies_of_the_metadata_does_not_change_the_table(tmp_path, place):
    make_ham10000(tmp_path, make_rows())
    plain = ham10000.read(tmp_path).table
    rows = [[*row[:place], cell, *row[place:]] for row, cell in zip(make_rows(), ["vidir_modern", ""] * 7, strict=True)]
    header = [*HEADER[:place], "dataset", *HEADER[place:]]
    write_table(tmp_path / "HAM10000_metadata.csv", rows, header)

    pd.testing.assert_frame_equal(ham10000.read(tmp_path).table, plain)
    assert ham10000.validate(tmp_path) == []


def test_masks_are_found_where_there_are_any_and_are_not_taken_for_images(tmp_path):
    make_ham10000(tmp_path, make_rows())
    draw_image(tmp_path / "HAM10000_segmentations_lesion_tschandl" / "I03_segmentation.png", seed=99)

    table = ham10000.read(tmp_path).table.set_index("image_id")

    assert table.loc["I03", "mask"].name == "I03_segmentation.png"
    assert table.loc["I04", "mask"] is None
    assert ham10000.validate(tmp_path) == []


def test_unknown_sex_site_and_age_become_missing_and_known_ones_stay(tmp_path):
    rows = make_rows()
    rows[-1][4:] = ["", "unknown", "unknown"]  # I00
    rows[-2][4:] = ["0.0", "Female", "face"]  # I01
    make_ham10000(tmp_path, rows)

    table = ham10000.read(tmp_path).table

    assert table.loc[0, ["age", "sex", "localization"]].isna().all()
    assert list(table.loc[1, ["age", "sex", "localization"]]) == [0.0, "female", "face"]
    assert table["age"].dtype == float


def test_other_image_folders_beside_the_data_set_are_left_alone(tmp_path):
    make_ham10000(tmp_path, make_rows())
    draw_image(tmp_path / "ISIC2018_Task3_Test_Images" / "ISIC_0034524.png", seed=99)

    assert ham10000.validate(tmp_path) == []


def make_challenge(root: Path, header: list[str] = ONE_HOT) -> None:
    rows = [[f"I{i}", *("1.0" if name.lower() == CODES[i] else "0.0" for name in header[1:])] for i in range(7)]
    write_table(root / "ISIC2018_Task3_Validation_GroundTruth.csv", rows, header)
    for i in range(7):
        draw_image(root / "ISIC2018_Task3_Validation_Input" / f"I{i}.jpg", seed=i)


@pytest.mark.parametrize("header", [ONE_HOT, ["image", *ONE_HOT[:0:-1]]])
def test_a_one_hot_ground_truth_gives_the_diagnosis_whatever_the_order_of_its_columns(tmp_path, header):
    make_challenge(tmp_path, header)

    data = ham10000.read(tmp_path)

    assert data.kind == "ISIC challenge"
    assert tuple(data.table["dx"]) == CODES
    assert data.table["lesion_id"].isna().all()


def test_a_ground_truth_in_its_own_folder_is_found(tmp_path):
    make_challenge(tmp_path)
    name = "ISIC2018_Task3_Validation_GroundTruth"
    (tmp_path / name).mkdir()
    (tmp_path / f"{name}.csv").rename(tmp_path / name / f"{name}.csv")

    assert len(ham10000.read(tmp_path).table) == 7


def test_a_row_with_two_classes_or_none_has_no_known_diagnosis(tmp_path):
    make_challenge(tmp_path)
    table = tmp_path / "ISIC2018_Task3_Validation_GroundTruth.csv"
    lines = table.read_text().splitlines()
    lines[1], lines[2] = "I0,1,1,0,0,0,0,0", "I1,0,0,0,0,0,0,0"
    table.write_text("\n".join(lines))

    with pytest.raises(DatasetError, match=r"without a single known diagnosis: 2 \(I0, I1\)"):
        ham10000.read(tmp_path)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (["note", "dx", "image_id"], [["x", "mel", "A"], ["y", "nv", "B"]]),
        (["image", "VASC", "NV", "score", "MEL", "BCC", "AKIEC", "DF", "BKL"],
         [["A", "0", "0", "0.3", "1", "0", "0", "0", "0"], ["B.jpg", "0", "1", "1", *"00000"]]),
    ],
)  # fmt: skip
def test_either_form_of_labels_is_known_by_its_header_and_extra_columns_are_ignored(tmp_path, header, rows):
    write_table(tmp_path / "labels.csv", rows, header)
    for number, name in enumerate(["A.jpg", "deep/er/B.png", "without a row.jpg"]):
        draw_image(tmp_path / "images" / name, seed=number)

    table = ham10000.read_labelled(tmp_path / "images", tmp_path / "labels.csv").table

    assert list(zip(table["image_id"], table["dx"], strict=True)) == [("A", "mel"), ("B", "nv")]
    assert list(table["path"]) == [tmp_path / "images" / "A.jpg", tmp_path / "images" / "deep/er/B.png"]


@pytest.mark.parametrize("ending", ["_segmentation", ""])
def test_masks_below_a_labelled_folder_are_not_taken_for_images_whatever_comes_first(tmp_path, ending):
    write_table(tmp_path / "labels.csv", [["A", "mel"], ["B", "nv"]], ["image_id", "dx"])
    for number, name in enumerate(["pictures/A.png", "pictures/B.png", f"lesion_segmentations/A{ending}.png"]):
        draw_image(tmp_path / "all" / name, seed=number)

    table = ham10000.read_labelled(tmp_path / "all", tmp_path / "labels.csv").table

    assert list(table["path"]) == [tmp_path / "all" / "pictures" / name for name in ("A.png", "B.png")]
    assert list(table["mask"]) == [tmp_path / "all" / "lesion_segmentations" / f"A{ending}.png", None]


def test_labels_whose_images_are_missing_are_refused_with_their_number_and_names(tmp_path):
    write_table(tmp_path / "labels.csv", [["A", "mel"], ["B", "nv"], ["C", "nv"]], ["image_id", "dx"])
    draw_image(tmp_path / "images" / "B.jpg", seed=1)

    with pytest.raises(DatasetError, match=r"without an image file: 2 \(A, C\)"):
        ham10000.read_labelled(tmp_path / "images", tmp_path / "labels.csv")


@pytest.mark.parametrize("header", [["picture", "class"], ["image", *ONE_HOT[2:]], ["image_id", "diagnosis"]])
def test_labels_of_neither_form_are_refused_naming_what_they_lack(tmp_path, header):
    write_table(tmp_path / "labels.csv", [["A"] + ["0"] * (len(header) - 1)], header)
    draw_image(tmp_path / "images" / "A.jpg", seed=1)

    with pytest.raises(DatasetError, match=r"Columns that the table lacks: [12] "):
        ham10000.read_labelled(tmp_path / "images", tmp_path / "labels.csv")


def test_a_picture_given_as_labels_is_refused(tmp_path):
    draw_image(tmp_path / "images" / "A.jpg", seed=1)

    with pytest.raises(DatasetError, match=r"is no table that can be read.*Give a CSV file"):
        ham10000.read_labelled(tmp_path / "images", tmp_path / "images" / "A.jpg")


def test_validate_reports_every_problem_at_once(tmp_path):
    rows = [row for row in make_rows() if row[2] != "df"]
    rows += [["L0", "I00", "akiec", "histo", "45", "male", "back"]]  # a second row
    rows += [["L20", f"X{i}", "scc", "histo", "45", "male", "back"] for i in range(6)]
    rows += [
        ["L0", "Y0", "mel", "histo", "130", "male", "back"],
        ["L21", "Y1", "mel", "histo", "old", "m", "anterior torso"],
    ]
    make_ham10000(tmp_path, rows)
    folder = tmp_path / "HAM10000_images_part_1"
    (folder / "I02.png").unlink()
    (folder / "I03.png").write_bytes(b"")
    (folder / "I04.png").write_text("no picture")
    draw_image(folder / "stray.png", seed=99)
    (folder / "I09.png").write_bytes((folder / "I08.png").read_bytes())  # one lesion
    (folder / "I12.png").write_bytes((folder / "I10.png").read_bytes())  # two lesions
    draw_image(tmp_path / "HAM10000_images_part_2" / "I05.png", seed=98)

    problems = {p.kind: (p.count, p.examples, p.fatal) for p in ham10000.validate(tmp_path)}

    assert problems == {
        "unknown dx": (6, tuple(f"X{i} scc" for i in range(5)), True),
        "duplicate image_id": (1, ("I00",), True),
        "missing image": (1, ("I02",), True),
        "lesion with two diagnoses": (1, ("L0 akiec and mel",), True),
        "unreadable image": (1, ("I04",), True),
        "empty file": (1, ("I03",), True),
        "identical pixels under two lesions": (1, ("I10 = I12",), True),
        "identical pixels in one lesion": (1, ("I08 = I09",), False),
        "age out of range": (2, ("Y0 130", "Y1 old"), False),
        "sex or site in other words": (2, ("Y1 m", "Y1 anterior torso"), False),
        "empty class": (1, ("df",), False),
        "image without row": (1, ("stray",), False),
        "image file twice": (1, ("I05",), False),
    }


def test_validate_names_the_images_whose_mask_would_stop_a_training(tmp_path):
    make_ham10000(tmp_path, make_rows())
    masks = tmp_path / "HAM10000_segmentations_lesion_tschandl"
    masks.mkdir()
    for name, size in (("I00", (140, 120)), ("I01", (120, 140))):
        cv2.imwrite(str(masks / f"{name}_segmentation.png"), np.zeros(size, np.uint8))
    (masks / "I02_segmentation.png").write_bytes(b"no picture")
    height, width = imaging.read(tmp_path / "HAM10000_images_part_1" / "I00.png").pixels.shape[:2]
    cv2.imwrite(str(masks / "I03_segmentation.png"), np.full((height, width), 255, np.uint8))
    cv2.imwrite(str(masks / "I04_segmentation.png"), np.ones((height, width), np.uint8))  # 1 on the lesion
    (problem,) = (p for p in ham10000.validate(tmp_path) if p.fatal)
    assert (problem.kind, problem.examples) == ("unusable mask", ("I00", "I01", "I02", "I04"))
    assert "Put the right ones there, or take them away." in problem.sentence


def test_a_sentence_says_how_many_there_are_shows_five_and_tells_what_to_do():
    problem = ham10000.Problem("missing image", (*"ABCDE", *map(str, range(1229))), True)

    assert problem.sentence == (
        "Rows without an image file: 1,234 (A, B, C, D, E, ...). Unpack the archives or put the files back, "
        "or remove the rows."
    )


def test_identical_images_of_unknown_lesions_count_as_two_lesions(tmp_path):
    make_challenge(tmp_path)
    folder = tmp_path / "ISIC2018_Task3_Validation_Input"
    (folder / "I1.jpg").write_bytes((folder / "I0.jpg").read_bytes())

    problem, unknown = ham10000.validate(tmp_path)

    assert (problem.kind, problem.examples) == ("identical pixels under two lesions", ("I0 = I1",))
    assert (unknown.kind, unknown.count, unknown.fatal) == ("unknown lesion", 7, False)


def test_identical_pixels_are_found_in_files_of_different_kinds(tmp_path):
    make_ham10000(tmp_path, make_rows())
    folder = tmp_path / "HAM10000_images_part_1"
    with Image.open(folder / "I10.png") as image:
        image.save(folder / "I12.bmp")
    (folder / "I12.png").unlink()

    assert [problem.examples for problem in ham10000.validate(tmp_path)] == [("I10 = I12",)]


def test_progress_counts_every_image(tmp_path):
    make_ham10000(tmp_path, make_rows())
    seen: list[tuple[int, int]] = []

    ham10000.validate(tmp_path, lambda done, total: seen.append((done, total)))

    assert seen == [(i, 14) for i in range(1, 15)]


def test_breaking_off_ends_at_once(tmp_path, monkeypatch):
    """As a click on the page does while a folder of ten thousand images is being registered."""
    make_ham10000(tmp_path, make_rows(200))
    looked_at: list[Path] = []

    def look_at(path: Path, mask: Path | None) -> tuple[str, str]:
        looked_at.append(path)
        time.sleep(0.01)
        return "", ""

    def broken_off(done: int, total: int) -> None:
        raise InterruptedError

    monkeypatch.setattr(ham10000, "_look_at", look_at)
    with pytest.raises(InterruptedError):
        ham10000.validate(tmp_path, broken_off)
    assert len(looked_at) < 100


def test_a_damaged_file_beside_the_data_set_and_words_in_capitals_are_no_problems(tmp_path):
    rows = make_rows()
    for row in rows:
        row[HEADER.index("sex")] = "Male"
        row[HEADER.index("localization")] = "Back"
    make_ham10000(tmp_path, rows)
    (tmp_path / "HAM10000_images_part_1" / "stray.jpg").write_bytes(b"no picture")
    assert [problem.kind for problem in ham10000.validate(tmp_path)] == ["image without row"]
    assert set(ham10000.read(tmp_path).table["sex"]) == {"male"}


def test_linked_folders_of_images_and_masks_further_down_are_found_with_labels_from_elsewhere(tmp_path):
    make_ham10000(tmp_path / "real", make_rows())
    (tmp_path / "images" / "a_segmentations" / "all").mkdir(parents=True)
    (tmp_path / "images" / "linked").symlink_to(tmp_path / "real" / "HAM10000_images_part_1")
    image = imaging.read(tmp_path / "real" / "HAM10000_images_part_1" / "I00.png").pixels
    mask = tmp_path / "images" / "a_segmentations" / "all" / "I00.png"
    cv2.imwrite(str(mask), np.full(image.shape[:2], 255, np.uint8))
    found = ham10000.read_labelled(tmp_path / "images", tmp_path / "real" / "HAM10000_metadata.csv").table
    assert len(found) == 14
    assert {path.parent.name for path in found["path"]} == {"linked"}
    assert found.set_index("image_id")["mask"]["I00"] == mask


@pytest.mark.parametrize("column", range(7))
def test_a_missing_column_is_reported_by_name_and_refused(tmp_path, column):
    make_ham10000(tmp_path, make_rows())
    cut = [[*row[:column], *row[column + 1 :]] for row in [HEADER, *make_rows()]]
    write_table(tmp_path / "HAM10000_metadata.csv", cut[1:], cut[0])

    [problem] = ham10000.validate(tmp_path)[:1]

    assert (problem.kind, problem.examples, problem.fatal) == ("missing column", (HEADER[column],), True)
    with pytest.raises(DatasetError, match=rf"1 \({HEADER[column]}\).*dataset validate {tmp_path}"):
        ham10000.read(tmp_path)


@pytest.mark.parametrize("text", ["", "\n", ",".join(HEADER) + "\n"])
def test_a_table_without_rows_is_reported_and_refused(tmp_path, text):
    make_ham10000(tmp_path, make_rows())
    (tmp_path / "HAM10000_metadata.csv").write_text(text)

    [problem] = ham10000.validate(tmp_path)

    assert (problem.kind, problem.examples, problem.fatal) == ("empty file", ("HAM10000_metadata.csv",), True)
    with pytest.raises(DatasetError, match=r"empty: 1 \(HAM10000_metadata.csv\)"):
        ham10000.read(tmp_path)


def test_a_table_without_any_of_its_images_is_refused(tmp_path):
    write_table(tmp_path / "HAM10000_metadata.csv", make_rows())

    with pytest.raises(DatasetError, match=r"without an image file: 14 \(I00, I01, I02, I03, I04, \.\.\.\)"):
        ham10000.read(tmp_path)


def test_an_image_with_two_rows_is_refused(tmp_path):
    make_ham10000(tmp_path, [*make_rows(), make_rows()[0]])

    with pytest.raises(DatasetError, match=r"more than one row: 1 \(I13\)"):
        ham10000.read(tmp_path)


@pytest.mark.parametrize("use", [ham10000.read, ham10000.validate])
def test_an_unknown_layout_says_what_was_looked_for_and_where_ham10000_is(tmp_path, use):
    draw_image(tmp_path / "pictures" / "A.jpg", seed=1)

    with pytest.raises(DatasetError, match=r"HAM10000_metadata.*_GroundTruth\.csv.*doi:10\.7910/DVN/DBW86T"):
        use(tmp_path)
    with pytest.raises(DatasetError, match="There is no folder"):
        use(tmp_path / "nowhere")


@needs_ham10000
def test_a_part_of_ham10000_has_no_fatal_problem_and_its_two_identical_pairs_are_noted(tmp_path):
    pairs = ["ISIC_0024366", "ISIC_0029861", "ISIC_0024777", "ISIC_0029938"]
    table = ham10000.read(DATA / "ham10000").table
    chosen = table[table["image_id"].isin(pairs) | (table.index < 200)]
    chosen[HEADER].to_csv(tmp_path / "HAM10000_metadata.csv", index=False)
    for path in chosen["path"]:
        (tmp_path / "images").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "images")

    problems = ham10000.validate(tmp_path)

    noted = ("identical pixels in one lesion", ("ISIC_0024366 = ISIC_0029861", "ISIC_0024777 = ISIC_0029938"))
    assert [(p.kind, p.examples) for p in problems] == [noted]
    assert not problems[0].fatal


@needs_ham10000
def test_ham10000_itself_reads_with_its_published_numbers():
    table = ham10000.read(DATA / "ham10000").table

    counts = {"akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142}
    assert table["dx"].value_counts().to_dict() == counts
    assert table["lesion_id"].nunique() == 7470
    assert table[["age", "sex", "localization"]].isna().sum().to_list() == [57, 57, 234]
    assert table["mask"].notna().all()


@pytest.mark.skipif(
    not (DATA / "isic2018_task3_validation").is_dir(),
    reason="ISIC 2018 validation is not beside the repository",
)
def test_the_isic_2018_validation_images_read_as_193_rows():
    table = ham10000.read(DATA / "isic2018_task3_validation").table

    assert len(table) == 193
    assert table["dx"].value_counts().to_dict() == {
        "nv": 123, "bkl": 22, "mel": 21, "bcc": 15, "akiec": 8, "vasc": 3, "df": 1,
    }  # fmt: skip
