"""Cross-validation: what its figures are of, what it refuses, and its going on after a kill."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import pooled as benchmark
from skin_model import bundle, cli, files, imaging
from skin_model.conversion import load_keras
from skin_model.dataset import splits
from skin_model.dataset.labels import class_indices, is_malignant
from skin_model.errors import BusyError, ConfigurationError, DatasetError, TrainingError
from skin_model.evaluation import calibration, conformal, metrics
from skin_model.inference import Classifier
from skin_model.recipe import TrainingConfig
from skin_model.services import evaluation, models, training
from skin_model.services.calibrating import OutOfFold
from skin_model.services.crossval import LOGS, PROBABILITIES, crossval, pooled, rows, truth
from skin_model.taxonomy import CODES
from skin_model.training.run import RunState
from skin_model.training.state import read_state, without_places, write_state

FOLDS = ["fold0", "fold1"]


@pytest.fixture(scope="module")
def config(tiny) -> TrainingConfig:
    return replace(tiny, epochs=2)


@pytest.fixture(scope="module")
def crossed(drawn_data, split_file, config, tmp_path_factory) -> Path:
    """The folder of a finished cross-validation; read-only for tests."""
    out = tmp_path_factory.mktemp("crossed") / "two folds"
    crossval(data=drawn_data, out=out, config=config, split=split_file)
    return out


@pytest.fixture
def untrained(monkeypatch):
    """Fails the test where a training starts."""

    def train(**_: object) -> None:
        raise AssertionError("a training was started")

    monkeypatch.setattr(training, "train", train)


def test_each_image_of_the_folds_is_answered_once_by_the_network_that_never_met_its_lesion(crossed, parts):
    answered = pd.read_csv(crossed / "oof.csv").set_index("image_id")
    expected = parts[parts["part"].isin(FOLDS)].set_index("image_id")

    assert sorted(answered.index) == sorted(expected.index)
    assert answered["fold"].to_dict() == expected["part"].to_dict()
    assert answered["dx"].to_dict() == expected["dx"].to_dict()
    for fold in FOLDS:
        run = read_state(crossed / fold)
        assert (run.config.validation, run.finished) == (fold, True)


def test_answers_are_of_the_best_network_over_its_views_with_the_temperature_of_the_calibration_part(
    crossed, parts, drawn_data, config, tmp_path
):
    out = tmp_path / "copy"
    shutil.copytree(crossed, out)
    crossval(data=drawn_data, out=out, config=config, views=2, resume=True)
    model = load_keras(out / "fold1" / "best.keras")

    def logs(table: pd.DataFrame) -> np.ndarray:
        squares = [imaging.centre(imaging.fit(imaging.read(path).pixels, config.size)) for path in table["path"]]
        images = imaging.to_network(np.stack(squares))
        return np.mean([np.log(model.predict(x, verbose=0)) for x in (images, images[:, ::-1, ::-1])], axis=0)

    own, fitted_on = (parts[parts["part"] == part].sort_values("image_id") for part in ("fold1", "calibration"))
    temperature = calibration.fit_temperature(logs(fitted_on), class_indices(fitted_on["dx"]))
    answered = pd.read_csv(out / "oof.csv")
    assert set(answered["fold"]) == set(FOLDS)
    answered = answered[answered["fold"] == "fold1"]
    np.testing.assert_allclose(answered[LOGS], logs(own), atol=1e-4)
    np.testing.assert_allclose(answered[PROBABILITIES], calibration.softmax(logs(own), temperature), atol=1e-3)


def test_figures_are_those_of_the_saved_answers_over_all_folds_and_in_each(crossed):
    found = json.loads((crossed / "crossval.json").read_text())
    answered = pd.read_csv(crossed / "oof.csv")

    def figures(rows: pd.DataFrame) -> dict:
        return metrics.score(class_indices(rows["dx"]), rows[PROBABILITIES].to_numpy(), threshold=found["threshold"])

    def of(key: str, report: dict) -> float:
        return report[key]

    for key in ("n", "balanced_accuracy", "macro_auc", "ece", "log_loss"):
        assert found["pooled"][key] == pytest.approx(of(key, figures(answered)))
        for fold in FOLDS:
            assert found["folds"][fold][key] == pytest.approx(of(key, figures(answered[answered["fold"] == fold])))
    assert found["pooled"]["intervals"]["unit"] == "lesion"
    low, high = found["pooled"]["intervals"]["macro_auc"]
    assert low <= found["pooled"]["macro_auc"] <= high


def answers_of(crossed: Path, *folds: str) -> pd.DataFrame:
    return pd.concat([pd.read_csv(crossed / fold / "answers-1.csv") for fold in folds], ignore_index=True)


def test_prediction_sets_of_each_fold_are_fitted_as_a_bundles_and_measured_on_the_fold(crossed):
    """On the calibration part and the other fold's answers, by the temperature that these call for."""
    found = json.loads((crossed / "crossval.json").read_text())
    held, everything = 0, 0
    for fold, other in zip(FOLDS, reversed(FOLDS), strict=True):
        mine, others = answers_of(crossed, fold), answers_of(crossed, other)
        own, others = mine[mine["part"] == fold], others[others["part"] == other]
        fitted_on = pd.concat([mine[mine["part"] == "calibration"], others])
        correction = calibration.fit_temperature(np.log(others[PROBABILITIES].to_numpy()), class_indices(others["dx"]))

        def corrected(answered: pd.DataFrame, correction: float = correction) -> np.ndarray:
            return calibration.softmax(np.log(answered[PROBABILITIES].to_numpy()), correction)

        labels, lesions = class_indices(fitted_on["dx"]), fitted_on["lesion_id"].to_numpy()
        members = conformal.members(corrected(own), conformal.fit(labels, corrected(fitted_on), lesions))
        holds = members[np.arange(len(own)), class_indices(own["dx"])]
        detailed = found["folds"][fold]["detailed"]
        assert detailed["coverage"]["value"] == pytest.approx(holds.mean())
        assert detailed["size"]["value"] == pytest.approx(members.sum(axis=1).mean())
        of_class = (own["dx"] == "mel").to_numpy()
        assert detailed["mel.coverage"]["value"] == pytest.approx(holds[of_class].mean())
        held, everything = held + holds.sum(), everything + len(own)
    assert found["pooled"]["detailed"]["coverage"]["value"] == pytest.approx(held / everything)
    shown = {name: (value, interval) for name, value, interval, *_ in rows(found)}
    assert shown["Prediction sets: coverage"][0] == f"{held / everything:.3f}"
    assert " to " in shown["Malignant: specificity at sensitivity 0.95"][1]


