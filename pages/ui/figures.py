"""The figures of an evaluation, by the keys under which their intervals stand too."""

from typing import Any


def value_of(evaluation: dict[str, Any], key: str) -> Any:
    """A figure under its flat key, such as "malignant.sensitivity"; None where it was not measured."""
    found: Any = evaluation
    for part in key.split("."):
        found = (found or {}).get(part)
    return found
