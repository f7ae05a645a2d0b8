"""What was measured of a model's explanations, summed up: figures with intervals, a verdict, and words."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skin_model.evaluation.sections import Section, with_interval
from skin_model.explain.methods import METHODS

if TYPE_CHECKING:
    from skin_model.bundle import Bundle

FILE = "explanations.json"  # of a bundle
SAME = 0.5  # a map that stays this alike when the network is randomised does not show what the network learned
SAMPLES = 1000
FIGURES = {
    "insertion": "insertion",
    "deletion": "deletion",
    "over_blob": "better than a centred blob by",
    "over_random": "better than a random map by",
    "energy": "heat inside the lesion",
    "energy_over_blob": "more than a centred blob by",
    "head": "alike, last layers randomised",
    "all": "alike, all layers randomised",
    "noise": "alike under small noise",
}
CHANGES = {
    "all": "when the network's weights are shuffled",
    "head": "when those of its last layers are",
    "noise": "under slight noise",
}
_SENTENCES = (
    "Measured for the likeliest class of pictures, one per lesion, that the model never saw. Pictures that keep it "
    "when they are blurred or plain were passed over: what the network names where it sees nothing has no place.",
    "Insertion and deletion: area under the curve of the likeliest class's probability while a map's pixels are put "
    "into a blurred picture (more is better) or taken out of the picture (less is better). Their difference is "
    "compared with that of a blob in the middle and of a random map on the same pictures.",
    "Alike: rank correlation with the map of the same picture when weights are shuffled (a map that shows what the "
    "network learned must change) or small noise is added to the picture (it must stay).",
    "A method passed if it is better than the blob beyond the interval and its correlation with the shuffled networks, "
    f"all layers or the last ones, stays below {SAME}. The others are not offered by default. "
    "Heat inside the lesion is no proof: a network may "
    "look elsewhere.",
)
NAMES = {key: method.name for key, method in METHODS.items()} | {"blob": "Centred blob", "random": "Random map"}


def added(details: dict[str, Any], made: "Bundle") -> dict[str, Any]:
    """The details of a model's evaluation and, under "explanations", what its bundle keeps of its explanations.

    These are measured apart and later, so a bundle's details.json never holds them.
    """
    explained = made.text(FILE)
    return details | ({"explanations": json.loads(explained)} if explained else {})


def summarise(rows: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Means over pictures with 95 % bootstrap intervals, and whether each method passed, by method.

    Args:
        rows: per picture (one per lesion): method, "blob" or "random" -> figure -> value; no figures where the map
            was empty.

    Returns:
        Method -> images, empty (counts of maps), passed (of methods, not of "blob" and "random") and each of `FIGURES`
        that was measured as {"value", "interval"}.
    """
    found: dict[str, Any] = {}
    for key in NAMES:
        asked = [(row[key], row) for row in rows if key in row]
        answered = [(own, row) for own, row in asked if own]
        if asked:
            columns = {name: np.array([_figure(name, own, row) for own, row in answered]) for name in FIGURES}
            found[key] = {"images": len(answered), "empty": len(asked) - len(answered)} | {
                name: _estimate(values) for name, values in columns.items() if np.isfinite(values).any()
            }
    for key in METHODS.keys() & found:
        found[key]["passed"] = _passed(found[key])
    return found


def sentence(figures: dict[str, Any] | None) -> str:
    """One sentence for the page on how a method did."""
    if not figures:
        return "Not measured on this model, so nothing is known of how true it is here."
    if not figures["images"]:
        return f"Measured: it gave no map for any of {figures['empty']} pictures the model never saw, so it failed."
    better = "better" if figures["over_blob"]["interval"][0] > 0 else "not proven better"
    parts = [
        f"{better} than a blob in the middle at finding what decides ({with_interval(figures['over_blob'])})",
        *(_likeness(key, figures[key]) for key in CHANGES if key in figures),
    ]
    if "energy" in figures:
        own, blob = figures["energy"]["value"], figures["energy"]["value"] - figures["energy_over_blob"]["value"]
        parts.append(f"{100 * own:.0f} % of its heat inside the lesion, of the blob's {100 * blob:.0f} %")
    if figures["empty"]:
        parts.append(f"no map for {figures['empty']} more")
    measured = f"Measured on {figures['images']} pictures the model never saw and whose class hangs on what they show"
    return f"{measured}: {'; '.join(parts)}. {'' if figures['passed'] else 'It failed this check.'}".rstrip()


def _likeness(key: str, figure: dict[str, Any]) -> str:
    stays = "stays much the same" if (figure["value"] >= SAME if key == "noise" else _same(figure)) else "changes"
    return f"{stays} {CHANGES[key]} (likeness {figure['value']:.2f})"


def section(found: dict[str, Any]) -> Section:
    """The same as a table of the report, every figure with its interval."""
    if not found:
        return Section("Explanations", ("Not measured; `python -m skin_model explain-check` does.",))
    methods = found["methods"]
    rows = [
        (NAMES[key], str(figures["images"]), {True: "yes", False: "no"}.get(figures.get("passed"), ""),
         *(with_interval(figures[name]) if name in figures else "" for name in FIGURES))
        for key, figures in methods.items()
    ]  # fmt: skip
    of = f"Whatever is scored above, on {found['images']} pictures of {found['data']}, {found['looked_at']} looked at."
    return Section("Explanations", (of, *_SENTENCES), ("method", "images", "passed", *FIGURES.values()), rows)


def _figure(name: str, own: dict[str, float], row: dict[str, dict[str, float]]) -> float:
    """A figure of one picture; those that compare are made here."""
    if name.startswith("over_"):
        other = row[name.removeprefix("over_")]
        return (own["insertion"] - own["deletion"]) - (other["insertion"] - other["deletion"])
    return own.get(name, np.nan)


def _estimate(values: np.ndarray) -> dict[str, Any]:
    values = values[np.isfinite(values)]
    drawn = np.random.default_rng(0).choice(values, (SAMPLES, len(values)))
    return {"value": float(values.mean()), "interval": np.percentile(drawn.mean(1), [2.5, 97.5]).tolist()}


def _passed(figures: dict[str, Any]) -> bool:
    changes = [figures[key] for key in ("all", "head") if key in figures]
    return bool(figures["images"] and figures["over_blob"]["interval"][0] > 0 and not any(map(_same, changes)))


def _same(figure: dict[str, Any]) -> bool:
    """Whether maps may stay as alike as `SAME`, as far as the interval tells."""
    return bool(figure["interval"][1] >= SAME)
