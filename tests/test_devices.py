"""Several devices that share each batch, here the processor taken as two."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from skin_model.errors import ConfigurationError
from skin_model.recipe import TrainingConfig
from skin_model.training import devices, run

ROOT = Path(__file__).resolve().parent.parent

# A process of its own, because TensorFlow is told how many devices there are before it is first used.
SCRIPT = """
import json, sys
from dataclasses import asdict, replace
from pathlib import Path
import pandas as pd, tensorflow as tf
from skin_model.conversion import load_keras
from skin_model.recipe import TrainingConfig
from skin_model.training import devices, run
from skin_model.training.validation import judge

folder, config = Path(sys.argv[1]), TrainingConfig(**json.loads(sys.argv[2]))
table = pd.read_csv(folder / "table.csv")
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
even = len(table) // 4 * 2

def train(name, seen, images, config, **more):
    devices.names = lambda: seen
    given = {"config": config, "training": table[:images], "validation": table[images:], "split": "split"}
    state = run.train(folder=folder / name, **given | more)
    return [{key: value for key, value in asdict(r).items() if key != "seconds"} for r in state.history]

def kill(*_):
    raise InterruptedError

known = {"one": train("one", (), even, config)}
try:
    train("both", ("CPU:0", "CPU:1"), even, config, on_epoch=kill)
except InterruptedError:
    known["both"] = train("both", ("CPU:0", "CPU:1"), even, config, resume=True)
batches = run._in_order(config, table[even:], "validation")
known["kept"] = asdict(judge(load_keras(folder / "both" / "best.keras"), batches))
rich = replace(config, dropout=0.5, epochs=1, weights=str(folder / "one" / "best.keras"))
known["odd"] = train("odd", ("CPU:0", "CPU:1"), even + 1, rich)
devices.synchronise = lambda model: None
known["apart"] = train("apart", ("CPU:0", "CPU:1"), even, config)
print(json.dumps(known))
"""


@pytest.fixture(scope="module")
def known(parts, tmp_path_factory) -> dict:
    """The epochs of a training on one device, of the same on two with a kill, of others with an odd last batch, or
    with each device's own batch statistics.
    """
    folder = tmp_path_factory.mktemp("devices")
    table = parts.groupby("dx").head(6).sample(frac=1, random_state=0)
    table[["path", "dx"]].to_csv(folder / "table.csv", index=False)
    config = TrainingConfig(
        network="custom_cnn", size=32, epochs=2, batch=8, dropout=0.0, average=0.8, balance="class-weights",
        augmentation="light", monitor="loss",
    )  # fmt: skip
    command = [sys.executable, "-c", SCRIPT, str(folder), json.dumps(asdict(config))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_two_devices_and_a_kill_come_to_the_losses_of_one_device_left_alone(known):
    assert len(known["both"]) == 2
    for one, both in zip(known["one"], known["both"], strict=True):
        for name in ("loss", "val_loss", "learning_rate"):
            assert both[name] == pytest.approx(one[name], rel=3e-4)


def test_without_common_batch_statistics_two_devices_come_to_other_losses(known):
    """So the comparison above would tell."""
    for one, apart in zip(known["one"], known["apart"], strict=True):
        assert apart["loss"] != pytest.approx(one["loss"], rel=1e-2)


def test_the_network_kept_by_two_devices_is_loaded_and_judged_on_one(known):
    best = min(epoch["val_loss"] for epoch in known["both"])
    assert known["kept"]["val_loss"] == pytest.approx(best, rel=1e-4)


def test_images_that_two_devices_cannot_share_are_left_out_of_the_epoch(known):
    (epoch,) = known["odd"]
    assert 0 < epoch["loss"] < 10
    assert 0 < epoch["val_loss"] < 10  # the validation part has an odd number of images as well


def test_a_batch_that_the_devices_cannot_share_equally_is_refused(parts, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "names", lambda: ("GPU:0", "GPU:1", "GPU:2"))
    with pytest.raises(ConfigurationError, match=r"batch of 8 .* by 3 GPUs\. Give a multiple of 3 as --batch"):
        run.train(config=replace(tiny, batch=8), training=parts, validation=parts, folder=tmp_path / "run", split="x")
    assert not (tmp_path / "run").exists()
