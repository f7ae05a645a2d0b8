"""What `evaluate` found, as rows for a table and as a model card (Mitchell et al., "Model Cards", 2019).

Every figure comes from the evaluation or the manifest; the texts here hold none.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from skin_model.errors import BundleError
from skin_model.evaluation import card_texts as texts
from skin_model.evaluation.resampling import DEFINED
from skin_model.evaluation.sections import NO_INTERVAL, Section, sections, with_interval
from skin_model.evaluation.subgroups import FACTORS, missed_more_in, referred_more_in
from skin_model.recipe import LAST
from skin_model.taxonomy import BY_CODE, CODES

HEADLINE = {
    "n": "Images",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_auc": "Macro AUC",
    "macro_f1": "Macro F1",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "log_loss": "Log loss",
    "ece": "Expected calibration error",
}
MALIGNANT = {
    "auc": "AUC",
    "threshold": "Threshold",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
}
INTERVALS = (
    "A share that came out as none or all in every resample has the exact interval of as many lesions (Clopper and "
    "Pearson 1934). Without an interval are other figures on which all resamples agree, and those that fewer than "
    f"{100 * DEFINED:.0f} % of the resamples define, as the others lack a class."
)
OF_CLASS = {"n": "images", "recall": "recall", "precision": "precision", "f1": "F1", "auc": "AUC"}


def figures(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Every single figure under the flat keys of `metrics.bootstrap`, "n" and "malignant.threshold" included.

    Undefined figures are None; absent classes have no keys.
    """
    flat = {key: evaluation.get(key) for key in HEADLINE}
    flat |= {f"malignant.{key}": (evaluation.get("malignant") or {}).get(key) for key in MALIGNANT}
    for code, of_class in (evaluation.get("per_class") or {}).items():
        flat |= {f"per_class.{code}.{key}": of_class[key] for key in OF_CLASS if of_class}
    return flat


