"""The registered models: what each can do, which one is in use, and putting another one into use."""

# ruff: noqa: E402  (the page is headed and the model loaded while the rest is imported, seconds on a cold server)
from pages.ui.frame import begin_page, explain_failure, say, show_said

state = begin_page("Models")

from pathlib import Path
from typing import Any

import streamlit as st

from pages.ui.figures import between, value_of
from pages.ui.memory import remember, remembered
from skin_model.errors import SkinModelError
from skin_model.services import orders, registered, registry
from skin_model.services.thumbnails import thumbnail
from skin_model.taxonomy import BY_CODE

HEADLINES = {
    key: f"{name} (less is better)" if key in registry.LESS_IS_BETTER else name
    for key, name in registry.HEADLINES.items()
}
MARKS = {registry.CHAMPION: "●", registry.CHALLENGER: "○", registry.RETIRED: "◍"}


def show_version(version: registry.Version, shown: int | None) -> None:
    """Figures, papers and what can be done with one version; `shown` was in use when the page was drawn before."""
    try:
        papers = registry.papers(version)
    except SkinModelError as error:
        st.error(f"Version {version.number} cannot be used: {error}")
        return
    manifest, evaluation = papers["manifest"], papers["evaluation"]
    st.markdown(
        f"**{version.name}**, {manifest.network} at {manifest.size} pixels, made {manifest.created[:10]} from "
        f"{manifest.data.get('name', 'unknown data')}."
    )
    if evaluation:
        show_figures(evaluation, papers["details"])
    if papers["details"] and st.toggle("Evaluation report", key=f"report-{version.number}"):
        st.iframe(registry.report(papers), height=900, alt=f"Evaluation report of version {version.number}")
    with st.expander("Model card"):
        st.markdown(papers["card"])
    with st.expander("Lineage: data, split, settings, environment"):
        st.json({"split": manifest.data.get("split"), "data": manifest.data, "training": manifest.training,
                 "earlier stages": manifest.stages, "environment": manifest.environment, "files": manifest.files},
                expanded=False)  # fmt: skip
    if version.status != registry.CHAMPION and not registry.pinned():
        if not version.drawn:
            compare(version)
        decide(version, shown)


def show_figures(evaluation: dict[str, Any], details: dict[str, Any]) -> None:
    """The figures, and beside them, where they were measured, those of the pictures alone, as in a first answer."""
    measured = {"value": evaluation}
    if alone := details.get("patients", {}).get("alone"):
        measured = {"judged alone": alone["evaluation"], "with age, sex and site": evaluation}
    lines = ["| Figure on the test part |" + "".join(f" {how} | 95 % interval |" for how in measured),
             "|:--|" + "--:|:--|" * len(measured)]  # fmt: skip
    for key, name in HEADLINES.items():
        if value_of(evaluation, key) is not None:
            lines.append(f"| {name} |" + "".join(_cells(one, key) for one in measured.values()))
    st.markdown("\n".join(lines))
    first = " A first answer is of the picture alone." if alone else ""
    st.caption(f"{evaluation['n']:,} images of lesions kept out of its training.{first}")


def _cells(evaluation: dict[str, Any], key: str) -> str:
    interval = (evaluation.get("intervals") or {}).get(key)
    return f" {value_of(evaluation, key):.3f} | {between(interval, '{:.3f}'.format)} |"


def compare(version: registry.Version) -> None:
    """Champion against challenger: ask for it, follow it, read it."""
    st.subheader("Against the version in use", anchor=False)
    found = registry.comparison(challenger=version)
    if found is None or found.over:
        order_comparison(version)
    if found is not None:
        follow(version.number) if not found.over else show_comparison(found)


def order_comparison(version: registry.Version) -> None:
    sets = [data for data in registered.data_sets() if not data.drawn]
    if not sets:
        st.info("Two versions are compared on the test lesions of a registered data set of photographs, and none is "
                "registered on this server. Register one on the Train page, under Data.")  # fmt: skip
        return
    data = st.selectbox("On the test lesions of", sets, format_func=lambda data: data.name, key=f"on-{version.number}")
    if st.button("Compare", key=f"compare-{version.number}"):
        run(lambda: registry.order_comparison(
            challenger=version, data_set=data, who=registered.actor(), job=orders.new_id()
        ), "The comparison is queued.")  # fmt: skip


