"""The frame of every page: title, menu, state of the model, disclaimer.

Streamlit serves a page without `app.py` having run when its own address is opened first, so each page begins
with `begin_page` as its first statement and relies on nothing else.
"""

import base64
import time
from pathlib import Path

import streamlit as st

from skin_model.entities import ModelState
from skin_model.services import workspace

PRODUCT = "Dermoscopy decision support"
MENU = (("app.py", "Home"), ("pages/analyse.py", "Analyse"), ("pages/training.py", "Train"),
        ("pages/models.py", "Models"))  # fmt: skip
ASSETS = Path(__file__).resolve().parents[2] / "assets"
SAID_SECONDS = 20.0  # a page that looks after its jobs reruns by itself, and must not wipe out what was just said
POLL_SECONDS = 0.5  # between two looks whether the model is ready: loading it takes about a second

# Streamlit's own theme (.streamlit/config.toml) does the rest; containers are named by their `key`.
_STYLE = """<style>
[data-testid="stHeader"] { background: transparent; pointer-events: none; }
[data-testid="stMainBlockContainer"] { max-width: 82rem; padding: 0.6rem 1.5rem 3rem; }
[data-testid="stMainBlockContainer"] > div > [data-testid="stVerticalBlock"] { gap: 0.75rem; }
[data-testid="stMainBlockContainer"] h1 { padding: 0 0 0.15rem; }
[data-testid="stMainBlockContainer"] h2 { padding: 0.25rem 0 0.1rem; }
[data-testid="stCaptionContainer"], [data-testid="stFileUploaderDropzoneInstructions"] * { color: #4A5B66; }
[data-testid="stCaptionContainer"] { opacity: 1; }

.st-key-header { border-bottom: 1px solid #D9E1E5; padding-bottom: 0.35rem; row-gap: 0.2rem; }
.st-key-header > div:has(.model) { margin-left: auto; }
.product { display: flex; align-items: center; gap: 0.55rem; font-weight: 650; white-space: nowrap; }
.product img { width: 1.8rem; height: 1.8rem; }
.model { font-size: 0.9rem; color: #40525D; white-space: nowrap; }

.st-key-disclaimer { background: #FFF8E6; border: 1px solid #E3CD8B; border-left: 5px solid #B07A00;
  border-radius: 6px; padding: 0.45rem 0.8rem; }
.st-key-disclaimer [data-testid="stMarkdownContainer"] { margin: 0; }
.st-key-disclaimer p { font-size: 0.95rem; line-height: 1.4; color: #3F3000; margin: 0; }

[data-testid="stPageLink"] a:focus-visible { outline: 3px solid rgba(11, 95, 122, 0.5); outline-offset: 1px; }
.st-key-start a { background: #0B5F7A; border-radius: 6px; padding: 0.65rem 1.5rem; }
.st-key-start a:hover, .st-key-start a:focus-visible { background: #084A5F; }
.st-key-start a p { color: #FFFFFF; font-size: 1.1rem; font-weight: 600; }

.st-key-first [data-testid="stFileUploaderDropzone"] { min-height: 8rem; align-items: center;
  justify-content: center; }
.st-key-first [data-testid="stFileUploaderDropzone"] > div { flex: none; }
.st-key-next [data-testid="stFileUploaderDropzone"] { padding-block: 0.3rem; min-height: 0; }
div:has(> .st-key-too-large), div:has(> .st-key-charts-ahead) { display: none; }
body:has(.stFileChip[aria-invalid="true"]) div:has(> .st-key-too-large) { display: block; }
body:has(.stFileChip[aria-invalid="true"]) :is(.st-key-result, .st-key-refused) { display: none; }
.st-key-too-large { background: #FDF0EC; border-left: 5px solid #B23A17; border-radius: 6px;
  padding: 0.6rem 0.9rem; }

.st-key-refer, .st-key-below { border: 1px solid; border-left-width: 8px; border-radius: 6px;
  padding: 0.5rem 1rem 0.6rem; }
.st-key-refer { background: #FDF0EC; border-color: #B23A17; }
.st-key-below { background: #EEF4F8; border-color: #3F6C8A; }
.st-key-refer [data-testid="stMarkdownContainer"], .st-key-below [data-testid="stMarkdownContainer"],
.st-key-too-large [data-testid="stMarkdownContainer"], .st-key-too-large p { margin: 0; }
.st-key-refer p, .st-key-below p { font-size: 1.05rem; margin: 0; }
.st-key-care, .st-key-outline-care, .st-key-overridden, .st-key-not-judged { border: 1px solid;
  border-left-width: 8px; border-radius: 6px; padding: 0.4rem 1rem; }
.st-key-care, .st-key-outline-care { background: #FFF8E6; border-color: #B07A00; }
.st-key-overridden, .st-key-not-judged { background: #F3F1F4; border-color: #4B3F57; }
.st-key-outline-care [data-testid="stMarkdownContainer"],
.st-key-care [data-testid="stMarkdownContainer"], .st-key-overridden [data-testid="stMarkdownContainer"],
.st-key-care p, .st-key-outline-care p, .st-key-overridden p { margin: 0; }

.legend { display: flex; flex-wrap: wrap; align-items: center; gap: 0.3rem 1rem; font-size: 0.95rem; }
.legend span { flex: 1 1 14rem; display: flex; align-items: center; gap: 0.6rem; color: #40525D; }
.legend i { flex: 1 0 4rem; height: 0.8rem; border: 1px solid #8A9AA3; border-radius: 2px; }

@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding: 0.5rem 0.9rem 2rem; }
  .st-key-header > :first-child { flex-basis: 100%; }
  .st-key-header { column-gap: 0.25rem; }
  .st-key-disclaimer p { font-size: 0.85rem; }
  .st-key-first [data-testid="stFileUploaderDropzone"] { min-height: 5rem; }
  [data-testid="stFileUploaderDropzoneInstructions"] { display: none; }
  /* the examples fill the screen, and what is waited for would be said below it */
  div:has(> .st-key-first) ~ div [data-testid="stSpinner"] { position: fixed; z-index: 10; inset: auto 0.9rem 0.9rem;
    padding: 0.6rem 0.9rem; background: #FFFFFF; border: 1px solid #0B5F7A; border-radius: 6px; }
  [data-testid="stMarkdownContainer"] { overflow-wrap: anywhere; }
  [data-testid="stMarkdownContainer"] table { display: block; overflow-x: auto; }
  [data-testid="stMarkdownContainer"] :is(th, td) { padding: 0.25rem 0.3rem; font-size: 0.8rem;
    overflow-wrap: break-word; hyphens: auto; }
}
</style>"""


