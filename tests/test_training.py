"""One training: its progress on disk, its refusals, and its going on after a kill."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skin_model import cli, files, networks
from skin_model.dataset import splits
from skin_model.dataset.labels import loss_weights, targets
from skin_model.dataset.pipeline import Batches
from skin_model.errors import BusyError, ConfigurationError, DatasetError, TrainingError
from skin_model.recipe import OPTIMIZERS, EpochRecord, TrainingConfig
from skin_model.services import models, teaching, training
from skin_model.taxonomy import CODES
from skin_model.training import run, state

ROOT = Path(__file__).resolve().parent.parent
FIGURES = [f.name for f in fields(EpochRecord) if f.name != "seconds"]


def record(epoch: int, **figures: float) -> EpochRecord:
    known = dict.fromkeys((f.name for f in fields(EpochRecord)), 0.0) | figures
    return EpochRecord(**(known | {"epoch": epoch}))


def follow(figures: list[float], **settings) -> run.RunState:
    """A training by hand: epochs of which only the validation's balanced accuracy, or loss, is told."""
    state = run.RunState(TrainingConfig(**settings), "data")
    name = f"val_{state.config.monitor}"
    for epoch, figure in enumerate(figures, 1):
        assert not state.finished
        state = state.after(record(epoch, **{name: figure}))
    return state


def test_training_stops_after_patience_epochs_without_a_better_figure():
    assert not follow([0.2, 0.5, 0.4, 0.5], patience=3).finished  # equal is not better
    stopped = follow([0.2, 0.5, 0.4, 0.5, 0.3], patience=3)
    assert (stopped.finished, stopped.best_epoch, stopped.epoch) == (True, 2, 5)


def test_patience_begins_once_the_whole_network_learns():
    state = follow([0.5, 0.4, 0.4, 0.4], patience=2, weights="imagenet", freeze_epochs=3)
    assert not state.finished
    assert state.after(record(5, val_balanced_accuracy=0.4)).finished


def test_a_better_figure_starts_patience_afresh():
    state = follow([0.5, 0.4, 0.6, 0.5], patience=2)
    assert (state.finished, state.best_epoch) == (False, 3)


def test_a_loss_is_better_when_it_is_lower():
    assert follow([1.0, 0.7, 0.9, 0.8], monitor="loss", patience=8).best_epoch == 2


def test_training_ends_with_its_last_epoch():
    assert follow([0.1, 0.2, 0.3], epochs=3).finished


@pytest.mark.parametrize("settings", [{"validation": "none"}, {"monitor": "last"}])
def test_without_a_figure_that_chooses_every_epoch_is_trained_and_the_last_one_is_kept(settings):
    state = run.RunState(TrainingConfig(epochs=3, patience=1, **settings), "data")
    for epoch, figure in enumerate([0.5, 0.4, 0.3], 1):
        assert not state.finished
        state = state.after(record(epoch, val_balanced_accuracy=figure, val_macro_auc=figure, val_loss=1 - figure))
    assert (state.finished, state.best_epoch, state.epoch) == (True, 3, 3)


def test_patience_is_not_forgotten_when_a_run_is_taken_up_again(tmp_path):
    before = follow([0.5, 0.4], patience=2)
    (tmp_path / "run.json").write_text(json.dumps(asdict(before)))

    again = run.read_state(tmp_path)

    assert again == before
    assert again.after(record(3, val_balanced_accuracy=0.4)).finished


def test_images_of_a_rare_class_count_more_in_the_loss():
    dx = pd.Series(["nv"] * 16 + ["df"] * 4)
    for balance, ratio in (("none", 1), ("sampling", 1), ("class-weights", 4), ("sqrt-class-weights", 2)):
        weights = loss_weights(dx, balance)
        assert weights[-1] / weights[0] == pytest.approx(ratio)
        assert weights.mean() == pytest.approx(1)


def test_targets_are_one_hot_in_the_taxonomys_order_or_malignant_or_not():
    dx = pd.Series(CODES[::-1])
    np.testing.assert_array_equal(targets(dx, "diagnosis"), np.eye(7)[::-1])
    assert targets(dx, "binary").ravel().tolist() == [0, 0, 1, 0, 0, 1, 1]


