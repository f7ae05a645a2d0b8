"""The registry of models: versions, which one is in use, promotion and the way back.

The history of promotions in the project's record decides which version is in use; MLflow's alias repeats it for whoever
looks there.  Version 1 is the bundled model and can always be returned to.
"""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skin_model import bundle, settings, tracking
from skin_model.entities import DataSet, Job, Promotion
from skin_model.errors import BundleError, ConfigurationError, StoreError
from skin_model.evaluation import paired, truthfulness
from skin_model.jobs import keeper, queue
from skin_model.services import workspace
from skin_model.store import database, records

if TYPE_CHECKING:
    from skin_model.inference import Classifier

HEADLINES, LESS_IS_BETTER = paired.HEADLINES, paired.CALIBRATION  # names of the figures of a comparison, by key
CHAMPION, CHALLENGER, RETIRED = "champion", "challenger", "retired"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """A registered version as a page shows it.

    Attributes:
        number: 1 is the bundled model.
        name: the bundle's own name.
        status: "champion" (in use; none is while `SKIN_MODEL_BUNDLE` names the model), "retired" (was in use) or
            "challenger".
        drawn: it learned from drawings and can never be promoted.
        source: where its files lie.
    """

    number: int
    name: str
    status: str
    drawn: bool
    source: str


def ensure() -> None:
    """Make the bundled model version 1, where the registry is empty."""
    if tracking.versions():
        return
    first = settings.ASSETS / "model"
    with database.alone():
        tracking.ensure_first(first, name=bundle.read(first).manifest.model_version)


def pinned() -> bool:
    """Whether `SKIN_MODEL_BUNDLE` names the model in use, whatever the registry says."""
    return settings.load().pinned


def versions() -> list[Version]:
    """All versions, the newest first."""
    ensure()
    past = [promotion.version for promotion in history()]
    in_use = None if pinned() else past[0] if past else 1
    used = {1, *past}
    return [
        Version(
            number=known.version,
            name=_bundled_name(known.name) if known.version == 1 else known.name,
            status=CHAMPION if known.version == in_use else RETIRED if known.version in used else CHALLENGER,
            drawn=known.tags.get("drawn") == "true",
            source=known.source,
        )
        for known in tracking.versions()
    ]


def history() -> list[Promotion]:
    """Who put which version into use when and why, the newest first."""
    if not database.exists():
        return []
    with database.reading() as record:
        return records.promotions(record)


def folder(version: Version) -> Path:
    """The version's files on this machine.  Raises BundleError where they are gone."""
    if version.number == 1:
        return settings.ASSETS / "model"
    found = tracking.folder_of(version.source, version.number)
    if not found.is_dir():
        raise BundleError(f"The files of version {version.number} are gone from {found}. Restore them.")
    return found


def reference(version: Version) -> dict[str, Any]:
    """What a worker on any machine needs to `load` this very version; plain values for an order."""
    manifest = bundle.sha256(folder(version) / "manifest.json")
    return {"version": version.number, "source": version.source, "manifest": manifest}


def load(*, version: int, source: str, manifest: str) -> "Classifier":
    """The network of the version that a `reference` is of; raises BundleError as `fetch` does."""
    from skin_model.inference import Classifier

    return Classifier(fetch(version=version, source=source, manifest=manifest))


def fetch(*, version: int, source: str, manifest: str) -> bundle.Bundle:
    """The version that a `reference` is of, its files fetched where they lie elsewhere.

    Raises:
        BundleError: they are gone, or others than were referred to.
    """
    made = bundle.read(settings.ASSETS / "model" if version == 1 else tracking.folder_of(source, version))
    if bundle.sha256(made.folder / "manifest.json") != manifest:
        raise BundleError(f"Version {version} on this machine is another one than was asked for. Restore its files.")
    return made


def papers(version: Version) -> dict[str, Any]:
    """What came with a version, every file checked against its hash: manifest, evaluation, details, card.

    Raises:
        BundleError: a file is missing, changed or damaged.
    """
    made = bundle.read(folder(version))
    details = json.loads(made.text("details.json") or "{}")
    return {
        "manifest": made.manifest,
        "evaluation": json.loads(made.text("evaluation.json") or "{}"),
        "details": truthfulness.added(details, made) if details else {},
        "card": made.text("card.md"),
    }


