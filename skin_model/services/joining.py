"""Finished trainings side by side as one network, whose answer is the mean of theirs."""

from collections.abc import Sequence
from pathlib import Path

from skin_model import files, networks
from skin_model.dataset import splits
from skin_model.errors import ConfigurationError, TrainingError
from skin_model.recipe import TrainingConfig
from skin_model.training.state import RunState, ancestors, read_state, write_state

SHARED = ("task", "size", "metadata", "validation")


def join(*, runs: Sequence[Path], folder: Path) -> RunState:
    """Make one network of several, as a run that can be bundled, explained and trained on like any other.

    Each keeps its own feature map; one last layer behind them gives the mean of their logits, so that class
    activation maps are the sum of theirs.

    Args:
        runs: finished trainings of the networks of one of `networks.JOINED`, or joined of some of them, in any order.
        folder: the new run's.

    Raises:
        ConfigurationError: a single run, no such joined network, or networks that differ in size, inputs, task or fold.
        TrainingError: a training that is not finished, or of another split; a folder that already holds one.
    """
    if len(runs) < 2:
        raise ConfigurationError("One training is nothing to join. Name two at least.")
    states = [read_state(run) for run in runs]
    given = [member for state in states for member in networks.members(state.config.network)]
    joined = next((name for name, of in networks.JOINED.items() if sorted(of) == sorted(given)), None)
    if joined is None:
        known = "; or of ".join(" and ".join(of) for of in networks.JOINED.values())
        raise ConfigurationError(f"{' and '.join(given)} make no known network. Name trainings of {known}.")
    place = networks.JOINED[joined].index
    order = sorted(range(len(runs)), key=lambda number: place(networks.members(states[number].config.network)[0]))
    first = states[order[0]].config
    for name in SHARED:
        one = getattr(first, name)
        for other in (getattr(state.config, name) for state in states):
            if one != other:
                raise ConfigurationError(
                    f"{name} is {one} in one training and {other} in another. Join trainings that agree on it."
                )
    config = TrainingConfig(
        network=joined,
        weights=",".join(str(runs[number].resolve() / "best.keras") for number in order),
        **{name: getattr(first, name) for name in SHARED},
    )
    with files.held(folder):
        if (folder / "run.json").exists():
            raise TrainingError(f"{folder} already holds a training; name a new folder.")
        ancestors(config, states[0].split)
        model = networks.build(
            joined, size=config.size, task=config.task, weights=config.weights, metadata=config.columns
        )
        with_split = next((run for run in runs if (run / "split.csv").is_file()), runs[0])  # one of a bundle has none
        splits.write(splits.read(with_split / "split.csv", leaky=True), folder / "split.csv")
        with files.whole(folder / "best.keras") as partial:
            model.save(partial)
        state = RunState(config, states[0].split, finished=True)
        write_state(state, folder)
    return state
