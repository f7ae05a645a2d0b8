"""The pieces of a finished analysis: decision, picture under its map, probabilities, details."""

import csv
import io
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from pages.ui.memory import remember, remembered
from pages.ui.viewer import picture_viewer
from skin_model import charts
from skin_model.charts import percent
from skin_model.entities import (
    Analysis,
    Example,
    ModelSummary,
    Patient,
    Prediction,
    PredictionSet,
)
from skin_model.services import analysis as analysis_service
from skin_model.services import explaining, trust
from skin_model.services.explaining import Offer
from skin_model.services.prediction import no_formula
from skin_model.taxonomy import BY_CODE, DIAGNOSES

COLUMNS = {"age": "age", "sex": "sex", "localization": "site"}  # of a data set, as a patient's particulars are named
FAILED_MAPS = "failed-maps"  # remembered: show the maps beside the answer though their method failed its check
USE = "assistive only; not a diagnosis; not cleared as a medical device; research and education"


@dataclass(frozen=True)
class Shown:
    """The analysis on the screen: view state of one session, never stored.

    Attributes:
        name: of the uploaded file or the example.
        size: (width, height) of the upload in pixels; `analysis` holds a copy for the screen.
        analysis: as the service gave it, the picture reduced for the screen.
        summary: the model that gave it.
        example: the example it came from, None for an upload.
        patient: what was entered, where the answer takes it into account.
        alone: the answer for the picture alone, where `analysis` holds another.
        impression: the user's own, given before the answer was shown: a class code or "unsure"; None for not asked.
    """

    name: str
    size: tuple[int, int]
    analysis: Analysis
    summary: ModelSummary
    example: Example | None = None
    patient: Patient = field(default_factory=Patient)
    alone: Prediction | None = None
    impression: str | None = None

    def of(self, patient: Patient) -> "Shown":
        """The same picture with what the model makes of it in this patient."""
        answer = self.analysis.for_patient
        if answer is None or patient == Patient():
            return self
        told = replace(self.analysis, prediction=answer(patient))
        return replace(self, analysis=told, patient=patient, alone=self.analysis.prediction)

    @property
    def measured(self) -> ModelSummary:
        """The model with the figures of answers like this one: with the patient known, or for pictures alone."""
        return self.summary if self.alone is not None else self.summary.of_pictures_alone()

    @property
    def known(self) -> str:
        """How the test pictures of those figures were judged, in words; empty where that was not told apart.

        Where less is known of this patient than of theirs, the words end by saying so.
        """
        patients = self.summary.details.get("patients", {})
        if "alone" not in patients:
            return ""
        if self.alone is None:
            return "judged alone"
        theirs = [COLUMNS[column] for column in patients["known"]]
        here = [name for name in theirs if getattr(self.patient, name) is not None]
        if here == theirs:
            return f"with {listed(theirs)}"
        known = f"only {listed(here)} {'is' if len(here) == 1 else 'are'}" if here else "none is"
        return f"with {listed(theirs)}, of which {known} known here"

    @property
    def ranked(self) -> list[str]:
        """Class codes, the most likely first."""
        by_code = self.analysis.prediction.by_code()
        return sorted(by_code, key=lambda code: -by_code[code])


def decision(shown: Shown, patient: Patient) -> None:
    """The decision at the operating point, in words, and whether the model misses more in patients like this one."""
    prediction = shown.analysis.prediction
    found, point = _told_apart(prediction.malignant_probability, prediction.threshold)
    aim = _aim(shown)
    drawn = " :gray-badge[synthetic example]" if shown.example is not None and shown.example.synthetic else ""
    if prediction.refer:
        with st.container(key="refer", gap=None):
            st.header(f"{charts.MALIGNANT_MARK} Refer{drawn}", anchor=False)
            st.markdown(
                f"Malignant probability **{found}** reaches the operating point of {point}, {aim}. "
                f"Many lesions referred at this point prove benign.{_nobody_entered(shown)}"
            )
            _without_patient(shown)
        return
    with st.container(key="below", gap=None):
        st.header(f"Below the operating point{drawn}", anchor=False)
        st.markdown(
            f"Malignant probability **{found}** does not reach the operating point of {point}, {aim}. "
            f"This does not rule out malignancy{_not_excluded(shown)}.{_nobody_entered(shown)}"
        )
        _without_patient(shown)
        _missed_more(shown.summary, patient)
        _may_be_missed_more(shown.measured, patient)


