"""What corrupted pictures do to a model: each figure beside its change from the same pictures clean.

MedMNIST-C (Di Salvo et al., arXiv:2406.17536) divides such changes by those of a reference network; here they stand as
they are, each with an interval of its own, since clean and corrupted answers of a lesion are drawn together.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from skin_model.evaluation import metrics
from skin_model.evaluation.resampling import Decision, Differences, Figures
from skin_model.evaluation.scored import Scored
from skin_model.evaluation.sections import Section, with_interval

TITLE = "Corrupted pictures"
FIGURES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_auc": "macro AUC",
    "malignant.sensitivity": "malignant sensitivity",
    "malignant.specificity": "malignant specificity",
}


def figures(answers: Scored, threshold: float) -> dict[str, Any]:
    """Those of `FIGURES` that the model has, each as {"value", "interval"}."""
    found = answers.estimates(_sources(answers, threshold))
    return {key: found[key] for key in FIGURES if key in found}


def changes(clean: Scored, corrupted: Scored, threshold: float) -> dict[str, Any]:
    """`figures` of the corrupted pictures, each with "change" from the clean ones as {"value", "interval"} besides."""
    found = corrupted.estimates([Differences(_sources(clean, threshold), _sources(corrupted, threshold), FIGURES)])
    return {key: found[key] | {"change": found[f"change.{key}"]} for key in FIGURES if key in found}


def _sources(answers: Scored, threshold: float) -> list[Figures]:
    if answers.probabilities is None:
        return [Decision(answers.malignant, answers.malignant_probability, threshold)]
    return metrics.sources(answers.labels, answers.probabilities, threshold)


def shown_figures(found: dict[str, Any]) -> dict[str, str]:
    """Names of the figures that were measured, by key; none where no corruption was."""
    return {key: name for key, name in FIGURES.items() if key in found.get("clean", {})}


def changes_by_kind(found: dict[str, Any], key: str) -> dict[str, list[dict[str, Any]]]:
    """The changes of one figure under each kind of corruption, by severity."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for condition in found["conditions"]:
        kinds.setdefault(condition["kind"], []).append(condition[key]["change"])
    return kinds


def in_words(found: dict[str, Any]) -> list[str]:
    """One sentence per figure: its mean over all conditions, and where it falls most."""
    sentences = []
    for key, name in shown_figures(found).items():
        defined = [one for one in found["conditions"] if one[key]["value"] is not None]
        if defined:
            mean = np.mean([one[key]["value"] for one in defined])
            worst = min(defined, key=lambda one: one[key]["value"])
            sentences.append(
                f"Over all corruptions the {name} is {mean:.3f} on average, on clean pictures "
                f"{with_interval(found['clean'][key])}; lowest under {worst['kind']} of severity {worst['severity']}: "
                f"{with_interval(worst[key])}."
            )
    return sentences


def sections(found: dict[str, Any]) -> Iterable[Section]:
    """The table of all conditions; none where no corruption was measured."""
    keys = shown_figures(found)
    if not keys:
        return
    sentences = (
        "The same pictures once more, each corrupted before anything else is done to it, at the same operating point: "
        "severity 1 is hardly noticed, 2 plain, 3 what a careful clinician would take again.",
        "Each cell holds the figure, then its change from the clean pictures with the interval of the change.",
    )
    rows = [("none", "", *(with_interval(found["clean"][key]) for key in keys))]
    rows += [(one["kind"], str(one["severity"]), *(_changed(one[key]) for key in keys)) for one in found["conditions"]]
    yield Section(TITLE, sentences, ("corruption", "severity", *keys.values()), rows)


def _changed(estimate: dict[str, Any]) -> str:
    """Such as "0.650; -0.072 (-0.100 to -0.041)"."""
    if estimate["value"] is None:
        return "not defined"
    return f"{estimate['value']:.3f}; {with_interval(estimate['change'])}"
