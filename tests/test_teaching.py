"""Finished trainings as teachers of another one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skin_model.conversion import load_keras
from skin_model.dataset.labels import targets
from skin_model.dataset.pipeline import Batches
from skin_model.entities import Patient
from skin_model.errors import ConfigurationError, TrainingError
from skin_model.evaluation.calibration import softmax
from skin_model.patients import PatientPart, encode
from skin_model.services import crossval, teaching, training
from skin_model.training import run


@pytest.fixture(scope="module")
def folds(drawn_data, split_file, tiny, tmp_path_factory) -> Path:
    """A cross-validation of one epoch over both folds."""
    out = tmp_path_factory.mktemp("runs") / "folds"
    crossval.crossval(data=drawn_data, out=out, config=replace(tiny, epochs=1, size=32), split=split_file)
    return out


def named(folds: Path) -> str:
    return f"{folds / 'fold0'}, {folds / 'fold1'}"


def learned_rows(parts: pd.DataFrame) -> pd.DataFrame:
    return parts[parts["part"].isin(["fold0", "fold1"])]


def test_an_image_is_taught_by_those_who_never_learned_from_it(folds, parts, tiny):
    rows = learned_rows(parts)
    found = teaching.teaching(rows, replace(tiny, teachers=named(folds), validation="none"))
    # the network validated on a fold never learned from it
    np.testing.assert_array_equal(found.trusted, np.stack([rows["part"] == "fold0", rows["part"] == "fold1"], axis=1))


def test_teachers_who_all_learned_from_an_image_teach_it_together(folds, parts, tiny):
    rows = parts[parts["part"] == "fold1"]
    twice = replace(tiny, teachers=f"{folds / 'fold0'},{folds / 'fold0'}")
    assert (teaching.teaching(rows, twice).trusted == 0.5).all()


@pytest.mark.parametrize("mix", ["none", "cutmix"])
def test_teachers_answer_the_very_view_that_is_learned_from(folds, parts, tiny, mix):
    rows = learned_rows(parts)
    config = replace(tiny, teachers=named(folds), validation="none", teacher_share=0.6)
    plain = Batches(
        list(rows["path"]), targets(rows["dx"], "diagnosis"), np.ones(len(rows), np.float32), size=32, batch=8,
        augmentation="strong", mix=mix,
    )  # fmt: skip
    taught = replace(plain, teaching=teaching.teaching(rows, config))
    order = plain.order(0)

    images, labels, _ = plain.get(0, 1, order)
    same, mixed, _ = taught.get(0, 1, order)

    np.testing.assert_array_equal(images, same)
    models = [load_keras(folds / fold / "best.keras") for fold in ("fold0", "fold1")]
    said = [np.log(model.predict(images, verbose=0)) for model in models]
    own = np.array([rows["part"].iloc[row] == "fold0" for row in order[8:16]])
    if mix == "none":
        expected = softmax(np.where(own[:, None], *said), 1.0)
        np.testing.assert_allclose(mixed, 0.4 * labels + 0.6 * expected, atol=1e-5)
    else:  # a blend of both folds' images is taught by both networks
        np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-5)
        blended = (mixed - 0.4 * labels) / 0.6
        assert np.abs(blended - softmax(np.where(own[:, None], *said), 1.0)).max() > 1e-3


def test_a_teacher_of_another_size_is_asked_at_its_own(folds, parts, tiny):
    found = teaching.teaching(learned_rows(parts), replace(tiny, teachers=str(folds / "fold0")))
    images = np.random.default_rng(0).random((2, 4, 4, 3), np.float32)
    doubled = images.repeat(8, axis=1).repeat(8, axis=2)  # even squares, of which each size makes the same picture
    larger = doubled.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(found.answer(larger, None), found.answer(doubled, None), atol=1e-4)


def test_a_teacher_that_takes_the_patient_is_told_what_the_learner_is_told(
    drawn_data, split_file, parts, tiny, tmp_path
):
    config = replace(tiny, size=32, epochs=1, metadata="age,sex")
    training.train(data=drawn_data, folder=tmp_path / "told", config=config, split=split_file, guard=False)
    part = PatientPart.of(load_keras(tmp_path / "told" / "best.keras"), ("age", "sex"))
    patients = [Patient(age=70, sex="male"), Patient()]
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)

    def difference(metadata: str) -> np.ndarray:
        learner = replace(config, metadata=metadata, teachers=str(tmp_path / "told"))
        found = teaching.teaching(learned_rows(parts), learner)
        known = encode(patients, learner.columns)
        return (found.answer(images, known) - found.answer(images, np.zeros_like(known)))[:, 0]

    assert np.abs(part.logits(patients)[0]).max() > 1e-4
    np.testing.assert_allclose(difference("age,sex"), part.logits(patients), atol=1e-5)
    assert not difference("age").any()


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


def test_a_learner_never_meets_the_views_that_its_teachers_learned_from(
    drawn_data, split_file, folds, tiny, tmp_path, monkeypatch
):
    met: list[int] = []
    make = run.as_keras

    def noted(batches: Batches, epoch: int) -> object:
        met.append(epoch)
        return make(batches, epoch)

    monkeypatch.setattr(run, "as_keras", noted)
    config = replace(tiny, size=32, epochs=1)

    def teach(name: str, **more) -> Path:
        given = replace(config, **more)
        training.train(data=drawn_data, folder=tmp_path / name, config=given, split=split_file, guard=False)
        return tmp_path / name

    taught = teach("taught", teachers=named(folds), validation="none")  # by networks of one epoch
    teach("on", weights=str(taught / "best.keras"), validation="none")

    assert met == [1, 2]


def test_teachers_that_know_the_validation_fold_are_refused(drawn_data, split_file, folds, tiny, tmp_path):
    config = replace(tiny, teachers=named(folds), validation="fold0")
    with pytest.raises(ConfigurationError, match="fold1 has learned from lesions of fold0"):
        training.train(data=drawn_data, folder=tmp_path / "leak", config=config, split=split_file)
    assert not (tmp_path / "leak").exists()


def test_teachers_of_another_task_or_split_are_refused(drawn_data, split_file, binary_run, folds, tiny, tmp_path):
    with pytest.raises(TrainingError, match="needs to be a training on the seven diagnoses"):
        teaching.check(replace(tiny, teachers=str(binary_run)), run.read_state(binary_run).split)
    with pytest.raises(TrainingError, match="another split"):
        teaching.check(replace(tiny, teachers=str(folds / "fold0")), "another")
    with pytest.raises(ConfigurationError, match="seven diagnoses"):
        teaching.check(replace(tiny, task="binary", teachers=str(folds / "fold0")), "any")
    with pytest.raises(TrainingError, match="no training in"):
        teaching.check(replace(tiny, teachers=str(tmp_path / "nowhere")), "any")
