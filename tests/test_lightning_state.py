"""A training that is stopped from outside says so, however Lightning would have it."""

import os
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

from dgccl.lightning_state import TERMINATED, fit, quiet_lightning


class Stopped(LightningModule):
    """Sends its own process a signal at the second step."""

    def __init__(self, number: signal.Signals | None) -> None:
        super().__init__()
        self.number, self.steps = number, 0
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        self.steps += 1
        if self.steps == 2 and self.number is not None:
            os.kill(os.getpid(), self.number)
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(torch.ones(8, 1)), batch_size=2)


def train(number: signal.Signals | None, folder: Path) -> Stopped:
    module = Stopped(number)
    before = signal.getsignal(signal.SIGINT)
    try:
        with quiet_lightning():
            trainer = Trainer(
                accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False,
                enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
            )  # fmt: skip
            fit(trainer, module, state_file=folder / "none")
    finally:
        signal.signal(signal.SIGINT, before)
    return module


def test_a_training_that_nobody_stops_goes_to_its_end(tmp_path: Path) -> None:
    assert train(None, tmp_path).steps == 8


def test_sigterm_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as left:
        train(signal.SIGTERM, tmp_path)
    assert left.value.code == TERMINATED == 128 + signal.SIGTERM


def test_ctrl_c_is_ctrl_c(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(signal.SIGINT, tmp_path)
