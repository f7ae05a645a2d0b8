"""Hyper-parameter search: what it tries, prunes, remembers, and its going on after a kill."""

import shlex
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import optuna
import pandas as pd
import pytest

from skin_model import cli, files
from skin_model.errors import BusyError, ConfigurationError, DatasetError, TrainingError
from skin_model.recipe import EpochRecord, TrainingConfig
from skin_model.services import search, study, training
from skin_model.services.search import SPACE
from skin_model.training.run import RunState
from skin_model.training.state import read_state, write_state

DIVERGED = "The training diverged: lower the learning rate."


class Stepwise:
    """Stands for `services.training.train`: epochs whose figures a function of (settings, epoch) tells."""

    def __init__(self, figure: Callable[[TrainingConfig, int], float]) -> None:
        self.figure = figure
        self.trained: list[TrainingConfig] = []
        self.die_at: tuple[int, int] | None = None  # (training, epoch): killed when that epoch was written

    def __call__(self, *, folder, config, resume, on_batch, on_epoch, **_) -> RunState:
        number, state = len(self.trained), read_state(folder) if resume else RunState(config, "split")
        self.trained.append(config)
        folder.mkdir(exist_ok=True)
        write_state(state, folder)
        while not state.finished:
            if on_batch(state.epoch, 1, 1, 0.5):
                return state
            figure = self.figure(config, state.epoch + 1)
            if figure != figure:
                raise TrainingError(DIVERGED)
            known = dict.fromkeys((f.name for f in fields(EpochRecord)), 0.0)
            record = EpochRecord(**known | {"epoch": state.epoch + 1, f"val_{config.monitor}": figure})
            state = state.after(record)
            write_state(state, folder)
            if self.die_at == (number, state.epoch):
                raise KeyboardInterrupt
            on_epoch(record, state.best_epoch == record.epoch)
        return state


@pytest.fixture
def look(drawn_data, split_file, tiny, tmp_path, monkeypatch):
    """Searches with a stepwise training in place of a real one."""

    def run(stepwise: Stepwise, name: str = "search", **changed) -> search.Found:
        monkeypatch.setattr(training, "train", stepwise)
        given = {"config": tiny, "trials": 3, "split": split_file, "fixed": frozenset({"optimizer"})}
        return search.search(data=drawn_data, out=tmp_path / name, **given | changed)

    return run


def by_dropout(config: TrainingConfig, epoch: int) -> float:
    return 0.5 + config.dropout / 2 + epoch / 100


def test_the_best_trial_is_told_with_the_history_of_all(look, tmp_path, tiny):
    stepwise = Stepwise(by_dropout)
    found = look(stepwise, trials=6)

    history = pd.read_csv(tmp_path / "search" / "trials.csv")
    assert history["trial"].tolist() == [0, 1, 2, 3, 4, 5]
    assert history["balanced_accuracy"].idxmax() == found.trial
    assert (
        found.config == stepwise.trained[found.trial] == read_state(tmp_path / "search" / f"trial-{found.trial}").config
    )
    for name in SPACE:
        if name in history:
            assert history[name].tolist() == [getattr(config, name) for config in stepwise.trained]
    assert "optimizer" not in history  # it is fixed
    assert "weight_decay" not in history  # which only adamw has
    assert len({config.learning_rate for config in stepwise.trained}) == 6
    assert {config.validation for config in stepwise.trained} == {tiny.validation}


def test_a_trial_below_the_median_of_the_earlier_ones_is_stopped_before_its_last_epoch(look, tiny):
    bad = 5
    stepwise = Stepwise(lambda config, epoch: 0.2 if len(stepwise.trained) == bad + 1 else 0.8 + epoch / 100)
    found = look(stepwise, trials=bad + 1)
    last = found.history.iloc[bad]
    assert (last["state"], last["balanced_accuracy"]) == ("pruned", 0.2)
    assert 1 < last["epochs"] < tiny.epochs
    assert found.history["state"].tolist()[:bad] == ["complete"] * bad


