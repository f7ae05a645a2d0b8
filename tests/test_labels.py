"""Repeating rare classes inside the training part."""

import numpy as np
import pandas as pd
import pytest

from skin_model.dataset.labels import oversampled

DX = pd.Series(["nv"] * 60 + ["mel"] * 17 + ["df"] * 4, index=range(100, 181))  # labels of rows, not their positions


@pytest.mark.parametrize(("share", "wanted"), [(0, (60, 17, 4)), (0.25, (60, 17, 15)), (1, (60, 60, 60))])
def test_each_class_comes_up_to_the_stated_share_of_the_commonest(share, wanted):
    codes = DX.to_numpy()[oversampled(DX, share, seed=0)]
    assert tuple((codes == code).sum() for code in ("nv", "mel", "df")) == wanted


def test_every_image_is_kept_and_none_is_repeated_once_more_than_needed():
    times = np.bincount(oversampled(DX, 0.5, seed=0), minlength=len(DX))
    assert set(times[:60]) == {1}
    assert set(times[60:77]) == {1, 2}
    assert set(times[77:]) == {7, 8}


def test_the_seed_draws_which_images_are_repeated_once_more():
    first, again, other = (oversampled(DX, 0.5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert sorted(first) != sorted(other)