def table(evaluation: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Rows (figure, value, 95 % interval) in reading order: headline, malignant decision, classes."""
    names = dict(HEADLINE)
    names |= {f"malignant.{key}": f"Malignant: {name}" for key, name in MALIGNANT.items()}
    names |= {f"per_class.{c}.{key}": f"{BY_CODE[c].name}: {n}" for c in CODES for key, n in OF_CLASS.items()}
    flat = figures(evaluation)
    return [(names[key], _figure(value), _interval(evaluation, key, value)) for key, value in flat.items()]


def model_card(
    *,
    manifest: dict[str, Any],
    evaluation: dict[str, Any],
    commands: list[str],
    details: dict[str, Any] | None = None,
) -> str:
    """The card of one bundle, Markdown.

    Args:
        manifest: the fields of `bundle.Manifest`; its data may hold name ("HAM10000" brings that data set's
            limits and licence), split, validation and parts.  What is missing is called "not recorded".
        evaluation: the report of `evaluate` for this bundle.
        commands: the command lines that made data, model and figures.
        details: what `details.measure` found on the same images; its sections are left out where it is missing.

    Raises:
        BundleError: where the evaluation is of another model version.
    """
    version, evaluated = manifest.get("model_version"), evaluation.get("model_version")
    if evaluated is not None and evaluated != version:
        raise BundleError(
            f"These figures belong to model {evaluated}, the bundle is {version}; evaluate the bundle again."
        )
    answer = texts.BINARY if manifest.get("task") == "binary" else texts.SEVEN_CLASSES
    known = str((manifest.get("data") or {}).get("name")).upper() == "HAM10000"
    texts_by_title = {
        "What it is": _identity(manifest),
        "Intended use, and what it is not for": texts.INTENDED.format(answer=answer),
        "Data": _data(manifest, evaluation),
        "Protocol": _protocol(manifest),
        "Figures": _scope(evaluation),
        "Over all classes": _figures_grid(evaluation, "", HEADLINE),
        "Malignant decision": f"{_referral()}\n\n{_figures_grid(evaluation, 'malignant.', MALIGNANT)}",
        "Each class": _classes(evaluation),
        "Confusion matrix": _confusion(evaluation),
        **{section.title: _written(section) for section in sections(details or {})},
        "Limits": _limits(evaluation, details or {}, texts.HAM10000_LIMITS if known else ()),
        "Licence": texts.HAM10000_LICENCE if known else texts.OTHER_LICENCE,
        "How to reproduce": _reproduction(manifest, commands),
    }
    title = f"# Model card: {_plain(version)}\n"
    return "\n".join([title, *(f"## {name}\n\n{text}\n" for name, text in texts_by_title.items())])


def _written(section: Section) -> str:
    """One detailed section in Markdown."""
    table = [_grid(section.head, section.rows)] if section.rows else []
    return "\n\n".join([*section.sentences, *table])


def _identity(manifest: dict[str, Any]) -> str:
    tasks = {"diagnosis": "seven diagnoses", "binary": "malignant against benign"}
    stages = [*(manifest.get("stages") or []), manifest.get("training") or {}]
    begun = [PurePath(str(stage["weights"])).name for stage in stages if stage.get("weights")]
    start = ", ".join(name for name in begun if not name.endswith(".keras"))  # of the others the earlier stages tell
    rows = {
        "Version": manifest.get("model_version"),
        "Network": manifest.get("network"),
        "Task": tasks.get(str(manifest.get("task")), manifest.get("task")),
        "Created": manifest.get("created"),
        "Input side (pixels)": manifest.get("size"),
        "Views averaged per image": manifest.get("views"),
        "Serving form against the trained network": manifest.get("agreement") or None,
        "Weights at the start": start or None,
    }
    return _grid(["property", "value"], _recorded(rows))


def _data(manifest: dict[str, Any], evaluation: dict[str, Any]) -> str:
    data = manifest.get("data") or {}
    stages = [*(manifest.get("stages") or []), manifest.get("training") or {}]
    trained = [stage for stage in stages if "monitor" in stage]  # the others were only joined
    last = _on_all_folds(manifest) or (bool(trained) and all(stage["monitor"] == LAST for stage in trained))
    source = {
        "Data set": data.get("name"),
        "Fingerprint of the split (SHA-256)": data.get("split"),
        "Part that chose the best epoch of the last training": texts.LAST_EPOCH if last else data.get("validation"),
        "Images left out of the figures, as the model had seen them": evaluation.get("n_excluded_seen"),
    }
    parts = data.get("parts")
    counts = _grid(["part", "count"], _recorded(parts)) if parts else "The counts per part are not recorded."
    return _grid(["property", "value"], _recorded(source)) + "\n\n" + counts


def _protocol(manifest: dict[str, Any]) -> str:
    training = {k: v for k, v in (manifest.get("training") or {}).items() if k != "weights"}  # named above
    if not training.get("epochs_run", 1):  # networks only joined
        training = {k: v for k, v in training.items() if k not in ("best_epoch", "epochs_run", "epochs_before")}
    fitted = {
        "Temperature": manifest.get("temperature"),
        "Operating point (malignant probability)": manifest.get("threshold"),
        "Sensitivity it was chosen for": manifest.get("target_sensitivity"),
        "Balanced operating point": manifest.get("balanced_threshold"),
        "Coverage the prediction sets promise": (manifest.get("prediction_sets") or {}).get("coverage"),
        "Thresholds of the prediction sets": (manifest.get("prediction_sets") or {}).get("thresholds"),
    }
    if folds := manifest.get("out_of_fold"):
        network = f"{folds['training']['network']} at {folds['training']['size']} pixels"
        fitted["Correction of the temperature"] = folds["correction"]
        fitted["Out-of-fold answers"] = f"{folds['images']} images of {folds['lesions']} lesions, by {network}"
        kept = texts.LAST_OF_FOLD if folds["training"]["monitor"] == "last" else texts.BEST_OF_FOLD
    paragraphs = [
        texts.PROTOCOL.format(fitted=texts.OUT_OF_FOLD.format(kept=kept) if folds else texts.CALIBRATION_PART),
        *([texts.ALL_FOLDS] if _on_all_folds(manifest) else []),
        *([texts.NOTE.format(note=manifest["note"])] if manifest.get("note") else []),
        _grid(["fitted", "value"], _recorded(fitted)),
        _grid(["training", "value"], _recorded(training))
        if training
        else "The training configuration is not recorded.",
    ]
    return "\n\n".join(paragraphs)


def _on_all_folds(manifest: dict[str, Any]) -> bool:
    return (manifest.get("data") or {}).get("validation") == "none"


def _scope(evaluation: dict[str, Any]) -> str:
    drawn = evaluation.get("intervals") or {}
    sentences = [
        f"Intervals are 95 % bootstrap intervals; resamples: {_plain(drawn.get('samples'))}, drawn by: "
        f"{_plain(drawn.get('unit'))}. They say how a figure would vary over other patients like these, not "
        f"over other clinics. {INTERVALS}"
    ]
    if evaluation.get("allow_seen"):
        sentences.append("**Images that the model may have met were scored too; the figures may flatter it.**")
    return "\n\n".join(sentences)


def _referral() -> str:
    members = ", ".join(BY_CODE[code].name for code in CODES if BY_CODE[code].malignant)
    return f"An image is referred when its malignant probability ({members}) reaches the threshold."


def _figures_grid(evaluation: dict[str, Any], prefix: str, names: dict[str, str]) -> str:
    flat = figures(evaluation)
    keys = {name: prefix + key for key, name in names.items()}
    rows = [(name, _figure(flat[key]), _interval(evaluation, key, flat[key])) for name, key in keys.items()]
    return _grid(["figure", "value", "95 % interval"], rows)


def _classes(evaluation: dict[str, Any]) -> str:
    per_class = evaluation.get("per_class")
    if not per_class:
        return texts.NOT_SEVEN
    rows = []
    for code in CODES:
        of_class = per_class.get(code) or {"n": 0}
        values = {key: of_class.get(key) for key in OF_CLASS}
        cells = [f"{_figure(v)} ({_interval(evaluation, f'per_class.{code}.{k}', v)})" for k, v in values.items()]
        rows.append([code, BY_CODE[code].name, *(cell.removesuffix(" ()") for cell in cells)])
    return _grid(["code", "diagnosis", *OF_CLASS.values()], rows)


def _confusion(evaluation: dict[str, Any]) -> str:
    matrix = evaluation.get("confusion_matrix")
    if not matrix:
        return texts.NOT_SEVEN
    rows = [(f"**{code}**", *map(str, counts)) for code, counts in zip(CODES, matrix, strict=True)]
    return "Images; rows: true class, columns: predicted class.\n\n" + _grid(["true", *CODES], rows)


def _limits(evaluation: dict[str, Any], details: dict[str, Any], of_data: Sequence[str]) -> str:
    counted = {code: row["n"] for code, row in (evaluation.get("per_class") or {}).items() if row}
    limits = [*texts.LIMITS, *of_data]
    if mistaken := _mistaken(evaluation.get("confusion_matrix") or []):
        limits.append(f"Most often mistaken: {'; '.join(mistaken)}.")
    for words, figure, groups in (
        ("Malignant lesions are referred less often", "sensitivity", missed_more_in(details)),
        ("Benign lesions are referred more often", "specificity", referred_more_in(details)),
    ):
        named = "; ".join(
            f"{FACTORS[group['factor']].lower()} {group['level']}: {figure} {with_interval(group[figure])}, "
            f"{group['malignant_lesions']} of {group['lesions']} lesions malignant"
            for group in groups
        )
        if named:
            limits.append(f"{words} than over all: {named}. Of so many groups, one may stand here by chance.")
    if counted:
        fewest = sorted(counted, key=lambda code: counted[code])[:3]
        named = ", ".join(f"{BY_CODE[code].name} ({code}, {counted[code]} images)" for code in fewest)
        limits.append(f"The figures are least certain for the classes with the fewest images: {named}.")
    return "\n".join(f"- {limit}" for limit in limits)


def _mistaken(matrix: Sequence[Sequence[int]]) -> list[str]:
    """The three commonest mistakes, by the share of the true class's images."""
    shares = [
        (row[guess] / sum(row), f"{CODES[true]} for {CODES[guess]} ({row[guess]} of {sum(row)} images)")
        for true, row in enumerate(matrix)
        for guess in range(len(row))
        if guess != true and row[guess]
    ]
    return [words for _, words in sorted(shares, reverse=True)[:3]]


def _reproduction(manifest: dict[str, Any], commands: Sequence[str]) -> str:
    lines = ["```sh", *commands, "```"] if commands else ["The commands are not recorded."]
    if _met_views_again(manifest):
        lines.append("\n" + texts.VIEWS_AGAIN)
    return "\n".join(lines) + f"\n\nMade with: {_plain(manifest.get('environment') or None)}."


def _met_views_again(manifest: dict[str, Any]) -> bool:
    """Whether a training went on from another one's network without counting the epochs of that one."""
    stages = [*(manifest.get("stages") or []), manifest.get("training") or {}]
    went_on = [s for s in stages if s.get("epochs_run") and str(s.get("weights")).endswith(".keras")]
    return any(not stage.get("epochs_before") for stage in went_on)


def _recorded(entries: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _plain(value)) for name, value in entries.items()]


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def estimate(found: dict[str, Any]) -> tuple[str, str]:
    """A {"value", "interval"} as the columns of `table`."""
    return _figure(found["value"]), "" if found["value"] is None else _bounds(found["interval"])


def _figure(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "not defined"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _interval(evaluation: dict[str, Any], key: str, value: float | None) -> str:
    """The interval of a figure; of counts and thresholds, and where none was drawn, there is nothing to say."""
    drawn = evaluation.get("intervals")
    return _bounds(drawn.get(key)) if drawn and isinstance(value, float) and not key.endswith("threshold") else ""


def _bounds(interval: Sequence[float] | None) -> str:
    return f"{_figure(interval[0])} to {_figure(interval[1])}" if interval else NO_INTERVAL


def _plain(value: Any) -> str:
    """A manifest's entry in words: never the name of a Python object."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return "not recorded"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(entry)}" for name, entry in value.items()) or "not recorded"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "not recorded"
    return str(value)
