"""The files of a trained run that evaluation reads, and the checks that they can be trusted."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from dgccl.config import AblationConfig, default_class_names, score_columns
from dgccl.errors import TrainingError
from dgccl.evaluation.run_checks import (
    check_complete,
    check_folds,
    check_values,
    damaged,
    inconsistent,
    judged_modality,
)

COLUMNS = ("lesion_id", "patient_id", "model", "fold", "split", "pattern", "y_true")
"""Columns of the predictions table that evaluation needs, beside those of the scores (`config.score_columns`)."""
FOLD_COLUMNS = ("lesion_id", "patient_id", "fold", "split")
EMBEDDING_COLUMNS = ("lesion_id", "patient_id", "fold", "y_true")


@dataclass(frozen=True, eq=False)
class RunTables:
    """A run as evaluation sees it.

    Attributes:
        class_names: in the order of the labels.
        predictions: one row a lesion, model, fold, split and pattern; the probability of class 1 in `y_score`, or with
            more than two classes that of each in `y_score_0` to `y_score_{C-1}`. A model of one modality has no rows
            without it.
        tensors: embeddings by `<model>/<kind>`; empty where the run kept none.
        embedding_rows: the lesions of the embeddings.
        ablations: by name, what was trained beside the models to learn what a part of one of them is worth.
        comparators: models that others published, whose predictions stand among those of the run's own.
    """

    name: str
    run: dict[str, Any]
    modalities: list[str]
    folds: int
    class_names: list[str]
    predictions: pd.DataFrame
    tensors: dict[str, np.ndarray]
    embedding_rows: pd.DataFrame
    ablations: dict[str, AblationConfig] = field(default_factory=dict)
    comparators: tuple[str, ...] = ()

    @property
    def full_pattern(self) -> str:
        """The pattern that shows a network all that a lesion has, e.g. `ct+pet`."""
        return "+".join(self.modalities)

    @property
    def models(self) -> list[str]:
        """The run's own models in the order of the predictions table, without their ablations."""
        others = {*self.ablations, *self.comparators}
        return [str(name) for name in self.predictions["model"].unique() if name not in others]

    @property
    def score_columns(self) -> list[str]:
        """Columns of the scores: one for two classes, one a class for more."""
        return list(score_columns(len(self.class_names)))

    @property
    def cohort(self) -> pd.DataFrame:
        """The test lesions, each once, with their truth and what was shown of them."""
        table = self.predictions
        chosen = table.loc[(table["split"] == "test") & (table["pattern"] == self.full_pattern)]
        return chosen.drop_duplicates("lesion_id").sort_values("lesion_id", ignore_index=True)

    def judged_modality(self, model: str) -> str | None:
        """The modality that a model judges by alone; None for a model that reads any."""
        return judged_modality(model, self.modalities)

    def withheld_patterns(self, model: str) -> list[str]:
        """The patterns that withhold something and that the model can judge, in the order of the table.

        A published model has none: it reads columns, not images.
        """
        if model in self.comparators:
            return []
        alone = self.judged_modality(model)
        return [
            str(pattern)
            for pattern in self.predictions["pattern"].unique()
            if pattern != self.full_pattern and (alone is None or alone in pattern.split("+"))
        ]

    def rows(self, model: str, *, split: str, pattern: str) -> pd.DataFrame:
        """Predictions of one model, by lesion in one order for all models."""
        table = self.predictions
        chosen = (table["model"] == model) & (table["split"] == split) & (table["pattern"] == pattern)
        return table.loc[chosen].sort_values(["lesion_id", "fold"], ignore_index=True)


