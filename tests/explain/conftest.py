"""Small networks and lesions that exist as tensors only."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Generator, Tensor

from dgccl.config import ExperimentConfig
from dgccl.model import build_model
from dgccl.predict import Predictor


@dataclass(frozen=True, eq=False)
class Lesions:
    """Inputs of lesions as they lie, as the benchmark keeps them."""

    values: dict[str, Tensor]
    modality_present: Tensor

    def inputs(self, rows: Tensor, *, shown: Tensor, device: torch.device) -> dict[str, Tensor]:
        return {name: values[rows].to(device) for name, values in self.values.items()}

    def training_inputs(
        self, rows: Tensor, *, epoch: int, shown: Tensor, generator: Generator, device: torch.device
    ) -> dict[str, Tensor]:
        return self.inputs(rows, shown=shown, device=device)


MODALITIES: dict[str, dict] = {
    "ct": {"quantity": "hu", "window": (-1000, 1000), "input_px": 16, "field_mm": 32},
    "pet": {"quantity": "suv_bw", "window": (0, 10), "view": "axial", "input_px": 16, "field_mm": 64},
    "cube": {"quantity": "intensity", "window": (-2, 2), "view": "volume", "input_px": 16, "field_mm": 32},
    "clinical": {
        "quantity": "table",
        "numbers": ("age", "cea"),
        "categories": {"smoking": ("no", "yes", "ex")},
    },
    "genes": {"quantity": "table", "numbers": ("kras",), "categories": {"site": ("a", "b")}},
}


def make_config(names: tuple[str, ...], **model: object) -> ExperimentConfig:
    widths = {"encoder_width": 8, "token_width": 8}
    chosen = {name: MODALITIES[name] | widths for name in names}
    return ExperimentConfig.model_validate(
        {
            "name": "small",
            "modalities": chosen,
            "model": {"embedding_width": 8, "attention_heads": 2, "gate_hidden": 8, "head_hidden": 8} | model,
            "training": {"batch_size": 4},
        }
    )


def make_lesions(config: ExperimentConfig, count: int = 6, *, missing: bool = True, seed: int = 0) -> Lesions:
    """Lesion 0 has all, lesion 1 lacks the first modality, lesion 2 has only the first, lesion 3 has all."""
    generator = torch.Generator().manual_seed(seed)
    values = {}
    for name, settings in config.modalities.items():
        values[name] = torch.rand(count, *settings.input_shape, generator=generator)
        if name in config.tables:
            numbers = len(config.tables[name].numbers)
            levels = torch.randint(0, 2, (count, len(config.tables[name].categories)), generator=generator)
            values[name] = torch.cat([values[name][:, :numbers] * 4.0, levels.float()], dim=1)
    present = torch.ones(count, len(values), dtype=torch.bool)
    if missing and len(values) > 1:
        present[1, 0] = False
        present[2, 1:] = False
        for index, name in enumerate(values):
            values[name][~present[:, index]] = torch.nan  # what is absent is never read
    return Lesions(values, present)


def make_predictor(config: ExperimentConfig, model: str, *, networks: int = 1, seed: int = 0) -> Predictor:
    """Networks with random weights everywhere, so that no part starts at zero and hides."""
    torch.manual_seed(seed)
    built = tuple(build_model(config, model).eval() for _ in range(networks))
    for network in built:
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return Predictor(built, config, {}, "cpu")


@pytest.fixture(scope="session")
def config_of() -> Callable[..., ExperimentConfig]:
    return make_config


@pytest.fixture(scope="session")
def lesions_of() -> Callable[..., Lesions]:
    return make_lesions


@pytest.fixture(scope="session")
def predictor_of() -> Callable[..., Predictor]:
    return make_predictor
