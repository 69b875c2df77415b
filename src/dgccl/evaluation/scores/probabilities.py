"""How far scores that are probabilities can be believed as such: calibration, Brier score, decision curve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from dgccl.errors import StatsError
from dgccl.evaluation.scores.table import ScoreTable
from dgccl.stats import (
    CalibrationCurve,
    CalibrationError,
    DecisionCurve,
    Estimate,
    LogisticCalibration,
    SmoothCalibration,
    brier_score,
    calibration_curve,
    calibration_slope_intercept,
    decision_curve,
    expected_calibration_error,
    smooth_calibration,
)

CLIP = 1e-6
"""Probabilities of 0 and 1 have no log odds; they are moved in by this much, and a warning counts them."""
DECISION_THRESHOLDS = np.linspace(0.01, 0.99, 99)
SEED = 2026

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class ProbabilityFacts:
    """One score that is a probability; what these cases leave undefined is None.

    Attributes:
        brier: mean squared error.
        logistic: calibration in the large, intercept and slope.
        error: expected calibration error in bins of equal counts.
        curve: share of class 1 by bin.
        smooth: share of class 1 as a smooth curve.
    """

    brier: Estimate
    logistic: LogisticCalibration | None
    error: CalibrationError | None
    curve: CalibrationCurve
    smooth: SmoothCalibration | None


@dataclass(frozen=True, eq=False)
class Probabilities:
    """All scores that are probabilities.

    Attributes:
        scores: by name.
        decision: their decision curves.
        seed: of the simulation behind the expected calibration error.
    """

    scores: dict[str, ProbabilityFacts]
    decision: DecisionCurve
    seed: int = SEED


def probability_facts(
    table: ScoreTable,
    names: Sequence[str],
    warnings: list[str],
    *,
    prevalence: float | None = None,
    confidence: float = 0.95,
) -> Probabilities:
    """Calibration, Brier score and decision curve of scores that are probabilities of class 1.

    Brier score, logistic calibration, smooth curve and decision curve go by cluster where the table has clusters.

    Args:
        table: labels and scores.
        names: scores to look at.
        warnings: gets the reason where a figure is not defined.
        prevalence: share of class 1 where the scores are to be used, for the decision curves.
        confidence: nominal coverage.

    Raises:
        StatsError: `probability_out_of_range` if a score is no probability; `one_class`.
    """
    patient = None if table.cluster is None else table.cluster[1]
    facts = {
        name: _facts(name, table.y_true, table.scores[name], patient, warnings, confidence) for name in names
    }
    decision = decision_curve(
        table.y_true,
        {name: table.scores[name] for name in names},
        thresholds=DECISION_THRESHOLDS,
        confidence=confidence,
        patient=patient,
        prevalence=prevalence,
    )
    return Probabilities(facts, decision)


def _facts(
    name: str,
    y_true: np.ndarray,
    probability: np.ndarray,
    patient: np.ndarray | None,
    warnings: list[str],
    confidence: float,
) -> ProbabilityFacts:
    brier = brier_score(
        y_true, probability, confidence=confidence, patient=patient
    )  # refuses what is no probability
    ends = int(((probability < CLIP) | (probability > 1.0 - CLIP)).sum())
    if ends:
        warnings.append(
            f"{name} is 0 or 1 (or within {CLIP:g}) in {ends} of {len(y_true)} cases, which no outcome can bear out; "
            f"for log odds these count as {CLIP:g} from there."
        )

    def where_defined(what: str, compute: Callable[[], Found]) -> Found | None:
        try:
            return compute()
        except StatsError as error:
            warnings.append(f"The {what} of {name} is not defined: {error.message}")
            return None

    return ProbabilityFacts(
        brier,
        where_defined(
            "calibration slope",
            lambda: calibration_slope_intercept(
                y_true, probability, confidence=confidence, patient=patient, clip=CLIP
            ),
        ),
        where_defined(
            "expected calibration error", lambda: expected_calibration_error(y_true, probability, seed=SEED)
        ),
        calibration_curve(y_true, probability, confidence=confidence),
        where_defined(
            "smooth calibration curve",
            lambda: smooth_calibration(
                y_true, probability, confidence=confidence, patient=patient, clip=CLIP
            ),
        ),
    )
