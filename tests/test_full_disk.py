"""A disk that is full: what was whole before stays, and nothing half-written is left."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skin_model import conversion, settings
from skin_model.dataset import splits
from skin_model.dataset.pipeline import Batches
from skin_model.errors import BundleError, TrainingError
from skin_model.services import crossval, evaluation, study, training
from skin_model.training import last_layer
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


def command(*arguments: str | Path, out: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """One of our commands, in a process that keeps its output until its end, as one does without a terminal."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-m", "skin_model", *map(str, arguments)],
        cwd=settings.ASSETS.parent, env=environment, stdout=out, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


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


def test_answers_that_find_no_room_are_told_in_a_sentence_and_leave_those_before(tmp_path):
    answers = tmp_path / "answers.json"
    answers.write_text("those before")
    image = settings.ASSETS / "examples" / "mel-1.jpg"
    with room(100):
        done = command("predict", image, "--json", answers, "--model", settings.ASSETS / "model")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: File too large. Name another place, or make room."
    assert names(tmp_path) == ["answers.json"]
    assert answers.read_text() == "those before"


def test_a_table_that_finds_no_room_where_it_is_printed_to_is_told_in_a_sentence(drawn_data, tmp_path):
    with open("/dev/full", "w") as full:
        done = command("dataset", "split", drawn_data, tmp_path / "split.csv", "--folds=2", out=full.fileno())
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device. Name another place, or make room.\n"


def test_of_a_cross_validation_no_file_is_replaced_where_the_answers_find_no_room(tmp_path):
    crossval._write({"folds": 1}, "ISIC_0,HAM_0,nv,fold0\n" * 50, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with room(1000), pytest.raises(OSError, match="File too large"):
        crossval._write({"folds": 2}, "ISIC_0,HAM_0,mel,fold0\n" * 50, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_of_a_last_layer_fitted_anew_a_full_disk_is_told_and_no_signal_ends_the_training(tmp_path):
    given = Batches(["a"] * 64, np.eye(7)[[0] * 64], np.ones(64), 96, 32)
    places = last_layer._Places(tmp_path / "places.npy", given, (None, 6, 6, 256))
    features = np.ones((32, 6, 6, 256), np.float32)
    images = {"mask": np.zeros((32, 96, 96, 1), np.float32)}
    with room(100_000), pytest.raises(OSError, match="File too large"):
        places.add(0, features, images)
    places.add(1, features, images)
    np.testing.assert_array_equal(places._features[32:], features.reshape(32, 36, 256))


@pytest.mark.parametrize("size", [4096, 2**16])
def test_a_search_that_finds_no_room_for_its_history_says_so_and_goes_on_once_there_is_some(size, tmp_path):
    file = tmp_path / study.FILE
    with room(size), pytest.raises(TrainingError, match="Make room and resume"), study.opened(file, "search", 4):
        pass
    with study.opened(file, "search", 4) as history:
        assert history.trials == []
