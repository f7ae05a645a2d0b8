"""Train a model: see the data, start from a preset, follow, cancel, resume."""

# ruff: noqa: E402  (the page is headed and the model loaded while the rest is imported, seconds on a cold server)
from pages.ui.frame import begin_page, explain_failure, show_said

state = begin_page("Train a model")

import streamlit as st

from pages.ui import data_sets as data_parts
from pages.ui import ordering, past, running
from skin_model.errors import SkinModelError
from skin_model.services import orders, registered

explain_failure(state)
show_said()
st.header("Running", anchor=False)
running.live()
try:
    all_data, all_jobs = registered.data_sets(), orders.jobs()
    st.header("Start", anchor=False)
    ordering.show_trial(all_jobs)
    if all_data:
        ordering.ask(all_data)
    else:
        st.info(data_parts.WITHOUT_DATA)
    ordering.ask_for_scoring()
    st.header("Data", anchor=False)
    data_parts.show_data_sets(all_data)
    st.header("Past trainings", anchor=False)
    past.show_past(all_jobs)
except SkinModelError as error:  # the record or the queues may go away at any moment
    st.error(str(error))
