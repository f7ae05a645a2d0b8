"""What a mistake costs: a table that the department sets once, and the decision that follows from it.

The table is the newest one in the record's audit log, so that who set it and when, and what stood before, stay known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from skin_model.errors import ConfigurationError
from skin_model.store import database, records
from skin_model.taxonomy import BY_CODE, CODES, DIAGNOSES

MALIGNANT = tuple(d.code for d in DIAGNOSES if d.malignant)
MOST = 1000
_SUBJECT = "costs"


@dataclass(frozen=True)
class Costs:
    """How bad it is not to refer one lesion of each malignant diagnosis.

    Attributes:
        missed: malignant class code -> as many unneeded referrals.
        actor: set it.
        at: then.
    """

    missed: dict[str, float]
    actor: str
    at: datetime


def current() -> Costs | None:
    """The table in force; None where the department has set none.

    Raises:
        StoreError: the record cannot be reached.
    """
    if not database.exists():
        return None
    with database.reading() as record:
        events = records.audit_events(record, subject=_SUBJECT, limit=1)
    return Costs(events[0].details["missed"], events[0].actor, events[0].at) if events else None


def keep(*, missed: Mapping[str, float], who: str) -> None:
    """Set the table for everyone.

    Raises:
        ConfigurationError: a malignant diagnosis is missing from it, or a number lies outside 1 to 1,000.
        StoreError: the record cannot be reached.
    """
    if set(missed) != set(MALIGNANT) or not all(1 <= number <= MOST for number in missed.values()):
        raise ConfigurationError(
            f"Give a number from 1 to {MOST:,} for each of {', '.join(BY_CODE[c].name for c in MALIGNANT)}: how many "
            "unneeded referrals it is as bad as, not to refer one such lesion."
        )
    with database.writing() as record:
        records.audit(record, actor=who, action="set costs", subject=_SUBJECT, missed=dict(missed))


def of_not_referring(*, probabilities: Mapping[str, float], costs: Costs) -> float:
    """What not referring a lesion costs on average, in unneeded referrals; probabilities by class code."""
    return sum(probabilities[code] * costs.missed[code] for code in MALIGNANT)


def of_referring(*, probabilities: Mapping[str, float]) -> float:
    """What referring it costs on average: the probability that the referral is not needed."""
    return sum(probabilities[code] for code in CODES if code not in MALIGNANT)