def test_a_trial_that_is_bad_only_in_its_last_epoch_is_not_stopped_before_its_last_layer_is_fitted(look, tiny):
    bad, stopped = 5, []

    def figure(config: TrainingConfig, epoch: int) -> float:
        return 0.2 if len(stepwise.trained) == bad + 1 and epoch == tiny.epochs else 0.8 + epoch / 100

    class Refitted(Stepwise):
        def __call__(self, *, on_batch, **given):
            state = super().__call__(on_batch=on_batch, **given)
            stopped.append(on_batch(0, 1, 1, 0.0))  # as while the last layer is fitted
            return state

    stepwise = Refitted(figure)
    found = look(stepwise, trials=bad + 1)
    assert stopped == [False] * (bad + 1)
    assert found.history["state"].tolist() == ["complete"] * (bad + 1)


def test_a_history_that_a_kill_left_a_trial_short_is_mended(look, tmp_path):
    look(Stepwise(by_dropout), trials=2)
    file = tmp_path / "search" / "trials.csv"
    whole = file.read_text()
    file.write_text("".join(whole.splitlines(keepends=True)[:2]))
    look(Stepwise(by_dropout), trials=2, resume=True)
    assert file.read_text() == whole


def test_a_loss_is_searched_for_its_minimum(look, tiny):
    falling = Stepwise(lambda config, epoch: 2 - config.dropout - epoch / 100)
    found = look(falling, config=replace(tiny, monitor="loss"), trials=4)
    assert found.history["loss"].min() > 1
    assert found.history["loss"].idxmin() == found.trial


def test_trials_are_ranked_by_the_figure_of_the_last_layer_fitted_anew(look, tiny):
    class Refitting(Stepwise):
        """The better the last epoch, the worse what is kept."""

        def __call__(self, **given) -> RunState:
            state = super().__call__(**given)
            return replace(state, refitted={"val_balanced_accuracy": 1 - state.history[-1].val_balanced_accuracy})

    found = look(Refitting(lambda config, epoch: config.learning_rate + epoch / 100), config=replace(tiny, refit=0.3))
    kept = [1 - rate - tiny.epochs / 100 for rate in found.history["learning_rate"]]
    assert found.history["balanced_accuracy"].tolist() == pytest.approx(kept)
    assert found.trial == kept.index(max(kept))
    assert len(set(kept)) > 1


def test_a_search_broken_off_in_a_trial_goes_on_to_the_trials_of_an_undisturbed_one(look):
    undisturbed = look(Stepwise(by_dropout), trials=4)
    broken = Stepwise(by_dropout)
    broken.die_at = (1, 2)
    with pytest.raises(KeyboardInterrupt):
        look(broken, "broken", trials=4)
    assert len(broken.trained) == 2

    resumed = Stepwise(by_dropout)
    again = look(resumed, "broken", trials=4, resume=True)

    assert resumed.trained[0] == broken.trained[1]
    assert len(resumed.trained) == 3  # trial 0 was not repeated
    pd.testing.assert_frame_equal(again.history, undisturbed.history)
    assert (again.trial, again.config) == (undisturbed.trial, undisturbed.config)


def test_a_search_killed_while_it_proposes_still_comes_to_all_its_trials(look, monkeypatch):
    undisturbed, killed, resumed = (Stepwise(by_dropout) for _ in range(3))
    look(undisturbed, trials=3)
    sample = optuna.samplers.TPESampler.sample_independent

    def die(self, study, trial, name, distribution):
        if trial.number == 1 and name == "dropout":  # some of its settings are chosen by then
            raise KeyboardInterrupt
        return sample(self, study, trial, name, distribution)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.samplers.TPESampler, "sample_independent", die)
        with pytest.raises(KeyboardInterrupt):
            look(killed, "killed", trials=3)
    found = look(resumed, "killed", trials=3, resume=True)

    assert killed.trained + resumed.trained == undisturbed.trained
    assert found.history["state"].tolist() == ["complete", "fail", "complete", "complete"]


