"""The user's own tables: outcomes of patients or lesions, and lesions given as points and diameters."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from dgccl.cohort import LESION_COLUMNS
from dgccl.csv_table import read_csv_table
from dgccl.dicom.deidentify import redact
from dgccl.errors import CohortError
from dgccl.lesion import lesion_name
from dgccl.types import PointMm

MAX_CLASSES = 100
_OPTIONAL = ("label", "lesion", "site", "study_code")


@dataclass(frozen=True)
class PatientLabels:
    """What the label table says of one patient.

    Attributes:
        study_code: the only identifier that leaves ingestion.
        labels: label of each lesion, by its name in small letters as `lesion_name` makes it; the key "" stands
            for every lesion not named.
        site: hospital, empty if not given.
        outcome: name of the label column.
        clinical: entries of the carried columns as they stand in the table, by lesion as in `labels`.
    """

    study_code: str
    labels: dict[str, int]
    site: str = ""
    outcome: str = "label"
    clinical: dict[str, dict[str, str]] = field(default_factory=dict)

    def label_of(self, lesion: str) -> int:
        """Label of a lesion.

        Raises:
            CohortError: the table names other lesions of the patient, but not this one.
        """
        return self.labels[self._row_of(lesion)]

    def clinical_of(self, lesion: str) -> dict[str, str]:
        """Entries of the carried columns for a lesion, from the row that gives its label; raises as `label_of`."""
        return self.clinical.get(self._row_of(lesion), {})

    def _row_of(self, lesion: str) -> str:
        for name in (_lesion_key(lesion), ""):
            if name in self.labels:
                return name
        raise CohortError(
            "lesion_without_label",
            f"Lesion {lesion!r} has no row in the label table, which names {', '.join(sorted(self.labels))}.",
            remedy="Name each lesion in the column `lesion`, or give one row without lesion for the whole patient.",
        )

    def without(self, words: Iterable[str]) -> "PatientLabels":
        """The same labels with identity words taken out of the lesions' names, as they are out of the outlines'."""
        words = list(words)
        keys = {name: _lesion_key(redact(name, words)) for name in self.labels}
        return replace(
            self,
            labels={keys[name]: label for name, label in self.labels.items()},
            clinical={keys[name]: values for name, values in self.clinical.items()},
        )


@dataclass(frozen=True, eq=False)
class PointLesion:
    """A lesion given as a center (LPS mm) and a diameter."""

    name: str
    center_mm: PointMm
    diameter_mm: float


def read_labels(path: Path, *, column: str = "", clinical: tuple[str, ...] = ()) -> dict[str, PatientLabels]:
    """Read the table of outcomes.

    Columns: `patient_id` (as in the images' PatientID), the label column (whole numbers from 0; 0 benign,
    1 malignant), and optionally `lesion`, `site` and `study_code`. Without `study_code` the patient_id itself
    is taken as the study code and is written to the cohort.

    Args:
        path: CSV file.
        column: name of the label column; empty means `label`, or the only column beside the known ones.
        clinical: further columns to be carried as they stand: clinical values, biomarkers.

    Returns:
        Labels by patient_id.

    Raises:
        CohortError: the file or a column is missing, a label is no whole number, a row contradicts another, or
            a carried column has a name that means something else or holds the patients' ids.
    """
    table = read_csv_table(path, needed=("patient_id",), known=_OPTIONAL)
    if table.empty:
        raise CohortError("labels_empty", f"{path.name} has no rows.", remedy="Add a row for each patient.")
    others = [name for name in table.columns if name == "label" or name not in clinical]
    column = "label" if column.lower() == "label" else column or _only_label_column(path, others)
    if column not in table.columns:
        raise CohortError(
            "label_column_missing",
            f"{path.name} has no column {column!r}; its columns are {', '.join(table.columns)}.",
            remedy="Name the column with --label-column.",
        )
    table = table.assign(label=class_labels(path, table[column]))
    _check_clinical(path, table, clinical, outcome=column)
    for name in ("lesion", "site", "study_code"):
        if name not in table.columns:
            table[name] = ""
    codes = table["study_code"].where(table["study_code"] != "", table["patient_id"])
    table = table.assign(study_code=codes, lesion=table["lesion"].map(_lesion_key))
    _check_rows(path, table)
    return {
        str(patient): PatientLabels(
            study_code=rows["study_code"].iloc[0],
            labels={str(k): int(v) for k, v in zip(rows["lesion"], rows["label"], strict=True)},
            site=rows["site"].iloc[0],
            outcome=column,
            clinical={
                key: dict(zip(clinical, row, strict=True))
                for key, row in zip(rows["lesion"], rows[list(clinical)].itertuples(index=False), strict=True)
            },
        )
        for patient, rows in table.groupby("patient_id")
    }


def class_labels(path: Path, values: pd.Series) -> pd.Series:
    """Classes out of the label column of a table, whose index is the line number.

    Raises:
        CohortError: `label_not_a_class`, an entry is no whole number from 0 to 99.
    """
    numbers = pd.to_numeric(values, errors="coerce")
    bad = values.index[numbers.isna() | (numbers % 1 != 0) | (numbers < 0) | (numbers >= MAX_CLASSES)]
    if len(bad):
        raise CohortError(
            "label_not_a_class",
            f"{path.name}, row {bad[0]}: {values.name} is {values[bad[0]]!r}, no whole number from 0 "
            f"to {MAX_CLASSES - 1}.",
            remedy="Code the outcome as 0 (benign) and 1 (malignant).",
        )
    return numbers.astype(int)


def _check_clinical(path: Path, table: pd.DataFrame, clinical: tuple[str, ...], *, outcome: str) -> None:
    """Refuse columns to be carried that are not there, would stand twice in the lesion table, or name patients."""
    absent = [name for name in clinical if name not in table.columns]
    if absent:
        raise CohortError(
            "column_missing",
            f"{path.name} lacks the column {', '.join(absent)} that is to be carried; it has "
            f"{', '.join(table.columns)}.",
            remedy="Name columns of the label table with --clinical; case and spelling count.",
        )
    clash = [
        name
        for name in clinical
        if name in (*LESION_COLUMNS, *_OPTIONAL, outcome) or clinical.count(name) > 1
    ]
    if clash:
        raise CohortError(
            "clinical_column_clash",
            f"The column {clash[0]} cannot be carried: it is the outcome, stands in the lesion table already, or was "
            "named twice.",
            remedy="Leave it out, or give it another name in the label table.",
        )
    if "study_code" not in table.columns:
        return  # the patient_id itself is what leaves
    for name in clinical:
        same = (table[name].str.lower() == table["patient_id"].str.lower()) & (table[name] != "")
        if same.any():
            raise CohortError(
                "clinical_identifies",
                f"{path.name}: the column {name} repeats the patient_id in {same.sum()} rows (first in row "
                f"{table.index[same][0]}).",
                remedy="Carry only columns that do not tell who a patient is.",
            )


def _lesion_key(name: str) -> str:
    return lesion_name(name).lower() if name else ""


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
            f"{path.name}, row {table.index[repeated][0]}: this patient and lesion stand there twice.",
            remedy="Keep one row for each lesion.",
        )
    pairs = table[["patient_id", "study_code"]].drop_duplicates()
    # Codes name files, and some file systems do not tell letter cases apart.
    if pairs["study_code"].str.lower().duplicated().any() or pairs["patient_id"].duplicated().any():
        raise CohortError(
            "study_code_not_unique",
            f"{path.name}: patients and study codes do not match one to one.",
            remedy="Give each patient exactly one study code.",
        )
    odd = table.index[~table["study_code"].str.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]*")]
    if len(odd):
        raise CohortError(
            "study_code_not_a_name",
            f"{path.name}, row {odd[0]}: a study code must be letters, digits, '.', '_' or '-'.",
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
    table = read_csv_table(path, needed=("patient_id", *numbers), known=_OPTIONAL)
    values = table[list(numbers)].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1) | (values[:, 3] <= 0))
    if len(bad):
        raise CohortError(
            "bad_point",
            f"{path.name}, row {table.index[bad[0]]}: x_mm, y_mm, z_mm and a positive diameter_mm are needed.",
            remedy="Give numbers in mm with a decimal point.",
        )
    points: dict[str, list[PointLesion]] = {}
    for row, number in zip(table.to_dict("records"), values, strict=True):
        lesions = points.setdefault(row["patient_id"], [])
        name = row.get("lesion") or f"lesion_{len(lesions) + 1}"
        lesions.append(PointLesion(name, number[:3].copy(), float(number[3])))
    return points
