"""One index of embeddings: which confirmed cases a picture resembles, and how strange it is to what learned from them.

An embedding is compressed to the coordinates on the principal axes of the training lesions' embeddings, in whose
covariance every class weighs the same, or the rare ones would count as strange.  Before that it is brought to unit
length (Sun et al., ICML 2022), of networks side by side each one's part for itself, or the one with larger activations
would drown the other; and the signed square root evens out activations (Perronnin, Sanchez and Mensink, ECCV 2010).

A picture's strangeness is its distance to the nearest training lesions along the strongest axes, scaled to unit
variance (nearest neighbours: Sun et al., ICML 2022), to the mean of all along the others (Mahalanobis: Lee et al.,
NeurIPS 2018), and what no axis holds counts too, scaled alike (the residual: Wang et al., CVPR 2022).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from skin_model.entities import CARE, REFUSED, Finding, SimilarCase
from skin_model.taxonomy import CODES

NEAREST = 16  # as many as classify about as well as the network: Tschandl et al., British J. of Dermatology 2019
AXES = 256  # along which strangeness is told
CASE_AXES = 64  # the strongest of them, along which cases lie: no more of the nearest share a diagnosis with 256
# of the images of new lesions, these shares lie nearer: the other 5 % are used with care, and 0.5 % not judged
CARE_BEYOND, REFUSE_BEYOND = 0.95, 0.995
EXACT = 50_000  # cases up to which every distance is computed, in a few milliseconds
_TINY = 1e-12
_CAREFUL = (
    "The picture is unlike most that the network learned from. Its answer is less reliable for such pictures: rare "
    "diagnoses and unusual light are among the reasons."
)
_REFUSING = (
    "The picture is too unlike any dermoscopic picture that the network learned from, so its answer would mean little. "
    "Give a picture of one skin lesion, taken through a dermatoscope, the lesion in the middle."
)
Search = Callable[[np.ndarray, int], np.ndarray]  # places (N, k), number n -> positions (N, n), the nearest first


@dataclass(frozen=True)
class Axes:
    """The compression of embeddings.

    Attributes:
        widths: how many values of an embedding each of the networks side by side gives, each part brought to unit
            length; none in files of earlier versions, which kept lengths as they were.
        mean: float32 (D,), of the square roots.
        directions: float32 (D, K), orthonormal up to float16, the strongest first.
        variances: float32 (K,), along them.
        rest: variance along each direction that is left out.
    """

    widths: tuple[int, ...]
    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    rest: float

    @classmethod
    def of(
        cls, embeddings: np.ndarray, labels: np.ndarray, widths: Sequence[int] | None = None, count: int = AXES
    ) -> "Axes":
        """The `count` principal axes of embeddings (N, D) with class indices (N,), every class weighing the same.

        Without `widths` the embeddings are of one network alone; with an empty one their lengths stay as they are.
        """
        widths = embeddings.shape[1:] if widths is None else tuple(widths)
        rooted = _rooted(embeddings, widths)
        _, position, counts = np.unique(labels, return_inverse=True, return_counts=True)
        weights = 1 / counts[position] / len(counts)
        mean = weights @ rooted
        centred = rooted - mean
        variances, directions = np.linalg.eigh((centred * weights[:, None]).T @ centred)
        variances = np.maximum(variances[::-1], _TINY)
        # a small network's would be all of its dimensions, and nothing would be left to be strange in
        kept = min(count, len(embeddings) - 1, rooted.shape[1] // 4)
        rest = float(variances[kept:].mean())
        strongest = np.ascontiguousarray(directions[:, ::-1][:, :kept])
        # as a file holds them, so that the limits fit what is read from it
        strongest = strongest.astype(np.float16).astype(np.float32)
        return cls(widths, mean.astype(np.float32), strongest, variances[:kept].astype(np.float32), rest)

    def __call__(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates (N, K) of embeddings (N, D), and the squared length (N,) of what no axis holds."""
        centred = _rooted(embeddings, self.widths) - self.mean
        coordinates = centred @ self.directions
        left = (centred**2).sum(axis=1) - (coordinates**2).sum(axis=1)
        return coordinates, np.maximum(left, 0.0)


def _rooted(embeddings: np.ndarray, widths: Sequence[int]) -> np.ndarray:
    if widths:
        parts = np.split(embeddings, np.cumsum(widths)[:-1], axis=1)
        lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
        embeddings = np.hstack([part / np.maximum(length, _TINY) for part, length in zip(parts, lengths, strict=True)])
    return np.sign(embeddings) * np.sqrt(np.abs(embeddings))


@dataclass(frozen=True)
class Neighbourhood:
    """Where one picture lies.

    Attributes:
        strangeness: distance to what was learned from; see the module.
        similar: the nearest cases, the nearest first.
    """

    strangeness: float
    similar: tuple[SimilarCase, ...]


