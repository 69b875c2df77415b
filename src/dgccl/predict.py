"""One way to score lesions, for cross-validation and for a clinic alike."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32, Int64
from pydantic import ValidationError
from torch import Tensor, nn

from dgccl.augmentation import random_poses
from dgccl.cohort import LesionArrays
from dgccl.config import ExperimentConfig
from dgccl.dataset import LesionImages, model_inputs, stack_images
from dgccl.errors import TrainingError
from dgccl.model import ModelOutput, build_model
from dgccl.model.checkpoint import load_weights
from dgccl.run_dir import read_run, weights_path

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the networks say about n lesions, averaged over the networks.

    Attributes:
        probability: (n, class), mean of the networks' softmax probabilities.
        probability_by_network: (network, n, class); their spread is the networks' disagreement.
        gate_weights: (n, modality), 0 where a modality was not shown; None for a model without a gate.
        embeddings: (n, modality, D), zero where a modality was not shown; None where several networks were
            averaged, since each has a space of its own.
        fused: (n, D); None as for `embeddings`, and for a model that fuses no features.
    """

    probability: Float32[np.ndarray, "lesion class"]
    probability_by_network: Float32[np.ndarray, "network lesion class"]
    gate_weights: Float32[np.ndarray, "lesion modality"] | None
    embeddings: Float32[np.ndarray, "lesion modality width"] | None
    fused: Float32[np.ndarray, "lesion width"] | None


@dataclass(frozen=True, eq=False)
class Predictor:
    """Trained networks of one model with what they need to read a lesion.

    Attributes:
        networks: one network, or those of several folds, whose outputs are averaged.
        config: experiment they were trained in, an ablation's own where they are one.
        quantities: quantity each modality shows, as chosen when they were trained.
        device: where they run.
    """

    networks: tuple[nn.Module, ...]
    config: ExperimentConfig
    quantities: Mapping[str, str]
    device: str

    @classmethod
    def load(
        cls, run_dir: Path, *, model: str, folds: Sequence[int] | None = None, device: str = "auto"
    ) -> "Predictor":
        """Load trained networks of a run.

        Args:
            run_dir: folder that `dgccl train` wrote.
            model: name of the model or ablation.
            folds: which folds' networks to average, all if None. Average only for lesions that were in none
                of the folds' training splits.
            device: `auto` takes a CUDA device where there is one.

        Raises:
            TrainingError: no such run, model or fold, or weights that do not fit.
        """
        run = read_run(run_dir)
        whole = _read_config(run_dir)
        config, built = whole.variant(model)
        chosen = range(config.training.folds) if folds is None else folds
        where = resolve_device(device)
        networks = []
        for fold in chosen:
            path = weights_path(run_dir, model, fold)
            if model not in whole.trained or not path.exists():
                raise TrainingError(
                    "weights_not_found",
                    f"{run_dir} has no weights of model {model}, fold {fold}; it trains "
                    f"{', '.join(whole.trained)} in folds 0 to {config.training.folds - 1}.",
                    remedy="Finish the run with `dgccl train`, or name a model and fold it has.",
                )
            network = build_model(config, built)
            load_weights(network, path)
            networks.append(channels_last(network).to(where).eval())
        return cls(tuple(networks), config, dict(run["quantities"]), where)

    def read(self, arrays: Iterable[LesionArrays], lesions: pd.DataFrame) -> LesionImages:
        """Bring lesions into the form that `predict` takes, in the quantities that the networks know.

        Args:
            arrays: one item a row of `lesions`.
            lesions: table with `box_mm` and the SUV factors.

        Raises:
            CohortError: lesions differ in box or grid, or lack the factor of a quantity.
        """
        return stack_images(arrays, lesions, modalities=self.config.modalities, quantities=self.quantities)

    def predict(
        self,
        images: LesionImages,
        *,
        rows: Int64[np.ndarray, "lesion"] | None = None,
        shown: Sequence[str] | None = None,
    ) -> Prediction:
        """Score lesions.

        Args:
            images: lesions in memory.
            rows: which of them, all if None, (n,).
            shown: names of the modalities that the networks may see of what a lesion has, all if None.

        Raises:
            TrainingError: a lesion has none of the modalities that may be shown.
        """
        chosen = torch.arange(len(images)) if rows is None else torch.from_numpy(rows)
        names = self.config.modality_names
        allowed = torch.tensor([shown is None or name in shown for name in names])
        present = images.modality_present[chosen] & allowed
        empty = int((~present.any(dim=1)).sum())
        if empty or not len(chosen):
            raise TrainingError(
                "nothing_to_show",
                f"{empty} of {len(chosen)} lesions have none of {', '.join(shown or names)}.",
                remedy="Score only lesions that have at least one of the modalities.",
            )
        outputs: list[list[ModelOutput]] = [[] for _ in self.networks]
        size = self.config.training.batch_size
        poses = prediction_poses(self.config)
        for network in self.networks:
            network.eval()
        with torch.inference_mode():
            for batch, batch_present in zip(chosen.split(size), present.split(size), strict=True):
                seen: list[list[ModelOutput]] = [[] for _ in self.networks]
                for pose in poses:
                    inputs = model_inputs(
                        images,
                        batch,
                        modalities=self.config.modalities,
                        pose=None if pose is None else pose.expand(len(batch), -1, -1),
                        shown=batch_present,
                        device=self.device,
                    )
                    for network, of_network in zip(self.networks, seen, strict=True):
                        of_network.append(network(inputs, batch_present.to(self.device)))
                for of_poses, of_network in zip(seen, outputs, strict=True):
                    of_network.append(average_outputs(of_poses))
        return _join(outputs)