def test_a_finished_training_leaves_history_settings_split_and_the_best_network(trained, tiny, split_file):
    from skin_model.conversion import load_keras

    state = run.read_state(trained)
    history = pd.read_csv(trained / "history.csv")

    assert (state.finished, state.config, state.epoch) == (True, tiny, tiny.epochs)
    assert history.to_dict("records") == [pytest.approx(asdict(r)) for r in state.history]
    assert history["val_balanced_accuracy"].idxmax() + 1 == state.best_epoch
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert (trained / "split.csv").read_bytes() == split_file.read_bytes()
    assert sorted(p.name for p in trained.iterdir()) == ["best.keras", "history.csv", "run.json", "split.csv"]
    assert load_keras(trained / "best.keras").name == "custom_cnn"


def test_the_learning_rate_rises_to_the_given_one_and_falls_to_zero(trained, tiny):
    rates = pd.read_csv(trained / "history.csv")["learning_rate"]
    assert rates.iloc[0] == pytest.approx(tiny.learning_rate)
    assert rates.is_monotonic_decreasing
    assert rates.iloc[-1] == pytest.approx(0, abs=1e-9)


def test_a_binary_training_reports_the_same_figures(binary_run):
    history = pd.read_csv(binary_run / "history.csv")
    assert len(history) == 1
    assert history.notna().all(axis=None)
    assert run.read_state(binary_run).best_epoch == 1


def weights_in(path: Path) -> list[np.ndarray]:
    from skin_model.conversion import load_keras

    return load_keras(path).get_weights()


