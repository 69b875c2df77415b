"""The Lightning loop of pre-training, with a state from which a killed one goes on to the same bits (on the CPU).

As in a fold, all randomness of an epoch comes from a seed of (experiment, epoch). Labels are nowhere in reach: the loop
is given a source of inputs and row numbers.
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Generator, Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from dgccl.config import ExperimentConfig
from dgccl.errors import TrainingError
from dgccl.fold_data import LesionSource, RowBatches, derive_seed
from dgccl.lightning_fold import EPOCH, INITIALIZATION, warmup_cosine
from dgccl.lightning_state import SafetensorsCheckpointIO, fit
from dgccl.predict import channels_last
from dgccl.pretraining.encoders import (
    EncodersAlone,
    averaged_momentum,
    fit_table_encoders,
    follow,
    settle_statistics,
)
from dgccl.pretraining.masking import draw_masks, hidden_share, hide, maskable_places, modality_places
from dgccl.pretraining.objectives import PretrainingObjective, embedding_spread, pretraining_config

PRETRAINING = 1_000_003  # stands where a fold's number stands in the seeds of a cross-validation

History = list[dict[str, float | int]]


def initial_encoders(config: ExperimentConfig) -> EncodersAlone:
    """Untrained encoders; the caller's random state stays as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(config.seed, PRETRAINING, INITIALIZATION))
        return channels_last(EncodersAlone(config))


