"""Progress of trainings: the lines that are left behind where the output is a file."""

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import pytest

from skin_model.progress import TrainingProgress
from skin_model.recipe import EpochRecord

ROOT = Path(__file__).resolve().parent.parent
EPOCH = EpochRecord(**dict.fromkeys((f.name for f in fields(EpochRecord)), 0.0) | {"epoch": 1})


def test_each_training_is_announced_and_each_epoch_is_one_line_with_the_time_left_over_all(capsys):
    with TrainingProgress(epochs=2) as progress:
        progress.check(10, 70)
        progress.run("fold0", 0, 2)
        for batch in (1, 2, 3):
            progress.batch(0, batch, 3, 0.5)
        progress.epoch(EPOCH, True)
        progress.answer(10, 70)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "fold0 (1 of 2)"
    assert second.startswith("epoch   1  loss 0.0000")
    assert "  best" in second
    assert re.search(r"at most \d:\d\d:\d\d left$", second)


@pytest.mark.parametrize("to_terminal", [False, True])
def test_what_is_printed_beside_a_bar_reaches_its_file_unchanged(tmp_path, to_terminal):
    """As of `predict FILES > answers.txt`: the bar on the terminal must not draw the answers to itself."""
    line = "word " * 60
    program = f"from skin_model.progress import steps\nwith steps('x') as a:\n    a(1, 2)\n    print({line!r})"
    ours, theirs = pty.openpty()
    with (tmp_path / "out").open("wb") as out:
        streams = {"stdout": theirs if to_terminal else out, "stderr": theirs}
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, **streams)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # a terminal without another end
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    assert line.encode() in (shown if to_terminal else (tmp_path / "out").read_bytes())
    assert (b"word word" in shown) is to_terminal


def test_an_epoch_without_validation_tells_no_figures_of_it(capsys):
    unjudged = {f.name: None for f in fields(EpochRecord) if f.name.startswith("val_")}
    with TrainingProgress(epochs=1) as progress:
        progress.epoch(replace(EPOCH, **unjudged), False)
    line, *_ = capsys.readouterr().out.splitlines()
    assert line.split() == ["epoch", "1", "loss", "0.0000", "accuracy", "0.000", "0", "s"]


def test_the_bar_counts_the_batches_of_all_trainings_and_skips_those_that_were_done_before():
    with TrainingProgress(epochs=4) as progress:
        progress.run("fold1", 1, 3)
        progress.batch(2, 1, 10, 0.5)  # a run that is taken up in its third epoch
        task = progress._progress.tasks[0]
        assert (task.completed, task.total) == (1 * 40 + 20 + 1, 120)
        progress.batch(4, 300, 10, 0.5)  # the fit of its last layer, which took more steps than an epoch
        assert (task.completed, task.total) == (1 * 40 + 20 + 1, 120)
        assert len(task._progress) == 1  # the batches of before do not count for the speed
