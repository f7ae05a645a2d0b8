"""The history and the proposals of a hyper-parameter search, kept by Optuna in one SQLite file.

The tree-structured Parzen estimator proposes (Bergstra et al., "Algorithms for hyper-parameter optimization", 2011);
a trial whose best figure lies below the median of the earlier ones at the same epoch is pruned.  A proposal depends on
(seed, trial, history) alone, so a search that was killed goes on as if nothing had happened.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skin_model.errors import TrainingError
from skin_model.recipe import TrainingConfig
from skin_model.store import database
from skin_model.training.state import differences

if TYPE_CHECKING:
    import optuna

CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adam", "adamw", "nadam"),
    "balance": ("none", "sqrt-class-weights", "class-weights", "sampling"),
    "augmentation": ("light", "standard", "strong"),
}
RATES = {"learning_rate": (1e-4, 1e-2), "weight_decay": (1e-5, 1e-1)}  # low, high, on a logarithmic scale
SHARES = {"dropout": (0.0, 0.5, 0.1), "label_smoothing": (0.0, 0.2, 0.05)}  # low, high, step
SPACE = (*CHOICES, *RATES, *SHARES)  # weight decay counts where the optimizer is adamw

FILE, NAME = "study.db", "search"  # of a search of its own
SCHEMA = "studies"  # of PostgreSQL, where many searches share a database
BEFORE_PRUNING = 4  # trials; a median of fewer says little


@contextmanager
def opened(place: Path | str, name: str, epochs: int) -> Iterator["optuna.Study"]:
    """The history of that name, begun where there is none; nothing is pruned in the first quarter of the epochs.

    Args:
        place: a SQLite file, or the address of a database.
        name: of the history.
        epochs: of a trial.

    Raises:
        TrainingError: where it cannot be read or written.
    """
    import optuna
    import sqlalchemy

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # its lines would tear the progress bar
    storage = None
    try:
        storage = _storage(place)
        pruner = optuna.pruners.MedianPruner(BEFORE_PRUNING, n_warmup_steps=1 - (-epochs // 4))
        yield optuna.create_study(
            storage=storage, pruner=pruner, study_name=name, direction="maximize", load_if_exists=True
        )
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise TrainingError(
            f"The history {_shown(place)} cannot be read or written ({type(error).__name__}). Make room and resume "
            "the search (--resume); where the history is damaged, start anew, in a new folder."
        ) from error
    finally:
        if storage:
            storage.remove_session()
            storage.engine.dispose()


def _storage(place: Path | str) -> "optuna.storages.RDBStorage":
    """Optuna's tables; on PostgreSQL in a schema of their own, for its version table bears the name of MLflow's."""
    import optuna
    import sqlalchemy

    if isinstance(place, Path):
        return optuna.storages.RDBStorage(f"sqlite:///{place}")
    if place.startswith("sqlite"):
        return optuna.storages.RDBStorage(place, engine_kwargs={"connect_args": {"timeout": database.PATIENCE}})
    engine = sqlalchemy.create_engine(place)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(7172201812)"))  # two at once take turns
        connection.execute(sqlalchemy.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    engine.dispose()
    return optuna.storages.RDBStorage(
        place, engine_kwargs={"connect_args": {"options": f"-csearch_path={SCHEMA}"}, "pool_pre_ping": True}
    )


def _shown(place: Path | str) -> str:
    return str(place) if isinstance(place, Path) else place.split("@")[-1]  # without a password


def remember(study: "optuna.Study", config: TrainingConfig, split: str, names: tuple[str, ...]) -> None:
    """Note the fixed settings, the split's fingerprint and what is searched.

    Raises:
        TrainingError: where the history was begun with others.
    """
    now = {"config": asdict(config), "split": split, "searched": list(names)}
    before = study.user_attrs
    if not before.keys() >= now.keys():
        for key, value in now.items():
            study.set_user_attr(key, value)
        return
    if set(before["config"]) != {field.name for field in fields(TrainingConfig)}:
        raise TrainingError("This search is of another version. Start one in a new folder.")
    other = differences(TrainingConfig(**before["config"]), config)
    other += [f"the {what}" for what, key in (("split", "split"), ("searched ones", "searched"))
              if before[key] != now[key]]  # fmt: skip
    if other:
        raise TrainingError(
            f"This search was started with other settings (its own / yours): {'; '.join(other)}. "
            "Give the same ones, or name a new folder."
        )


def done(study: "optuna.Study") -> int:
    """How many trials came to something: finished or pruned."""
    return sum(known.state.name in ("COMPLETE", "PRUNED") for known in study.get_trials(deepcopy=False))


def trial(study: "optuna.Study", names: tuple[str, ...], seed: int) -> "optuna.Trial":
    """The trial that was broken off, or a new one."""
    import optuna

    for known in study.get_trials(deepcopy=False):
        if known.state.is_finished():
            continue
        if known.params.keys() >= set(names):
            return optuna.Trial(study, known._trial_id)
        study.tell(known.number, state=optuna.trial.TrialState.FAIL)  # killed while its settings were being chosen
    return _proposed(study, done(study), names, seed)


def trial_of_part(study: "optuna.Study", part: int, names: tuple[str, ...], seed: int) -> "optuna.Trial | None":
    """The trial of one of several parts that may ask at the same time; None where it is finished."""
    import optuna

    for known in study.get_trials(deepcopy=False):
        if known.user_attrs.get("part") == part:
            return None if known.state.is_finished() else optuna.Trial(study, known._trial_id)
    asked = _proposed(study, part, names, seed)
    asked.set_user_attr("part", part)
    return asked


def _proposed(study: "optuna.Study", number: int, names: tuple[str, ...], seed: int) -> "optuna.Trial":
    import optuna

    own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=own_seed)
    return study.ask(_space(names))


def _space(names: tuple[str, ...]) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    space: dict[str, Any] = {name: CategoricalDistribution(choices) for name, choices in CHOICES.items()}
    space |= {name: FloatDistribution(low, high, log=True) for name, (low, high) in RATES.items()}
    space |= {name: FloatDistribution(low, high, step=step) for name, (low, high, step) in SHARES.items()}
    return {name: space[name] for name in names}


def settings(config: TrainingConfig, params: dict[str, Any]) -> TrainingConfig:
    """The configuration of a trial; numbers to two digits, so that they can be read and typed."""
    rounded: dict[str, Any] = {name: float(f"{v:.2g}") if isinstance(v, float) else v for name, v in params.items()}
    if rounded.get("optimizer", config.optimizer) != "adamw":
        rounded["weight_decay"] = 0.0
    return replace(config, **rounded)


def history(study: "optuna.Study", config: TrainingConfig) -> pd.DataFrame:
    """One row per trial: trial, state, figure (of what it kept, or best so far), epochs, settings, why it broke off."""
    sign = -1 if config.monitor == "loss" else 1  # the study maximises
    rows = []
    for known in study.get_trials(deepcopy=False):
        figures = known.intermediate_values
        figure = max(figures.values(), default=np.nan)
        if known.state.name == "COMPLETE" and known.value is not None:
            figure = known.value
        chosen = settings(config, known.params)
        rows.append(
            {"trial": known.number, "state": known.state.name.lower()}
            | {config.monitor: sign * figure, "epochs": len(figures)}
            | {name: getattr(chosen, name) for name in known.params}
            | {"reason": known.user_attrs.get("reason", "")}
        )
    return pd.DataFrame(rows)
