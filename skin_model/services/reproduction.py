"""How a bundle was made: what its manifest tells of the trainings behind it, and the commands that make it again."""

import re
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skin_model import networks
from skin_model.bundle import Manifest
from skin_model.recipe import TrainingConfig
from skin_model.services import joining
from skin_model.training.state import RunState, without_places


def told(stages: list[RunState], folders: list[Path]) -> list[dict[str, Any]]:
    """What a manifest says of the runs behind a model: their settings without places on that machine.

    Of what was taken from a bundle, what that says; of joined runs what they share.  A teacher is named runs/N where it
    is the N-th of those before.
    """
    found: list[dict[str, Any]] = []
    names: dict[Path, str] = {}
    for state, folder in zip(stages, folders, strict=True):
        settings = without_places(state.config)
        if state.told:
            found += [_further_down(stage, len(found)) for stage in state.told]
        elif state.epoch:
            teachers = [names.get(run.resolve(), run.name) for run in state.config.teacher_runs]
            found.append(settings | {"teachers": ",".join(teachers)} | _epochs(state))
        else:
            found.append({name: settings[name] for name in ("network", "weights", *joining.SHARED)} | _epochs(state))
        names[folder.resolve()] = f"runs/{len(found)}"
    return found


def _epochs(state: RunState) -> dict[str, int]:
    return {"best_epoch": state.best_epoch, "epochs_run": state.epoch, "epochs_before": state.before}


def _further_down(stage: dict[str, Any], places: int) -> dict[str, Any]:
    """A stage of a list that now stands behind so many others; its teachers are numbered anew."""
    teachers = re.sub(r"\bruns/(\d+)", lambda number: f"runs/{int(number[1]) + places}", stage.get("teachers", ""))
    return stage | {"teachers": teachers} if teachers else stage


def commands(manifest: Manifest) -> list[str]:
    """The command lines that make such a bundle again; behind a #, what they cannot make."""
    lines: list[str] = []
    made: list[str] = []  # that no later training has started from yet
    stages = [*manifest.stages, manifest.training]
    for number, stage in enumerate(stages, 1):
        if count := len(networks.trained_files(stage["weights"])):  # each run stands behind those it started from
            made, origins = made[:-count], made[-count:]
            stage = stage | {"weights": ",".join(f"{run}/best.keras" for run in origins)}
        run = f"runs/{number}"
        if stage["epochs_run"]:
            teachers = [name for name in stage.get("teachers", "").split(",") if name]
            known = [name for name in teachers if name.startswith("runs/")]
            if others := [name for name in teachers if name not in known]:
                lines.append(f"# {run} was also taught by {', '.join(others)}, of which is not told how to make it:")
            options = _options(stage | {"teachers": ",".join(known)})
            lines.append(f"python -m skin_model train --data DATA --split SPLIT.csv --out {run} {options}".strip())
        else:
            lines.append(f"python -m skin_model join {' '.join(origins)} --out {run}")
        made.append(run)
    limits = ""
    if folds := manifest.out_of_fold:
        lines += _crossvals([*folds.get("stages", ()), folds["training"]], folds["views"])
        limits = " --crossval runs/folds"
    note = f" --note {shlex.quote(manifest.note)}" if manifest.note else ""
    lines.append(
        f"python -m skin_model bundle --data DATA --run runs/{len(stages)} --out MODEL --views {manifest.views} "
        f"--sensitivity {manifest.target_sensitivity}{' --half' if manifest.half else ''}{limits}{note}"
    )
    lines.append("python -m skin_model evaluate --images DATA --labels DATA/HAM10000_metadata.csv --model MODEL")
    return lines


def _crossvals(stages: list[dict[str, Any]], views: int) -> list[str]:
    """The commands of a cross-validation, runs/folds, and of those that it started from, one behind the other."""
    if any(not stage.get("epochs_run", 1) or len(networks.trained_files(stage["weights"])) > 1 for stage in stages):
        stages = stages[-1:]  # from networks side by side: what stands behind them is no row of trainings
    lines: list[str] = []
    before = ""
    for number, stage in enumerate(stages, 1):
        last = number == len(stages)
        out = "runs/folds" if last else f"runs/folds-{number}"
        unknown = [stage["teachers"]] if stage["teachers"] else []
        if before:
            stage = stage | {"weights": f"{before}/{{fold}}/best.keras"}
        elif "{fold}" in (stage["weights"] or ""):
            unknown.append(stage["weights"])
        if unknown:
            lines.append(f"# {out} needs {' and '.join(unknown)}, of which is not told how to make them:")
        options = f"{_options(stage)}{f' --views {views}' if last else ''}".strip()
        lines.append(f"python -m skin_model crossval --data DATA --split SPLIT.csv --out {out} {options}")
        before = out
    return lines


def _options(settings: dict[str, Any]) -> str:
    """A training's settings as options, without those that are the default."""
    defaults = asdict(TrainingConfig())
    if not settings.get("teachers"):
        settings = settings | {"teacher_share": defaults["teacher_share"]}
    given = {name: value for name, value in settings.items() if name in defaults and value != defaults[name]}
    return " ".join(
        f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in given.items() if value != ""
    )