@st.fragment(run_every=2.0)
def follow(number: int) -> None:
    """How far the comparison is; shows it once it is done."""
    try:
        known = next((version for version in registry.versions() if version.number == number), None)
        found = registry.comparison(challenger=known) if known else None  # a version can be withdrawn meanwhile
    except SkinModelError as error:  # each look runs outside of the page's own try
        st.error(str(error))
        return
    if found is None or found.over:
        st.rerun()
    told = found.progress
    words = told.get("stage", "waiting for its turn")
    st.progress(told["done"] / told["total"] if told.get("total") else 0.0, words)


def show_comparison(found: Any) -> None:
    if found.state != "done":
        st.error(f"The comparison is {found.state}. {found.error}")
        return
    result = found.outcome
    show = {True: st.success, False: st.warning, None: st.info}[result["supported"]]
    show(result["sentence"])
    lines = ["| Figure | in use | this version | difference | 95 % interval |", "|:--|--:|--:|--:|:--|"]
    for key, figure in result["figures"].items():
        if figure["difference"] is None:  # no such lesion among those compared
            continue
        lines.append(
            f"| {HEADLINES[key]} | {figure['first']:.3f} | {figure['second']:.3f} "
            f"| {figure['difference']:+.3f} | {between(figure['interval'], '{:+.3f}'.format)} |"
        )
    st.markdown("\n".join(lines))
    st.caption(
        f"{result['images']} images of {result['lesions']} lesions that neither has met ({result['met']} left out); "
        "paired bootstrap by lesion. A model that takes the patient was told what is known of age, sex and site."
    )
    if result["worse"]:
        st.warning(f"Worse in {'; '.join(result['worse'])}. Of so many groups, one may stand here by chance.")
    if result["disagreements"] and st.toggle("Images on which they disagree", key=f"images-{found.id}"):
        for column, item in zip(st.columns(4) * 3, result["disagreements"], strict=False):
            said = (
                f"{BY_CODE[item['dx']].name}; in use: {BY_CODE[item['champion']].name}; "
                f"this version: {BY_CODE[item['challenger']].name}"
            )
            if small := thumbnail(Path(item["path"])):
                column.image(small, caption=said)
            else:
                column.caption(f"(no picture here) {said}")


def decide(version: registry.Version, shown: int | None) -> None:
    """Promote or return to a version, with a reason; `shown` was in use when the page was drawn."""
    words = "Return to this version" if version.status == registry.RETIRED else "Put this version into use"
    if version.drawn:
        st.info("This version learned from drawings: it can never be put into use.")
        return
    with st.form(f"decide-{version.number}", border=True):
        reason = st.text_input("Reason, kept with the decision")
        if st.form_submit_button(words, type="primary"):
            run(lambda: registry.promote(version=version, who=registered.actor(), reason=reason, instead_of=shown),
                f"Version {version.number} is in use now, in every window of this app within seconds.")  # fmt: skip


def run(act: Any, said: str) -> None:
    try:
        act()
    except SkinModelError as error:
        st.error(str(error))
        return
    say(said)


def show_history() -> None:
    past = registry.history()
    st.header("Who put which version into use", anchor=False)
    if not past:
        st.caption("No version was ever put into use by hand; at first it is version 1, the bundled model.")
        return
    st.dataframe(
        [{"when": p.at, "version": p.version, "before": p.previous, "by": p.actor, "reason": p.reason} for p in past],
        hide_index=True,
    )


show_said()
explain_failure(state)
if registry.pinned():
    st.info("SKIN_MODEL_BUNDLE names the model in use here: no version of this list is, and none can be put into use "
            "until it is taken away.")  # fmt: skip
try:
    with st.spinner("Looking at the registry"):  # the first look of a process makes or checks its tables
        all_versions = registry.versions()
    labels = {version.number: version for version in all_versions}
    numbers = list(labels)
    kept = remembered("version", numbers[0])
    # by a key: its labels tell the status, and one that changes must not make another version the chosen one
    chosen = st.selectbox(
        "Version", numbers, numbers.index(kept) if kept in labels else 0, key="version",
        format_func=lambda number: f"{MARKS[labels[number].status]} {number}: {labels[number].name} "
        f"({labels[number].status})",
    )  # fmt: skip
    in_use = next((version.number for version in all_versions if version.status == registry.CHAMPION), None)
    shown = remembered("in use", in_use)  # whoever presses a button now has decided by what was drawn before
    remember("in use", in_use)
    show_version(labels[remember("version", chosen)], shown)
    show_history()
except SkinModelError as error:
    st.error(str(error))
