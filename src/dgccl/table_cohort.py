"""Values without images: a CSV file of radiomics features, biomarkers or clinical data, opened as a cohort."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from dgccl.cohort import (
    FLAG_COLUMNS,
    LESION_COLUMNS,
    NUMBER_COLUMNS,
    QC_COLUMNS,
    TABLE_SOURCE,
    Cohort,
    open_cohort,
)
from dgccl.csv_table import MISSING, read_csv_table
from dgccl.errors import CohortError
from dgccl.labels import class_labels

DataKind = Literal["real", "phantom"]
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")

OF_IMAGES = (*FLAG_COLUMNS, "qc", "array_sha256", "box_mm", "ct_spacing_mm", "pet_spacing_mm")
"""Columns that only ingestion can fill."""


def is_table(path: Path) -> bool:
    """Whether a path is that of a table rather than of a cohort folder, be it there or not."""
    return not path.is_dir() and path.suffix.lower() in TABLE_SUFFIXES


def open_data(path: Path, *, data_kind: DataKind | None) -> Cohort:
    """Open a cohort folder, which states what kind of data it holds, or a CSV file, of which it must be stated.

    Raises:
        CohortError: `data_kind_missing`, `data_kind_stated_twice`, or what `open_cohort` and `open_table_cohort`
            raise.
    """
    if is_table(path):
        if data_kind is None:
            raise CohortError(
                "data_kind_missing",
                f"{path.name} does not say whether its rows are of patients or of a phantom.",
                remedy="State it by --data-kind real or --data-kind phantom.",
            )
        return open_table_cohort(path, data_kind=data_kind)
    if data_kind is not None:
        raise CohortError(
            "data_kind_stated_twice",
            f"--data-kind {data_kind} was given, but a cohort folder states its own kind of data.",
            remedy="Leave --data-kind out.",
        )
    return open_cohort(path)


def open_table_cohort(path: Path, *, data_kind: DataKind) -> Cohort:
    """Open a CSV file as a cohort whose lesions have values and no images.

    Columns: `patient_id`, `label` (whole numbers from 0; 0 benign, 1 malignant), optionally `lesion_id` (else a
    patient has one row, and patient_id names it), `site`, and any others. Commas, semicolons or tabs separate.
    Columns that a cohort folder knows, such as age_years or suv_max, must hold numbers.

    Args:
        path: CSV file, which is only read; patient_id and lesion_id go into the run as they stand.
        data_kind: whether the rows are of patients or simulated.

    Returns:
        A cohort whose lesion table has every column of `LESION_COLUMNS`, empty where the file lacks it, and the
        file's other columns as text.

    Raises:
        CohortError: a column is missing or only ingestion can fill it, an id is empty or repeated, a label is no
            class, or a known column holds no number.
    """
    table = read_csv_table(path, needed=("patient_id", "label"), known=("lesion_id", "site"))
    _check_columns(path, table)
    if "lesion_id" not in table.columns:
        table["lesion_id"] = table["patient_id"]
    _check_ids(path, table)
    table["label"] = class_labels(path, table["label"])
    lesions = pd.DataFrame({name: _column(path, table, name) for name in LESION_COLUMNS})
    others = [name for name in table.columns if name not in LESION_COLUMNS]
    lesions = pd.concat([lesions, table[others]], axis=1).reset_index(drop=True)
    manifest = {
        "format": 1,
        "source": TABLE_SOURCE,
        "data_kind": data_kind,
        "outcome": "label",
        "file": path.name,
        "columns": list(table.columns),
    }
    return Cohort(path, lesions, pd.DataFrame(columns=list(QC_COLUMNS), dtype="str"), manifest)


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    if table.empty:
        raise CohortError("labels_empty", f"{path.name} has no rows.", remedy="Add a row for each lesion.")
    of_images = [name for name in OF_IMAGES if name in table.columns]
    if of_images:
        raise CohortError(
            "column_of_images",
            f"{path.name} has the column {', '.join(of_images)}, which tells of ingested images; a table without "
            "images was expected.",
            remedy="Give the cohort folder to train with its images, or leave these columns out.",
        )


def _check_ids(path: Path, table: pd.DataFrame) -> None:
    for name in ("patient_id", "lesion_id"):
        empty = table.index[table[name] == ""]
        if len(empty):
            raise CohortError(
                "id_missing",
                f"{path.name}, row {empty[0]}: {name} is empty ({len(empty)} such rows).",
                remedy="Give every row its ids.",
            )
    repeated = table.index[table["lesion_id"].duplicated()]
    if len(repeated):
        raise CohortError(
            "duplicate_lesion_id",
            f"{path.name}, row {repeated[0]}: this lesion stands there twice ({len(repeated)} rows repeat one).",
            remedy="Keep one row for each lesion; patients with several need a column lesion_id.",
        )


def _column(path: Path, table: pd.DataFrame, name: str) -> pd.Series:
    """One column of the lesion table, empty where the file has none."""
    if name in FLAG_COLUMNS:
        return pd.Series(False, index=table.index)
    if name not in NUMBER_COLUMNS:
        return table[name] if name in table.columns else pd.Series("", index=table.index, dtype="str")
    if name not in table.columns:
        return pd.Series(np.nan, index=table.index)
    words = table[name].where(~table[name].str.lower().isin(MISSING))
    numbers = pd.to_numeric(words, errors="coerce")
    bad = numbers.index[(numbers.isna() & words.notna()) | np.isinf(numbers)]
    if len(bad):
        raise CohortError(
            "not_a_number",
            f"{path.name}, row {bad[0]}: {name} must be a number or empty ({len(bad)} such rows).",
            remedy="Write numbers with a decimal point and without a unit, or give the column another name.",
        )
    return numbers.astype(np.float64)
