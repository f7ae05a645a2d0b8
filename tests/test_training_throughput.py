"""The recipe that the benchmark of training times is the one by which the bundled model was trained."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.training_throughput import SPLIT, configuration
from skin_model import bundle, networks, settings
from skin_model.training.state import ancestors


def test_the_recipe_is_that_of_the_last_training_the_bundled_pair_went_through(tmp_path: Path) -> None:
    made = bundle.read(settings.ASSETS / "model")
    *_, last = made.manifest.stages
    config = configuration(made, tmp_path / "start")
    for name in ("network", "size", "metadata", "batch", "average", "frozen", "augmentation", "artefacts", "attention"):
        assert getattr(config, name) == last[name], name
    assert (config.augmentation, config.attention, config.teachers) == ("strong", 1.0, "")
    ancestors(config, SPLIT)
    networks.build(config.network, size=config.size, weights=config.weights, metadata=config.columns)


def test_a_bundle_that_does_not_tell_of_its_training_is_not_timed(tmp_path: Path) -> None:
    made = bundle.read(settings.ASSETS / "model")
    untold = replace(made, manifest=replace(made.manifest, stages=[]))
    with pytest.raises(SystemExit, match="does not tell its training"):
        configuration(untold, tmp_path / "start")
