"""Measure a model's explanations on pictures it has never met: do they show what decides?"""

import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from skin_model import bundle, conversion
from skin_model.bundle import Bundle
from skin_model.dataset import ham10000
from skin_model.dataset.splits import lesions
from skin_model.errors import BusyError, ConfigurationError, DatasetError
from skin_model.evaluation import faithfulness, localisation, truthfulness
from skin_model.explain.methods import METHODS
from skin_model.explain.randomised import randomise
from skin_model.explain.subject import OnProgress, Subject, idle
from skin_model.inference import Classifier
from skin_model.services import evaluation, explaining, prediction
from skin_model.services.evaluation import PIXEL_DIGITS
from skin_model.taxonomy import CODES

FEWEST = 20  # pictures whose bootstrap interval can carry a verdict that pages act on
NOISE = 4  # grey levels: standard deviation of the noise under which a map should stay
SLOW = {key for key, method in METHODS.items() if method.slow}
Row = dict[str, dict[str, float]]  # method -> figure -> value


def check(
    *, classifier: Classifier, data: Path, images: int = 200, slow_images: int = 40, seed: int = 0,
    rows_file: Path | None = None, on_progress: OnProgress = idle,
) -> dict[str, Any]:  # fmt: skip
    """Figures of every method, as kept in a bundle's explanations.json; "network" there is the hash of network.keras.

    Args:
        classifier: a seven-class model.
        data: HAM10000; with its lesion masks the share of heat inside the lesion is measured too.
        images: how many lesions the model has never met to draw, one picture of each; pictures whose likeliest class
            does not hang on what they hold are passed over (see `faithfulness.depends`).
        slow_images: on how many of these the slow methods are measured.
        seed: of the draw.
        rows_file: keeps each picture's figures as soon as they are known; what stands there is not measured again,
            also by a check of more or fewer images; for more slow ones, from the first on that lacks them.
        on_progress: told of pictures done.

    Raises:
        BundleError: a model without the seven classes.
        ConfigurationError: no picture is asked for, or `rows_file` is of another network, data set or seed.
        DatasetError: the model has met every lesion of the data set, or none of the others can tell anything.
    """
    classifier.require_diagnosis()
    if images < 1 or slow_images < 0:
        raise ConfigurationError(
            f"{images} pictures, the slow methods on {slow_images}: ask for one at least, and for no fewer slow ones "
            "than 0."
        )
    if not 0 <= seed < 2**32:
        raise ConfigurationError(f"The seed must lie between 0 and {2**32 - 1}; {seed} was given.")
    table, copies = unseen(ham10000.read(data).table, classifier.bundle)
    table = table.sample(frac=1, random_state=seed)
    # explanations hang on the network alone: limits fitted anew make another version, and change nothing here
    said = {"network": classifier.manifest.files["network.keras"], "data": ham10000.source_name(table), "seed": seed}
    with _Rows(rows_file, said | {"unseen": len(table)}, min(images, slow_images)) as noted:
        rows, looked_at = measure(classifier, table, images, slow_images, noted, on_progress, copies)
    # the file may hold slow methods of more pictures than are asked for
    rows[slow_images:] = [{k: v for k, v in row.items() if k not in SLOW} for row in rows[slow_images:]]
    return said | {"images": len(rows), "looked_at": looked_at, "methods": truthfulness.summarise(rows)}


def require_enough(images: int, slow_images: int) -> None:
    """Refuse to put into a model what too few pictures tell: pages hide or show maps by it."""
    if images < FEWEST or 0 < slow_images < FEWEST:
        raise ConfigurationError(
            f"A verdict that stays with the model needs {FEWEST} pictures, of the slow methods as many or none; here "
            f"it has {images} and {slow_images}. Ask for more, of a larger data set, or leave --keep out."
        )


def keep(found: dict[str, Any], made: Bundle) -> None:
    """Put the figures into their model's folder, for page and report.

    Raises:
        BundleError: the model in the folder is no longer the one measured.
        ConfigurationError: the data set held too few pictures that could be measured.
    """
    slow = [each["images"] + each["empty"] for key, each in found["methods"].items() if key in SLOW]
    require_enough(found["images"], min(slow, default=0))
    bundle.add(made, truthfulness.FILE, json.dumps(found, indent=1) + "\n")


def lines(found: dict[str, Any]) -> list[str]:
    """The figures in words, a line for each method."""
    methods = found["methods"]
    return [f"{truthfulness.NAMES[key]}: {truthfulness.sentence(methods[key])}" for key in METHODS if key in methods]


def unseen(table: pd.DataFrame, made: Bundle) -> tuple[pd.DataFrame, frozenset[str]]:
    """One row per lesion that the model has never met, the first by name; and the pixel hashes that it has met."""
    fresh, pixels = evaluation.unseen(table, made)
    if fresh.empty:
        raise DatasetError(
            f"The model {made.manifest.model_version} has met every lesion of this data set. Give other pictures."
        )
    fresh = fresh.sort_values("image_id")
    return fresh[~lesions(fresh).duplicated()], pixels


