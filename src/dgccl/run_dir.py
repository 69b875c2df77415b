"""The run folder: what was trained on what, the finished folds, and the tables that evaluation reads.

A run folder is bound to one configuration and one cohort. Every file appears whole or not at all.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from dgccl import __version__
from dgccl.cohort import Cohort
from dgccl.config import ExperimentConfig
from dgccl.errors import TrainingError
from dgccl.files import this_command, write_atomically
from dgccl.folds import Split

PACKAGES = (
    "torch",
    "lightning",
    "monai",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pydicom",
    "safetensors",
)
"""Packages whose versions can change a run's numbers."""

HISTORY_COLUMNS = ("model", "fold", "epoch", "train_loss", "validation_loss", "validation_auroc")


@dataclass(frozen=True, eq=False)
class FoldResult:
    """What one model leaves of one fold.

    Attributes:
        predictions: rows of the predictions table, as `prediction_table.prediction_rows` makes them, with `split`,
            `model` and `fold`: probabilities in `y_score` (class 1 of two) or `y_score_0` to `y_score_{C-1}`.
        history: one row an epoch.
        embeddings: vectors of the test lesions, (n, D) each, in the order of `test_lesions`.
        test_lesions: lesion_id, patient_id, fold, y_true.
    """

    predictions: pd.DataFrame
    history: pd.DataFrame
    embeddings: dict[str, Float32[np.ndarray, "_ _"]]
    test_lesions: pd.DataFrame


def weights_path(run_dir: Path, model: str, fold: int) -> Path:
    """Where the best weights of one model and fold lie."""
    return run_dir / "weights" / f"{model}-fold{fold}.safetensors"


def resume_path(run_dir: Path, model: str, fold: int) -> Path:
    """Where the state of an unfinished fold lies."""
    return run_dir / "unfinished" / f"{model}-fold{fold}.safetensors"


def open_run(
    run_dir: Path,
    *,
    cohort: Cohort,
    config: ExperimentConfig,
    quantities: Mapping[str, str],
    device: str,
    start: Mapping[str, Any] | None = None,
) -> None:
    """Begin a run folder, or make sure that the one found belongs to this configuration, cohort and start.

    Args:
        run_dir: the folder.
        cohort: what is trained on.
        config: the experiment.
        quantities: quantity each modality shows.
        device: `cpu` or `cuda`.
        start: what the weights begin with, with its hash as `encoders_sha256`; None for freshly drawn ones.

    Raises:
        TrainingError: the folder holds another run, or files that are no run; nothing is changed then.
    """
    identity = {
        "config_sha256": config_sha256(config),
        "cohort_sha256": cohort.sha256,
        "data_kind": cohort.data_kind,
        "start_sha256": None if start is None else str(start["encoders_sha256"]),
    }
    if (run_dir / "run.json").exists():
        check_same(read_run(run_dir), identity, run_dir, what="run")
    elif run_dir.exists() and any(not item.name.startswith(".") for item in run_dir.iterdir()):
        raise TrainingError(
            "run_dir_not_empty",
            f"{run_dir} holds files but no run.json: it is no run folder.",
            remedy="Choose a new folder for the run.",
        )
    else:
        write_json(
            run_dir / "run.json",
            {
                "cohort_dir": str(cohort.folder),
                **identity,
                "config_name": config.name,
                "seed": config.seed,
                "quantities": dict(quantities),
                "start": None if start is None else dict(start),
                "dgccl_version": __version__,
                "command": this_command(),
                "started": utc_now(),
                "finished": None,
            },
        )
    write_json(run_dir / "config.json", config.model_dump(mode="json"))
    if not is_finished(run_dir):
        write_json(run_dir / "environment.json", describe_environment(device, config.seed))