def test_the_sets_of_a_fold_that_is_done_alone_are_fitted_on_the_calibration_part(crossed):
    mine = answers_of(crossed, "fold1")
    fitted_on, own = (mine[mine["part"] == part] for part in ("calibration", "fold1"))
    with (crossed / "fold1" / "answers-1.csv").open() as text:
        found = pooled(TrainingConfig(), "split", 1, [text], {"fold1": {"best_epoch": 1, "epochs": 1}})
    fitted = conformal.fit(*truth(fitted_on), fitted_on["lesion_id"].to_numpy())
    members = conformal.members(truth(own)[1], fitted)
    assert found["pooled"]["detailed"]["size"]["value"] == pytest.approx(members.sum(axis=1).mean())


def test_the_operating_point_is_chosen_on_the_calibration_part_alone(crossed):
    found = json.loads((crossed / "crossval.json").read_text())
    answers = answers_of(crossed, *FOLDS)
    fitted_on = answers[(answers["part"] == "calibration") & answers["dx"].isin(["mel", "bcc", "akiec"])]
    referred = fitted_on[["p_mel", "p_bcc", "p_akiec"]].sum(axis=1) >= found["threshold"] - 1e-9
    assert referred.mean() >= 0.95
    assert referred.mean() - 1 / len(referred) < 0.95  # and no larger threshold would do


