"""Everything measured beyond the figures of `evaluate --json`: what report and card say besides."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from skin_model.evaluation.coverage import prediction_sets
from skin_model.evaluation.curves import curves
from skin_model.evaluation.decisions import SENSITIVITY, SPECIFICITY, AtFixedRates, operating_points
from skin_model.evaluation.localisation import Look, localisation
from skin_model.evaluation.reliability import calibration
from skin_model.evaluation.scored import Scored
from skin_model.evaluation.subgroups import subgroups


def measure(
    scored: Scored,
    table: pd.DataFrame,
    *,
    thresholds: dict[str, float],
    sets: dict[str, Any],
    looks: Sequence[Look | None] = (),
) -> dict[str, Any]:
    """The detailed figures of one model on labelled images, as plain JSON types.

    Args:
        scored: the model's answers.
        table: one row per answer; age, sex, localization and dx_type where known.
        thresholds: operating points on the malignant probability by name, the one in use first.
        sets: as `conformal.fit` returns them; empty for a model without prediction sets.
        looks: where the network looked in each image, None where no mask tells; may be empty.

    Returns:
        images, lesions, operating_points, fixed_rates, calibration, prediction_sets (None without), localisation (None
        without masks), subgroups and curves; each single figure as {"value", "interval"}, the interval being 95 %
        bootstrap by lesion.
    """
    in_use = next(iter(thresholds.values()))
    return {
        "images": len(scored),
        "lesions": scored.lesion_count,
        "operating_points": operating_points(scored, thresholds),
        "fixed_rates": {"specificity": SPECIFICITY, "sensitivity": SENSITIVITY}
        | scored.estimates([AtFixedRates(scored)]),
        "calibration": calibration(scored),
        "prediction_sets": prediction_sets(scored, sets),
        "localisation": localisation(scored, looks),
        "subgroups": subgroups(scored, table, threshold=in_use, sets=sets),
        "curves": curves(scored),
    }
