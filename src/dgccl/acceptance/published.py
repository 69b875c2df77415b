"""A published nodule model as the comparator of a gate, on the test lesions that have what it needs."""

import numpy as np

from dgccl import stats
from dgccl.acceptance.evidence import Evidence
from dgccl.clinical import Comparator
from dgccl.errors import CohortError, StatsError
from dgccl.evaluation.clinical_models import compare_with_published, published_chances


def minus_published(comparator: Comparator, evidence: Evidence) -> stats.PairedComparison:
    """AUC of the judged model minus that of a published one, by the paired test that evaluation uses.

    Args:
        comparator: the published model.
        evidence: the run, of two classes, with its cohort.

    Raises:
        StatsError: `not_two_classes`, `no_cases`, or the test is not defined on the lesions that both judge.
        CohortError: `comparator_columns_missing`; `lesions_not_in_cohort`; an entry that means nothing to the model.
    """
    if len(evidence.tables.class_names) != 2:
        raise StatsError(
            "not_two_classes",
            f"{comparator.title} tells two classes apart; the run has {len(evidence.tables.class_names)}.",
            remedy="Name a model of the run as the comparator.",
        )
    # The label of each lesion is asked for only to find lesions that the cohort does not have.
    rows = evidence.with_column(evidence.test_rows, "label")
    chance = published_chances(rows, evidence.cohort.lesions, comparator)
    if isinstance(chance, tuple):
        lacking = ", ".join(name.replace("|", " or ") for name in chance)
        raise CohortError(
            "comparator_columns_missing",
            f"{comparator.title} cannot be computed: the cohort lacks {lacking}.",
            remedy="Write them into the label table and ingest again with --clinical COLUMN for each, or name another "
            "comparator.",
        )
    both = rows.assign(clinical=chance).loc[np.isfinite(chance)]
    if both.empty:
        raise StatsError(
            "no_cases",
            f"No test lesion has a value in every column that {comparator.title} needs.",
            remedy=f"Fill in {', '.join(name.replace('|', ' or ') for name in comparator.columns)}.",
        )
    return compare_with_published(both)
