"""The command `worker`."""

import argparse
from typing import NoReturn


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of `worker`."""
    parser.add_argument("--slot", type=int, help=argparse.SUPPRESS)  # a lock handed on by the app that started it
    parser.set_defaults(run=_worker)


def _worker(options: argparse.Namespace) -> NoReturn:
    from skin_model.services import workflows

    workflows.work(slot=options.slot)
