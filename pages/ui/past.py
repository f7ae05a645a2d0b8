"""What is over: a table to sort, trainings beside each other, and what can be done with each job."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.ui import jobs as parts
from pages.ui.figures import between
from pages.ui.frame import say
from pages.ui.ordering import VIEWS
from skin_model import charts
from skin_model.entities import Job
from skin_model.errors import SkinModelError
from skin_model.services import orders, plans, registered
from skin_model.taxonomy import BY_CODE, CODES

KINDS = ("train", *plans.KINDS)

view = st.session_state


def act(what: Callable[..., Any], job: Job, said: str) -> None:
    """Do something to a job, in the name of who is here."""
    try:
        what(job=job.id, who=registered.actor())
    except SkinModelError as error:
        st.error(str(error))
        return
    say(said)


def show_past(known: list[Job]) -> None:
    """All that is over, and a closer look at some."""
    past = {job.id: job for job in known if job.over and job.kind in KINDS}
    if not past:
        st.caption("Nothing is over yet.")
        return
    st.dataframe([parts.row(job) for job in past.values()], hide_index=True, height=min(400, 36 * len(past) + 38))
    names = _names(past)
    look, smooth = st.columns([4, 1])
    chosen = look.multiselect("Look at", list(names), list(names)[:1], format_func=names.__getitem__, max_selections=5,
                              key="chosen")  # fmt: skip
    smoothing = smooth.slider("Smoothing", 0.0, 0.9, 0.0, 0.1, key="smoothing-past")
    trainings = {names[job]: past[job] for job in chosen if past[job].kind == "train"}
    if trainings:
        curves = {name: orders.history(job=job.id) for name, job in trainings.items()}
        parts.show_curves(curves, smoothing, "past")
        parts.show_differences({name: job.order for name, job in trainings.items()})
        _show_recalls({name: job for name, job in trainings.items() if (job.outcome or {}).get("recalls")})
    for job in chosen:
        with st.container(border=True):
            st.markdown(parts.title(past[job]))
            _show_one(past[job])


def _names(past: dict[str, Job]) -> dict[str, str]:
    """Each job's name and the minute it was asked for; with the beginning of its id where that is not enough."""
    names = {job.id: f"{job.order['name']} ({job.created:%Y-%m-%d %H:%M})" for job in past.values() if job.created}
    count = Counter(names.values())
    return {job: f"{name} {job[:8]}" if count[name] > 1 else name for job, name in names.items()}


def _show_recalls(done: dict[str, Job]) -> None:
    """Recall of each diagnosis with intervals, and confusion matrices, trainings side by side."""
    if not done:
        return
    lines = ["| Recall on the test part | " + " | ".join(done) + " |", "|:--|" + ":--|" * len(done)]
    for code in CODES:
        cells = [_with_interval(job.outcome["recalls"].get(code)) for job in done.values()]
        lines.append(f"| {BY_CODE[code].name} | " + " | ".join(cells) + " |")
    st.markdown("\n".join(lines))
    for column, (name, job) in zip(st.columns(max(2, len(done))), done.items(), strict=False):
        column.caption(f"{name}: images; rows: true class, columns: predicted class")
        figure = charts.confusion(job.outcome["confusion"])
        column.plotly_chart(figure, key=f"confusion-{job.id}", config={"displayModeBar": False})


def _with_interval(recall: dict[str, Any] | None) -> str:
    if recall is None or recall["value"] is None:
        return ""
    return f"{recall['value']:.3f} ({between(recall['interval'], '{:.2f}'.format)})"


def _show_one(job: Job) -> None:
    if job.state == "done":
        _SHOW[job.kind](job)
    elif job.error:
        st.error(job.error)
    if "config" in job.order:
        st.json(job.order["config"], expanded=False)
    first, second, third = st.columns(3)
    if job.state != "done" and first.button("Resume", key=f"resume-{job.id}", width="stretch"):
        act(orders.resume, job, "It goes on after what it had finished.")
    if "config" in job.order and second.button("Clone with changes", key=f"clone-{job.id}", width="stretch"):
        _clone(job, job.kind, job.order["config"], job.order["views"])
    with third.popover("Delete", width="stretch"):
        st.markdown("Its curves and files are removed; a model that it registered stays.")
        if st.button("Delete for good", key=f"delete-{job.id}"):
            act(orders.delete, job, "Deleted.")


def _clone(job: Job, kind: str, config: dict[str, Any], views: int) -> None:
    view["clone"] = {"number": view.get("clone", {}).get("number", 0) + 1, "kind": kind, "config": config,
                     "data_set": job.order["data_set"], "views": views}  # fmt: skip
    view.pop("queued", None)
    st.rerun()


def _show_training(job: Job) -> None:
    figures = job.outcome["figures"]
    told = {"balanced_accuracy": "balanced accuracy", "malignant_auc": "malignant AUC"}
    measured = [f"{name} {figures[key]:.3f}, " for key, name in told.items() if key in figures]
    st.markdown(
        f"Version {job.outcome['version']} (`{job.outcome['name']}`), epoch {job.outcome['best_epoch']} of "
        f"{job.outcome['epochs']} kept; test part: {''.join(measured)}{figures['n']} images."
    )


def _show_crossval(job: Job) -> None:
    head, *lines = plans.figures(job=job)
    st.dataframe([dict(zip(head, line, strict=True)) for line in lines], hide_index=True, height=320)
    st.caption("Answers for the lesions left out, all folds together with 95 % intervals by lesion, and each fold.")
    if st.toggle("Prepare the answers for download", key=f"oof-{job.id}"):
        st.download_button("Out-of-fold answers (CSV)", plans.out_of_fold(job=job), "oof.csv", "text/csv")


def _show_search(job: Job) -> None:
    st.dataframe(job.outcome["history"], hide_index=True, height=320)
    st.markdown(
        f"Best: trial {job.outcome['trial']}. Its figure chose it and so flatters it; confirm it with a K-fold "
        "cross-validation."
    )
    if st.button("Clone the best settings", key=f"best-{job.id}"):
        _clone(job, "train", job.outcome["config"], VIEWS)


def _show_scoring(job: Job) -> None:
    tally = job.outcome
    named = ", ".join(f"{BY_CODE[code].name} {count:,}" for code, count in tally["diagnoses"].items() if count)
    st.markdown(
        f"{tally['images']:,} images by version {job.order['version']}: {tally['refer']:,} to refer, "
        f"{tally['refused']:,} not judged for their quality or content, "
        f"{tally['failed']:,} could not be read. Likeliest: {named or 'none'}."
    )
    if st.toggle("Prepare the answers for download", key=f"scored-{job.id}"):
        st.download_button("Answers (CSV)", plans.scored(job=job), "answers.csv", "text/csv")


_SHOW = {"train": _show_training, "crossval": _show_crossval, "search": _show_search, "score": _show_scoring}
