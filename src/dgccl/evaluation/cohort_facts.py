"""Facts of the evaluated lesions that decide how far the figures can be trusted."""

import pandas as pd

from dgccl.evaluation.results import Meta
from dgccl.evaluation.run_tables import RunTables

SMALL_COHORT, SMALL_CLASS = 100, 30
"""Fewer lesions than this, in all or of a class, cannot rank methods: at an AUC of 0.9 the interval of 50 + 50
lesions is still 0.13 wide, several times the differences between methods that are reported."""


def count_classes(rows: pd.DataFrame, class_names: list[str]) -> dict[str, int]:
    """Lesions by class name, in the order of the labels."""
    return {name: int((rows["y_true"] == label).sum()) for label, name in enumerate(class_names)}


def _is_small(counts: dict[str, int]) -> bool:
    return sum(counts.values()) < SMALL_COHORT or min(counts.values()) < SMALL_CLASS


def cohort_warnings(tables: RunTables) -> list[str]:
    """What a reader must know of the lesions before any figure."""
    rows, warnings = tables.cohort, []
    counts, binary = count_classes(rows, tables.class_names), len(tables.class_names) == 2
    if tables.run["data_kind"] == "phantom":
        warnings.append("These are results on a digital phantom. They say nothing about patients.")
    if _is_small(counts):
        *first, last = (f"{n} {name}" for name, n in counts.items())
        warnings.append(
            f"Small cohort: {len(rows)} lesions, {', '.join(first)} and {last} (the rule: fewer than {SMALL_COHORT}, "
            f"or fewer than {SMALL_CLASS} of a class). Intervals are wide; this cohort cannot rank methods."
        )
    warnings += _fold_warnings(rows, tables.class_names)
    patients = rows["patient_id"].nunique()
    if patients < len(rows):
        test = "Kolmogorov-Smirnov" if binary else "Kruskal-Wallis"
        warnings.append(
            f"{len(rows)} lesions come from {patients} patients. Intervals of AUCs and of their differences go by "
            f"patient; Wilson intervals and the {test} test take lesions as independent and are too sure."
        )
    lacking = int((rows["modalities_shown"] != tables.full_pattern).sum())
    if lacking:
        warnings.append(
            f"{lacking} of {len(rows)} lesions lack a modality and were scored from what they have; they are left out "
            "of gate weights, cosines and drops."
        )
    return warnings + _single_model_warnings(tables)


def _fold_warnings(rows: pd.DataFrame, class_names: list[str]) -> list[str]:
    """Which test folds have no AUC of their own, and why."""
    lacking = {
        str(fold): [name for name, n in count_classes(part, class_names).items() if not n]
        for fold, part in rows.groupby("fold")
    }
    if len(class_names) == 2:
        single = [fold for fold, names in lacking.items() if names]
        said = f"Test fold {', '.join(single)} holds one class only and has no AUC of its own."
        return [said] if single else []
    return [
        f"Test fold {fold} lacks {', '.join(names)} and has no macro AUC of its own."
        for fold, names in lacking.items()
        if names
    ]


def _single_model_warnings(tables: RunTables) -> list[str]:
    """Which models judge only a part of the lesions."""
    total, warnings = len(tables.cohort), []
    for model in tables.models:
        n = len(tables.rows(model, split="test", pattern=tables.full_pattern))
        if n < total:
            warnings.append(
                f"{model} judges {n} of {total} lesions, those that have {tables.judged_modality(model)}: its figures, "
                "and its comparison with another model, are of these."
            )
    return warnings


def describe_run(tables: RunTables, *, confidence: float) -> Meta:
    """What was evaluated, and which labels a report must carry."""
    rows, run = tables.cohort, tables.run
    counts = count_classes(rows, tables.class_names)
    bands = ["phantom"] * (run["data_kind"] == "phantom") + ["small_cohort"] * _is_small(counts)
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
        n_by_class=counts,
        folds=tables.folds,
        modalities=tables.modalities,
        confidence=confidence,
        bands=bands,
    )
