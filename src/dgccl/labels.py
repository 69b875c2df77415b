"""The user's own tables: outcomes of patients or lesions, and lesions given as points and diameters."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dgccl.errors import CohortError
from dgccl.types import PointMm


@dataclass(frozen=True)
class PatientLabels:
    """What the label table says of one patient.

    Attributes:
        study_code: the only identifier that leaves ingestion.
        labels: label of each lesion name; the key "" stands for every lesion not named.
        site: hospital, empty if not given.
    """

    study_code: str
    labels: dict[str, int]
    site: str = ""

    def label_of(self, lesion: str) -> int:
        """Label of a lesion.

        Raises:
            CohortError: the table names other lesions of the patient, but not this one.
        """
        for name in (lesion, ""):
            if name in self.labels:
                return self.labels[name]
        raise CohortError(
            "lesion_without_label",
            f"Lesion {lesion!r} has no row in the label table, which names {', '.join(sorted(self.labels))}.",
            remedy="Name each lesion in the column `lesion`, or give one row without lesion for the whole patient.",
        )


@dataclass(frozen=True, eq=False)
class PointLesion:
    """A lesion given as a center (LPS mm) and a diameter."""

    name: str
    center_mm: PointMm
    diameter_mm: float


def read_labels(path: Path, *, column: str = "") -> dict[str, PatientLabels]:
    """Read the table of outcomes.

    Columns: `patient_id` (as in the images' PatientID), the label column (whole numbers from 0; 0 benign,
    1 malignant), and optionally `lesion`, `site` and `study_code`. Without `study_code` the patient_id itself
    is taken as the study code and is written to the cohort.

    Args:
        path: CSV file.
        column: name of the label column; empty means `label`, or the only column beside the known ones.

    Returns:
        Labels by patient_id.

    Raises:
        CohortError: the file or a column is missing, a label is no whole number, or a row contradicts another.
    """
    table = _read_table(path, needed=("patient_id",))
    if table.empty:
        raise CohortError("labels_empty", f"{path.name} has no rows.", remedy="Add a row for each patient.")
    column = column or _only_label_column(path, list(table.columns))
    if column not in table.columns:
        raise CohortError(
            "label_column_missing",
            f"{path.name} has no column {column!r}; its columns are {', '.join(table.columns)}.",
            remedy="Name the column with --label-column.",
        )
    numbers = pd.to_numeric(table[column], errors="coerce")
    bad = table.index[numbers.isna() | (numbers % 1 != 0) | (numbers < 0)]
    if len(bad):
        raise CohortError(
            "label_not_a_class",
            f"{path.name}, row {bad[0] + 2}: {column} is {table.loc[bad[0], column]!r}, no whole number from 0.",
            remedy="Code the outcome as 0 (benign) and 1 (malignant).",
        )
    table = table.assign(label=numbers.astype(int))
    for name in ("lesion", "site", "study_code"):
        if name not in table.columns:
            table[name] = ""
    codes = table["study_code"].where(table["study_code"] != "", table["patient_id"])
    table = table.assign(study_code=codes)
    _check_rows(path, table)
    return {
        str(patient): PatientLabels(
            study_code=rows["study_code"].iloc[0],
            labels={str(k): int(v) for k, v in zip(rows["lesion"], rows["label"], strict=True)},
            site=rows["site"].iloc[0],
        )
        for patient, rows in table.groupby("patient_id")
    }


def _only_label_column(path: Path, columns: list[str]) -> str:
    """`label` if it is there, else the only column that has no other meaning."""
    others = [name for name in columns if name not in ("patient_id", "lesion", "site", "study_code")]
    if "label" in others:
        return "label"
    if len(others) == 1:
        return others[0]
    raise CohortError(
        "label_column_unclear",
        f"{path.name} has no column `label`, and {len(others)} columns could be it: {', '.join(others) or 'none'}.",
        remedy="Name the column with --label-column.",
    )


def _check_rows(path: Path, table: pd.DataFrame) -> None:
    """Refuse repeated lesions, one study code for two patients, and codes that cannot name a file."""
    repeated = table.duplicated(["patient_id", "lesion"])
    if repeated.any():
        raise CohortError(
            "duplicate_lesion_id",
            f"{path.name}, row {int(repeated.to_numpy().argmax()) + 2}: this patient and lesion stand there twice.",
            remedy="Keep one row for each lesion.",
        )
    pairs = table[["patient_id", "study_code"]].drop_duplicates()
    if pairs["study_code"].duplicated().any() or pairs["patient_id"].duplicated().any():
        raise CohortError(
            "study_code_not_unique",
            f"{path.name}: patients and study codes do not match one to one.",
            remedy="Give each patient exactly one study code.",
        )
    odd = table.index[~table["study_code"].str.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]*")]
    if len(odd):
        raise CohortError(
            "study_code_not_a_name",
            f"{path.name}, row {odd[0] + 2}: a study code must be letters, digits, '.', '_' or '-'.",
            remedy="Add a column `study_code` with such a code for each patient.",
        )


def read_points(path: Path) -> dict[str, list[PointLesion]]:
    """Read lesions given as points: columns patient_id, x_mm, y_mm, z_mm (LPS), diameter_mm, and optionally lesion.

    Returns:
        Lesions by patient_id, named by `lesion` or else numbered in the order of the file.

    Raises:
        CohortError: a column is missing, or a value is not a finite number.
    """
    numbers = ("x_mm", "y_mm", "z_mm", "diameter_mm")
    table = _read_table(path, needed=("patient_id", *numbers))
    values = table[list(numbers)].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1) | (values[:, 3] <= 0))
    if len(bad):
        raise CohortError(
            "bad_point",
            f"{path.name}, row {bad[0] + 2}: x_mm, y_mm, z_mm and a positive diameter_mm are needed.",
        )
    points: dict[str, list[PointLesion]] = {}
    for row, number in zip(table.to_dict("records"), values, strict=True):
        lesions = points.setdefault(row["patient_id"], [])
        name = row.get("lesion") or f"lesion_{len(lesions) + 1}"
        lesions.append(PointLesion(name, number[:3].copy(), float(number[3])))
    return points


def _read_table(path: Path, *, needed: tuple[str, ...]) -> pd.DataFrame:
    """A CSV file as text, with the needed columns."""
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False, skipinitialspace=True)
    except FileNotFoundError as error:
        raise CohortError("table_not_found", f"There is no file {path.name}.") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise CohortError(
            "table_unreadable",
            f"{path.name} cannot be read as CSV.",
            remedy="Save it as UTF-8 text with commas.",
        ) from error
    table.columns = [str(name).strip().lstrip("\ufeff") for name in table.columns]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise CohortError(
            "column_missing",
            f"{path.name} lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}.",
        )
    return table.apply(lambda values: values.str.strip())
