"""Saliency maps: how much each pixel, voxel or column of a lesion moves the log odds of the explained class.

Two ways. Integrated gradients add up, along the straight path from a baseline, what each value contributes; the
contributions of all modalities sum to the log odds of the lesion less those of the baseline, up to the residual that
is reported. Occlusion replaces patches by the baseline and says what that costs. Both are those of captum.

Source: Sundararajan et al. 2017, arXiv:1703.01365; Zeiler and Fergus 2014, arXiv:1311.2901; captum.ai.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from dgccl.config import ExperimentConfig, ImageConfig
from dgccl.errors import ConfigError
from dgccl.explain.table_features import TableFeatures, in_place_of_rows, table_features
from dgccl.explain.worth import class_log_odds
from dgccl.fold_data import LesionSource

Method = Literal["integrated_gradients", "occlusion"]
Baseline = Literal["low_end", "training_mean"]
METHODS: tuple[Method, ...] = get_args(Method)
BASELINES: tuple[Baseline, ...] = get_args(Baseline)

STEPS, MOST_STEPS = 64, 512
RESIDUAL_SHARE, RESIDUAL_LOG_ODDS = 0.01, 0.001
"""Steps of the path are doubled until what they miss is below the larger of a hundredth of the whole and this."""
PATH_BATCH = 16
NOISE_SHARE = 1e-6
"""What occlusion finds below this share of the log odds (of 1, if they are less) is 0: batches of another size add up
in another order, in single precision, so that a network that does not read a modality would seem to."""


@dataclass(frozen=True)
class SaliencySettings:
    """How maps are made.

    Attributes:
        method: `integrated_gradients` or `occlusion`.
        baseline: what stands for "nothing there" in images: `low_end` of the window (air on CT, no uptake on PET), or
            the `training_mean` image. In tables it is always the training mean of a number and no level of a category
            (integrated gradients), or the column unknown (occlusion).
        patch_mm: edge of the occluded square or cube; it moves by half its edge.
    """

    method: Method = "integrated_gradients"
    baseline: Baseline = "low_end"
    patch_mm: float = 8.0

    def __post_init__(self) -> None:
        if not 0.0 < self.patch_mm < math.inf:
            raise ConfigError(
                "patch_out_of_range",
                f"The occluded patch is {self.patch_mm:g} mm, expected a length above 0.",
                remedy="Choose another --patch-mm.",
            )


@dataclass(frozen=True, eq=False)
class Saliency:
    """Maps of one lesion.

    Attributes:
        maps: per modality that the lesion has, in the shape of its input: log odds that a value adds to the explained
            class (integrated gradients), or that occluding the patches around it takes away, on average (occlusion).
        settings: how they were made.
        log_odds: of the lesion, the networks' mean.
        baseline_log_odds: of the baseline in all modalities that the lesion has; NaN for occlusion.
        residual: `log_odds` - `baseline_log_odds` - sum of all maps; NaN for occlusion, which need not sum to anything.
        steps: points of the path; 0 for occlusion.
    """

    maps: dict[str, Float64[np.ndarray, "..."]]
    settings: SaliencySettings
    log_odds: float
    baseline_log_odds: float
    residual: float
    steps: int


@dataclass(frozen=True, eq=False)
class Question:
    """One lesion as its networks are asked about it.

    Attributes:
        networks: whose mean log odds are explained.
        config: experiment they were trained in.
        inputs: per modality (1, *shape).
        shown: names of the modalities that the lesion has.
        explained_class: whose log odds.
    """

    networks: tuple[nn.Module, ...]
    config: ExperimentConfig
    inputs: Mapping[str, Tensor]
    shown: tuple[str, ...]
    explained_class: int

    @property
    def images(self) -> tuple[str, ...]:
        """The image modalities that the lesion has."""
        return tuple(name for name in self.shown if name in self.config.images)

    def log_odds(self, network: nn.Module, changed: Mapping[str, Tensor]) -> Float[Tensor, "batch"]:
        """Log odds (B,) with some inputs (B, *shape) in place of the lesion's own."""
        batch = len(next(iter(changed.values()))) if changed else 1
        inputs = {
            name: changed.get(name, values.expand(batch, *values.shape[1:]))
            for name, values in self.inputs.items()
        }
        device = next(iter(self.inputs.values())).device
        present = torch.tensor([name in self.shown for name in self.config.modality_names], device=device)
        output = network(inputs, present.expand(batch, -1))
        return class_log_odds(output.logits, explained_class=self.explained_class)


