"""One model on disk: the trained network and everything that must travel with it.

network.keras     the trained network: the truth
serving.xml/.bin  the same network for OpenVINO, computing in float32, with feature map and embedding as further
                  outputs; of a network rounded to float16 serving.npz in place of .bin, see `shared_weights`
head.npz          weights behind the feature map, for Grad-CAM without TensorFlow
patient.npz       the part that judges the patient, of networks that were trained with one
seen.csv.gz       every image the model has met in training, validation or calibration
history.csv       the training, epoch by epoch
references.npz    the cases it learned from, one picture per lesion: compressed embeddings, diagnoses; the gate's limits
evaluation.json   the report of `evaluate` on the test part
details.json      everything else measured there: operating points, calibration, prediction sets, subgroups, curves
explanations.json what `explain-check` measured of its explanations, once it has
card.md           the model card
manifest.json     what is said here as data, with the SHA-256 of every other file; written last

Reading verifies every hash: a Keras file can run code, so nothing unlisted or changed is ever opened.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from skin_model import files
from skin_model.errors import BundleError
from skin_model.taxonomy import CODES

FORMAT, OLDER = 2, {1}  # 1: before kernels could be kept once
DRAWN = "drawn lesions"  # name of synthetic data: nothing learned from them may serve patients
REQUIRED = {"network.keras", "serving.xml", "head.npz", "seen.csv.gz"}
SERVED = {"serving.bin", "serving.npz"}  # one of them


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        model_version: unique name.
        task: "diagnosis" or "binary".
        labels: class codes in the order of the network's outputs.
        size: side of the input in pixels.
        views: flipped and turned views averaged per analysis.
        temperature: divides the averaged log probabilities.
        threshold, target_sensitivity: operating point on the malignant probability, chosen on the calibration part
            and on what `out_of_fold` tells of.
        balanced_threshold: a second one with the largest Youden index there; None where none was chosen.
        prediction_sets: as `conformal.fit` returns them; empty for a model without prediction sets.
        training: the last training's settings; `stages` those of the trainings whose weights it started from.
        data: name, split fingerprint and images and lesions per part.
        agreement: largest difference between Keras and the serving form on real images, and their number.
        environment: versions of the libraries that made it.
        files: name -> SHA-256 of every other file.
        metadata: the data set's columns that are an input beside the image.
        half: whether the weights were rounded to float16 before anything was measured.
        out_of_fold: the cross-validation by whose answers temperature, operating points and sets were fitted besides
            (see `calibrating.OutOfFold`); empty where the calibration part was all.
        note: what its makers say of how it was made, for the card; may be empty.
    """

    model_version: str
    created: str
    network: str
    task: str
    labels: tuple[str, ...]
    size: int
    views: int
    temperature: float
    threshold: float
    target_sensitivity: float
    training: dict[str, Any]
    data: dict[str, Any]
    agreement: dict[str, float]
    environment: dict[str, str]
    stages: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT
    balanced_threshold: float | None = None
    prediction_sets: dict[str, Any] = field(default_factory=dict)
    metadata: tuple[str, ...] = ()
    half: bool = False
    out_of_fold: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def drawn(self) -> bool:
        """Whether the model learned from drawings."""
        return self.data.get("name") == DRAWN


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files all match its manifest."""

    folder: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        """The file `name`, which must be listed in the manifest."""
        if name not in self.manifest.files:
            raise BundleError(f"The model {self.manifest.model_version} has no {name}; make the bundle again.")
        return self.folder / name

    def text(self, name: str) -> str:
        """A listed text file's content, or "" where the bundle has none."""
        return self.path(name).read_text(encoding="utf-8") if name in self.manifest.files else ""


def read(folder: Path) -> Bundle:
    """Read a bundle and verify it.

    Raises:
        BundleError: missing, damaged, changed, of another format or another label order.
    """
    try:
        raw = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(
            f"There is no model in {folder}: manifest.json is missing. Restore the folder, "
            "or point SKIN_MODEL_BUNDLE to another one."
        ) from error
    except (OSError, ValueError) as error:
        raise BundleError(f"The model's manifest in {folder} cannot be read ({error}). Restore the folder.") from error
    if not isinstance(raw, dict) or raw.get("format") not in {FORMAT, *OLDER}:
        raise BundleError(f"The model in {folder} is not of format {FORMAT}. Make the bundle again with this version.")
    if newer := sorted(raw.keys() - {known.name for known in fields(Manifest)}):
        raise BundleError(
            f"The model in {folder} was made by a newer version of this program: {', '.join(newer)} in its manifest is "
            "not known here. Update the program, or use another model."
        )
    try:
        tuples = {"labels": tuple(raw["labels"]), "metadata": tuple(raw.get("metadata", ()))}
        manifest = Manifest(**(raw | tuples | {"stages": raw["stages"], "files": raw["files"]}))
        numbers = (manifest.size, manifest.views, manifest.temperature, manifest.threshold)
        required = REQUIRED | ({"patient.npz"} if manifest.metadata else set())
        if (
            not all(isinstance(n, int | float) for n in numbers)
            or not set(manifest.files) >= required
            or not SERVED & set(manifest.files)
        ):
            raise TypeError("a number or a file of it is not listed")
        if manifest.prediction_sets and set(manifest.prediction_sets["thresholds"]) != set(CODES):
            raise TypeError("prediction_sets lacks the threshold of a class")
    except (TypeError, KeyError) as error:
        raise BundleError(f"The model's manifest in {folder} is incomplete ({error}). Restore the folder.") from error
    if manifest.task == "diagnosis" and manifest.labels != CODES:
        raise BundleError(
            f"The model {manifest.model_version} orders its classes {', '.join(manifest.labels)}; this version expects "
            f"{', '.join(CODES)}. Use the model with the version that made it."
        )
    for name, expected in manifest.files.items():
        _verify(folder / name, expected, manifest.model_version)
    return Bundle(folder, manifest)


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Hash every file of `folder` and write the manifest, last and by one rename.  Returns it with its hashes."""
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != "manifest.json")
    raw = asdict(manifest) | {"files": {name: sha256(folder / name) for name in names}}
    _write(folder, raw)
    return replace(manifest, files=raw["files"])


def add(made: Bundle, name: str, text: str) -> None:
    """Add a text file to a bundle or replace it; whenever this is broken off, what lies there is a whole model.

    Raises:
        BundleError: another model was put into the folder since `made` was read.
    """
    if read(made.folder).manifest != made.manifest:
        was = made.manifest.model_version
        raise BundleError(f"{made.folder} no longer holds {was} as it was read; nothing was added. Start again.")
    raw = asdict(made.manifest)
    raw["files"].pop(name, None)
    _write(made.folder, raw)
    with files.whole(made.folder / name) as partial:
        partial.write_text(text, encoding="utf-8")
    raw["files"][name] = sha256(made.folder / name)
    _write(made.folder, raw)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder: Path, raw: dict[str, Any]) -> None:
    with files.whole(folder / "manifest.json") as partial:
        partial.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


def _verify(path: Path, expected: str, version: str) -> None:
    try:
        actual = sha256(path)
    except OSError as error:
        raise BundleError(f"The model {version} lacks {path.name}. Restore its folder {path.parent}.") from error
    if actual != expected:
        raise BundleError(
            f"{path.name} of the model {version} was changed or damaged: its hash does not match the manifest. "
            f"Restore its folder {path.parent}; until then nothing is analysed."
        )
