"""One model on one fold: the Lightning loop, early stopping, and a state from which a killed fold goes on.

All randomness of an epoch (order, poses, modality dropout, the network's dropout) comes from a seed of
(experiment, fold, epoch). So an epoch is a function of the weights and the optimizer at its start, and a fold
that was killed and resumed ends in the same numbers, bit for bit, as one that was not (on the CPU). Both
models of a fold see the same lesions in the same order and pose.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Generator, Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from dgccl.augmentation import drop_modalities
from dgccl.config import ExperimentConfig
from dgccl.errors import TrainingError
from dgccl.fold_data import FoldData, RowBatches, derive_seed, fit_preprocessing
from dgccl.lightning_state import SafetensorsCheckpointIO, fit
from dgccl.model import Classifier, ModelOutput, Objective, build_model, model_config
from dgccl.predict import channels_last

INITIALIZATION, EPOCH, OBJECTIVE = 0, 1, 2  # what a seed is for


def initial_network(config: ExperimentConfig, model: str, *, fold: int) -> Classifier:
    """Untrained network of a fold; the caller's random state stays as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(config.seed, fold, INITIALIZATION))
        return channels_last(build_model(config, model))


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
        # The discriminator of the mutual-information term has weights of its own, drawn from the seed like the rest.
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed(config.seed, data.split.fold, OBJECTIVE))
            self.objective = Objective(
                model_config(config, model).model, modalities=len(config.modality_names), gather=True
            )
        decay = config.training.weight_average
        self.average = AveragedModel(network, use_buffers=True, multi_avg_fn=_ema(decay)) if decay else None
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
        present = drop_modalities(
            self.data.source.modality_present[rows],
            probability=self.config.augmentation.modality_dropout,
            generator=self.generator,
        )
        inputs = self.data.source.training_inputs(
            rows, epoch=self.current_epoch, shown=present, generator=self.generator, device=self.device
        )
        _, loss = self._loss(self.network, inputs, rows, present)
        self.losses.append((loss.detach(), len(rows)))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the average of the weights after the step."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: the average of the weights where there is one."""
        return self.network if self.average is None else self.average.module

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.validated.clear()

    def validation_step(self, rows: Int64[Tensor, "batch"], batch_idx: int) -> None:
        """Loss and score of lesions as they are."""
        present = self.data.source.modality_present[rows]
        inputs = self.data.source.inputs(rows, shown=present, device=self.device)
        output, loss = self._loss(self.judged, inputs, rows, present)
        self.validated.append((loss, output.probability, len(rows)))

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
        scores = torch.cat([score for _, score, _ in self.validated]).float().cpu().numpy()
        labels = self.data.y_true[self.validation_rows.rows].numpy()
        figures = {
            "train_loss": train_loss,
            "validation_loss": validation_loss,
            "validation_auroc": _macro_auroc(labels, scores),
        }
        self.log_dict(figures, batch_size=len(scores))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, a linear warm-up of the learning rate, then a cosine to zero, step by step."""
        training = self.config.training
        optimizer = AdamW(
            [*self.network.parameters(), *self.objective.parameters()],
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        steps = training.epochs * len(self.training_rows)
        warmup = max(1, round(training.warmup_fraction * steps))
        scheduler = LambdaLR(optimizer, lambda step: warmup_cosine(step, warmup=warmup, steps=steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _loss(
        self, network: nn.Module, inputs: dict[str, Tensor], rows: Tensor, present: Tensor
    ) -> tuple[ModelOutput, Float[Tensor, ""]]:
        present = present.to(self.device)
        output = network(inputs, present)
        y_true = self.data.y_true[rows].to(self.device)
        return output, self.objective(output, y_true, present, lesion_ids=rows.to(self.device)).total


class FoldRecord(Callback):
    """Keeps the history and the best weights (or the last), and saves the state of the fold after every epoch."""

    def __init__(
        self,
        state_file: Path,
        *,
        early_stopping: EarlyStopping,
        on_epoch: Callable[[int], None],
        keep_last: bool,
    ):
        self.state_file = state_file
        self.keep_last = keep_last
        self.early_stopping = early_stopping
        self.on_epoch = on_epoch
        self.history: list[dict[str, float | int]] = []
        self.best_loss = math.inf
        self.kept_weights: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed fold needs of the epochs before."""
        return {"history": self.history, "best_loss": self.best_loss, "best_weights": self.kept_weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the record of the epochs before."""
        self.history = state_dict["history"]
        self.best_loss = state_dict["best_loss"]
        self.kept_weights = state_dict["best_weights"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do not go on where the fold had already stopped early when it was killed."""
        trainer.should_stop = self.early_stopping.stopped_epoch > 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch's figures, and its weights if they are the best so far or the last are wanted."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.history.append({"epoch": trainer.current_epoch, **figures})
        if self.keep_last or figures["validation_loss"] < self.best_loss:
            assert isinstance(pl_module, FoldModule)
            self.best_loss = figures["validation_loss"]
            weights = pl_module.judged.state_dict()
            self.kept_weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}

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
    start: dict[str, Tensor] | None = None,
    keep_last: bool = False,
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
        start: weights to begin with, such as those of a pre-training; freshly drawn ones if None.
        keep_last: keep the weights of the last epoch, for data with too few validation lesions to choose one.

    Returns:
        The network with the weights of the lowest validation loss, or the last, and one row of figures an epoch.

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
    if start is not None:
        network.load_state_dict(start)
    fit_preprocessing(network, data, config)
    early_stopping = EarlyStopping(
        "validation_loss", patience=config.training.patience, min_delta=0.0, check_on_train_epoch_end=False
    )
    record = FoldRecord(state_file, early_stopping=early_stopping, on_epoch=on_epoch, keep_last=keep_last)
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
        fit(trainer, FoldModule(network, config=config, model=model, data=data), state_file=state_file)
    network.load_state_dict(record.kept_weights)
    return network.to(device).eval(), record.history


def _ema(decay: float) -> Callable[..., None]:
    """Moving average whose memory grows to that of `decay`, so that the start does not weigh on short trainings."""

    def update(averages: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        kept = min(decay, (1.0 + float(count)) / (10.0 + float(count)))
        for average, value in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value.to(average.dtype), 1.0 - kept)
            else:
                average.copy_(value)

    return update


def warmup_cosine(step: int, *, warmup: int, steps: int) -> float:
    """Factor on the learning rate: linear to 1 over `warmup` steps, then a half cosine to 0 at `steps`."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _mean(losses: list[tuple[Tensor, int]]) -> float:
    """Mean over lesions of the losses of batches."""
    total = torch.stack([loss * count for loss, count in losses]).sum()
    return float(total) / sum(count for _, count in losses)


def _macro_auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """AUROC of class 1, or of more than two classes the mean over classes of each against the rest.

    Args:
        labels: (n,), class indices.
        scores: (n, C), probabilities.
    """
    if scores.shape[1] == 2:
        return _auroc(labels == 1, scores[:, 1])
    each = [_auroc(labels == index, scores[:, index]) for index in range(scores.shape[1])]
    return float(np.mean(each))


def _auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Share of pairs (positive, other) that are ranked right, ties counting half."""
    difference = scores[positive][:, None] - scores[~positive][None, :]
    return float((np.sign(difference) + 1.0).mean() / 2.0) if difference.size else math.nan
