"""A disk that is full: what was whole before stays, and nothing half-written is left."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from skin_model import conversion
from skin_model.dataset import splits
from skin_model.errors import BundleError
from skin_model.services import evaluation, training
from skin_model.training.state import read_state


@contextmanager
def room(size: int) -> Iterator[None]:
    """Inside the block no file can grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_training_that_finds_no_room_for_its_checkpoint_goes_on_once_there_is_some(
    drawn_data, split_file, tiny, tmp_path
):
    folder = tmp_path / "run"
    places = {"data": drawn_data, "folder": folder, "config": replace(tiny, epochs=1)}
    with room(2**20), pytest.raises(OSError, match="File too large"):
        training.train(split=split_file, **places)
    assert names(folder) == ["run.json", "split.csv"]
    assert read_state(folder).epoch == 0
    assert training.train(resume=True, **places).finished
    assert names(folder) == ["best.keras", "history.csv", "run.json", "split.csv"]


def test_a_split_that_finds_no_room_leaves_the_one_before(split_file, tmp_path):
    split = splits.read(split_file)
    splits.write(split, tmp_path / "split.csv")
    with room(1000), pytest.raises(OSError, match="File too large"):
        splits.write(split.assign(part="test"), tmp_path / "split.csv")
    assert names(tmp_path) == ["split.csv"]
    assert (tmp_path / "split.csv").read_bytes() == split_file.read_bytes()


def test_a_serving_form_that_finds_no_room_is_told_in_a_sentence(trained, tmp_path):
    network = conversion.load_keras(trained / "best.keras")
    with room(2**20), pytest.raises(BundleError, match=r"could not be converted .* Make room, if the disk is full"):
        conversion.convert(network, tmp_path)


def test_of_a_report_no_file_is_replaced_where_the_other_finds_no_room(classifier, drawn_data, tmp_path):
    places = {"images": drawn_data, "labels": drawn_data / "HAM10000_metadata.csv", "report_folder": tmp_path}
    evaluation.evaluate(classifier=classifier, **places)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    enough_for_figures = (tmp_path / "report.json").stat().st_size * 2
    assert enough_for_figures < (tmp_path / "report.html").stat().st_size
    with room(enough_for_figures), pytest.raises(OSError, match="File too large"):
        evaluation.evaluate(classifier=classifier, allow_seen=True, **places)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
