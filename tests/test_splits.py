"""Splits by lesion: properties of the draw, and the table on disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_model.dataset import splits
from skin_model.errors import ConfigurationError, DatasetError
from skin_model.taxonomy import CODES

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
needs_split = pytest.mark.skipif(
    not (DATA / "ham10000_split.csv").is_file(), reason="the published split is not beside the repository"
)

PARTS = ("test", "calibration", *(f"fold{i}" for i in range(5)))

# images of each lesion, class by class: 7 lesions is the fewest that 7 parts allow
lesion_sizes = st.lists(st.lists(st.integers(1, 6), min_size=7, max_size=25), min_size=7, max_size=7)
seeds = st.integers(0, 2**32 - 1)


def make_table(sizes: list[list[int]], unknown_singles: bool = False) -> pd.DataFrame:
    rows = [
        (f"I{c}_{number}_{i}", None if unknown_singles and images == 1 else f"L{c}_{number}", CODES[c])
        for c, lesions in enumerate(sizes)
        for number, images in enumerate(lesions)
        for i in range(images)
    ]
    return pd.DataFrame(rows, columns=["image_id", "lesion_id", "dx"])


@settings(deadline=None, max_examples=30)
@given(lesion_sizes, seeds, st.booleans())
def test_two_images_of_one_lesion_never_fall_into_different_splits(sizes, seed, unknown):
    split = splits.draw(make_table(sizes, unknown), seed=seed)

    assert (split.groupby("lesion_id")["part"].nunique() == 1).all()


@settings(deadline=None, max_examples=30)
@given(lesion_sizes, seeds, st.booleans())
def test_every_image_lies_in_exactly_one_part_with_its_own_labels(sizes, seed, unknown):
    table = make_table(sizes, unknown)
    split = splits.draw(table, seed=seed)

    expected = table.sort_values("image_id", ignore_index=True)
    pd.testing.assert_frame_equal(split[["image_id", "lesion_id", "dx"]], expected)
    assert set(split["part"]) == set(PARTS)


@settings(deadline=None, max_examples=30)
@given(lesion_sizes, seeds, st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_no_part_exceeds_its_share_of_a_class_by_more_than_a_lesion_and_none_lacks_one(sizes, seed, test, calibration):
    split = splits.draw(make_table(sizes), seed=seed, test_share=test, calibration_share=calibration)

    shares = {"test": test, "calibration": calibration}
    counts = split.groupby(["dx", "part"]).size()
    for code, lesions in zip(CODES, sizes, strict=True):
        for part in PARTS:
            share = shares.get(part, (1 - test - calibration) / 5)
            assert 1 <= counts[code, part] <= share * sum(lesions) + max(lesions)


@settings(deadline=None, max_examples=20)
@given(lesion_sizes, seeds, st.randoms(use_true_random=False))
def test_the_same_seed_gives_the_same_split_whatever_the_order_of_the_rows(sizes, seed, random):
    table = make_table(sizes)
    order = list(range(len(table)))
    random.shuffle(order)

    pd.testing.assert_frame_equal(splits.draw(table.iloc[order], seed=seed), splits.draw(table, seed=seed))


def test_another_seed_gives_another_split():
    table = make_table([[1] * 20] * 7)

    assert splits.fingerprint(splits.draw(table, seed=1)) != splits.fingerprint(splits.draw(table, seed=2))


def test_large_lesions_are_shared_out_too_instead_of_filling_the_folds_first():
    split = splits.draw(make_table([[6] * 14 + [1] * 100] * 7), seed=3)

    large = split[split.groupby("lesion_id")["image_id"].transform("size") == 6]
    assert large.groupby("dx")["part"].nunique().to_list() == [7] * 7


def test_a_lesion_with_two_diagnoses_stays_whole_and_keeps_its_labels():
    table = make_table([[3] * 7] * 7)
    table.loc[table["image_id"] == "I0_0_2", "dx"] = "mel"

    split = splits.draw(table, seed=1)

    lesion = split[split["lesion_id"] == "L0_0"]
    assert lesion["part"].nunique() == 1
    assert sorted(lesion["dx"]) == ["akiec", "akiec", "mel"]


def test_other_numbers_of_folds_are_drawn_and_read_back(tmp_path):
    split = splits.draw(make_table([[1] * 20] * 7), seed=1, folds=3)
    splits.write(split, tmp_path / "split.csv")

    assert set(splits.read(tmp_path / "split.csv")["part"]) == {
        "test",
        "calibration",
        "fold0",
        "fold1",
        "fold2",
    }


def test_a_class_with_too_few_lesions_is_named_with_its_count():
    sizes = [[1] * 7 for _ in CODES]
    sizes[3] = [5, 5, 5]
    sizes[6] = []

    with pytest.raises(DatasetError, match=r"each of the 7 parts.*df has 3, vasc has 0\."):
        splits.draw(make_table(sizes), seed=1)


@pytest.mark.parametrize(
    "options",
    [{"test_share": 0}, {"calibration_share": -0.1}, {"test_share": 0.95}, {"folds": 1}, {"folds": 11}],
)
def test_shares_and_folds_out_of_their_range_are_refused(options):
    with pytest.raises(ConfigurationError, match="2 to 10 folds and shares above 0"):
        splits.draw(make_table([[1] * 20] * 7), seed=1, **options)


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigurationError, match="seed must be 0 or more; -1 was given"):
        splits.draw(make_table([[1] * 20] * 7), seed=-1)


@settings(deadline=None, max_examples=10)
@given(lesion_sizes, seeds)
def test_what_is_written_is_what_is_read(tmp_path_factory, sizes, seed):
    path = tmp_path_factory.mktemp("split") / "new folder" / "split.csv"
    split = splits.draw(make_table(sizes, unknown_singles=True), seed=seed)

    splits.write(split, path)

    back = splits.read(path)
    assert [tuple(row) for row in back.fillna("").to_numpy()] == [tuple(r) for r in split.fillna("").to_numpy()]
    assert splits.fingerprint(back) == splits.fingerprint(split)
    assert [file.name for file in path.parent.iterdir()] == ["split.csv"]


GOOD = ["A,L1,mel,test", "B,L1,mel,test", "C,L2,nv,fold0", "D,,df,calibration", "E,,df,fold1"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*GOOD, "F,L3,nv,training"], r"1 rows with a part other than .* \(F\)"),
        ([*GOOD, "F,L3,scc,test"], r"1 rows with a diagnosis other than .* \(F\)"),
        ([*GOOD, "C,L2,nv,fold0"], r"2 rows with an image that has another row \(C, C\)"),
        ([*GOOD, "F,L2,nv,test"], r"2 rows with a lesion that lies in two parts \(C, F\)"),
    ],
)
def test_a_split_that_would_mislead_is_refused_with_examples(tmp_path, lines, message):
    path = tmp_path / "split.csv"
    path.write_text("\n".join(["image_id,lesion_id,dx,part", *lines]))

    with pytest.raises(DatasetError, match=message):
        splits.read(path)


def test_a_split_with_notes_beside_its_rows_is_the_same_split(tmp_path):
    split = splits.draw(make_table([[2] * 9] * 7, unknown_singles=True), seed=1)
    noted = split.assign(note=["seen twice, blurred", ""] * (len(split) // 2))
    noted[["note", *splits.COLUMNS]].to_csv(tmp_path / "split.csv", index=False)

    back = splits.read(tmp_path / "split.csv")

    pd.testing.assert_frame_equal(back, split)
    assert splits.fingerprint(back) == splits.fingerprint(split)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no table that can be read"),
        ("", "image_id, lesion_id, dx, part"),
        ("image_id,dx\nA,mel\n", "lesion_id, part"),
    ],
)
def test_a_file_that_is_no_split_is_refused(tmp_path, text, message):
    path = tmp_path / "split.csv"
    if text is not None:
        path.write_text(text)

    with pytest.raises(DatasetError, match=message):
        splits.read(path)


@pytest.mark.parametrize("change", [lambda text: text.replace(",", ";"), lambda text: text.replace("\n", ",\n")])
def test_a_split_that_a_spreadsheet_has_saved_is_the_same(tmp_path, change):
    path = tmp_path / "split.csv"
    path.write_text("\n".join(["image_id,lesion_id,dx,part", *GOOD, ""]))
    split = splits.read(path)
    path.write_text(change(path.read_text()))
    pd.testing.assert_frame_equal(splits.read(path), split)


def test_each_row_gets_its_part_under_its_own_index_and_further_rows_of_the_split_do_not_matter(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("\n".join(["image_id,lesion_id,dx,part", *GOOD]))
    table = pd.DataFrame({"image_id": ["E", "A"], "dx": ["df", "mel"]}, index=[7, 3])

    assert splits.assign(table, splits.read(path)).to_dict() == {7: "fold1", 3: "test"}


def test_images_that_the_split_does_not_hold_or_holds_otherwise_are_refused(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("\n".join(["image_id,lesion_id,dx,part", *GOOD]))
    split = splits.read(path)

    with pytest.raises(DatasetError, match=r"2 of 3 images are not in the split \(X, Y\)"):
        splits.assign(pd.DataFrame({"image_id": ["A", "X", "Y"], "dx": ["mel"] * 3}), split)
    with pytest.raises(DatasetError, match=r"1 of 2 images have another diagnosis in the split \(C\)"):
        splits.assign(pd.DataFrame({"image_id": ["A", "C"], "dx": ["mel", "mel"]}), split)


def test_a_data_set_that_lacks_images_of_the_split_is_no_ground_for_a_training():
    table = make_table([[2] * 10] * 7)
    split = splits.draw(table, seed=0)
    assert len(splits.place(table, split)) == len(table)
    with pytest.raises(DatasetError, match=r"3 of 140 images of the split are not in this data set \("):
        splits.place(table.iloc[3:], split)


def test_the_fingerprint_depends_on_every_row_and_not_on_their_order():
    split = splits.draw(make_table([[2] * 9] * 7), seed=1)
    moved = split.copy()
    moved.loc[5, "part"] = "fold0" if split.loc[5, "part"] == "test" else "test"

    assert splits.fingerprint(split.iloc[::-1]) == splits.fingerprint(split)
    assert splits.fingerprint(moved) != splits.fingerprint(split)


@needs_split
def test_the_published_split_reads_with_its_published_numbers_and_is_written_back_byte_for_byte(tmp_path):
    split = splits.read(DATA / "ham10000_split.csv")

    assert split["part"].value_counts()[["test", "calibration"]].to_list() == [1432, 715]
    assert split.loc[split["part"] == "test", "lesion_id"].nunique() == 1069
    splits.write(split, tmp_path / "split.csv")
    assert (tmp_path / "split.csv").read_bytes() == (DATA / "ham10000_split.csv").read_bytes()


@needs_split
def test_a_split_drawn_for_ham10000_comes_as_near_to_its_shares_as_one_image():
    split = splits.draw(splits.read(DATA / "ham10000_split.csv"), seed=20181)

    shares = {"test": 0.143, "calibration": 0.071} | {f"fold{i}": 0.786 / 5 for i in range(5)}
    counts = split.groupby(["dx", "part"]).size().unstack()
    off = counts.sub(np.outer(counts.sum(axis=1), [shares[part] for part in counts]))
    assert off.abs().to_numpy().max() < 1
