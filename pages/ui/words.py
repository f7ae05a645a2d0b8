"""Words that several parts of a page put together in the same way."""

from skin_model.charts import percent
from skin_model.entities import Patient, PredictionSet
from skin_model.taxonomy import BY_CODE


def listed(names: list[str]) -> str:
    """a; a and b; a, b and c."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def literal(text: str) -> str:
    """A file's name as code, so that nothing in it is taken for markup."""
    return f"`{text.replace('`', '')}`"


def describe(patient: Patient) -> str:
    """What is known of a patient, in words."""
    age = None if patient.age is None else f"{patient.age} years"
    return ", ".join(part for part in (age, patient.sex, patient.site) if part)


def told_apart(value: float, threshold: float) -> tuple[str, str]:
    """Both as percents, with one decimal where they would read alike; more would say what the model does not know."""
    pairs = [(percent(value, digits=d), percent(threshold, digits=d)) for d in range(2)]
    found, point = next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])
    return f"just below {point}" if found == point and value < threshold else found, point


def malignant_names(found: PredictionSet) -> list[str]:
    """The malignant and pre-malignant diagnoses of a set, the likeliest first."""
    return [BY_CODE[code].name for code in found.codes if BY_CODE[code].malignant]
