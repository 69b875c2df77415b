"""Every figure of a run, computed from its predictions table."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.evaluation.cohort_facts import cohort_warnings, describe_run
from dgccl.evaluation.embeddings import cosine_similarity
from dgccl.evaluation.published import PUBLISHED, PUBLISHED_NOTE
from dgccl.evaluation.results import (
    RESULTS_FILE,
    Comparison,
    Confusion,
    Drop,
    Figure,
    Gate,
    KolmogorovSmirnov,
    ModelResult,
    Pattern,
    Quartiles,
    Results,
    Roc,
    write_results,
)  # fmt: skip
from dgccl.evaluation.run_tables import RunTables, read_tables

CONFIDENCE = 0.95
SCALE_TOLERANCE = 0.05
"""Difference of the AUC within folds and over pooled scores that is worth a warning."""
CLASS_NAMES = ("benign", "malignant")
UNDEFINED_ON_DATA = ("one_class", "too_few_cases", "no_variance")
"""Codes of statistics that a sound but small run can leave undefined; any other error is a fault of the run."""


def evaluate(run_dir: Path) -> Results:
    """Compute all figures of a trained run and write them to `results.json`.

    Test lesions are only ever scored: thresholds come from the validation lesions of each fold. AUROCs compare
    test lesions within their fold; intervals and tests go by patient where a patient has several lesions.

    Args:
        run_dir: folder that `dgccl train` finished.

    Raises:
        TrainingError: a file of the run is missing, damaged or contradicts another; `results.json` stays as it was.
        StatsError: all lesions are of one class.
    """
    tables = read_tables(run_dir)
    warnings = cohort_warnings(tables)
    models = {name: _evaluate_model(tables, name, warnings) for name in tables.models}
    comparisons = _compare_models(tables, warnings)
    results = Results(
        describe_run(tables, confidence=CONFIDENCE), models, comparisons, PUBLISHED, PUBLISHED_NOTE, warnings
    )
    write_results(results, run_dir / RESULTS_FILE)
    return results


def _evaluate_model(tables: RunTables, model: str, warnings: list[str]) -> ModelResult:
    rows = tables.rows(model, split="test", pattern=tables.full_pattern)
    y_true, y_score = rows["y_true"].to_numpy(), rows["y_score"].to_numpy(np.float64)
    curve = stats.average_roc_curve(y_true, y_score, stratum=rows["fold"].to_numpy())
    thresholds = _thresholds(tables, model, warnings)
    sensitivity, specificity, confusion = _operating_point(rows, thresholds, model, warnings)
    shown = [name for name in tables.predictions["pattern"].unique() if name != tables.full_pattern]
    within = _auroc(rows, model, warnings)
    # As pROC and its kind would compute it from the same table, to be checked against them.
    pooled = _auroc(rows.assign(fold=0), model, [], method="delong")
    _warn_of_scales(within, pooled, model, warnings)
    return ModelResult(
        auroc=within,
        auroc_pooled=pooled,
        auroc_by_fold=[_fold_auroc(rows.loc[rows["fold"] == fold]) for fold in range(tables.folds)],
        threshold_by_fold=thresholds,
        sensitivity=sensitivity,
        specificity=specificity,
        confusion=confusion,
        roc=Roc(curve.fpr.tolist(), curve.tpr.tolist()),
        patterns={name: _evaluate_pattern(tables, model, name, rows, warnings) for name in shown},
        gate=_gate(rows, tables),
        cosine=cosine_similarity(tables, model),
    )


def _warn_of_scales(within: Figure, pooled: Figure, model: str, warnings: list[str]) -> None:
    if (
        within.estimate is None
        or pooled.estimate is None
        or abs(within.estimate - pooled.estimate) <= SCALE_TOLERANCE
    ):
        return
    warnings.append(
        f"{model}: the AUC within folds is {within.estimate:.3f}, over pooled scores {pooled.estimate:.3f}. The folds' "
        "networks score on different scales; one threshold or one probability does not hold for all of them."
    )


def _auroc(
    rows: pd.DataFrame, what: str, warnings: list[str], *, method: Literal["delong", "logit"] = "logit"
) -> Figure:
    """AUROC within folds with DeLong's interval by patient, or as much of it as is defined.

    On the logit scale by default: the symmetric interval is too narrow at high AUC in small cohorts.
    """
    y_true, y_score = rows["y_true"].to_numpy(), rows["y_score"].to_numpy(np.float64)
    try:
        found = stats.auroc_delong(
            y_true,
            y_score,
            confidence=CONFIDENCE,
            patient=_patients(rows),
            stratum=rows["fold"].to_numpy(),
            method=method,
        )
    except StatsError as error:
        _note(error, f"AUC of {what}", warnings)
        return Figure(None, None, None, "not_defined", len(rows))
    return Figure(found.estimate, found.ci_low, found.ci_high, found.method, found.n)


def _fold_auroc(rows: pd.DataFrame) -> float | None:
    if rows["y_true"].nunique() < 2:
        return None
    return stats.auroc(rows["y_true"].to_numpy(), rows["y_score"].to_numpy(np.float64))


def _thresholds(tables: RunTables, model: str, warnings: list[str]) -> list[float | None]:
    """Youden threshold of each fold's validation lesions; None where they are of one class."""
    validation = tables.rows(model, split="validation", pattern=tables.full_pattern)
    thresholds: list[float | None] = []
    for fold in range(tables.folds):
        rows = validation.loc[validation["fold"] == fold]
        if rows["y_true"].nunique() < 2:
            thresholds.append(None)
            warnings.append(
                f"Fold {fold}, {model}: the validation lesions are of one class, so no threshold could be chosen; its "
                "test lesions are left out of sensitivity and specificity."
            )
            continue
        score = rows["y_score"].to_numpy(np.float64)
        thresholds.append(stats.youden_threshold(rows["y_true"].to_numpy(), score))
    return thresholds