def test_a_fold_that_is_done_later_joins_those_before_it(crossed, drawn_data, config, tmp_path):
    out = tmp_path / "one by one"
    shutil.copytree(crossed, out, ignore=shutil.ignore_patterns("fold1"))
    alone = crossval(data=drawn_data, out=out, config=config, folds=(0,), resume=True)
    assert list(alone["folds"]) == ["fold0"]
    with pytest.raises(
        TrainingError, match=r"other settings .*: dropout 0\.2 / 0\.4\. Give the same ones, or name a new"
    ):
        crossval(data=drawn_data, out=out, config=replace(config, dropout=0.4), folds=(1,))
    shutil.copytree(crossed / "fold1", out / "fold1")

    both = crossval(data=drawn_data, out=out, config=config, folds=(1,), resume=True)

    assert both == json.loads((crossed / "crossval.json").read_text())
    assert (out / "oof.csv").read_bytes() == (crossed / "oof.csv").read_bytes()


def test_folds_done_later_answer_with_as_many_views_or_are_refused(crossed, drawn_data, config, tmp_path):
    out = tmp_path / "two views"
    shutil.copytree(crossed, out, ignore=shutil.ignore_patterns("fold1", "answers-1.csv"))
    first = crossval(data=drawn_data, out=out, config=config, folds=(0,), views=2, resume=True)
    assert first["views"] == 2
    shutil.copytree(crossed / "fold1", out / "fold1")
    (out / "fold1" / "answers-1.csv").unlink()
    before = (out / "crossval.json").read_bytes()
    with pytest.raises(TrainingError, match=r"fold0 in .* answered with another number of views.* Leave --views"):
        crossval(data=drawn_data, out=out, config=config, folds=(1,), views=1, resume=True)
    assert (out / "crossval.json").read_bytes() == before

    both = crossval(data=drawn_data, out=out, config=config, folds=(1,), resume=True)

    assert (both["views"], list(both["folds"])) == (2, FOLDS)
    anew = crossval(data=drawn_data, out=out, config=config, views=1, resume=True)
    assert anew == json.loads((crossed / "crossval.json").read_text())


def test_two_cross_validations_never_share_a_folder(drawn_data, split_file, config, tmp_path):
    (tmp_path / "note.txt").write_text("of the other one")
    with files.held(tmp_path), pytest.raises(BusyError):
        crossval(data=drawn_data, out=tmp_path, config=config, split=split_file)


def options(config: TrainingConfig) -> list[str]:
    settings = {name: value for name, value in asdict(config).items() if name != "validation" and value is not None}
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


def test_a_killed_cross_validation_goes_on_to_the_answers_of_an_undisturbed_one(
    drawn_data, split_file, crossed, config, tmp_path, capsys, kill_command
):
    out = tmp_path / "killed"
    arguments = ["crossval", f"--data={drawn_data}", f"--split={split_file}", f"--out={out}", *options(config)]
    kill_command(arguments, out / "fold1")
    assert read_state(out / "fold1").epoch == 1
    assert not (out / "oof.csv").exists()
    finished = {path: path.stat().st_mtime_ns for path in (out / "fold0").iterdir()}

    assert cli.main([*arguments, "--resume"]) == 0

    assert {path: path.stat().st_mtime_ns for path in (out / "fold0").iterdir()} == finished
    pd.testing.assert_frame_equal(pd.read_csv(out / "oof.csv"), pd.read_csv(crossed / "oof.csv"), check_exact=True)
    shown = capsys.readouterr().out
    assert "fold1 (2 of 2)" in shown
    header, *lines = shown[shown.index("figure  ") :].splitlines()
    assert header.split() == ["figure", "all", "folds", "95", "%", "interval", *FOLDS]
    assert any(line.startswith("Balanced accuracy") and " to " in line for line in lines)


def test_a_finished_cross_validation_is_neither_overwritten_nor_done_again(crossed, drawn_data, split_file, config):
    before = {path: path.stat().st_mtime_ns for path in crossed.glob("fold*/*")}
    with pytest.raises(TrainingError, match=r"already holds fold0, fold1; add --resume"):
        crossval(data=drawn_data, out=crossed, config=config, split=split_file)
    known = json.loads((crossed / "crossval.json").read_text())
    assert crossval(data=drawn_data, out=crossed, config=config, resume=True) == known
    assert {path: path.stat().st_mtime_ns for path in crossed.glob("fold*/*")} == before


