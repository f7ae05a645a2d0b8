"""The detailed figures in words and tables: the same sections stand in the model card and on the report page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from skin_model.evaluation.paired import HEADLINES
from skin_model.evaluation.subgroups import FACTORS
from skin_model.taxonomy import BY_CODE, CODES

POINTS = {"sensitive": "For high sensitivity (in use)", "balanced": "Balanced (largest Youden index)"}
RATES = {"sensitivity": "sensitivity", "specificity": "specificity", "melanoma_recall": "melanomas referred"}
NO_SETS = "This model gives no prediction sets."
NO_INTERVAL = "no interval"  # `report.INTERVALS` says why there may be none
LOOKS = "Where the network looks"
_SUBGROUP_FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "melanoma_recall": "melanomas referred",
    "malignant_auc": "malignant AUC",
    "coverage": "coverage of the sets",
}


@dataclass(frozen=True)
class Section:
    """One heading with sentences and a table (head may be empty)."""

    title: str
    sentences: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()


def sections(details: dict[str, Any]) -> list[Section]:
    """What `details.measure` found, in reading order; empty where nothing was measured."""
    if not details:
        return []
    return [_points(details), _calibration(details["calibration"]), _sets(details["prediction_sets"]),
            *_patients(details.get("patients")), *_localisation(details.get("localisation")),
            *_subgroups(details["subgroups"])]  # fmt: skip


def _patients(patients: dict[str, Any] | None) -> list[Section]:
    """What the same model comes to where nothing is known of the patient, and what knowing changes."""
    if patients is None:
        return []
    known = ", ".join(f"{column} of {100 * share:.1f} %" for column, share in patients["known"].items())
    sentence = (
        f"The figures above were measured with what is known of the patients: {known} of the images. Without any of "
        "it, the same model comes to:"
    )
    alone = patients["alone"]
    sets = alone["details"]["prediction_sets"]
    sentences = (sentence, f"Its prediction sets {_held(sets)}") if sets else (sentence,)
    rows = [(POINTS.get(name, name), *_rates(point)) for name, point in alone["details"]["operating_points"].items()]
    found = [Section("Without the patient's particulars", sentences, ("operating point", *RATES.values()), rows)]
    if worth := patients.get("worth"):
        sentence = (
            "What they change, on the same images: where an interval holds zero, these images do not settle it. Log "
            "loss and calibration error are better where they are lower, the others where they are higher."
        )
        head = ("figure", "without", "with", "difference (95 % interval)")
        found.append(Section("What the patient's particulars change", (sentence,), head, _worth(worth, alone)))
    return found


def _worth(compared: dict[str, dict[str, Any]], alone: dict[str, Any]) -> Sequence[tuple[str, ...]]:
    """Rows of `paired.compare`: each figure without (with its interval) and with, and the signed difference."""
    referred = alone["details"]["operating_points"]["sensitive"]["melanoma_recall"]["interval"]
    intervals = (alone["evaluation"].get("intervals") or {}) | {"referral.melanoma_recall": referred}
    rows = []
    for key, name in HEADLINES.items():
        figure = compared.get(key)  # models made before may lack it
        if figure is None or figure["difference"] is None:  # no such lesion among the images
            continue
        without = with_interval({"value": figure["first"], "interval": intervals.get(key)})
        bounds = figure["interval"]
        between = f"{bounds[0]:+.3f} to {bounds[1]:+.3f}" if bounds else NO_INTERVAL
        rows.append((name, without, f"{figure['second']:.3f}", f"{figure['difference']:+.3f} ({between})"))
    return rows


def in_words(evaluation: dict[str, Any], details: dict[str, Any]) -> list[str]:
    """The main findings, one sentence each, every figure with its interval."""
    bounds = evaluation.get("intervals") or {}

    def figure(key: str, value: float | None) -> str:
        return with_interval({"value": value, "interval": bounds.get(key)})

    known = bounds.get("unit") != "image"
    lesions = (
        f"of {details['lesions']:,} lesions" if known else "(of which lesions is not known, so each counts as one)"
    )
    decision, rates = evaluation["malignant"], details["fixed_rates"]
    found = [
        f"{details['images']:,} images {lesions} were scored; "
        f"{evaluation['n_excluded_seen']:,} were left out because the model had met them or their lesion.",
        f"At the operating point in use, {figure('malignant.sensitivity', decision['sensitivity'])} of the malignant "
        f"images are referred and {figure('malignant.specificity', decision['specificity'])} of the benign ones are "
        "not.",
        f"Melanomas: at a malignant specificity of {rates['specificity']:.2f}, "
        f"{with_interval(rates['melanoma_recall_at_specificity'])} would be referred.",
    ]
    if evaluation.get("balanced_accuracy") is not None:
        found.append(
            "Over the seven diagnoses, balanced accuracy is "
            f"{figure('balanced_accuracy', evaluation['balanced_accuracy'])}, macro AUC "
            f"{figure('macro_auc', evaluation['macro_auc'])} and macro F1 {figure('macro_f1', evaluation['macro_f1'])}."
        )
    found += [_noise_sentence(details["calibration"])]
    sets = details["prediction_sets"]
    if sets:
        found.append(f"Prediction sets, which promise {100 * sets['promised']:.0f} %, {_held(sets)}")
    if details.get("localisation"):
        found.append(_look_sentence(details["localisation"]["groups"][0]))
    return found


def _held(sets: dict[str, Any]) -> str:
    return (
        f"hold the true diagnosis for {with_interval(sets['coverage'])} of the images and name "
        f"{with_interval(sets['size'], digits=2)} diagnoses on average."
    )


def with_interval(estimate: dict[str, Any], *, digits: int = 3) -> str:
    """An estimate as "0.912 (0.871 to 0.943)", or saying that it has no interval; "not defined" without a value."""
    if estimate["value"] is None:
        return "not defined"
    bounds = estimate["interval"]
    between = f"{bounds[0]:.{digits}f} to {bounds[1]:.{digits}f}" if bounds else NO_INTERVAL
    return f"{estimate['value']:.{digits}f} ({between})"


def _points(details: dict[str, Any]) -> Section:
    rates = details["fixed_rates"]
    rows = [
        (POINTS.get(name, name), f"{point['threshold']:.4f}", *_rates(point))
        for name, point in details["operating_points"].items()
    ]
    sentences = (
        "The thresholds on the malignant probability were chosen on images that the answering network had not learned "
        "from; their rates were measured on the images scored here.",
        f"For comparison only, with the threshold found on the scored images themselves: at a malignant specificity of "
        f"{rates['specificity']:.2f}, {with_interval(rates['melanoma_recall_at_specificity'])} of the melanomas are "
        f"referred; at {100 * rates['sensitivity']:.0f} % sensitivity the specificity is "
        f"{with_interval(rates['specificity_at_sensitivity'])}; average precision is "
        f"{with_interval(rates['average_precision'])}.",
    )
    return Section("Operating points", sentences, ("operating point", "threshold", *RATES.values()), rows)


def _rates(point: dict[str, Any]) -> Iterable[str]:
    return (with_interval(point[key]) for key in RATES)


def _calibration(found: dict[str, Any]) -> Section:
    names = {
        "ece": "Calibration error of the likeliest diagnosis",
        "classwise_ece": "Class-wise calibration error (mean)",
        "malignant.ece": "Calibration error of the malignant probability",
    }
    names |= {f"{code}.ece": f"Calibration error of {BY_CODE[code].name}" for code in CODES}
    names |= {"brier": "Brier score (0 to 2)", "malignant.brier": "Brier score of the malignant probability (0 to 1)"}
    rows = []
    for key, name in names.items():
        if key in found:
            noise = found[key].get("if_calibrated")
            expected = f"{noise['mean']:.3f}, at most {noise['high']:.3f}" if noise else ""
            verdict = ("yes" if found[key]["inside_noise"] else "no") if noise else ""
            rows.append((name, with_interval(found[key]), expected, verdict))
    sentences = (
        "Calibration errors use bins that hold equally many images. A perfectly calibrated model would not show 0 but "
        "the noise of so few images: the third column is its mean and 95 % bound, simulated from the same "
        "probabilities.",
        _noise_sentence(found),
    )
    head = ("figure", "value (95 % interval)", "if perfectly calibrated", "inside the noise")
    return Section("Calibration", sentences, head, rows)


def _noise_sentence(found: dict[str, Any]) -> str:
    key, of = ("ece", "likeliest diagnosis") if "ece" in found else ("malignant.ece", "malignant probability")
    error = found[key]
    verdict = "inside the noise" if error["inside_noise"] else "more than noise"
    return (
        f"The calibration error of the {of} is {with_interval(error)}; a perfectly calibrated model with the same "
        f"probabilities would show up to {error['if_calibrated']['high']:.3f}, so this is {verdict}."
    )


def _sets(found: dict[str, Any] | None) -> Section:
    if not found:
        return Section("Prediction sets", (NO_SETS,))
    sentences = [
        "A prediction set lists the diagnoses that fit the image; for each diagnosis, "
        f"{100 * found['promised']:.0f} % of the sets of its images should hold it. The thresholds were fitted on "
        "images that the answering network had not learned from: for each diagnosis the lower of two, one with each "
        "lesion counting once and one with each image counting once.",
        f"No diagnosis fits for {with_interval(found['empty'])} of the images, exactly one for "
        f"{with_interval(found['single'])}.",
    ]
    if found["always_in"]:
        named = ", ".join(f"{BY_CODE[code].name} ({found['lesions'][code]})" for code in found["always_in"])
        sentences.append(f"In every set, because too few lesions were there to fit a threshold: {named}.")
    rows = [("all images", "", with_interval(found["coverage"]), with_interval(found["size"], digits=2))]
    rows += [
        (BY_CODE[code].name, str(found["lesions"][code]), with_interval(found[f"{code}.coverage"]),
         with_interval(found[f"{code}.size"], digits=2))
        for code in CODES
    ]  # fmt: skip
    head = ("true diagnosis", "lesions to fit on", "coverage", "diagnoses per set")
    return Section("Prediction sets", tuple(sentences), head, rows)


def group_name(name: str) -> str:
    """A group of the localisation figures for a person."""
    return {"all": "All images", "off-centre": "Lesions off the centre"}.get(name) or BY_CODE[name].name


def _look_sentence(group: dict[str, Any]) -> str:
    return (
        f"Of the class activation, a share of {with_interval(group['inside'])} lies inside the lesion mask; of a "
        f"blob in the middle of every picture {group['blob']['value']:.3f}: a gain of {with_interval(group['gain'])}."
    )


def _localisation(found: dict[str, Any] | None) -> Iterable[Section]:
    if not found:
        return
    sentences = (
        "Measured for the likeliest diagnosis, whose map the page shows first, over the judged square, with the lesion "
        f"masks of the data set. The blob is a Gaussian whose standard deviation is {found['blob_sigma']:.2f} of the "
        "side. The last column is what a map of just the lesion's extent would reach on the network's grid.",
        _look_sentence(found["groups"][0]),
        "Off the centre is the quarter of the lesions whose masks have their centre of gravity farthest from the "
        f"middle: by {found['off_centre_from']:.3f} of the side or more.",
    )
    keys = ("inside", "blob", "gain", "grid")
    rows = [
        (group_name(of["name"]), str(of["images"]), str(of["lesions"]), *(with_interval(of[key]) for key in keys))
        for of in found["groups"]
    ]
    head = ("images of", "images", "lesions", "activation inside", "blob inside", "gain", "mask on the grid")
    yield Section(LOOKS, sentences, head, rows)


def _subgroups(found: Sequence[dict[str, Any]]) -> Iterable[Section]:
    for factor, name in FACTORS.items():
        levels = [entry for entry in found if entry["factor"] == factor]
        if not levels:
            continue
        keys = [key for key in _SUBGROUP_FIGURES if key in levels[0]]
        rows = [
            (entry["level"], str(entry["images"]), str(entry["lesions"]), *(with_interval(entry[key]) for key in keys))
            for entry in levels
        ]
        sentences = (
            ("This is known only after the diagnosis; it explains figures and never enters the model.",)
            if factor == "dx_type"
            else ()
        )
        yield Section(
            f"Subgroups: {name.lower()}", sentences,
            (name.lower(), "images", "lesions", *(_SUBGROUP_FIGURES[key] for key in keys)), rows,
        )  # fmt: skip
