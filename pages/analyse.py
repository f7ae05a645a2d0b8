"""Analyse one dermoscopic image: drop it or take an example, read decision, map and probabilities."""

# ruff: noqa: E402  (the page is headed and the model loaded while the rest is imported, seconds on a cold server)
from pages.ui.frame import begin_page, explain_failure

state = begin_page("Analyse an image", takes_files=True)

import logging
from dataclasses import asdict, replace
from pathlib import Path

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from pages.ui import deciding, explanations, outlining, picture, reasons, second_look, trust
from pages.ui.decision import decision
from pages.ui.details import details
from pages.ui.memory import remember, remembered
from pages.ui.shown import Shown
from pages.ui.similar import similar_cases
from pages.ui.words import describe, literal
from skin_model.charts import display_copy
from skin_model.entities import SEXES, SITES, Analysis, Example, ModelSummary, NotJudged, Patient
from skin_model.errors import BundleError, SkinModelError
from skin_model.services import analysis, workspace
from skin_model.services.thumbnails import thumbnail
from skin_model.taxonomy import BY_CODE

ACCEPTED = "JPEG, PNG, TIFF, WebP, BMP or DICOM, up to 25 MB, shorter side at least 100 pixels"
UNEXPECTED = "Something went wrong inside this tool and nothing was judged. Try again; if it stays, tell your IT."


def take_in() -> None:
    """Offer the uploader and the examples, and judge what was given; a model that still loads is waited for.

    Each judged file gets a fresh uploader, so that the next one can be dropped at once.  Streamlit may break a run off
    at any of its calls to start another: the file is let go only once its answer is kept.
    """
    view = st.session_state
    round_ = view.setdefault("uploads", 0)
    upload = offer_next(round_) if "shown" in view or "withheld" in view else offer_first(round_)
    chosen: Example | None = view.get("chosen")
    if upload is None and chosen is None:
        return
    waiting = "The model is still loading. Your picture will be analysed as soon as it is ready."
    with st.spinner(waiting if state.status == "loading" else "Analysing …"):
        if upload is not None:
            judge(upload.name, upload.getvalue())
        elif chosen is not None:
            judge(chosen.path.name, chosen.path, chosen)
    view.uploads, view.chosen = round_ + 1, None
    if upload is not None:
        forget(upload)
    st.rerun()


def offer_first(round_: int) -> UploadedFile | None:
    """An empty page: a large target for the file, what was wrong with the last one, the examples."""
    with st.container(key="first"):
        upload = uploader(f"Drop a dermoscopic image here, or choose one ({ACCEPTED})", round_)
    if "refused" in st.session_state:
        with st.container(key="refused"):
            st.error(st.session_state.refused)
    if examples := analysis.examples():
        st.header("Or try an example", anchor=False)
        offer_examples(examples)
    picture.fetch_charts_ahead()
    return upload


def offer_next(round_: int) -> UploadedFile | None:
    """A result is on the page: both offers in one low row above it."""
    with st.container(key="next"):
        left, right = st.columns([4, 1], vertical_alignment="bottom")
    with left:
        upload = uploader("Drop the next image here, or choose one", round_)
    examples = analysis.examples()
    with right, st.popover("Try an example", width="stretch", disabled=not examples, key=f"examples-{round_}"):
        offer_examples(examples)
    return upload


def uploader(label: str, round_: int) -> UploadedFile | None:
    # No list of types: a file of another kind gets the service's own sentence.
    upload = st.file_uploader(label, key=f"upload-{round_}")
    with st.container(key="too-large"):  # shown by the style sheet once the browser has refused a file
        st.markdown("This file is larger than 25 MB and was not sent. Save the picture as a JPEG and drop it again.")
    return upload


def forget(upload: UploadedFile) -> None:
    """Drop the bytes of an upload, which Streamlit would otherwise keep in memory until the browser leaves."""
    context = get_script_run_ctx()
    if context is not None:
        context.uploaded_file_mgr.remove_file(context.session_id, upload.file_id)


def judge(name: str, source: bytes | Path, example: Example | None = None) -> None:
    """Analyse one file; what was shown before goes, so that no result stands beside the wrong picture."""
    view = st.session_state
    explanations.stop_all()
    for earlier in ("shown", "refused", "withheld"):
        view.pop(earlier, None)
    try:
        found = analysis.analyse(data=source if isinstance(source, bytes) else source.read_bytes())
        summary = summary_of(found)
    except SkinModelError as error:
        view.refused = f"{literal(name)}: {error}"
        return
    except Exception:  # a fault of ours: the person gets a sentence, the server's log the rest (never the file's name)
        logging.getLogger(__name__).exception("An analysis failed unexpectedly")
        view.refused = f"{literal(name)}: {UNEXPECTED}"
        return
    height, width = found.image.pixels.shape[:2]
    if isinstance(found, NotJudged):
        view.withheld = trust.Withheld(name, (width, height), display_copy(found), summary, example)
    else:
        keep(name, (width, height), display_copy(found), summary, example)


def summary_of(found: Analysis | NotJudged) -> ModelSummary:
    """The model that has just answered: in use since before this run of the page, or put into use during it."""
    version = found.model_version if isinstance(found, NotJudged) else found.prediction.model_version
    for known in (state.summary, workspace.model_state().summary):
        if known is not None and known.version == version:
            return known
    raise BundleError("Another model came into use while this picture was judged. Give the picture again.")


