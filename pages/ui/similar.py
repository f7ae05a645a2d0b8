"""The confirmed cases that a picture resembles most: their diagnoses beside the network's answer, their pictures."""

from collections import Counter

import streamlit as st

from pages.ui.shown import Shown
from skin_model.charts import marked_name, percent
from skin_model.entities import SimilarCase
from skin_model.services import similar as service
from skin_model.services.thumbnails import thumbnail
from skin_model.taxonomy import BY_CODE

CONFIRMED = {
    "histo": "histopathology", "follow_up": "follow-up", "consensus": "expert consensus",
    "confocal": "confocal microscopy", "": "not known how",
}  # fmt: skip
NEAR = 0.25  # of the usual distance: a picture of the same lesion, or the same picture


@st.fragment
def similar_cases(shown: Shown) -> None:
    """Expander: how many of the most similar cases had which diagnosis, and each of them."""
    cases = shown.analysis.similar
    if cases is None:
        st.caption("Similar confirmed cases: this model carries none.")
        return
    counts = Counter(case.diagnosis for case in cases)
    likeliest, most = counts.most_common(1)[0]
    label = f"Similar confirmed cases: {most} of {len(cases)} are {BY_CODE[likeliest].name}"
    with st.expander(label, key="similar", on_change="rerun") as it:
        if not it.open:
            return
        st.markdown(
            "The lesions most like this one to the network, out of those that it learned from, with their confirmed "
            "diagnoses. It finds them by what it answers by: where they agree with it, that is no second opinion; "
            "where they do not, trust the answer less."
        )
        if cases[0].distance < NEAR:
            st.info(
                "The first is almost this very picture: the network has probably learned from this lesion, so its "
                "answer shows what it remembers, not what it can do."
            )
        st.markdown(_counted(shown, counts))
        _each(cases, shown.analysis.prediction.model_version)
        st.caption("Distance 1 is usual between a new lesion and its similar cases; less is more alike.")


def _counted(shown: Shown, counts: Counter[str]) -> str:
    values = shown.analysis.prediction.by_code()
    lines = ["| Diagnosis | Similar cases | The network's answer |", "|:--|--:|--:|"]
    for code in sorted(shown.ranked, key=lambda code: -counts[code]):
        if counts[code] or code in shown.ranked[:3]:
            lines.append(f"| {marked_name(BY_CODE[code])} | {counts[code]} | {percent(values[code])} |")
    return "\n".join(lines)


def _each(cases: tuple[SimilarCase, ...], model: str) -> None:
    with st.spinner("Looking for their pictures"):  # the first look goes through the whole folder of a data set
        known = service.pictures(cases=cases, model=model)
        pictures = {image: thumbnail(path) for image, path in known.items()}
    if not pictures:
        lines = ["| | Diagnosis | Confirmed by | Distance |", "|--:|:--|:--|--:|"]
        for number, case in enumerate(cases, start=1):
            name = marked_name(BY_CODE[case.diagnosis])
            lines.append(f"| {number} | {name} | {_confirmed(case)} | {case.distance:.2f} |")
        st.markdown("\n".join(lines))
        st.caption(
            "Their pictures are shown where the data set lies on the server and is registered on the training page."
        )
        return
    with st.container(horizontal=True, gap="small", key="similar-cases"):
        for number, case in enumerate(cases, start=1):
            name = marked_name(BY_CODE[case.diagnosis])
            with st.container(width=150, gap="xxsmall"):
                if small := pictures.get(case.image):
                    # stretched to the 150 pixels: a width in numbers would make Streamlit reduce it to these
                    st.image(small, width="stretch", alt=f"Similar case {number}: {name}")
                else:
                    st.caption("(no picture here)")
                st.markdown(f"**{name}**  \n{_confirmed(case)}, distance {case.distance:.2f}")


def _confirmed(case: SimilarCase) -> str:
    return CONFIRMED.get(case.confirmed, case.confirmed)
