"""The folder of a pre-training: what was learned from, the encoders, the history, and what retrieval found.

It is bound to one configuration, one cohort and, like a run folder, goes on where it was killed.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from dgccl import __version__
from dgccl.cohort import Cohort
from dgccl.config import ExperimentConfig
from dgccl.errors import TrainingError
from dgccl.files import this_command, write_atomically
from dgccl.run_dir import check_same, config_sha256, describe_environment, utc_now, write_json

MANIFEST, WEIGHTS, LESIONS, HISTORY = "pretraining.json", "encoders.safetensors", "lesions.csv", "history.csv"
UNFINISHED = "unfinished.safetensors"
LESION_KEYS = ("lesion_id", "patient_id", "array_sha256")
"""By which a lesion is known again in another cohort."""


def begin_folder(
    out_dir: Path,
    *,
    cohort: Cohort,
    config: ExperimentConfig,
    quantities: Mapping[str, str],
    split: pd.Series,
    device: str,
) -> None:
    """Begin a folder, or make sure that the one found is of this configuration and cohort.

    Args:
        out_dir: the folder.
        cohort: what is learned from.
        config: the experiment.
        quantities: quantity each modality shows.
        split: `train` or `validation`, one a lesion.
        device: `cpu` or `cuda`.

    Raises:
        TrainingError: `run_dir_mismatch`, `run_dir_not_empty`; nothing is changed then.
    """
    identity = {
        "config_sha256": config_sha256(config),
        "cohort_sha256": cohort.sha256,
        "data_kind": cohort.data_kind,
    }
    if (out_dir / MANIFEST).exists():
        check_same(read_manifest(out_dir), identity, out_dir, what="pre-training")
        return
    if out_dir.exists() and any(not item.name.startswith(".") for item in out_dir.iterdir()):
        raise TrainingError(
            "run_dir_not_empty",
            f"{out_dir} holds files but no {MANIFEST}: it is no folder of a pre-training.",
            remedy="Choose a new folder.",
        )
    manifest = {
        "cohort_dir": str(cohort.folder),
        **identity,
        "config_name": config.name,
        "seed": config.seed,
        "quantities": dict(quantities),
        "n_lesions": {name: int((split == name).sum()) for name in ("train", "validation")},
        "dgccl_version": __version__,
        "command": this_command(),
        "started": utc_now(),
        "finished": None,
    }
    write_json(out_dir / "config.json", config.model_dump(mode="json"))
    write_json(out_dir / "environment.json", describe_environment(device, config.seed))
    table = cohort.lesions[list(LESION_KEYS)].assign(split=split.to_numpy())
    write_atomically(out_dir / LESIONS, table.to_csv(index=False))
    write_json(out_dir / MANIFEST, manifest)


def read_manifest(out_dir: Path) -> dict[str, Any]:
    """Content of `pretraining.json`.

    Raises:
        TrainingError: `not_a_pretraining`, `run_file_damaged`.
    """
    try:
        return dict(json.loads((out_dir / MANIFEST).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TrainingError(
            "not_a_pretraining",
            f"{out_dir} is no folder of a pre-training: {MANIFEST} is missing.",
            remedy="Make one with `dgccl pretrain`.",
        ) from error
    except ValueError as error:
        raise _damaged(out_dir / MANIFEST) from error


def read_pretraining_config(out_dir: Path) -> ExperimentConfig:
    """The experiment that a folder's encoders were pre-trained in.

    Raises:
        TrainingError: `run_file_damaged`.
    """
    try:
        return ExperimentConfig.model_validate(json.loads((out_dir / "config.json").read_text("utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise _damaged(out_dir / "config.json") from error


def read_lesions(out_dir: Path) -> pd.DataFrame:
    """Columns `LESION_KEYS` and `split` of the lesions of a pre-training, as text.

    Raises:
        TrainingError: `run_file_damaged`.
    """
    try:
        table = pd.read_csv(out_dir / LESIONS, dtype="str", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise _damaged(out_dir / LESIONS) from error
    if list(table.columns) != [*LESION_KEYS, "split"]:
        raise _damaged(out_dir / LESIONS)
    return table


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _damaged(path: Path) -> TrainingError:
    return TrainingError(
        "run_file_damaged",
        f"{path.parent.name}/{path.name} is missing or cannot be read.",
        remedy="Pre-train into a new folder.",
    )
