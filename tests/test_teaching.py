"""Finished trainings as teachers of another one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skin_model.dataset.labels import TAUGHT
from skin_model.errors import ConfigurationError, TrainingError
from skin_model.evaluation.calibration import softmax
from skin_model.services import crossval, teaching, training
from skin_model.training import run


@pytest.fixture(scope="module")
def folds(drawn_data, split_file, tiny, tmp_path_factory) -> Path:
    """A cross-validation of one epoch over both folds."""
    out = tmp_path_factory.mktemp("runs") / "folds"
    crossval.crossval(data=drawn_data, out=out, config=replace(tiny, epochs=1, size=32), split=split_file)
    return out


def quiet(*_: object) -> None:
    pass


def named(folds: Path) -> str:
    return f"{folds / 'fold0'}, {folds / 'fold1'}"


def test_an_image_is_taught_by_those_who_never_learned_from_it(folds, parts, tiny, tmp_path):
    config = replace(tiny, teachers=named(folds), validation="fold0")
    learned = parts[parts["part"].isin(["fold0", "fold1"])]
    taught = teaching.with_teachers(learned, config, tmp_path, quiet)
    for fold in ("fold0", "fold1"):
        rows = taught[taught["part"] == fold]  # which the network validated on that fold never learned
        logits = teaching.answers(folds / fold, rows, teaching.VIEWS, quiet)
        np.testing.assert_allclose(rows[list(TAUGHT)], softmax(logits, 1.0), atol=1e-5)
    assert list(taught.index) == list(learned.index)


def test_teachers_who_all_learned_from_an_image_teach_it_together(folds, parts, tiny, tmp_path):
    both = parts[parts["part"] == "fold1"]
    alone = replace(tiny, teachers=str(folds / "fold0"))
    taught = teaching.with_teachers(both, alone, tmp_path / "alone", quiet)
    logits = teaching.answers(folds / "fold0", both, teaching.VIEWS, quiet)
    np.testing.assert_allclose(taught[list(TAUGHT)], softmax(logits, 1.0), atol=1e-5)


def test_answers_of_teachers_are_asked_for_once(folds, parts, tiny, tmp_path):
    rows = parts[parts["part"] == "fold1"]
    config = replace(tiny, teachers=str(folds / "fold0"))
    first = teaching.with_teachers(rows, config, tmp_path, quiet)

    def never(*_: object) -> None:
        raise AssertionError("a teacher was asked again")

    again = teaching.with_teachers(rows, config, tmp_path, never)
    pd.testing.assert_frame_equal(first, again)
    with pytest.raises(AssertionError):
        teaching.with_teachers(rows, replace(config, teachers=str(folds / "fold1")), tmp_path, never)


def test_a_network_learns_what_its_teachers_say_and_goes_on_alike_after_a_stop(
    drawn_data, split_file, folds, tiny, tmp_path
):
    config = replace(tiny, size=32, epochs=2, teachers=str(folds / "fold0"), metadata="age,sex", mix="cutmix")

    def teach(folder: Path, **more) -> run.RunState:
        return training.train(data=drawn_data, folder=folder, config=config, split=split_file, guard=False, **more)

    whole = teach(tmp_path / "whole")
    stopped = teach(tmp_path / "stopped", on_batch=lambda epoch, *_: epoch == 1)
    assert stopped.epoch == 1
    resumed = teach(tmp_path / "stopped", resume=True)
    assert [replace(r, seconds=0) for r in resumed.history] == [replace(r, seconds=0) for r in whole.history]
    plain = replace(config, teachers="")
    untaught = training.train(data=drawn_data, folder=tmp_path / "u", config=plain, split=split_file, guard=False)
    assert untaught.history[0].loss != whole.history[0].loss


def test_teachers_that_know_the_validation_fold_are_refused(drawn_data, split_file, folds, tiny, tmp_path):
    config = replace(tiny, teachers=named(folds), validation="fold0")
    with pytest.raises(ConfigurationError, match="fold1 has learned from lesions of fold0"):
        training.train(data=drawn_data, folder=tmp_path / "leak", config=config, split=split_file)
    assert not (tmp_path / "leak").exists()


def test_teachers_of_another_task_or_split_are_refused(drawn_data, split_file, binary_run, folds, tiny, tmp_path):
    with pytest.raises(TrainingError, match="finished training on the seven diagnoses"):
        teaching.check(replace(tiny, teachers=str(binary_run)), run.read_state(binary_run).split)
    with pytest.raises(TrainingError, match="another split"):
        teaching.check(replace(tiny, teachers=str(folds / "fold0")), "another")
    with pytest.raises(ConfigurationError, match="seven diagnoses"):
        teaching.check(replace(tiny, task="binary", teachers=str(folds / "fold0")), "any")
    with pytest.raises(TrainingError, match="no training in"):
        teaching.check(replace(tiny, teachers=str(tmp_path / "nowhere")), "any")
