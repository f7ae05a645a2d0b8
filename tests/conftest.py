"""What several tests need and is dear to make: a drawn data set, one small training, the model made of it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skin_model import bundle
from skin_model.bundle import Bundle
from skin_model.dataset import drawn, ham10000, splits
from skin_model.evaluation import conformal, metrics
from skin_model.evaluation.details import measure
from skin_model.evaluation.localisation import Look
from skin_model.evaluation.scored import Scored
from skin_model.inference import Classifier
from skin_model.recipe import TrainingConfig
from skin_model.services import models, training
from skin_model.taxonomy import CODES

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes what this machine's user has trained and promoted."""
    os.environ["SKIN_MODEL_HOME"] = str(tmp_path_factory.mktemp("home"))
    for name in ("DATABASE_URL", "SKIN_MODEL_JOBS_URL", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets, described in its own README."""
    if not (DATA / "ham10000").is_dir():
        pytest.skip("HAM10000 does not lie beside the repository, in ../shared/data")
    return DATA


@pytest.fixture(scope="session")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten drawn lesions of each class in HAM10000's layout, some in several pictures."""
    root = tmp_path_factory.mktemp("drawn") / "lesions"
    drawn.draw_dataset(root, lesions_per_class=10, height=110, width=146)
    return root


@pytest.fixture(scope="session")
def split_file(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split of the drawn lesions into four parts of equal size, so that each holds every class twice or more."""
    split = splits.draw(ham10000.read(drawn_data).table, seed=0, folds=2, test_share=0.25, calibration_share=0.25)
    path = tmp_path_factory.mktemp("split") / "split.csv"
    splits.write(split, path)
    return path


@pytest.fixture(scope="session")
def parts(drawn_data: Path, split_file: Path) -> pd.DataFrame:
    """The drawn data set's table with the column `part`."""
    table = ham10000.read(drawn_data).table
    return table.assign(part=splits.assign(table, splits.read(split_file)))


@pytest.fixture(scope="session")
def tiny() -> TrainingConfig:
    """Settings of a training that takes seconds; four epochs leave room for a kill between the first and the last."""
    return TrainingConfig(
        network="custom_cnn", size=64, epochs=4, batch=8, learning_rate=2e-3, augmentation="light", patience=4
    )


@pytest.fixture(scope="session")
def trained(drawn_data: Path, split_file: Path, tiny: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one finished training; read-only for tests."""
    folder = tmp_path_factory.mktemp("runs") / "seven"
    training.train(data=drawn_data, folder=folder, config=tiny, split=split_file)
    return folder


@pytest.fixture(scope="session")
def made(drawn_data: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The model made of `trained`, averaging two views; read-only for tests."""
    return models.make_bundle(data=drawn_data, run=trained, out=tmp_path_factory.mktemp("models") / "seven", views=2)


@pytest.fixture(scope="session")
def classifier(made: Bundle) -> Classifier:
    return Classifier(made)


@pytest.fixture(scope="session")
def binary_run(
    drawn_data: Path, split_file: Path, tiny: TrainingConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of one epoch of training for malignant or not; read-only for tests."""
    folder = tmp_path_factory.mktemp("runs") / "binary"
    config = replace(tiny, task="binary", epochs=1)
    training.train(data=drawn_data, folder=folder, config=config, split=split_file)
    return folder


@pytest.fixture(scope="session")
def binary_made(drawn_data: Path, binary_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The model made of `binary_run`; read-only for tests."""
    return models.make_bundle(data=drawn_data, run=binary_run, out=tmp_path_factory.mktemp("models") / "binary")


@pytest.fixture(scope="session")
def refit_settings(tiny: TrainingConfig) -> TrainingConfig:
    """Settings of a training whose last layer is fitted anew."""
    return replace(tiny, epochs=2, refit=0.5, metadata="age,sex")


@pytest.fixture(scope="session")
def refitted(
    drawn_data: Path, split_file: Path, refit_settings: TrainingConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of such a training, finished; read-only for tests."""
    folder = tmp_path_factory.mktemp("runs") / "refitted"
    training.train(data=drawn_data, folder=folder, config=refit_settings, split=split_file)
    return folder


@pytest.fixture
def copied(made: Bundle, tmp_path: Path) -> Callable[[], Path]:
    """Copies the model to a folder that a test may damage; called again, it restores it."""

    def copy() -> Path:
        folder = tmp_path / "copied model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made.folder, folder)
        bundle.read(folder)
        return folder

    return copy


# A command of ours that sends itself SIGKILL just before a file is put in its place.
KILLED = """
import os, signal, sys
from skin_model import cli

def look(event, given):
    if event == "os.rename" and os.fspath(given[1]) == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(look)
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.fixture(scope="session")
def kill_command() -> Callable[..., None]:
    """Runs a command of ours that is killed in the second epoch of the training in `folder`."""

    def kill(arguments: list[str], folder: Path) -> None:
        command = [sys.executable, "-c", KILLED, str(folder / "checkpoint-0002.keras"), *arguments]
        ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr

    return kill


@pytest.fixture(scope="session")
def examined() -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """Makes an evaluation and its details of 200 invented answers; no calibration lesion is vascular."""

    @cache
    def make(
        task: str = "diagnosis", with_sets: bool = True, with_masks: bool = True
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        random = np.random.default_rng(0)
        labels, lesions = random.integers(7, size=200), random.integers(150, size=200)
        probabilities = random.dirichlet(np.ones(7), size=200) * 0.7 + 0.3 * np.eye(7)[labels]
        table = pd.DataFrame({"sex": random.choice(["male", "female"], size=200), "dx_type": ["histo"] * 200})
        kept = labels != CODES.index("vasc")
        looks = [Look(*shares) for shares in random.random((200, 4)) / 2] if with_masks else []
        sets = conformal.fit(labels[kept], probabilities[kept], lesions[kept]) if with_sets else {}
        if task == "binary":
            scored = Scored.of(labels, metrics.malignant_probability(probabilities)[:, None], lesions)
            answers = scored.malignant, scored.malignant_probability
            found = metrics.score_binary(*answers, threshold=0.3)
            intervals = metrics.bootstrap_binary(*answers, lesions, threshold=0.3, samples=50)
        else:
            scored = Scored.of(labels, probabilities, lesions)
            found = metrics.score(labels, probabilities, threshold=0.3)
            intervals = metrics.bootstrap(labels, probabilities, lesions, threshold=0.3, samples=50)
        named = {"intervals": intervals, "n_excluded_seen": 13, "model_version": "mobilenet-abc"}
        points = {"sensitive": 0.3, "balanced": 0.45}
        return found | named, measure(scored, table, thresholds=points, sets=sets, looks=looks)

    return make
