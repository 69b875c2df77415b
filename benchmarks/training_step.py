"""How much a training step costs beyond its forward, backward and optimizer step.

The loop is the one that `dgccl train` runs: order, poses, sampling of the planes, modality dropout, Lightning.
After each of its steps the same tensors go through a twin network with nothing around it. Both are timed in turns
in one process, so that a noisy machine slows both alike; medians are compared.

    python benchmarks/training_step.py --config configs/fast.toml --steps 120
"""

import argparse
import copy
import json
import logging
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from dgccl.config import ExperimentConfig, load_config
from dgccl.dataset import LesionImages
from dgccl.fold_data import FoldData, PosedLesions
from dgccl.folds import Split
from dgccl.lightning_fold import FoldModule, initial_network
from dgccl.model import training_loss

LESIONS = 96
WARM_UP_STEPS = 12
TARGET_RATIO = 1.3


class Twin(Callback):
    """Times the loop's step, then repeats its computation on a twin network."""

    def __init__(self, network: nn.Module, config: ExperimentConfig, y_true: torch.Tensor) -> None:
        self.config = config
        self.y_true = y_true
        self.network = copy.deepcopy(network)
        training = config.training
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        self.seen: tuple[Any, ...] = ()
        network.register_forward_pre_hook(self._remember)
        self.loop_s: list[float] = []
        self.bare_s: list[float] = []
        self.begin = float("nan")

    def _remember(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.seen = inputs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The first step of an epoch counts from here."""
        self.begin = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: torch.Tensor, batch_idx: int
    ) -> None:
        """Close the loop's step, time the bare one, and open the loop's next."""
        middle = time.perf_counter()
        planes, present = self.seen
        labels = self.y_true[batch]
        start = time.perf_counter()
        self.optimizer.zero_grad()
        training_loss(self.network(planes, present), labels, present, self.config.model).total.backward()
        self.optimizer.step()
        end = time.perf_counter()
        self.loop_s.append(middle - self.begin)
        self.bare_s.append(end - start)
        self.begin = time.perf_counter()


def main() -> None:
    """Run both kinds of step in turns and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("configs/fast.toml"))
    parser.add_argument("--model", default="dgccl")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
    config = load_config(arguments.config)
    rng = np.random.default_rng(0)
    images = LesionImages(
        volumes={
            "ct": torch.from_numpy(rng.integers(-1000, 500, (LESIONS, 64, 64, 64), dtype=np.int16)),
            "pet": torch.from_numpy(rng.gamma(2.0, 1.0, (LESIONS, 16, 16, 16)).astype(np.float32)),
        },
        modality_present=torch.ones(LESIONS, 2, dtype=torch.bool),
        box_mm=64.0,
    )
    y_true = torch.from_numpy(rng.integers(0, 2, LESIONS))
    everything = np.arange(LESIONS)
    data = FoldData(
        PosedLesions(images, config), y_true, Split(0, everything, everything[:0], everything[:0])
    )
    network = initial_network(config, arguments.model, fold=0)
    twin = Twin(network, config, y_true)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu",
            precision=config.training.precision,
            max_steps=arguments.steps + WARM_UP_STEPS,
            limit_val_batches=0,
            callbacks=[twin],
            logger=False,
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(FoldModule(network, config=config, model=arguments.model, data=data))
    loop_s, bare_s = twin.loop_s[WARM_UP_STEPS:], twin.bare_s[WARM_UP_STEPS:]
    ratio = median(loop_s) / median(bare_s)
    result = {
        "config": config.name,
        "model": arguments.model,
        "batch_size": config.training.batch_size,
        "steps": len(loop_s),
        "threads": torch.get_num_threads(),
        "loop_step_ms": round(1e3 * median(loop_s), 2),
        "bare_step_ms": round(1e3 * median(bare_s), 2),
        "ratio": round(ratio, 3),
        "fastest_ratio": round(min(loop_s) / min(bare_s), 3),
        "target_ratio": TARGET_RATIO,
        "within_target": ratio <= TARGET_RATIO,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
