"""Every figure of a run, computed from its predictions table."""

from pathlib import Path

import pandas as pd

from dgccl.errors import StatsError
from dgccl.evaluation import areas, calls, curves, trust
from dgccl.evaluation.ablations import ablation_results
from dgccl.evaluation.acquisition import acquisitions
from dgccl.evaluation.areas import CONFIDENCE, compare_models, undefined
from dgccl.evaluation.clinical_models import clinical_models, with_published
from dgccl.evaluation.cohort_facts import cohort_warnings, describe_run
from dgccl.evaluation.drops import with_corrected_drops
from dgccl.evaluation.embeddings import class_distances, cosine_similarity
from dgccl.evaluation.figure import Drop, Figure
from dgccl.evaluation.gate import gate_by_class
from dgccl.evaluation.published import published_figures
from dgccl.evaluation.recalibrated import recalibrate
from dgccl.evaluation.results import ModelResult, Pattern, PrecisionRecall, Results
from dgccl.evaluation.results_file import RESULTS_FILE, write_results
from dgccl.evaluation.run_tables import RunTables, read_tables
from dgccl.evaluation.subgroups import subgroups
from dgccl.evaluation.training_facts import training_warnings
from dgccl.evaluation.trust_results import Acquisition
from dgccl.files import write_atomically

ACQUISITION_FILE = "acquisition.csv"
SCALE_TOLERANCE = 0.05
"""Difference of the AUC within folds and over pooled scores that is worth a warning."""


def evaluate(run_dir: Path, *, lesions: pd.DataFrame | None = None) -> Results:
    """Compute all figures of a trained run and write them to `results.json`.

    Test lesions are only ever scored: thresholds come from the validation lesions of each fold. AUROCs compare
    test lesions within their fold; intervals and tests go by patient where a patient has several lesions. With more
    than two classes the headline is the macro AUROC, and a lesion is called the class of its highest probability.

    Args:
        run_dir: folder that `dgccl train` finished.
        lesions: lesion table of the run's cohort; without it no subgroup and no published nodule model is computed.

    Raises:
        TrainingError: a file of the run is missing, damaged or contradicts another; `results.json` stays as it was.
        StatsError: all lesions are of one class.
    """
    tables = read_tables(run_dir)
    _check_classes(tables.cohort)
    warnings = cohort_warnings(tables) + training_warnings(tables)
    outlooks = {name: acquisitions(tables, name, warnings) for name in tables.models}
    models = {name: _evaluate_model(tables, name, outlooks[name][0], warnings) for name in tables.models}
    models = with_corrected_drops(models)
    published, published_note = published_figures(len(tables.class_names))
    meta = describe_run(tables, confidence=CONFIDENCE)
    if lesions is not None:
        tables = with_published(tables, lesions, warnings)
    comparators = {name: _evaluate_model(tables, name, [], warnings) for name in tables.comparators}
    comparisons = compare_models(tables, warnings)
    decision = trust.decision_curves(tables)
    clinical = None if lesions is None else clinical_models(tables, lesions, comparisons, warnings)
    results = Results(
        meta,
        models,
        comparisons,
        published,
        published_note,
        warnings,
        decision,
        clinical,
        ablations=ablation_results(tables, warnings),
        subgroups=None if lesions is None else subgroups(tables, lesions, warnings),
        comparators=comparators,
    )
    write_results(results, run_dir / RESULTS_FILE)
    _write_outlooks(run_dir, [rows for _, rows in outlooks.values() if len(rows)])
    return results


def _write_outlooks(run_dir: Path, tables: list[pd.DataFrame]) -> None:
    """One row a test lesion, model and missing modality: what acquiring it would be expected to change."""
    path = run_dir / ACQUISITION_FILE
    if tables:
        whole = pd.concat(tables, ignore_index=True)
        write_atomically(path, whole.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    else:
        path.unlink(missing_ok=True)


def _check_classes(cohort: pd.DataFrame) -> None:
    if cohort["y_true"].nunique() < 2:
        raise StatsError(
            "one_class",
            f"All {len(cohort)} test lesions are of one class: there is nothing to tell apart.",
            remedy="Train on a cohort that has lesions of every class.",
        )


def _evaluate_model(
    tables: RunTables, model: str, outlook: list[Acquisition], warnings: list[str]
) -> ModelResult:
    rows, columns = tables.rows(model, split="test", pattern=tables.full_pattern), tables.score_columns
    binary = len(tables.class_names) == 2
    within = areas.auroc(rows, columns, model, warnings)
    # As pROC and its kind would compute it from the same table, to be checked against them.
    pooled = areas.auroc(rows.assign(fold=0), columns, model, [], method="delong")
    if model not in tables.comparators:
        _warn_of_scales(within, pooled, model, warnings)
    limits = calls.thresholds(tables, model, warnings) if binary else []
    point = calls.operating_point(rows, limits, model, warnings) if binary else (None, None, None)
    folds = [rows.loc[rows["fold"] == fold] for fold in range(tables.folds)]
    return ModelResult(
        auroc=within,
        auroc_pooled=pooled,
        auroc_by_fold=[areas.fold_auroc(part, columns) for part in folds],
        threshold_by_fold=limits,
        sensitivity=point[0],
        specificity=point[1],
        confusion=point[2],
        roc=curves.roc(rows, columns[0], model, warnings) if binary else None,
        patterns={
            name: _evaluate_pattern(tables, model, name, rows, warnings)
            for name in tables.withheld_patterns(model)
        },
        gate=gate_by_class(rows, tables),
        cosine=cosine_similarity(tables, model),
        multiclass=None if binary else calls.multiclass(rows, tables, model, warnings),
        calibration={
            pattern: trust.calibration(tables, model, pattern, warnings)
            for pattern in _scored_patterns(tables, model)
        },
        conformal=trust.conformal(tables, model, _scored_patterns(tables, model), warnings),
        acquisition=outlook,
        precision_recall=_precision_recall(tables, model, warnings) if binary else None,
        class_distances=class_distances(tables, model),
    )


def _precision_recall(tables: RunTables, model: str, warnings: list[str]) -> PrecisionRecall | None:
    # Folds without a temperature are warned of where calibration is measured.
    found = recalibrate(tables, model, tables.full_pattern, warnings=[])
    return curves.precision_recall(found, model, warnings)


def _scored_patterns(tables: RunTables, model: str) -> list[str]:
    """Patterns in which a model scored test lesions, that of all modalities first."""
    patterns = [tables.full_pattern, *tables.withheld_patterns(model)]
    return [name for name in patterns if not tables.rows(model, split="test", pattern=name).empty]


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


def _evaluate_pattern(
    tables: RunTables, model: str, pattern: str, full_rows: pd.DataFrame, warnings: list[str]
) -> Pattern:
    """AUROC with only some modalities shown, and what it loses on the lesions that have them all."""
    rows, columns = tables.rows(model, split="test", pattern=pattern), tables.score_columns
    complete = full_rows.loc[full_rows["modalities_shown"] == tables.full_pattern]
    both = complete.merge(rows[["lesion_id", *columns]], on="lesion_id", suffixes=("", "_shown"))
    if rows.empty or both.empty:
        warnings.append(f"{model} has no test lesions to show {pattern} of.")
        return Pattern(undefined(0), Drop(None, None, None, "not_defined", 0, None))
    what = f"{model} with {pattern} only"
    return Pattern(areas.auroc(rows, columns, what, warnings), areas.drop(both, columns, what, warnings))
