"""The registered data sets on the training page: what is in them, and how to add one."""

from pathlib import Path
from typing import Any

import streamlit as st

from pages.ui.frame import say
from skin_model.entities import DataSet
from skin_model.errors import SkinModelError
from skin_model.services import registered
from skin_model.services.thumbnails import thumbnail
from skin_model.taxonomy import BY_CODE, CODES

STAY = "Stay on this page and click nothing until this ends, or it is broken off and nothing is registered."
BEGUN = "registration begun"  # in the session: what was begun and has not ended
WITHOUT_DATA = """
No data set is registered on this server yet.

**HAM10000**, which the shipped model learned from, is free for non-commercial use: doi:10.7910/DVN/DBW86T. Unpack both
image archives and `HAM10000_metadata` into one folder on this server and register that folder below.

To try the page first, let it draw lesions: a training on drawings takes minutes, and can never be promoted.
"""


def show_data_sets(data_sets: list[DataSet]) -> None:
    """The registered data sets, and how to add one."""
    for data in data_sets:
        with st.expander(f"{data.name}: {data.summary['images']:,} images of {data.summary['lesions']:,} lesions"):
            _show_one(data)
    with st.form("register", border=True):
        st.markdown("**Register a folder on this server** (HAM10000's or an ISIC challenge's layout)")
        folder = st.text_input("Folder")
        split = st.text_input("Split table (CSV on this server; empty: the shipped model's, or a new one)")
        asked = st.form_submit_button("Check and register")
    drawing = not any(data.drawn for data in data_sets) and st.button("Draw a demonstration set")
    if asked:
        _take_in(f"The check of `{folder}`", lambda progress: registered.register(
            folder=Path(folder), split=Path(split) if split.strip() else None, who=registered.actor(),
            on_progress=progress,
        ))  # fmt: skip
    elif drawing:
        _take_in(
            "Drawing the demonstration set",
            lambda progress: registered.register_demo(who=registered.actor(), on_progress=progress),
        )
    elif BEGUN in st.session_state:
        st.warning(
            f"{st.session_state[BEGUN]} was broken off by a click or by leaving this page, and nothing was "
            "registered. Start it again, and stay on this page until it ends."
        )


def _take_in(what: str, register: Any) -> None:
    """Check and register in this very run of the page, which Streamlit ends at the next click."""
    st.session_state[BEGUN] = what
    bar = st.progress(0.0, STAY)
    try:
        made = register(lambda done, total: bar.progress(done / total, f"{100 * done / total:.0f} % done. {STAY}"))
    except Exception as error:  # not what Streamlit ends a run by, which is no Exception
        del st.session_state[BEGUN]
        if not isinstance(error, SkinModelError):
            raise
        st.error(str(error))
        return
    del st.session_state[BEGUN]
    say(f"{made.name} is registered.")


def _show_one(data: DataSet) -> None:
    summary = data.summary
    st.caption(f"{data.folder}, registered by {data.actor}; split {data.fingerprint[:12]}…")
    for problem in summary["problems"]:
        st.warning(problem)
    names = list(summary["parts"])
    lines = ["| Diagnosis | " + " | ".join(names) + " |", "|:--|" + "--:|" * len(names)]
    for code in CODES:
        cells = [f"{images} ({lesions})" for images, lesions in (summary["parts"][name][code] for name in names)]
        lines.append(f"| {BY_CODE[code].name} | " + " | ".join(cells) + " |")
    st.markdown("\n".join(lines))
    st.caption("Images (lesions). Test lesions are never trained, validated or calibrated on.")
    for column, (title, key) in zip(st.columns(3), (("Age", "ages"), ("Sex", "sexes"), ("Site", "sites")), strict=True):
        column.caption(title)
        column.bar_chart(summary[key], height=160)
    if st.toggle("Sample pictures", key=f"samples-{data.id}"):
        try:
            with st.spinner("Looking for pictures"):
                samples = {
                    code: [small for path in paths if (small := thumbnail(path))]
                    for code, paths in registered.samples(data_set=data).items()
                }
        except SkinModelError as error:
            st.error(str(error))
            return
        for code, pictures in samples.items():
            st.caption(BY_CODE[code].name)
            st.image(
                pictures, width=110, alt=[f"Sample {n}: {BY_CODE[code].name}" for n in range(1, len(pictures) + 1)]
            )
