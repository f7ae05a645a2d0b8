"""What is known of the patient: its encoding, what it adds to an answer, and what happens where nothing is known."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skin_model import bundle, cli, conversion, imaging
from skin_model.bundle import Bundle
from skin_model.dataset import splits
from skin_model.entities import SEXES, SITES, DataSet, Patient
from skin_model.errors import BundleError, ConfigurationError
from skin_model.inference import Classifier
from skin_model.patients import encode, forget, known_of, of_table
from skin_model.services import comparing, evaluation, models, training

COLUMNS = ("age", "sex", "localization")
OLD = Patient(70, "male", "face")


@pytest.fixture(scope="module")
def told_run(drawn_data, split_file, tiny, tmp_path_factory) -> Path:
    """A training of two epochs with age, sex and site, images blended."""
    folder = tmp_path_factory.mktemp("runs") / "told"
    config = replace(tiny, epochs=2, metadata="age, sex,localization", mix="mixup", learning_rate=1e-2)
    training.train(data=drawn_data, folder=folder, config=config, split=split_file)
    return folder


@pytest.fixture(scope="module")
def told(drawn_data, told_run, tmp_path_factory) -> Bundle:
    return models.make_bundle(data=drawn_data, run=told_run, out=tmp_path_factory.mktemp("models") / "told", views=2)


def squares_of(parts: pd.DataFrame, size: int) -> np.ndarray:
    test = parts[parts["part"] == "test"]["path"].head(4)
    return np.stack([imaging.centre(imaging.fit(imaging.read(path).pixels, size)) for path in test])


def test_an_age_between_two_decades_counts_in_part_as_either():
    known = encode([Patient(age=64), Patient(age=60), Patient(age=103)], ("age",))
    assert known[0].nonzero()[0].tolist() == [6, 7]
    assert known[0, 6:8] == pytest.approx([0.6, 0.4])
    assert known[1].tolist() == np.eye(10)[6].tolist()
    assert known[2].tolist() == np.eye(10)[9].tolist()


def test_every_sex_and_site_has_a_place_of_its_own_and_nothing_known_is_nothing():
    patients = [Patient(sex=sex) for sex in SEXES] + [Patient(site=site) for site in SITES]
    np.testing.assert_array_equal(encode(patients, ("sex", "localization")), np.eye(len(SEXES) + len(SITES)))
    assert not encode([Patient()], COLUMNS).any()
    assert encode([], COLUMNS).shape == (0, 26)


def test_what_a_table_says_in_words_of_its_own_counts_as_not_known():
    rows = pd.DataFrame({
        "age": [55.0, np.nan, 0.0], "sex": ["male", "unknown", np.nan], "localization": ["ear", "nape", "unknown"],
    })  # fmt: skip
    assert of_table(rows) == [Patient(55, "male", "ear"), Patient(), Patient(age=0)]


def test_training_often_forgets_what_is_known_so_that_nothing_need_be_entered_later():
    rng = np.random.default_rng(0)
    told = [forget(OLD, rng) for _ in range(2000)]
    assert np.mean([patient == Patient() for patient in told]) == pytest.approx(0.3, abs=0.04)
    for name in ("age", "sex", "site"):
        assert np.mean([getattr(patient, name) is None for patient in told]) == pytest.approx(0.37, abs=0.04)
        assert {getattr(patient, name) for patient in told} == {None, getattr(OLD, name)}


def test_what_is_known_only_after_the_diagnosis_is_refused_as_an_input(drawn_data, split_file, tiny, tmp_path):
    with pytest.raises(ConfigurationError, match="dx_type cannot be an input"):
        training.train(
            data=drawn_data, folder=tmp_path / "late", config=replace(tiny, metadata="age,dx_type"), split=split_file
        )
    assert not (tmp_path / "late").exists()


def test_a_column_that_tells_nothing_in_known_words_is_refused_as_an_input(drawn_data, split_file, tiny, tmp_path):
    shutil.copytree(drawn_data, tmp_path / "data")
    table = pd.read_csv(tmp_path / "data" / "HAM10000_metadata.csv")
    table.assign(sex="m").to_csv(tmp_path / "data" / "HAM10000_metadata.csv", index=False)
    with pytest.raises(ConfigurationError, match="sex of no training image is known in HAM10000's words"):
        training.train(
            data=tmp_path / "data", folder=tmp_path / "run", config=replace(tiny, metadata="age,sex"), split=split_file
        )


def test_what_counts_as_known_is_what_an_answer_can_take_into_account():
    table = pd.DataFrame({"age": [50.0, np.nan], "sex": ["f", "female"], "localization": ["anterior torso", "back"]})
    assert known_of(table).to_numpy().tolist() == [[True, False, False], [False, True, True]]


def test_a_model_that_takes_the_patient_answers_as_keras_does_with_and_without_one(told, parts):
    classifier = Classifier(told)
    squares = squares_of(parts, told.manifest.size)
    network = conversion.load_keras(told.path("network.keras"))
    assert told.manifest.metadata == COLUMNS
    logits = classifier.answer(squares, views=1).logits
    answers = []
    for patient in (OLD, Patient(25, "female", "back"), Patient(site="ear"), Patient()):
        group = [patient] * len(squares)
        expected = network({"image": imaging.to_network(squares), "patient": encode(group, COLUMNS)}, training=False)
        found = np.exp(together := classifier.with_patients(logits, group))
        np.testing.assert_allclose(found / found.sum(1, keepdims=True), expected, atol=1e-4)
        answers.append(together)
    np.testing.assert_array_equal(answers[-1], logits)
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


def test_a_model_that_takes_the_patient_is_measured_with_and_without_one(told, drawn_data):
    labels = drawn_data / "HAM10000_metadata.csv"
    classifier = Classifier(told)
    table = evaluation.ham10000.read_labelled(drawn_data, labels).table
    answered = evaluation.answer(classifier=classifier, table=table)
    details = evaluation.details(classifier, answered)
    nobody = table.assign(age=np.nan, sex=np.nan, localization=np.nan)
    without = evaluation.figures(classifier, evaluation.answer(classifier=classifier, table=nobody))

    alone = details["patients"]["alone"]
    assert alone["evaluation"] == without
    point = alone["details"]["operating_points"]["sensitive"]
    assert point["sensitivity"]["value"] == pytest.approx(without["malignant"]["sensitivity"])
    worth, known = details["patients"]["worth"]["log_loss"], evaluation.figures(classifier, answered)
    assert (worth["first"], worth["second"]) == pytest.approx((without["log_loss"], known["log_loss"]))
    assert worth["difference"] == pytest.approx(worth["second"] - worth["first"])
    assert set(details["patients"]["known"]) == set(COLUMNS)
    bundled = json.loads(told.text("details.json"))["patients"]  # of the same pictures, in other batches
    assert bundled["known"] == details["patients"]["known"]
    assert bundled["worth"]["log_loss"]["first"] == pytest.approx(worth["first"], abs=1e-5)
    for title in ("Without the patient's particulars", "What the patient's particulars change"):
        assert title in told.text("card.md")
    assert np.abs(answered.logits - answered.pictures).max() > 1e-3


def test_where_the_network_looks_is_measured_for_the_diagnosis_that_the_patient_makes_likeliest(told, drawn_data):
    table = evaluation.ham10000.read_labelled(drawn_data, drawn_data / "HAM10000_metadata.csv").table
    classifier = Classifier(told)
    fresh, _ = evaluation.unseen(table, told)
    square = imaging.centre(imaging.fit(imaging.read(fresh["path"].iloc[0]).pixels, told.manifest.size))
    alone = classifier.answer(square[None]).logits[0].argmax()

    class Swayed(Classifier):  # any patient makes another diagnosis the likeliest
        def with_patients(self, logits, patients):
            return np.roll(logits, 1, axis=1) + 50 * np.eye(7)[[(alone + 1) % 7] * len(logits)]

    looks = [
        evaluation.answer(classifier=kind(told), table=fresh.head(1), with_looks=True).looks[0]
        for kind in (Classifier, Swayed)
    ]
    assert looks[0] != looks[1]


def test_models_are_compared_with_what_is_known_of_the_patients(told, made, drawn_data, split_file):
    split = splits.read(split_file)
    data = DataSet(1, "drawn", drawn_data, "", "", {}, True, datetime.now(UTC), "ada")
    found = comparing.compare(champion=Classifier(told), challenger=Classifier(made), data=data, split=split)
    table = evaluation.ham10000.read_labelled(drawn_data, drawn_data / "HAM10000_metadata.csv").table
    classifier = Classifier(told)
    alone = evaluation.figures(classifier, evaluation.answer(classifier=classifier, table=table))
    assert found.figures["macro_auc"]["first"] == pytest.approx(alone["macro_auc"], abs=1e-9)
    assert found.figures["malignant.auc"]["first"] == pytest.approx(alone["malignant"]["auc"], abs=1e-9)


def test_the_predict_command_takes_the_patient_for_models_that_do(told, made, drawn_data, tmp_path, capsys):
    picture = str(next(iter(sorted((drawn_data).rglob("*.jpg")))))

    def asked(*more: str, model: Bundle = told) -> tuple[int, list[float]]:
        out = tmp_path / "answers.json"
        out.unlink(missing_ok=True)
        status = cli.main(["predict", picture, f"--model={model.folder}", f"--json={out}", *more])
        return status, list(json.loads(out.read_text())[0]["probabilities"].values()) if out.exists() else []

    unknown, old = asked(), asked("--age=80", "--sex=male", "--site=face")
    assert unknown[0] == old[0] == 0
    assert unknown[1] != old[1]
    assert sum(old[1]) == pytest.approx(1, abs=1e-5)
    assert asked("--age=300") == (2, [])
    assert "between 0 and 120" in capsys.readouterr().err
    assert asked("--age=30", model=made) == (2, [])
    assert "judges pictures alone; leave age" in capsys.readouterr().err


def test_a_model_whose_patient_part_is_gone_is_refused(told, tmp_path):
    folder = tmp_path / "changed"
    folder.mkdir()
    for path in told.folder.iterdir():
        if path.name != "patient.npz":
            (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(BundleError, match=r"lacks patient\.npz"):
        bundle.read(folder)
    bundle.write_manifest(folder, told.manifest)
    with pytest.raises(BundleError, match="incomplete"):
        bundle.read(folder)
