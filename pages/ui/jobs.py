"""What is seen of a job while it runs and afterwards: state, progress, curves, log."""

from datetime import timedelta
from typing import Any

import streamlit as st

from skin_model import charts
from skin_model.entities import Job
from skin_model.recipe import EpochRecord

# stages that tell how far they are
COUNTED = ("looking for leaks", "fitting the last layer anew", "judging images", "judging the test lesions")
MARKS = {"waiting": "◌", "running": "▶", "done": "✓", "failed": "✕", "cancelled": "■"}
WHAT = {"train": "training", "crossval": "K-fold", "search": "search", "score": "folder of images"}
LOSSES = {"loss": "training loss", "val_loss": "validation loss"}
FIGURES = {
    "val_balanced_accuracy": "balanced accuracy, validation",
    "val_macro_auc": "macro AUC, validation",
    "val_accuracy": "accuracy, validation",
    "accuracy": "accuracy, training",
}


def title(job: Job) -> str:
    """Mark, name and state in a line."""
    return f"{MARKS[job.state]} **{job.order.get('name', job.kind)}**: {job.state}, asked for by {job.order['actor']}"


def show_progress(job: Job) -> None:
    """Stage, bar, speed, memory and time left of a job that waits or runs."""
    told = job.progress
    if job.state == "waiting" or not told:
        st.progress(0.0, "waiting for its turn" if job.state == "waiting" else "the worker is starting")
        return
    if told["stage"] == "training":
        share = (told["epoch"] - 1 + told["batch"] / told["batches"]) / told["epochs"]
        words = f"epoch {told['epoch']} of {told['epochs']}, batch {told['batch']} of {told['batches']}"
        st.progress(min(1.0, share), f"{words}, loss {told['loss']:.3f}{_left(told.get('left'))}")
    else:
        total = told.get("total") if told["stage"] in COUNTED else None
        st.progress(min(1.0, told["done"] / total) if total else 0.0, told["stage"])
    known = [
        f"{told['images_per_second']:.0f} images per second" if told.get("images_per_second") else "",
        f"{told['memory'] / 2**20:.0f} MB of memory at most" if told.get("memory") else "",
        f"worker {job.worker}",
        f"last heard of {told['at']:%H:%M:%S} UTC",
    ]
    st.caption(", ".join(filter(None, known)))


def show_curves(runs: dict[str, list[EpochRecord]], smoothing: float, key: str) -> None:
    """Losses beside figures, of one or several trainings."""
    if not any(runs.values()):
        st.caption("Curves appear after the first epoch.")
        return
    left, right = st.columns(2)
    for column, figures, name in ((left, LOSSES, "loss"), (right, FIGURES, "figures")):
        chosen = figures if len(runs) == 1 else dict(list(figures.items())[:2])
        column.plotly_chart(
            charts.training_curves(runs, chosen, smoothing=smoothing),
            key=f"{name}-{key}",
            config={"displayModeBar": False},
        )  # fmt: skip


def row(job: Job) -> dict[str, Any]:
    """A line of the table of what is over."""
    config, outcome = job.order.get("config", {}), job.outcome or {}
    figures = outcome.get("pooled") or outcome.get("figures") or {}
    return {
        "name": job.order["name"], "what": WHAT[job.kind], "state": job.state, "ended": job.ended,
        "data": job.order["data"], "network": config.get("network"), "size": config.get("size"),
        "epochs": outcome.get("epochs"),
        "balanced accuracy": figures.get("balanced_accuracy"), "macro AUC": figures.get("macro_auc"),
        "macro F1": figures.get("macro_f1"), "calibration error": figures.get("ece"),
        "version": outcome.get("version"), "by": job.order["actor"],
    }  # fmt: skip


def show_differences(given: dict[str, dict[str, Any]]) -> None:
    """The settings in which several trainings differ."""
    if len(given) < 2:
        return
    flat = {name: order["config"] | {"data": order["data"], "views": order["views"]} for name, order in given.items()}
    first = next(iter(flat.values()))
    differing = [key for key in first if len({str(order.get(key)) for order in flat.values()}) > 1]
    if not differing:
        st.caption("All settings are the same.")
        return
    lines = ["| Setting | " + " | ".join(flat) + " |", "|:--|" + ":--|" * len(flat)]
    lines += [f"| {key} | " + " | ".join(str(order.get(key)) for order in flat.values()) + " |" for key in differing]
    st.markdown("\n".join(lines))


def show_log(job: Job) -> None:
    """The last lines that the job wrote."""
    lines = job.progress.get("log")
    if lines:
        with st.expander("Log"):
            st.code("\n".join(lines), language=None)


def duration(seconds: float) -> str:
    """A time for a person: "about 25 minutes"."""
    if seconds < 90:
        return f"about {seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"


def _left(seconds: float | None) -> str:
    return f", {timedelta(seconds=int(seconds))} left for the training steps" if seconds else ""
