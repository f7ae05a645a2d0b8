"""The form that orders a training, a cross-validation or a search; and the one for a folder of images."""

from dataclasses import MISSING, Field, dataclass, fields, replace
from pathlib import Path
from typing import Any

import streamlit as st

from pages.ui import jobs as parts
from pages.ui.frame import say
from skin_model.entities import DataSet, Job
from skin_model.errors import SkinModelError
from skin_model.recipe import TrainingConfig
from skin_model.services import orders, plans, registered, registry

MAIN = ("network", "weights", "size", "epochs", "batch", "learning_rate", "balance", "augmentation")
DO = {"train": "One training", "crossval": "K-fold cross-validation", "search": "Search for better settings"}
CLONED = "The cloned job"
VIEWS = 4  # averaged, where nobody says otherwise

view = st.session_state


@dataclass(frozen=True)
class Asked:
    """What stands in the form."""

    kind: str
    name: str
    data: DataSet
    given: dict[str, Any]
    views: int
    trials: int
    searched: tuple[str, ...]


def ask(data_sets: list[DataSet]) -> None:
    """The form; its values start from a preset or from a job that is cloned."""
    if "queued" in view:  # a second press of the button finds no form
        st.success(view["queued"])
        if st.button("Prepare another training"):
            del view["queued"]
            st.rerun()
        return
    clone = view.get("clone", {"number": 0, "kind": "train", "data_set": None, "views": VIEWS})
    number = clone["number"]  # each clone begins with widgets of its own
    preset = st.radio("Start from", [*orders.PRESETS, *([CLONED] if number else [])], horizontal=True,
                      index=len(orders.PRESETS) if number else 1, key=f"preset-{number}")  # fmt: skip
    kind = st.radio("Do", list(DO), list(DO).index(clone["kind"]), format_func=DO.__getitem__, horizontal=True,
                    key=f"kind-{number}")  # fmt: skip
    cloned = [place for place, data in enumerate(data_sets) if data.id == clone["data_set"]]
    data = st.selectbox("Data set", data_sets, cloned[0] if cloned else 0, format_func=lambda data: data.name,
                        key=f"data-{number}")  # fmt: skip
    try:
        base = TrainingConfig(**clone["config"]) if preset == CLONED else replace(
            orders.defaults(data), **orders.PRESETS.get(preset, {})
        )  # fmt: skip
    except (SkinModelError, TypeError) as error:  # a job of an older version
        st.error(f"The job cannot be cloned: {error}")
        return
    with st.form("start"):
        name = st.text_input("Name", placeholder="what is tried")
        trials, searched = plans.TRIALS[0], ()
        if kind == "crossval":
            st.caption(f"One training for each fold of the data set's split ({', '.join(plans.folds(data))}), each "
                       "measured on the fold that it did not learn from.")  # fmt: skip
        if kind == "search":
            trials = st.number_input("Trials", value=20, step=1, help="trainings to spend; poor ones end early")
            searched = st.multiselect("Settings to search", plans.SPACE, plans.SPACE)
        given = _settings(base, f"{preset}-{hash(base)}")  # other settings to start from, other widgets
        views = st.selectbox("Views averaged per analysis", orders.VIEWS, orders.VIEWS.index(clone["views"]),
                             key=f"views-{number}")  # fmt: skip
        left, right = st.columns(2)
        start = left.form_submit_button("Start the training", type="primary", width="stretch")
        rehearse = right.form_submit_button("Try a few steps and estimate the time", width="stretch")
    if start or rehearse:
        _order(Asked(kind, name, data, given, views, int(trials), tuple(searched)), rehearsal=rehearse)


def _settings(base: TrainingConfig, start: str) -> dict[str, Any]:
    """Setting -> what stands in its widget."""
    given: dict[str, Any] = {}
    known = {field.name: field for field in fields(TrainingConfig) if field.default is not MISSING}
    for column, name in zip(st.columns(4) * 2, MAIN, strict=True):
        with column:
            given[name] = _setting(known[name], getattr(base, name), f"{name}-{start}")
    with st.expander("More settings"):
        rest = [field for field in known.values() if field.name not in MAIN]
        for number, field in enumerate(rest):
            if number % 4 == 0:
                columns = st.columns(4)
            with columns[number % 4]:
                given[field.name] = _setting(field, getattr(base, field.name), f"{field.name}-{start}")
    return given