def test_a_cross_validation_is_not_taken_up_with_other_settings_or_another_split(
    crossed, drawn_data, split_file, config, tmp_path
):
    with pytest.raises(TrainingError, match=r"other settings .*: dropout 0\.2 / 0\.4"):
        crossval(data=drawn_data, out=crossed, config=replace(config, dropout=0.4), resume=True)
    other = pd.read_csv(split_file)
    other["part"] = other["part"].replace({"fold0": "fold1", "fold1": "fold0"})
    other.to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(TrainingError, match="use another split"):
        crossval(data=drawn_data, out=crossed, config=config, split=tmp_path / "other.csv", resume=True)
    with pytest.raises(TrainingError, match=r"no cross-validation in .*Leave --resume out"):
        crossval(data=drawn_data, out=tmp_path / "new", config=config, split=split_file, resume=True)


@pytest.mark.usefixtures("untrained")
def test_a_class_without_a_lesion_in_a_fold_is_named_before_any_training(drawn_data, split_file, config, tmp_path):
    split = pd.read_csv(split_file)
    gone = split["dx"].isin(["df", "vasc"]) & (split["part"] == "fold1")
    lesions = split[split["dx"].eq("df") & split["part"].eq("fold0")]["lesion_id"].nunique()
    split.loc[gone, "part"] = "test"
    split.to_csv(tmp_path / "split.csv", index=False)
    with pytest.raises(DatasetError, match=rf"df has none in fold1 \({lesions} in all folds\); vasc has none in fold1"):
        crossval(data=drawn_data, out=tmp_path / "out", config=config, split=tmp_path / "split.csv")


@pytest.mark.usefixtures("untrained")
def test_a_lesion_in_two_folds_is_refused_once_for_all_before_any_training(drawn_data, split_file, config, tmp_path):
    split = pd.read_csv(split_file)
    lesion = split[split["part"] == "fold0"]["lesion_id"].value_counts().idxmax()
    rows = split.index[split["lesion_id"] == lesion]
    assert len(rows) > 1
    split.loc[rows[0], "part"] = "fold1"
    split.to_csv(tmp_path / "leaky.csv", index=False)
    with pytest.raises(DatasetError, match=lesion):
        crossval(data=drawn_data, out=tmp_path / "out", config=config, split=tmp_path / "leaky.csv")
    with pytest.raises(AssertionError, match="a training was started"):
        crossval(data=drawn_data, out=tmp_path / "out", config=config, split=tmp_path / "leaky.csv", guard=False)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("changed", "asked", "sentence"),
    [
        ({"task": "binary"}, {}, "seven diagnoses; leave --task out"),
        ({}, {"views": 3}, "views must be one of 1, 2, 4, 8; 3"),
        ({}, {"folds": (0, 7)}, "must be in the split; it has fold0, fold1"),
    ],
)
def test_what_cannot_be_cross_validated_is_refused_before_any_training(
    changed, asked, sentence, drawn_data, split_file, config, tmp_path
):
    with pytest.raises(ConfigurationError, match=sentence):
        crossval(data=drawn_data, out=tmp_path, config=replace(config, **changed), split=split_file, **asked)


def test_folds_start_from_and_are_taught_by_the_network_of_their_own_fold_only(
    drawn_data, split_file, config, tmp_path, monkeypatch
):
    started: list[TrainingConfig] = []

    def train(*, config: TrainingConfig, **_: object) -> RunState:
        started.append(config)
        return RunState(config, "split")

    monkeypatch.setattr(training, "train", train)
    for fold in FOLDS:
        (tmp_path / fold).mkdir()
        known = RunState(replace(config, validation=fold), splits.fingerprint(splits.read(split_file)), finished=True)
        write_state(known, tmp_path / fold)
    places = {"data": drawn_data, "out": tmp_path / "out", "split": split_file}

    with pytest.raises(ConfigurationError, match=r"validated on fold0, so it has learned from lesions of fold1"):
        crossval(config=replace(config, weights=str(tmp_path / "fold0" / "best.keras")), **places)
    assert not started
    with pytest.raises(ConfigurationError, match=r"fold0 has learned from lesions of fold1 and would teach"):
        crossval(config=replace(config, teachers=str(tmp_path / "fold0")), **places)
    with pytest.raises(TrainingError, match=r"no training in .*fold0.*nowhere"):
        crossval(config=replace(config, teachers=str(tmp_path / "{fold}" / "nowhere")), **places)
    assert not started
    of_each = {"weights": str(tmp_path / "{fold}" / "best.keras"), "teachers": str(tmp_path / "{fold}")}
    with pytest.raises(TrainingError, match=r"stopped in fold0; go on with --resume"):
        crossval(config=replace(config, **of_each), **places)
    assert started[0].teachers == str(tmp_path / "fold0")
    assert started[0].weights == str(tmp_path / "fold0" / "best.keras")


