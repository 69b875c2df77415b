"""A Lightning checkpoint as one safetensors file, so that resuming never unpickles anything; a Lightning
that is quiet, and that ends as it was stopped."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from dgccl.errors import TrainingError
from dgccl.files import write_atomically


class SafetensorsCheckpointIO(CheckpointIO):
    """Writes Lightning's nested state as named tensors, with everything else as JSON in the file's header."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint atomically.

        Args:
            checkpoint: nested dicts, lists and tuples of tensors, numbers, strings and None.
            path: file to write.
            storage_options: refused, as files are local.

        Raises:
            TypeError: the state holds something else.
        """
        if storage_options is not None:
            raise TypeError("storage_options are for remote stores; checkpoints are local files")
        tensors: dict[str, Tensor] = {}
        tree = _encode(checkpoint, "", tensors)
        write_atomically(Path(path), to_bytes(tensors, metadata={"state": json.dumps(tree)}))

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint back.

        Args:
            path: file to read.
            map_location: device for the tensors, CPU if None.
            weights_only: of no consequence, as the file can hold no code.

        Raises:
            TrainingError: the file is damaged.
        """
        device = str(map_location) if isinstance(map_location, str | torch.device) else "cpu"
        try:
            with safe_open(path, framework="pt", device=device) as file:
                tree = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return dict(_decode(tree, tensors))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(
                "resume_state_damaged",
                f"The state of an unfinished fold, {Path(path).name}, cannot be read.",
                remedy="Delete that file from the run's folder `unfinished`; the fold then starts anew.",
            ) from error

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint if it exists."""
        Path(path).unlink(missing_ok=True)


def _encode(value: Any, name: str, tensors: dict[str, Tensor]) -> list[Any]:
    """Tagged JSON tree of a nested state; its tensors go to `tensors` under their path."""
    if isinstance(value, Tensor):
        # A copy, since safetensors refuses tensors that share memory.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return ["channels_last" if _is_channels_last(value) else "tensor", name]
    if isinstance(value, Mapping):
        return [
            "dict",
            [
                [_encode(key, name, tensors), _encode(item, f"{name}/{key}", tensors)]
                for key, item in value.items()
            ],
        ]
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{name}/{index}", tensors) for index, item in enumerate(value)]
        return ["list" if isinstance(value, list) else "tuple", items]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return ["value", value]
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__} (at {name})")


def _decode(tree: list[Any], tensors: Mapping[str, Tensor]) -> Any:
    kind, content = tree
    if kind == "tensor":
        return tensors[content]
    if kind == "channels_last":
        # The fused AdamW walks a weight and its moments in the order of memory: their layouts must agree.
        return tensors[content].contiguous(memory_format=torch.channels_last)
    if kind == "dict":
        return {_decode(key, tensors): _decode(item, tensors) for key, item in content}
    if kind == "list":
        return [_decode(item, tensors) for item in content]
    if kind == "tuple":
        return tuple(_decode(item, tensors) for item in content)
    return content


def _is_channels_last(tensor: Tensor) -> bool:
    """Whether memory runs through the channels first, and not also in the plain order (as for 1 x 1 kernels)."""
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return last and not tensor.is_contiguous()


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's notes on hardware and tips off the terminal; errors still come through."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Lightning 2.6 asks torch 2.13 in an old way whether a batch is a single tensor.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
            yield
    finally:
        logger.setLevel(level)


TERMINATED = 143
"""128 + SIGTERM, as shells count."""


def fit(trainer: Trainer, module: LightningModule, *, state_file: Path) -> None:
    """Train, from a stored state where there is one; a stop from outside ends as one.

    Lightning ends the process after SIGTERM with status 0, as if all were done, and after Ctrl-C without a word.

    Args:
        trainer: that trains.
        module: to be trained.
        state_file: of the state to go on from; it need not exist.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        SystemExit: SIGTERM, with status 143.
    """
    try:
        trainer.fit(module, ckpt_path=str(state_file) if state_file.exists() else None)
    except SIGTERMException as stopped:
        raise SystemExit(TERMINATED) from stopped
    except SystemExit as left:
        if isinstance(left.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from left
        raise