def read_run(run_dir: Path) -> dict[str, Any]:
    """Content of `run.json`.

    Raises:
        TrainingError: the folder is no run, or the file is damaged.
    """
    try:
        return dict(json.loads((run_dir / "run.json").read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise TrainingError(
            "not_a_run", f"{run_dir} is no run: run.json is missing.", remedy="Make one with `dgccl train`."
        ) from error
    except ValueError as error:
        raise TrainingError(
            "run_file_damaged",
            f"{run_dir / 'run.json'} cannot be read: {error}.",
            remedy="Train into a new folder.",
        ) from error


def is_finished(run_dir: Path) -> bool:
    """Whether every fold of every model was trained and the tables were written."""
    return (run_dir / "run.json").exists() and read_run(run_dir)["finished"] is not None


def write_folds(run_dir: Path, lesions: pd.DataFrame, *, splits: Sequence[Split]) -> None:
    """Write `folds.csv`: which lesion was in which split of which fold."""
    tables = [
        lesions.iloc[rows][["lesion_id", "patient_id"]].assign(fold=split.fold, split=name)
        for split in splits
        for name, rows in split.items()
    ]
    write_atomically(run_dir / "folds.csv", pd.concat(tables).to_csv(index=False))


def has_fold(run_dir: Path, model: str, fold: int) -> bool:
    """Whether this fold is finished."""
    return _part(run_dir, model, fold).exists()


def save_fold(run_dir: Path, result: FoldResult, *, model: str, fold: int) -> None:
    """Mark a fold as finished by putting its results in place, all at once."""
    part = _part(run_dir, model, fold)
    temporary = part.with_name(f".{part.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    result.predictions.to_parquet(temporary / "predictions.parquet", index=False)
    result.history.to_parquet(temporary / "history.parquet", index=False)
    result.test_lesions.to_parquet(temporary / "test_lesions.parquet", index=False)
    (temporary / "embeddings.safetensors").write_bytes(to_bytes(result.embeddings))
    os.replace(temporary, part)
    resume_path(run_dir, model, fold).unlink(missing_ok=True)


def assemble(run_dir: Path, config: ExperimentConfig) -> None:
    """Join the finished folds into the tables of the run, and mark the run as finished."""
    parts = {
        model: [_read_part(_part(run_dir, model, fold)) for fold in range(config.training.folds)]
        for model in config.trained
    }
    everything = [part for of_model in parts.values() for part in of_model]
    history = pd.concat([part.history for part in everything])
    write_atomically(run_dir / "history.csv", history[list(HISTORY_COLUMNS)].to_csv(index=False))
    # Every model is tested on the same lesions in the same order, so one table serves them all.
    test_lesions = pd.concat([part.test_lesions for part in parts[config.models[0]]])
    write_atomically(run_dir / "embeddings.csv", test_lesions.to_csv(index=False))
    tensors: dict[str, np.ndarray] = {}
    for model, of_model in parts.items():
        tensors[f"{model}/row"] = np.arange(len(test_lesions), dtype=np.int64)
        for key in of_model[0].embeddings:
            tensors[f"{model}/{key}"] = np.concatenate([part.embeddings[key] for part in of_model])
    write_atomically(run_dir / "embeddings.safetensors", to_bytes(tensors))
    predictions = pd.concat([part.predictions for part in everything])
    write_atomically(run_dir / "predictions.parquet", predictions.to_parquet(index=False))
    write_json(run_dir / "run.json", read_run(run_dir) | {"finished": utc_now()})
    shutil.rmtree(run_dir / "unfinished", ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def _part(run_dir: Path, model: str, fold: int) -> Path:
    return run_dir / "unfinished" / f"{model}-fold{fold}"


def _read_part(part: Path) -> FoldResult:
    return FoldResult(
        predictions=pd.read_parquet(part / "predictions.parquet"),
        history=pd.read_parquet(part / "history.parquet"),
        embeddings=load_file(part / "embeddings.safetensors"),
        test_lesions=pd.read_parquet(part / "test_lesions.parquet"),
    )


IDENTITY_WORDS = {
    "config_sha256": "configuration",
    "cohort_sha256": "cohort",
    "data_kind": "kind of data",
    "start_sha256": "start (pre-trained encoders)",
}


def check_same(
    found: Mapping[str, Any], identity: Mapping[str, str | None], folder: Path, *, what: str
) -> None:
    """Refuse to go on in a folder that began with something else.

    Args:
        found: what the folder says it began with.
        identity: what is to go on, by keys of `IDENTITY_WORDS`.
        folder: named in the message.
        what: "run" or "pre-training".

    Raises:
        TrainingError: `run_dir_mismatch`, with what differs.
    """
    different = [IDENTITY_WORDS[key] for key, value in identity.items() if found.get(key) != value]
    if different:
        *first, last = (IDENTITY_WORDS[key] for key in identity)
        raise TrainingError(
            "run_dir_mismatch",
            f"{folder} holds a {what} of another {' and another '.join(different)}; it was left as it is.",
            remedy=f"Choose a new folder, or go on with the {', '.join(first)} and {last} that it began with.",
        )


def config_sha256(config: ExperimentConfig) -> str:
    """Hash of every setting of an experiment."""
    canonical = json.dumps(config.model_dump(mode="json"), separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def describe_environment(device: str, seed: int) -> dict[str, Any]:
    """Machine, versions and seed, as a run notes them."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {"dgccl": __version__} | {package: version(package) for package in PACKAGES},
        "device": device,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "seeds": {"experiment": seed},
    }


def utc_now() -> str:
    """Date and time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
