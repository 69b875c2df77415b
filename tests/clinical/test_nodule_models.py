"""The published nodule models: their coefficients by hand, and what a cohort's columns must hold for them."""

import numpy as np
import pandas as pd
import pytest

from dgccl.clinical import (
    COMPARATORS,
    brock_probability,
    comparator_probabilities,
    herder_probability,
    mayo_probability,
)
from dgccl.config import PUBLISHED_MODELS
from dgccl.errors import CohortError, StatsError

BY_NAME = {comparator.name: comparator for comparator in COMPARATORS}
ROW = {
    "age_years": 65.0,
    "sex": "F",
    "smoking": "former",
    "cancer_history": "no",
    "diameter_mm": 15.0,
    "spiculation": "yes",
    "lobe": "RUL",
    "family_history": "no",
    "emphysema": "yes",
    "nodule_type": "part-solid",
    "nodule_count": "1",
    "suv_max": 4.0,
    "fdg_uptake": "moderate",
}


def log_odds(p: float) -> float:
    return float(np.log(p / (1.0 - p)))


def table(*changes: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([ROW | change for change in changes or ({},)])


def probability(name: str, lesions: pd.DataFrame) -> np.ndarray:
    found = comparator_probabilities(lesions, BY_NAME[name])
    assert isinstance(found, np.ndarray)
    return found


def test_mayo_by_hand() -> None:
    """-6.8272 + 0.0391 * 65 + 0.7917 + 0.1274 * 15 + 1.0407 + 0.7838 = 0.2415"""
    found = probability("mayo", table())
    assert log_odds(found[0]) == pytest.approx(0.2415, abs=1e-9)
    assert log_odds(probability("mayo", table({"cancer_history": "yes"}))[0]) == pytest.approx(
        1.5803, abs=1e-9
    )


def test_herder_by_hand() -> None:
    """-4.739 + 3.691 * p + 4.617, p being 1 / (1 + exp(-0.2415))"""
    found = probability("herder", table())
    assert log_odds(found[0]) == pytest.approx(-0.122 + 3.691 / (1 + np.exp(-0.2415)), abs=1e-9)


def test_brock_by_hand() -> None:
    """Log odds of a woman of 65 with emphysema and one part-solid spiculated nodule of 15 mm, in the upper lobe."""
    size = -5.3854 * (0.816496580927726 - 1.58113883)
    expected = 0.0861 + 0.6011 + 0.2953 + size + 0.377 + 0.6581 + 0.2472 + 0.7729 - 6.7892
    assert log_odds(probability("brock", table())[0]) == pytest.approx(expected, abs=1e-9)
    reference = table(
        {
            "age_years": 62.0,
            "sex": "M",
            "emphysema": "no",
            "diameter_mm": 4.0,
            "nodule_type": "solid",
            "lobe": "lower",
            "nodule_count": "4",
            "spiculation": "no",
        }
    )
    assert log_odds(probability("brock", reference)[0]) == pytest.approx(-6.7892, abs=1e-6)


def test_configurations_know_their_names() -> None:
    assert tuple(comparator.name for comparator in COMPARATORS) == PUBLISHED_MODELS


SECOND_SOURCE = {
    "mayo": {
        "age_years": 0.0391,
        "ever_smoker": 0.7917,
        "cancer_history": 1.3388,
        "upper_lobe": 0.7838,
        "diameter_mm": 0.1274,
        "spiculation": 1.0407,
    },
    "brock": {
        "age_years": 0.0287,
        "female": 0.6011,
        "family_history": 0.2961,
        "emphysema": 0.2953,
        "upper_lobe": 0.6581,
        "size": -5.3854,
        "spiculation": 0.7729,
        "part_solid": 0.377,
        "nonsolid": -0.1276,
        "nodule_count": -0.0824,
    },
}
"""Coefficients as they are printed in Eur Radiol 29 (2019) 5367-5377, doi 10.1007/s00330-019-06168-x, table 2. Its
Brock model is not centered (intercept 0.2761). Its Mayo intercept, -6.872, lacks a digit of Swensen's -6.8272."""
ANYBODY = {
    "mayo": {
        "age_years": 70.0,
        "ever_smoker": 1.0,
        "cancer_history": 0.0,
        "upper_lobe": 1.0,
        "diameter_mm": 12.0,
        "spiculation": 0.0,
    },
    "brock": {
        "age_years": 70.0,
        "female": 1.0,
        "family_history": 1.0,
        "emphysema": 0.0,
        "upper_lobe": 1.0,
        "size": 12.0,
        "spiculation": 1.0,
        "part_solid": 0.0,
        "nonsolid": 1.0,
        "nodule_count": 3.0,
    },
}


def test_brock_agrees_with_a_second_printed_source() -> None:
    values = dict(ANYBODY["brock"], size=(ANYBODY["brock"]["size"] / 10) ** -0.5)
    expected = 0.2761 + sum(SECOND_SOURCE["brock"][name] * value for name, value in values.items())
    yes = np.array([True])
    found = brock_probability(
        age_years=np.array([70.0]), female=yes, family_history=yes, emphysema=~yes, diameter_mm=np.array([12.0]),
        nodule_type=np.array(["nonsolid"]), upper_lobe=yes, nodule_count=np.array([3]), spiculation=yes,
    )  # fmt: skip
    # The printed intercept has four decimals.
    assert log_odds(found[0]) == pytest.approx(expected, abs=1e-4)


def test_mayo_agrees_with_a_second_printed_source() -> None:
    expected = -6.8272 + sum(SECOND_SOURCE["mayo"][name] * value for name, value in ANYBODY["mayo"].items())
    yes = np.array([True])
    found = mayo_probability(
        age_years=np.array([70.0]), ever_smoker=yes, cancer_history=~yes, diameter_mm=np.array([12.0]),
        spiculation=~yes, upper_lobe=yes,
    )  # fmt: skip
    assert log_odds(found[0]) == pytest.approx(expected, abs=1e-9)


RISKIER = [
    ("mayo", {"smoking": "never"}, {"smoking": "current"}),
    ("mayo", {"lobe": "RML"}, {"lobe": "LUL"}),
    ("mayo", {"diameter_mm": 8.0}, {"diameter_mm": 20.0}),
    ("herder", {"fdg_uptake": "none"}, {"fdg_uptake": "faint"}),
    ("herder", {"fdg_uptake": "moderate"}, {"fdg_uptake": "intense"}),
    ("brock", {"nodule_type": "ground glass"}, {"nodule_type": "solid"}),
    ("brock", {"nodule_type": "solid"}, {"nodule_type": "part_solid"}),
    ("brock", {"nodule_count": "6"}, {"nodule_count": "1"}),
    ("brock", {"sex": "M"}, {"sex": "F"}),
    ("brock", {"family_history": "0"}, {"family_history": "1"}),
]


@pytest.mark.parametrize(("name", "low", "high"), RISKIER)
def test_what_is_riskier(name: str, low: dict[str, object], high: dict[str, object]) -> None:
    found = probability(name, table(low, high))
    assert 0.0 < found[0] < found[1] < 1.0


def test_uptake_is_graded_from_the_blood_pool() -> None:
    lesions = pd.DataFrame(
        [ROW | {"suv_max": suv, "suv_blood_pool": "2.0"} for suv in (1.5, 2.0, 2.1, 5.9, 6.0)]
    ).drop(columns="fdg_uptake")
    graded = [ROW | {"fdg_uptake": grade} for grade in ("faint", "faint", "moderate", "moderate", "intense")]
    np.testing.assert_allclose(probability("herder", lesions), probability("herder", pd.DataFrame(graded)))


def test_what_is_lacking_is_named() -> None:
    lesions = table().drop(columns=["smoking", "fdg_uptake"])
    assert comparator_probabilities(lesions, BY_NAME["herder"]) == ("smoking", "fdg_uptake|suv_blood_pool")
    assert isinstance(comparator_probabilities(lesions, BY_NAME["brock"]), np.ndarray)


def test_lesions_that_lack_a_value_have_no_probability() -> None:
    found = probability("mayo", table({}, {"smoking": ""}, {"age_years": np.nan}, {"lobe": "NA"}))
    assert np.isfinite(found).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"lobe": "tongue"}, "predictor_unknown"),
        ({"smoking": "sometimes"}, "predictor_unknown"),
        ({"diameter_mm": "large"}, "predictor_not_number"),
    ],
)
def test_words_that_mean_nothing_are_errors(change: dict[str, object], code: str) -> None:
    with pytest.raises(CohortError) as caught:
        comparator_probabilities(table(change), BY_NAME["mayo"])
    assert caught.value.code == code


def test_formulas_refuse_what_is_no_measurement() -> None:
    yes, one = np.array([True]), np.array([1.0])
    finding = {"ever_smoker": yes, "cancer_history": yes, "spiculation": yes, "upper_lobe": yes}
    for values in ({"age_years": -one, "diameter_mm": one}, {"age_years": one, "diameter_mm": one * np.nan}):
        with pytest.raises(StatsError):
            mayo_probability(**values, **finding)
    with pytest.raises(StatsError):
        herder_probability(one * 1.2, uptake=np.array(["faint"]))
    with pytest.raises(StatsError):
        brock_probability(
            age_years=one,
            female=yes,
            family_history=yes,
            emphysema=yes,
            diameter_mm=one * 0.0,
            nodule_type=np.array(["solid"]),
            upper_lobe=yes,
            nodule_count=np.array([1]),
            spiculation=yes,
        )