def _nobody_entered(shown: Shown) -> str:
    """A sentence on where to enter the patient, to follow another; empty where one is, or the model takes none."""
    if shown.analysis.for_patient is None or shown.alone is not None:
        return ""
    return " Age, sex and site count too: enter them below."


def _not_excluded(shown: Shown) -> str:
    """The malignant diagnoses that cannot be excluded all the same, to go on a sentence; empty where there are none."""
    found = trust.prediction_set(prediction=shown.analysis.prediction, summary=shown.summary)
    named = malignant_names(found) if found else []
    if not found or not named:
        return ""
    return f': at {found.coverage * 100:.0f} % coverage, {listed(named)} cannot be excluded (see "How sure is this?")'


def malignant_names(found: PredictionSet) -> list[str]:
    """The malignant and pre-malignant diagnoses of a set, the likeliest first."""
    return [BY_CODE[code].name for code in found.codes if BY_CODE[code].malignant]


def listed(names: list[str]) -> str:
    """a; a and b; a, b and c."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _without_patient(shown: Shown) -> None:
    """What the picture alone comes to, where the answer takes the patient into account."""
    if shown.alone is None:
        return
    decided = "refer" if shown.alone.refer else "below the operating point"
    st.markdown(
        f"This answer takes the patient into account: {describe(shown.patient)}. The picture alone: "
        f"{percent(shown.alone.malignant_probability)} malignant ({decided}), most likely "
        f"{shown.alone.diagnosis.name} ({percent(float(shown.alone.probabilities.max()))})."
    )


def _missed_more(summary: ModelSummary, patient: Patient) -> None:
    """That malignant lesions of patients like this one are missed more often, where the model was found to do so."""
    groups = [
        f"{percent(weakness.sensitivity[0])} (interval {100 * weakness.sensitivity[1]:.0f} to "
        f"{100 * weakness.sensitivity[2]:.0f}) in {_group(weakness)}"
        for weakness in trust.weaknesses(patient=patient, summary=summary)
    ]
    if groups:
        overall = summary.details["operating_points"]["sensitive"]["sensitivity"]["value"]
        st.markdown(
            ":material/warning: **The model misses more in patients like this one.** Of malignant test pictures it "
            f"referred only {' and '.join(groups)}; of all {percent(overall)}."
        )


def _group(weakness: trust.Weakness) -> str:
    words = {"age": "patients aged {}", "sex": "{} patients", "localization": "lesions of: {}"}
    return words[weakness.factor].format(weakness.level)


def _may_be_missed_more(summary: ModelSummary, patient: Patient) -> None:
    """That this may be a patient in whom more is missed, where what tells so has not been entered."""
    groups = trust.unknown_weaknesses(patient=patient, summary=summary)
    if groups:
        named = "; ".join(_group(weakness) for weakness in groups)
        st.markdown(
            f"The model was found to miss more in some patients, and whether this is one was not entered: {named}."
        )


def describe(patient: Patient) -> str:
    """What is known of a patient, in words."""
    age = None if patient.age is None else f"{patient.age} years"
    return ", ".join(part for part in (age, patient.sex, patient.site) if part)


def _aim(shown: Shown) -> str:
    """What the operating point was chosen for, and what it came to on pictures the model never saw."""
    aim = f"chosen to refer {percent(shown.summary.target_sensitivity)} of malignant pictures"
    evaluation = shown.measured.evaluation
    measured = (evaluation.get("malignant") or {}).get("sensitivity")
    interval = (evaluation.get("intervals") or {}).get("malignant.sensitivity")
    if measured is None or interval is None:
        return aim
    low, high = (f"{100 * value:.0f}" for value in interval)
    known = f" {shown.known}" if shown.known else ""
    return f"{aim} (on test pictures{known}: {percent(measured)}, interval {low} to {high})"


def _told_apart(value: float, threshold: float) -> tuple[str, str]:
    """Both as percents, with one decimal where they would read alike; more would say what the model does not know."""
    pairs = [(percent(value, digits=d), percent(threshold, digits=d)) for d in range(2)]
    found, point = next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])
    return f"just below {point}" if found == point and value < threshold else found, point


def picture_under_map(shown: Shown, target: str, opacity: float) -> None:
    """The picture under the class activation map of one class, with the map's legend and what it can show."""
    analysis = shown.analysis
    explanation, name = analysis.explanations[target], BY_CODE[target].name
    offer = explaining.offer(summary=shown.summary)
    wanted, empty = not offer.failed or _wanted_though_failed(offer), not explanation.heat_map.any()
    drawn = ("no evidence" if empty else explanation.method) if wanted else "no map"
    image = analysis.image.pixels
    if wanted:
        image = analysis_service.overlay(analysis=analysis, target=target, opacity=opacity)
    with st.container(key="picture"):
        title = f"{shown.name}: {drawn} for {name}"
        picture_viewer(image, analysis.box, alt=title, subject=analysis.image.sha256)
    if wanted and empty:
        st.info(explaining.nothing(target))
    elif wanted:
        st.html(heat_legend(f"{explanation.method}: what speaks for <b>{name}</b>", opacity))
        st.caption(offer.limits, help=offer.evidence)
    for sentence in _remarks(shown):
        st.caption(sentence)


