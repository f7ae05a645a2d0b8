"""The one place that wires things together: the model in use, loaded once per process, behind the first paint."""

from skin_model.entities import ModelState, ModelSummary

# PLACEHOLDER body, replaced by the integrator; the signature is final.


def model_state() -> ModelState:
    """Tell whether the model is ready; the first call starts loading it in the background and returns at once."""
    evaluation = {
        "n": 1432, "accuracy": 0.8, "balanced_accuracy": 0.75, "macro_auc": 0.96, "macro_f1": 0.70,
        "malignant": {"auc": 0.93, "threshold": 0.2, "sensitivity": 0.95, "specificity": 0.65, "precision": 0.4, "f1": 0.5},
        "per_class": {c: {"recall": 0.7, "precision": 0.7, "f1": 0.7, "auc": 0.95, "n": 100}
                      for c in ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")},
        "intervals": {"balanced_accuracy": [0.70, 0.80], "macro_auc": [0.95, 0.97], "malignant.sensitivity": [0.92, 0.97],
                      "malignant.specificity": [0.62, 0.68], "unit": "lesion"},
    }  # fmt: skip
    return ModelState("ready", summary=ModelSummary("placeholder-0", "mobilenet", 224, 4, 0.2, 0.95, evaluation, "# Card"))