def _operating_point(
    rows: pd.DataFrame, thresholds: list[float | None], model: str, warnings: list[str]
) -> tuple[Figure, Figure, Confusion]:
    """Sensitivity, specificity and counts, each test lesion called by the threshold of its own fold."""
    limits = rows["fold"].map(dict(enumerate(thresholds))).to_numpy(np.float64, na_value=np.nan)
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
            _note(error, f"Sensitivity and specificity of {model}", warnings)
        empty = Figure(None, None, None, "not_defined", 0)
        return empty, empty, Confusion(0, 0, 0, 0)
    figures = [
        Figure(item.estimate, item.ci_low, item.ci_high, item.method, item.n)
        for item in (point.sensitivity, point.specificity)
    ]
    return figures[0], figures[1], Confusion(point.tp, point.fp, point.fn, point.tn)


def _evaluate_pattern(
    tables: RunTables, model: str, pattern: str, full_rows: pd.DataFrame, warnings: list[str]
) -> Pattern:
    """AUROC with only some modalities shown, and what it loses on the lesions that have them all."""
    rows = tables.rows(model, split="test", pattern=pattern)
    complete = full_rows.loc[full_rows["modalities_shown"] == tables.full_pattern]
    both = complete.merge(rows[["lesion_id", "y_score"]], on="lesion_id", suffixes=("", "_shown"))
    if rows.empty or both.empty:
        warnings.append(f"{model} has no test lesions to show {pattern} of.")
        nothing = Figure(None, None, None, "not_defined", 0)
        return Pattern(nothing, Drop(None, None, None, "not_defined", 0, None))
    return Pattern(
        _auroc(rows, f"{model} with {pattern} only", warnings), _drop(both, model, pattern, warnings)
    )


def _drop(both: pd.DataFrame, model: str, pattern: str, warnings: list[str]) -> Drop:
    y_true = both["y_true"].to_numpy()
    full, shown = both["y_score"].to_numpy(np.float64), both["y_score_shown"].to_numpy(np.float64)
    try:
        found = stats.delong_paired(
            y_true,
            full,
            shown,
            confidence=CONFIDENCE,
            patient=_patients(both),
            stratum=both["fold"].to_numpy(),
        )
    except StatsError as error:
        _note(error, f"The drop of {model} with {pattern} only", warnings)
        return Drop(None, None, None, "not_defined", len(both), None)
    return Drop(found.difference, found.ci_low, found.ci_high, found.method, found.n, found.p)


def _gate(rows: pd.DataFrame, tables: RunTables) -> Gate | None:
    """Gate weights by class on the lesions that have every modality; None for a model without a gate.

    The weights sum to 1, so with two modalities the test of either is the test of both.
    """
    columns = [f"gate_{name}" for name in tables.modalities]
    if not set(columns) <= set(rows.columns) or rows[columns].isna().all(axis=None):
        return None
    whole = rows.loc[rows[columns].notna().all(axis=1) & (rows["modalities_shown"] == tables.full_pattern)]
    by_class = {
        name: {
            modality: _quartiles(whole.loc[whole["y_true"] == label, f"gate_{modality}"].to_numpy(np.float64))
            for modality in tables.modalities
        }
        for label, name in enumerate(CLASS_NAMES)
    }
    modality = tables.modalities[-1]
    samples = [
        whole.loc[whole["y_true"] == label, f"gate_{modality}"].to_numpy(np.float64) for label in (0, 1)
    ]
    if not len(samples[0]) or not len(samples[1]):
        return Gate(by_class, KolmogorovSmirnov(None, None, "not_defined", len(whole), modality))
    test = stats.kolmogorov_smirnov(*samples)
    return Gate(by_class, KolmogorovSmirnov(test.statistic, test.p, test.method, len(whole), modality))


def _quartiles(values: Float64[np.ndarray, "n"]) -> Quartiles:
    if not len(values):
        return Quartiles(None, None, None, 0)
    q1, median, q3 = (float(value) for value in np.quantile(values, (0.25, 0.5, 0.75)))
    return Quartiles(median, q1, q3, len(values))


def _compare_models(tables: RunTables, warnings: list[str]) -> list[Comparison]:
    """The method against every other model (without it, the first model), with Holm's correction."""
    names = tables.models
    first = "dgccl" if "dgccl" in names else names[0]
    rows = {name: tables.rows(name, split="test", pattern=tables.full_pattern) for name in names}
    y_true, patient = rows[first]["y_true"].to_numpy(), _patients(rows[first])
    fold = rows[first]["fold"].to_numpy()
    scores = {name: table["y_score"].to_numpy(np.float64) for name, table in rows.items()}
    found = {}
    for other in names:
        if other == first:
            continue
        try:
            found[other] = stats.delong_paired(
                y_true, scores[first], scores[other], confidence=CONFIDENCE, patient=patient, stratum=fold
            )
        except StatsError as error:
            _note(error, f"The comparison of {first} with {other}", warnings)
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
        for (other, test), p_holm in zip(found.items(), corrected, strict=True)
    ]


def _patients(rows: pd.DataFrame) -> np.ndarray:
    return rows["patient_id"].to_numpy().astype(str)


def _note(error: StatsError, what: str, warnings: list[str]) -> None:
    """Turn a statistic that the data leave undefined into a warning; raise any other error again."""
    if error.code not in UNDEFINED_ON_DATA:
        raise error
    warnings.append(f"{what} is not fully defined: {error.message}")
