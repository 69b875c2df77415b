"""What a run folder holds, read once and checked, before anything is drawn."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from dgccl.acceptance import read_acceptance
from dgccl.config import score_columns
from dgccl.errors import TrainingError
from dgccl.evaluation import load_results
from dgccl.robustness import read_stress

PREDICTION_COLUMNS = (
    "lesion_id",
    "patient_id",
    "site",
    "model",
    "fold",
    "split",
    "pattern",
    "modalities_shown",
    "y_true",
)
"""Columns of the predictions table that the report needs, beside those of the scores (`config.score_columns`)."""
HISTORY_COLUMNS = ("model", "fold", "epoch", "train_loss", "validation_loss", "validation_auroc")


@dataclass(frozen=True, eq=False)
class FusedEmbeddings:
    """Fused embeddings of one model's test lesions and the table rows (fold, y_true) they belong to."""

    vectors: Float32[np.ndarray, "n width"]
    rows: pd.DataFrame


@dataclass(frozen=True, eq=False)
class RunFiles:
    """Everything of a run that the report draws.

    Attributes:
        stress: content of `stress.json`; None where `dgccl stress` was not called.
        acceptance: content of `acceptance.json`; None where `dgccl accept` was not called.
    """

    results: dict[str, Any]
    config: dict[str, Any]
    run: dict[str, Any]
    environment: dict[str, Any]
    predictions: pd.DataFrame
    history: pd.DataFrame
    fused: dict[str, FusedEmbeddings] = field(default_factory=dict)
    stress: dict[str, Any] | None = None
    acceptance: dict[str, Any] | None = None

    @property
    def models(self) -> list[str]:
        """The run's own models in the order of the configuration; the first one leads."""
        return list(self.results["models"])

    @property
    def comparators(self) -> list[str]:
        """Published models that were computed, in the order of the results."""
        return list(self.results["comparators"])

    @property
    def judged(self) -> dict[str, Any]:
        """Results by model: the run's own models and then the published ones."""
        return self.results["models"] | self.results["comparators"]

    @property
    def modalities(self) -> list[str]:
        """Modality names in the fixed order of the configuration."""
        return list(self.config["modalities"])

    @property
    def class_names(self) -> list[str]:
        """Names of the classes in the order of their labels."""
        return list(self.results["meta"]["n_by_class"])

    @property
    def full_pattern(self) -> str:
        """The pattern in which every modality is present."""
        return "+".join(self.modalities)

    def test_rows(self, model: str) -> pd.DataFrame:
        """Test predictions of one model that was shown all that each lesion has."""
        table = self.predictions
        chosen = (
            (table["model"] == model) & (table["split"] == "test") & (table["pattern"] == self.full_pattern)
        )
        return table.loc[chosen].reset_index(drop=True)

    def complete_rows(self, model: str) -> pd.DataFrame:
        """As `test_rows`, of the lesions that have every modality."""
        rows = self.test_rows(model)
        return rows.loc[rows["modalities_shown"] == self.full_pattern].reset_index(drop=True)


def read_run(run_dir: Path) -> RunFiles:
    """Read the files of a trained and evaluated run.

    Args:
        run_dir: folder that `dgccl train` and `dgccl evaluate` wrote.

    Raises:
        TrainingError: a file is absent, damaged or lacks a column.
    """
    results = load_results(run_dir).to_json()
    columns = (*PREDICTION_COLUMNS, *score_columns(len(results["meta"]["n_by_class"])))
    return RunFiles(
        results=results,
        config=_read_json(run_dir / "config.json", verb="train"),
        run=_read_json(run_dir / "run.json", verb="train"),
        environment=_read_json(run_dir / "environment.json", verb="train"),
        predictions=_read_table(run_dir / "predictions.parquet", columns),
        history=_read_table(run_dir / "history.csv", HISTORY_COLUMNS),
        fused=_read_fused(run_dir),
        stress=read_stress(run_dir),
        acceptance=read_acceptance(run_dir),
    )


def _missing_file(path: Path, verb: str) -> TrainingError:
    return TrainingError(
        "run_file_missing",
        f"The run folder has no {path.name}.",
        remedy=f"Run `dgccl {verb}` on this run first.",
    )


def _damaged_file(path: Path, reason: object) -> TrainingError:
    return TrainingError(
        "run_file_damaged",
        f"{path.name} cannot be used: {reason}.",
        remedy="Train or evaluate the run again.",
    )


def _read_json(path: Path, *, verb: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _missing_file(path, verb) from error
    except ValueError as error:
        raise _damaged_file(path, error) from error
    if not isinstance(content, dict):
        raise _damaged_file(path, "expected a JSON object")
    return content


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except FileNotFoundError as error:
        raise _missing_file(path, "train") from error
    except (ValueError, OSError) as error:
        raise _damaged_file(path, error) from error
    lacking = [name for name in columns if name not in table.columns]
    if lacking:
        raise _damaged_file(path, f"it lacks the columns {', '.join(lacking)}")
    return table


def _read_fused(run_dir: Path) -> dict[str, FusedEmbeddings]:
    """Fused embeddings of every model that has them; a run without the files has none, which the report states."""
    path = run_dir / "embeddings.safetensors"
    if not path.exists():
        return {}
    try:
        tensors = load_tensors(path.read_bytes())
    except SafetensorError as error:
        raise _damaged_file(path, error) from error
    table = _read_table(run_dir / "embeddings.csv", ("lesion_id", "fold", "y_true"))
    fused = {}
    for key, vectors in tensors.items():
        model, _, kind = key.rpartition("/")
        if kind != "fused":
            continue
        rows = tensors[f"{model}/row"]
        if len(rows) != len(vectors) or (len(rows) and rows.max() >= len(table)):
            raise _damaged_file(path, f"{model}/row does not fit embeddings.csv")
        fused[model] = FusedEmbeddings(vectors.astype(np.float32), table.iloc[rows].reset_index(drop=True))
    return fused
