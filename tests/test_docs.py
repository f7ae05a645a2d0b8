"""README and card must not rot: every command, page and setting is named, every figure is the bundle's own."""

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import pooled
from skin_model import bundle, cli, settings
from skin_model.evaluation import report
from skin_model.services import reproduction
from skin_model.taxonomy import DIAGNOSES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def _commands(parser: argparse.ArgumentParser, prefix: str = "") -> dict[str, set[str]]:
    """The options of every command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parts = [_commands(sub, f"{prefix}{name} ") for name, sub in action.choices.items()]
            return {name: options for part in parts for name, options in part.items()}
    return {prefix.strip(): set(parser._option_string_actions)}


COMMANDS = _commands(cli._parser())


DOCUMENTS = ["README.md", "assets/model/card.md", "benchmarks/README.md", "docs/demo.md", "docs/experiments.md"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_of_a_command_in_a_document_exists(document: str) -> None:
    text = (ROOT / document).read_text().replace("\\\n", " ")
    for line in re.findall(r"python -m skin_model (?!\.\.\.)([^`\n]*)", text):
        words = line.split()
        of = next(COMMANDS[name] for n in (2, 1) if (name := " ".join(words[:n])) in COMMANDS)
        assert set(re.findall(r"(?<!\S)--[a-z-]+", line)) <= of, line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    assert re.search(rf"`python -m skin_model {command}[ `]", README)


@pytest.mark.parametrize("page", ["app.py", *(f"pages/{p.name}" for p in sorted((ROOT / "pages").glob("*.py")))])
def test_every_page_is_in_the_readme(page: str) -> None:
    assert f"`{page}`" in README


def test_every_setting_is_in_the_readme() -> None:
    pattern = r"SKIN_MODEL_\w+|DATABASE_URL|MLFLOW_TRACKING_URI"
    named = set(re.findall(pattern, (ROOT / "skin_model" / "settings.py").read_text()))
    assert named
    assert named == set(re.findall(pattern, README))


@pytest.mark.parametrize("module", sorted(p.name for p in (ROOT / "skin_model").iterdir() if p.name[0] not in "_."))
def test_every_room_is_in_the_readme(module: str) -> None:
    rooms = README.split("## Architecture")[1].split("```")[1]
    name, suffix, _ = module.partition(".py")
    assert re.search(rf"\b{name}\b" if suffix else rf"\b{name}/", rooms)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_figures_of_the_readme_are_those_of_the_bundled_model() -> None:
    evaluation = json.loads((settings.ASSETS / "model" / "evaluation.json").read_text())
    intervals = evaluation["intervals"]
    rows = {
        "Balanced accuracy": ("balanced_accuracy", evaluation["balanced_accuracy"]),
        "Macro AUC": ("macro_auc", evaluation["macro_auc"]),
        "Macro F1": ("macro_f1", evaluation["macro_f1"]),
        "Accuracy": ("accuracy", evaluation["accuracy"]),
        "Expected calibration error": ("ece", evaluation["ece"]),
        "Malignant: AUC": ("malignant.auc", evaluation["malignant"]["auc"]),
        "Malignant: sensitivity": ("malignant.sensitivity", evaluation["malignant"]["sensitivity"]),
        "Malignant: specificity": ("malignant.specificity", evaluation["malignant"]["specificity"]),
    }
    for d in DIAGNOSES:
        rows[f"Recall: {d.name}"] = (f"per_class.{d.code}.recall", evaluation["per_class"][d.code]["recall"])
    for name, (key, value) in rows.items():
        low, high = intervals[key]
        assert f"| {name} | {value:.3f} | {low:.3f} to {high:.3f} |" in README
    details = json.loads((settings.ASSETS / "model" / "details.json").read_text())
    for name, found in {
        "Melanomas referred, whatever they are named": details["operating_points"]["sensitive"]["melanoma_recall"],
        "Melanomas referred at specificity 0.85": details["fixed_rates"]["melanoma_recall_at_specificity"],
        "Malignant: specificity at sensitivity 0.95": details["fixed_rates"]["specificity_at_sensitivity"],
    }.items():
        low, high = found["interval"]
        assert f"| {name} | {found['value']:.3f} | {low:.3f} to {high:.3f} |" in README


def test_the_card_of_the_bundled_model_is_the_one_that_is_generated_now() -> None:
    made = bundle.read(settings.ASSETS / "model")
    evaluation, details = (json.loads(made.text(name)) for name in ("evaluation.json", "details.json"))
    commands = reproduction.commands(made.manifest)
    card = report.model_card(manifest=asdict(made.manifest), evaluation=evaluation, commands=commands, details=details)
    assert made.text("card.md") == card, "write it anew with bundle.add(made, 'card.md', card)"


def test_the_bundle_and_all_weights_stay_within_their_limits() -> None:
    sizes = [p.stat().st_size for p in (settings.ASSETS / "model").rglob("*")]
    assert sum(sizes) <= 30 * 2**20


def test_the_pooled_figures_of_the_readme_are_those_of_the_kept_answers(
    real_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def figures(size: int, *networks: str) -> dict[str, tuple[str, str]]:
        answers = [str(ROOT / f"docs/answers/{name}-{size}.csv.gz") for name in networks]
        data, split = str(real_data / "ham10000"), str(real_data / "ham10000_split.csv")
        monkeypatch.setattr("sys.argv", ["pooled", "--data", data, "--split", split, *answers])
        pooled.main()
        lines = (re.split(r"\s{2,}", line) for line in capsys.readouterr().out.splitlines())
        return {line[0]: (line[1], line[2]) for line in lines if len(line) > 2}

    pair, larger = figures(128, "mobilenet", "lite0"), figures(192, "mobilenet", "lite0")
    three = figures(128, "mobilenet", "lite0", "lite2")
    table = README.split("| figure, five folds pooled |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) == 8
    for row in table:
        name, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        assert cells == [pair[name][0], *three[name], *larger[name]]
