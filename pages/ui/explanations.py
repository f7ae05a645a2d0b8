"""Other explanations of a finished analysis: two maps side by side, of any method and class, once unfolded."""

import numpy as np
import streamlit as st

from pages.ui.memory import remember, remembered
from pages.ui.picture import heat_legend
from pages.ui.shown import Shown
from pages.ui.viewer import picture_viewer
from skin_model.entities import Explanation
from skin_model.errors import SkinModelError
from skin_model.services import explaining
from skin_model.services.explaining import Offer, Run
from skin_model.taxonomy import BY_CODE

POLL_SECONDS = 0.5
Kept = dict[tuple[str, str], Explanation]  # (method, class code) -> map, of the picture on the page
Wanted = tuple[str, str]  # (method, class code, or "" where one run gives all classes): what a run is for


def others(shown: Shown) -> None:
    """The expander; nothing in it is computed before it is unfolded, and slow methods wait to be asked."""
    subject = shown.analysis.image.sha256, shown.analysis.prediction.model_version
    view = st.session_state
    if view.get("explained-subject") != subject:
        stop_all()
        view["explained-subject"], view["explained"] = subject, {}
        view["explanation-runs"], view["explained-seconds"] = {}, {}
    _unfolding(shown)


def stop_all() -> None:
    """End what is still being computed for a picture that goes."""
    for run in st.session_state.get("explanation-runs", {}).values():
        run.stop()


@st.fragment
def _unfolding(shown: Shown) -> None:
    with st.expander("Other explanations: other methods, two maps side by side", on_change="rerun", key="others") as it:
        if not it.open:
            return
        style, opacity, offered = _controls(explaining.offers(summary=shown.summary))
        if not offered:
            st.info(
                "Every method failed its check on this model, so maps may mislead. To see one, switch them on above."
            )
        wanted = set()
        for number, column in enumerate(st.columns(2, gap="large") if offered else ()):
            with column:
                wanted.add(_panel(shown, number, offered, style, opacity))
        runs: dict[Wanted, Run] = st.session_state["explanation-runs"]
        for key in runs.keys() - wanted:
            gone = runs.pop(key)
            gone.stop()
            _keep(gone.method, gone.explanations)


def _controls(offers: list[Offer]) -> tuple[str, float, list[Offer]]:
    """How maps are drawn, how strongly, and which methods can be chosen."""
    st.caption(
        "The same answer explained in other ways: of the picture as it was given, while the answer may be the mean of "
        "several views and take the patient into account. Methods differ and may contradict each other; none proves "
        "that the network is right."
    )
    left, middle, right = st.columns([2, 2, 3], vertical_alignment="bottom")
    styles = list(explaining.STYLES)
    style = remember("style", left.segmented_control(
        "Drawn as", styles, default=remembered("style", styles[0]), required=True, key="style"
    ))  # fmt: skip
    lines = style == "Contours"  # always drawn in full: faint, their colours could not be told apart
    strength = remember("others-strength", middle.slider(
        "Strength", 0, 100, remembered("others-strength", 60), step=5, format="%d %%", key="others-strength",
        disabled=lines,
    ))  # fmt: skip
    failed = [offer.name for offer in offers if offer.failed]
    if failed and not remember("others-failed", right.toggle(
        f"Offer methods that failed their check ({len(failed)})", remembered("others-failed", False),
        help=", ".join(failed), key="others-failed",
    )):  # fmt: skip
        offers = [offer for offer in offers if not offer.failed]
    return style, 1.0 if lines else strength / 100, offers


