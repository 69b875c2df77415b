"""What the results hold of trust: calibration, prediction sets, decisions, missing images, published models."""

from dataclasses import dataclass, field

from dgccl.evaluation.figure import Comparison, Figure


@dataclass(frozen=True)
class Observed:
    """Share of class 1 that was observed against its probability, with a band (95 % at each point).

    Of more than two classes: share of right calls against the probability of the called class.
    """

    probability: list[float]
    observed: list[float]
    ci_low: list[float]
    ci_high: list[float]
    method: str


@dataclass(frozen=True)
class CalibrationFigures:
    """How far probabilities can be believed as such.

    Attributes:
        brier: mean squared error; of more than two classes summed over the classes.
        slope: 1 is perfect; below 1 the probabilities are too extreme.
        in_the_large: log odds, 0 is perfect; below 0 the probabilities are too high.
        ece: expected calibration error in ten bins of equal counts, its bias taken off.
        ece_plug_in: the same as it is usually given, biased upwards.
        ece_by_chance: what it would be on average if every probability were right.
        bins: observed by tenths of the lesions.
        smooth: observed as a smooth curve.
    """

    brier: Figure
    slope: Figure
    in_the_large: Figure
    ece: float | None
    ece_plug_in: float | None
    ece_by_chance: float | None
    bins: Observed | None
    smooth: Observed | None


@dataclass(frozen=True)
class Calibration:
    """Calibration of the test lesions' probabilities, as the networks gave them and recalibrated.

    Attributes:
        temperature_by_fold: fitted on the fold's validation lesions; null where these allow none.
        before: as the networks gave them.
        after: with each fold's logits divided by its temperature.
    """

    temperature_by_fold: list[float | None]
    before: CalibrationFigures
    after: CalibrationFigures


@dataclass(frozen=True)
class Conformal:
    """Prediction sets: the classes that cannot be ruled out for a lesion.

    Attributes:
        alpha: share of sets that may miss the truth.
        by_pattern: by the modalities shown: `coverage` (sets that hold the truth), `abstained` (sets that are no
            decision: several classes, or none), `decided_right` (of the sets of one class, those that are right).
    """

    alpha: float
    by_pattern: dict[str, dict[str, Figure]]


@dataclass(frozen=True)
class Benefit:
    """Net benefit at each threshold, with a band (95 % at each threshold)."""

    estimate: list[float]
    ci_low: list[float]
    ci_high: list[float]


@dataclass(frozen=True)
class DecisionCurves:
    """What acting on each model's recalibrated probabilities is worth, as a share of the lesions.

    Attributes:
        thresholds: probabilities at which one would act.
        models: by model; acting on no one is worth 0.
        treat_all: acting on everyone.
        prevalence: share of class 1.
        n: lesions that every model judges.
    """

    thresholds: list[float]
    models: dict[str, Benefit]
    treat_all: Benefit
    prevalence: float
    method: str
    n: int


@dataclass(frozen=True)
class ActingAt:
    """Acting on lesions of at least this probability.

    Attributes:
        expected_changes: share of the calls that the missing modality was expected to change.
        observed_changes: share of the calls that it did change.
        expected_benefit: net benefit that acquiring it was expected to add, as a share of all lesions.
        observed_benefit: net benefit with everything less that without it.
    """

    threshold: float
    expected_changes: float
    observed_changes: Figure
    expected_benefit: float
    observed_benefit: Figure


@dataclass(frozen=True)
class Acquisition:
    """What a missing modality was expected to add, and what it did add, on test lesions that have everything.

    Attributes:
        missing: the modality.
        shown: the pattern without it.
        n: test lesions.
        expected_change: mean absolute change of the probability that was expected.
        observed_change: mean absolute change that came.
        interval: share of lesions whose probability is promised to lie in its predicted interval.
        within_interval: share of lesions whose probability lay there.
    """

    missing: str
    shown: str
    n: int
    expected_change: float
    observed_change: float
    interval: float
    within_interval: Figure
    acting: list[ActingAt]


@dataclass(frozen=True)
class CallsAt:
    """Calls of a published model and of the run's model on the same lesions, both from this probability on.

    Attributes:
        threshold: probability from which a lesion is called class 1.
        guideline: which names the threshold for the published model.
        sensitivity: of the published model.
        specificity: of the published model.
        beside_sensitivity: of the run's first model, recalibrated.
        beside_specificity: of the run's first model, recalibrated.
    """

    threshold: float
    guideline: str
    sensitivity: Figure
    specificity: Figure
    beside_sensitivity: Figure
    beside_specificity: Figure


@dataclass(frozen=True)
class ClinicalModel:
    """A published model of the chance of malignancy, computed from the cohort's columns.

    Attributes:
        lacking: columns that the cohort does not have; empty where the model was computed, or where too few lesions
            have a value in every column (a warning says so).
        auroc: of the test lesions that have every value, within folds as every AUC.
        calibration: of its probabilities as published.
        difference: AUC of the run's first model minus that of this one, on the lesions that both judge; one of the
            run's comparisons, with Holm's correction over all of them.
        beside_auroc: of the run's first model on the same lesions; null in results of before it was computed.
        beside_calibration: of that model's recalibrated probabilities on the same lesions; null likewise.
        calls: at the thresholds that a guideline names; empty in results of before they were computed.
    """

    name: str
    title: str
    source: str
    lacking: list[str]
    auroc: Figure | None
    calibration: CalibrationFigures | None
    difference: Comparison | None
    beside_auroc: Figure | None = None
    beside_calibration: CalibrationFigures | None = None
    calls: list[CallsAt] = field(default_factory=list)


@dataclass(frozen=True)
class ClinicalModels:
    """Published models beside the run's first model.

    Attributes:
        beside: name of that model.
        decision: decision curves on the lesions that all of them judge.
    """

    beside: str
    models: list[ClinicalModel]
    decision: DecisionCurves | None