def test_more_trials_may_be_added_and_none_is_repeated(look):
    first, more = Stepwise(by_dropout), Stepwise(by_dropout)
    look(first, trials=2)
    known = look(more, trials=4, resume=True)
    assert len(known.history) == 4
    assert len(more.trained) == 2
    none = Stepwise(by_dropout)
    pd.testing.assert_frame_equal(look(none, trials=4, resume=True).history, known.history)
    assert none.trained == []


def test_a_trial_that_diverges_is_noted_and_the_search_goes_on(look):
    stepwise = Stepwise(lambda config, epoch: float("nan") if len(stepwise.trained) == 1 else 0.5)
    found = look(stepwise)
    assert found.history["reason"].tolist() == [DIVERGED, "", ""]
    assert found.trial in (1, 2)
    with pytest.raises(TrainingError, match=rf"None of the 3 trials was finished\. {DIVERGED}"):
        look(Stepwise(lambda config, epoch: float("nan")), "hopeless")


def test_what_every_trial_would_be_refused_for_ends_the_search(look):
    def refuse(**_: object) -> None:
        raise TrainingError("refused")

    with pytest.raises(TrainingError, match="refused"):
        look(refuse)


def test_a_search_is_neither_overwritten_nor_taken_up_with_other_settings(look, tiny, tmp_path):
    stepwise = Stepwise(by_dropout)
    with pytest.raises(TrainingError, match=r"no search in .*Leave --resume out"):
        look(stepwise, resume=True)
    look(stepwise, trials=1)
    for changed, sentence in (
        ({}, "already holds a search; add --resume"),
        ({"resume": True, "config": replace(tiny, size=96)}, r"other settings .*: size 64 / 96\. Give the same"),
        ({"resume": True, "fixed": frozenset({"dropout"})}, r"other settings .*: the searched ones\. Give the same"),
    ):
        with pytest.raises(TrainingError, match=sentence):
            look(stepwise, **changed)
    (tmp_path / "search" / "study.db").write_text("no database")
    with pytest.raises(TrainingError, match=r"study\.db cannot be read or written .*new folder"):
        look(stepwise, resume=True)
    assert len(stepwise.trained) == 1


def test_a_search_without_trials_or_without_anything_to_search_is_refused(look):
    for changed, sentence in (
        ({"trials": 0}, "one trial or more; 0"),
        ({"config": TrainingConfig(validation="none")}, "on a validation fold; name one"),
        ({"config": TrainingConfig(monitor="last")}, "by a validation figure; set monitor to balanced_accuracy"),
        ({"fixed": frozenset(SPACE)}, "Nothing is left"),
    ):
        with pytest.raises(ConfigurationError, match=sentence):
            look(Stepwise(by_dropout), **changed)


@pytest.mark.parametrize(
    ("gone", "validation", "sentence"),
    [
        ("fold1", "fold0", r"df has none in the other folds \(\d+ in all folds\)"),
        ("fold0", "fold0", "df has none in fold0"),
        ("", "fold4", "no part 'fold4'; it has calibration, fold0, fold1, test"),
    ],
)
def test_a_split_on_which_no_trial_can_train_leaves_no_search_behind(
    gone, validation, sentence, look, split_file, tiny, tmp_path
):
    split = pd.read_csv(split_file)
    split.loc[split["dx"].eq("df") & split["part"].eq(gone), "part"] = "test"
    split.to_csv(tmp_path / "split.csv", index=False)
    stepwise = Stepwise(by_dropout)
    with pytest.raises(DatasetError, match=sentence):
        look(stepwise, split=tmp_path / "split.csv", config=replace(tiny, validation=validation))
    assert stepwise.trained == []
    look(stepwise, trials=1)  # the folder can be used without --resume


