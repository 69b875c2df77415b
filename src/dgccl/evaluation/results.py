"""What `results.json` holds. A figure that is not defined on the data is null, with its reason in `warnings`."""

from dataclasses import asdict, dataclass, field
from typing import Any

from dgccl.evaluation.figure import Comparison, Drop, Figure
from dgccl.evaluation.trust_results import Acquisition, Calibration, ClinicalModels, Conformal, DecisionCurves


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
class RocBand:
    """Interval of the mean sensitivity of the folds at each of a row of specificities, each point by itself."""

    fpr: list[float]
    low: list[float]
    high: list[float]
    method: str
    replicates: int
    seed: int


@dataclass(frozen=True)
class Roc:
    """Mean ROC curve of the folds (at equal specificity), from (0, 0) to (1, 1); its area is the AUROC.

    Attributes:
        band: null where the data leave it undefined, and in results of before it was computed.
    """

    fpr: list[float]
    tpr: list[float]
    band: RocBand | None = None


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision-recall curve of the recalibrated probabilities of all folds, which lie on one scale.

    Attributes:
        baseline: precision of a score without skill, which is the share of positive lesions.
        auprc: average precision with its bootstrap interval by patient within folds.
        seed: of the bootstrap.
    """

    recall: list[float]
    precision: list[float]
    baseline: float
    auprc: Figure
    replicates: int
    seed: int


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
class ClassDistance:
    """Cosine distance (1 - cosine) of one kind of embeddings between lesions, each fold within its own network.

    Attributes:
        kind: a modality, whose embeddings go into the fusion, or `fused`, what comes out.
        between: pairs of lesions of different classes.
        within: pairs of lesions of one class, of different patients.
    """

    kind: str
    between: Spread | None
    within: Spread | None


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
        precision_recall: null with more than two classes, and in results of before it was computed.
        class_distances: of what goes into the fusion and what comes out; empty where the run kept no fused embeddings.
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
    precision_recall: PrecisionRecall | None = None
    class_distances: list[ClassDistance] = field(default_factory=list)


@dataclass(frozen=True)
class Subgroup:
    """One model on the test lesions of one group.

    Attributes:
        column: of the cohort's lesion table, which makes the groups.
        name: of the group.
        n: its test lesions.
        n_by_class: of them, by class name.
        auroc: within folds, as the headline; the method says `too_few` where the group was not looked at.
    """

    column: str
    name: str
    n: int
    n_by_class: dict[str, int]
    auroc: Figure


@dataclass(frozen=True)
class Subgroups:
    """One model in groups of the test lesions.

    Attributes:
        model: whose scores.
        of_class: lesions of each class that a group needs to be looked at.
        groups: in the order of their columns.
    """

    model: str
    of_class: int
    groups: list[Subgroup]


@dataclass(frozen=True)
class AblationResult:
    """A model with one part left out or changed, trained in the same folds.

    Attributes:
        name: as predictions call it.
        label: for people.
        model: the full model.
        settings: what differs from it, by table and key of the configuration.
        auroc: within folds, as that of a model.
        full_auroc: that of the full model.
        patterns: with only some modalities shown.
        comparison: full model (a) against the ablation (b), Holm's correction over the run's ablations; null where
            the data leave it undefined.
    """

    name: str
    label: str
    model: str
    settings: dict[str, dict[str, Any]]
    auroc: Figure
    full_auroc: Figure
    patterns: dict[str, Figure]
    comparison: Comparison | None


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
    """All measured figures of a run, the published ones apart, and what a reader must be warned of.

    Attributes:
        delong: the first model against every other one and every published model; one family of tests.
        decision: of the run's models, and of the published ones that judge every lesion that these judge.
        comparators: published models that clinicians know, measured as the run's own on the lesions that have what
            they need, with their probabilities as published; empty in results of before they were.
    """

    meta: Meta
    models: dict[str, ModelResult]
    delong: list[Comparison]
    published: dict[str, Published]
    published_note: str
    warnings: list[str]
    decision: DecisionCurves | None = None
    clinical: ClinicalModels | None = None
    ablations: list[AblationResult] = field(default_factory=list)
    subgroups: Subgroups | None = None
    comparators: dict[str, ModelResult] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The content of `results.json`."""
        content = asdict(self)
        # Most published figures have no interval: their ends are left out, as null would read "not defined".
        content["published"] = {
            key: {name: value for name, value in entry.items() if value is not None}
            for key, entry in content["published"].items()
        }
        return content
