"""The analysis on the screen."""

from dataclasses import dataclass, field, replace

from pages.ui.words import listed
from skin_model.entities import Analysis, Example, ModelSummary, Patient, Prediction

COLUMNS = {"age": "age", "sex": "sex", "localization": "site"}  # of a data set, as a patient's particulars are named


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
