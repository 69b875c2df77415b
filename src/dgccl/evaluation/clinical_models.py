"""Models that clinicians know, beside the run's own model on the same test lesions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dgccl import stats
from dgccl.clinical import COMPARATORS, Comparator, comparator_probabilities
from dgccl.errors import StatsError
from dgccl.evaluation import trust
from dgccl.evaluation.areas import CONFIDENCE, UNDEFINED_ON_DATA, auroc, first_model
from dgccl.evaluation.figure import Comparison
from dgccl.evaluation.recalibrated import probabilities as inside
from dgccl.evaluation.recalibrated import recalibrate
from dgccl.evaluation.run_tables import RunTables
from dgccl.evaluation.trust_results import ClinicalModel, ClinicalModels


def clinical_models(tables: RunTables, lesions: pd.DataFrame, warnings: list[str]) -> ClinicalModels | None:
    """Mayo, Herder and Brock on the test lesions that have what they need; None for a run of more than two classes.

    Each is compared with DG-CCL (without it, the run's first model) on the lesions that both judge, within folds as
    everything else.

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
    rows = tables.rows(first, split="test", pattern=tables.full_pattern)
    own = lesions.set_index("lesion_id").loc[rows["lesion_id"]].reset_index()
    found, chances = [], {}
    for comparator in COMPARATORS:
        chance = comparator_probabilities(own, comparator)
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
    decision = _decision(tables, rows, chances) if chances else None
    return ClinicalModels(first, found, decision)


def _absent(comparator: Comparator, lacking: list[str]) -> ClinicalModel:
    return ClinicalModel(comparator.name, comparator.title, comparator.source, lacking, None, None, None)


def _judged(comparator: Comparator, rows: pd.DataFrame, first: str, warnings: list[str]) -> ClinicalModel:
    """A published model on the lesions that have what it needs."""
    chance = rows["clinical"].to_numpy(np.float64)
    area = auroc(rows.assign(fold=0), ["clinical"], comparator.title, warnings)
    figures = trust.calibration_figures(
        rows, inside(rows.assign(y_score=chance), ["y_score"]), comparator.title, warnings
    )
    difference = None
    try:
        test = stats.delong_paired(
            rows["y_true"].to_numpy(),
            rows["y_score"].to_numpy(np.float64),
            chance,
            confidence=CONFIDENCE,
            patient=rows["patient_id"].to_numpy().astype(str),
            stratum=rows["fold"].to_numpy(),
        )
        difference = Comparison(
            first, comparator.name, test.difference, test.ci_low, test.ci_high, test.z, test.p, test.p, test.method,
            test.n,
        )  # fmt: skip
    except StatsError as error:
        if error.code not in UNDEFINED_ON_DATA:
            raise
        warnings.append(f"The comparison of {first} with {comparator.title} is not defined: {error.message}")
    return ClinicalModel(comparator.name, comparator.title, comparator.source, [], area, figures, difference)


def _decision(
    tables: RunTables, rows: pd.DataFrame, chances: Mapping[str, np.ndarray]
) -> trust.DecisionCurves | None:
    """Decision curves of the first model and the published ones, on the lesions that all of them judge."""
    known = np.all([np.isfinite(chance) for chance in chances.values()], axis=0)
    if rows.loc[known, "y_true"].nunique() < 2:
        return None
    first = first_model(tables)
    own = recalibrate(tables, first, tables.full_pattern, warnings=[]).calibrated[:, 1]
    curves = {first: own[known]} | {name: chance[known] for name, chance in chances.items()}
    return trust.decision_of(rows.loc[known], curves)
