"""What several scores are worth once a threshold turns them into calls."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dgccl.evaluation.scores.table import ScoreTable
from dgccl.stats import CallComparison, DiagnosticMeasures, diagnostic_measures, mcnemar_calls


@dataclass(frozen=True)
class CallPair:
    """The calls of one score against those of another.

    Attributes:
        a: name of the first score.
        b: name of the second.
        accuracy: over all cases.
        sensitivity: over the cases of class 1.
        specificity: over the cases of class 0.
    """

    a: str
    b: str
    accuracy: CallComparison
    sensitivity: CallComparison
    specificity: CallComparison


@dataclass(frozen=True)
class Calls:
    """Calls of class 1 at score >= threshold.

    Attributes:
        thresholds: by score.
        measures: by score.
        pairs: every two scores with a threshold.
    """

    thresholds: dict[str, float]
    measures: dict[str, DiagnosticMeasures]
    pairs: list[CallPair]


def compare_calls(
    table: ScoreTable,
    thresholds: Mapping[str, float],
    *,
    prevalence: float | None = None,
    confidence: float = 0.95,
) -> Calls:
    """Measures of the calls of each score, and McNemar's test between every two.

    Intervals and tests take cases as independent.

    Args:
        table: labels and scores.
        thresholds: by score; chosen on other cases than these, or every figure here is too good.
        prevalence: share of class 1 among those to be tested, for the predictive values.
        confidence: nominal coverage.

    Raises:
        StatsError: as `stats.diagnostic_measures` and `stats.mcnemar_calls`.
    """
    y_true = table.y_true
    calls = {name: (table.scores[name] >= limit).astype(np.int64) for name, limit in thresholds.items()}
    parts = {"accuracy": np.full(len(y_true), True), "sensitivity": y_true == 1, "specificity": y_true == 0}
    pairs = [
        CallPair(
            a,
            b,
            **{
                what: mcnemar_calls(y_true[part], calls[a][part], calls[b][part], confidence=confidence)
                for what, part in parts.items()
            },
        )
        for a, b in itertools.combinations(thresholds, 2)
    ]
    measures = {
        name: diagnostic_measures(
            y_true, table.scores[name], threshold=limit, prevalence=prevalence, confidence=confidence
        )
        for name, limit in thresholds.items()
    }
    return Calls(dict(thresholds), measures, pairs)
