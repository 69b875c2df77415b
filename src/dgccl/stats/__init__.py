"""Statistics of a test of two classes or more, usable alone: NumPy in, frozen dataclasses out.

Of two classes, scores are higher for class 1 and a case is called positive at score >= threshold. Of more, scores have
a column a class and a case is called the class of its highest score. What is not defined raises
`dgccl.errors.StatsError` with a code; nothing returns NaN.
"""

from dgccl.stats._plan import SampleSize
from dgccl.stats.bootstrap import BootstrapEstimate, bootstrap_interval
from dgccl.stats.bootstrap_auroc import auroc_bootstrap, auroc_difference_bootstrap
from dgccl.stats.calibration import (
    CalibrationTest,
    LogisticCalibration,
    calibration_slope_intercept,
    spiegelhalter_test,
)
from dgccl.stats.calibration_curves import (
    CalibrationCurve,
    CalibrationDistances,
    SmoothCalibration,
    calibration_curve,
    calibration_distances,
    smooth_calibration,
)
from dgccl.stats.calibration_error import CalibrationError, expected_calibration_error
from dgccl.stats.calls import ClassCalls, call_highest
from dgccl.stats.class_measures import diagnostic_measures_by_class, f1_macro, mcc_multiclass
from dgccl.stats.comparison import (
    GroupTest,
    PairedComparison,
    TestResult,
    delong_paired,
    kolmogorov_smirnov,
    kruskal_wallis,
)
from dgccl.stats.conformal import (
    ConformalCoverage,
    ConformalSets,
    abstentions,
    fit_conformal,
    measured_coverage,
)
from dgccl.stats.contrast import delong_contrast
from dgccl.stats.curve import MeanRocCurve, RocCurve, average_roc_curve, roc_curve
from dgccl.stats.decision import (
    Band,
    BenefitCurve,
    DecisionCurve,
    decision_curve,
    net_benefit,
    net_benefit_difference,
)
from dgccl.stats.estimate import Estimate
from dgccl.stats.false_discovery import benjamini_hochberg, benjamini_yekutieli
from dgccl.stats.folds import FoldComparison, corrected_resampled_t, paired_t_over_folds
from dgccl.stats.macro import auroc_macro, auroc_macro_delong, delong_paired_macro
from dgccl.stats.mcnemar import (
    CallComparison,
    McNemarTest,
    mcnemar_calls,
    mcnemar_exact,
    paired_proportion_difference,
)
from dgccl.stats.measures import DiagnosticMeasures, diagnostic_measures, measures_of_counts
from dgccl.stats.multiplicity import holm
from dgccl.stats.non_inferiority import Equivalence, NonInferiority, equivalence, non_inferiority
from dgccl.stats.partial import partial_auroc
from dgccl.stats.partial_bootstrap import partial_auroc_bootstrap
from dgccl.stats.permutation import PermutationTest, permutation_test_paired
from dgccl.stats.permutation_groups import permutation_test_unpaired
from dgccl.stats.power import (
    auroc_power,
    auroc_precision_sample_size,
    auroc_sample_size,
    paired_auroc_power,
    paired_auroc_sample_size,
)
from dgccl.stats.precision_recall import (
    AuprcEstimate,
    PrecisionRecallCurve,
    auprc,
    auprc_interval,
    auprc_macro,
    precision_recall_curve,
)
from dgccl.stats.probability import BrierParts, brier_parts, brier_score, brier_skill, log_loss
from dgccl.stats.proportion import clopper_pearson_interval, wilson_interval
from dgccl.stats.ratio import koopman_interval
from dgccl.stats.recalibration import (
    Isotonic,
    Platt,
    Temperature,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    recalibration_from_dict,
)
from dgccl.stats.roc import Placements, auroc, auroc_delong, newcombe_interval, placements
from dgccl.stats.roc_band import RocBand, average_roc_band
from dgccl.stats.threshold import OperatingPoint, sensitivity_specificity_at, youden_threshold
from dgccl.stats.unpaired import UnpairedComparison, delong_unpaired

__all__ = [
    "AuprcEstimate",
    "Band",
    "BenefitCurve",
    "BootstrapEstimate",
    "BrierParts",
    "CalibrationCurve",
    "CalibrationDistances",
    "CalibrationError",
    "CalibrationTest",
    "CallComparison",
    "ClassCalls",
    "ConformalCoverage",
    "ConformalSets",
    "DecisionCurve",
    "DiagnosticMeasures",
    "Equivalence",
    "Estimate",
    "FoldComparison",
    "GroupTest",
    "Isotonic",
    "LogisticCalibration",
    "McNemarTest",
    "MeanRocCurve",
    "NonInferiority",
    "OperatingPoint",
    "PairedComparison",
    "PermutationTest",
    "Placements",
    "Platt",
    "PrecisionRecallCurve",
    "RocBand",
    "RocCurve",
    "SampleSize",
    "SmoothCalibration",
    "Temperature",
    "TestResult",
    "UnpairedComparison",
    "abstentions",
    "auprc",
    "auprc_interval",
    "auprc_macro",
    "auroc",
    "auroc_bootstrap",
    "auroc_delong",
    "auroc_difference_bootstrap",
    "auroc_macro",
    "auroc_macro_delong",
    "auroc_power",
    "auroc_precision_sample_size",
    "auroc_sample_size",
    "average_roc_band",
    "average_roc_curve",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "bootstrap_interval",
    "brier_parts",
    "brier_score",
    "brier_skill",
    "calibration_curve",
    "calibration_distances",
    "calibration_slope_intercept",
    "call_highest",
    "clopper_pearson_interval",
    "corrected_resampled_t",
    "decision_curve",
    "delong_contrast",
    "delong_paired",
    "delong_paired_macro",
    "delong_unpaired",
    "diagnostic_measures",
    "diagnostic_measures_by_class",
    "equivalence",
    "expected_calibration_error",
    "f1_macro",
    "fit_conformal",
    "fit_isotonic",
    "fit_platt",
    "fit_temperature",
    "holm",
    "kolmogorov_smirnov",
    "koopman_interval",
    "kruskal_wallis",
    "log_loss",
    "mcc_multiclass",
    "mcnemar_calls",
    "mcnemar_exact",
    "measured_coverage",
    "measures_of_counts",
    "net_benefit",
    "net_benefit_difference",
    "newcombe_interval",
    "non_inferiority",
    "paired_auroc_power",
    "paired_auroc_sample_size",
    "paired_proportion_difference",
    "paired_t_over_folds",
    "partial_auroc",
    "partial_auroc_bootstrap",
    "permutation_test_paired",
    "permutation_test_unpaired",
    "placements",
    "precision_recall_curve",
    "recalibration_from_dict",
    "roc_curve",
    "sensitivity_specificity_at",
    "smooth_calibration",
    "spiegelhalter_test",
    "wilson_interval",
    "youden_threshold",
]
