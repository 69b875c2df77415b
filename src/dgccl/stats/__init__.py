"""Statistics of a binary test, usable alone: NumPy in, frozen dataclasses out.

Scores are higher for class 1; a case is called positive at score >= threshold. What is not defined raises
`dgccl.errors.StatsError` with a code; nothing returns NaN.
"""

from dgccl.stats.comparison import PairedComparison, TestResult, delong_paired, kolmogorov_smirnov
from dgccl.stats.curve import MeanRocCurve, RocCurve, average_roc_curve, roc_curve
from dgccl.stats.estimate import Estimate
from dgccl.stats.multiplicity import holm
from dgccl.stats.proportion import clopper_pearson_interval, wilson_interval
from dgccl.stats.roc import (
    Placements,
    auroc,
    auroc_delong,
    newcombe_interval,
    placements,
)
from dgccl.stats.threshold import OperatingPoint, sensitivity_specificity_at, youden_threshold

__all__ = [
    "Estimate",
    "MeanRocCurve",
    "OperatingPoint",
    "PairedComparison",
    "Placements",
    "RocCurve",
    "TestResult",
    "auroc",
    "auroc_delong",
    "average_roc_curve",
    "clopper_pearson_interval",
    "delong_paired",
    "holm",
    "kolmogorov_smirnov",
    "newcombe_interval",
    "placements",
    "roc_curve",
    "sensitivity_specificity_at",
    "wilson_interval",
    "youden_threshold",
]
