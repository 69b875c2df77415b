"""The encoders alone: what pre-training leaves and what every model that has encoders can begin with."""

import math

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from dgccl.config import ExperimentConfig
from dgccl.fold_data import LesionSource
from dgccl.model.branch import Encoded, Inputs, ModalityBranch, ModalityEncoders
from dgccl.model.table import TableEncoder

BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)
STATISTICS_BATCH = 64


class EncodersAlone(nn.Module):
    """One branch a modality and nothing behind them; its weights have the names that they have in a classifier.

    Args:
        config: the experiment.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        self.architecture = describe_encoders(config)
        self.encoders = ModalityEncoders(config)

    def forward(self, images: Inputs, modality_present: Bool[Tensor, "batch modality"]) -> Encoded:
        """Tokens and embeddings of what is present, see `ModalityEncoders`."""
        encoded: Encoded = self.encoders(images, modality_present)
        return encoded


def describe_encoders(config: ExperimentConfig) -> dict[str, str]:
    """The settings that decide what the weights of the encoders mean, flat; fusion and head are not among them.

    Args:
        config: the experiment.
    """
    described = {"model": "encoders", "modalities": ",".join(config.modality_names)}
    for modality, settings in config.modalities.items():
        for key, value in settings.model_dump(mode="json").items():
            described[f"{modality}.{key}"] = str(value)
    return described | {"embedding_width": str(config.model.embedding_width)}


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d | nn.BatchNorm3d]:
    """The layers of a network that keep statistics of what they were shown."""
    return [module for module in network.modules() if isinstance(module, BATCH_NORMS)]


def averaged_momentum(step: int, *, steps: int, start: float) -> float:
    """Share that a moving average keeps of itself after a step: from `start` to 1 along a half cosine.

    The memory first grows to that length, (1 + step) / (10 + step), so that the drawn weights do not weigh on short
    trainings.

    Args:
        step: steps done, from 1.
        steps: steps there are.
        start: momentum at the beginning.

    Source: the cosine is Grill et al. 2020, arXiv:2006.07733, section 3.3.
    """
    risen = 1.0 - (1.0 - start) * (math.cos(math.pi * step / steps) + 1.0) / 2.0
    return min(risen, (1.0 + step) / (10.0 + step))


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, *, momentum: float) -> None:
    """Move a teacher's weights towards the student's: teacher = momentum * teacher + (1 - momentum) * student.

    Buffers stay: statistics of normalization come from what the teacher itself is shown.

    Args:
        teacher: moved in place.
        student: of the same architecture.
        momentum: share that the teacher keeps.
    """
    for own, others in zip(teacher.parameters(), student.parameters(), strict=True):
        own.lerp_(others.to(own.dtype), 1.0 - momentum)


@torch.no_grad()
def settle_statistics(network: EncodersAlone, source: LesionSource, rows: Int64[Tensor, "train"]) -> None:
    """Take the statistics of normalization anew from lesions as they lie, since a moving average has none of its own.

    Args:
        network: encoders, changed in place.
        source: inputs.
        rows: lesions, (n,).

    Source: Izmailov et al. 2018, arXiv:1803.05407, section 3.2.
    """
    layers = batch_norms(network)
    momentum = {layer: layer.momentum for layer in layers}
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
        layer.train()
    device = next(network.parameters()).device
    for part in rows.tensor_split(math.ceil(len(rows) / STATISTICS_BATCH)) if layers else ():
        present = source.modality_present[part]
        network(source.inputs(part, shown=present, device=device), present.to(device))
    for layer in layers:
        layer.momentum = momentum[layer]
    network.eval()


def fit_table_encoders(network: EncodersAlone, source: LesionSource, rows: Int64[Tensor, "train"]) -> None:
    """Take what standardizes the tables from the lesions that are learned from.

    Args:
        network: encoders, changed in place.
        source: inputs.
        rows: lesions, (n,).
    """
    tables = {
        name: branch.encoder
        for name, branch in network.encoders.branches.items()
        if isinstance(branch, ModalityBranch) and isinstance(branch.encoder, TableEncoder)
    }
    if tables:
        present = source.modality_present[rows]
        inputs = source.inputs(rows, shown=present, device=torch.device("cpu"))
        for name, encoder in tables.items():
            encoder.fit(inputs[name])
