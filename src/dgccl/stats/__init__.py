"""Statistics of a test of two classes or more, usable alone: NumPy in, frozen dataclasses out.

Of two classes, scores are higher for class 1 and a case is called positive at score >= threshold. Of more, scores have
a column a class and a case is called the class of its highest score. What is not defined raises
`dgccl.errors.StatsError` with a code; nothing returns NaN.
"""

from dgccl.stats.calls import ClassCalls, call_highest
from dgccl.stats.comparison import (
    GroupTest,
    PairedComparison,
    TestResult,
    delong_paired,
    kolmogorov_smirnov,
    kruskal_wallis,
)
from dgccl.stats.curve import MeanRocCurve, RocCurve, average_roc_curve, roc_curve
from dgccl.stats.estimate import Estimate
from dgccl.stats.macro import auroc_macro, auroc_macro_delong, delong_paired_macro
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
    "ClassCalls",
    "Estimate",
    "GroupTest",
    "MeanRocCurve",
    "OperatingPoint",
    "PairedComparison",
    "Placements",
    "RocCurve",
    "TestResult",
    "auroc",
    "auroc_delong",
    "auroc_macro",
    "auroc_macro_delong",
    "average_roc_curve",
    "call_highest",
    "clopper_pearson_interval",
    "delong_paired",
    "delong_paired_macro",
    "holm",
    "kolmogorov_smirnov",
    "kruskal_wallis",
    "newcombe_interval",
    "placements",
    "roc_curve",
    "sensitivity_specificity_at",
    "wilson_interval",
    "youden_threshold",
]
