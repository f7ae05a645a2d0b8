"""The command line: what it accepts, prints and returns."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from pathlib import Path

import pandas as pd
import pytest

from skin_model import cli
from skin_model.dataset import splits
from skin_model.recipe import TrainingConfig
from skin_model.services import crossval, datasets, models, search, training
from skin_model.training.run import RunState

ROOT = Path(__file__).resolve().parent.parent
PLACES = ["--data", "--out", "--split", "--resume"]
SETTINGS = [f"--{field.name.replace('_', '-')}" for field in fields(TrainingConfig)]
COMMANDS = {
    "": ["dataset", "train", "crossval", "join", "search", "bundle", "evaluate", "predict", "explain-check", "worker"],
    "dataset": ["validate", "draw", "lookalikes", "split"],
    "dataset validate": ["DIR"],
    "dataset draw": ["DIR", "--lesions", "--height", "--width", "--seed"],
    "dataset lookalikes": ["DIR", "CSV", "--model"],
    "dataset split": ["DIR", "CSV", "--seed", "--folds", "--reviewed"],
    "train": [*PLACES, "--no-leak-guard", *SETTINGS],
    "crossval": [*PLACES, "--folds", "--views", "--no-leak-guard", "{fold}", *(set(SETTINGS) - {"--validation"})],
    "join": ["RUN", "--out"],
    "search": [*PLACES, "--trials", *SETTINGS],
    "bundle": ["--data", "--run", "--out", "--views", "--sensitivity", "--crossval", "--half", "--note", "--no-test"],
    "evaluate": ["--images", "--labels", "--model", "--json", "--report", "--corruptions", "--allow-seen"],
    "predict": [
        "PATH",
        "--model",
        "--json",
        "--age",
        "--sex",
        "--site",
        "--judge-all",
        "--explain",
        "--method",
        "--target",
    ],
    "explain-check": ["--data", "--model", "--images", "--slow-images", "--seed", "--json", "--rows", "--keep"],
    "segmentation": ["--data", "--split", "--out", "--epochs"],
    "worker": [],
}


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "skin_model", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_argument(name, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*name.split(), "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert [word for word in COMMANDS[name] if word not in shown] == []


def test_no_help_waits_for_tensorflow_or_another_large_library():
    code = (
        "import sys\nfrom skin_model import cli\n"
        f"for name in {list(COMMANDS)!r}:\n"
        "    try: cli.main([*name.split(), '--help'])\n"
        "    except SystemExit as ended: assert ended.code == 0\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "skin_model.cli" in loaded
    assert not {"tensorflow", "keras", "openvino", "pandas", "sklearn", "scipy", "streamlit", "optuna"} & loaded


def test_an_error_is_one_sentence_with_status_2_and_no_traceback():
    done = command("predict", "lesion.jpg", "--model", "no such model")
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no model in no such model")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("dataset validate nowhere", "nowhere"),
        ("dataset draw {data}", "is not an empty folder"),
        ("dataset draw new --lesions 0", "at least one lesion"),
        ("dataset split nowhere new.csv", "nowhere"),
        ("train --data {data} --out new --epochs 0", "epochs must lie between 1 and 1000"),
        ("train --data nowhere --out new", "nowhere"),
        ("train --data {data} --out new --split nowhere.csv", "nowhere.csv"),
        ("train --data {data} --split {split} --out {run} --validation fold1", "--resume"),
        ("train --data {data} --split {split} --out {run} --resume", "other settings"),
        ("train --data {data} --split {split} --out new --network resnet9000", "choose one of custom_cnn"),
        ("train --data {data} --split {split} --out new --network custom_cnn --weights a.h5", "leave --weights out"),
        ("crossval --data nowhere --out new", "nowhere"),
        ("crossval --data {data} --out new --resume", "no cross-validation in new"),
        ("crossval --data {data} --split {split} --out new --folds 0,7", "must be in the split"),
        ("search --data {data} --out new --trials 0", "one trial or more"),
        ("search --data {data} --out new --trials 2 --resume", "no search in new"),
        ("join {run} nowhere --out new", "no training in nowhere"),
        ("dataset lookalikes {data} {split}", "may hold a review"),
        ("dataset lookalikes {data} new.csv --model nowhere", "There is no model in nowhere"),
        ("bundle --data {data} --run nowhere --out new", "no training in nowhere"),
        ("bundle --data {data} --run {run} --out {model}", "already exists"),
        ("evaluate --images nowhere --labels {labels} --model {model}", "no folder nowhere"),
        ("evaluate --images {data} --labels nowhere.csv --model {model}", "no file nowhere.csv"),
        ("evaluate --images {data} --labels {labels} --model {model} --json nowhere/report.json", "Name another place"),
        ("evaluate --images {data} --labels {labels} --model {model} --report {split}", "Name another place"),
        ("evaluate --images {data} --labels {labels} --model nowhere --json {empty}", "empty: Is a directory. Name"),
        ("predict {data} --model nowhere --json {empty}", "empty: Is a directory. Name another place"),
        ("evaluate --images {data} --labels {labels} --model {model} --corruptions", "add --report DIR"),
        ("predict {empty} --model {model}", "No image was found"),
        ("predict {data} --model {data}", "There is no model in"),
    ],
)
def test_what_cannot_be_done_ends_with_a_sentence_and_status_2(
    arguments, sentence, drawn_data, split_file, trained, made, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    places = {
        "data": drawn_data, "split": split_file, "run": trained, "model": made.folder, "empty": tmp_path / "empty",
        "labels": drawn_data / "HAM10000_metadata.csv",
    }  # fmt: skip
    status = cli.main([word.format(**places) for word in arguments.split()])
    *_, last = capsys.readouterr().err.splitlines()
    assert status == 2
    assert last.startswith("error: ")
    assert sentence in last
    assert not list(tmp_path.glob("new/run.json"))


def test_an_option_that_does_not_exist_ends_with_usage_and_status_2(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["predict", "x.jpg", "--modle", "y"])
    assert ended.value.code == 2
    assert "usage: python -m skin_model" in capsys.readouterr().err


def test_a_fault_of_the_machine_without_a_number_is_told_by_its_words(monkeypatch, capsys):
    def failing(**_):
        raise OSError("the tape is torn")

    monkeypatch.setattr(datasets, "validate", failing)
    assert cli.main(["dataset", "validate", "lesions"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: the tape is torn. Name another place, or make room."


def test_stopping_a_command_by_hand_leaves_no_traceback_and_names_resume_where_there_is_such_an_option(
    monkeypatch, capsys
):
    def interrupted(**_):
        raise KeyboardInterrupt

    for service, name in ((training, "train"), (models, "make_bundle")):
        monkeypatch.setattr(service, name, interrupted)
    for arguments, said in (
        (["train", "--data=D", "--out=O"], "stopped; --resume goes on with what was begun"),
        (["bundle", "--data=D", "--run=R", "--out=O"], "stopped"),
    ):
        assert cli.main(arguments) == 130
        assert capsys.readouterr().err.splitlines()[-1] == said


WANTED = TrainingConfig(
    network="vgg_like", weights="a.keras", task="binary", size=96, epochs=3, batch=5, learning_rate=0.01,
    warmup_epochs=0.5, optimizer="adamw", weight_decay=0.1, average=0.5, loss="focal", label_smoothing=0.2,
    dropout=0.3, frozen=0.4, freeze_epochs=1, balance="oversampling", oversample_to=0.5, augmentation="strong",
    artefacts=0.1, mix="mixup", monitor="loss", patience=2, validation="fold3", seed=11, metadata="age,sex",
    teachers="a,b", teacher_share=0.4,
)  # fmt: skip
OPTIONS = {name: f"--{name.replace('_', '-')}={value}" for name, value in asdict(WANTED).items()}


@pytest.fixture
def given(monkeypatch) -> list[dict]:
    """Collects what the use-cases are asked for, in place of doing it."""
    asked: list[dict] = []

    def train(**arguments) -> RunState:
        asked.append(arguments)
        return RunState(arguments["config"], "data")

    def cross(**arguments) -> dict:
        asked.append(arguments)
        return {}

    def look(**arguments) -> search.Found:
        asked.append(arguments)
        return search.Found(0, arguments["config"], pd.DataFrame({"trial": [0]}))

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(crossval, "crossval", cross)
    monkeypatch.setattr(crossval, "rows", lambda found: [])
    monkeypatch.setattr(search, "search", look)
    return asked


def test_every_setting_reaches_training_cross_validation_and_search(given):
    same = {name for name, value in asdict(WANTED).items() if value == getattr(TrainingConfig(), name)}
    assert same == {"attention", "refit"}, "the one excludes mixing, the other the focal loss"
    of_all = [option for name, option in OPTIONS.items() if name != "validation"]
    places = ["--data=D", "--out=O", "--split=S.csv", "--resume"]

    assert cli.main(["train", *places, *OPTIONS.values()]) == 0
    assert cli.main(["crossval", *places, "--folds=3,1", "--views=4", *of_all]) == 0
    assert cli.main(["search", *places, "--trials=7", *OPTIONS.values()]) == 0

    trained, crossed, searched = given
    assert trained["config"] == searched["config"] == WANTED
    assert crossed["config"] == replace(WANTED, validation=TrainingConfig().validation)
    assert (crossed["folds"], crossed["views"]) == ((3, 1), 4)
    assert (searched["trials"], searched["fixed"]) == (7, frozenset(OPTIONS))
    assert (trained["folder"], crossed["out"], searched["out"]) == (Path("O"),) * 3
    for asked in given:
        assert (asked["data"], asked["split"], asked["resume"]) == (Path("D"), Path("S.csv"), True)


def test_attention_and_a_last_layer_fitted_anew_reach_training(given):
    assert cli.main(["train", "--data=D", "--out=O", "--attention=0.5", "--refit=0.2"]) == 0
    assert given[0]["config"] == TrainingConfig(attention=0.5, refit=0.2)


def test_settings_that_are_not_given_are_searched_and_have_their_defaults(given, capsys):
    assert cli.main(["search", "--data=D", "--out=O", "--trials=2", "--dropout=0.2"]) == 0
    assert given[0]["config"] == TrainingConfig()
    assert given[0]["fixed"] == {"dropout"}
    with pytest.raises(SystemExit):
        cli.main(["search", "--help"])
    searched = capsys.readouterr().out.split("Searches")[1].split("options:")[0]
    assert [name for name in search.SPACE if name.replace("_", "-") not in " ".join(searched.split())] == []


def test_the_leak_guard_is_on_unless_it_is_switched_off_and_then_the_figures_say_so(given, capsys):
    for command_name in ("train", "crossval"):
        for more, guarded in (([], True), (["--no-leak-guard"], False)):
            assert cli.main([command_name, "--data=D", "--out=O", *more]) == 0
            assert given[-1]["guard"] is guarded
    assert capsys.readouterr().out.count("The leak guard was off") == 1


def test_figures_of_folds_that_also_chose_the_epoch_are_said_to_flatter(given, capsys):
    for monitor, said in (("macro_auc", 1), ("last", 0)):
        assert cli.main(["crossval", "--data=D", "--out=O", f"--monitor={monitor}"]) == 0
        assert capsys.readouterr().out.count("chosen on the very fold that measures it") == said


def test_lookalikes_are_listed_and_reviewed_ones_stay_in_one_part_of_the_split(drawn_data, tmp_path, capsys):
    listed, review, split = (tmp_path / name for name in ("list.csv", "review.csv", "split.csv"))
    assert cli.main(["dataset", "lookalikes", str(drawn_data), str(listed)]) == 0
    shown = capsys.readouterr().out
    assert f"{listed}: {len(pd.read_csv(listed))} pairs" in shown
    assert "split --reviewed" in shown

    table = pd.read_csv(drawn_data / "HAM10000_metadata.csv")
    naevi = table[table["dx"] == "nv"].drop_duplicates("lesion_id")["image_id"].tolist()
    pairs = {"image_a": naevi[:-1], "image_b": naevi[1:], "same_lesion": "yes"}
    pd.DataFrame(pairs).to_csv(review, index=False)
    assert cli.main(["dataset", "split", str(drawn_data), str(split), "--reviewed", str(review)]) == 2
    assert "nv has 1" in capsys.readouterr().err


def test_a_drawn_data_set_passes_validation_and_a_damaged_one_does_not(tmp_path, capsys):
    data = tmp_path / "drawn"
    assert cli.main(["dataset", "draw", str(data), "--lesions", "1", "--height", "110", "--width", "146"]) == 0
    assert "synthetic" in capsys.readouterr().out

    assert cli.main(["dataset", "validate", str(data)]) == 0
    assert "0 problems" in capsys.readouterr().out

    first, second = sorted(data.rglob("*.jpg"))[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:300])
    assert cli.main(["dataset", "validate", str(data)]) == 1
    shown = capsys.readouterr().out
    assert "2 problems" in shown
    assert first.stem in shown
    assert second.stem in shown


def test_a_split_is_written_as_the_table_that_training_reads(drawn_data, tmp_path, capsys):
    file = tmp_path / "split.csv"
    assert cli.main(["dataset", "split", str(drawn_data), str(file), "--seed", "4"]) == 0
    split = splits.read(file)
    parts = {"test", "calibration", "fold0", "fold1", "fold2", "fold3", "fold4"}
    assert set(split["part"]) == parts
    assert len(split) == len(pd.read_csv(drawn_data / "HAM10000_metadata.csv"))
    shown = capsys.readouterr().out
    assert splits.fingerprint(split) in shown
    assert all(part in shown for part in parts)


def test_fewer_folds_divide_a_data_set_with_few_lesions(tmp_path, capsys):
    data, file = tmp_path / "drawn", tmp_path / "split.csv"
    assert cli.main(["dataset", "draw", str(data), "--lesions", "4", "--height", "50", "--width", "60"]) == 0
    assert cli.main(["dataset", "split", str(data), str(file)]) == 2
    for command in ("train", "crossval"):  # which draw a split where none is given
        assert cli.main([command, "--data", str(data), "--out", str(tmp_path / command)]) == 2
    told = capsys.readouterr().err
    assert told.count("akiec has 4") == told.count("`python -m skin_model dataset split --folds N`") == 3
    assert not file.exists()
    assert not (tmp_path / "train").exists()
    assert cli.main(["dataset", "split", str(data), str(file), "--folds", "2"]) == 0
    assert set(splits.read(file)["part"]) == {"test", "calibration", "fold0", "fold1"}


def test_json_is_written_through_a_link_and_into_a_pipe(made, drawn_data, tmp_path):
    picture = next(drawn_data.rglob("*.jpg"))
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "answers.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "far" / "answers.json")
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        piped = pool.submit((tmp_path / "pipe").read_text)
        for name in ("link.json", "pipe"):
            assert cli.main(["predict", str(picture), f"--model={made.folder}", f"--json={tmp_path / name}"]) == 0
        said = json.loads(piped.result(timeout=60))
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "far" / "answers.json").read_text()) == said
    assert [answer["image"] for answer in said] == [str(picture)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "link.json", "pipe"]


def test_evaluate_prints_its_figures_and_writes_the_same_as_json(made, drawn_data, parts, tmp_path, capsys):
    file = tmp_path / "report.json"
    labels = drawn_data / "HAM10000_metadata.csv"
    arguments = ["evaluate", "--images", str(drawn_data), "--labels", str(labels), "--model", str(made.folder)]

    assert cli.main([*arguments, "--json", str(file), "--report", str(tmp_path / "report")]) == 0

    report, shown = json.loads(file.read_text()), capsys.readouterr().out
    seen = int((parts.part != "test").sum())
    assert report["n_excluded_seen"] == seen
    assert f"{report['n']} images, {seen} left out as seen in training" in shown
    assert f"{report['balanced_accuracy']:.3f}" in shown
    assert "flatter" not in shown
    assert str(tmp_path / "report" / "report.html") in shown
    assert (tmp_path / "report" / "report.html").is_file()
    assert cli.main([*arguments, "--allow-seen"]) == 0
    assert "these figures may flatter it" in capsys.readouterr().out


def test_predict_prints_diagnosis_and_decision(made, parts, capsys):
    image = parts["path"].iloc[0]
    assert cli.main(["predict", str(image), "--model", str(made.folder)]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{image}: ")
    assert ("refer" in line) != ("below the operating point" in line)
