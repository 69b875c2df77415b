import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgccl.errors import TrainingError
from dgccl.report import text


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(0.9155, 2, "0.92"), (-0.0123, 3, "−0.012"), (-0.0001, 3, "0.000"), (None, 3, "not defined"),
     (math.nan, 3, "not defined"), (math.inf, 3, "not defined"), (61.5, 0, "62")],
)  # fmt: skip
def test_number(value: float | None, digits: int, expected: str) -> None:
    assert text.number(value, digits=digits) == expected


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
@settings(deadline=None, max_examples=100)
def test_number_reads_back(value: float, digits: int) -> None:
    read = float(text.number(value, digits=digits, signed=True).replace("−", "-"))
    assert abs(read - value) <= 0.5 * 10**-digits * (1 + 1e-6) + 1e-9 * abs(value)


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.00001, "p < 0.001"), (0.001, "p = 0.001"), (0.25, "p = 0.250"), (None, "p not defined")],
)
def test_p_value(p: float | None, expected: str) -> None:
    assert text.relation(p).replace("\u00a0", " ") == expected


def test_estimate_without_interval() -> None:
    entry = {"estimate": 0.75, "ci_low": None, "ci_high": None}
    assert text.estimate(entry) == "0.750 (no interval)"
    assert text.estimate(None) == "not defined"


def test_quartiles_count_what_is_missing() -> None:
    assert text.quartiles([1.0, 2.0, 3.0, math.nan], digits=1) == "2.0 [1.5, 2.5] (1 missing)"
    assert text.quartiles([math.nan], digits=1) == "not recorded"


@pytest.mark.parametrize(
    ("pattern", "modalities", "expected"),
    [("ct+pet", ["ct", "pet"], "CT + PET"), ("ct", ["ct", "pet"], "PET missing"), ("pet", ["ct", "pet"], "CT missing"),
     ("pet", ["ct", "pet", "mr"], "CT and MR missing")],
)  # fmt: skip
def test_pattern_name(pattern: str, modalities: list[str], expected: str) -> None:
    assert text.pattern_name(pattern, modalities) == expected


def test_unknown_modality_is_refused() -> None:
    with pytest.raises(TrainingError, match="mr"):
        text.pattern_name("mr", ["ct", "pet"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("delong", "DeLong"), ("clustered_logit_delong", "clustered logit DeLong"), ("my_own", "my own")],
)
def test_method_name(name: str, expected: str) -> None:
    assert text.method_name(name) == expected