def _setting(field: Field[Any], start: Any, key: str) -> Any:
    """A widget for a setting; its range is checked by the settings themselves, which name the bound."""
    label, words = field.name.replace("_", " ").capitalize(), field.metadata["help"]
    choices = orders.choices().get(field.name)
    if field.name == "weights":
        known = orders.starting_weights()
        if start not in known.values():
            known[str(start)] = start
        chosen = st.selectbox(label, list(known), list(known.values()).index(start), key=key, help=words)
        return known[chosen]
    if choices:
        return st.selectbox(label, choices, choices.index(start), key=key, help=words)
    if isinstance(start, bool):
        return st.checkbox(label, start, key=key, help=words)
    if isinstance(start, int):
        return st.number_input(label, value=start, step=1, key=key, help=words)
    if isinstance(start, float):
        return st.number_input(label, value=start, format="%g", step=None, key=key, help=words)
    return st.text_input(label, start, key=key, help=words)


def _order(asked: Asked, *, rehearsal: bool) -> None:
    job = _id_for("next job", (asked, rehearsal))
    try:
        config = TrainingConfig(**asked.given)
        common: dict[str, Any] = {"data_set": asked.data, "config": config, "who": registered.actor(), "job": job}
        if rehearsal:
            times = {"train": 1, "crossval": len(plans.folds(asked.data)), "search": asked.trials}[asked.kind]
            orders.rehearse(**common, times=times)
            view["trial"] = job
        else:
            if asked.kind == "train":
                orders.submit(**common, name=asked.name, views=asked.views)
            elif asked.kind == "crossval":
                plans.submit_crossval(**common, name=asked.name, views=asked.views)
            else:
                plans.submit_search(**common, name=asked.name, trials=asked.trials, searched=asked.searched)
            view["queued"] = "The training is queued. You may close this page; it goes on without it."
            view.pop("clone", None)
    except (SkinModelError, TypeError) as error:
        st.error(str(error))
        return
    del view["next job"]
    st.rerun()


def _id_for(place: str, asked: object) -> str:
    """An id for what is asked for: the same for a second press, another one for anything else."""
    job, meant = view.get(place, ("", None))
    if meant != asked:
        job = orders.new_id()
        view[place] = job, asked
    return job


def show_trial(known: list[Job]) -> None:
    """What came of the few steps that were asked for last."""
    trial = next((job for job in known if job.id == view.get("trial")), None)
    if trial is None or not trial.over:
        return
    if trial.state == "done":
        st.info(
            f"A step took {trial.outcome['batch']:.2f} s: the whole training takes "
            f"{parts.duration(orders.estimate(trial))} at most, then the model is made and measured."
        )
    else:
        st.error(f"A few steps were tried and did not work: {trial.error or trial.state}")


def ask_for_scoring() -> None:
    """The form for a folder of images on this server."""
    if not st.toggle("Judge a folder of images on this server"):
        return
    try:
        versions = {version.number: version for version in registry.versions()}
        in_use = [number for number, version in versions.items() if version.status == registry.CHAMPION]
        with st.form("score"):
            folder = st.text_input("Folder of images")
            at_first = list(versions).index(in_use[0]) if in_use else 0
            number = st.selectbox("Version", list(versions), at_first, key="judge-by",
                                  format_func=lambda number: f"{number}: {versions[number].name}")  # fmt: skip
            if not st.form_submit_button("Judge them all"):
                return
        job = _id_for("next scoring", (folder, number))
        plans.submit_scoring(folder=Path(folder), version=versions[number], who=registered.actor(), job=job)
    except SkinModelError as error:
        st.error(str(error))
        return
    del view["next scoring"]
    say("The folder is queued. You may close this page; it goes on without it.")