def prediction_poses(config: ExperimentConfig) -> list[Float[Tensor, "1 3 4"] | None]:
    """The poses in which lesions are shown: as they lie (None), then fixed rotations.

    Args:
        config: `prediction.poses` says how many, `augmentation` how far they may turn and whether they are mirrored.
    """
    turned = config.augmentation.model_copy(update={"translation_fraction": 0.0, "scale": (1.0, 1.0)})
    generator = torch.Generator().manual_seed(config.seed)
    rotations = [
        random_poses(1, config=turned, field_mm=1.0, generator=generator)
        for _ in range(config.prediction.poses - 1)
    ]
    return [None, *rotations]


def average_outputs(outputs: Sequence[ModelOutput]) -> ModelOutput:
    """One output of those of several poses: mean probability, mean of every vector and weight.

    Args:
        outputs: of one network and batch, one a pose; a single one is returned as it is.
    """
    first = outputs[0]
    if len(outputs) == 1:
        return first

    def mean(name: str) -> Tensor | None:
        values = [getattr(output, name) for output in outputs]
        return None if values[0] is None else torch.stack(values).mean(dim=0)

    logits = torch.stack([output.probability for output in outputs]).mean(dim=0).log()
    return ModelOutput(
        logits=logits,
        gate_weights=mean("gate_weights"),
        embeddings=mean("embeddings"),
        predicted_embeddings=mean("predicted_embeddings"),
        fused=mean("fused"),
        modality_logits=mean("modality_logits"),
        modality_judged=first.modality_judged,
    )


def modality_patterns(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Every non-empty choice of modalities, all of them first; for CT and PET: both, CT alone, PET alone."""
    return [choice for count in range(len(names), 0, -1) for choice in combinations(names, count)]


def resolve_device(device: str) -> str:
    """Turn `auto` into `cuda` where a CUDA device can be used, else `cpu`.

    Raises:
        TrainingError: the device that was asked for is not there.
    """
    available = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if available else "cpu"
    if device not in ("cpu", "cuda") or (device == "cuda" and not available):
        raise TrainingError(
            "device_unavailable",
            f"Device {device!r} cannot be used here; available: {'cpu, cuda' if available else 'cpu'}.",
            remedy="Leave the device at `auto`.",
        )
    return device


def channels_last(network: Network) -> Network:
    """Lay the weights of planes' convolutions out channels last, in place: a step of the small networks then takes a
    quarter less. Those of cubes have five dimensions and stay as they are."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def _read_config(run_dir: Path) -> ExperimentConfig:
    try:
        return ExperimentConfig.model_validate(json.loads((run_dir / "config.json").read_text("utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise TrainingError(
            "run_file_damaged",
            f"{run_dir / 'config.json'} is missing or cannot be read.",
            remedy="Train into a new folder.",
        ) from error


def _join(outputs: list[list[ModelOutput]]) -> Prediction:
    """One prediction of the outputs of each network, each given batch by batch."""
    probability = np.stack(
        [torch.cat([output.probability for output in batches]).cpu().numpy() for batches in outputs]
    )
    gates = [gate for batches in outputs if (gate := _column(batches, "gate_weights")) is not None]
    single = outputs[0] if len(outputs) == 1 else []
    return Prediction(
        probability=probability.mean(axis=0),
        probability_by_network=probability,
        gate_weights=np.mean(gates, axis=0) if gates else None,
        embeddings=_column(single, "embeddings"),
        fused=_column(single, "fused"),
    )


def _column(batches: list[ModelOutput], name: str) -> Float32[np.ndarray, "lesion *rest"] | None:
    """One field of the outputs, all batches joined; None where the model has no such field."""
    present = [value for output in batches if (value := getattr(output, name)) is not None]
    return torch.cat(present).float().cpu().numpy() if present else None