def assert_the_same_in_every_figure(folder: Path, other: Path) -> None:
    histories = [pd.read_csv(f / "history.csv")[FIGURES] for f in (folder, other)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    for one, two in zip(weights_in(folder / "best.keras"), weights_in(other / "best.keras"), strict=True):
        np.testing.assert_array_equal(one, two)
    known, expected = run.read_state(folder), run.read_state(other)
    assert (known.finished, known.best_epoch) == (expected.finished, expected.best_epoch)
    assert known.refitted == expected.refitted


def test_a_killed_training_goes_on_to_the_figures_of_an_undisturbed_one(
    drawn_data, split_file, trained, tiny, tmp_path, kill_command
):
    folder = tmp_path / "killed"
    options = [f"--{k.replace('_', '-')}={v}" for k, v in asdict(tiny).items() if v is not None]
    arguments = ["train", f"--data={drawn_data}", f"--out={folder}", f"--split={split_file}", *options]
    kill_command(arguments, folder)
    killed = run.read_state(folder)
    assert killed.epoch == 1

    assert cli.main([*arguments, "--resume"]) == 0

    assert run.read_state(folder).history[: killed.epoch] == killed.history  # kept, durations too, not done again
    assert_the_same_in_every_figure(folder, trained)


# A training that may send itself SIGKILL, when it has trained a batch or just before a file is put in place or removed.
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from skin_model.recipe import TrainingConfig
from skin_model.services import training

wanted, left = sys.argv[5], int(sys.argv[6])

def reached(moment):
    global left
    left -= moment == wanted
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def look(event, given):
    if event == "os.rename":
        reached(Path(given[1]).name)
    elif event == "os.remove":
        reached(f"without {Path(given[0]).name}")

sys.addaudithook(look)
data, split, folder = map(Path, sys.argv[1:4])
training.train(
    data=data, split=split, folder=folder, config=TrainingConfig(**json.loads(sys.argv[4])),
    on_batch=lambda epoch, batch, batches, loss: reached(f"batch {batch}"),
)
"""


@pytest.fixture
def in_a_process(drawn_data, split_file, refit_settings, tmp_path) -> Callable[..., Path]:
    """Trains as `refitted` was, in a process of its own, until a moment comes for the n-th time; gives the folder."""

    def train(moment: str = "", times: int = 1) -> Path:
        folder = tmp_path / "run"
        places = map(str, (drawn_data, split_file, folder))
        command = [sys.executable, "-c", SCRIPT, *places, json.dumps(asdict(refit_settings)), moment, str(times)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == (-signal.SIGKILL if moment else 0), done.stderr
        return folder

    return train


@pytest.mark.parametrize(
    ("moment", "times", "epochs", "saved"),
    [
        ("batch 3", 1, 0, set()),
        ("best.keras", 1, 1, {"checkpoint-0001.keras"}),
        ("run.json", 3, 1, {"best.keras", "history.csv", "checkpoint-0001.keras", "checkpoint-0002.keras"}),
        ("without checkpoint-0002.keras", 1, 2, {"best.keras", "history.csv", "checkpoint-0002.keras"}),
        ("run.json", 4, 2, {"best.keras", "history.csv"}),
    ],
    ids=[
        "in the middle of the first epoch",
        "with an epoch in run.json that best.keras is not of",
        "with a checkpoint that run.json does not know",
        "with the last checkpoint still there",
        "with a last layer that run.json does not know to be fitted",
    ],
)
def test_a_training_killed_at_any_moment_goes_on_to_exactly_what_an_undisturbed_one_comes_to(
    moment, times, epochs, saved, in_a_process, drawn_data, refitted, refit_settings
):
    folder = in_a_process(moment, times)
    killed = run.read_state(folder)
    found = {path.name for path in folder.iterdir() if not path.name.startswith("partial.")}
    assert (killed.epoch, found) == (epochs, saved | {"run.json", "split.csv"})

    training.train(data=drawn_data, folder=folder, config=refit_settings, resume=True)

    assert_the_same_in_every_figure(folder, refitted)
    assert run.read_state(folder).history[:epochs] == killed.history
    assert {p.name for p in folder.iterdir()} == {p.name for p in refitted.iterdir()}


def not_whole(how: str, whole: Path, refitted: Path, folder: Path) -> Path:
    """A copy of a training as it is found where it was killed, or ended by hand, before it was whole."""
    shutil.copytree(refitted if how == "before its last layer was fitted anew" else whole, folder)
    known = run.read_state(folder)
    if how == "with an epoch in run.json that best.keras is not of":
        (folder / f"checkpoint-{known.epoch:04d}.keras").touch()
    elif how == "in the middle":
        known = replace(known, finished=False, history=known.history[:-1])
    state.write_state(replace(known, refitted=None), folder)
    return folder


@pytest.mark.parametrize(
    "how",
    ["with an epoch in run.json that best.keras is not of", "before its last layer was fitted anew", "in the middle"],
)
def test_a_training_that_is_not_whole_is_neither_bundled_nor_teaches_nor_is_started_from(
    how, trained, refitted, tiny, drawn_data, tmp_path
):
    folder = not_whole(how, trained, refitted, tmp_path / "killed")
    known = run.read_state(folder)
    started = replace(tiny, weights=str(folder / "best.keras"))
    for use in (
        lambda: models.make_bundle(data=drawn_data, run=folder, out=tmp_path / "model"),
        lambda: teaching.check(replace(tiny, teachers=str(folder)), known.split),
        lambda: state.ancestors(started, known.split),
        lambda: state.require_whole(folder),
    ):
        with pytest.raises(TrainingError, match=r"killed is not finished yet; let it go on with --resume"):
            use()
    assert state.require_whole(trained) == run.read_state(trained)


def test_the_same_training_in_another_process_comes_to_exactly_the_same(in_a_process, refitted):
    assert_the_same_in_every_figure(in_a_process(), refitted)


def test_a_run_is_not_taken_up_with_other_settings_or_another_split(drawn_data, split_file, trained, tiny, tmp_path):
    other = pd.read_csv(split_file)
    lesion = other["lesion_id"][other["part"] == "test"].iloc[0]
    other.loc[other["lesion_id"] == lesion, "part"] = "calibration"
    other.to_csv(tmp_path / "other.csv", index=False)

    for config, split, named in (
        (replace(tiny, epochs=9, seed=3), split_file, "epochs 4 / 9; seed 0 / 3"),
        (tiny, tmp_path / "other.csv", "the split"),
    ):
        with pytest.raises(TrainingError, match=rf"other settings .*: {named}\. Give the same ones"):
            training.train(data=drawn_data, folder=trained, config=config, split=split, resume=True)


def test_a_finished_run_is_neither_overwritten_nor_trained_again(drawn_data, split_file, trained, tiny):
    before = {p: p.stat().st_mtime_ns for p in trained.iterdir()}
    with pytest.raises(TrainingError, match="--resume"):
        training.train(data=drawn_data, folder=trained, config=tiny, split=split_file)
    assert training.train(data=drawn_data, folder=trained, config=tiny, resume=True).finished
    assert {p: p.stat().st_mtime_ns for p in trained.iterdir()} == before


def test_two_trainings_never_share_a_folder(drawn_data, split_file, tiny, tmp_path):
    with files.held(tmp_path / "run"):
        (tmp_path / "run" / "split.csv").write_text("the other's")
        with pytest.raises(BusyError, match="Another process is at work"):
            training.train(data=drawn_data, folder=tmp_path / "run", config=tiny, split=split_file)
    assert not (tmp_path / "run" / "run.json").exists()
    assert (tmp_path / "run" / "split.csv").read_text() == "the other's"


def test_a_training_has_its_folder_for_itself_from_before_its_split_is_written(
    drawn_data, split_file, tiny, tmp_path, monkeypatch
):
    def busy(**_):
        with pytest.raises(BusyError), files.held(tmp_path / "run"):
            pass
        return (tmp_path / "run" / "split.csv").is_file()

    monkeypatch.setattr(run, "train", busy)
    assert training.train(data=drawn_data, folder=tmp_path / "run", config=tiny, split=split_file)


def test_there_is_nothing_to_take_up_in_an_empty_folder(drawn_data, split_file, tiny, tmp_path):
    with pytest.raises(TrainingError, match="There is no training in"):
        training.train(data=drawn_data, folder=tmp_path, config=tiny, split=split_file, resume=True)


def test_a_class_without_training_images_is_named_and_the_folder_can_be_used_again(parts, tiny, tmp_path):
    fold0, fold1 = parts[parts.part == "fold0"], parts[parts.part == "fold1"]
    without = fold1[~fold1["dx"].isin(["df", "vasc"])]
    for train, check, named in ((without, fold0, "training image of df, vasc"), (fold0, without, "validation image")):
        with pytest.raises(TrainingError, match=named):
            run.train(config=tiny, training=train, validation=check, folder=tmp_path / "new", split="x")
    assert not (tmp_path / "new" / "run.json").exists()


def test_a_validation_part_that_the_split_lacks_is_refused_with_its_parts(drawn_data, split_file, tiny, tmp_path):
    with pytest.raises(DatasetError, match=r"no part 'fold4'; it has calibration, fold0, fold1, test"):
        training.train(data=drawn_data, folder=tmp_path, config=replace(tiny, validation="fold4"), split=split_file)


def test_balance_by_sampling_draws_training_images_by_class_but_validates_each_once(parts, tiny):
    config = replace(tiny, balance="sampling")
    uneven = pd.concat([parts, parts[parts["dx"] == "nv"], parts[parts["dx"] == "nv"]])
    source = run._batches(config, uneven)
    checked = run._in_order(config, uneven, "validation")

    shares = pd.Series(source.shares).groupby(uneven["dx"].to_numpy()).sum()
    assert shares.to_numpy() == pytest.approx(1 / 7)
    assert set(source.weights) == {1.0}
    assert sorted(checked.order(0)) == list(range(len(uneven)))
    assert checked.augmentation == "none"


def test_oversampling_repeats_training_images_alone_and_validates_each_once(parts, tiny):
    config = replace(tiny, balance="oversampling", oversample_to=0.5)
    train, check = parts[parts.part == "fold1"], parts[parts.part == "fold0"]
    uneven = pd.concat([train, *[train[train["dx"] == "nv"]] * 5])
    source, checked = run._batches(config, uneven), run._in_order(config, check, "validation")

    assert set(source.paths) == set(train["path"])
    assert len(source) * config.batch >= len(source.paths) > len(uneven)
    seen = source.targets[source.order(0)].sum(0)
    common, rare = seen[CODES.index("nv")], seen[CODES.index("df")]
    assert rare == round(common / 2)
    assert list(checked.paths) == list(check["path"])


def test_blends_and_artefacts_are_for_training_images_alone(parts, tiny):
    config = replace(tiny, mix="cutmix", artefacts=0.5)
    source, checked = run._batches(config, parts), run._in_order(config, parts, "validation")
    assert (source.mix, source.artefacts) == ("cutmix", 0.5)
    assert (checked.mix, checked.artefacts) == ("none", 0.0)


def test_a_run_of_before_a_setting_existed_is_read_with_its_default(tmp_path):
    state = run.RunState(TrainingConfig(seed=4), "data", (record(1, val_loss=0.5),), 1)
    known = asdict(state)
    for later in ("loss", "average", "freeze_epochs", "oversample_to", "artefacts", "mix"):
        del known["config"][later]
    (tmp_path / "run.json").write_text(json.dumps(known))
    assert run.read_state(tmp_path) == state


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


@pytest.fixture(scope="module")
def rich(tiny, trained) -> TrainingConfig:
    """Settings that all leave something to be kept from epoch to epoch."""
    return replace(
        tiny, weights=str(trained / "best.keras"), epochs=3, freeze_epochs=1, warmup_epochs=0.5, frozen=0.3,
        average=0.8, loss="logit-adjusted", balance="none", mix="cutmix", artefacts=0.5, monitor="loss",
    )  # fmt: skip


@pytest.fixture(scope="module")
def rich_run(drawn_data, split_file, rich, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "rich"
    training.train(data=drawn_data, folder=folder, config=rich, split=split_file)
    return folder


def test_a_kill_after_any_epoch_changes_nothing_with_every_setting_in_use(
    drawn_data, split_file, rich, rich_run, tmp_path
):
    def kill(*_: object) -> None:
        raise Killed

    for done in (1, 2):  # after the frozen phase, and within the second one
        with pytest.raises(Killed):
            training.train(
                data=drawn_data, folder=tmp_path, config=rich, split=split_file, resume=done > 1, on_epoch=kill
            )
        assert run.read_state(tmp_path).epoch == done
    training.train(data=drawn_data, folder=tmp_path, config=rich, split=split_file, resume=True)

    assert_the_same_in_every_figure(tmp_path, rich_run)


def test_the_network_that_is_kept_is_the_one_that_was_validated(parts, rich, rich_run):
    from skin_model.conversion import load_keras
    from skin_model.training.validation import judge

    known = run.read_state(rich_run)
    batches = run._in_order(rich, parts[parts.part == rich.validation], "validation")
    figures = judge(load_keras(rich_run / "best.keras"), batches)
    assert asdict(figures) == pytest.approx(
        {k: getattr(known.history[known.best_epoch - 1], k) for k in asdict(figures)}
    )


def test_the_head_learns_at_a_constant_rate_and_the_rest_along_the_cosine(rich, rich_run):
    rates = [r.learning_rate for r in run.read_state(rich_run).history]
    assert rates[0] == pytest.approx(rich.learning_rate)
    assert rates[1] > rates[2] == pytest.approx(0, abs=1e-9)


@pytest.fixture(scope="module")
def on_all_folds(tiny, trained) -> TrainingConfig:
    """Settings of a last training, which goes on from one that a fold validated."""
    return replace(tiny, weights=str(trained / "best.keras"), validation="none", epochs=2, patience=1, average=0.8)


def test_a_training_that_goes_on_from_anothers_network_never_meets_its_views_again(
    drawn_data, split_file, tiny, trained, tmp_path, monkeypatch
):
    met: list[bytes] = []
    make = run.as_keras

    def noted(batches: Batches, epoch: int) -> object:
        images, *_ = batches.get(epoch, 0, batches.order(epoch))
        met.append(images.tobytes())
        return make(batches, epoch)

    def kill(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(run, "as_keras", noted)
    first = replace(tiny, epochs=2)
    training.train(data=drawn_data, folder=tmp_path / "first", config=first, split=split_file)
    second = replace(first, weights=str(tmp_path / "first" / "best.keras"))
    with pytest.raises(Killed):
        training.train(data=drawn_data, folder=tmp_path / "second", config=second, split=split_file, on_epoch=kill)
    training.train(data=drawn_data, folder=tmp_path / "second", config=second, split=split_file, resume=True)

    assert len(met) == len(set(met)) == 4


def test_a_training_counts_the_epochs_behind_its_weights_also_those_only_told_of(trained, tiny, split_file, tmp_path):
    known = run.read_state(trained)
    stages = ({"epochs_run": 3}, {"epochs_run": 5})
    for folder in (tmp_path / "told", tmp_path / "next"):
        shutil.copytree(trained, folder)
    state.write_state(replace(known, history=(), told=stages), tmp_path / "told")
    config = replace(tiny, weights=str(tmp_path / "told" / "best.keras"))

    begun = run._start(config, tmp_path / "new", known.split, resume=False)
    state.write_state(replace(begun, history=known.history, finished=True), tmp_path / "next")
    after = replace(tiny, weights=str(tmp_path / "next" / "best.keras"))

    assert begun.before == 8
    assert run._start(after, tmp_path / "new", known.split, resume=False).before == 8 + tiny.epochs


def test_a_last_training_learns_from_every_fold_without_a_figure_and_survives_a_kill(
    drawn_data, split_file, parts, on_all_folds, tmp_path, monkeypatch
):
    met: list[set[Path]] = []
    make = run._batches

    def noted(config: TrainingConfig, table: pd.DataFrame, *more: object) -> Batches:
        met.append(set(table["path"]))
        return make(config, table, *more)

    monkeypatch.setattr(run, "_batches", noted)
    places = {"data": drawn_data, "config": on_all_folds, "split": split_file}

    def kill(*_: object) -> None:
        raise Killed

    known = training.train(folder=tmp_path / "undisturbed", **places)
    with pytest.raises(Killed):
        training.train(folder=tmp_path / "killed", on_epoch=kill, **places)
    again = training.train(folder=tmp_path / "killed", resume=True, **places)

    assert met == [set(parts["path"][parts["part"].isin(["fold0", "fold1"])])] * 3
    assert (known.finished, known.best_epoch, again.finished, again.best_epoch) == (True, 2, True, 2)
    history = pd.read_csv(tmp_path / "undisturbed" / "history.csv")
    assert history.filter(like="val_").isna().all(axis=None)
    assert_the_same_in_every_figure(tmp_path / "killed", tmp_path / "undisturbed")
    assert [stage.config.validation for stage in state.lineage(tmp_path / "killed")] == ["fold0", "none"]


def test_a_last_step_that_breaks_the_weights_ends_a_training_without_validation(
    drawn_data, split_file, on_all_folds, tmp_path, monkeypatch
):
    fit = run.fit_epoch

    def break_last_step(model, batches, epoch, on_batch):
        logs = fit(model, batches, epoch, on_batch)
        model.get_layer("output").bias.assign(np.full(7, np.nan))
        return logs

    monkeypatch.setattr(run, "fit_epoch", break_last_step)
    config = replace(on_all_folds, weights=None, average=0.0)
    with pytest.raises(TrainingError, match="diverged in epoch 1"):
        training.train(data=drawn_data, folder=tmp_path, config=config, split=split_file)
    assert run.read_state(tmp_path).epoch == 0


@pytest.fixture
def broken(monkeypatch):
    """Makes the networks that are built answer nothing but NaN."""
    build = networks.build

    def build_broken(*args, **kwargs):
        model = build(*args, **kwargs)
        kernel, bias = model.get_layer("output").get_weights()
        model.get_layer("output").set_weights([kernel, bias * np.nan])
        return model

    monkeypatch.setattr(networks, "build", build_broken)


@pytest.mark.usefixtures("broken")
def test_a_loss_that_is_no_number_ends_training_with_advice(drawn_data, split_file, tiny, tmp_path):
    folder = tmp_path / "diverged"
    with pytest.raises(TrainingError, match=r"epoch 1 .*nan.*lower the learning rate"):
        training.train(data=drawn_data, folder=folder, config=tiny, split=split_file)
    assert run.read_state(folder).epoch == 0
    assert not (folder / "best.keras").exists()


def test_a_stop_asked_for_in_the_middle_leaves_a_run_that_can_be_taken_up(drawn_data, split_file, tiny, tmp_path):
    seen: list[tuple[int, int, int]] = []

    def stop(epoch: int, batch: int, batches: int, loss: float) -> bool:
        seen.append((epoch, batch, batches))
        return batch == 2

    state = training.train(data=drawn_data, folder=tmp_path, config=tiny, split=split_file, on_batch=stop)

    count = seen[0][2]
    assert seen == [(0, 1, count), (0, 2, count)]
    assert (state.finished, state.epoch) == (False, 0)
    assert run.read_state(tmp_path) == state


def test_the_trainings_a_run_started_from_are_told_first_to_last(tmp_path):
    configs = [TrainingConfig(), TrainingConfig(weights=str(tmp_path / "0" / "best.keras"), size=128)]
    configs.append(TrainingConfig(weights=str(tmp_path / "1" / "best.keras"), size=160))
    for number, config in enumerate(configs):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "run.json").write_text(
            json.dumps(asdict(run.RunState(config, "data", finished=True)))
        )

    assert [known.config for known in state.lineage(tmp_path / "2")] == configs


def test_weights_of_unknown_training_or_another_split_are_refused(tmp_path):
    old = TrainingConfig()
    new = TrainingConfig(weights=str(tmp_path / "old" / "best.keras"))
    (tmp_path / "old").mkdir()
    with pytest.raises(TrainingError, match=r"There is no file .*best\.keras"):
        state.ancestors(new, "split")
    (tmp_path / "old" / "best.keras").touch()
    with pytest.raises(TrainingError, match=r"not known what .*best\.keras was trained on"):
        state.ancestors(new, "split")
    state.write_state(run.RunState(old, "another split", finished=True), tmp_path / "old")
    with pytest.raises(TrainingError, match=r"trained on another split.*test lesions"):
        state.ancestors(new, "split")


def test_weights_that_take_the_patient_in_another_order_are_refused(tmp_path):
    (tmp_path / "best.keras").touch()
    first = TrainingConfig(metadata="age,sex,localization", validation="fold0")
    state.write_state(run.RunState(first, "split", finished=True), tmp_path)
    new = replace(first, weights=str(tmp_path / "best.keras"))
    assert state.ancestors(new, "split")
    assert state.ancestors(replace(new, metadata=""), "split")
    with pytest.raises(ConfigurationError, match=r"trained with --metadata age,sex,localization\. Give the same"):
        state.ancestors(replace(new, metadata="sex,age,localization"), "split")


@pytest.mark.parametrize(
    ("own", "started_from", "sentence"),
    [
        ("fold0", "fold0", ""),
        ("none", "fold3", ""),
        ("none", "none", ""),
        ("fold0", "fold1", "was validated on fold1, so it has learned from lesions of fold0"),
        ("fold0", "none", "was trained on all folds, so it has learned from lesions of fold0"),
    ],
)
def test_a_training_never_starts_from_weights_that_know_the_fold_that_measures_it(
    own, started_from, sentence, drawn_data, split_file, tiny, tmp_path, monkeypatch
):
    (tmp_path / "old").mkdir()
    split = splits.fingerprint(splits.read(split_file))
    known = run.RunState(replace(tiny, validation=started_from), split, finished=True)
    state.write_state(known, tmp_path / "old")
    config = replace(tiny, validation=own, weights=str(tmp_path / "old" / "best.keras"))

    def built(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(run, "_model", built)
    with pytest.raises(ConfigurationError if sentence else Killed, match=sentence or None):
        training.train(data=drawn_data, folder=tmp_path / "new", config=config, split=split_file)


@pytest.mark.parametrize("part", ["test", "calibration", "everything"])
def test_the_test_and_calibration_parts_can_not_choose_the_best_epoch(part):
    with pytest.raises(ConfigurationError, match="validation must be a fold"):
        TrainingConfig(validation=part)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_builds_with_its_default_settings(optimizer, tiny, parts, tmp_path):
    config = replace(tiny, optimizer=optimizer)
    model = run._model(run.RunState(config, "split"), tmp_path, run._batches(config, parts))
    assert optimizer in type(model.optimizer).__name__.lower()


def test_a_damaged_image_stops_training_with_its_name(parts, tiny, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    train = parts.assign(path=[broken, *parts["path"][1:]])
    with pytest.raises(DatasetError, match=r"broken\.jpg: This file is not a readable image"):
        run.train(config=tiny, training=train, validation=parts, folder=tmp_path / "run", split="x")


def test_a_kill_after_the_last_epoch_was_noted_loses_nothing(drawn_data, split_file, tiny, tmp_path, monkeypatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_settle", killed)
    config = replace(tiny, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        training.train(data=drawn_data, folder=tmp_path, config=config, split=split_file)
    assert not (tmp_path / "best.keras").exists()
    monkeypatch.undo()
    known = training.train(data=drawn_data, folder=tmp_path, config=config, split=split_file, resume=True)
    assert (known.epoch, known.finished) == (1, True)
    assert (tmp_path / "best.keras").exists()
    assert not list(tmp_path.glob("checkpoint-*"))