def test_what_every_trial_would_refuse_is_refused_before_a_search_begins(look, tiny, tmp_path):
    stepwise = Stepwise(by_dropout)
    with pytest.raises(TrainingError, match="There is no training in"):
        look(stepwise, config=replace(tiny, teachers=str(tmp_path / "nobody")))
    with pytest.raises((ConfigurationError, DatasetError), match="dx_type"):
        look(stepwise, config=replace(tiny, metadata="dx_type"))
    look(stepwise, trials=1)  # the folder can be used without --resume


def test_two_searches_never_share_a_folder(look, tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "note.txt").write_text("of the other search")
    with files.held(tmp_path / "search"), pytest.raises(BusyError):
        look(Stepwise(by_dropout))


def test_every_choice_makes_valid_settings_and_weight_decay_is_for_adamw():
    for name, choices in study.CHOICES.items():
        for choice in choices:
            assert getattr(study.settings(TrainingConfig(), {name: choice}), name) == choice
    for name, (low, high, *_) in (study.RATES | study.SHARES).items():
        for value in (low, high):
            found = study.settings(TrainingConfig(optimizer="adamw"), {name: value})
            assert getattr(found, name) == pytest.approx(value)
    assert study.settings(TrainingConfig(), {"weight_decay": 0.01}).weight_decay == 0
    proposed = {"optimizer": "adam", "weight_decay": 0.01}
    for config in (TrainingConfig(), TrainingConfig(optimizer="adamw", weight_decay=0.1)):
        assert study.settings(config, proposed).weight_decay == 0
    assert study.settings(TrainingConfig(), {"learning_rate": 0.00123456}).learning_rate == 0.0012


def test_the_command_line_that_is_printed_trains_with_the_best_settings(tiny, monkeypatch, capsys):
    asked: list[dict] = []
    monkeypatch.setattr(training, "train", lambda **given: asked.append(given) or RunState(given["config"], "split"))
    best = replace(tiny, learning_rate=2.5e-4, balance="sampling", weights="a folder/best.keras")
    line = search.command_line(search.Found(0, best, pd.DataFrame()), Path("my data"), Path("out"))
    program, *arguments = shlex.split(line)
    assert (program, arguments[:3]) == ("python", ["-m", "skin_model", "train"])
    assert cli.main(arguments[2:]) == 0
    assert asked[0]["config"] == best
    assert (asked[0]["data"], asked[0]["split"]) == (Path("my data"), Path("out/split.csv"))


def test_a_killed_search_keeps_its_finished_trial_and_goes_on_with_the_other(
    drawn_data, split_file, tiny, tmp_path, capsys, kill_command
):
    out = tmp_path / "killed"
    settings = {k: v for k, v in asdict(replace(tiny, epochs=2)).items() if v is not None and k not in SPACE}
    arguments = ["search", f"--data={drawn_data}", f"--split={split_file}", f"--out={out}", "--trials=2"]
    arguments += [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    arguments += ["--optimizer=adam", "--learning-rate=1e-3"]
    kill_command(arguments, out / "trial-1")
    finished = {path: path.stat().st_mtime_ns for path in (out / "trial-0").iterdir()}
    killed = read_state(out / "trial-1")
    assert killed.epoch == 1

    assert cli.main([*arguments, "--resume"]) == 0

    assert {path: path.stat().st_mtime_ns for path in (out / "trial-0").iterdir()} == finished
    state = read_state(out / "trial-1")
    assert (state.config, state.history[0], state.epoch) == (killed.config, killed.history[0], 2)
    assert pd.read_csv(out / "trials.csv")["state"].tolist() == ["complete", "complete"]
    shown = capsys.readouterr().out
    assert "Best: trial" in shown
    assert shown.splitlines()[-1].startswith("python -m skin_model train ")