def _wanted_though_failed(offer: Offer) -> bool:
    """Ask whether the maps of a method that failed its check are to be shown all the same."""
    st.warning(
        f"{offer.name} failed its check on this model: its maps may mislead, and are not shown unless asked for."
    )
    asked = st.toggle("Show them", remembered(FAILED_MAPS, False), help=offer.evidence, key=FAILED_MAPS)
    return remember(FAILED_MAPS, asked)


def _remarks(shown: Shown) -> list[str]:
    """What a reader of the picture must know besides the map."""
    height, width = shown.analysis.image.pixels.shape[:2]
    framed = "" if width == height else "Only the framed square is judged. "
    remarks = [f"{framed}Scroll, pinch or press + and - to zoom, drag to move."]
    if shown.alone is not None:
        remarks.append("The map explains what the picture says; what the patient adds does not show in it.")
    remarks += list(shown.analysis.image.notes)
    if shown.example is not None:
        truth = BY_CODE[shown.example.diagnosis].name
        drawn = shown.example.synthetic
        words = "This synthetic example was drawn to resemble" if drawn else "Diagnosis given by the data set"
        remarks.append(f"{words}: {truth}.")
    return remarks


def heat_legend(words: str, opacity: float) -> str:
    """The colours of a heat map, in HTML, with words at their ends."""
    colours = ", ".join(f"rgb{colour}" for colour in explaining.heat_scale(opacity))
    scale = f'<span>weakest<i style="background:linear-gradient(to right, {colours})"></i>strongest</span>'
    return f'<div class="legend"><div>{words}, relative to its own strongest place</div>{scale}</div>'


def probabilities(shown: Shown) -> None:
    """The seven calibrated probabilities as bars."""
    values = shown.analysis.prediction.by_code()
    spoken = "; ".join(f"{BY_CODE[code].name} {percent(values[code])}" for code in shown.ranked)
    st.plotly_chart(
        charts.probability_bars(shown.analysis.prediction),
        key="probabilities",
        theme=None,
        alt=f"Calibrated probabilities: {spoken}",
        config={"displayModeBar": False},
    )
    st.caption(f"{charts.MALIGNANT_MARK} and hatching: malignant or pre-malignant, counted for referral.")