def test_a_models_limits_can_be_fitted_on_out_of_fold_answers_too(crossed, trained, made, parts, drawn_data, tmp_path):
    told = models.make_bundle(data=drawn_data, run=trained, out=tmp_path / "model", crossval=crossed).manifest
    answered = pd.read_csv(crossed / "oof.csv")
    truth, logs = class_indices(answered["dx"]), np.log(answered[PROBABILITIES].to_numpy())
    correction = calibration.fit_temperature(logs, truth)
    _, logits = evaluation.answer_rows(Classifier(made), fitted_on := parts[parts["part"] == "calibration"])
    own = calibration.softmax(logits, made.manifest.temperature * correction)
    probabilities = np.concatenate([own, calibration.softmax(logs, correction)])
    malignant = is_malignant(np.concatenate([class_indices(fitted_on["dx"]), truth]))
    enough = calibration.operating_point(metrics.malignant_probability(probabilities), malignant, sensitivity=0.95)

    assert told.model_version != made.manifest.model_version  # the same network with limits of its own
    assert told.temperature == pytest.approx(made.manifest.temperature * correction, rel=1e-3)
    assert told.threshold == pytest.approx(enough, abs=1e-4)
    both = pd.concat([fitted_on, answered])
    sets = conformal.fit(class_indices(both["dx"]), probabilities, both["lesion_id"].to_numpy())
    assert told.prediction_sets["thresholds"] == pytest.approx(sets["thresholds"], abs=1e-4)
    balanced = calibration.balanced_point(metrics.malignant_probability(probabilities), malignant)
    assert told.balanced_threshold == pytest.approx(balanced, abs=1e-4)
    lesions = pd.concat([fitted_on, answered]).groupby("dx")["lesion_id"].nunique()
    assert told.prediction_sets["lesions"] == {code: lesions.get(code, 0) for code in CODES}
    assert set(conformal.always_in(told.prediction_sets)) < set(CODES), "some classes have nine lesions now"
    card = bundle.read(tmp_path / "model").text("card.md")
    assert f"| Out-of-fold answers | {len(answered)} images of {answered['lesion_id'].nunique()} lesions, by " in card
    assert "the figures below say whether the limits hold" in " ".join(card.split())
    assert f"crossval --data DATA --split SPLIT.csv --out runs/folds --network {told.network}" in card
    assert " --crossval runs/folds" in card


def test_a_model_tells_the_cross_validation_that_its_folds_were_started_from(crossed, drawn_data, config, tmp_path):
    config = replace(config, weights=str(crossed / "{fold}" / "best.keras"), epochs=1)
    crossval(data=drawn_data, out=tmp_path / "on", config=config, split=crossed / "split.csv")
    split = splits.read(crossed / "split.csv")
    about = OutOfFold.read(tmp_path / "on", split).about
    assert about["training"]["weights"] == "{fold}/best.keras"
    assert about["stages"] == [OutOfFold.read(crossed, split).about["training"] | {"epochs_run": 2}]
    shutil.rmtree(tmp_path / "on" / "fold0")
    assert OutOfFold.read(tmp_path / "on", split).about["stages"] == []


