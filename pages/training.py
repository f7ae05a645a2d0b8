"""Train a model: see the data, start with the shipped model's settings, follow, cancel, resume."""

from dataclasses import MISSING, Field, fields, replace
from typing import Any

import streamlit as st

from pages.ui import data_sets as data_parts
from pages.ui import jobs as parts
from pages.ui.frame import begin_page, explain_failure
from skin_model.entities import DataSet, Job, TrainingConfig
from skin_model.errors import SkinModelError
from skin_model.services import orders, registered

state = begin_page("Train a model")

view = st.session_state
EVERY = 2.0  # seconds between two looks at the queue
MAIN = ("network", "weights", "size", "epochs", "batch", "learning_rate", "balance", "augmentation")


@st.fragment(run_every=EVERY)
def live() -> None:
    """What waits and runs; looks by itself, and leaves alone what is being typed elsewhere on the page."""
    try:
        known = orders.jobs()
    except SkinModelError as error:
        st.error(str(error))
        return
    over = {job.id for job in known if job.over}
    if over - view.setdefault("seen over", over):  # the lists below are to show what has ended
        view["seen over"] = over
        st.rerun()
    active = [job for job in known if not job.over]
    if not active:
        st.caption("Nothing waits or runs.")
    smoothing = st.slider("Smoothing", 0.0, 0.9, 0.0, 0.1, key="smoothing") if active else 0.0
    for job in reversed(active):
        with st.container(border=True, key=f"job-{job.id}"):
            words, button = st.columns([5, 1], vertical_alignment="center")
            words.markdown(parts.title(job))
            if button.button("Cancel", key=f"cancel-{job.id}", width="stretch"):
                act(orders.cancel, job, "Cancelled: it stops within a batch and keeps its best epoch.")
            parts.show_progress(job)
            if job.state == "running" and job.kind == "train":
                parts.show_curves({"": orders.history(job=job.id)}, smoothing, job.id)
                parts.show_log(job)


def act(what: Any, job: Job, said: str) -> None:
    """Do something to a job, in the name of who is here."""
    try:
        what(job=job.id, who=registered.actor())
    except SkinModelError as error:
        st.error(str(error))
        return
    view["said"] = said
    st.rerun()


def setting(field: Field[Any], start: Any, key: str) -> Any:
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


def ask(data_sets: list[DataSet]) -> None:
    """The form; its values start from a preset or from a job that is cloned."""
    if "queued" in view:  # a second press of the button finds no form
        st.success(view["queued"])
        if st.button("Prepare another training"):
            del view["queued"]
            st.rerun()
        return
    clone = view.get("clone")
    preset = st.radio("Start from", [*orders.PRESETS, *(["The cloned job"] if clone else [])], horizontal=True,
                      index=len(orders.PRESETS) if clone else 1, key=f"preset-{bool(clone)}")  # fmt: skip
    base = TrainingConfig(**clone) if clone and preset == "The cloned job" else replace(
        orders.defaults(), **orders.PRESETS.get(preset, {})
    )  # fmt: skip
    with st.form("start"):
        name = st.text_input("Name", placeholder="what is tried")
        data = st.selectbox("Data set", data_sets, format_func=lambda data: data.name)
        given: dict[str, Any] = {}
        known = {field.name: field for field in fields(TrainingConfig) if field.default is not MISSING}
        for column, name_ in zip(st.columns(4) * 2, MAIN, strict=True):
            with column:
                given[name_] = setting(known[name_], getattr(base, name_), f"{name_}-{preset}")
        with st.expander("More settings"):
            rest = [field for field in known.values() if field.name not in MAIN]
            for number, field in enumerate(rest):
                if number % 4 == 0:
                    columns = st.columns(4)
                with columns[number % 4]:
                    given[field.name] = setting(field, getattr(base, field.name), f"{field.name}-{preset}")
            views = st.selectbox("Views averaged per analysis", (1, 2, 4, 8), 2)
        left, right = st.columns(2)
        start = left.form_submit_button("Start the training", type="primary", width="stretch")
        rehearse = right.form_submit_button("Try a few steps and estimate the time", width="stretch")
    if start or rehearse:
        order(data, given, views, name, trial=rehearse)


def order(data: DataSet, given: dict[str, Any], views: int, name: str, *, trial: bool) -> None:
    job = view.setdefault("next job", orders.new_id())
    try:
        config = TrainingConfig(**given)
        if trial:
            orders.rehearse(data_set=data, config=config, who=registered.actor(), job=job)
            view["trial"] = job
        else:
            orders.submit(data_set=data, config=config, who=registered.actor(), job=job, name=name, views=views)
            view["queued"] = "The training is queued. You may close this page; it goes on without it."
            view.pop("clone", None)
    except (SkinModelError, TypeError) as error:
        st.error(str(error))
        return
    del view["next job"]
    st.rerun()


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


def show_past(known: list[Job]) -> None:
    """What is over: a table to sort, curves over each other, and what can be done with each."""
    past = {job.id: job for job in known if job.over and job.kind == "train"}
    if not past:
        st.caption("Nothing is over yet.")
        return
    st.dataframe([parts.row(job) for job in past.values()], hide_index=True, height=min(400, 36 * len(past) + 38))
    names = {job.id: f"{job.order['name']} ({job.created:%Y-%m-%d %H:%M})" for job in past.values() if job.created}
    chosen = st.multiselect("Look at", list(names), list(names)[:1], format_func=names.__getitem__, max_selections=5,
                            key="chosen")  # fmt: skip
    chosen = [job for job in chosen if job in past]
    parts.show_curves({names[job]: orders.history(job=job) for job in chosen}, view.get("smoothing", 0.0), "past")
    parts.show_differences({names[job]: past[job].order for job in chosen})
    for job in chosen:
        with st.container(border=True):
            st.markdown(parts.title(past[job]))
            show_one(past[job])


def show_one(job: Job) -> None:
    if job.state == "done":
        figures = job.outcome["figures"]
        st.markdown(
            f"Version {job.outcome['version']} (`{job.outcome['name']}`), best epoch {job.outcome['best_epoch']} of "
            f"{job.outcome['epochs']}; test part: balanced accuracy {figures.get('balanced_accuracy', 0):.3f}, "
            f"{figures['n']} images."
        )
    elif job.error:
        st.error(job.error)
    st.json(job.order["config"], expanded=False)
    first, second, third = st.columns(3)
    if job.state != "done" and first.button("Resume", key=f"resume-{job.id}", width="stretch"):
        act(orders.resume, job, "It goes on after its last finished epoch.")
    if second.button("Clone with changes", key=f"clone-{job.id}", width="stretch"):
        view["clone"] = job.order["config"]
        view.pop("queued", None)
        st.rerun()
    with third.popover("Delete", width="stretch"):
        st.markdown("Its curves and files are removed; a model that it registered stays.")
        if st.button("Delete for good", key=f"delete-{job.id}"):
            act(orders.delete, job, "Deleted.")


explain_failure(state)
if "said" in view:
    st.success(view.pop("said"))
st.header("Running", anchor=False)
live()
try:
    all_data, all_jobs = registered.data_sets(), orders.jobs()
except SkinModelError as error:
    st.error(str(error))
    st.stop()
st.header("Start", anchor=False)
show_trial(all_jobs)
if all_data:
    ask(all_data)
else:
    st.info(data_parts.WITHOUT_DATA)
st.header("Data", anchor=False)
data_parts.show_data_sets(all_data)
st.header("Past trainings", anchor=False)
show_past(all_jobs)
