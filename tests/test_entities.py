"""The values passed between the layers."""

import math
from dataclasses import replace

import numpy as np
import pytest

from skin_model.entities import Patient, Prediction
from skin_model.errors import ConfigurationError
from skin_model.recipe import TrainingConfig
from skin_model.taxonomy import CODES


def answer(threshold: float = 0.5, **probabilities: float) -> Prediction:
    return Prediction(np.array([probabilities.get(code, 0.0) for code in CODES], np.float32), threshold, "a-model")


def test_the_malignant_probability_adds_melanoma_carcinoma_and_actinic_keratosis():
    each = {code: answer(**{code: 1.0}).malignant_probability for code in CODES}
    assert each == {"akiec": 1, "bcc": 1, "bkl": 0, "df": 0, "mel": 1, "nv": 0, "vasc": 0}
    assert answer(mel=0.25, bcc=0.125, akiec=0.0625, nv=0.5625).malignant_probability == 0.4375


def test_a_lesion_is_referred_from_the_threshold_on_even_where_the_likeliest_class_is_benign():
    at, below = answer(threshold=0.25, mel=0.25, nv=0.75), answer(threshold=0.2500001, mel=0.25, nv=0.75)
    assert (at.diagnosis.code, at.refer) == ("nv", True)
    assert not below.refer


def test_probabilities_by_code_keep_each_class_its_own():
    given = {code: (i + 1) / 64 for i, code in enumerate(CODES)}
    assert answer(**given).by_code() == given


@pytest.mark.parametrize("known", [{}, {"age": 0}, {"age": 120}, {"sex": "female"}, {"site": "back"}])
def test_a_patient_may_be_known_in_part(known):
    assert [getattr(Patient(**known), name) for name in known] == list(known.values())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"age": -1}, "120"),
        ({"age": 121}, "120"),
        ({"sex": "unknown"}, "female"),
        ({"site": "knee"}, "lower extremity"),
    ],
)
def test_a_patient_that_cannot_be_is_refused_with_what_is_accepted(wrong, named):
    with pytest.raises(ConfigurationError, match=named):
        Patient(**wrong)


@pytest.mark.parametrize(
    ("name", "bad", "bound"),
    [
        ("size", 31, "32"), ("size", 1025, "1024"), ("epochs", 0, "1"), ("batch", 0, "1"),
        ("learning_rate", 0.0, "1e-07"), ("learning_rate", 1.5, "1.0"), ("learning_rate", math.nan, "1e-07"),
        ("warmup_epochs", -0.1, "0"), ("weight_decay", 1.1, "1"), ("label_smoothing", 0.6, "0.5"),
        ("dropout", 1.0, "0.9"), ("frozen", 1.01, "1"), ("patience", 0, "1"), ("seed", -1, "0"),
        ("average", 1.0, "0.9999"), ("freeze_epochs", -1, "999"), ("oversample_to", 1.1, "1"), ("artefacts", -0.1, "1"),
    ],
)  # fmt: skip
def test_a_setting_out_of_its_range_is_refused_with_its_name_and_bound(name, bad, bound):
    with pytest.raises(ConfigurationError, match=rf"^{name} must lie between .*\b{bound}\b.*{bad}"):
        TrainingConfig(**{name: bad})


@pytest.mark.parametrize("name", ["task", "optimizer", "balance", "augmentation", "monitor", "loss", "mix"])
def test_an_unknown_choice_is_refused_with_the_known_ones(name):
    with pytest.raises(ConfigurationError, match=rf"^{name} must be one of .*{getattr(TrainingConfig(), name)}.*'odd'"):
        replace(TrainingConfig(), **{name: "odd"})


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"loss": "logit-adjusted"}, "Set balance to none"),
        ({"loss": "logit-adjusted", "balance": "oversampling"}, "balanced twice"),
        ({"loss": "focal", "refit": 0.3}, "undo the focal loss. Set refit to 0 or loss to cross-entropy"),
        ({"loss": "logit-adjusted", "balance": "none", "refit": 0.3}, "undo the logit-adjusted loss"),
        ({"oversample_to": 0.5}, "Set balance to oversampling"),
        ({"weight_decay": 0.01}, "Set optimizer to adamw"),
        ({"teacher_share": 0.9}, "Name teachers, or leave it at 0.7"),
        ({"freeze_epochs": 20, "epochs": 20, "weights": "imagenet"}, "Lower freeze_epochs"),
        ({"freeze_epochs": 2}, "Give weights"),
        ({"frozen": 0.28}, "Give weights, or set frozen to 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_with_the_way_out(settings, advice):
    with pytest.raises(ConfigurationError, match=advice):
        TrainingConfig(**settings)
