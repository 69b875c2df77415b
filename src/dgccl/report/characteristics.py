"""Table 1: who is in the cohort, by class and by test fold."""

from collections.abc import Sequence

import pandas as pd

from dgccl.cohort import Cohort, image_flag
from dgccl.report import text
from dgccl.report.run_files import RunFiles
from dgccl.report.tables import Table

MEASURES = (
    ("age_years", "Age, years", 0), ("diameter_mm", "Diameter, mm", 1), ("volume_ml", "Volume, ml", 1),
    ("suv_max", "SUVmax, g/mL", 1), ("mtv_ml", "Metabolic tumor volume, ml", 1),
    ("uptake_time_min", "Uptake time, min", 0), ("ct_slice_spacing_mm", "CT slice spacing, mm", 2),
    ("pet_slice_spacing_mm", "PET slice spacing, mm", 2),
)  # fmt: skip
KINDS = (("sex", "Sex"), ("site", "Site"), ("scanner", "Scanner"))
MOST_LEVELS = 8
"""A carried column of more different values than this, and not of numbers, only has its missing ones counted."""
NOTE = "Median [first, third quartile], or lesions (% of the column). No tests: the differences of a cohort are facts."


def by_class(cohort: Cohort, class_names: Sequence[str]) -> Table:
    """The cohort in all and by class."""
    lesions = cohort.lesions
    parts = [lesions, *(lesions.loc[lesions["label"] == label] for label in range(len(class_names)))]
    header = ("Characteristic", "All", *(text.capitalized(name) for name in class_names))
    return Table("The cohort by class", header, _rows(cohort, parts), NOTE)


def by_fold(run: RunFiles, cohort: Cohort) -> Table:
    """The test lesions of every fold."""
    test = run.predictions.loc[run.predictions["split"] == "test", ["lesion_id", "fold"]].drop_duplicates()
    lesions = cohort.lesions.merge(test, on="lesion_id")
    folds = sorted(test["fold"].unique().tolist())
    parts = [lesions.loc[lesions["fold"] == fold] for fold in folds]
    rows = [
        (f"{text.capitalized(name)}, n", *(str(int((part["label"] == label).sum())) for part in parts))
        for label, name in enumerate(run.class_names)
    ]
    header = ("Characteristic", *(f"Fold {fold}" for fold in folds))
    return Table("The test lesions by fold", header, (*rows, *_rows(cohort, parts)), NOTE, folded=True)


def _rows(cohort: Cohort, parts: Sequence[pd.DataFrame]) -> tuple[tuple[str, ...], ...]:
    rows: list[tuple[str, ...]] = [
        ("Lesions, n", *(str(len(part)) for part in parts)),
        ("Patients, n", *(str(part["patient_id"].nunique()) for part in parts)),
        ("Patients with several lesions, n", *(_several(part) for part in parts)),
    ]
    for column, words, digits in MEASURES:
        rows.append((words, *(text.quartiles(part[column].to_numpy(float), digits=digits) for part in parts)))
    others = [(image_flag(name), f"With {text.modality_name(name)}, n") for name in cohort.other_images]
    for column, words in (("has_ct", "With CT, n"), ("has_pet", "With PET, n"), *others):
        rows.append((words, *(str(int(part[column].sum())) for part in parts)))
    for column, words in KINDS:
        rows += _levels(column, words, cohort.lesions, parts)
    for column in cohort.manifest.get("settings", {}).get("clinical", ()):
        rows += _carried(str(column), cohort.lesions, parts)
    return tuple(rows)


def _several(part: pd.DataFrame) -> str:
    return str(int((part["patient_id"].value_counts() > 1).sum()))


def _levels(
    column: str, words: str, lesions: pd.DataFrame, parts: Sequence[pd.DataFrame]
) -> list[tuple[str, ...]]:
    """One row a value of a column, the missing one last."""
    values = sorted(lesions[column].unique().tolist(), key=lambda value: (value == "", value))
    return [
        (f"{words}: {value or 'not recorded'}", *(_share(part[column] == value) for part in parts))
        for value in values
    ]


def _carried(column: str, lesions: pd.DataFrame, parts: Sequence[pd.DataFrame]) -> list[tuple[str, ...]]:
    """Rows of a column that came with the labels: quartiles of numbers, shares of a few words."""
    known = lesions.loc[lesions[column] != "", column]
    numbers = pd.to_numeric(known, errors="coerce")
    if len(known) and numbers.notna().all() and known.nunique() > 2:
        columns = [pd.to_numeric(part[column], errors="coerce").to_numpy(float) for part in parts]
        return [(column, *(text.quartiles(values, digits=1) for values in columns))]
    if known.nunique() <= MOST_LEVELS:
        return _levels(column, column, lesions, parts)
    return [(f"{column}: not recorded", *(_share(part[column] == "") for part in parts))]


def _share(chosen: pd.Series) -> str:
    # The product first: half a percent is then exact, and shares of a half of two groups are not both rounded down.
    return f"{int(chosen.sum())} ({100 * int(chosen.sum()) / len(chosen):.0f}%)" if len(chosen) else "0"
