"""What a model tells of the trainings behind it, and whether the commands of its card can be run in their order."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from skin_model import bundle, cli, settings
from skin_model.bundle import Manifest
from skin_model.recipe import EpochRecord, TrainingConfig
from skin_model.services import reproduction
from skin_model.training.state import RunState, lineage, lineage_folders, write_state

EPOCH = EpochRecord(1, 1.0, 0.5, None, None, None, None, 1e-3, 1.0)
TRAINING = TrainingConfig(size=64, validation="none")


@pytest.fixture(scope="module")
def shipped() -> Manifest:
    return bundle.read(settings.ASSETS / "model").manifest


def run(folder: Path, config: TrainingConfig = TRAINING, **changed: object) -> Path:
    """A finished training's record, without its network."""
    folder.mkdir()
    write_state(replace(RunState(config, "split", (EPOCH,), 1, True), **changed), folder)
    return folder


def of_run(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest as a bundle of the run would have it, the rest as it is."""
    *stages, training = reproduction.told(lineage(folder), lineage_folders(folder))
    return replace(manifest, stages=stages, training=training)


def check_order(lines: list[str]) -> None:
    """Every command is one of the command line's own, and takes up only runs that one before it has made."""
    made: set[str] = set()
    for line in lines:
        python, *arguments = shlex.split(line)
        assert (python, *arguments[:2]) == ("python", "-m", "skin_model")
        options = cli._parser().parse_args(arguments[2:])
        out = str(getattr(options, "out", ""))
        assert set(re.findall(r"runs/\w+", line)) - {out} <= made, line
        made.add(out)


def test_the_commands_of_the_bundled_models_card_can_be_run_one_after_the_other(shipped: Manifest) -> None:
    card = (settings.ASSETS / "model" / "card.md").read_text(encoding="utf-8")
    lines = card.split("```sh\n")[1].split("\n```")[0].splitlines()
    assert lines == reproduction.commands(shipped)
    check_order(lines)
    assert [line for line in lines if "--teachers runs/8,runs/1 " in line]


def test_a_teacher_is_named_by_the_command_that_makes_it_and_otherwise_in_words(
    shipped: Manifest, tmp_path: Path
) -> None:
    first, stranger = run(tmp_path / "first"), run(tmp_path / "stranger")
    taught = replace(TRAINING, weights=f"{first}/best.keras", teachers=f"{first}, {stranger}")
    manifest = of_run(run(tmp_path / "taught", taught), shipped)
    assert manifest.training["teachers"] == "runs/1,stranger"
    start, words, second, *rest = reproduction.commands(manifest)
    assert words == "# runs/2 was also taught by stranger, of which is not told how to make it:"
    assert "--teachers runs/1 " in second + " "
    check_order([start, second, *rest])


def test_a_share_for_teachers_of_whom_none_can_be_named_is_left_out(shipped: Manifest, tmp_path: Path) -> None:
    taught = replace(TRAINING, teachers=str(run(tmp_path / "stranger")), teacher_share=0.9)
    lines = reproduction.commands(of_run(run(tmp_path / "taught", taught), shipped))
    assert not [line for line in lines if "--teacher-share" in line]  # which `train` would refuse


def test_a_training_from_a_bundled_pair_is_told_with_all_that_went_before(shipped: Manifest, tmp_path: Path) -> None:
    """Also where another training stands before it, so that its stages are counted from there."""
    told = (*shipped.stages, shipped.training)
    pair = replace(TRAINING, network=shipped.network)
    in_use = run(tmp_path / "in-use", pair, history=(), best_epoch=0, told=told)
    on = run(tmp_path / "on", replace(pair, weights=f"{in_use}/best.keras"))
    lines = reproduction.commands(of_run(on, shipped))
    check_order(lines)
    joined = len(told)  # the bundled pair's last command but that which bundles it
    assert lines[:joined] == reproduction.commands(shipped)[:joined]
    again = f"--out runs/{joined + 1} --network {shipped.network} --weights runs/{joined}/best.keras"
    assert again in lines[joined]

    other = run(tmp_path / "other")
    both = run(tmp_path / "both", replace(pair, weights=f"{other}/best.keras,{on}/best.keras"), history=())
    lines = reproduction.commands(of_run(both, shipped))
    check_order(lines)
    assert [line for line in lines if "--teachers runs/9,runs/2 " in line]
    assert lines[joined + 2] == f"python -m skin_model join runs/1 runs/{joined + 2} --out runs/{joined + 3}"


def test_folds_that_went_on_from_others_are_said_to(shipped: Manifest) -> None:
    folds = shipped.out_of_fold | {"training": shipped.out_of_fold["training"] | {"weights": "{fold}/best.keras"}}
    lines = reproduction.commands(replace(shipped, out_of_fold=folds))
    assert "# runs/folds needs {fold}/best.keras, of which is not told how to make them:" in lines


def test_of_folds_that_began_as_networks_side_by_side_it_is_said_that_they_are_not_told(shipped: Manifest) -> None:
    one = shipped.out_of_fold["training"]
    joined = {"network": shipped.network, "weights": "best.keras,best.keras", "epochs_run": 0}
    folds = shipped.out_of_fold | {
        "stages": [one, one | {"network": "efficientnet_lite0"}, joined],
        "training": one | {"network": shipped.network, "weights": "{fold}/best.keras"},
    }
    lines = reproduction.commands(replace(shipped, out_of_fold=folds))
    (line,) = (line for line in lines if " crossval " in line)
    assert (
        lines[lines.index(line) - 1] == "# runs/folds needs {fold}/best.keras, of which is not told how to make them:"
    )


def test_teachers_of_folds_are_said_not_to_be_told(shipped: Manifest) -> None:
    folds = shipped.out_of_fold | {"training": shipped.out_of_fold["training"] | {"teachers": "fold0"}}
    lines = reproduction.commands(replace(shipped, out_of_fold=folds))
    assert "# runs/folds needs fold0, of which is not told how to make them:" in lines


def test_a_setting_with_a_space_stays_one_word_of_its_command(shipped: Manifest, tmp_path: Path) -> None:
    started = replace(TRAINING, weights="my weights.weights.h5", metadata="age, sex")
    line, *_ = reproduction.commands(of_run(run(tmp_path / "started", started), shipped))
    check_order([line])
    assert "--weights 'my weights.weights.h5' " in line
    assert "--metadata age,sex " in line


def test_folds_whose_beginning_is_known_are_made_from_it(shipped: Manifest) -> None:
    first = shipped.out_of_fold["training"] | {"size": 96}
    folds = shipped.out_of_fold | {
        "stages": [first], "training": first | {"weights": "{fold}/best.keras", "size": 192, "refit": 0.3}
    }  # fmt: skip
    one, other = (line for line in reproduction.commands(replace(shipped, out_of_fold=folds)) if " crossval " in line)
    assert "--out runs/folds-1 " in one
    assert "--size 96" in one
    assert "--views" not in one
    assert "--out runs/folds --weights 'runs/folds-1/{fold}/best.keras' --size 192" in other
    assert other.endswith("--views 4")