@st.fragment
def details(shown: Shown, patient: Patient) -> None:
    """Expander: probabilities with downloads of the exact ones, the picture alone, file and model."""
    label = "Details: probabilities, downloads, picture without map, file and model"
    with st.expander(label, key="details", on_change="rerun") as it:
        if it.open:
            _details(shown, patient)


def _details(shown: Shown, patient: Patient) -> None:
    rows = _table(shown)
    numbers, alone = st.columns([1, 1], gap="large")
    with numbers:
        st.markdown("**Probabilities** (with all their digits in the downloads)")
        lines = [f"| {name} | {group} | {value:.3f} |" for _, name, group, value in rows]
        st.markdown("\n".join(["| Diagnosis | Group | Probability |", "|:--|:--|--:|", *lines]))
        with st.container(horizontal=True):
            _download("Download CSV", _as_csv(shown), "text/csv", f"{shown.name}.csv")
            _download("Download JSON", _as_json(shown, patient), "application/json", f"{shown.name}.json")
    with alone:
        st.markdown("**Picture without map**")
        st.image(shown.analysis.image.pixels, width="stretch", alt=f"{shown.name} without map")
    width, height = shown.size
    summary = shown.summary
    st.markdown(
        f"**File** {literal(shown.name)}, {width} x {height} pixels  \n"
        f"**SHA-256** `{shown.analysis.image.sha256}`  \n"
        f"**Model** `{shown.analysis.prediction.model_version}` ({summary.network}, {summary.size} pixels, "
        f"{_views(summary.views)})"
    )


def _views(count: int) -> str:
    return "one view" if count == 1 else f"mean of {count} flipped and turned views"


def literal(text: str) -> str:
    """A file's name as code, so that nothing in it is taken for markup."""
    return f"`{text.replace('`', '')}`"


def _download(label: str, content: str, mime: str, name: str) -> None:
    st.download_button(label, content, file_name=name, mime=mime, on_click="ignore")


def _table(shown: Shown) -> list[tuple[str, str, str, float]]:
    values = shown.analysis.prediction.by_code()
    return [(d.code, d.name, d.group.value, values[d.code]) for d in DIAGNOSES]


def _as_csv(shown: Shown) -> str:
    """One row per class; what holds for the whole answer stands in every row, so that none can be quoted without it."""
    prediction = shown.analysis.prediction
    whole = {
        "malignant_probability": prediction.malignant_probability,
        "threshold": prediction.threshold,
        "refer": prediction.refer,
        "image": no_formula(shown.name),
        "sha256": shown.analysis.image.sha256,
        "model_version": prediction.model_version,
        "picture": shown.analysis.quality.outcome,
        "own_impression": shown.impression or "",
        "use": USE,
    }
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("code", "diagnosis", "group", "probability", *whole))
    writer.writerows((*row, *whole.values()) for row in _table(shown))
    return text.getvalue()


def _as_json(shown: Shown, patient: Patient) -> str:
    prediction = shown.analysis.prediction
    record: dict[str, Any] = {
        "image": shown.name,
        "sha256": shown.analysis.image.sha256,
        "probabilities": prediction.by_code(),
        "diagnosis": prediction.diagnosis.code,
        "malignant_probability": prediction.malignant_probability,
        "threshold": prediction.threshold,
        "refer": prediction.refer,
        "model_version": prediction.model_version,
        "notes": list(shown.analysis.image.notes),
        "picture": shown.analysis.quality.to_json(),
        "own_impression": shown.impression,
        "patient": asdict(patient),
        "patient_taken_into_account": shown.alone is not None,
        "probabilities_of_the_picture_alone": (shown.alone or prediction).by_code(),
        "use": USE,
    }
    return json.dumps(record, indent=2, ensure_ascii=False)


def fetch_charts_ahead() -> None:
    """Have the browser load Plotly (some megabytes of script) while a picture is still being chosen.

    The style sheet hides this empty figure from eyes and screen readers alike.
    """
    with st.container(key="charts-ahead"):
        st.plotly_chart(go.Figure(go.Scatter()), key="charts-ahead-figure")
