"""How far a run's probabilities can be believed: calibration, prediction sets, and what acting on them is worth."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.evaluation.areas import CONFIDENCE, figure_of, undefined
from dgccl.evaluation.figure import Figure
from dgccl.evaluation.recalibrated import Recalibrated, recalibrate
from dgccl.evaluation.run_tables import RunTables
from dgccl.evaluation.trust_results import (
    Benefit,
    Calibration,
    CalibrationFigures,
    Conformal,
    DecisionCurves,
    Observed,
)
from dgccl.stats import (
    BenefitCurve,
    abstentions,
    brier_score,
    calibration_curve,
    calibration_slope_intercept,
    decision_curve,
    expected_calibration_error,
    fit_conformal,
    measured_coverage,
    smooth_calibration,
)

ALPHA = 0.1
"""Share of prediction sets that may miss the truth."""
SEED = 2026
"""Of the simulation that says what calibration error chance alone would give."""
DECISION_THRESHOLDS = np.linspace(0.01, 0.99, 99)
UNDEFINED_HERE = (
    "one_class",
    "no_cases",
    "too_few_cases",
    "too_few_values",
    "separation",
    "constant_probability",
    "no_variance",
)
"""Codes of figures that a sound but small run can leave undefined; any other error is a fault of the run."""


def calibration(tables: RunTables, model: str, pattern: str, warnings: list[str]) -> Calibration:
    """Calibration of one model with some modalities shown, before and after recalibration on validation lesions.

    Of two classes it is that of the probability of class 1. Of more it is that of the highest probability, against
    whether its class is the true one; the Brier score is that of all classes.

    Args:
        tables: the run.
        model: name of the model.
        pattern: modalities shown.
        warnings: gets what is not defined, and why.
    """
    found = recalibrate(tables, model, pattern, warnings=warnings)
    shown = "" if pattern == tables.full_pattern else f" with {pattern} only"
    before, after = (
        calibration_figures(found.rows, matrix, f"{model}{shown}", warnings)
        for matrix in (found.raw, found.calibrated)
    )
    return Calibration(found.temperature_by_fold, before, after)


def calibration_figures(
    rows: pd.DataFrame, matrix: np.ndarray, what: str, warnings: list[str]
) -> CalibrationFigures:
    """Calibration of probabilities of every class, (n, C), of predictions with y_true and patient_id."""
    y_true, patient = rows["y_true"].to_numpy(), rows["patient_id"].to_numpy().astype(str)
    if matrix.shape[1] == 2:
        outcome, probability = y_true, matrix[:, 1]
        brier_of: np.ndarray = probability
    else:
        outcome, probability = (matrix.argmax(axis=1) == y_true).astype(np.int64), matrix.max(axis=1)
        brier_of = matrix

    def where_defined(name: str, compute: Callable[[], Any]) -> Any:
        try:
            return compute()
        except StatsError as error:
            if error.code not in UNDEFINED_HERE:
                raise
            said = f"The {name} of {what} is not defined: {error.message}"
            if said not in warnings:
                warnings.append(said)
            return None

    brier = where_defined(
        "Brier score", lambda: brier_score(y_true, brier_of, confidence=CONFIDENCE, patient=patient)
    )
    logistic = where_defined(
        "calibration slope",
        lambda: calibration_slope_intercept(outcome, probability, confidence=CONFIDENCE, patient=patient),
    )
    error = where_defined(
        "expected calibration error", lambda: expected_calibration_error(outcome, probability, seed=SEED)
    )
    bins = where_defined("calibration curve", lambda: calibration_curve(outcome, probability))
    smooth = where_defined(
        "smooth calibration curve", lambda: smooth_calibration(outcome, probability, patient=patient)
    )
    n = len(rows)
    return CalibrationFigures(
        brier=_figure(brier, n),
        slope=_figure(logistic.slope if logistic else None, n),
        in_the_large=_figure(logistic.in_the_large if logistic else None, n),
        ece=error.debiased if error else None,
        ece_plug_in=error.plug_in if error else None,
        ece_by_chance=error.if_calibrated if error else None,
        bins=_observed(bins),
        smooth=_observed(smooth),
    )


def _figure(found: stats.Estimate | None, n: int) -> Figure:
    return undefined(n) if found is None else figure_of(found)


def _observed(curve: Any) -> Observed | None:
    if curve is None:
        return None
    return Observed(
        curve.probability.tolist(),
        curve.observed.tolist(),
        curve.ci_low.tolist(),
        curve.ci_high.tolist(),
        curve.method,
    )


def conformal(
    tables: RunTables, model: str, patterns: Sequence[str], warnings: list[str]
) -> Conformal | None:
    """Prediction sets of each fold, calibrated on its validation lesions by what is shown, measured on test lesions.

    None where no fold has validation lesions of a pattern that its test lesions have.
    """
    found = {
        split: [(name, recalibrate(tables, model, name, split=split, warnings=[])) for name in patterns]
        for split in ("validation", "test")
    }
    sets, labels, groups, without = [], [], [], []
    for fold in range(tables.folds):
        known = [part for name, one in found["validation"] for part in _of_fold(one, fold, name)]
        calibrated = {pattern for _, _, pattern in known}
        tested = [part for name, one in found["test"] for part in _of_fold(one, fold, name)]
        tested = [part for part in tested if part[2] in calibrated]
        if not tested:
            without.append(str(fold))
            continue
        fitted = fit_conformal(
            np.concatenate([y for y, _, _ in known]),
            np.concatenate([matrix for _, matrix, _ in known]),
            alpha=ALPHA,
            group=_repeated(known),
        )
        sets += [fitted.predict_sets(part[1], _repeated([part])) for part in tested]
        labels += [y for y, _, _ in tested]
        groups.append(_repeated(tested))
    if without:
        warnings.append(f"{model}: fold {', '.join(without)} has no lesions to calibrate prediction sets on.")
    if not sets:
        return None
    return _measured(np.concatenate(labels), np.concatenate(sets), np.concatenate(groups), patterns)


def _of_fold(found: Recalibrated, fold: int, pattern: str) -> list[tuple[np.ndarray, np.ndarray, str]]:
    """Truth, probabilities and pattern of the lesions of one fold; nothing if there are none."""
    chosen = (found.rows["fold"] == fold).to_numpy()
    if not chosen.any():
        return []
    return [(found.rows["y_true"].to_numpy()[chosen], found.calibrated[chosen], pattern)]


def _repeated(parts: Sequence[tuple[np.ndarray, np.ndarray, str]]) -> np.ndarray:
    """The pattern of every lesion of some parts."""
    return np.concatenate([np.full(len(y), pattern) for y, _, pattern in parts])


def _measured(y_true: np.ndarray, sets: np.ndarray, group: np.ndarray, patterns: Sequence[str]) -> Conformal:
    by_pattern = {}
    for pattern in patterns:
        chosen = group == pattern
        if not chosen.any():
            continue
        found = measured_coverage(y_true[chosen], sets[chosen], confidence=CONFIDENCE)
        undecided = abstentions(sets[chosen])
        by_pattern[pattern] = {
            "coverage": figure_of(found.coverage),
            "abstained": figure_of(found.abstained),
            "decided_right": undefined(int((~undecided).sum()))
            if found.decided_right is None
            else figure_of(found.decided_right),
        }
    return Conformal(ALPHA, by_pattern)


def decision_curves(tables: RunTables) -> DecisionCurves | None:
    """Net benefit of acting on each model's recalibrated probabilities, on the lesions that every model judges.

    Published models that judge all of these stand beside the run's own, as published; one that lacks values would take
    lesions from all others and is left out.
    """
    if len(tables.class_names) > 2:
        return None
    tables_of = {}
    for model in (*tables.models, *tables.comparators):
        found = recalibrate(tables, model, tables.full_pattern, warnings=[])
        tables_of[model] = found.rows[["lesion_id", "patient_id", "y_true"]].assign(
            probability=found.calibrated[:, 1]
        )
    shared = set.intersection(*(set(tables_of[model]["lesion_id"]) for model in tables.models))
    if not shared:
        return None
    lacking = {name for name in tables.comparators if shared - set(tables_of[name]["lesion_id"])}
    ordered = {
        name: table.loc[table["lesion_id"].isin(shared)].sort_values("lesion_id")
        for name, table in tables_of.items()
        if name not in lacking
    }
    first = next(iter(ordered.values()))
    if first["y_true"].nunique() < 2:
        return None
    return decision_of(first, {name: table["probability"].to_numpy() for name, table in ordered.items()})


def decision_of(rows: pd.DataFrame, probabilities: Mapping[str, np.ndarray]) -> DecisionCurves:
    """Decision curves of named probabilities of class 1, (n,), of predictions with y_true and patient_id."""
    curve = decision_curve(
        rows["y_true"].to_numpy(),
        dict(probabilities),
        thresholds=DECISION_THRESHOLDS,
        confidence=CONFIDENCE,
        patient=rows["patient_id"].to_numpy().astype(str),
    )
    return DecisionCurves(
        curve.thresholds.tolist(),
        {name: _benefit(found) for name, found in curve.models.items()},
        _benefit(curve.treat_all),
        curve.prevalence,
        curve.method,
        curve.n,
    )


def _benefit(curve: BenefitCurve) -> Benefit:
    net = curve.net_benefit
    return Benefit(net.estimate.tolist(), net.ci_low.tolist(), net.ci_high.tolist())
