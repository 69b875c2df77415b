"""Curves of a run's scores with their bands: ROC within folds, and precision against recall."""

import numpy as np
import pandas as pd

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.evaluation.areas import CONFIDENCE, figure_of, note
from dgccl.evaluation.recalibrated import Recalibrated
from dgccl.evaluation.results import PrecisionRecall, Roc, RocBand

SEED = 2026
REPLICATES = 2000


def roc(rows: pd.DataFrame, column: str, what: str, warnings: list[str]) -> Roc | None:
    """Mean ROC curve of the folds of one score; None, with a warning, where the data leave it undefined.

    Args:
        rows: predictions, with fold, patient_id and y_true of two classes (1 for the class that the score speaks for).
        column: the score.
        what: whose curve, for the warning.
        warnings: gets the reason where the curve or its band is not defined.
    """
    y_true, y_score = rows["y_true"].to_numpy(), rows[column].to_numpy(np.float64)
    try:
        curve = stats.average_roc_curve(y_true, y_score, stratum=rows["fold"].to_numpy())
    except StatsError as error:
        note(error, f"The ROC curve of {what}", warnings)
        return None
    return Roc(curve.fpr.tolist(), curve.tpr.tolist(), _band(rows, y_score, what, warnings))


def _band(rows: pd.DataFrame, y_score: np.ndarray, what: str, warnings: list[str]) -> RocBand | None:
    try:
        band = stats.average_roc_band(
            rows["y_true"].to_numpy(),
            y_score,
            seed=SEED,
            confidence=CONFIDENCE,
            patient=rows["patient_id"].to_numpy().astype(str),
            stratum=rows["fold"].to_numpy(),
            replicates=REPLICATES,
        )
    except StatsError as error:
        _note_bootstrap(error, f"The band of the ROC curve of {what}", warnings)
        return None
    return RocBand(
        band.fpr.tolist(), band.low.tolist(), band.high.tolist(), band.method, band.replicates, band.seed
    )


def precision_recall(found: Recalibrated, what: str, warnings: list[str]) -> PrecisionRecall | None:
    """Precision against recall of the recalibrated probabilities of class 1; None where they are not defined.

    A threshold's false positives come from all folds, so that the folds must be on one scale: that of probabilities.

    Args:
        found: test lesions of two classes.
        what: whose curve, for the warning.
        warnings: gets the reason where the interval is not defined.
    """
    y_true, chance = found.rows["y_true"].to_numpy(), found.calibrated[:, 1]
    try:
        curve = stats.precision_recall_curve(y_true, chance, corners_only=True)
    except StatsError as error:
        note(error, f"The precision-recall curve of {what}", warnings)
        return None
    try:
        area = figure_of(
            stats.bootstrap_interval(
                stats.auprc,
                [y_true, chance],
                seed=SEED,
                confidence=CONFIDENCE,
                patient=found.rows["patient_id"].to_numpy().astype(str),
                stratum=found.rows["fold"].to_numpy(),
                replicates=REPLICATES,
            )
        )
    except StatsError as error:
        _note_bootstrap(error, f"The interval of the average precision of {what}", warnings)
        area = figure_of(stats.auprc_interval(y_true, chance, confidence=CONFIDENCE))
    return PrecisionRecall(
        curve.recall.tolist(), curve.precision.tolist(), curve.baseline, area, REPLICATES, SEED
    )


def _note_bootstrap(error: StatsError, what: str, warnings: list[str]) -> None:
    """As `note`, also for what only a bootstrap leaves undefined."""
    if error.code == "too_many_failed_replicates":
        warnings.append(f"{what} is not defined: {error.message}")
    else:
        note(error, what, warnings)