class _Rows:
    """What is known of each picture looked at, in their order: its figures, or None where it was passed over.

    Kept in a file of JSON lines, where one is named: the settings, then a line per picture.  Of those it holds, the
    ones from the first that lacks a slow method it is asked for are dropped.
    """

    def __init__(self, path: Path | None, asked: dict[str, Any], slow_images: int) -> None:
        self.path, self._asked, self._slow_images = path, asked, slow_images
        self.known: list[Row | None] = []
        self._file: TextIO | None = None

    def __enter__(self) -> "_Rows":
        if self.path is None:
            return self
        self._file = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise BusyError(f"Another check is writing to {self.path}. Wait for it, or name another file.") from error
        try:
            self._file.seek(0)
            there = self._file.readlines()
            whole = [line for line in there if line.endswith("\n")]  # a kill may have cut the last one
            asked, *self.known = [json.loads(line) for line in whole] or [self._asked]
            if asked != self._asked or not (whole or json.dumps(self._asked).startswith("".join(there))):
                raise ValueError("other settings")
        except ValueError as error:
            self._file.close()
            raise ConfigurationError(
                f"{self.path} holds no figures of this model's network, on this data set, in this order. "
                "Name another file."
            ) from error
        fit = [place for place, row in enumerate(self.known) if row]
        lacking = [place for place in fit[: self._slow_images] if not SLOW.issubset(self.known[place] or ())]
        del self.known[lacking[0] if lacking else len(self.known) :]
        self._file.truncate(sum(len(line.encode()) for line in whole[: len(self.known) + 1]))
        if not whole:
            self._write(self._asked)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def add(self, row: Row | None) -> None:
        """Note one more picture."""
        self.known.append(row)
        self._write(row)

    def _write(self, value: Any) -> None:
        if self._file:
            self._file.write(json.dumps(value) + "\n")
            self._file.flush()


def measure(
    classifier: Classifier,
    table: pd.DataFrame,
    images: int,
    slow_images: int,
    noted: _Rows,
    on_progress: OnProgress = idle,
    copies: frozenset[str] = frozenset(),
) -> tuple[list[Row], int]:
    """The figures of the first `images` fit pictures of a table with `path` and `mask`, and how many were looked at.

    The slow methods are measured on the first `slow_images` of these.  Pictures whose hash is among `copies` are passed
    over: the model has met them under another name.
    """
    fit = [place for place, row in enumerate(noted.known) if row][:images]
    rows = [row for row in noted.known if row][:images]
    if len(rows) == images:
        on_progress(images, images)
        return rows, fit[-1] + 1
    size = classifier.manifest.size
    with _forgetful(classifier.bundle) as controls:
        left = table[len(noted.known) :]
        for item in prediction.readable(prediction.load(left["path"], size, bool(copies), masks=left["mask"])):
            if len(rows) == images:
                break
            on_progress(len(rows), images)
            random = np.random.default_rng(len(noted.known))
            row: Row | None = None
            subject = explaining.subject(item.square, classifier)
            target = int(classifier.outputs(subject.image[None])[0].argmax())
            if item.pixels[:PIXEL_DIGITS] not in copies and faithfulness.depends(subject, target):
                methods = [key for key, method in METHODS.items() if len(rows) < slow_images or not method.slow]
                own = _maps(subject, target, methods)
                row = _alike(own, item.square, target, classifier, controls, random)
                _trace(row, own, subject, target, item.mask, random)
                rows.append(row)
            noted.add(row)
    looked_at = len(noted.known)
    if not rows:
        raise DatasetError(
            f"None of {looked_at} pictures is new to the model and loses its likeliest class when it is blurred, so "
            "nothing can be measured. "
            "Give other pictures."
        )
    on_progress(images, images)
    return rows, looked_at


def _alike(
    own: dict[str, np.ndarray], square: np.ndarray, target: int, classifier: Classifier,
    controls: dict[str, Classifier], random: np.random.Generator,
) -> Row:  # fmt: skip
    """How alike each map, unless empty, is to those under noise and of the controls."""
    row: Row = {key: {} for key in own}
    noisy = np.clip(np.rint(square + random.normal(0, NOISE, square.shape)), 0, 255).astype(np.uint8)
    others = {"noise": explaining.subject(noisy, classifier)}
    others |= {name: explaining.subject(square, control) for name, control in controls.items()}
    for name, other in others.items():
        keys = [key for key, heat in own.items() if heat.any() and (name != "head" or not METHODS[key].slow)]
        for key, heat in _maps(other, target, keys).items():
            row[key][name] = faithfulness.similarity(own[key], heat)
    return row


def _trace(
    row: Row, own: dict[str, np.ndarray], subject: Subject, target: int, mask: np.ndarray | None,
    random: np.random.Generator,
) -> None:  # fmt: skip
    """Add to a picture's row whether each map, unless empty, finds what decides, and where its heat lies."""
    maps = {key: heat for key, heat in own.items() if heat.any()}
    maps |= {"blob": faithfulness.centred_blob(), "random": faithfulness.random_map(random)}
    areas = faithfulness.insertion_deletion(subject, target, list(maps.values()), random)
    for (key, heat), (insertion, deletion) in zip(maps.items(), areas, strict=True):
        row.setdefault(key, {}).update(insertion=float(insertion), deletion=float(deletion))
        look = None if mask is None else localisation.look(heat, mask)
        if look is not None:
            row[key] |= {"energy": look.inside, "energy_over_blob": look.inside - look.blob}


def _maps(subject: Subject, target: int, methods: Iterable[str]) -> dict[str, np.ndarray]:
    code = CODES[target]
    return {key: METHODS[key].explain(subject, code, idle)[code].heat_map for key in methods}


@contextmanager
def _forgetful(made: Bundle) -> Iterator[dict[str, Classifier]]:
    """The model with shuffled weights, in the last layers ("head") and in "all", by the figure that needs it."""
    with tempfile.TemporaryDirectory() as temporary:
        controls = {}
        for name in ("head", "all"):
            folder = Path(temporary) / name
            shutil.copytree(made.folder, folder)
            model = conversion.load_keras(folder / "network.keras")
            randomise(model, head_only=name == "head")
            model.save(folder / "network.keras")
            (folder / "serving.npz").unlink(missing_ok=True)  # of the network as it was
            conversion.convert(model, folder)
            controls[name] = Classifier(Bundle(folder, bundle.write_manifest(folder, made.manifest)))
        yield controls
