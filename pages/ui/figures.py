"""The figures of an evaluation, by the keys under which their intervals stand too."""

from collections.abc import Callable, Sequence
from typing import Any


def value_of(evaluation: dict[str, Any], key: str) -> Any:
    """A figure under its flat key, such as "malignant.sensitivity"; None where it was not measured."""
    found: Any = evaluation
    for part in key.split("."):
        found = (found or {}).get(part)
    return found


def between(interval: Sequence[float] | None, write: Callable[[float], str]) -> str:
    """An interval's bounds as `write` writes them, or why there is none."""
    return f"{write(interval[0])} to {write(interval[1])}" if interval else "too few lesions"
