"""Versions, promotion and the way back, with the bundled model and a second one that differs from it by name."""

import gc
import json
import os
import shutil
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from skin_model import bundle, cli, settings, tracking
from skin_model.entities import Analysis, DataSet, NotJudged, Patient, Promotion
from skin_model.errors import BundleError, ConfigurationError, StoreError
from skin_model.jobs import keeper, queue
from skin_model.services import analysis, registered, registry, workspace
from skin_model.services.registry import Version
from skin_model.store import database, records

ROOT = Path(__file__).resolve().parent.parent
PICTURE = settings.ASSETS / "examples" / "mel-1.jpg"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Version]]:
    """An installation of this module's own with two versions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKIN_MODEL_HOME", str(tmp_path_factory.mktemp("registry")))
        patch.delenv("SKIN_MODEL_BUNDLE", raising=False)
        registry.ensure()
        folder = tmp_path_factory.mktemp("second") / "model"
        shutil.copytree(settings.ASSETS / "model", folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"model_version": "second-model"}))
        run = tracking.begin(job="second", name="second", parameters={}, tags={})
        tracking.register(run, folder, name="second-model", tags={})
        yield {version.number: version for version in registry.versions()}


@pytest.fixture
def first_in_use(two: dict[int, Version]) -> Iterator[None]:
    yield
    if statuses()[1] != "champion":
        registry.promote(version=two[1], who="ada", reason="after the test")


def statuses() -> dict[int, str]:
    return {version.number: version.status for version in registry.versions()}


def in_use() -> str:
    """The version that an analysis would be made with, or why none can be."""
    end = time.monotonic() + 200
    while (state := workspace.model_state()).status == "loading":
        assert time.monotonic() < end
        time.sleep(0.05)
    return state.summary.version if state.summary else state.message


def test_the_bundled_model_is_version_1_and_in_use_from_the_beginning(two: dict[int, Version]) -> None:
    assert statuses() == {1: "champion", 2: "challenger"}
    assert in_use() == bundle.read(settings.ASSETS / "model").manifest.model_version
    registry.ensure()
    assert len(registry.versions()) == 2


@pytest.fixture(scope="module")
def data_set(two: dict[int, Version], drawn_data: Path, split_file: Path) -> DataSet:
    return registered.register(folder=drawn_data, split=split_file, who="ada")


def test_an_ordered_comparison_waits_for_a_worker_and_says_who_asked(
    two: dict[int, Version], data_set: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "ensure_worker", lambda: False)
    assert registry.comparison(challenger=two[2]) is None
    registry.order_comparison(challenger=two[2], data_set=data_set, who="ben", job="asked")
    found = registry.comparison(challenger=two[2])
    assert found is not None
    assert (found.id, found.state, found.order["versions"]) == ("asked", "waiting", [1, 2])
    with database.reading() as record:
        (event,) = records.audit_events(record, subject="asked")
    assert (event.actor, event.action, event.details) == ("ben", "compare", {"versions": [1, 2], "on": data_set.name})
    loaded = registry.load(**found.order["challenger"])
    assert loaded.manifest.model_version == "second-model"
    assert str(settings.ASSETS) not in str(found.order), "a worker elsewhere has its own folders"
    with pytest.raises(BundleError, match="another one than was asked for"):
        registry.load(**found.order["challenger"] | {"manifest": "0" * 64})
    queue.cancel("asked")


def test_after_an_update_version_1_has_the_name_of_what_is_bundled_now(
    two: dict[int, Version], data_set: DataSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeper, "ensure_worker", lambda: False)
    registry.order_comparison(challenger=two[2], data_set=data_set, who="ben", job="before the update")
    assert registry.comparison(challenger=two[2]) is not None
    shutil.copytree(settings.ASSETS / "model", tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    (tmp_path / "model" / "manifest.json").write_text(json.dumps(manifest | {"model_version": "brought-by-an-update"}))
    monkeypatch.setattr(settings, "ASSETS", tmp_path)
    assert {version.number: version.name for version in registry.versions()} == {
        1: "brought-by-an-update", 2: "second-model",
    }  # fmt: skip
    assert registry.comparison(challenger=two[2]) is None, "it was of the model bundled before"
    queue.cancel("before the update")


@pytest.mark.usefixtures("first_in_use")
def test_a_promotion_is_used_by_the_next_analysis_and_one_under_way_keeps_its_version(two: dict[int, Version]) -> None:
    before = workspace.classifier()
    registry.promote(version=two[2], who="ada", reason="better on every figure")
    assert in_use() == "second-model"
    assert analysis.analyse(data=PICTURE.read_bytes()).prediction.model_version == "second-model"
    assert before.manifest.model_version == two[1].name
    assert statuses() == {1: "retired", 2: "champion"}
    assert tracking._client().get_model_version_by_alias(tracking.MODEL, "champion").version == 2

    registry.promote(version=two[1], who="ben", reason="complaints from the ward")
    assert in_use() == two[1].name
    past = [(p.actor, p.previous, p.version, p.reason) for p in registry.history()[:2]]
    assert past == [("ben", 2, 1, "complaints from the ward"), ("ada", 1, 2, "better on every figure")]
    with database.reading() as record:
        assert [event.action for event in records.audit_events(record, limit=2)] == ["roll back", "promote"]


@pytest.mark.usefixtures("first_in_use")
def test_an_answer_on_a_page_left_open_does_not_keep_its_network_in_memory_after_a_promotion(
    two: dict[int, Version],
) -> None:
    assert in_use() == two[1].name
    network = weakref.ref(workspace.classifier())
    found = analysis.analyse(data=PICTURE.read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    withheld = analysis.analyse(data=cv2.imencode(".png", noise)[1].tobytes())
    assert isinstance(found, Analysis)
    assert isinstance(withheld, NotJudged)
    patient = Patient(age=70, sex="male")
    before = [found.for_patient(patient), withheld.judge_anyway().prediction]
    registry.promote(version=two[2], who="ada", reason="better")
    assert in_use() == "second-model"
    gc.collect()
    assert network() is None
    after = [found.for_patient(patient), withheld.judge_anyway().prediction]
    assert [one.sentence for one in after] == [one.sentence for one in before]
    assert {one.model_version for one in after} == {two[1].name}


@pytest.mark.usefixtures("first_in_use")
def test_another_process_uses_the_promoted_version_within_seconds(two: dict[int, Version]) -> None:
    code = (
        "import time\nfrom skin_model.services import workspace\nprint(workspace.folder_in_use(), flush=True)\n"
        "end = time.monotonic() + 60\nfirst = workspace.folder_in_use()\n"
        "while workspace.folder_in_use() == first and time.monotonic() < end: time.sleep(0.1)\n"
        "print(workspace.folder_in_use())"
    )
    other = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert Path(other.stdout.readline().decode().strip()) == settings.ASSETS / "model"
    registry.promote(version=two[2], who="ada", reason="better")
    rest, _ = other.communicate(timeout=120)
    assert Path(rest.decode().strip()) == registry.folder(two[2])


@pytest.mark.usefixtures("first_in_use")
@pytest.mark.parametrize("harm", ["a changed file", "a changed manifest", "no files"])
def test_a_damaged_champion_stops_all_analyses_names_itself_and_can_be_left(two: dict[int, Version], harm: str) -> None:
    folder = registry.folder(two[2])
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    registry.promote(version=two[2], who="ada", reason="better")
    assert in_use() == "second-model"
    if harm == "a changed file":
        (folder / "card.md").write_text("another card")
    elif harm == "a changed manifest":
        raw = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(raw | {"threshold": 0.9}))
    else:
        shutil.rmtree(folder)
    try:
        said = in_use()
        assert said.startswith("Version 2 is in use and damaged")
        assert "roll back" in said
        with pytest.raises(BundleError, match="Version 2"):
            analysis.analyse(data=PICTURE.read_bytes())
        registry.promote(version=two[1], who="ada", reason="version 2 is damaged")
        assert in_use() == two[1].name
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        kept.rename(folder)


@pytest.fixture
def elsewhere(two: dict[int, Version], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Exception]]:
    """Version 2 is in use and lies on a server, from which it is fetched; first what is put into the list is raised."""
    folder, faults = registry.folder(two[2]), list[Exception]()
    source = "mlflow-artifacts:/1/bundle"
    manifest = bundle.sha256(folder / "manifest.json")
    promoted = Promotion(datetime.now(UTC), "ada", 2, 1, source, manifest, "better")

    def download(source: str, *, dst_path: str, tracking_uri: str) -> None:
        if faults:
            raise faults.pop()
        shutil.copytree(folder, Path(dst_path) / "bundle")

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", download)
    monkeypatch.setattr(workspace, "champion", lambda: promoted)
    yield faults
    shutil.rmtree(settings.load().home / "models", ignore_errors=True)


def test_a_version_that_could_not_be_fetched_is_fetched_once_its_server_is_back(
    elsewhere: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.append(ConnectionError("refused"))
    said = in_use()
    assert said.startswith("Version 2 is in use and could not be fetched: MLflow at")
    assert "refused" in said
    monkeypatch.setattr(workspace, "_RETRY", -1.0)  # long enough ago
    assert in_use() == "second-model"


def test_two_processes_may_fetch_a_version_at_once(elsewhere: list[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow.artifacts

    download, source = mlflow.artifacts.download_artifacts, "mlflow-artifacts:/1/bundle"

    def overtaken(*given: str, **more: str) -> None:
        monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
        tracking.folder_of(source, 2)
        download(*given, **more)

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", overtaken)
    kept = tracking.folder_of(source, 2)
    assert bundle.read(kept).manifest.model_version == "second-model"
    assert list(kept.parent.iterdir()) == [kept]


def test_a_promotion_in_the_middle_of_a_look_changes_nothing_for_it(
    two: dict[int, Version], elsewhere: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: Iterator[Promotion | None] = iter([workspace.champion()])
    monkeypatch.setattr(workspace, "champion", lambda: next(looks, None))
    workspace._slot().done.wait()
    assert workspace._current is not None
    assert workspace._current.summary is not None
    assert workspace._current.summary.version == "second-model"


def test_an_mlflow_that_does_not_answer_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreError, match=r"MLflow at http://127\.0\.0\.1:9 cannot be reached") as caught:
        registry.versions()
    assert "secret" not in str(caught.value)
    tracking.mark("a", "FAILED")  # the job's own failure is told, not this one


@pytest.mark.usefixtures("first_in_use")
def test_a_promotion_that_mlflow_was_not_told_of_is_in_force(
    two: dict[int, Version], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone() -> None:
        raise OSError("gone")

    monkeypatch.setattr(tracking, "_client", gone)
    registry.promote(version=two[2], who="ada", reason="better")
    assert registry.history()[0].version == 2
    assert "alias does not name version 2" in caplog.text


@pytest.mark.usefixtures("first_in_use")
def test_figures_are_never_put_into_a_promoted_model_for_that_would_end_its_use(
    two: dict[int, Version], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = registry.folder(two[2])
    workspace.refuse_change(folder)  # not in use yet
    registry.promote(version=two[2], who="ada", reason="better")
    for chosen in ([], ["--model", str(folder)]):
        assert cli.main(["explain-check", "--data", str(tmp_path), "--keep", *chosen]) != 0
        assert "Leave --keep out" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="version of the registry"):
        workspace.refuse_change(settings.load().home / "models" / "7")
    workspace.refuse_change(settings.ASSETS / "model")


def test_what_must_not_be_promoted_is_refused_and_nothing_is_recorded(
    two: dict[int, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry.history()
    for version, reason, words in ((two[2], " ", "Say why"), (two[1], "again", "in use already")):
        with pytest.raises(ConfigurationError, match=words):
            registry.promote(version=version, who="ada", reason=reason)
    monkeypatch.setenv("SKIN_MODEL_BUNDLE", str(settings.ASSETS / "model"))
    with pytest.raises(ConfigurationError, match="SKIN_MODEL_BUNDLE"):
        registry.promote(version=two[2], who="ada", reason="better")
    assert registry.history() == before


@pytest.mark.usefixtures("first_in_use")
def test_who_decided_by_a_page_drawn_before_anothers_promotion_is_told_of_it(two: dict[int, Version]) -> None:
    registry.promote(version=two[2], who="ada", reason="better", instead_of=1)
    with pytest.raises(StoreError, match="ada put version 2 into use meanwhile"):
        registry.promote(version=two[1], who="ben", reason="as it was", instead_of=1)
    registry.promote(version=two[1], who="ben", reason="as it was", instead_of=2)


def test_no_version_is_said_to_be_in_use_while_the_environment_names_the_model(
    two: dict[int, Version], data_set: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "versions", lambda: [two[2]])  # the registry lost what the record says is in use
    with pytest.raises(StoreError, match="not in MLflow's registry"):
        registry.order_comparison(challenger=two[2], data_set=data_set, who="ada", job="a")
    monkeypatch.undo()
    monkeypatch.setenv("SKIN_MODEL_BUNDLE", str(settings.ASSETS / "model"))
    assert "champion" not in statuses().values()
    assert registry.comparison(challenger=two[2]) is None
    with pytest.raises(ConfigurationError, match="SKIN_MODEL_BUNDLE"):
        registry.order_comparison(challenger=two[2], data_set=data_set, who="ada", job="a")
