"""The house rules of README, section Architecture, kept by walking the syntax trees."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))]
WEB = [*PAGES, *sorted((ROOT / "pages" / "ui").glob("*.py"))]
MODULES = sorted((ROOT / "skin_model").rglob("*.py"))

GROUND = {"taxonomy", "entities", "recipe", "errors", "settings", "files", "skin_model"}
LEARNING = {"imaging", "decoding", "dicom", "bundle", "conversion", "shared_weights", "inference", "patients"}
LEARNING |= {"backbones", "efficientnet_lite", "networks"}
LEARNING |= {
    "dataset",
    "training",
    "evaluation",
    "explain",
    "quality",
    "measures",
    "neighbours",
    "segmentation",
    "features",
}
RECORDS = {"store", "tracking", "jobs"}
MAY_IMPORT = {
    "ground": GROUND,
    "records": GROUND | RECORDS,
    "learning": GROUND | LEARNING,
    "charts": GROUND | {"charts"},
    "services": GROUND | LEARNING | RECORDS | {"services", "charts"},
    "command line": GROUND | {"services", "progress", "cli", "commands"},
}


def _imports(path: Path) -> list[str]:
    """Every module named by an import statement, at any depth of the file."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = node.module in ("skin_model", "skin_model.dataset", "skin_model.services", "skin_model.evaluation")
            names += [f"{node.module}.{alias.name}" for alias in node.names] if whole else [node.module]
    return names


def _rooms(path: Path) -> set[str]:
    """The rooms of skin_model that a file imports."""
    return {name.split(".")[1] for name in _imports(path) if name.startswith("skin_model.")}


def _layer(path: Path) -> str:
    room = path.relative_to(ROOT / "skin_model").parts[0].removesuffix(".py")
    if room in ("cli", "commands", "__main__", "progress"):
        return "command line"
    if room in ("services", "charts"):
        return room
    if room in RECORDS:
        return "records"
    return "ground" if room in GROUND | {"__init__"} else "learning"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_streamlit_is_imported_by_the_web_app_alone(path: Path) -> None:
    assert not [name for name in _imports(path) if name.split(".")[0] == "streamlit"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downwards_only(path: Path) -> None:
    assert _rooms(path) - {"__version__"} <= MAY_IMPORT[_layer(path)]


@pytest.mark.parametrize("path", WEB, ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_know_use_cases_entities_and_charts_but_nothing_deeper(path: Path) -> None:
    assert _rooms(path) <= {"services", "entities", "recipe", "taxonomy", "errors", "charts"}


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_the_first_statement_of_a_page_is_its_guard(path: Path) -> None:
    statements = ast.parse(path.read_text()).body
    first = next(
        s
        for s in statements
        if not isinstance(s, ast.Import | ast.ImportFrom)
        and not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
    )
    call = first.value if isinstance(first, ast.Expr | ast.Assign) else None
    assert isinstance(call, ast.Call)
    assert ast.unparse(call.func).split(".")[-1] == "begin_page"


def test_no_page_service_or_command_waits_for_tensorflow() -> None:
    """Also not for OpenVINO and scikit-learn: `--help` and the first paint must not load what they do not use."""
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in MODULES if "__" not in p.stem]
    names = [n for n in names if n.split(".")[1] in ("services", "cli", "commands", "charts")]
    code = f"import sys, importlib\nfor n in {names!r}: importlib.import_module(n)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"tensorflow", "keras", "tf_keras_vis", "openvino", "sklearn", "mlflow", "dbos"}
