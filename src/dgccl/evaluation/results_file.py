"""The file `results.json`: written whole or not at all, and read back with a check of every field."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from dgccl.errors import TrainingError
from dgccl.evaluation.results import Results
from dgccl.files import write_atomically

RESULTS_FILE = "results.json"


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
        content = from_json(file.read_bytes())
        return TypeAdapter(Results).validate_python(_present_form(content))
    except FileNotFoundError as error:
        raise TrainingError(
            "run_file_missing", f"There is no {file.name}.", remedy="Run `dgccl evaluate` on this run first."
        ) from error
    except ValueError as error:
        where, reason = "its start", str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            where, reason = ".".join(map(str, first["loc"])) or where, first["msg"]
        raise TrainingError(
            "run_file_damaged",
            f"{file.name} is damaged or of another version, at {where}: {reason}.",
            remedy="Run `dgccl evaluate` on this run again.",
        ) from error


def _present_form(content: Any) -> Any:
    """Results as they are written now; version 0.1.0 knew two classes only and counted them under their names."""
    meta = content.get("meta") if isinstance(content, dict) else None
    if isinstance(meta, dict) and "n_by_class" not in meta and {"n_benign", "n_malignant"} <= set(meta):
        counts = {"benign": meta["n_benign"], "malignant": meta["n_malignant"]}
        return content | {"meta": meta | {"n_by_class": counts}}
    return content