def report(papers: dict[str, Any]) -> str:
    """The evaluation that came with a version as one HTML page; empty where it has none."""
    if not papers["evaluation"] or not papers["details"]:
        return ""
    from skin_model.services import report_page  # Plotly, which choosing a version need not wait for

    learned_from = papers["manifest"].data.get("name")
    source = {"name": learned_from, "images": "its test part", "labels": "its table", "learned_from": learned_from,
              "note": papers["manifest"].note}  # fmt: skip
    return report_page.html(papers["evaluation"], papers["details"], source=source)


def order_comparison(*, challenger: Version, data_set: DataSet, who: str, job: str) -> str:
    """Queue the comparison of a version with the one in use, on the test part of a data set.

    Raises:
        ConfigurationError: it is no version that is in use.
        StoreError: the registry does not hold the version that the record says is in use.
    """
    _require_unpinned()
    in_use = next((version for version in versions() if version.status == CHAMPION), None)
    if in_use is None:
        raise StoreError(
            "The version in use is not in MLflow's registry. Restore the registry's files, or put a version that is "
            "there into use."
        )
    order = {
        "name": f"version {in_use.number} against {challenger.number}",
        "champion": reference(in_use),
        "challenger": reference(challenger),
        "versions": [in_use.number, challenger.number],
        "names": [in_use.name, challenger.name],
        "data_set": data_set.id,
        "data": data_set.name,
        "fingerprint": data_set.fingerprint,
        "actor": who,
    }
    queue.enqueue(kind="compare", order=order, job=job)
    with database.writing() as record:
        records.audit(record, actor=who, action="compare", subject=job, versions=order["versions"], on=data_set.name)
    keeper.ensure_worker()
    return job


def comparison(*, challenger: Version) -> Job | None:
    """The newest comparison of a version with the one in use now; None where there is none."""
    if pinned():
        return None
    past = history()
    names = {version.number: version.name for version in versions()}
    pair = [past[0].version if past else 1, challenger.number]
    wanted = (pair, [names.get(number) for number in pair])  # by name too: an update may have brought another version 1
    compared = queue.listed(kinds=["compare"], outcomes=False)
    found = [job for job in compared if (job.order["versions"], job.order.get("names")) == wanted]
    return queue.find(found[0].id) if found else None


def promote(*, version: Version, who: str, reason: str, instead_of: int | None = None) -> Promotion:
    """Put a version into use, in every web process within seconds; going back is the same with an older version.

    Args:
        version: to be used from now on.
        who: decides it.
        reason: kept with the decision.
        instead_of: number of the version that was in use when this was decided; by default the one that is now.

    Raises:
        ConfigurationError: no reason, learned from drawings, in use already, or not for the seven diagnoses.
        BundleError: its files are missing, changed or damaged.
        StoreError: someone else promoted a version meanwhile, or the record cannot be reached.
    """
    if not reason.strip():
        raise ConfigurationError("Say why: the reason is kept with the decision.")
    _require_unpinned()
    made = bundle.read(folder(version))
    if version.drawn or made.manifest.drawn:
        raise ConfigurationError(
            f"Version {version.number} learned from drawings, so its answers mean nothing for patients: it can never "
            "be promoted."
        )
    if made.manifest.task != "diagnosis":
        raise ConfigurationError(f"Version {version.number} does not name the seven diagnoses; the app needs them.")
    past = history()
    in_use = past[0].version if past else 1
    if version.number == in_use:
        raise ConfigurationError(f"Version {version.number} is in use already.")
    manifest = bundle.sha256(made.folder / "manifest.json")
    promotion = Promotion(
        datetime.now(UTC), who, version.number, instead_of or in_use, version.source, manifest, reason.strip()
    )
    action = "roll back" if version.number in {1, *(p.version for p in past)} else "promote"
    with database.writing() as record:
        records.promote(record, promotion)
        records.audit(
            record, actor=who, action=action, subject=f"version {version.number}", previous=in_use, reason=reason
        )
    workspace.look_again()
    try:
        tracking.set_champion(version.number)
    except StoreError:  # the promotion is in force all the same
        log.warning("MLflow's alias does not name version %d yet", version.number, exc_info=True)
    return promotion


def _bundled_name(registered: str) -> str:
    """What is bundled now: an update may have brought another model than was registered first."""
    try:  # without verifying its files, which a page that lists versions need not wait for
        return str(json.loads((settings.ASSETS / "model" / "manifest.json").read_text("utf-8"))["model_version"])
    except (OSError, ValueError, KeyError):  # damaged, as is said where its papers are read
        return registered


def _require_unpinned() -> None:
    if pinned():
        raise ConfigurationError("SKIN_MODEL_BUNDLE names the model in use here; take it away to use the registry.")
