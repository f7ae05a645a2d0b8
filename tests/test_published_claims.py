"""The leaky split behind published accuracies: what it leaks, what it leaves alone, and that it is no way to train."""

from argparse import Namespace

import pandas as pd
import pytest

from benchmarks import published_claims
from skin_model.dataset import splits
from skin_model.errors import DatasetError
from skin_model.services import training


@pytest.fixture(scope="module")
def leaky(split_file, tmp_path_factory):
    """The file that `leak` writes, and its rows."""
    path = tmp_path_factory.mktemp("leaky") / "split.csv"
    published_claims.leak(Namespace(split=split_file, out=path))
    return path, splits.read(path, leaky=True)


def test_a_leak_stays_inside_the_folds_where_all_classes_become_equally_common(leaky, split_file):
    honest, (_, rows) = splits.read(split_file), leaky
    folds, copies = (table[table["part"].str.startswith("fold")] for table in (honest, rows))
    kept, left = (table.drop(part.index).reset_index(drop=True) for table, part in ((honest, folds), (rows, copies)))
    pd.testing.assert_frame_equal(left, kept)
    assert set(left["part"]) == {"test", "calibration"}
    assert set(copies["image_id"]) == set(folds["image_id"])
    assert set(copies["dx"].value_counts()) == {folds["dx"].value_counts().max()}


def test_copies_of_one_picture_are_learned_from_and_measured(leaky):
    copies = leaky[1][leaky[1]["part"].str.startswith("fold")]
    assert copies.groupby("image_id")["part"].nunique().max() > 1


def test_no_training_takes_the_leaky_split(leaky, drawn_data, tiny, tmp_path):
    with pytest.raises(DatasetError, match=r"Resampling came before the split: .* copies of what is learned"):
        training.train(data=drawn_data, folder=tmp_path / "run", config=tiny, split=leaky[0])
    assert not (tmp_path / "run" / "run.json").exists()
