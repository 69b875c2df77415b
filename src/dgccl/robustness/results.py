"""What `stress.json` holds, and how it is read again."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dgccl.errors import TrainingError
from dgccl.evaluation.figure import Figure

STRESS_FILE = "stress.json"
FORMAT = 1


@dataclass(frozen=True)
class Step:
    """One model with a dial at one amount.

    Attributes:
        amount: in the dial's unit.
        auroc: within folds, as in `results.json`.
        change: AUROC at this amount minus AUROC with nothing changed, on the same lesions.
        slope: calibration slope after the folds' own temperatures.
        in_the_large: calibration in the large, log odds.
        brier: Brier score.
        gate_weights: median weight by modality; empty for a model without a gate.
        calls_changed: share of the lesions that are called otherwise at their fold's threshold; null with more than two
            classes or without thresholds.
    """

    amount: float
    auroc: Figure
    change: Figure
    slope: Figure
    in_the_large: Figure
    brier: Figure
    gate_weights: dict[str, float]
    calls_changed: float | None


@dataclass(frozen=True)
class Tolerance:
    """The smallest amount at which the AUROC has fallen by the stated loss, in one direction of a dial.

    Attributes:
        direction: `up` or `down` from 0.
        amount: interpolated between the amounts tried; null where the loss was not reached.
        ci_low: end of the bootstrap interval that is nearer to 0; null where nearly no sample reached the loss.
        ci_high: the other end; null where the loss was not reached in so many samples.
        reached: share of the bootstrap samples in which it was reached.
        largest: the largest amount tried in this direction.
        sure_until: largest amount up to which the lower end of the change stayed above minus the loss; null where it
            was below from the first amount on.
    """

    direction: str
    amount: float | None
    ci_low: float | None
    ci_high: float | None
    reached: float
    largest: float
    sure_until: float | None


@dataclass(frozen=True)
class DialResult:
    """One dial turned for one model."""

    dial: str
    title: str
    unit: str
    meaning: str
    steps: list[Step]
    tolerances: list[Tolerance]
    notes: list[str]


@dataclass(frozen=True)
class StressMeta:
    """What was tested, and how."""

    run: str
    data_kind: str
    seed: int
    loss: float
    replicates: int
    dgccl_version: str
    cohort_sha256: str
    run_sha256: str
    command: str
    n_lesions: int
    n_patients: int
    confidence: float


@dataclass(frozen=True)
class Stress:
    """All dials of all models that were asked for.

    Attributes:
        not_applicable: dials that do nothing here, with the reason.
    """

    meta: StressMeta
    models: dict[str, list[DialResult]]
    not_applicable: dict[str, str]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The content of `stress.json`."""
        return {"format": FORMAT, **asdict(self)}


def run_hash(run_dir: Path) -> str:
    """Hash of the predictions by which a stress test knows its run."""
    return hashlib.sha256((run_dir / "predictions.parquet").read_bytes()).hexdigest()


def read_stress(run_dir: Path) -> dict[str, Any] | None:
    """The content of a run's `stress.json`; None where `dgccl stress` was not called.

    Args:
        run_dir: folder of the run.

    Raises:
        TrainingError: `run_file_damaged`; `stress_of_another_training`, the predictions have changed since.
    """
    path = run_dir / STRESS_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tested = content["meta"]["run_sha256"]
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}, not {FORMAT}")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            "run_file_damaged", f"{STRESS_FILE} cannot be used: {error}.", remedy="Call `dgccl stress` again."
        ) from error
    if tested != run_hash(run_dir):
        raise TrainingError(
            "stress_of_another_training",
            f"{STRESS_FILE} is of other predictions than {path.parent.name} holds now.",
            remedy="Call `dgccl stress` again, or delete the file.",
        )
    return dict(content)
