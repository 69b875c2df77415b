"""Settings of the classes, the fusion and the losses."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dgccl.config.base import Fraction, PositiveInt, Settings


def default_class_names(classes: int) -> tuple[str, ...]:
    """Names of classes that a configuration leaves unnamed.

    Args:
        classes: number of classes, at least 2.
    """
    return ("benign", "malignant") if classes == 2 else tuple(f"class {index}" for index in range(classes))


def score_columns(classes: int) -> tuple[str, ...]:
    """Columns of the predictions table that hold the probabilities: of class 1 alone of two, of each class of more.

    Args:
        classes: number of classes, at least 2.
    """
    return ("y_score",) if classes == 2 else tuple(f"y_score_{index}" for index in range(classes))


class ModelConfig(Settings):
    """Fusion, gate, head and losses.

    Attributes:
        classes: number of classes C.
        class_names: what the classes are called, in the order of the labels; by default `benign` and `malignant`, or
            `class 0` and so on of more than two.
        embedding_width: common width D of the projections.
        attention_heads: heads of the cross-attention.
        cross_attention: False leaves the cross-attention out.
        gate: `dynamic` weighs the modalities case by case, `static` by learned weights that are the same for
            every case, `equal` alike.
        gate_hidden: width of the gate's hidden layer.
        head_hidden: width of the head's hidden layer.
        dropout: of the heads.
        contrastive_weight: lambda of the NT-Xent term; 0 leaves the term out.
        temperature: tau of the NT-Xent term.
        queue_size: earlier embeddings kept as further negatives of the NT-Xent term; 0 keeps none.
        compensation_weight: weight of predicting a missing embedding from the present one; 0 removes the path.
        invariance_weight: weight of the mutual information between embedding and modality; 0 leaves it out.
        auxiliary_weight: weight of the cross-entropy of each modality's own logits (`gated_residual`).
        distillation_weight: weight of bringing each modality's own verdict to the joint one (`gated_residual`).
    """

    classes: Annotated[int, Field(ge=2)] = 2
    class_names: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    embedding_width: PositiveInt = 64
    attention_heads: PositiveInt = 4
    cross_attention: bool = True
    gate: Literal["dynamic", "static", "equal"] = "dynamic"
    gate_hidden: PositiveInt = 64
    head_hidden: PositiveInt = 64
    dropout: Fraction = 0.1
    contrastive_weight: Annotated[float, Field(ge=0)] = 0.1
    temperature: Annotated[float, Field(gt=0)] = 0.1
    queue_size: Annotated[int, Field(ge=0)] = 0
    compensation_weight: Annotated[float, Field(ge=0)] = 0.1
    invariance_weight: Annotated[float, Field(ge=0)] = 0.0
    auxiliary_weight: Annotated[float, Field(ge=0)] = 0.5
    distillation_weight: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="before")
    @classmethod
    def _name_classes(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("class_names"):
            classes = values.get("classes", 2)
            if isinstance(classes, int) and classes >= 2:
                return values | {"class_names": default_class_names(classes)}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "ModelConfig":
        if len(set(self.class_names)) != self.classes or len(self.class_names) != self.classes:
            raise ValueError(
                f"class_names must give each of the {self.classes} classes a name of its own, found "
                f"{', '.join(self.class_names) or 'none'}"
            )
        if self.embedding_width % self.attention_heads:
            raise ValueError(
                f"embedding_width {self.embedding_width} must be a multiple of attention_heads {self.attention_heads}"
            )
        if self.queue_size and not self.contrastive_weight:
            raise ValueError("queue_size needs a contrastive_weight above 0")
        return self
