"""Calls: by a threshold from the validation lesions for two classes, by the highest probability for more."""

import numpy as np
import pandas as pd

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.evaluation import areas, curves
from dgccl.evaluation.areas import CONFIDENCE, figure_of, note, undefined
from dgccl.evaluation.figure import Figure
from dgccl.evaluation.results import ClassResult, Confusion, MultiClass
from dgccl.evaluation.run_tables import RunTables


def thresholds(tables: RunTables, model: str, warnings: list[str]) -> list[float | None]:
    """Youden threshold of each fold's validation lesions; None where they are of one class."""
    validation = tables.rows(model, split="validation", pattern=tables.full_pattern)
    found: list[float | None] = []
    for fold in range(tables.folds):
        rows = validation.loc[validation["fold"] == fold]
        if rows["y_true"].nunique() < 2:
            found.append(None)
            warnings.append(
                f"Fold {fold}, {model}: the validation lesions are of one class, so no threshold could be chosen; its "
                "test lesions are left out of sensitivity and specificity."
            )
            continue
        score = rows["y_score"].to_numpy(np.float64)
        found.append(stats.youden_threshold(rows["y_true"].to_numpy(), score))
    return found


def operating_point(
    rows: pd.DataFrame, limits_by_fold: list[float | None], model: str, warnings: list[str]
) -> tuple[Figure, Figure, Confusion]:
    """Sensitivity, specificity and counts of two classes, each test lesion called by the threshold of its own fold."""
    limits = rows["fold"].map(dict(enumerate(limits_by_fold))).to_numpy(np.float64, na_value=np.nan)
    known = rows.loc[~np.isnan(limits)]
    try:
        point = stats.sensitivity_specificity_at(
            known["y_true"].to_numpy(),
            known["y_score"].to_numpy(np.float64),
            threshold=limits[~np.isnan(limits)],
            confidence=CONFIDENCE,
        )
    except StatsError as error:
        if error.code != "no_cases":
            note(error, f"Sensitivity and specificity of {model}", warnings)
        return undefined(0), undefined(0), Confusion(0, 0, 0, 0)
    counts = Confusion(point.tp, point.fp, point.fn, point.tn)
    return figure_of(point.sensitivity), figure_of(point.specificity), counts


def multiclass(rows: pd.DataFrame, tables: RunTables, model: str, warnings: list[str]) -> MultiClass:
    """Every class against the rest, and the calls of the highest probability."""
    columns = tables.score_columns
    calls = stats.call_highest(rows["y_true"].to_numpy(), areas.scores(rows, columns), confidence=CONFIDENCE)
    by_class = {}
    for index, (name, column) in enumerate(zip(tables.class_names, columns, strict=True)):
        own, what = (
            rows.assign(y_true=(rows["y_true"] == index).astype(int)),
            f"{model}, {name} against the rest",
        )
        rates = calls.sensitivity[index], calls.specificity[index]
        sensitivity, specificity = (figure_of(rate) if rate else undefined(0) for rate in rates)
        area = areas.auroc(own, [column], what, warnings)
        curve = None if area.estimate is None else curves.roc(own, column, what, warnings)
        by_class[name] = ClassResult(area, curve, sensitivity, specificity)
    return MultiClass(by_class, figure_of(calls.accuracy), calls.counts.tolist())
