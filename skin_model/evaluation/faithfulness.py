"""Does one map of one picture tell the truth?  Measured by asking the network, never by how convincing it looks."""

from collections.abc import Sequence

import cv2
import numpy as np

from skin_model.evaluation.localisation import blob
from skin_model.explain.subject import Subject

STEPS = 10  # of each curve, of equal numbers of pixels
BLUR = 0.1  # of the side: standard deviation of the picture's blur from which insertion begins
DEPENDS = 0.25  # least loss of probability that shows a class to depend on what the picture holds
RANDOM_CELLS = 7  # of a random map along each side, as coarse as most networks' feature maps
COMPARED_CELLS = 24  # along each side at most: noise of single pixels is not counted as a change


def depends(subject: Subject, target: int) -> bool:
    """Whether a class hangs on what the picture holds: it is lost both in the blurred and in the plain picture.

    A network has a class that it names where it sees nothing; for that one there is no place to find.
    """
    whole, from_blur, to_plain = subject.ask(3, _ends(subject).__getitem__)[:, target]
    return bool(whole - max(from_blur, to_plain) >= DEPENDS)


def insertion_deletion(
    subject: Subject, target: int, maps: Sequence[np.ndarray], random: np.random.Generator
) -> np.ndarray:
    """Areas under the insertion and deletion curves (Petsiuk et al., RISE, BMVC 2018): float64 (len(maps), 2).

    Insertion puts the map's pixels back into a blurred picture, the strongest first: the class should come early.
    Deletion replaces them by the picture's mean colour: the class should go early.  Where a map is even, the order is
    that of a random map, so that it gains nothing from what it does not say.

    Args:
        subject: picture and network.
        target: index of the class.
        maps: heat maps (h, w) of any size.
        random: source of the order where a map is even.
    """
    side, ends = len(subject.square), _ends(subject)
    image, blurred, plain = ends
    even = _resized(random_map(random), side)
    ranks = [_ranks(_resized(heat, side).astype(np.float64) + 1e-6 * even) for heat in maps]

    def variant(number: int) -> np.ndarray:
        if number < len(ends):
            return ends[number]
        which, rest = divmod(number - len(ends), 2 * (STEPS - 1))
        deleting, step = divmod(rest, STEPS - 1)
        first = (ranks[which] < (step + 1) / STEPS)[..., None]
        return np.where(first, plain, image) if deleting else np.where(first, image, blurred)

    answers = subject.ask(len(ends) + 2 * (STEPS - 1) * len(maps), variant)[:, target].astype(np.float64)
    whole, from_blur, to_plain = answers[: len(ends)]
    inner = answers[len(ends) :].reshape(len(maps), 2, STEPS - 1).sum(2)
    outer = np.array([from_blur + whole, whole + to_plain]) / 2  # trapezoidal rule
    return (inner + outer) / STEPS


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Rank correlation of two maps (h, w) of one grid; 0 where one of them is even."""
    from scipy.stats import rankdata

    side = min(COMPARED_CELLS, *one.shape)
    ranks = [rankdata(_resized(heat, side)) for heat in (one, other)]
    if min(np.ptp(rank) for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def centred_blob(side: int = 32) -> np.ndarray:
    """A blob in the middle, the map of someone who has seen no picture: float32 (side, side)."""
    return blob(side).astype(np.float32)


def random_map(random: np.random.Generator) -> np.ndarray:
    """A map of random cells, float32 (RANDOM_CELLS, RANDOM_CELLS) in [0, 1]."""
    return random.random((RANDOM_CELLS, RANDOM_CELLS), np.float32)


def _ends(subject: Subject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The picture, the blurred one from which insertion begins, and the plain one with which deletion ends."""
    image = subject.image
    blurred = cv2.GaussianBlur(image, (0, 0), BLUR * len(image))
    return image, blurred, np.broadcast_to(image.mean((0, 1)), image.shape)


def _resized(heat: np.ndarray, side: int) -> np.ndarray:
    method = cv2.INTER_AREA if len(heat) > side else cv2.INTER_LINEAR
    return cv2.resize(heat.astype(np.float32), (side, side), interpolation=method)


def _ranks(heat: np.ndarray) -> np.ndarray:
    """Each pixel's place when sorted by heat, the hottest 0, the coldest nearly 1: float (s, s)."""
    places = np.empty(heat.size)
    places[np.argsort(-heat, axis=None, kind="stable")] = np.arange(heat.size) / heat.size
    return places.reshape(heat.shape)