class PretrainingModule(LightningModule):
    """Student, teacher, objective and data of a pre-training."""

    def __init__(
        self,
        student: EncodersAlone,
        *,
        config: ExperimentConfig,
        source: LesionSource,
        rows: Int64[Tensor, "train"],
    ) -> None:
        super().__init__()
        self.config, self.settings = config, pretraining_config(config)
        self.source = source
        self.student = student
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        self.objective = PretrainingObjective(config)
        self.places = [modality_places(modality) for modality in config.modalities.values()]
        self.batches = RowBatches(rows.numpy(), batch_size=self.settings.batch_size)
        self.generator = Generator()
        self.figures: list[tuple[dict[str, Tensor], int]] = []

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.settings.epochs * len(self.batches)

    def train_dataloader(self) -> RowBatches:
        """Rows of the training lesions, batch by batch."""
        return self.batches

    def transfer_batch_to_device(self, batch: Tensor, device: torch.device, dataloader_idx: int) -> Tensor:
        """Leave row indices where the lesions are."""
        return batch

    def on_train_epoch_start(self) -> None:
        """Reseed everything that is random in this epoch."""
        seed = derive_seed(self.config.seed, PRETRAINING, EPOCH, self.current_epoch)
        torch.manual_seed(seed)
        self.generator.manual_seed(seed)
        self.batches.shuffle(self.generator)
        self.figures.clear()

    def training_step(self, rows: Int64[Tensor, "batch"], batch_idx: int) -> Float[Tensor, ""]:
        """Loss of a batch, every modality of a lesion in a pose of its own."""
        on_host = self.source.modality_present[rows]
        inputs = self._inputs(rows, on_host)
        present = on_host.to(self.device)
        whole = masked = teacher = None
        hidden: tuple[Tensor, ...] = ()
        if self.settings.contrastive_weight:
            whole = self.student(inputs, present)
        if self.objective.needs_teacher:
            with torch.no_grad():
                teacher = self.teacher(inputs, present)
            inputs, hidden = self._hide(inputs)
            masked = self.student(inputs, present)
        ids = rows.to(self.device)
        terms = self.objective(whole, masked, teacher, present, hidden=hidden, lesion_ids=ids)
        figures = {name: value.detach() for name, value in vars(terms).items()}
        shown = whole or teacher
        assert shown is not None  # a configuration without any objective is refused
        self.figures.append((figures | self._spread(shown.embeddings, present), len(rows)))
        return terms.total

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the teacher after the step."""
        momentum = averaged_momentum(self.global_step, steps=self.steps, start=self.settings.teacher_momentum)
        follow(self.teacher, self.student, momentum=momentum)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW on student and predictors, a linear warm-up of the rate, then a cosine to zero, step by step."""
        settings = self.settings
        optimizer = AdamW(
            [*self.student.parameters(), *self.objective.parameters()],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        warmup = max(1, round(settings.warmup_fraction * self.steps))
        scheduler = LambdaLR(optimizer, lambda step: warmup_cosine(step, warmup=warmup, steps=self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def epoch_figures(self) -> dict[str, float]:
        """Means over the epoch's lesions of the loss, its terms and the spread of each modality's embeddings."""
        names = {name for figures, _ in self.figures for name in figures}
        means = {}
        for name in sorted(names):
            pairs = [(float(figures[name]), n) for figures, n in self.figures if name in figures]
            means[name] = sum(value * n for value, n in pairs) / sum(n for _, n in pairs)
        return {"loss": means.pop("total"), **means}

    def _inputs(self, rows: Tensor, present: Bool[Tensor, "batch modality"]) -> dict[str, Tensor]:
        """Each modality drawn by itself, so that its pose is its own; of poses drawn beforehand, the next one each."""
        inputs = {}
        for index, name in enumerate(self.config.modality_names):
            shown = torch.zeros_like(present)
            shown[:, index] = present[:, index]
            drawn = self.source.training_inputs(
                rows,
                epoch=self.current_epoch + index,
                shown=shown,
                generator=self.generator,
                device=self.device,
            )
            inputs[name] = drawn[name]
        return inputs

    def _hide(self, inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Masked inputs, and per modality the share (B, T) that is hidden from each token."""
        covered, shares = {}, []
        for places, (name, values) in zip(self.places, inputs.items(), strict=True):
            masks = draw_masks(
                places,
                maskable_places(places, values).cpu(),
                fraction=self.settings.mask_fraction,
                blocks=self.settings.mask_blocks,
                generator=self.generator,
            ).to(values.device)
            covered[name] = hide(places, values, masks)
            shares.append(hidden_share(places, masks))
        return covered, tuple(shares)

    def _spread(self, embeddings: Tensor, present: Tensor) -> dict[str, Tensor]:
        return {
            f"spread_{name}": embedding_spread(embeddings[present[:, index], index])
            for index, name in enumerate(self.config.modality_names)
            if int(present[:, index].sum()) >= 2
        }


class PretrainingRecord(Callback):
    """Keeps the history and saves the state after every epoch; stops where the loss is no number."""

    def __init__(self, state_file: Path, *, on_epoch: Callable[[int], None]) -> None:
        self.state_file = state_file
        self.on_epoch = on_epoch
        self.history: History = []

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs of the epochs before."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the record of the epochs before."""
        self.history = state_dict["history"]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch, save the state, then tell that the epoch is done.

        Raises:
            TrainingError: `nan_loss`.
        """
        assert isinstance(pl_module, PretrainingModule)
        figures = pl_module.epoch_figures()
        if not math.isfinite(figures["loss"]):
            terms = ", ".join(f"{name} {figures[name]:g}" for name in ("contrastive", "masked", "cross"))
            raise TrainingError(
                "nan_loss",
                f"The loss of pre-training is not a number in epoch {trainer.current_epoch} ({terms}).",
                remedy="Lower pretraining.learning_rate, or use precision 32-true.",
            )
        self.history.append({"epoch": trainer.current_epoch, **figures})
        if trainer.logger is not None:
            trainer.logger.log_metrics(figures, step=trainer.global_step)
        trainer.save_checkpoint(self.state_file, weights_only=False)
        self.on_epoch(trainer.current_epoch + 1)


def fit_encoders(
    source: LesionSource,
    rows: Int64[Tensor, "train"],
    *,
    config: ExperimentConfig,
    device: str,
    state_file: Path,
    log_dir: Path,
    on_epoch: Callable[[int], None],
) -> tuple[EncodersAlone, History]:
    """Pre-train the encoders of an experiment, from the beginning or from where it was killed.

    Args:
        source: inputs of the lesions; their labels are not asked for.
        rows: lesions to learn from, (n,).
        config: the experiment, with its table `pretraining`.
        device: `cpu` or `cuda`.
        state_file: where the state is kept while it is unfinished.
        log_dir: where TensorBoard's events go.
        on_epoch: called with the number of epochs done.

    Returns:
        The teacher, which is the moving average of the student, with normalization statistics of the lesions as they
        lie (`settle_statistics`); and one row of figures an epoch.

    Raises:
        ConfigError: `pretraining_not_configured`.
        TrainingError: `nan_loss`.
    """
    settings = pretraining_config(config)
    student = initial_encoders(config)
    fit_table_encoders(student, source, rows)
    record = PretrainingRecord(state_file, on_epoch=on_epoch)
    trainer = Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        precision=settings.precision,
        max_epochs=settings.epochs,
        callbacks=[record],
        plugins=[SafetensorsCheckpointIO()],
        logger=TensorBoardLogger(log_dir.parent, name="", version=log_dir.name, default_hp_metric=False),
        default_root_dir=log_dir.parent,
        enable_checkpointing=False,  # PretrainingRecord saves the state
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(config.seed, PRETRAINING, INITIALIZATION, 1))
        module = PretrainingModule(student, config=config, source=source, rows=rows)
        fit(trainer, module, state_file=state_file)
    teacher = module.teacher.to(device)
    settle_statistics(teacher, source, rows)
    return teacher.eval(), record.history
