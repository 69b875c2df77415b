"""Values of a table modality (clinical data, biomarkers, radiomics) out of the lesion table."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32

from dgccl.config import TableConfig
from dgccl.csv_table import MISSING
from dgccl.errors import CohortError

NO_INPUT = ("label", "lesion_id", "patient_id", "array_sha256")
"""Columns that no network may read: the outcome, and names."""


def table_values(
    lesions: pd.DataFrame, settings: TableConfig, *, name: str
) -> Float32[np.ndarray, "lesion column"]:
    """Numbers and categories of every lesion, in the order of `settings.columns`.

    A cell that is empty, NA, N/A or NaN (in any letter case) is missing; a level that is so called in the
    configuration is a level all the same.

    Args:
        lesions: lesion table, as `open_cohort` reads it or with columns of numbers.
        settings: which columns hold numbers, and which hold categories of what levels.
        name: of the modality, for messages.

    Returns:
        Numbers in the unit of their column, categories as the index of their level; NaN where missing.

    Raises:
        CohortError: `column_absent`, `column_not_an_input` (label, ids), `not_a_number`, `number_not_finite`,
            or `unknown_level`. Messages give counts and rows, never a value, which may be a patient's name.
    """
    forbidden = [column for column in settings.columns if column in NO_INPUT]
    if forbidden:
        raise CohortError(
            "column_not_an_input",
            f"Modality {name} is to read {', '.join(forbidden)}, which is the outcome or a name.",
            remedy="Remove it from the configuration: a network that reads the outcome learns nothing else.",
        )
    absent = [column for column in settings.columns if column not in lesions.columns]
    if absent:
        offered = [column for column in lesions.columns if column not in NO_INPUT]
        raise CohortError(
            "column_absent",
            f"Modality {name} is to read {', '.join(absent)}, which the lesion table lacks; it has "
            f"{', '.join(offered)}.",
            remedy="Correct the configuration, or ingest again and carry the column by --clinical.",
        )
    columns = [_numbers(lesions[column], column) for column in settings.numbers]
    columns += [_levels(lesions[column], column, levels) for column, levels in settings.categories.items()]
    return np.stack(columns, axis=1)


def _numbers(values: pd.Series, column: str) -> Float32[np.ndarray, "lesion"]:
    words = _words(values)
    missing = _missing(words)
    numbers = pd.to_numeric(words.where(~missing), errors="coerce").to_numpy(np.float64)
    bad = np.isnan(numbers) & ~missing
    if bad.any():
        raise CohortError(
            "not_a_number",
            f"Column {column} is to hold numbers, but {bad.sum()} of {len(values)} entries are none (first in "
            f"row {_first(bad)} of the lesion table).",
            remedy="Write numbers with a decimal point and without a unit, leave unknown ones empty, or name the "
            "column among the categories.",
        )
    with np.errstate(over="ignore"):  # what single precision cannot hold is refused below
        single = numbers.astype(np.float32)
    infinite = np.isinf(single)
    if infinite.any():
        raise CohortError(
            "number_not_finite",
            f"Column {column} holds {infinite.sum()} infinite or too large numbers (first in row "
            f"{_first(infinite)} of the lesion table).",
            remedy="Leave the cell empty where the value is not known.",
        )
    return single


def _levels(values: pd.Series, column: str, levels: tuple[str, ...]) -> Float32[np.ndarray, "lesion"]:
    words = _words(values)
    index = words.map({level: float(place) for place, level in enumerate(levels)}).to_numpy(np.float32)
    unknown = np.isnan(index) & ~_missing(words)
    if unknown.any():
        different = words[unknown].nunique()
        raise CohortError(
            "unknown_level",
            f"Column {column} has {unknown.sum()} of {len(values)} entries ({different} different) that are none of "
            f"the configured levels {', '.join(levels)} (first in row {_first(unknown)} of the lesion table).",
            remedy="Add the level to the configuration, or correct the table; case and spelling count.",
        )
    return index


def _words(values: pd.Series) -> pd.Series:
    """Entries as text, as a table on disk would hold them: whole numbers without a decimal point."""
    if pd.api.types.is_float_dtype(values):
        return values.map(lambda value: "" if pd.isna(value) else f"{value:.17g}").astype(str)
    return values.astype(object).where(values.notna(), "").astype(str).str.strip()


def _missing(words: pd.Series) -> Bool[np.ndarray, "lesion"]:
    return words.str.lower().isin(MISSING).to_numpy(bool)


def _first(bad: Bool[np.ndarray, "lesion"]) -> int:
    """Row of a table whose first row is the header, as spreadsheets count."""
    return int(np.flatnonzero(bad)[0]) + 2
