"""From an uploaded image through the gate to probabilities, decision, class activation maps and similar cases."""

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skin_model import imaging, settings
from skin_model.entities import (
    REFUSED,
    Analysis,
    DecodedImage,
    Example,
    Explanation,
    NotJudged,
    Patient,
    Prediction,
)
from skin_model.errors import BundleError, SkinModelError
from skin_model.explain import overlay as painting
from skin_model.services import workspace
from skin_model.taxonomy import CODES

if TYPE_CHECKING:
    from skin_model.inference import Classifier


def analyse(*, data: bytes) -> Analysis | NotJudged:
    """Judge one uploaded image, if it is fit to be judged.

    Args:
        data: the file's bytes.

    Returns:
        The answer with what speaks against relying on it, or, for a picture that the gate refuses, the reasons alone.

    Raises:
        ImageError: the bytes cannot be used; the message says why and what is accepted.
        BundleError: no model is fit for use.
    """
    from skin_model.inference import calibrated, with_patients
    from skin_model.services.gate import square as gated_square

    classifier, gate = workspace.in_use()
    # what outlives this call holds these and never the network, which a page would keep in memory after a promotion
    manifest, head, patient_part = classifier.manifest, classifier.head, classifier.patient_part
    image = imaging.decode(data)
    square = imaging.centre(imaging.fit(image.pixels, manifest.size))
    answers = classifier.answer(square[None])
    logits, features = answers.logits, answers.features[0]
    ((report, similar),) = gate.check([gated_square(image.pixels, square)], answers.embeddings)

    def for_patient(patient: Patient) -> Prediction:
        probabilities = calibrated(with_patients(logits, patient_part, [patient]), manifest)[0]
        return Prediction(probabilities, manifest.threshold, manifest.model_version)

    def judge(image: DecodedImage, box: tuple[int, int, int]) -> Analysis:
        maps = head.gradcam(features)
        return Analysis(
            image=image,
            box=box,
            prediction=for_patient(Patient()),
            for_patient=for_patient if manifest.metadata else None,
            explanations={code: Explanation("Grad-CAM", code, heat) for code, heat in zip(CODES, maps, strict=True)},
            square=square,
            quality=report,
            similar=similar,
        )

    box = imaging.judged_box(*image.pixels.shape[:2])
    if report.outcome == REFUSED:
        return NotJudged(image, box, report, manifest.model_version, judge)
    return judge(image, box)


def require_same_model(analysis: Analysis, classifier: "Classifier") -> None:
    """Raise BundleError where another model is in use than the one that made the analysis."""
    answered, in_use = analysis.prediction.model_version, classifier.manifest.model_version
    if answered != in_use:
        raise BundleError(
            f"This answer was given by {answered}, and now {in_use} is in use. Give the picture again, so that all "
            "that is shown of it comes from one model."
        )


def overlay(*, analysis: Analysis, target: str, opacity: float = 0.45) -> np.ndarray:
    """The analysed image under the heat map of one class.

    Args:
        analysis: a finished analysis.
        target: class code whose map is shown.
        opacity: 0 (picture alone) to 1; the map's own strength scales it locally, so cold regions stay readable.

    Returns:
        RGB uint8 (H, W, 3), the size of the analysis's picture.
    """
    return painting.overlay(analysis.image.pixels, analysis.box, analysis.explanations[target].heat_map, opacity)


def ask_first() -> bool:
    """Whether users are asked for their own impression before an answer is shown."""
    return settings.load().ask_first


def examples() -> list[Example]:
    """Images for a first try: unseen ones of the data set on this server, otherwise drawn ones, labelled synthetic.

    None of a data set before the model is ready: which of its images the model has not seen is known only then.
    """
    data = settings.load().data
    if data is not None:
        if workspace.model_state().status != "ready":
            return []
        known = _unseen(data, workspace.classifier().manifest.model_version)
        found = [example for example in known if example.path.is_file()]
        if found:
            return found
    folder = settings.ASSETS / "examples"
    return [Example(p.stem, p, p.stem.split("-")[0], True) for p in sorted(folder.glob("*.jpg"))]


@lru_cache(maxsize=4)
def _unseen(data: Path, version: str) -> tuple[Example, ...]:
    """One image per class that the model has never met; none where the data set cannot be read."""
    from skin_model import bundle
    from skin_model.dataset import ham10000
    from skin_model.services.evaluation import unseen

    try:
        table = ham10000.read(data).table
        fresh, _ = unseen(table, workspace.classifier().bundle)
    except SkinModelError as error:
        # the drawn examples always work: a data set that moved must not empty the page
        logging.getLogger(__name__).warning("SKIN_MODEL_DATA serves no examples until the app restarts: %s", error)
        return ()
    first = fresh.groupby("dx").first().reset_index()
    rows = zip(first["image_id"], first["path"], first["dx"], strict=True)
    synthetic = ham10000.source_name(table) == bundle.DRAWN
    return tuple(Example(name, path, code, synthetic) for name, path, code in rows)
