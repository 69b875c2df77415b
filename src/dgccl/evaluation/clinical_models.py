"""Models that clinicians know, beside the run's own model on the same test lesions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float64

from dgccl import stats
from dgccl.clinical import COMPARATORS, Comparator, comparator_probabilities, lacking_columns
from dgccl.evaluation import trust
from dgccl.evaluation.areas import CONFIDENCE, auroc, figure_of, first_model
from dgccl.evaluation.figure import Comparison, Figure
from dgccl.evaluation.recalibrated import probabilities as inside
from dgccl.evaluation.recalibrated import recalibrate
from dgccl.evaluation.run_tables import COLUMNS, RunTables
from dgccl.evaluation.trust_results import CallsAt, ClinicalModel, ClinicalModels


def with_published(tables: RunTables, lesions: pd.DataFrame, warnings: list[str]) -> RunTables:
    """The run with Mayo, Herder and Brock among its predictions, as `comparators`: those that can be computed.

    A published model judges the validation and test lesions that have what it needs. It is left out where its test
    lesions are not of both classes, or where the run has something else of its name; a run of more than two classes has
    none.

    Args:
        tables: the run.
        lesions: lesion table of its cohort.
        warnings: gets the models that are left out for one of these reasons.

    Raises:
        CohortError: a column that one of the models needs holds words that mean nothing to it.
    """
    if len(tables.class_names) > 2:
        return tables
    whole = tables.predictions.loc[tables.predictions["pattern"] == tables.full_pattern]
    once = whole.drop_duplicates(["lesion_id", "fold", "split"])[[*COLUMNS, "modalities_shown"]]
    added = {}
    for comparator in COMPARATORS:
        chance = published_chances(once, lesions, comparator)
        if isinstance(chance, tuple):
            continue
        if (tables.predictions["model"] == comparator.name).any():
            # Configurations refuse such a name; a run of before may have it, and one name must not hold two scores.
            warnings.append(
                f"{comparator.title} is left out: the run has a model of its own named `{comparator.name}`."
            )
            continue
        known = np.isfinite(chance)
        rows = once.loc[known].assign(model=comparator.name, y_score=chance[known])
        tested = rows.loc[rows["split"] == "test"]
        if tested["y_true"].nunique() == 2:
            added[comparator.name] = rows
            continue
        warnings.append(
            f"{comparator.title}: {len(tested)} of {len(tables.cohort)} test lesions have all that it needs, not of "
            "both classes."
        )
    predictions = pd.concat([tables.predictions, *added.values()], ignore_index=True)
    return replace(tables, predictions=predictions, comparators=tuple(added))


def clinical_models(
    tables: RunTables, lesions: pd.DataFrame, comparisons: Sequence[Comparison], warnings: list[str]
) -> ClinicalModels | None:
    """Mayo, Herder and Brock on the test lesions that have what they need; None for a run of more than two classes.

    Beside each stands the run's first model on the very lesions that both judge: AUCs and their difference within folds
    as everything else, calibration and calls of its recalibrated probabilities.

    Args:
        tables: the run, with its published models.
        lesions: lesion table of its cohort.
        comparisons: of the run, those with its published models among them.
        warnings: gets what is not defined, and why.
    """
    if len(tables.class_names) > 2:
        return None
    first = first_model(tables)
    own = recalibrate(tables, first, tables.full_pattern, warnings=[])
    own_rows = own.rows.assign(own=own.calibrated[:, 1])
    tests = {test.b: test for test in comparisons if test.a == first}
    found, judged = [], {}
    for comparator in COMPARATORS:
        if comparator.name not in tables.comparators:
            found.append(_absent(comparator, lesions))
            continue
        theirs = tables.rows(comparator.name, split="test", pattern=tables.full_pattern)
        rows = own_rows.merge(
            theirs[["lesion_id", "fold", "y_score"]].rename(columns={"y_score": "clinical"}),
            on=["lesion_id", "fold"],
        )
        judged[comparator.name] = rows
        found.append(_judged(comparator, rows, first, tests.get(comparator.name), warnings))
    return ClinicalModels(first, found, _decision(judged, first))


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


def _absent(comparator: Comparator, lesions: pd.DataFrame) -> ClinicalModel:
    lacking = list(lacking_columns(lesions, comparator))
    return ClinicalModel(comparator.name, comparator.title, comparator.source, lacking, None, None, None)


def _judged(
    comparator: Comparator, rows: pd.DataFrame, first: str, test: Comparison | None, warnings: list[str]
) -> ClinicalModel:
    """A published model and the run's on the lesions that have what it needs."""
    beside = f"{first} on the lesions of {comparator.title}"
    calibrations = [
        trust.calibration_figures(
            rows, inside(rows.assign(y_score=rows[column]), ["y_score"]), what, warnings
        )
        for column, what in (("clinical", comparator.name), ("own", beside))
    ]
    return ClinicalModel(
        comparator.name,
        comparator.title,
        comparator.source,
        [],
        auroc(rows, ["clinical"], comparator.name, []),
        calibrations[0],
        test,
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


def _decision(judged: Mapping[str, pd.DataFrame], first: str) -> trust.DecisionCurves | None:
    """Decision curves of the first model and the published ones, on the lesions that all of them judge."""
    if not judged:
        return None
    shared = set.intersection(*(set(rows["lesion_id"]) for rows in judged.values()))
    tables = {name: rows.loc[rows["lesion_id"].isin(shared)] for name, rows in judged.items()}
    rows = next(iter(tables.values()))
    if rows["y_true"].nunique() < 2:
        return None
    chances = {name: table["clinical"].to_numpy(np.float64) for name, table in tables.items()}
    return trust.decision_of(rows, {first: rows["own"].to_numpy(np.float64)} | chances)
