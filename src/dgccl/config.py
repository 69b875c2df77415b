"""Typed TOML configuration: one file an experiment, every key checked, every default visible in the run."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_serializer,
    model_validator,
)

from dgccl.errors import ConfigError

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Settings(BaseModel):
    """A frozen table of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageConfig(Settings):
    """One image modality: what is shown to its encoder, and the encoder.

    Attributes:
        quantity: what the voxels mean; `suv` stands for SUL where every lesion of the cohort has it, else
            SUVbw for all of them (the choice is written into the run, never mixed). `intensity` is an image in
            arbitrary units, such as MR, stored by ingestion under the modality's own name.
        window: values mapped to 0 and 1 (HU or g/mL); values outside are clipped.
        view: `axial` is the one axial plane through the lesion's center, `orthogonal` the axial, coronal and
            sagittal planes, `volume` the cube around it.
        planes: `channels` shows the planes to the encoder as channels of one image; `shared` shows them one by
            one to one encoder, whose weights they share, and keeps the tokens of all.
        field_mm: edge of the square (or cube) that is shown, mm.
        input_px: pixels along that edge.
        encoder: `resnet50_spp` and `vit_small` are the published branches, `cnn` a small network (of 3-D
            convolutions where the view is `volume`).
        pooling: `pyramid` makes tokens of 1, 2 x 2 and 4 x 4 bins, `average` one token of the whole image (the
            method without its spatial pyramid); of no meaning to `vit_small`, whose tokens are its patches.
        encoder_width: channels of the trunk (ViT: 384; cnn: channels after the last stage); the
            ResNet-50 has none to choose, its stage 3 gives 1024.
        token_width: width of the branch's output vector and tokens (published: CT 1024, PET 768).
    """

    quantity: Literal["hu", "suv", "suv_bw", "sul", "suv_bsa", "intensity"]
    window: tuple[float, float]
    view: Literal["axial", "orthogonal", "volume"] = "orthogonal"
    planes: Literal["channels", "shared"] = "channels"
    field_mm: Annotated[float, Field(gt=0)] = 64.0
    input_px: PositiveInt = 64
    encoder: Literal["resnet50_spp", "vit_small", "cnn"] = "cnn"
    pooling: Literal["pyramid", "average"] = "pyramid"
    encoder_width: PositiveInt = 64
    token_width: PositiveInt = 64

    @model_validator(mode="after")
    def _consistent(self) -> "ImageConfig":
        if self.window[0] >= self.window[1]:
            raise ValueError(f"window must rise, found {self.window}")
        if self.encoder == "vit_small" and self.input_px % 16:
            raise ValueError(f"vit_small needs input_px to be a multiple of 16, found {self.input_px}")
        if self.encoder == "vit_small" and self.encoder_width % 64:
            raise ValueError(
                f"vit_small has heads 64 wide: encoder_width {self.encoder_width} is no multiple of 64"
            )
        if self.encoder == "vit_small" and self.pooling != "pyramid":
            raise ValueError("vit_small has patches for tokens: pooling has no meaning there")
        if self.encoder == "cnn" and (self.input_px < 16 or self.encoder_width % 4):
            raise ValueError("cnn needs input_px of at least 16 and an encoder_width that is a multiple of 4")
        if self.encoder == "resnet50_spp" and self.input_px < 64:
            raise ValueError(f"resnet50_spp needs input_px of at least 64, found {self.input_px}")
        if self.encoder == "resnet50_spp" and self.token_width != 1024:
            raise ValueError("resnet50_spp ends in 1024 channels: token_width must be 1024")
        if self.view == "volume" and (self.encoder != "cnn" or self.planes != "channels"):
            raise ValueError('view = "volume" needs encoder = "cnn" and planes = "channels"')
        return self

    @property
    def channels(self) -> int:
        """Planes shown side by side; 1 for a cube."""
        return 3 if self.view == "orthogonal" else 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one lesion's input: (channels, height, width), or (1, depth, height, width) for a cube."""
        edges = 3 if self.view == "volume" else 2
        return (self.channels, *(self.input_px,) * edges)


