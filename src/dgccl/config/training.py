"""Settings of training, with labels and without, and of prediction."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dgccl.config.base import Fraction, PositiveInt, Settings


class AugmentationConfig(Settings):
    """One random pose a lesion, the same for all its modalities, and modality dropout."""

    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 15.0
    translation_fraction: Fraction = 0.1
    scale: tuple[float, float] = (0.9, 1.1)
    flip: bool = False
    modality_dropout: Fraction = 0.3


class TrainingConfig(Settings):
    """Cross-validation and optimization.

    Attributes:
        folds: of the cross-validation; by site, as many as there are sites.
        fold_by: what a test fold is made of: patients of every class, or one whole site that its network never saw.
        validation_fraction: share of a fold's other lesions that validates.
        epochs: passes over the training lesions, at most.
        batch_size: lesions a step.
        learning_rate: of AdamW, after the warm-up.
        weight_decay: of AdamW.
        warmup_fraction: share of the steps in which the rate rises.
        patience: epochs without a better validation loss before the fold stops.
        precision: of the arithmetic, as Lightning names it.
        weight_average: decay of the moving average of the weights, which is what is validated and kept; 0: none.
    """

    folds: Annotated[int, Field(ge=2)] = 5
    fold_by: Literal["patient", "site"] = "patient"
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    epochs: PositiveInt = 20
    batch_size: Annotated[int, Field(ge=2)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_fraction: Fraction = 0.1
    patience: PositiveInt = 10
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    weight_average: Annotated[float, Field(ge=0, lt=1)] = 0.0


class PretrainingConfig(Settings):
    """Training of the encoders without labels, before the training with them (`dgccl pretrain`).

    Attributes:
        contrastive_weight: weight of the symmetric NT-Xent between modalities, over the lesions that have both.
        masked_weight: weight of predicting the teacher's tokens at masked places, within each modality.
        cross_weight: weight of predicting the teacher's embedding of each other modality from the masked one.
        temperature: tau of the NT-Xent term.
        queue_size: earlier embeddings kept as further negatives of the NT-Xent term; 0 keeps none.
        mask_fraction: share of an image's places, or of a table's known columns, that is masked.
        mask_blocks: blocks that the masked places of an image form, at most; of no meaning to tables.
        predictor_hidden: width of the hidden layer of the predictors.
        teacher_momentum: of the teacher's moving average at the beginning; it rises to 1 at the end.
        validation_fraction: share of the patients held out, on whose lesions retrieval is measured.
        epochs: passes over the other lesions.
        batch_size: lesions a step.
        learning_rate: of AdamW, after the warm-up.
        weight_decay: of AdamW.
        warmup_fraction: share of the steps in which the rate rises.
        precision: of the arithmetic, as Lightning names it.
    """

    contrastive_weight: Annotated[float, Field(ge=0)] = 1.0
    masked_weight: Annotated[float, Field(ge=0)] = 1.0
    cross_weight: Annotated[float, Field(ge=0)] = 0.5
    temperature: Annotated[float, Field(gt=0)] = 0.1
    queue_size: Annotated[int, Field(ge=0)] = 0
    mask_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    mask_blocks: PositiveInt = 2
    predictor_hidden: PositiveInt = 128
    teacher_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    epochs: PositiveInt = 50
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup_fraction: Fraction = 0.1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"

    @model_validator(mode="after")
    def _consistent(self) -> "PretrainingConfig":
        if not self.contrastive_weight + self.masked_weight + self.cross_weight:
            raise ValueError("one of contrastive_weight, masked_weight and cross_weight must be above 0")
        if self.queue_size and not self.contrastive_weight:
            raise ValueError("queue_size needs a contrastive_weight above 0")
        return self


class PredictionConfig(Settings):
    """How a trained network is asked.

    Attributes:
        poses: views of a lesion whose probabilities are averaged: the first as the lesion lies, the others turned by
            fixed rotations within `augmentation.rotation_deg`.
    """

    poses: PositiveInt = 1