def begin_page(title: str, *, takes_files: bool = False) -> ModelState:
    """Configure and head a page; the first statement of every page after its imports.

    Args:
        title: its heading.
        takes_files: the page has an uploader.  Streamlit loses a file that is handed over just as a run begins (the
            upload address it has ready for the browser is cleared away with the last run's output), so such a page
            does not run again without need.

    Returns:
        Whether analyses are possible now.  While the model loads, a page without uploader runs again by itself once
        it has; one with an uploader only if the model failed.
    """
    st.set_page_config(
        page_title=f"{title} · {PRODUCT}",
        page_icon=str(ASSETS / "logo.svg"),
        layout="wide",
        initial_sidebar_state="collapsed",
    )
    st.html(_STYLE)
    state = workspace.model_state()
    with st.container(key="header", horizontal=True, vertical_alignment="center", gap="medium"):
        logo = base64.b64encode((ASSETS / "logo.svg").read_bytes()).decode("ascii")
        picture = f'<img alt="" src="data:image/svg+xml;base64,{logo}">'
        st.html(f'<div class="product">{picture}<span>{PRODUCT}</span></div>', width="content")
        for page, label in MENU:
            st.page_link(page, label=label, width="content")
        if state.status == "loading":
            _watch_loading(takes_files)
        else:
            _model_line(state)
    with st.container(key="disclaimer"):
        st.markdown((ASSETS / "disclaimer.md").read_text(encoding="utf-8"))
    if state.summary is not None and state.summary.drawn:
        st.warning("The model in use learned from drawings, not from patients: its answers mean nothing clinically.")
    st.title(title, anchor=False)
    return state


def explain_failure(state: ModelState) -> bool:
    """Whether the model failed; if so the page says why, and that nothing can be analysed."""
    if state.status != "failed":
        return False
    st.error(f"{state.message}\n\nUntil this is mended nothing can be analysed; no other model steps in.")
    return True


@st.fragment(run_every=POLL_SECONDS)
def _watch_loading(takes_files: bool) -> None:
    """Ask again until the loading has ended; the page that then runs no longer asks."""
    state = workspace.model_state()
    if state.status == "failed" or (state.status == "ready" and not takes_files):
        st.rerun()
    _model_line(state)


def _model_line(state: ModelState) -> None:
    words = {"loading": "◌ The model is loading …", "failed": "✕ No model in use"}
    line = f"● Model {state.summary.version}" if state.summary else words.get(state.status, "")
    st.html(f'<div class="model" role="status">{line}</div>', width="content")


def say(words: str) -> None:
    """Run the page anew with a sentence on what was done."""
    st.session_state["said"] = words, time.monotonic()
    st.rerun()


def show_said() -> None:
    """The sentence of `say`, for a while."""
    words, at = st.session_state.get("said", ("", 0.0))
    if words and time.monotonic() - at < SAID_SECONDS:
        st.success(words)