def read_tables(run_dir: Path) -> RunTables:
    """Read and check a trained run.

    Raises:
        TrainingError: `run_file_missing`, `run_file_damaged`, `predictions_inconsistent`, `patient_in_two_splits`.
    """
    run, config = _read_json(run_dir / "run.json"), _read_json(run_dir / "config.json")
    for key in ("config_name", "data_kind", "seed", "dgccl_version", "cohort_sha256", "command"):
        if key not in run:
            raise damaged("run.json", f"it lacks {key!r}")
    try:
        modalities, folds = [str(name) for name in config["modalities"]], int(config["training"]["folds"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged("config.json", "it lacks modalities or training.folds") from error
    class_names = _class_names(config)
    columns = score_columns(len(class_names))
    predictions = _read_table(run_dir / "predictions.parquet", (*COLUMNS, *columns))
    if "modalities_shown" not in predictions:
        predictions["modalities_shown"] = predictions["pattern"]
    fold_table = _read_table(run_dir / "folds.csv", FOLD_COLUMNS)
    check_values(predictions, modalities, classes=len(class_names))
    check_folds(fold_table, folds)
    check_complete(predictions, fold_table, modalities)
    tensors, embedding_rows = _read_embeddings(run_dir)
    name = run_dir.resolve().name
    ablations = _ablations(config, set(predictions["model"]))
    return RunTables(
        name, run, modalities, folds, class_names, predictions, tensors, embedding_rows, ablations
    )


def _ablations(config: dict[str, Any], scored: set[str]) -> dict[str, AblationConfig]:
    """Ablations that the configuration names; all of them and their models must have been scored."""
    try:
        found = TypeAdapter(dict[str, AblationConfig]).validate_python(config.get("ablations", {}))
    except ValueError as error:
        raise damaged("config.json", "its ablations lack label, model or settings") from error
    lacking = sorted({*found, *(entry.model for entry in found.values())} - scored)
    if lacking:
        raise inconsistent(f"config.json names {', '.join(lacking)} in its ablations, which scored no lesion")
    return found


def _class_names(config: dict[str, Any]) -> list[str]:
    """Names of the classes; runs from before classes had names have two, with the names of that time."""
    model = config.get("model", {})
    try:
        names = [str(name) for name in model.get("class_names") or ()]
        classes = int(model.get("classes", len(names) or 2))
    except (AttributeError, TypeError, ValueError) as error:
        raise damaged("config.json", "its model has no usable classes and class_names") from error
    names = names or list(default_class_names(max(classes, 2)))
    if classes < 2 or len(set(names)) != classes or len(names) != classes:
        raise damaged("config.json", f"it has {classes} classes and the names {', '.join(names)}")
    return names


def _missing(path: Path) -> TrainingError:
    return TrainingError(
        "run_file_missing",
        f"The run folder {path.parent} has no {path.name}.",
        remedy="Finish the run with `dgccl train` first.",
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _missing(path) from error
    except ValueError as error:
        raise damaged(path.name, error) from error
    if not isinstance(content, dict):
        raise damaged(path.name, "a JSON object was expected")
    return content


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = (
            pd.read_parquet(path)
            if path.suffix == ".parquet"
            else pd.read_csv(path, dtype={"lesion_id": "str", "patient_id": "str"}, keep_default_na=False)
        )
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (ValueError, OSError) as error:  # pyarrow's own errors are ValueErrors
        raise damaged(path.name, error) from error
    lacking = [name for name in columns if name not in table.columns]
    if lacking:
        raise damaged(path.name, f"it lacks the columns {', '.join(lacking)}")
    if table.empty:
        raise damaged(path.name, "it has no rows")
    return table


def _read_embeddings(run_dir: Path) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Embeddings and their lesions; a run without both files kept none."""
    path = run_dir / "embeddings.safetensors"
    if not path.exists():
        return {}, pd.DataFrame(columns=list(EMBEDDING_COLUMNS))
    try:
        tensors = load_tensors(path.read_bytes())
    except SafetensorError as error:
        raise damaged(path.name, error) from error
    table = _read_table(run_dir / "embeddings.csv", EMBEDDING_COLUMNS)
    for key, tensor in tensors.items():
        rows = tensors.get(f"{key.rpartition('/')[0]}/row")
        if rows is None or len(rows) != len(tensor):
            raise damaged(path.name, f"{key} does not fit the rows of its model")
        if key.endswith("/row") and len(rows) and not (rows.min() >= 0 and rows.max() < len(table)):
            raise damaged(path.name, f"{key} points outside embeddings.csv")
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise damaged(path.name, f"{key} holds values that are not finite")
    return tensors, table
