"""False discovery corrections against R, scipy and statsmodels."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.stats.false_discovery import benjamini_hochberg, benjamini_yekutieli

R = dict(
    line.split(",")
    for line in (Path(__file__).parent / "reference/comparisons.csv").read_text("utf-8").split()[1:]
)
P = np.array([0.011, 0.04, 0.0007, 0.04, 0.6, 0.012, 1.0, 0.0])
BOTH: dict[Literal["bh", "by"], Callable[[np.ndarray], np.ndarray]] = {
    "bh": benjamini_hochberg,
    "by": benjamini_yekutieli,
}


@pytest.mark.parametrize("name", BOTH)
def test_as_r(name: Literal["bh", "by"]) -> None:
    np.testing.assert_allclose(BOTH[name](P), [float(R[f"{name}.{i}"]) for i in range(1, 9)], rtol=1e-12)


@pytest.mark.parametrize("name", BOTH)
@settings(deadline=None, max_examples=60)
@given(values=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_as_scipy_and_statsmodels(name: Literal["bh", "by"], values: list[float]) -> None:
    found = BOTH[name](np.array(values))
    np.testing.assert_allclose(found, false_discovery_control(values, method=name), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(found, multipletests(values, method=f"fdr_{name}")[1], rtol=1e-12, atol=1e-300)
    # It corrects no less than not at all, and the first no more than Holm, who bounds any false rejection.
    assert (found >= np.array(values) * (1 - 1e-12)).all()
    if name == "bh":
        assert (found <= stats.holm(np.array(values)) * (1 + 1e-12)).all()


@pytest.mark.parametrize("name", BOTH)
def test_order_is_kept_and_none_is_none(name: Literal["bh", "by"]) -> None:
    order = np.random.default_rng(0).permutation(len(P))
    np.testing.assert_array_equal(BOTH[name](P[order]), BOTH[name](P)[order])
    assert BOTH[name](np.array([])).shape == (0,)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([0.1, np.nan], "scores_nan"),
        ([0.1, 1.1], "p_out_of_range"),
        ([-0.1], "p_out_of_range"),
        ([np.inf], "p_out_of_range"),
    ],
)
def test_what_is_no_p_value_is_an_error(name: Literal["bh", "by"], values: list[float], code: str) -> None:
    with pytest.raises(StatsError) as caught:
        BOTH[name](np.array(values))
    assert caught.value.code == code
