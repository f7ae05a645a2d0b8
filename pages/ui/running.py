"""What waits and runs, by itself up to date."""

import streamlit as st

from pages.ui import jobs as parts
from pages.ui import past
from skin_model.entities import Job
from skin_model.errors import SkinModelError
from skin_model.services import orders, plans

view = st.session_state
EVERY = 2.0  # seconds between two looks at the queue
CURVES = 5  # parts whose curves are shown over each other


@st.fragment(run_every=EVERY)
def live() -> None:
    """What waits and runs; looks by itself, and leaves alone what is being typed elsewhere on the page."""
    try:
        known = orders.jobs()
        if warning := orders.nobody_works(known):
            st.warning(warning)
        _show_active(known)
    except SkinModelError as error:
        st.error(str(error))


def _show_active(known: list[Job]) -> None:
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
                past.act(orders.cancel, job, "Cancelled: it stops soon; what was finished is kept.")
            if job.kind in plans.KINDS:
                _show_parts(job, smoothing)
                continue
            parts.show_progress(job)
            if job.state == "running" and job.kind == "train":
                parts.show_curves({"": orders.history(job=job.id)}, smoothing, job.id)
                parts.show_log(job)


def _show_parts(job: Job, smoothing: float) -> None:
    """How far a job in parts is, what is being done for it, and its newest curves."""
    known = plans.parts(job=job.id)
    done, planned = sum(part.over for part in known), plans.planned(job)
    st.progress(min(1.0, done / planned), f"{done} of {planned} {plans.KINDS[job.kind]} done")
    for part in known:
        if part.state == "running":
            st.markdown(parts.title(part))
            parts.show_progress(part)
    if job.kind == "score":
        return
    begun = [part for part in known if part.state != "waiting"][-CURVES:]
    curves = {part.order["name"].rsplit(", ", 1)[-1]: orders.history(job=part.id) for part in begun}
    parts.show_curves(curves, smoothing, job.id)
