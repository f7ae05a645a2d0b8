"""The user's own impression, asked for before the answer is shown, so that both can stand side by side."""

from collections.abc import Callable

import streamlit as st

from pages.ui.shown import Shown
from skin_model.charts import marked_name
from skin_model.taxonomy import BY_CODE, CODES

UNSURE = "unsure"


def ask(shown: Shown, keep: Callable[[str], None]) -> None:
    """The picture and a question; `keep` gets the class code chosen, or `UNSURE`."""
    with st.container(key="second-look", gap="small"):
        left, right = st.columns([2, 3], gap="large")
        with left:
            st.header("Your own impression first", anchor=False)
            key = f"impression-{shown.analysis.image.sha256}"
            chosen = st.radio(
                "What is it most likely?", [*CODES, UNSURE], index=None, key=key,
                format_func=lambda code: "I cannot tell" if code == UNSURE else BY_CODE[code].name,
            )  # fmt: skip
            st.button("Show the answer", key="show-answer", disabled=chosen is None, on_click=keep, args=(chosen,))
        # without the file's name, which may tell the diagnosis
        right.image(shown.analysis.image.pixels, width="stretch", alt="The picture, its answer not shown yet")


def told(shown: Shown) -> None:
    """One line with the impression beside the network's first."""
    if shown.impression is None:
        return
    found = shown.analysis.prediction.diagnosis
    if shown.impression == UNSURE:
        st.markdown("**Your impression:** you could not tell.")
        return
    agree = "the network names the same first" if shown.impression == found.code else (
        f"the network names {found.name} first"
    )  # fmt: skip
    st.markdown(f"**Your impression:** {marked_name(BY_CODE[shown.impression])}; {agree}.")
