"""Models that clinicians know, beside the run's own model on the same test lesions."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float64

from dgccl import stats
from dgccl.clinical import COMPARATORS, Comparator, comparator_probabilities
from dgccl.errors import StatsError
from dgccl.evaluation import trust
from dgccl.evaluation.areas import CONFIDENCE, UNDEFINED_ON_DATA, auroc, figure_of, first_model
from dgccl.evaluation.figure import Comparison, Figure
from dgccl.evaluation.recalibrated import probabilities as inside
from dgccl.evaluation.recalibrated import recalibrate
from dgccl.evaluation.run_tables import RunTables
from dgccl.evaluation.trust_results import CallsAt, ClinicalModel, ClinicalModels


def clinical_models(tables: RunTables, lesions: pd.DataFrame, warnings: list[str]) -> ClinicalModels | None:
    """Mayo, Herder and Brock on the test lesions that have what they need; None for a run of more than two classes.

    Beside each stands DG-CCL (without it, the run's first model) on the very lesions that both judge: AUCs and their
    difference within folds as everything else, calibration and calls of its recalibrated probabilities. The tests of
    the differences are one family, corrected by Holm.

    Args:
        tables: the run.
        lesions: lesion table of its cohort.
        warnings: gets what is not defined, and why.

    Raises:
        CohortError: a column that one of the models needs holds words that mean nothing to it.
    """
    if len(tables.class_names) > 2:
        return None
    first = first_model(tables)
    recalibrated = recalibrate(tables, first, tables.full_pattern, warnings=[])
    rows = recalibrated.rows.assign(own=recalibrated.calibrated[:, 1])
    found, chances = [], {}
    for comparator in COMPARATORS:
        chance = published_chances(rows, lesions, comparator)
        if isinstance(chance, tuple):
            found.append(_absent(comparator, list(chance)))
            continue
        known = np.isfinite(chance)
        if rows.loc[known, "y_true"].nunique() < 2:
            found.append(_absent(comparator, []))
            warnings.append(
                f"{comparator.title}: {int(known.sum())} of {len(rows)} test lesions have all that it needs, not of "
                "both classes."
            )
            continue
        chances[comparator.name] = chance
        found.append(_judged(comparator, rows.assign(clinical=chance).loc[known], first, warnings))
    decision = _decision(rows, first, chances) if chances else None
    return ClinicalModels(first, _corrected(found), decision)


def published_chances(
    rows: pd.DataFrame, lesions: pd.DataFrame, comparator: Comparator
) -> Float64[np.ndarray, "n"] | tuple[str, ...]:
    """Probability of malignancy by a published model of the lesions of some predictions, in their order.

    Args:
        rows: predictions, with lesion_id.
        lesions: lesion table of the cohort.
        comparator: which model.

    Returns:
        As `comparator_probabilities`: NaN for a lesion that lacks a value; or the columns that are lacking.

    Raises:
        CohortError: a column that the model needs holds words that mean nothing to it.
    """
    own = lesions.set_index("lesion_id").loc[rows["lesion_id"]].reset_index()
    return comparator_probabilities(own, comparator)


def compare_with_published(rows: pd.DataFrame) -> stats.PairedComparison:
    """The paired test of every comparison of a run: AUC of a model minus that of a published one, on the same lesions.

    Args:
        rows: predictions, with fold, patient_id, y_true, `y_score` of the model and `clinical` of the published one.

    Raises:
        StatsError: the test is not defined on these lesions.
    """
    return stats.delong_paired(
        rows["y_true"].to_numpy(),
        rows["y_score"].to_numpy(np.float64),
        rows["clinical"].to_numpy(np.float64),
        confidence=CONFIDENCE,
        patient=rows["patient_id"].to_numpy().astype(str),
        stratum=rows["fold"].to_numpy(),
    )


def _absent(comparator: Comparator, lacking: list[str]) -> ClinicalModel:
    return ClinicalModel(comparator.name, comparator.title, comparator.source, lacking, None, None, None)


def _judged(comparator: Comparator, rows: pd.DataFrame, first: str, warnings: list[str]) -> ClinicalModel:
    """A published model and the run's on the lesions that have what it needs; its p is yet to be corrected."""
    beside = f"{first} on the lesions of {comparator.title}"
    calibrations = [
        trust.calibration_figures(
            rows, inside(rows.assign(y_score=rows[column]), ["y_score"]), what, warnings
        )
        for column, what in (("clinical", comparator.title), ("own", beside))
    ]
    difference = None
    try:
        test = compare_with_published(rows)
        difference = Comparison(
            first, comparator.name, test.difference, test.ci_low, test.ci_high, test.z, test.p, test.p, test.method,
            test.n,
        )  # fmt: skip
    except StatsError as error:
        if error.code not in UNDEFINED_ON_DATA:
            raise
        warnings.append(f"The comparison of {first} with {comparator.title} is not defined: {error.message}")
    return ClinicalModel(
        comparator.name,
        comparator.title,
        comparator.source,
        [],
        auroc(rows, ["clinical"], comparator.title, warnings),
        calibrations[0],
        difference,
        auroc(rows, ["y_score"], beside, warnings),
        calibrations[1],
        [_calls_at(rows, threshold, comparator.guideline) for threshold in comparator.thresholds],
    )


def _calls_at(rows: pd.DataFrame, threshold: float, guideline: str) -> CallsAt:
    return CallsAt(
        threshold, guideline, *_rates(rows, "clinical", threshold), *_rates(rows, "own", threshold)
    )


def _rates(rows: pd.DataFrame, column: str, threshold: float) -> tuple[Figure, Figure]:
    """Sensitivity and specificity of lesions of both classes."""
    point = stats.sensitivity_specificity_at(
        rows["y_true"].to_numpy(),
        rows[column].to_numpy(np.float64),
        threshold=threshold,
        confidence=CONFIDENCE,
    )
    return figure_of(point.sensitivity), figure_of(point.specificity)


def _corrected(models: list[ClinicalModel]) -> list[ClinicalModel]:
    """The models with Holm's correction over those that were compared."""
    tests = {model.name: model.difference for model in models if model.difference is not None}
    corrected = stats.holm(np.array([test.p for test in tests.values()], dtype=np.float64))
    p_holm = dict(zip(tests, map(float, corrected), strict=True))
    return [
        model
        if model.difference is None
        else replace(model, difference=replace(model.difference, p_holm=p_holm[model.name]))
        for model in models
    ]


def _decision(
    rows: pd.DataFrame, first: str, chances: Mapping[str, np.ndarray]
) -> trust.DecisionCurves | None:
    """Decision curves of the first model and the published ones, on the lesions that all of them judge."""
    known = np.all([np.isfinite(chance) for chance in chances.values()], axis=0)
    if rows.loc[known, "y_true"].nunique() < 2:
        return None
    own = rows["own"].to_numpy(np.float64)
    return trust.decision_of(
        rows.loc[known], {first: own[known]} | {name: chance[known] for name, chance in chances.items()}
    )