def keep(name: str, size: tuple[int, int], found: Analysis, summary: ModelSummary, example: Example | None) -> None:
    st.session_state.shown = Shown(name, size, found, summary, example)
    st.session_state.asking = analysis.ask_first()


def impressed(chosen: str) -> None:
    """The user's own impression is there: the answer may be shown beside it."""
    st.session_state.asking = False
    st.session_state.shown = replace(st.session_state.shown, impression=chosen)


def judge_anyway(withheld: trust.Withheld) -> None:
    """A picture that the gate refused is judged because a person asked for it; the answer carries the reasons."""
    if st.session_state.pop("withheld", None) is not None:  # a second press finds it judged
        keep(withheld.name, withheld.size, withheld.found.judge_anyway(), withheld.summary, withheld.example)


def offer_examples(examples: list[Example]) -> None:
    with st.container(horizontal=True, gap="small"):
        for number, example in enumerate(examples, start=1):
            kind = "synthetic" if example.synthetic else "test image"
            with st.container(width=128, gap="xxsmall"):
                if small := thumbnail(example.path):
                    st.image(small, width=128, alt=f"Thumbnail {number}, {kind}")
                else:
                    st.caption("(cannot be shown)")
                st.button(
                    f"Example {number}", key=f"example-{number}", width="stretch",
                    on_click=st.session_state.update, args=({"chosen": example},),
                )  # fmt: skip
                st.caption(kind, text_alignment="center")


def say_who_answered(version: str) -> None:
    """That the model named at the top of the page is not the one that answered, where it is so."""
    if state.summary is not None and state.summary.version != version:
        st.warning(f"This answer is by {version}; {state.summary.version} has come into use since. Give the picture "
                   "again to have it judged by that.")  # fmt: skip


def show(shown: Shown) -> None:
    """Can it be judged, what is it likely, what to do; then, unfolding, why and what else looks like this."""
    say_who_answered(shown.summary.version)
    key = shown.analysis.image.sha256
    used = shown.analysis.for_patient is not None
    told = entered(key)
    shown = shown.of(told)
    trust.gate(shown.analysis.quality)
    decision(shown, told)
    second_look.told(shown)
    left, right = st.columns([6, 5], gap="large")
    with right:
        picture.probabilities(shown)
        target, opacity = choose_map(shown, key)
    with left:
        picture.picture_under_map(shown, target, opacity)
    trust.certainty(shown)
    deciding.deciding(shown)
    reasons.top_three(shown)
    explanations.others(shown)
    outlining.outline_and_measurements(shown)
    similar_cases(shown)
    with st.expander("Patient (optional)"):
        patient = ask_patient(key, used)
    if patient != Patient() and not used:
        words = "(not used by this model, which judges the picture alone)"
        st.markdown(f"**Patient:** {describe(patient)} {words}")
    details(shown, patient)


def choose_map(shown: Shown, key: str) -> tuple[str, float]:
    """The class whose map is shown (at first the most likely) and how strongly it covers the picture."""
    which, how = st.columns([3, 2])
    # without probabilities: what is shown of the option chosen stays when the patient changes them
    subject, chosen = remembered("target", (key, shown.ranked[0]))
    target = which.selectbox(
        "Map shown for", shown.ranked, shown.ranked.index(chosen) if subject == key else 0,
        key=f"target-{key}", format_func=lambda code: BY_CODE[code].name,
    )  # fmt: skip
    remember("target", (key, target))
    strength = how.slider(
        "Strength of the map", 0, 100, remembered("strength", 45), step=5, format="%d %%", key="strength"
    )
    return target, remember("strength", strength) / 100


def entered(key: str) -> Patient:
    """What was entered below before this run began, so that the answer above can take it into account.

    It is kept for the picture on the page alone: found again after a look at another page, gone with the next picture.
    """
    view = st.session_state
    subject, kept = remembered("patient", (key, Patient()))
    for name, value in asdict(kept if subject == key else Patient()).items():
        view.setdefault(f"{name}-{key}", value)  # as a widget's default it could not be emptied in the browser
    return Patient(view[f"age-{key}"], view[f"sex-{key}"], view[f"site-{key}"])


def ask_patient(key: str, used: bool) -> Patient:
    """Asked anew for each picture: one patient's particulars must never stand beside another's lesion."""
    of_model = "The answer above takes them into account." if used else "This model does not use them."
    st.caption(f"{of_model} Shown with the result and in its download; kept nowhere.")
    first, second, third = st.columns(3)
    patient = Patient(
        age=first.number_input("Age in years", 0, 120, None, placeholder="not known", key=f"age-{key}"),
        sex=second.selectbox("Sex", SEXES, None, placeholder="not known", key=f"sex-{key}"),
        site=third.selectbox("Site of the lesion", SITES, None, placeholder="not known", key=f"site-{key}"),
    )
    remember("patient", (key, patient))
    return patient


if explain_failure(state):
    st.stop()
take_in()
if "shown" in st.session_state:
    with st.container(key="result"):
        if st.session_state.asking:
            second_look.ask(st.session_state.shown, impressed)
        else:
            show(st.session_state.shown)
elif "withheld" in st.session_state:
    with st.container(key="result"):
        say_who_answered(st.session_state.withheld.summary.version)
        trust.not_judged(st.session_state.withheld, judge_anyway)
