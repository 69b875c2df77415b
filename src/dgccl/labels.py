"""The user's own tables: outcomes of patients or lesions, and lesions given as points and diameters."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

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
    """

    study_code: str
    labels: dict[str, int]
    site: str = ""
    outcome: str = "label"

    def label_of(self, lesion: str) -> int:
        """Label of a lesion.

        Raises:
            CohortError: the table names other lesions of the patient, but not this one.
        """
        for name in (_lesion_key(lesion), ""):
            if name in self.labels:
                return self.labels[name]
        raise CohortError(
            "lesion_without_label",
            f"Lesion {lesion!r} has no row in the label table, which names {', '.join(sorted(self.labels))}.",
            remedy="Name each lesion in the column `lesion`, or give one row without lesion for the whole patient.",
        )

    def without(self, words: Iterable[str]) -> "PatientLabels":
        """The same labels with identity words taken out of the lesions' names, as they are out of the outlines'."""
        words = list(words)
        return replace(self, labels={_lesion_key(redact(name, words)): v for name, v in self.labels.items()})


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
    column = "label" if column.lower() == "label" else column or _only_label_column(path, list(table.columns))
    if column not in table.columns:
        raise CohortError(
            "label_column_missing",
            f"{path.name} has no column {column!r}; its columns are {', '.join(table.columns)}.",
            remedy="Name the column with --label-column.",
        )
    numbers = pd.to_numeric(table[column], errors="coerce")
    bad = table.index[numbers.isna() | (numbers % 1 != 0) | (numbers < 0) | (numbers >= MAX_CLASSES)]
    if len(bad):
        raise CohortError(
            "label_not_a_class",
            f"{path.name}, row {bad[0]}: {column} is {table.loc[bad[0], column]!r}, no whole number from 0 "
            f"to {MAX_CLASSES - 1}.",
            remedy="Code the outcome as 0 (benign) and 1 (malignant).",
        )
    table = table.assign(label=numbers.astype(int))
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
        )
        for patient, rows in table.groupby("patient_id")
    }


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
    table = _read_table(path, needed=("patient_id", *numbers), numbers=numbers)
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


def _read_table(path: Path, *, needed: tuple[str, ...], numbers: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table as text, with the needed columns, indexed by line number; rows without any value are left out.

    Commas, semicolons or tabs may separate, and the text may be UTF-8 or UTF-16, as spreadsheets write them.
    Where semicolons separate, a comma in one of the columns `numbers` is a decimal point.
    """
    lines = _decode(path).splitlines(keepends=True)
    first = 0
    while first < len(lines) and (not lines[first].strip() or lines[first].lower().startswith("sep=")):
        first += 1
    if first == len(lines):
        raise _unreadable(path)
    separator = max(",;\t", key=lines[first].count)
    reader = csv.reader(lines[first:], delimiter=separator, skipinitialspace=True, strict=True)
    try:
        rows = [(first + reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise _unreadable(path) from error
    columns = _columns(path, rows[0][1], needed)
    width = len(columns)
    for number, row in rows:
        if any(row[width:]):
            raise CohortError(
                "row_too_long",
                f"{path.name}, row {number} has {len(row)} values for {width} columns.",
                remedy=f"Put double quotes around a value that holds {separator!r}.",
            )
    kept = {number: (row + [""] * width)[:width] for number, row in rows[1:] if any(row)}
    table = pd.DataFrame.from_dict(kept, orient="index", columns=columns, dtype="str")
    if separator == ";":
        found = [name for name in numbers if name in columns]
        table[found] = table[found].apply(lambda values: values.str.replace(",", ".", regex=False))
    return table


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise CohortError(
            "table_not_found", f"There is no file {path.name}.", remedy="Check the path of the table."
        ) from error
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(path) from error
    if "\0" in text:
        raise _unreadable(path)
    return text


def _unreadable(path: Path) -> CohortError:
    return CohortError(
        "table_unreadable",
        f"{path.name} cannot be read as CSV.",
        remedy="Save it as UTF-8 text with commas, a row of column names first.",
    )


def _columns(path: Path, header: list[str], needed: tuple[str, ...]) -> list[str]:
    """Names of the columns; those that mean something to us count in any letter case."""
    while header and not header[-1]:
        header.pop()
    known = {*needed, *_OPTIONAL}
    columns = [name.lower() if name.lower() in known else name for name in header]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise CohortError(
            "column_missing",
            f"{path.name} lacks the column {', '.join(missing)}; it has {', '.join(columns)}.",
            remedy="Name the columns in the first row, separated by commas.",
        )
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise CohortError(
            "column_repeated",
            f"{path.name} has the column {repeated[0]!r} twice.",
            remedy="Keep one column of each name.",
        )
    return columns
