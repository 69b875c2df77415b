"""AUROCs of a run, of two classes or more: within folds, by patient, or as much of them as is defined."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.evaluation.figure import Comparison, Drop, Figure
from dgccl.evaluation.run_tables import RunTables

CONFIDENCE = 0.95
UNDEFINED_ON_DATA = ("one_class", "class_absent", "too_few_cases", "no_variance")
"""Codes of statistics that a sound but small run can leave undefined; any other error is a fault of the run."""


def note(error: StatsError, what: str, warnings: list[str]) -> None:
    """Turn a statistic that the data leave undefined into a warning; raise any other error again."""
    if error.code not in UNDEFINED_ON_DATA:
        raise error
    warnings.append(f"{what} is not fully defined: {error.message}")


def undefined(n: int) -> Figure:
    """A figure that the data leave undefined."""
    return Figure(None, None, None, "not_defined", n)


def figure_of(found: stats.Estimate) -> Figure:
    """An estimate as results hold it."""
    return Figure(found.estimate, found.ci_low, found.ci_high, found.method, found.n)


def auroc(
    rows: pd.DataFrame,
    columns: list[str],
    what: str,
    warnings: list[str],
    *,
    method: Literal["delong", "logit"] = "logit",
) -> Figure:
    """AUROC within folds with DeLong's interval by patient; the macro AUROC of several columns.

    On the logit scale by default: the symmetric interval is too narrow at high AUC in small cohorts.

    Args:
        rows: predictions, with fold, patient_id, y_true and the scores.
        columns: the score of class 1, or one a class.
        what: whose AUROC, for the warning.
        warnings: gets the reason where it is not defined.
        method: scale of the interval.
    """
    compute = stats.auroc_delong if len(columns) == 1 else stats.auroc_macro_delong
    try:
        found = compute(
            rows["y_true"].to_numpy(),
            scores(rows, columns),
            confidence=CONFIDENCE,
            patient=_patients(rows),
            stratum=rows["fold"].to_numpy(),
            method=method,
        )
    except StatsError as error:
        note(error, f"{_area(columns)} of {what}", warnings)
        return undefined(len(rows))
    return figure_of(found)


def fold_auroc(rows: pd.DataFrame, columns: list[str]) -> float | None:
    """AUROC of the test lesions of one fold; None where a class is lacking."""
    if rows["y_true"].nunique() < max(2, len(columns)):
        return None
    compute = stats.auroc if len(columns) == 1 else stats.auroc_macro
    return compute(rows["y_true"].to_numpy(), scores(rows, columns))


def drop(both: pd.DataFrame, columns: list[str], what: str, warnings: list[str]) -> Drop:
    """AUROC of `columns` minus that of `<column>_shown` on the same rows, with the paired test."""
    try:
        found = _paired(both, columns, [f"{name}_shown" for name in columns])
    except StatsError as error:
        note(error, f"The drop of {what}", warnings)
        return Drop(None, None, None, "not_defined", len(both), None)
    return Drop(found.difference, found.ci_low, found.ci_high, found.method, found.n, found.p)


def first_model(tables: RunTables) -> str:
    """The model that others are held against: the one that the run's configuration names first."""
    return tables.models[0]


def compare_models(tables: RunTables, warnings: list[str]) -> list[Comparison]:
    """The first model against every other one, with Holm's correction.

    The published models that the run was given are among the others. Two models are compared on the lesions that both
    judge: all of them, unless one reads a single modality or lacks a value.
    """
    first = first_model(tables)
    others = [name for name in (*tables.models, *tables.comparators) if name != first]
    return compare_pairs(tables, [(first, other) for other in others], warnings)


def compare_pairs(
    tables: RunTables, pairs: Sequence[tuple[str, str]], warnings: list[str]
) -> list[Comparison]:
    """Paired DeLong tests of one family, with Holm's correction over it, on the lesions that both of a pair judge.

    Args:
        tables: the run.
        pairs: names of a and b, each pair once.
        warnings: gets the pairs that cannot be compared.
    """
    columns, found = tables.score_columns, {}
    for first, other in pairs:
        own, theirs = (
            tables.rows(name, split="test", pattern=tables.full_pattern) for name in (first, other)
        )
        both = own.merge(
            theirs[["lesion_id", "fold", *columns]], on=["lesion_id", "fold"], suffixes=("", "_other")
        )
        if both.empty:
            warnings.append(f"{first} and {other} judge no test lesion in common and cannot be compared.")
            continue
        try:
            found[first, other] = _paired(both, columns, [f"{name}_other" for name in columns])
        except StatsError as error:
            note(error, f"The comparison of {first} with {other}", warnings)
    corrected = stats.holm(np.array([test.p for test in found.values()], dtype=np.float64))
    return [
        Comparison(
            first,
            other,
            test.difference,
            test.ci_low,
            test.ci_high,
            test.z,
            test.p,
            float(p_holm),
            test.method,
            test.n,
        )
        for ((first, other), test), p_holm in zip(found.items(), corrected, strict=True)
    ]


def scores(rows: pd.DataFrame, columns: list[str]) -> Float64[np.ndarray, "n *classes"]:
    """Scores of class 1, (n,), from one column; those of every class, (n, C), from several."""
    values = rows[columns].to_numpy(np.float64)
    return values[:, 0] if len(columns) == 1 else values


def _paired(rows: pd.DataFrame, first: list[str], second: list[str]) -> stats.PairedComparison:
    compute = stats.delong_paired if len(first) == 1 else stats.delong_paired_macro
    return compute(
        rows["y_true"].to_numpy(),
        scores(rows, first),
        scores(rows, second),
        confidence=CONFIDENCE,
        patient=_patients(rows),
        stratum=rows["fold"].to_numpy(),
    )


def _area(columns: list[str]) -> str:
    return "AUC" if len(columns) == 1 else "Macro AUC"


def _patients(rows: pd.DataFrame) -> np.ndarray:
    return rows["patient_id"].to_numpy().astype(str)
