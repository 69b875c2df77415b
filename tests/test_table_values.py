"""Values of tables: what is a number, a level or missing, and what is refused without telling whose it is."""

import numpy as np
import pandas as pd
import pytest

from dgccl.config import TableConfig
from dgccl.errors import CohortError
from dgccl.table_values import table_values

SMOKING = ("never", "former", "current")
SETTINGS = TableConfig(quantity="table", numbers=("cea_ng_ml", "age_years"), categories={"smoking": SMOKING})


def table(**columns: object) -> pd.DataFrame:
    usual = {
        "patient_id": ["A", "B", "C"],
        "label": [0, 1, 0],
        "cea_ng_ml": ["1.5", "", "2e1"],
        "age_years": [61.0, np.nan, 70.0],
        "smoking": ["never", "", "current"],
    }
    return pd.DataFrame(usual | columns)


def test_numbers_then_levels_by_index_and_nan_where_missing() -> None:
    values = table_values(table(), SETTINGS, name="clinical")
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[1.5, 61.0, 0.0], [np.nan] * 3, [20.0, 70.0, 2.0]])


@pytest.mark.parametrize("missing", ["", " ", "NA", "n/a", "nan", "NaN", None, np.nan])
def test_what_stands_for_an_unknown_value(missing: object) -> None:
    rows = table(cea_ng_ml=["1.5", missing, "2"], smoking=["never", missing, "former"])
    values = table_values(rows, SETTINGS, name="clinical")
    np.testing.assert_array_equal(np.isnan(values), [[False] * 3, [True] * 3, [False] * 3])


def test_a_configured_level_is_a_level_whatever_it_is_called() -> None:
    levels = TableConfig(quantity="table", categories={"stage": ("NA", "I")})
    values = table_values(table(stage=["NA", "I", ""]), levels, name="clinical")
    np.testing.assert_array_equal(values[:, 0], [0.0, 1.0, np.nan])


@pytest.mark.parametrize(
    "column", [[0, 1, 0], [0.0, 1.0, 0.0], ["0", "1", "0"], pd.array([0, 1, 0], "Int64")]
)
def test_levels_may_be_numbers_of_any_type(column: object) -> None:
    settings = TableConfig(quantity="table", numbers=("egfr",), categories={"egfr_": ("1", "0")})
    values = table_values(table(egfr=column, egfr_=column), settings, name="clinical")
    np.testing.assert_array_equal(values, [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("columns", "code", "told"),
    [
        ({"cea_ng_ml": ["1.5", "Smith", "high"]}, "not_a_number", "2 of 3"),
        ({"cea_ng_ml": ["1.5", "2", "1,5"]}, "not_a_number", "row 4"),
        ({"cea_ng_ml": ["1.5", "inf", "-inf"]}, "number_not_finite", "2 infinite"),
        ({"age_years": [1.0, 1e39, 2.0]}, "number_not_finite", "row 3"),
        ({"smoking": ["Never", "Smith", "current"]}, "unknown_level", "never, former, current"),
        ({"smoking": ["x", "x", "current"]}, "unknown_level", "2 of 3 entries (1 different)"),
    ],
)
def test_other_values_are_refused_and_not_told(columns: dict, code: str, told: str) -> None:
    with pytest.raises(CohortError) as caught:
        table_values(table(**columns), SETTINGS, name="clinical")
    assert caught.value.code == code
    assert told in str(caught.value)
    assert "Smith" not in str(caught.value)


def test_a_column_that_is_not_there_is_named_beside_those_that_are() -> None:
    settings = TableConfig(quantity="table", numbers=("nse", "age_years"))
    with pytest.raises(CohortError) as caught:
        table_values(table(), settings, name="clinical")
    assert caught.value.code == "column_absent"
    assert "nse, which" in str(caught.value)
    assert "cea_ng_ml, age_years, smoking" in str(caught.value)


@pytest.mark.parametrize("column", ["label", "patient_id", "lesion_id"])
def test_the_outcome_and_names_are_no_input(column: str) -> None:
    settings = TableConfig(quantity="table", numbers=(column,))
    with pytest.raises(CohortError) as caught:
        table_values(table(), settings, name="clinical")
    assert caught.value.code == "column_not_an_input"
