"""What a person has set and expects to find again: Streamlit forgets a widget that a run does not draw."""

from typing import TypeVar

import streamlit as st

T = TypeVar("T")


def remembered(name: str, default: T) -> T:
    """What was set last in this session, to begin a widget with."""
    return st.session_state.get(f"kept-{name}", default)


def remember(name: str, value: T) -> T:
    """Keep what a widget says now; returns it."""
    st.session_state[f"kept-{name}"] = value
    return value


def forget(name: str) -> None:
    """Keep it no longer."""
    st.session_state.pop(f"kept-{name}", None)
