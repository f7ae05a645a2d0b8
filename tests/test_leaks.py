"""Leaks planted in a drawn data set, each refused by a training before its first step, and the look-alikes."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from skin_model.dataset import ham10000, leaks, lookalikes, perceptual, splits
from skin_model.errors import ConfigurationError, DatasetError
from skin_model.services import datasets, training, workspace

METADATA = "HAM10000_metadata.csv"


class Planted:
    """A copy of the drawn data set and its split, in which a test plants a leak."""

    def __init__(self, data: Path, split: Path, folder: Path, config) -> None:
        self.data, self.split, self.run, self.config = folder / "data", folder / "split.csv", folder / "run", config
        shutil.copytree(data, self.data)
        self.rows = pd.read_csv(split, dtype=str)

    def image(self, part: str, number: int = 0) -> pd.Series:
        """An image of a part."""
        return self.rows[self.rows["part"] == part].iloc[number]

    def path(self, image_id: str) -> Path:
        return next(self.data.rglob(f"{image_id}.*"))

    def add_copy(self, of: str, name: str, part: str, data: bytes, suffix: str = ".jpg") -> None:
        """One more file, as a lesion of its own, in a part."""
        (self.path(of).parent / f"{name}{suffix}").write_bytes(data)
        metadata = pd.read_csv(self.data / METADATA, dtype=str)
        row = metadata[metadata["image_id"] == of].assign(image_id=name, lesion_id=f"L_{name}")
        pd.concat([metadata, row]).to_csv(self.data / METADATA, index=False)
        split = self.rows[self.rows["image_id"] == of].assign(image_id=name, lesion_id=f"L_{name}", part=part)
        self.rows = pd.concat([self.rows, split])

    def train(self, **options):
        self.rows.to_csv(self.split, index=False)
        return training.train(data=self.data, folder=self.run, config=self.config, split=self.split, **options)

    def refusal(self, **options) -> str:
        """The sentence with which a training is refused; it leaves nothing behind."""
        with pytest.raises(DatasetError) as refused:
            self.train(**options)
        assert not self.run.exists()
        return str(refused.value)


@pytest.fixture
def planted(drawn_data, split_file, tiny, tmp_path) -> Planted:
    return Planted(drawn_data, split_file, tmp_path, tiny)


@pytest.mark.parametrize("known_by", ["the data set", "the split", "both"])
def test_a_lesion_in_two_parts_is_refused_whichever_table_knows_it(planted, known_by):
    lesions = planted.rows["lesion_id"].value_counts()
    lesion = lesions.index[lesions == lesions.max()][0]
    rows = planted.rows["lesion_id"] == lesion
    elsewhere = "test" if planted.rows.loc[rows, "part"].iloc[0] != "test" else "calibration"
    planted.rows.loc[rows & ~planted.rows["lesion_id"].duplicated(), "part"] = elsewhere
    if known_by == "the data set":  # as where a split was drawn by image
        planted.rows.loc[rows, "lesion_id"] = ""
    elif known_by == "the split":
        metadata = pd.read_csv(planted.data / METADATA, dtype=str)
        metadata.loc[metadata["lesion_id"] == lesion, "lesion_id"] = ""
        metadata.to_csv(planted.data / METADATA, index=False)

    said = planted.refusal()

    assert said.startswith(f"1 lesions stand in two parts of the split or more, in {rows.sum()} images")
    assert f"{planted.rows.loc[rows, 'image_id'].iloc[0]} in {elsewhere} of {lesion}" in said
    assert "dataset split" in said


def test_rare_images_repeated_before_the_split_are_refused_with_the_first_five_and_their_count(planted):
    rare = planted.rows[planted.rows["dx"] == "df"]
    planted.rows = pd.concat([planted.rows, rare.assign(part="test"), rare.assign(part="fold1")])

    said = planted.refusal()

    assert said.startswith(f"Resampling came before the split: {3 * len(rare)} of its rows")
    first = sorted(zip(*planted.rows[planted.rows["dx"] == "df"][["image_id", "part"]].T.to_numpy(), strict=True))[:5]
    assert f"({', '.join(f'{image} in {part}' for image, part in first)}, ...)" in said
    assert "--balance sampling" in said


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_copied_image_in_another_part_is_refused_under_another_name_lesion_and_format(planted, suffix):
    original = planted.image("fold1")["image_id"]
    file = planted.path(original)
    if suffix == ".jpg":
        data = file.read_bytes() + b"a comment"  # same pixels, other bytes
    else:
        data = cv2.imencode(".png", cv2.imread(str(file)))[1].tobytes()
    planted.add_copy(original, "COPY", "test", data, suffix)

    said = planted.refusal()

    assert said.startswith("2 images have the pixels of an image in another part")
    assert f"{original} in fold1" in said
    assert "COPY in test" in said


def test_copies_within_one_part_and_a_similar_picture_in_another_are_no_leak(planted):
    original = planted.image("fold1")["image_id"]
    pixels = cv2.imread(str(planted.path(original)))
    planted.add_copy(original, "COPY", "fold1", planted.path(original).read_bytes())
    pixels[0, 0] ^= 1
    planted.add_copy(original, "SIMILAR", "test", cv2.imencode(".png", pixels)[1].tobytes(), ".png")
    table = ham10000.read(planted.data).table
    told = []

    leaks.refuse(table, planted.rows, lambda done, total: told.append((done, total)))

    assert told == [(n + 1, len(table)) for n in range(len(table))]


def test_an_unreadable_image_is_named_before_the_training_starts(planted):
    name = planted.image("fold0")["image_id"]
    planted.path(name).write_bytes(b"no image")
    assert f"{name}.jpg: This file is not a readable image" in planted.refusal()


def test_the_guard_can_be_switched_off_to_measure_what_a_leak_does(planted, monkeypatch):
    repeated = planted.rows[planted.rows["part"] == "fold1"]
    planted.rows = pd.concat([planted.rows, repeated.assign(part="fold0")])
    given = {}
    monkeypatch.setattr(training.run, "train", lambda **options: given.update(options))

    planted.train(guard=False)

    assert sorted(given["training"]["image_id"]) == sorted(repeated["image_id"])
    assert set(repeated["image_id"]) < set(given["validation"]["image_id"])
    kept = splits.read(planted.run / "split.csv", leaky=True)
    assert splits.fingerprint(kept) == splits.fingerprint(planted.rows) == given["split"]
    with pytest.raises(DatasetError, match="image that has another row"):  # what would make a model of it
        splits.read(planted.run / "split.csv")


@pytest.mark.parametrize("columns", [["dx_type"], ["age", "sex", "dx_type"], ["dx"], ["lesion_id"]])
def test_a_column_that_is_known_only_after_the_diagnosis_is_refused_as_an_input(columns):
    with pytest.raises(ConfigurationError, match=rf"^{columns[-1]} cannot be an input .* Use any of age, sex, loc"):
        leaks.check_inputs(columns)


def test_what_is_known_before_the_diagnosis_may_be_an_input():
    leaks.check_inputs(["age", "sex", "localization"])


def test_ham10000_divided_by_its_published_split_is_let_through_where_a_copy_is_not(real_data):
    """On the identical pairs and a two-hundredth of the other images, so that the test need not read all."""
    table = ham10000.read(real_data / "ham10000").table
    split = splits.read(real_data / "ham10000_split.csv")
    pairs = [{"ISIC_0024366", "ISIC_0029861"}, {"ISIC_0024777", "ISIC_0029938"}]  # identical, each within one lesion
    table = table[table["image_id"].isin(set.union(*pairs)) | (np.arange(len(table)) % 200 == 0)]
    leaks.refuse(table, split)

    moved = split.assign(lesion_id=None)
    moved.loc[moved["image_id"] == "ISIC_0029861", "part"] = "test"
    moved.loc[moved["image_id"] == "ISIC_0024366", "part"] = "fold2"
    with pytest.raises(DatasetError, match=r"2 images have the pixels .*ISIC_0024366 in fold2, ISIC_0029861 in test"):
        leaks.refuse(table.assign(lesion_id=None), moved)


def as_exported_elsewhere(pixels: np.ndarray) -> bytes:
    """The picture a little lighter, of warmer white and compressed harder."""
    lighter = np.clip(pixels * [0.98, 1.04, 1.08] + 3, 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", lighter, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()


def cropped(pixels: np.ndarray) -> np.ndarray:
    """3 % less of it, not from the middle."""
    height, width = pixels.shape[:2]
    return pixels[round(0.02 * height) : round(0.99 * height), round(0.01 * width) : round(0.98 * width)]


COPIES = {
    "as it is": lambda pixels: pixels,
    "cropped and turned by a quarter": lambda pixels: np.rot90(cropped(pixels)),
    "cropped, turned and mirrored": lambda pixels: np.rot90(cropped(pixels))[:, ::-1],
}


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_under_another_lesion_is_listed_first_however_it_is_turned_and_one_lesions_pictures_are_not(
    planted, classifier, change
):
    original = planted.image("fold1")
    pixels = COPIES[change](cv2.imread(str(planted.path(original["image_id"]))))
    planted.add_copy(original["image_id"], "ALIKE", "test", as_exported_elsewhere(pixels))

    file = planted.data.parent / "new" / "lookalikes.csv"
    listed = datasets.find_lookalikes(classifier=classifier, folder=planted.data, file=file)

    first = listed.iloc[0]
    assert {first["image_a"], first["image_b"]} == {original["image_id"], "ALIKE"}
    assert {first["lesion_a"], first["lesion_b"]} == {original["lesion_id"], "L_ALIKE"}
    assert first["matching_points"] > 30
    # what the hash alone would not have found
    assert (first["hash_distance"] > 16) == (change != "as it is")
    assert (listed["lesion_a"] != listed["lesion_b"]).all()
    assert set(listed["lesion_a"]) | set(listed["lesion_b"]) == {original["lesion_id"], "L_ALIKE"}
    assert listed["matching_points"].is_monotonic_decreasing
    assert tuple(pd.read_csv(file).columns) == lookalikes.COLUMNS
    with pytest.raises(DatasetError, match="may hold a review"):
        datasets.find_lookalikes(classifier=classifier, folder=planted.data, file=file)


def test_a_copy_is_found_by_its_hash_where_the_embeddings_say_nothing_and_by_them_where_the_hash_does_not(planted):
    original = planted.image("fold1")["image_id"]
    pixels = cv2.imread(str(planted.path(original)))
    planted.add_copy(original, "ALIKE", "test", as_exported_elsewhere(pixels))
    planted.add_copy(original, "TURNED", "test", as_exported_elsewhere(pixels[::-1, ::-1]))
    table = ham10000.read(planted.data).table
    embeddings = np.random.default_rng(0).random((len(table), 64), dtype=np.float32)
    at = {name: row for row, name in enumerate(table["image_id"])}
    embeddings[at["TURNED"]] = embeddings[at[original]]
    # of another network or layer: nearer to eight others than to the original
    others = [row for name, row in at.items() if name not in ("ALIKE", "TURNED", original)][:20]
    embeddings[others] = embeddings[at["ALIKE"]]

    listed = lookalikes.find(table, embeddings)

    pairs = {frozenset(pair) for pair in zip(listed["image_a"], listed["image_b"], strict=True)}
    assert {frozenset((original, "ALIKE")), frozenset((original, "TURNED"))} <= pairs


def test_a_data_set_without_lookalikes_gives_an_empty_list(drawn_data):
    table = ham10000.read(drawn_data).table.groupby("lesion_id").head(1)
    for some in (table.iloc[:1], table.iloc[:2], table.iloc[:9]):
        listed = lookalikes.find(some, np.random.default_rng(0).random((len(some), 16), dtype=np.float32))
        assert tuple(listed.columns) == lookalikes.COLUMNS
        assert listed.empty


def test_an_unreadable_image_is_named_before_lookalikes_are_listed(planted, classifier):
    name = planted.image("fold0")["image_id"]
    planted.path(name).write_bytes(b"no image")
    file = planted.data.parent / "lookalikes.csv"
    with pytest.raises(DatasetError, match=rf"{name}.jpg: This file is not a readable image.*dataset validate DIR"):
        datasets.find_lookalikes(classifier=classifier, folder=planted.data, file=file)
    assert not file.exists()


def test_the_photograph_that_ham10000_holds_twice_is_found_among_others(real_data, tmp_path):
    """With another white balance, under two lesions; and none of 60 other pictures."""
    metadata = pd.read_csv(real_data / "ham10000" / METADATA, dtype=str)
    twice = metadata["image_id"].isin(["ISIC_0025226", "ISIC_0030074"])
    once = ~metadata["lesion_id"].duplicated(keep=False) & (np.arange(len(metadata)) % 80 == 0)
    data = tmp_path / "data"
    data.mkdir()
    metadata[twice | once].to_csv(data / METADATA, index=False)
    for name in metadata.loc[twice | once, "image_id"]:
        shutil.copy(next((real_data / "ham10000").glob(f"HAM10000_images_part_*/{name}.jpg")), data)

    listed = datasets.find_lookalikes(classifier=workspace.load(), folder=data, file=tmp_path / "listed.csv")

    assert listed[["image_a", "image_b"]].to_numpy().tolist() == [["ISIC_0025226", "ISIC_0030074"]]
    assert listed["matching_points"][0] > 100


@pytest.mark.parametrize("side", [112, 160, 225])
def test_a_small_jpeg_and_its_copy_as_png_have_nearly_the_same_hash(drawn_data, tmp_path, side):
    files = []
    for number, original in enumerate(sorted(drawn_data.rglob("*.jpg"))[:20]):
        jpeg, png = tmp_path / f"{number}.jpg", tmp_path / f"{number}.png"
        jpeg.write_bytes(
            cv2.imencode(".jpg", cv2.resize(cv2.imread(str(original)), (side * 4 // 3, side)))[1].tobytes()
        )
        png.write_bytes(cv2.imencode(".png", cv2.imread(str(jpeg)))[1].tobytes())
        files += [jpeg, png]
    hashed = perceptual.hashes(perceptual.thumbnails(files))
    assert np.bitwise_count(hashed[::2] ^ hashed[1::2]).max() <= leaks._CANDIDATE_DISTANCE


def test_hashes_are_as_far_apart_as_a_comparison_of_every_pair_says():
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (300, 32, 32)).astype(np.uint8)
    small[299] = small[0]
    hashed = perceptual.hashes(small)

    alike = np.concatenate([rows for _, rows in perceptual.near(hashed, 20)])

    expected = [[(int(a) ^ int(b)).bit_count() <= 20 for b in hashed] for a in hashed]
    np.testing.assert_array_equal(alike, expected)
    assert alike[0, 299]
    assert not alike[0, 1:299].all()


def test_lesions_that_a_review_found_to_be_one_stay_in_one_part(drawn_data, tmp_path):
    table = ham10000.read(drawn_data).table
    of_class = table[table["dx"] == "nv"].drop_duplicates("lesion_id")["image_id"].tolist()
    a, b, c, d, e = of_class[:5]
    reviewed = tmp_path / "reviewed.csv"
    reviewed.write_text(f"image_a,image_b,same_lesion\n{a},{b},yes\n{c},{b}, Yes\n{d},{e},no\n{a},{e},\n")

    for seed in range(4):
        split, _ = datasets.split(folder=drawn_data, file=tmp_path / f"{seed}.csv", seed=seed, reviewed=reviewed)
        merged = split.set_index("image_id")
        lesions = table.set_index("image_id")["lesion_id"]
        one = lesions.index[lesions.isin(lesions[[a, b, c]])]
        assert merged.loc[one, "part"].nunique() == 1
        assert merged.loc[one, "lesion_id"].nunique() == 1
        untouched = lesions.index.difference(one)
        pd.testing.assert_series_equal(merged.loc[untouched, "lesion_id"], lesions[untouched])
        leaks.refuse(table, splits.read(tmp_path / f"{seed}.csv"))
    with pytest.raises(DatasetError, match="exists"):
        datasets.split(folder=drawn_data, file=reviewed)
    assert reviewed.read_text().startswith("image_a,")


def test_images_without_a_lesion_are_merged_too():
    table = pd.DataFrame({"image_id": ["A", "B", "C", "D"], "lesion_id": [None, None, "L1", None]})
    pairs = pd.DataFrame({"image_a": ["A"], "image_b": ["B"]})
    assert lookalikes.merge(table, pairs)["lesion_id"].fillna("").tolist() == ["B", "B", "L1", ""]
    pairs = pd.DataFrame({"image_a": ["A", "B"], "image_b": ["B", "C"]})
    assert lookalikes.merge(table, pairs)["lesion_id"].fillna("").tolist() == ["L1", "L1", "L1", ""]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_review_may_be_saved_as_any_countrys_spreadsheet_does(tmp_path, separator):
    path = tmp_path / "reviewed.csv"
    lines = [("image_a", "image_b", "same_lesion"), ("A", "B", "Yes "), ("C", "D", "no"), ("E", "F", "")]
    path.write_text("\ufeff" + "\n".join(map(separator.join, lines)) + "\n", encoding="utf-8")
    assert lookalikes.read_review(path).to_numpy().tolist() == [["A", "B"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_a,image_b,same_lesion\nA,B,yes\n", r"2 images of the reviewed list are not in this data set \(A, B\)"),
        ("image_a,image_b,same_lesion\nA,B,perhaps\n", "must be yes, no or empty; found: perhaps"),
        ("image_a,image_b,same\nA,B,yes\n", "lacks the columns same_lesion"),
        ("", "lacks the columns image_a, image_b, same_lesion"),
    ],
)
def test_a_list_that_is_no_review_of_this_data_set_is_refused_in_a_sentence(drawn_data, tmp_path, text, message):
    (tmp_path / "reviewed.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        datasets.split(folder=drawn_data, file=tmp_path / "split.csv", reviewed=tmp_path / "reviewed.csv")
    assert not (tmp_path / "split.csv").exists()
