"""The report of an evaluation as one HTML page that needs nothing else: words first, then tables and charts."""

import html as markup
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from skin_model import charts, files
from skin_model.evaluation import card_texts, report, robustness, truthfulness
from skin_model.evaluation.sections import LOOKS, Section, group_name, in_words, sections
from skin_model.evaluation.subgroups import FACTORS
from skin_model.taxonomy import BY_CODE, CODES

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem; max-width: 58rem; background: #fff; color: #1B2B34;
  font: 1.05rem/1.55 "Source Sans", "Source Sans Pro", Arial, sans-serif; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; overflow-wrap: anywhere; }
h2 { margin-top: 2.6rem; font-size: 1.25rem; border-bottom: 1px solid #D9E1E5; padding-bottom: .2rem; }
.quiet { color: #4A5B66; }
.warning { border-left: 4px solid #CC3311; padding: .4rem .8rem; background: #FBEDEA; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .95rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid #D9E1E5; vertical-align: top; }
@media print { h2 { break-after: avoid; } .chart { break-inside: avoid; } }
"""
_DISCLAIMER = (
    "Assistive only. Not a diagnosis. Not cleared as a medical device. For research and education. "
    "The figures describe the images scored here; other clinics, cameras and populations may differ."
)


def write(folder: Path, evaluation: dict[str, Any], details: dict[str, Any], *, source: dict[str, Any]) -> None:
    """Write report.json, which holds what is given here, and then report.html, the page.

    What fails before the renames leaves neither; should only the second rename fail, report.json stands alone.
    """
    whole = evaluation | {"source": source, "details": details}
    with files.whole(folder / "report.html") as of_page, files.whole(folder / "report.json") as of_figures:
        of_figures.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        of_page.write_text(html(evaluation, details, source=source), encoding="utf-8")


def html(evaluation: dict[str, Any], details: dict[str, Any], *, source: dict[str, Any]) -> str:
    """The page.

    Args:
        evaluation: the report of `evaluate --json`.
        details: what `details.measure` found on the same images.
        source: of the images scored: name of the data set, names of the folder (images) and table (labels) it was read
            from; of the model: learned_from, its data set, and note, what its makers say of it.
    """
    version = str(evaluation["model_version"])
    drawn = evaluation.get("intervals") or {}
    parts = [
        f"<h1>Evaluation of {_safe(version)}</h1>",
        f'<p class="quiet">Scored: {_safe(source["name"])}, images in {_safe(source["images"])}, labels in '
        f"{_safe(source['labels'])}. The model learned from: {_safe(source['learned_from'] or 'not recorded')}. "
        f"Intervals are 95 % bootstrap intervals from {drawn.get('samples')} resamples, drawn by "
        f"{_safe(drawn.get('unit'))}. {_safe(report.INTERVALS)}</p>",
        f'<p class="quiet">{_safe(_DISCLAIMER)}</p>',
    ]
    if source.get("note"):
        parts.append(f'<p class="quiet">{_safe(card_texts.NOTE.format(note=source["note"]))}</p>')
    if evaluation.get("allow_seen"):
        parts.append(
            '<p class="warning">Images that the model may have met were scored too; the figures may flatter it.</p>'
        )
    corrupted = details.get("corruptions") or {}
    parts += ["<h2>In words</h2>", _list([*in_words(evaluation, details), *robustness.in_words(corrupted)])]
    figures = _charts(details)
    explained = truthfulness.section(details.get("explanations") or {})
    shown = [*_confusion(evaluation), *sections(details), *robustness.sections(corrupted), explained]
    for section in [*shown, _all_figures(evaluation)]:
        parts.append(_section(section, figures.get(section.title, ())))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation of {_safe(version)}</title><style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head>\n<body>" + "\n".join(parts) + "</body></html>\n"
    )


def _all_figures(evaluation: dict[str, Any]) -> Section:
    return Section("All figures", (), ("figure", "value", "95 % interval"), list(report.table(evaluation)))


def _confusion(evaluation: dict[str, Any]) -> Iterable[Section]:
    if evaluation.get("confusion_matrix"):
        rows = [(code, *map(str, counts)) for code, counts in zip(CODES, evaluation["confusion_matrix"], strict=True)]
        yield Section("Confusion matrix", ("Images; rows: true class, columns: predicted class.",), ("", *CODES), rows)


def _charts(details: dict[str, Any]) -> dict[str, list[tuple[str, go.Figure]]]:
    """Captions and figures by the title of the section below whose table they stand."""
    bins, sets, curves = details["calibration"]["reliability"], details["prediction_sets"], details["curves"]
    rates = ("false positive rate", "true positive rate")
    captions = {"top": "Reliability: probability of the likeliest diagnosis", "malignant": "Malignant probability"}
    found = {
        "Operating points": [
            ("ROC curves", charts.rate_curves(curves["roc"], *rates, chance=True)),
            ("Precision-recall curves", charts.rate_curves(curves["precision_recall"], "recall", "precision")),
            ("Decision curve (Vickers and Elkin 2006)", charts.decision_curve(curves["decision"])),
        ],
        "Calibration": [(captions[key], charts.reliability_diagram(bins[key])) for key in captions if key in bins],
    }
    if sets:
        coverage = {"All images": sets["coverage"]} | {BY_CODE[c].name: sets[f"{c}.coverage"] for c in CODES}
        shown = charts.interval_plot(coverage, "coverage", target=sets["promised"])
        found["Prediction sets"] = [("Share of sets that hold the true diagnosis", shown)]
    looks = details.get("localisation")
    if looks:
        gains = {group_name(group["name"]): group["gain"] for group in looks["groups"]}
        shown = charts.interval_plot(gains, "share inside the lesion, less that of the blob", target=0, low=-1)
        found[LOOKS] = [("Class activation inside the lesion, above that of the centred blob", shown)]
    for key, name in robustness.shown_figures(details.get("corruptions") or {}).items():
        changes = robustness.changes_by_kind(details["corruptions"], key)
        chart = charts.severity_plot(changes, f"change of {name}")
        found.setdefault(robustness.TITLE, []).append((f"Change of {name} under corruptions", chart))
    for factor, name in FACTORS.items():
        levels = [entry for entry in details["subgroups"] if entry["factor"] == factor]
        found[f"Subgroups: {name.lower()}"] = [
            (key.capitalize(), charts.interval_plot({e["level"]: e[key] for e in levels}, key))
            for key in ("sensitivity", "specificity")
        ]
    return found


def _section(section: Section, figures: Sequence[tuple[str, go.Figure]]) -> str:
    parts = [f"<h2>{_safe(section.title)}</h2>", *(f"<p>{_safe(sentence)}</p>" for sentence in section.sentences)]
    if section.rows:
        head = "".join(f"<th>{_safe(cell)}</th>" for cell in section.head)
        rows = "".join("<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in row) + "</tr>" for row in section.rows)
        parts.append(f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>')
    for caption, figure in figures:
        drawn = to_html(
            figure,
            full_html=False,
            include_plotlyjs=False,
            default_height=f"{figure.layout.height}px",
            config={"responsive": True, "displayModeBar": False},
        )
        parts.append(f'<div class="chart"><p class="quiet">{_safe(caption)}</p>{drawn}</div>')
    return "\n".join(parts)


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_safe(sentence)}</li>" for sentence in sentences) + "</ul>"


def _safe(text: object) -> str:
    """Text for HTML: names come from label tables and folders that anyone may have written."""
    return markup.escape(str(text))