def saliency(question: Question, *, settings: SaliencySettings, baselines: Mapping[str, Tensor]) -> Saliency:
    """Maps of one lesion, averaged over its networks.

    Args:
        question: lesion and networks.
        settings: the method.
        baselines: per image modality (1, *shape), of `image_baselines`.

    Raises:
        ConfigError: `patch_out_of_range`, `unknown_class`.
    """
    for network in question.networks:
        network.eval()
    with torch.no_grad():
        whole = float(torch.stack([question.log_odds(n, {}) for n in question.networks]).mean())
    if settings.method == "occlusion":
        found = [_occlude(network, question, settings, baselines) for network in question.networks]
        return Saliency(_mean(found), settings, whole, float("nan"), float("nan"), 0)
    steps = STEPS
    while True:
        paths = [_integrate(network, question, baselines, steps=steps) for network in question.networks]
        maps = _mean([path for path, _ in paths])
        start = float(np.mean([baseline for _, baseline in paths]))
        residual = whole - start - float(sum(values.sum() for values in maps.values()))
        enough = abs(residual) <= max(RESIDUAL_SHARE * abs(whole - start), RESIDUAL_LOG_ODDS)
        if enough or steps >= MOST_STEPS:
            return Saliency(maps, settings, whole, start, residual, steps)
        steps *= 2


def image_baselines(
    source: LesionSource,
    rows: Int64[Tensor, "lesion"],
    *,
    config: ExperimentConfig,
    baseline: Baseline,
    device: str,
) -> dict[str, Float[Tensor, "1 *_shape"]]:
    """What stands for "nothing there" in each image modality.

    Args:
        source: inputs of the training lesions; not read for `low_end`.
        rows: the training lesions.
        config: the experiment.
        baseline: `low_end` or `training_mean`, the mean of the upright images of those that have the modality.
        device: where it is to lie.
    """
    if baseline == "low_end":
        return {
            name: torch.zeros(1, *image.input_shape, device=device) for name, image in config.images.items()
        }
    totals = {
        name: torch.zeros(image.input_shape, dtype=torch.float64) for name, image in config.images.items()
    }
    present = source.modality_present[rows]
    for batch, shown in zip(rows.split(PATH_BATCH), present.split(PATH_BATCH), strict=True):
        inputs = source.inputs(batch, shown=shown, device=torch.device(device))
        for name, total in totals.items():
            there = shown[:, config.modality_names.index(name)]
            total += inputs[name].cpu()[there].double().sum(dim=0)
    counts = dict(zip(config.modality_names, present.sum(dim=0).tolist(), strict=True))
    return {name: (total / max(counts[name], 1)).float()[None].to(device) for name, total in totals.items()}


def _mean(maps: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.mean([item[name] for item in maps], axis=0) for name in maps[0]}


def _integrate(
    network: nn.Module, question: Question, baselines: Mapping[str, Tensor], *, steps: int
) -> tuple[dict[str, np.ndarray], float]:
    """Maps of one network by integrated gradients over all modalities at once, and the baseline's log odds."""
    from captum.attr import IntegratedGradients  # slow to import, and shares alone do not need it

    tables = table_features(network, question.inputs, question.shown, config=question.config)
    names = question.images

    def answer(*values: Tensor) -> Tensor:
        images = dict(zip(names, values[: len(names)], strict=True))
        rows = {
            n: v.expand(len(values[0]), -1) for n, v in question.inputs.items() if n in question.config.tables
        }
        with in_place_of_rows(tables, values[len(names) :]):
            odds = question.log_odds(network, {**rows, **images})
        # Nothing is added but a path for the gradient of a modality that the network does not read, which is 0.
        return odds + sum(value.flatten(1).sum(dim=1) * 0.0 for value in values)

    ends = [(question.inputs[name], baselines[name]) for name in names]
    ends += [(item.value, item.baseline) for item in tables]
    if not ends:  # tables that this network does not read
        with torch.no_grad():
            return _empty_tables(question), float(question.log_odds(network, {}))
    value, baseline = (tuple(end) for end in zip(*ends, strict=True))
    found = IntegratedGradients(answer).attribute(
        value, baselines=baseline, n_steps=steps, internal_batch_size=PATH_BATCH
    )
    with torch.no_grad():
        start = float(answer(*baseline))
    maps = {name: part[0].double().cpu().numpy() for name, part in zip(names, found, strict=False)}
    return maps | _table_maps(question, tables, found[len(names) :]), start


