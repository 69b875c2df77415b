"""Small configurations and batches for the networks."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dgccl.config import ExperimentConfig, load_config
from dgccl.model import training_loss
from dgccl.model.classifier import DgCcl

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

Batch = tuple[dict[str, Tensor], Tensor, Tensor]


@pytest.fixture(scope="session")
def fast() -> ExperimentConfig:
    return load_config(CONFIGS / "fast.toml")


@pytest.fixture(scope="session")
def paper() -> ExperimentConfig:
    return load_config(CONFIGS / "paper.toml")


@pytest.fixture
def paper_model(_paper_model: DgCcl) -> DgCcl:
    """The published model at full size, built once; gradients and modes are as new for each test."""
    _paper_model.zero_grad()
    return _paper_model.eval()


@pytest.fixture(scope="session")
def _paper_model(paper: ExperimentConfig) -> DgCcl:
    torch.manual_seed(0)
    return DgCcl(paper)


@pytest.fixture(scope="session")
def small() -> ExperimentConfig:
    """Both kinds of normalization (BatchNorm, LayerNorm) at a size that costs milliseconds."""
    return make_small(("ct", "pet"))


@pytest.fixture(scope="session")
def three() -> ExperimentConfig:
    """Three modalities."""
    return make_small(("ct", "pet", "mr"))


def make_small(names: tuple[str, ...], **model: float) -> ExperimentConfig:
    """A configuration of small encoders, one a name, of different widths and sizes."""
    tables = {
        "ct": {
            "quantity": "hu",
            "window": (-1000, 1000),
            "encoder_width": 16,
            "token_width": 24,
            "input_px": 48,
        },
        "pet": {
            "quantity": "suv",
            "window": (0, 10),
            "view": "axial",
            "encoder": "vit_small",
            "encoder_width": 64,
            "token_width": 20,
            "input_px": 32,
        },
        "mr": {"quantity": "suv", "window": (0, 1), "encoder_width": 8, "token_width": 8, "input_px": 32},
    }
    return ExperimentConfig.model_validate(
        {
            "name": "small",
            "modalities": {name: tables[name] for name in names},
            "model": {"embedding_width": 32, "attention_heads": 4, "head_hidden": 16, **model},
        }
    )


@pytest.fixture(scope="session")
def make_config() -> Callable[..., ExperimentConfig]:
    return make_small


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    """Images, presence and labels; presence of (lesion 0, 1, 2, ...) repeats all, first only, last only, all."""

    def make(config: ExperimentConfig, size: int, *, missing: bool = False, seed: int = 0) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        images = {
            name: torch.rand(size, m.channels, m.input_px, m.input_px, generator=generator)
            for name, m in config.modalities.items()
        }
        present = torch.ones(size, len(images), dtype=torch.bool)
        if missing:
            present[1::4, 1:] = False
            present[2::4, :-1] = False
        y_true = torch.arange(size) % config.model.classes
        return images, present, y_true

    return make


@pytest.fixture(scope="session")
def run_backward() -> Callable[[torch.nn.Module, ExperimentConfig, Batch], Tensor]:
    """Loss of a batch after its backward pass."""

    def run(model: torch.nn.Module, config: ExperimentConfig, batch: Batch) -> Tensor:
        images, present, y_true = batch
        model.zero_grad()
        loss = training_loss(model(images, present), y_true, present, config.model).total
        loss.backward()
        return loss.detach()

    return run
