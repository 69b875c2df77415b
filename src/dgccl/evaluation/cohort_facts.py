"""Facts of the evaluated lesions that decide how far the figures can be trusted."""

import pandas as pd

from dgccl.evaluation.results import Meta
from dgccl.evaluation.run_tables import RunTables

SMALL_COHORT, SMALL_CLASS = 100, 30
"""Fewer lesions than this, in all or of a class, cannot rank methods: at an AUC of 0.9 the interval of 50 + 50
lesions is still 0.13 wide, several times the differences between methods that are reported."""


def _cohort(tables: RunTables) -> pd.DataFrame:
    """The test lesions of the first model, which are those of every model."""
    return tables.rows(tables.models[0], split="test", pattern=tables.full_pattern)


def _is_small(rows: pd.DataFrame) -> bool:
    malignant = int(rows["y_true"].sum())
    return len(rows) < SMALL_COHORT or min(malignant, len(rows) - malignant) < SMALL_CLASS


def cohort_warnings(tables: RunTables) -> list[str]:
    """What a reader must know of the lesions before any figure."""
    rows = _cohort(tables)
    malignant, warnings = int(rows["y_true"].sum()), []
    if tables.run["data_kind"] == "phantom":
        warnings.append("These are results on a digital phantom. They say nothing about patients.")
    if _is_small(rows):
        warnings.append(
            f"Small cohort: {len(rows)} lesions, {malignant} malignant and {len(rows) - malignant} benign (the rule: "
            f"fewer than {SMALL_COHORT}, or fewer than {SMALL_CLASS} of a class). Intervals are wide; this cohort "
            "cannot rank methods."
        )
    single = [str(fold) for fold, part in rows.groupby("fold") if part["y_true"].nunique() < 2]
    if single:
        warnings.append(f"Test fold {', '.join(single)} holds one class only and has no AUC of its own.")
    patients = rows["patient_id"].nunique()
    if patients < len(rows):
        warnings.append(
            f"{len(rows)} lesions come from {patients} patients. Intervals of AUCs and of their differences go by "
            "patient; Wilson intervals and the Kolmogorov-Smirnov test take lesions as independent and are too sure."
        )
    lacking = int((rows["modalities_shown"] != tables.full_pattern).sum())
    if lacking:
        warnings.append(
            f"{lacking} of {len(rows)} lesions lack a modality and were scored from what they have; they are left out "
            "of gate weights, cosines and drops."
        )
    return warnings


def describe_run(tables: RunTables, *, confidence: float) -> Meta:
    """What was evaluated, and which labels a report must carry."""
    rows, run = _cohort(tables), tables.run
    malignant = int(rows["y_true"].sum())
    bands = ["phantom"] * (run["data_kind"] == "phantom") + ["small_cohort"] * _is_small(rows)
    command = run["command"]
    return Meta(
        run=tables.name,
        config_name=str(run["config_name"]),
        data_kind=str(run["data_kind"]),
        seed=int(run["seed"]),
        dgccl_version=str(run["dgccl_version"]),
        cohort_sha256=str(run["cohort_sha256"]),
        command=command if isinstance(command, str) else " ".join(map(str, command)),
        n_lesions=len(rows),
        n_patients=int(rows["patient_id"].nunique()),
        n_malignant=malignant,
        n_benign=len(rows) - malignant,
        folds=tables.folds,
        modalities=tables.modalities,
        confidence=confidence,
        bands=bands,
    )
