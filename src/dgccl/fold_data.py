"""What one fold trains on: lesions in a pose, labels, rows of each split, batches of rows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Generator, Tensor

from dgccl.augmentation import random_poses
from dgccl.config import ExperimentConfig
from dgccl.dataset import LesionImages, model_inputs
from dgccl.folds import Split
from dgccl.model import Classifier
from dgccl.model.baselines import LateFusion
from dgccl.model.factory import fit_tables


def derive_seed(*key: int) -> int:
    """Seed that depends on every number of the key and on their order."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


@runtime_checkable
class LesionSource(Protocol):
    """Where a fold's inputs come from: lesions in memory, or lesions whose poses were drawn beforehand."""

    @property
    def modality_present(self) -> Bool[Tensor, "lesion modality"]:
        """Which modalities each lesion has, (n, M)."""
        ...

    def training_inputs(
        self,
        rows: Int64[Tensor, "batch"],
        *,
        epoch: int,
        shown: Tensor,
        generator: Generator,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """What the model reads of some lesions in a pose for this epoch, by modality."""
        ...

    def inputs(
        self, rows: Int64[Tensor, "batch"], *, shown: Tensor, device: torch.device
    ) -> dict[str, Tensor]:
        """What the model reads of some lesions as they lie, by modality."""
        ...


@dataclass(frozen=True, eq=False)
class PosedLesions:
    """Lesions in memory, each turned into a new random pose whenever it is trained on.

    Attributes:
        images: the whole cohort in memory.
        config: modalities and the ranges of the poses.
    """

    images: LesionImages
    config: ExperimentConfig

    @property
    def modality_present(self) -> Bool[Tensor, "lesion modality"]:
        """Which modalities each lesion has, (n, M)."""
        return self.images.modality_present

    def training_inputs(
        self,
        rows: Int64[Tensor, "batch"],
        *,
        epoch: int,
        shown: Tensor,
        generator: Generator,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """Inputs in random poses, the same pose for every modality of a lesion."""
        pose = None
        if self.config.images:
            field_mm = min(settings.field_mm for settings in self.config.images.values())
            pose = random_poses(
                len(rows), config=self.config.augmentation, field_mm=field_mm, generator=generator
            )
        return model_inputs(
            self.images, rows, modalities=self.config.modalities, pose=pose, shown=shown, device=device
        )

    def inputs(
        self, rows: Int64[Tensor, "batch"], *, shown: Tensor, device: torch.device
    ) -> dict[str, Tensor]:
        """Inputs of lesions as they lie."""
        return model_inputs(self.images, rows, modalities=self.config.modalities, shown=shown, device=device)


@dataclass(frozen=True, eq=False)
class FoldData:
    """What a fold trains on.

    Attributes:
        source: inputs of all lesions.
        y_true: (n,), class indices.
        split: rows of the fold's training, validation and test lesions.
    """

    source: LesionSource
    y_true: Int64[Tensor, "n"]
    split: Split


class RowBatches:
    """Batches of row indices, nearly equal in size, so that no batch is left with a single lesion."""

    def __init__(self, rows: Int64[np.ndarray, "n"], *, batch_size: int) -> None:
        self.rows = torch.from_numpy(rows)
        self.order = self.rows
        self.count = math.ceil(len(rows) / batch_size)

    def shuffle(self, generator: Generator) -> None:
        """Draw the order of the next pass."""
        self.order = self.rows[torch.randperm(len(self.rows), generator=generator)]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Tensor]:
        yield from self.order.tensor_split(self.count)


def fit_preprocessing(network: Classifier, data: FoldData, config: ExperimentConfig) -> None:
    """Take what a network must know of the training lesions before it learns: table statistics, class prior."""
    train = torch.from_numpy(data.split.train)
    if isinstance(network, LateFusion):
        network.fit_prior(data.y_true[train])
    if config.tables:
        present = data.source.modality_present[train]
        rows = data.source.inputs(train, shown=present, device=torch.device("cpu"))
        fit_tables(network, {name: rows[name] for name in config.tables}, present)