def test_kept_answers_come_to_the_figures_of_the_cross_validation_and_so_does_their_mean(
    crossed, drawn_data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(benchmark, "VIEWS", 1)
    kept = tmp_path / "answers.csv.gz"

    def printed(*arguments: object) -> list[str]:
        given = ["--data", drawn_data, "--split", crossed / "split.csv", *arguments]
        monkeypatch.setattr("sys.argv", ["pooled", *map(str, given)])
        benchmark.main()
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    of_folder = printed(crossed, "--keep", kept)
    found = json.loads((crossed / "crossval.json").read_text())
    assert of_folder == [" ".join(" ".join(row).split()) for row in rows(found)]
    auc = f"Macro AUC {found['pooled']['macro_auc']:.3f} "
    assert any(line.startswith(auc) for line in printed(kept))
    assert any(line.startswith(auc) for line in printed(kept, crossed))

    answers = pd.read_csv(kept)
    answers[LOGS] = np.roll(answers[LOGS], 1, axis=1)  # each class gets another one's answer
    answers.to_csv(wrong := tmp_path / "wrong.csv.gz", index=False)

    def macro_auc(*arguments: object) -> list[str]:
        return next(line.split()[2:] for line in printed(*arguments) if line.startswith("Macro AUC"))

    right, worse, told = macro_auc(crossed), macro_auc(wrong), macro_auc(crossed, "--against", wrong)
    assert told[:2] == [worse[0], right[0]]
    difference, low, high = (float(told[place]) for place in (2, 3, 5))
    assert difference == pytest.approx(float(right[0]) - float(worse[0]), abs=2e-3)
    assert low < difference < high
    better = sum(float(one) > float(other) for one, other in zip(right[4:], worse[4:], strict=True))
    assert told[6:] == [str(better), "of", str(len(found["folds"]))]

    parts = splits.read(crossed / "split.csv")
    places = [parts.index[parts["part"] == part][0] for part in ("fold0", "fold1", "fold0", "calibration")]
    images = [parts["image_id"][place] for place in places]
    lookalikes = pd.DataFrame({"image_a": images[::2], "image_b": images[1::2], "same_lesion": "yes"})
    lookalikes.to_csv(reviewed := tmp_path / "reviewed.csv", index=False)
    lesions = parts["lesion_id"][places[:2]]
    count = parts["lesion_id"].isin(lesions).sum()
    lines = printed(kept, "--reviewed", reviewed)
    assert lines[0] == f"Left out: {count} images of 2 lesions."
    assert f"Images {(parts['part'].str.startswith('fold')).sum() - count}" in " ".join(lines)


def test_limits_are_not_fitted_on_an_unfinished_cross_validation_or_one_of_another_split(
    crossed, trained, drawn_data, tmp_path
):
    def refused(folder: Path, because: str) -> None:
        with pytest.raises(ConfigurationError, match=because):
            models.make_bundle(data=drawn_data, run=trained, out=tmp_path / "model", crossval=folder)

    broken_off = tmp_path / "begun"
    broken_off.mkdir()
    shutil.copy(crossed / "oof.csv", broken_off)
    refused(broken_off, "holds no finished cross-validation")
    found = json.loads((crossed / "crossval.json").read_text())
    (broken_off / "crossval.json").write_text(json.dumps(found | {"split": "another"}))
    refused(broken_off, "Give one of the same split")
    (broken_off / "crossval.json").write_text("[")
    refused(broken_off, "finish it with `crossval --resume`")
    (broken_off / "crossval.json").write_text(json.dumps(found))
    answered = pd.read_csv(crossed / "oof.csv")
    answered[answered["fold"] == "fold0"].to_csv(broken_off / "oof.csv", index=False)
    refused(broken_off, "was not done for all folds")
    state = read_state(shutil.copytree(trained, tmp_path / "binary"))
    write_state(replace(state, config=replace(state.config, task="binary")), tmp_path / "binary")
    with pytest.raises(ConfigurationError, match="leave it out for a binary model"):
        models.make_bundle(data=drawn_data, run=tmp_path / "binary", out=tmp_path / "model", crossval=crossed)
    assert not (tmp_path / "model").exists()


def test_settings_for_others_name_files_without_their_places():
    folds = TrainingConfig(weights="/home/me/runs/{fold}/best.keras", teachers="/home/me/a,/home/me/b")
    told = without_places(folds)
    assert (told["weights"], told["teachers"]) == ("{fold}/best.keras", "a,b")
    assert without_places(TrainingConfig())["weights"] is None


def test_the_columns_of_the_answers_are_in_the_taxonomys_order(crossed):
    columns = list(pd.read_csv(crossed / "oof.csv").columns)
    expected = [f"{kind}_{code}" for kind in ("log_p", "p") for code in CODES]
    assert columns == ["image_id", "lesion_id", "dx", "fold", *expected]