@dataclass(frozen=True)
class References:
    """The confirmed cases that a model learned from, one picture per lesion, compressed.

    Attributes:
        axes: the compression.
        coordinates: float32 (M, k), along the k strongest of the axes.
        images: image id of each case (M,).
        labels: class indices (M,).
        confirmed: how each diagnosis was confirmed (M,), "" where that is not known.
        usual: distance at which a new lesion's similar cases usually lie.
        limits: strangeness from which on pictures are to be used with care, and not to be judged; None where too few
            new lesions were there to tell.
    """

    axes: Axes
    coordinates: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    confirmed: np.ndarray
    usual: float = 1.0
    limits: tuple[float | None, float | None] = (None, None)

    @classmethod
    def of(
        cls,
        embeddings: np.ndarray,
        labels: np.ndarray,
        images: np.ndarray,
        confirmed: np.ndarray,
        widths: Sequence[int] | None = None,
    ) -> "References":
        """Compress the embeddings (M, D) of confirmed cases; `widths` as of `Axes.of`."""
        axes = Axes.of(embeddings, labels, widths)
        coordinates = axes(embeddings)[0][:, :CASE_AXES].astype(np.float16).astype(np.float32)
        return cls(axes, coordinates, images, labels, confirmed)

    def calibrated(self, embeddings: np.ndarray, lesions: np.ndarray) -> "References":
        """Set the limits by pictures of lesions that were not learned from.

        Args:
            embeddings: (N, D).
            lesions: lesion of each picture (N,); those of one lesion share the weight of one.
        """
        found = self.look_up(embeddings)
        strangeness = np.array([one.strangeness for one in found])
        usual = float(np.median([case.distance for one in found for case in one.similar])) * self.usual
        care, refuse = (_limit(strangeness, lesions, share) for share in (CARE_BEYOND, REFUSE_BEYOND))
        return replace(self, usual=usual, limits=(care, refuse))

    def look_up(self, embeddings: np.ndarray) -> list[Neighbourhood]:
        """Where pictures with the embeddings (N, D) lie."""
        along, left = self.axes(embeddings)
        k = self.coordinates.shape[1]
        places, variances = np.ascontiguousarray(along[:, :k]), self.axes.variances
        unlike_any = (along[:, k:] ** 2 / variances[k:]).sum(axis=1) + left / self.axes.rest
        count = min(NEAREST, len(self.coordinates))
        found = []
        for place, common, nearest in zip(places, unlike_any, self._search(places, count), strict=True):
            apart = self.coordinates[nearest] - place  # (n, k)
            scaled = (apart**2 / variances[:k]).sum(axis=1).mean()
            similar = tuple(
                SimilarCase(str(self.images[i]), CODES[self.labels[i]], str(self.confirmed[i]), float(d) / self.usual)
                for i, d in zip(nearest, np.sqrt((apart**2).sum(axis=1)), strict=True)
            )
            found.append(Neighbourhood(float(np.sqrt(scaled + common)), similar))
        return found

    def finding(self, strangeness: float) -> Finding | None:
        """What the strangeness of a picture leads to."""
        care, refuse = self.limits
        if refuse is not None and strangeness > refuse:
            return Finding("unfamiliar", REFUSED, _REFUSING, strangeness)
        if care is not None and strangeness > care:
            return Finding("unfamiliar", CARE, _CAREFUL, strangeness)
        return None

    def save(self, path: Path) -> None:
        """Write everything as `.npz`, axes and coordinates in half precision."""
        care, refuse = (np.nan if limit is None else limit for limit in self.limits)
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                widths=np.array(self.axes.widths, dtype=np.int64),
                mean=self.axes.mean,
                directions=self.axes.directions.astype(np.float16),
                variances=self.axes.variances,
                scalars=np.array([self.axes.rest, self.usual, care, refuse]),
                coordinates=self.coordinates.astype(np.float16),
                images=np.asarray(self.images, dtype=np.str_),
                labels=np.asarray(self.labels, dtype=np.uint8),
                confirmed=np.asarray(self.confirmed, dtype=np.str_),
            )

    @classmethod
    def load(cls, path: Path) -> "References":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            rest, usual, *limits = file["scalars"].tolist()
            care, refuse = (None if np.isnan(limit) else limit for limit in limits)
            widths = tuple(file["widths"].tolist()) if "widths" in file else ()
            axes = Axes(widths, file["mean"], file["directions"].astype(np.float32), file["variances"], rest)
            coordinates = file["coordinates"].astype(np.float32)
            return cls(axes, coordinates, file["images"], file["labels"], file["confirmed"], usual, (care, refuse))

    @cached_property
    def _search(self) -> Search:
        return (exact if len(self.coordinates) <= EXACT else approximate)(self.coordinates)


def exact(coordinates: np.ndarray) -> Search:
    """A search that computes every distance to the cases (M, k)."""
    lengths = (coordinates**2).sum(axis=1)

    def search(places: np.ndarray, count: int) -> np.ndarray:
        squared = lengths - 2 * places @ coordinates.T  # but for each place's own length
        some = np.argpartition(squared, count - 1, axis=1)[:, :count]
        return np.take_along_axis(some, np.take_along_axis(squared, some, 1).argsort(axis=1), 1)

    return search


def approximate(coordinates: np.ndarray) -> Search:
    """A search among the cases (M, k) of the nearest cells only: 99 of 100 cases found, in a tenth of the time.

    Inverted lists (Jegou, Douze and Schmid, PAMI 2011), by Faiss, which is looked for when first needed; without it
    every distance is computed.
    """
    try:
        import faiss
    except ImportError:
        return exact(coordinates)
    cells = int(np.sqrt(len(coordinates)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(coordinates.shape[1]), coordinates.shape[1], cells)
    index.cp.niter = 10  # more refine the cells, not what is found
    index.train(coordinates[:: max(1, len(coordinates) // (64 * cells))])
    index.add(coordinates)
    index.nprobe = max(32, cells // 16)
    return lambda places, count: index.search(np.ascontiguousarray(places, dtype=np.float32), count)[1]


def _limit(strangeness: np.ndarray, lesions: np.ndarray, share: float) -> float | None:
    """What this share of new lesions' pictures stays below, by split conformal prediction; None with too few lesions.

    Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005.
    """
    _, unit, pictures = np.unique(lesions, return_inverse=True, return_counts=True)
    order = np.argsort(strangeness)
    reached = np.flatnonzero((1 / pictures[unit])[order].cumsum() >= share * (len(pictures) + 1) - 1e-9)
    return float(strangeness[order][reached[0]]) if len(reached) else None
