"""Methods that change the picture and ask the network again, in batches and without TensorFlow: Score-CAM, occlusion.

Every class comes out of the same answers.  Changes of a probability below `LEAST` show nothing: see `normalised`.
"""

import cv2
import numpy as np

from skin_model.explain.activation import normalised
from skin_model.explain.subject import OnProgress, Subject, surroundings

LEAST = 0.01  # one percentage point
CHANNELS = 24  # of Score-CAM's fast variant: one batch with a black picture
CELLS = 8  # of the occlusion map along each side; a patch covers two by two: two batches


def score_cam(subject: Subject, on_progress: OnProgress) -> np.ndarray:
    """Score-CAM (Wang et al., CVPR workshops 2020), fast variant: float32 (K, h, w) in [0, 1].

    Each channel of the feature map, scaled to [0, 1], dims the picture; by how much the class is then likelier than in
    a black picture is the channel's weight (eq. 3).  The fast variant takes only the channels that vary most.
    """
    side = len(subject.square)
    varied = np.argsort(-subject.features.std((0, 1)), kind="stable")
    channels = subject.features[..., varied[:CHANNELS]]  # (h, w, N)
    image = subject.image

    def dimmed(number: int) -> np.ndarray:
        if number == channels.shape[2]:
            return np.zeros_like(image)
        mask = cv2.resize(channels[..., number], (side, side), interpolation=cv2.INTER_LINEAR)
        return image * ((mask - mask.min()) / (np.ptp(mask) or 1))[..., None]

    answers = subject.ask(channels.shape[2] + 1, dimmed, on_progress)
    weights = answers[:-1] - answers[-1]  # (N, K)
    maps = normalised(channels @ weights)
    maps[weights.max(0) < LEAST] = 0
    return maps


def occlusion(subject: Subject, on_progress: OnProgress) -> np.ndarray:
    """How much each class loses where a patch in the colour of the surroundings covers the picture (Zeiler and Fergus,
    ECCV 2014): float32 (K, CELLS, CELLS) in [0, 1], each cell the mean over the patches that cover it.
    """
    edges = np.linspace(0, len(subject.square), CELLS + 1).round().astype(int)
    places = [(row, column) for row in range(CELLS - 1) for column in range(CELLS - 1)]
    image, cover = subject.image, surroundings(subject.square)

    def covered(number: int) -> np.ndarray:
        if number == len(places):
            return image
        row, column = places[number]
        changed = image.copy()
        changed[edges[row] : edges[row + 2], edges[column] : edges[column + 2]] = cover
        return changed

    answers = subject.ask(len(places) + 1, covered, on_progress)
    lost = answers[-1] - answers[:-1]
    total = np.zeros((CELLS, CELLS, answers.shape[1]))
    patches = np.zeros((CELLS, CELLS, 1))
    for (row, column), loss in zip(places, lost, strict=True):
        total[row : row + 2, column : column + 2] += loss
        patches[row : row + 2, column : column + 2] += 1
    return normalised(total / patches, LEAST)
