"""The trained segmentation, loaded once: the lesion's mask of a picture, no TensorFlow.

serving.xml/.bin  the network for OpenVINO
manifest.json     how it was made, what it reached, and the SHA-256 of the others; written last
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from skin_model import files, imaging
from skin_model.bundle import sha256
from skin_model.errors import BundleError
from skin_model.inference import turned
from skin_model.segmentation.network import SIZE

FORMAT = 1
NAMES = ("serving.xml", "serving.bin")
VIEWS = 4  # the picture, mirrored, upside down, and both, whose answers are averaged
THRESHOLD = 0.5
SPECK = 0.05  # of the largest part: smaller ones are left out of the mask


@dataclass(frozen=True)
class Manifest:
    """What a segmentation says of itself.

    Attributes:
        created: when it was trained.
        training: its settings.
        data: name, split fingerprint, and images and lesions per part that it met.
        figures: what it reached, on lesions that it did not learn from, by part.
        files: name -> SHA-256.
    """

    created: str
    training: dict[str, Any]
    data: dict[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT


class Segmenter:
    """A loaded segmentation; safe to call from many threads at once.

    Raises:
        BundleError: missing, damaged or changed, or it cannot be executed here.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        import openvino

        self.manifest = manifest
        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # read whole, as it may be replaced while in use
        try:
            network = core.read_model(folder / NAMES[0], folder / NAMES[1])
            network.reshape([VIEWS, SIZE, SIZE, 3])
            hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
            self._network = core.compile_model(network, "CPU", hints)
        except RuntimeError as error:
            raise BundleError(f"The segmentation in {folder} cannot be executed here: {error}") from error

    @classmethod
    def load(cls, folder: Path) -> "Segmenter":
        """Read a folder, every hash verified."""
        return cls(folder, read(folder))

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """How likely each pixel of a picture, RGB uint8 (H, W, 3), belongs to the lesion: float32 (H, W)."""
        inputs = imaging.to_network(turned(squeezed(pixels)[None], VIEWS))
        request = self._network.create_infer_request()  # one for each call: threads share none
        request.infer([inputs])
        plain, half_turned, mirrored, upside = request.get_output_tensor(0).data[..., 0]
        mean = (plain + half_turned[::-1, ::-1] + mirrored[:, ::-1] + upside[::-1]) / VIEWS
        return cv2.resize(mean, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    def mask(self, pixels: np.ndarray) -> np.ndarray:
        """The lesion in a picture, RGB uint8 (H, W, 3): bool (H, W), without holes and specks."""
        return tidied(self.probabilities(pixels) >= THRESHOLD)


def squeezed(pixels: np.ndarray) -> np.ndarray:
    """The whole picture (H, W) or (H, W, 3) as the network takes it, (SIZE, SIZE) or (SIZE, SIZE, 3)."""
    method = cv2.INTER_AREA if min(pixels.shape[:2]) > SIZE else cv2.INTER_LINEAR
    return cv2.resize(pixels, (SIZE, SIZE), interpolation=method)


def tidied(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W) with its holes filled, without parts smaller than `SPECK` of the largest."""
    outer, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, outer, -1, 1, cv2.FILLED)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(filled, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return (areas > SPECK * areas.max())[parts]


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|) of two masks (H, W); 1 where both are empty (Dice, Ecology 26, 1945)."""
    total = int(mask.sum()) + int(truth.sum())
    return 2 * int((mask & truth).sum()) / total if total else 1.0


def read(folder: Path) -> Manifest:
    """Read a manifest and verify the files that it lists.

    Raises:
        BundleError: missing, damaged, changed or of another format.
    """
    mend = f"Restore the folder {folder}, or make it again with `python -m skin_model segmentation`."
    try:
        raw = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        manifest = Manifest(**raw)
        if manifest.format != FORMAT or set(manifest.files) != set(NAMES):
            raise ValueError("it is of another format")
        changed = [name for name in NAMES if sha256(folder / name) != manifest.files[name]]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BundleError(f"The segmentation cannot be read ({error}). {mend}") from error
    if changed:
        raise BundleError(f"{' and '.join(changed)} of the segmentation was changed or damaged. {mend}")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Hash the network's files and write the manifest, last and by one rename.  Returns it with the hashes."""
    whole = replace(manifest, files={name: sha256(folder / name) for name in NAMES})
    with files.whole(folder / "manifest.json") as partial:
        partial.write_text(json.dumps(asdict(whole), indent=1) + "\n", encoding="utf-8")
    return whole
