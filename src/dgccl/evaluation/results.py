"""What `results.json` holds. A figure that is not defined on the data is null, with its reason in `warnings`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dgccl.errors import TrainingError
from dgccl.files import write_atomically

RESULTS_FILE = "results.json"


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
class KolmogorovSmirnov:
    """Test whether the gate weight of one modality is distributed alike in both classes."""

    statistic: float | None
    p: float | None
    method: str
    n: int
    modality: str


@dataclass(frozen=True)
class Gate:
    """Gate weights of the lesions that have every modality, by class (`benign`, `malignant`) and modality."""

    by_class: dict[str, dict[str, Quartiles]]
    ks: KolmogorovSmirnov


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
class ModelResult:
    """Everything measured of one model.

    Attributes:
        auroc: of the test scores, each compared with the other class of its own fold: the networks of two folds
            need not score on one scale, and pooling them punishes a model for that, not for its ranking.
        auroc_pooled: of the test scores of all folds taken as one scale, for comparison.
        auroc_by_fold: one a fold, null where a test fold has one class only.
        threshold_by_fold: Youden threshold of a fold's validation lesions (positive at score >= threshold).
        patterns: by the modalities that were shown, e.g. `ct`.
        gate: null for a model without a gate.
        cosine: null where the run kept no embeddings of two modalities.
    """

    auroc: Figure
    auroc_pooled: Figure
    auroc_by_fold: list[float | None]
    threshold_by_fold: list[float | None]
    sensitivity: Figure
    specificity: Figure
    confusion: Confusion
    roc: Roc
    patterns: dict[str, Pattern]
    gate: Gate | None
    cosine: Cosine | None


@dataclass(frozen=True)
class Comparison:
    """Paired DeLong test of model a against model b: AUROC of a minus AUROC of b."""

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
    n_malignant: int
    n_benign: int
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

    def to_json(self) -> dict[str, Any]:
        """The content of `results.json`."""
        content = asdict(self)
        # Most published figures have no interval: their ends are left out, as null would read "not defined".
        content["published"] = {
            key: {name: value for name, value in entry.items() if value is not None}
            for key, entry in content["published"].items()
        }
        return content


def write_results(results: Results, path: Path) -> None:
    """Write `results.json` whole or not at all."""
    write_atomically(path, json.dumps(results.to_json(), indent=2, allow_nan=False) + "\n")


def load_results(path: Path) -> Results:
    """Read `results.json`.

    Args:
        path: the file, or the run folder that holds it.

    Raises:
        TrainingError: `run_file_missing`, `run_file_damaged`.
    """
    file = path / RESULTS_FILE if path.is_dir() else path
    try:
        return TypeAdapter(Results).validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise TrainingError(
            "run_file_missing", f"There is no {file.name}.", remedy="Run `dgccl evaluate` on this run first."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise TrainingError(
            "run_file_damaged",
            f"{file.name} is damaged or of another version, at {'.'.join(map(str, first['loc'])) or 'its start'}: "
            f"{first['msg']}.",
            remedy="Run `dgccl evaluate` on this run again.",
        ) from error
