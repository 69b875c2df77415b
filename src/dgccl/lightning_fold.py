"""One model on one fold: the Lightning loop, early stopping, and a state from which a killed fold goes on.

All randomness of an epoch (order, poses, modality dropout, the network's dropout) comes from a seed of
(experiment, fold, epoch). So an epoch is a function of the weights and the optimizer at its start, and a fold
that was killed and resumed ends in the same numbers, bit for bit, as one that was not (on the CPU). Both
models of a fold see the same lesions in the same order and pose.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Generator, Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from dgccl.augmentation import drop_modalities, random_poses
from dgccl.cohort import Split
from dgccl.config import ExperimentConfig
from dgccl.dataset import LesionImages, sample_planes
from dgccl.errors import TrainingError
from dgccl.lightning_state import SafetensorsCheckpointIO
from dgccl.model import Classifier, ModelOutput, build_model, training_loss
from dgccl.predict import channels_last

INITIALIZATION, EPOCH = 0, 1  # what a seed is for


@dataclass(frozen=True, eq=False)
class FoldData:
    """What a fold trains on.

    Attributes:
        images: the whole cohort in memory.
        y_true: (n,), class indices.
        split: rows of the fold's training, validation and test lesions.
    """

    images: LesionImages
    y_true: Int64[Tensor, "n"]
    split: Split


def derive_seed(*key: int) -> int:
    """Seed that depends on every number of the key and on their order."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def initial_network(config: ExperimentConfig, model: str, *, fold: int) -> Classifier:
    """Untrained network of a fold; the caller's random state stays as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(config.seed, fold, INITIALIZATION))
        return channels_last(build_model(config, model))


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


class FoldModule(LightningModule):
    """A network with the data, the loss and the optimizer of its fold."""

    def __init__(self, network: Classifier, *, config: ExperimentConfig, model: str, data: FoldData) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.model_name = model
        self.data = data
        size = config.training.batch_size
        self.training_rows = RowBatches(data.split.train, batch_size=size)
        self.validation_rows = RowBatches(data.split.validation, batch_size=size)
        self.pose_field_mm = min(settings.field_mm for settings in config.modalities.values())
        self.generator = Generator()
        self.losses: list[tuple[Tensor, int]] = []
        self.validated: list[tuple[Tensor, Tensor, int]] = []

    def train_dataloader(self) -> RowBatches:
        """Rows of the training lesions, batch by batch."""
        return self.training_rows

    def val_dataloader(self) -> RowBatches:
        """Rows of the validation lesions, batch by batch."""
        return self.validation_rows

    def transfer_batch_to_device(self, batch: Tensor, device: torch.device, dataloader_idx: int) -> Tensor:
        """Leave row indices where the lesions are; `sample_planes` moves what a step needs."""
        return batch

    def on_train_epoch_start(self) -> None:
        """Reseed everything that is random in this epoch."""
        seed = derive_seed(self.config.seed, self.data.split.fold, EPOCH, self.current_epoch)
        torch.manual_seed(seed)
        self.generator.manual_seed(seed)
        self.training_rows.shuffle(self.generator)
        self.losses.clear()

    def training_step(self, rows: Int64[Tensor, "batch"], batch_idx: int) -> Float[Tensor, ""]:
        """Loss of a batch in random poses, with modalities missing at random."""
        settings = self.config.augmentation
        pose = random_poses(len(rows), config=settings, field_mm=self.pose_field_mm, generator=self.generator)
        present = drop_modalities(
            self.data.images.modality_present[rows],
            probability=settings.modality_dropout,
            generator=self.generator,
        )
        _, loss = self._forward(rows, present, pose)
        self.losses.append((loss.detach(), len(rows)))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.validated.clear()

    def validation_step(self, rows: Int64[Tensor, "batch"], batch_idx: int) -> None:
        """Loss and score of lesions as they are."""
        output, loss = self._forward(rows, self.data.images.modality_present[rows], None)
        self.validated.append((loss, output.probability[:, 1], len(rows)))

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's figures; stop where a loss is no number.

        Raises:
            TrainingError: the training or the validation loss is not finite.
        """
        train_loss = _mean(self.losses)
        validation_loss = _mean([(loss, count) for loss, _, count in self.validated])
        if not math.isfinite(train_loss + validation_loss):
            raise TrainingError(
                "nan_loss",
                f"The loss of {self.model_name} is not a number in fold {self.data.split.fold}, "
                f"epoch {self.current_epoch} (training {train_loss:g}, validation {validation_loss:g}).",
                remedy="Lower training.learning_rate, or use precision 32-true.",
            )
        scores = torch.cat([score for _, score, _ in self.validated]).cpu().numpy()
        labels = self.data.y_true[self.validation_rows.rows].numpy()
        figures = {
            "train_loss": train_loss,
            "validation_loss": validation_loss,
            "validation_auroc": _auroc(labels == 1, scores),
        }
        self.log_dict(figures, batch_size=len(scores))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, a linear warm-up of the learning rate, then a cosine to zero, step by step."""
        training = self.config.training
        optimizer = AdamW(
            self.network.parameters(),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        steps = training.epochs * len(self.training_rows)
        warmup = max(1, round(training.warmup_fraction * steps))
        scheduler = LambdaLR(optimizer, lambda step: warmup_cosine(step, warmup=warmup, steps=steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _forward(
        self, rows: Tensor, present: Tensor, pose: Tensor | None
    ) -> tuple[ModelOutput, Float[Tensor, ""]]:
        planes = sample_planes(
            self.data.images,
            rows,
            modalities=self.config.modalities,
            pose=pose,
            shown=present,
            device=self.device,
        )
        present = present.to(self.device)
        output = self.network(planes, present)
        loss = training_loss(output, self.data.y_true[rows].to(self.device), present, self.config.model)
        return output, loss.total


class FoldRecord(Callback):
    """Keeps the history and the best weights, and saves the state of the fold after every epoch."""

    def __init__(self, state_file: Path, *, early_stopping: EarlyStopping, on_epoch: Callable[[int], None]):
        self.state_file = state_file
        self.early_stopping = early_stopping
        self.on_epoch = on_epoch
        self.history: list[dict[str, float | int]] = []
        self.best_loss = math.inf
        self.best_weights: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed fold needs of the epochs before."""
        return {"history": self.history, "best_loss": self.best_loss, "best_weights": self.best_weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the record of the epochs before."""
        self.history = state_dict["history"]
        self.best_loss = state_dict["best_loss"]
        self.best_weights = state_dict["best_weights"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not go on where the fold had already stopped early when it was killed."""
        trainer.should_stop = self.early_stopping.stopped_epoch > 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch's figures, and its weights if they are the best so far."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.history.append({"epoch": trainer.current_epoch, **figures})
        if figures["validation_loss"] < self.best_loss:
            assert isinstance(pl_module, FoldModule)
            self.best_loss = figures["validation_loss"]
            weights = pl_module.network.state_dict()
            self.best_weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the state, then tell that the epoch is done."""
        trainer.save_checkpoint(self.state_file, weights_only=False)
        self.on_epoch(trainer.current_epoch + 1)


def fit_fold(
    data: FoldData,
    *,
    config: ExperimentConfig,
    model: str,
    device: str,
    state_file: Path,
    log_dir: Path,
    on_epoch: Callable[[int], None],
) -> tuple[Classifier, list[dict[str, float | int]]]:
    """Train one model on one fold, from its beginning or from where it was killed.

    Args:
        data: lesions, labels and split.
        config: the experiment.
        model: name of the model.
        device: `cpu` or `cuda`.
        state_file: where the state is kept while the fold is unfinished.
        log_dir: where TensorBoard's events go.
        on_epoch: called with the number of epochs done.

    Returns:
        The network with the weights of the lowest validation loss, and one row of figures an epoch.

    Raises:
        TrainingError: the loss is not a number, or the device cannot train in this precision.
    """
    if config.training.precision == "16-mixed" and device == "cpu":
        raise TrainingError(
            "precision_unavailable",
            "precision 16-mixed needs a CUDA device; this run is on the CPU.",
            remedy='Set precision = "bf16-mixed" or "32-true".',
        )
    network = initial_network(config, model, fold=data.split.fold)
    early_stopping = EarlyStopping(
        "validation_loss", patience=config.training.patience, min_delta=0.0, check_on_train_epoch_end=False
    )
    record = FoldRecord(state_file, early_stopping=early_stopping, on_epoch=on_epoch)
    trainer = Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        precision=config.training.precision,
        max_epochs=config.training.epochs,
        callbacks=[early_stopping, record],
        plugins=[SafetensorsCheckpointIO()],
        logger=TensorBoardLogger(log_dir.parent, name="", version=log_dir.name, default_hp_metric=False),
        default_root_dir=log_dir.parent,
        enable_checkpointing=False,  # FoldRecord saves the state; Lightning's own callback would rank files
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    with torch.random.fork_rng():
        trainer.fit(
            FoldModule(network, config=config, model=model, data=data),
            ckpt_path=str(state_file) if state_file.exists() else None,
        )
    network.load_state_dict(record.best_weights)
    return network.to(device).eval(), record.history


def warmup_cosine(step: int, *, warmup: int, steps: int) -> float:
    """Factor on the learning rate: linear to 1 over `warmup` steps, then a half cosine to 0 at `steps`."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _mean(losses: list[tuple[Tensor, int]]) -> float:
    """Mean over lesions of the losses of batches."""
    total = torch.stack([loss * count for loss, count in losses]).sum()
    return float(total) / sum(count for _, count in losses)


def _auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Share of pairs (positive, other) that are ranked right, ties counting half."""
    difference = scores[positive][:, None] - scores[~positive][None, :]
    return float((np.sign(difference) + 1.0).mean() / 2.0) if difference.size else math.nan