class TableConfig(Settings):
    """One modality of values instead of voxels: clinical data, biomarkers or radiomics features.

    Attributes:
        quantity: always `table`.
        numbers: columns of the lesion table that hold numbers; standardized by the training lesions.
        categories: columns that hold categories, each with its levels; another level in the data is refused.
        encoder_width: width of the hidden layer.
        token_width: width of the branch's output vector.
    """

    quantity: Literal["table"]
    numbers: tuple[str, ...] = ()
    categories: Annotated[dict[str, tuple[str, ...]], Field(default_factory=dict)]
    encoder_width: PositiveInt = 32
    token_width: PositiveInt = 32

    @model_validator(mode="after")
    def _consistent(self) -> "TableConfig":
        names = [*self.numbers, *self.categories]
        if not names:
            raise ValueError("a table needs at least one column in numbers or categories")
        if len(set(names)) < len(names):
            raise ValueError("a column is named twice")
        for name, levels in self.categories.items():
            if len(set(levels)) < max(2, len(levels)):
                raise ValueError(f"category {name} needs two levels or more, each named once")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the input, numbers first."""
        return (*self.numbers, *self.categories)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one lesion's input: (columns,)."""
        return (len(self.columns),)


ModalityConfig = Annotated[ImageConfig | TableConfig, Field(discriminator="quantity")]
"""One modality of either kind, told apart by its quantity."""


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
        folds: of the cross-validation.
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


FUSION_MODELS = (
    "dgccl",
    "gated_residual",
    "early_fusion",
    "late_fusion",
    "summed_logits",
    "concatenation",
    "cross_attention",
    "product_of_experts",
)
"""Models that read every modality; beside them, `single_NAME` reads the modality NAME alone."""
SINGLE = "single_"


class ExperimentConfig(Settings):
    """A whole experiment as its TOML file states it; without a table `pretraining` there is none."""

    name: str
    seed: Annotated[int, Field(ge=0)] = 0
    models: tuple[str, ...] = ("dgccl", "late_fusion")
    modalities: Annotated[dict[str, ModalityConfig], Field(min_length=1)]
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()
    prediction: PredictionConfig = PredictionConfig()
    pretraining: PretrainingConfig | None = None

    @model_serializer(mode="wrap")
    def _leave_out_what_is_off(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Without pre-training the table is left out, so that the hashes by which runs are known stay as they were."""
        dumped: dict[str, Any] = handler(self)
        if dumped.get("pretraining") is None:
            dumped.pop("pretraining", None)
        return dumped

    @model_validator(mode="after")
    def _pairs_exist(self) -> "ExperimentConfig":
        wanted = self.pretraining
        if wanted and len(self.modalities) < 2 and wanted.contrastive_weight + wanted.cross_weight:
            raise ValueError(
                "pretraining.contrastive_weight and cross_weight need two modalities or more; set both to 0 where "
                f"there is but {next(iter(self.modalities))}"
            )
        return self

    @model_validator(mode="after")
    def _models_exist(self) -> "ExperimentConfig":
        known = [*FUSION_MODELS, *(f"{SINGLE}{name}" for name in self.modalities)]
        unknown = [name for name in self.models if name not in known]
        if unknown:
            raise ValueError(
                f"models names the unknown model {', '.join(unknown)}; there are {', '.join(known)}"
            )
        if not self.models or len(set(self.models)) < len(self.models):
            raise ValueError("models must name at least one model, and none twice")
        return self

    @property
    def modality_names(self) -> tuple[str, ...]:
        """Names of the modalities in their fixed order."""
        return tuple(self.modalities)

    @property
    def images(self) -> dict[str, ImageConfig]:
        """The image modalities."""
        return {name: m for name, m in self.modalities.items() if isinstance(m, ImageConfig)}

    @property
    def tables(self) -> dict[str, TableConfig]:
        """The modalities of values."""
        return {name: m for name, m in self.modalities.items() if isinstance(m, TableConfig)}


def load_config(path: Path) -> ExperimentConfig:
    """Read and check an experiment's TOML file.

    Raises:
        ConfigError: the file is absent, is no TOML, or holds an unknown key or a value out of range.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            "config_not_found", f"There is no configuration {path.name}.", remedy="See configs/ for presets."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("config_not_toml", f"{path.name} is not valid TOML: {error}.") from error
    try:
        return ExperimentConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(
            "config_invalid",
            f"{path.name}: {wrong_settings(error)}.",
            remedy="Compare with the presets in configs/.",
        ) from error


def wrong_settings(error: ValidationError) -> str:
    """What is wrong in a file of settings, and where, as the file names it."""
    kinds = {*get_args(ImageConfig.model_fields["quantity"].annotation), "table"}
    problems = []
    for item in error.errors():
        # A modality is of a kind that its quantity tells: pydantic names the kind too, the file does not.
        place = [str(part) for part in item["loc"]]
        if len(place) > 3 and place[-2] in kinds:
            place.pop(-2)
        problems.append(f"{'.'.join(place) or 'file'}: {item['msg']}")
    return "; ".join(problems)
