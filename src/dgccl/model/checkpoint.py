"""Weights on disk: safetensors (no pickle), with the architecture that they belong to."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dgccl.errors import TrainingError

ARCHITECTURE_KEY = "architecture"


@runtime_checkable
class Described(Protocol):
    """A module that can say which settings its weights belong to: every classifier, and pre-trained encoders."""

    architecture: dict[str, str]

    def state_dict(self) -> dict[str, Any]:
        """Weights and buffers by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take weights and buffers."""
        ...


def save_weights(model: Described, path: Path, *, metadata: dict[str, str]) -> None:
    """Write a model's weights and buffers; a file that is already there is replaced in one step or not at all.

    Args:
        model: the model.
        path: the file, by custom `*.safetensors`.
        metadata: what else to keep with the weights; the key `architecture` is taken.

    Raises:
        ValueError: `metadata` uses the key `architecture`.
    """
    if ARCHITECTURE_KEY in metadata:
        raise ValueError(f"metadata key {ARCHITECTURE_KEY!r} is reserved")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    partial = path.with_name(f"{path.name}.partial")
    save_file(
        tensors, partial, metadata={**metadata, ARCHITECTURE_KEY: json.dumps(model.architecture, indent=0)}
    )
    os.replace(partial, path)


def load_weights(model: Described, path: Path) -> dict[str, str]:
    """Load weights into a model of the same architecture; on any error the model stays as it was.

    Args:
        model: the model to fill.
        path: a file that `save_weights` wrote.

    Returns:
        The metadata that was saved with the weights.

    Raises:
        TrainingError: there is no such file, it cannot be read, or its weights belong to another architecture.
    """
    if not path.is_file():
        raise TrainingError(
            "weights_not_found",
            f"There is no weights file {path.name} in {path.parent.name or 'the current folder'}.",
            remedy="Train first, or check the run folder.",
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except SafetensorError as error:
        raise TrainingError(
            "weights_unreadable",
            f"{path.name} is no complete safetensors file ({error}).",
            remedy="The file was cut off or is something else: copy it again or train again.",
        ) from error
    _check_tensors(model.state_dict(), tensors, path.name)
    _check_architecture(model.architecture, metadata.pop(ARCHITECTURE_KEY, ""), path.name)
    model.load_state_dict(tensors)
    return metadata


def _check_tensors(expected: dict[str, Tensor], found: dict[str, Tensor], file: str) -> None:
    """Refuse weights whose names, shapes or types are not the model's; name the first that differs."""
    for name in [*expected, *sorted(found.keys() - expected.keys())]:
        if (in_file := _describe(found.get(name))) != (in_model := _describe(expected.get(name))):
            raise _wrong_architecture(
                file, f"tensor {name} is {in_file} in the file and {in_model} in the model"
            )


def _describe(tensor: Tensor | None) -> str:
    """Shape and type in words."""
    return "absent" if tensor is None else f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _check_architecture(expected: dict[str, str], saved: str, file: str) -> None:
    """Refuse weights that fit the tensors but were trained with other settings; name the first that differs."""
    try:
        found = dict(json.loads(saved))
    except (json.JSONDecodeError, TypeError, ValueError) as error:
        raise _wrong_architecture(file, "it does not say which architecture it belongs to") from error
    for key in [*expected, *sorted(found.keys() - expected.keys())]:
        if found.get(key) != expected.get(key):
            raise _wrong_architecture(
                file, f"{key} is {found.get(key)} in the file and {expected.get(key)} in the model"
            )


def _wrong_architecture(file: str, difference: str) -> TrainingError:
    return TrainingError(
        "wrong_architecture",
        f"{file} holds weights of another architecture: {difference}.",
        remedy="Build the model from the configuration that the weights were trained with (config.json of the run).",
    )
