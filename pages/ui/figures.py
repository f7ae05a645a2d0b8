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
    """An interval's bounds as `write` writes them, or that there is none."""
    return f"{write(interval[0])} to {write(interval[1])}" if interval else "no interval"


def whole(share: float, *, of: int = 100) -> str:
    """How many of `of` a share is: "34"; "<1" and ">99" where rounding would claim none or all."""
    count = share * of
    if 0 < count < 1:
        return "<1"
    return f">{of - 1}" if of - 1 < count < of else f"{count:.0f}"


def of_100(rate: tuple[float, float, float]) -> str:
    """A measured rate with its interval: "92 (86 to 97)"."""
    value, low, high = rate
    return f"{whole(value)} ({whole(low)} to {whole(high)})"
