"""Name -> method: every way of explaining an answer, with what it can show and what it cannot."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skin_model.entities import Explanation
from skin_model.explain import gradients, perturbation, superpixels
from skin_model.explain.subject import OnProgress, Subject
from skin_model.taxonomy import BY_CODE

AllClasses = Callable[[Subject, OnProgress], np.ndarray]  # -> (K, h, w)
OneClass = Callable[[Subject, int, OnProgress], np.ndarray]  # -> (h, w)


@dataclass(frozen=True)
class Method:
    """One way of explaining.

    Attributes:
        name: as its authors write it.
        limits: a line on what it shows and what it cannot show.
        slow: takes seconds, so it waits to be asked for.
        all_classes: makes the maps of all classes at the cost of one; None for a method of one class at a time.
        one_class: makes the map of one class, where `all_classes` is None.
    """

    name: str
    limits: str
    slow: bool = False
    all_classes: AllClasses | None = None
    one_class: OneClass | None = None

    def explain(self, subject: Subject, target: str, on_progress: OnProgress) -> dict[str, Explanation]:
        """The map of `target`, and of every other class that comes at no further cost, by class code."""
        if self.one_class is not None:
            maps = {target: self.one_class(subject, BY_CODE[target].index, on_progress)}
        else:
            assert self.all_classes is not None
            maps = dict(zip(BY_CODE, self.all_classes(subject, on_progress), strict=True))
        return {code: Explanation(self.name, code, heat) for code, heat in maps.items()}


METHODS: dict[str, Method] = {
    "gradcam": Method(
        "Grad-CAM",
        "Shows roughly where the last feature map speaks for the class. Its cells are coarse, so it cannot outline a "
        "structure, and it hides what speaks against the class.",
        all_classes=lambda subject, _: subject.head.gradcam(subject.features),
    ),
    "gradcam++": Method(
        "Grad-CAM++",
        "As Grad-CAM, of channels that speak for the class alone, so several places can show at once. Same coarse "
        "cells. Where the network averages its feature map, as most do, it is the same map as LayerCAM.",
        all_classes=lambda subject, _: subject.head.gradcam_plus_plus(subject.features),
    ),
    "layercam": Method(
        "LayerCAM",
        "Shows every cell of the last feature map that adds to the class. It leaves out whatever subtracts, so it can "
        "look convincing for a class that the network rejects.",
        all_classes=lambda subject, _: subject.head.layercam(subject.features),
    ),
    "scorecam": Method(
        "Score-CAM",
        "Shows regions that, left alone with the rest dimmed, let the class appear. Dimmed pictures are unlike any it "
        "learned from, and only the 24 most varied channels are tried.",
        all_classes=perturbation.score_cam,
    ),
    "occlusion": Method(
        "Occlusion",
        "Shows where covering a patch with the colour of the surrounding skin lowers the class's probability. A sign "
        "that the picture holds twice does not show, since covering one leaves the other.",
        all_classes=perturbation.occlusion,
    ),
    "saliency": Method(
        "Saliency with SmoothGrad",
        "Shows pixels to which the class is sensitive, averaged over noisy copies. It does not say whether a pixel "
        "speaks for the class or against it.",
        slow=True,
        one_class=gradients.smoothgrad,
    ),
    "lime": Method(
        "LIME",
        "Shows patches of similar colour whose presence raises the class's probability, by a linear model fitted to "
        "500 partly hidden pictures. Signs that count only together are missed, and borders are those of the patches.",
        slow=True,
        all_classes=superpixels.lime,
    ),
    "shap": Method(
        "SHAP",
        "Shares the class's probability out among patches of similar colour, fairly over 500 partly hidden pictures. "
        "Such pictures are unlike any it learned from, and borders are those of the patches.",
        slow=True,
        all_classes=superpixels.shap,
    ),
}
