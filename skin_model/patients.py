"""What is known of the patient, as a network's second input, and what it adds to a picture's answer.

A network with this input adds the logits of a picture and those of the patient: log odds of independent findings add up
(Bayes' rule), the class activation maps stay those of the picture, and whatever is not known adds exactly nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skin_model.entities import SEXES, SITES, Patient

AGES = np.arange(0.0, 100.0, 10.0)  # years; an age between two of them counts in part as either
# A network that always knows the patient fails where nobody entered anything: in training it often knows less.
FORGET_ALL, FORGET_EACH = 0.3, 0.1  # chance of knowing nothing of a patient, and of lacking each value besides

_WIDTHS = {"age": len(AGES), "sex": len(SEXES), "localization": len(SITES)}


def width(columns: Sequence[str]) -> int:
    """Length of the encoding of these columns."""
    return sum(_WIDTHS[column] for column in columns)


def encode(patients: Iterable[Patient], columns: Sequence[str]) -> np.ndarray:
    """Patients as float32 (N, width): one share per age, sex and site; all zero for what is not known.

    Args:
        patients: N of them.
        columns: which of HAM10000's `age`, `sex` and `localization` the network was given.
    """
    return np.array([_encoded(patient, columns) for patient in patients], np.float32).reshape(-1, width(columns))


def of_table(table: pd.DataFrame) -> list[Patient]:
    """The patients of a data set's rows; a sex or site that HAM10000 does not name counts as not known."""
    rows = zip(table["age"], table["sex"], table["localization"], strict=True)
    return [
        Patient(
            age=None if pd.isna(age) else round(age),
            sex=sex if sex in SEXES else None,
            site=site if site in SITES else None,
        )
        for age, sex, site in rows
    ]


def known_of(table: pd.DataFrame) -> pd.DataFrame:
    """Which of a data set's rows tell age, sex and localization, in words that an answer takes into account."""
    found = of_table(table)
    known = {"age": [p.age for p in found], "sex": [p.sex for p in found], "localization": [p.site for p in found]}
    return pd.DataFrame(known, index=table.index).notna()


def forget(patient: Patient, rng: np.random.Generator) -> Patient:
    """The patient with values left out by chance: all of them, or each by itself."""
    everything, *each = rng.random(4)
    if everything < FORGET_ALL:
        return Patient()
    lost = [name for name, chance in zip(("age", "sex", "site"), each, strict=True) if chance < FORGET_EACH]
    return replace(patient, **dict.fromkeys(lost))


def _encoded(patient: Patient, columns: Sequence[str]) -> np.ndarray:
    shares = {
        "age": np.zeros(len(AGES)) if patient.age is None else _age(patient.age),
        "sex": np.array([patient.sex == sex for sex in SEXES], float),
        "localization": np.array([patient.site == site for site in SITES], float),
    }
    return np.concatenate([shares[column] for column in columns])


def _age(years: int) -> np.ndarray:
    """Linear between the two nearest of `AGES`."""
    return np.maximum(0, 1 - np.abs(AGES - min(years, AGES[-1])) / (AGES[1] - AGES[0]))


@dataclass(frozen=True)
class PatientPart:
    """The part of a network that judges the patient: a hidden layer with ReLU, then one logit per class, no biases.

    Attributes:
        columns: of the data set, in the order of the encoding.
        hidden: float32 (width, H).
        output: float32 (H, K).
    """

    columns: tuple[str, ...]
    hidden: np.ndarray
    output: np.ndarray

    @classmethod
    def of(cls, model: Any, columns: Sequence[str]) -> "PatientPart | None":
        """Take it from a network built by `networks.build`; None where the network has none."""
        if not columns:
            return None
        hidden, output = (model.get_layer(name).get_weights()[0] for name in ("patient_hidden", "patient_logits"))
        return cls(tuple(columns), hidden, output)

    def save(self, path: Path) -> None:
        """Write it as `.npz`."""
        with path.open("wb") as file:
            np.savez(file, columns=np.array(self.columns), hidden=self.hidden, output=self.output)

    @classmethod
    def load(cls, path: Path) -> "PatientPart":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(tuple(map(str, file["columns"])), file["hidden"], file["output"])

    def logits(self, patients: Sequence[Patient]) -> np.ndarray:
        """What each patient adds to a picture's logits, float64 (N, K)."""
        return self.of_encoded(encode(patients, self.columns))

    def of_encoded(self, patients: np.ndarray) -> np.ndarray:
        """The same of patients as `encode` returns them, (N, width)."""
        return np.maximum(patients.astype(np.float64) @ self.hidden, 0) @ self.output