def _panel(shown: Shown, number: int, offers: list[Offer], style: str, opacity: float) -> Wanted:
    """One map: which method, which class, the picture, what it can show and how it did.  Returns what it wants."""
    names = {offer.key: f"{offer.name} (seconds)" if offer.slow else offer.name for offer in offers}
    by_key = {offer.key: offer for offer in offers}
    which, of = st.columns(2)
    keys = list(names)
    last = remembered(f"method-{number}", keys[0])
    method = remember(f"method-{number}", which.selectbox(
        "Method", keys, keys.index(last) if last in keys else 0, format_func=names.__getitem__, key=f"method-{number}"
    ))  # fmt: skip
    target = of.selectbox(
        "Class", shown.ranked, index=number, key=f"class-{number}-{shown.analysis.image.sha256}",
        format_func=lambda code: BY_CODE[code].name,
    )  # fmt: skip
    offer = by_key[method]
    explanation = _explanation(shown, offer, target, number)
    heat = np.zeros((1, 1), np.float32) if explanation is None else explanation.heat_map
    painted = explaining.paint(analysis=shown.analysis, heat_map=heat, opacity=opacity, style=style)
    title = f"{shown.name}: {offer.name if heat.any() else 'no map'} for {BY_CODE[target].name}"
    subject = shown.analysis.image.sha256
    with st.container(key=f"other-{number}"):
        picture_viewer(painted, shown.analysis.box, alt=title, subject=subject, key=f"other-viewer-{number}")
    if explanation is not None and not heat.any():
        st.info(explaining.nothing(target))
    elif explanation is not None:
        st.html(_legend(explanation, style, opacity))
    took = st.session_state["explained-seconds"].get(method)
    time = f"  \nComputed in {took:.1f} s." if offer.slow and took and explanation is not None else ""
    st.caption(f"{offer.limits}  \n{offer.evidence}{time}")
    return _wanted(offer, target)


def _wanted(offer: Offer, target: str) -> Wanted:
    return offer.key, target if offer.one_class else ""


def _explanation(shown: Shown, offer: Offer, target: str, number: int) -> Explanation | None:
    """The map where it is there; a slow one is offered, followed, and can be stopped."""
    kept: Kept = st.session_state["explained"]
    runs: dict[Wanted, Run] = st.session_state["explanation-runs"]
    wanted = _wanted(offer, target)
    run = runs.get(wanted)
    if run is not None and _going(run):
        _follow(run, offer, number)
        return None
    if run is not None and run.explanations:
        _keep(run.method, run.explanations)
        st.session_state["explained-seconds"][run.method] = run.seconds
    if (offer.key, target) in kept:
        return kept[offer.key, target]
    if not offer.slow:
        try:
            _keep(offer.key, explaining.explain(analysis=shown.analysis, method=offer.key, target=target))
        except SkinModelError as error:
            st.error(str(error))
        return kept.get((offer.key, target))
    if run is not None and run.error:
        st.error(run.error)

    def begin() -> None:
        if wanted not in runs or not _going(runs[wanted]):  # a second press meets the run of the first
            runs[wanted] = explaining.begin(analysis=shown.analysis, method=offer.key, target=target)

    words = f"Compute {offer.name}, which takes seconds"
    st.button(words, key=f"begin-{number}", width="stretch", on_click=begin)
    return None


def _going(run: Run) -> bool:
    return not run.done and not run.stopped


@st.fragment(run_every=POLL_SECONDS)
def _follow(run: Run, offer: Offer, number: int) -> None:
    """Progress with a button to stop; the page takes the map in once it is there."""
    if run.done:
        st.rerun()
    words = f"{offer.name}: {100 * run.share:.0f} %" if run.share else f"{offer.name}: loading what it needs …"
    if run.waiting:
        words = f"{offer.name}: waiting for another one to end …"
    bar, stop = st.columns([4, 1], vertical_alignment="center")
    bar.progress(run.share, words)
    if stop.button("Stop", key=f"stop-{number}", width="stretch"):
        run.stop()
        st.rerun()


def _keep(method: str, found: dict[str, Explanation]) -> None:
    st.session_state["explained"] |= {(method, code): explanation for code, explanation in found.items()}


def _legend(explanation: Explanation, style: str, opacity: float) -> str:
    """The colour scale, with words at its ends."""
    name = f"{explanation.method}: <b>{BY_CODE[explanation.target].name}</b>"
    if style == "Contours":
        levels = "".join(
            f'<span style="flex:none"><i style="flex:none;width:1.6rem;height:5px;background:rgb{colour}"></i>'
            f"{100 * level:.0f}&nbsp;%</span>"
            for level, colour in explaining.contour_scale()
        )
        return f'<div class="legend"><div>{name}, lines at shares of its strongest place</div>{levels}</div>'
    return heat_legend(name, opacity)
