"""What `results.json` holds. A figure that is not defined on the data is null, with its reason in `warnings`."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A figure with its interval (95 %), how it was computed, and on how many lesions."""

    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    method: str
    n: int


@dataclass(frozen=True)
class Drop(Figure):
    """AUROC with all modalities minus AUROC with some withheld, on the same lesions; positive is a loss."""

    p: float | None


@dataclass(frozen=True)
class Pattern:
    """A model with only some modalities shown.

    Attributes:
        auroc: on all lesions that have the modalities of the pattern.
        drop: on the lesions that have every modality.
    """

    auroc: Figure
    drop: Drop


@dataclass(frozen=True)
class Confusion:
    """Lesions by call and truth at the thresholds chosen on validation."""

    tp: int
    fp: int
    fn: int
    tn: int


@dataclass(frozen=True)
class Roc:
    """Mean ROC curve of the folds (at equal specificity), from (0, 0) to (1, 1); its area is the AUROC."""

    fpr: list[float]
    tpr: list[float]


@dataclass(frozen=True)
class Quartiles:
    """Median and quartiles of n values; null where n is 0."""

    median: float | None
    q1: float | None
    q3: float | None
    n: int


@dataclass(frozen=True)
class GateTest:
    """Test whether the gate weight of one modality is alike in all classes."""

    statistic: float | None
    p: float | None
    method: str
    n: int
    modality: str


@dataclass(frozen=True)
class Gate:
    """Gate weights of the lesions that have every modality, by class name and modality.

    Attributes:
        ks: Kolmogorov-Smirnov test of two classes, which sees any difference; null with more.
        kruskal_wallis: test of more than two classes, which sees a shift of any of them; null with two.
    """

    by_class: dict[str, dict[str, Quartiles]]
    ks: GateTest | None
    kruskal_wallis: GateTest | None = None


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of n values (lesions, or pairs of lesions)."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Cosine:
    """Cosine similarity of two modalities' embeddings, each fold within its own network.

    Attributes:
        paired: both of one lesion.
        mismatched: of lesions of different patients of one fold; null where no fold has two patients.
        paired_untrained: as `paired`, before training; null where the run did not keep those embeddings.
    """

    paired: Spread
    mismatched: Spread | None
    paired_untrained: Spread | None
    method: str


@dataclass(frozen=True)
class ClassResult:
    """One class of several against the rest.

    Attributes:
        auroc: of the class's own score, the class against all others, within folds.
        roc: mean curve of the folds; null where it is not defined.
        sensitivity: share of the class's lesions that are called so.
        specificity: share of the other lesions that are not called so.
    """

    auroc: Figure
    roc: Roc | None
    sensitivity: Figure
    specificity: Figure


@dataclass(frozen=True)
class MultiClass:
    """What takes the place of one operating point where there are more than two classes.

    Every lesion is called the class of its highest probability: nothing is chosen on validation lesions.

    Attributes:
        by_class: by class name, in the order of the labels.
        accuracy: share of all lesions that are called right.
        confusion: lesions by truth (row) and call (column).
    """

    by_class: dict[str, ClassResult]
    accuracy: Figure
    confusion: list[list[int]]


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
class ModelResult:
    """Everything measured of one model.

    With more than two classes every AUROC is the macro AUROC (mean over classes of each against the rest), and what
    belongs to two classes alone is null: `sensitivity`, `specificity`, `confusion`, `roc`.

    Attributes:
        auroc: of the test scores, each compared with the other classes of its own fold: the networks of two folds
            need not score on one scale, and pooling them punishes a model for that, not for its ranking.
        auroc_pooled: of the test scores of all folds taken as one scale, for comparison.
        auroc_by_fold: one a fold, null where a test fold lacks a class.
        threshold_by_fold: Youden threshold of a fold's validation lesions (positive at score >= threshold); empty
            with more than two classes.
        patterns: by the modalities that were shown, e.g. `ct`; a model of one modality has none without it.
        gate: null for a model without a gate.
        cosine: null where the run kept no embeddings of two modalities.
        multiclass: null with two classes.
        calibration: by pattern, that of all modalities first; empty in results of version 0.1.0.
        conformal: prediction sets; null where no fold has enough validation lesions.
        acquisition: what each modality would add where it alone is missing; empty with more than two classes.
    """

    auroc: Figure
    auroc_pooled: Figure
    auroc_by_fold: list[float | None]
    threshold_by_fold: list[float | None]
    sensitivity: Figure | None
    specificity: Figure | None
    confusion: Confusion | None
    roc: Roc | None
    patterns: dict[str, Pattern]
    gate: Gate | None
    cosine: Cosine | None
    multiclass: MultiClass | None = None
    calibration: dict[str, Calibration] = field(default_factory=dict)
    conformal: Conformal | None = None
    acquisition: list[Acquisition] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """Paired DeLong test of model a against model b on the lesions that both judge: AUROC of a minus AUROC of b."""

    a: str
    b: str
    difference: float
    ci_low: float
    ci_high: float
    z: float
    p: float
    p_holm: float
    method: str
    n: int


@dataclass(frozen=True)
class ClinicalModel:
    """A published model of the chance of malignancy, computed from the cohort's columns.

    Attributes:
        lacking: columns that the cohort does not have; empty where the model was computed, or where too few lesions
            have a value in every column (a warning says so).
        auroc: of the test lesions that have every value.
        calibration: of its probabilities as published.
        difference: AUC of the run's first model minus that of this one, on the lesions that both judge.
    """

    name: str
    title: str
    source: str
    lacking: list[str]
    auroc: Figure | None
    calibration: CalibrationFigures | None
    difference: Comparison | None


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


@dataclass(frozen=True)
class Published:
    """A published figure of the method, on another data set; ends of the interval where one was published."""

    value: int | float | str
    text: str
    ci_low: float | None = None
    ci_high: float | None = None


@dataclass(frozen=True)
class Meta:
    """What was evaluated.

    Attributes:
        n_by_class: lesions by class name, in the order of the labels.
        bands: labels that a report must show across its head: `phantom`, `small_cohort`.
    """

    run: str
    config_name: str
    data_kind: str
    seed: int
    dgccl_version: str
    cohort_sha256: str
    command: str
    n_lesions: int
    n_patients: int
    n_by_class: dict[str, int]
    folds: int
    modalities: list[str]
    confidence: float
    bands: list[str]


@dataclass(frozen=True)
class Results:
    """All measured figures of a run, the published ones apart, and what a reader must be warned of."""

    meta: Meta
    models: dict[str, ModelResult]
    delong: list[Comparison]
    published: dict[str, Published]
    published_note: str
    warnings: list[str]
    decision: DecisionCurves | None = None
    clinical: ClinicalModels | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of `results.json`."""
        content = asdict(self)
        # Most published figures have no interval: their ends are left out, as null would read "not defined".
        content["published"] = {
            key: {name: value for name, value in entry.items() if value is not None}
            for key, entry in content["published"].items()
        }
        return content