def _empty_tables(question: Question) -> dict[str, np.ndarray]:
    shown = [name for name in question.shown if name in question.config.tables]
    return {name: np.zeros(question.config.tables[name].input_shape) for name in shown}


def _table_maps(
    question: Question, tables: Sequence[TableFeatures], found: Sequence[Tensor]
) -> dict[str, np.ndarray]:
    """Attribution of every column of the tables that the lesion has."""
    maps = _empty_tables(question)
    for item, attribution in zip(tables, found, strict=True):
        for (name, column), value in zip(item.columns, item.by_column(attribution), strict=True):
            if name in maps:
                maps[name][column] = value
    return maps


def _occlude(
    network: nn.Module, question: Question, settings: SaliencySettings, baselines: Mapping[str, Tensor]
) -> dict[str, np.ndarray]:
    """Maps of one network by occlusion, one modality at a time with the others as they are."""
    from captum.attr import Occlusion  # slow to import

    maps = {}
    with torch.no_grad():
        noise = NOISE_SHARE * max(1.0, abs(float(question.log_odds(network, {}))))
        for name in question.shown:
            image = question.config.images.get(name)
            if image is None:
                maps[name] = _occlude_columns(network, question, name)
                continue
            window, stride = patch_px(image, settings.patch_mm, name=name)
            found = Occlusion(partial(_changed_log_odds, network, question, name)).attribute(
                question.inputs[name],
                sliding_window_shapes=window,
                strides=stride,
                baselines=baselines[name],
                perturbations_per_eval=PATH_BATCH,
            )
            maps[name] = found[0].double().cpu().numpy()
    return {name: np.where(np.abs(values) < noise, 0.0, values) for name, values in maps.items()}


def _changed_log_odds(network: nn.Module, question: Question, name: str, values: Tensor) -> Tensor:
    return question.log_odds(network, {name: values})


def _occlude_columns(network: nn.Module, question: Question, name: str) -> np.ndarray:
    """What is lost when one column of a table is not known, (columns,)."""
    row = question.inputs[name]
    without = row.repeat(row.shape[1], 1)
    without.fill_diagonal_(torch.nan)
    lost = question.log_odds(network, {name: row}) - question.log_odds(network, {name: without})
    return lost.double().cpu().numpy()


def patch_px(image: ImageConfig, patch_mm: float, *, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and step of the occluded patch in pixels, one plane at a time; a cube is occluded in three directions.

    Args:
        image: the modality's settings.
        patch_mm: edge of the patch.
        name: the modality, for the error.

    Raises:
        ConfigError: `patch_out_of_range`, the patch is below a pixel or larger than the field.
    """
    pixel_mm = image.field_mm / image.input_px
    if not pixel_mm <= patch_mm <= image.field_mm:
        raise ConfigError(
            "patch_out_of_range",
            f"The occluded patch is {patch_mm:g} mm; {name} is shown in pixels of {pixel_mm:.3g} mm over "
            f"{image.field_mm:g} mm.",
            remedy=f"Choose a patch from {pixel_mm:.3g} to {image.field_mm:g} mm.",
        )
    edge, edges = round(patch_mm / pixel_mm), len(image.input_shape) - 1
    return (1, *(edge,) * edges), (1, *(max(1, edge // 2),) * edges)
