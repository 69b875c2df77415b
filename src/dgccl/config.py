"""Typed TOML configuration: one file an experiment, every key checked, every default visible in the run."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dgccl.errors import ConfigError

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Settings(BaseModel):
    """A frozen table of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModalityConfig(Settings):
    """One modality: what is shown to its encoder, and the encoder.

    Attributes:
        quantity: what the voxels mean; `suv` stands for SUL where every lesion of the cohort has it, else
            SUVbw for all of them (the choice is written into the run, never mixed).
        window: values mapped to 0 and 1 (HU or g/mL); values outside are clipped.
        view: `axial` is the one axial plane through the lesion's center (1 channel), `orthogonal` the
            axial, coronal and sagittal planes (3 channels).
        field_mm: edge of the square that is shown, mm.
        input_px: pixels along that edge.
        encoder: `resnet50_spp` and `vit_small` are the published branches, `cnn` a small network.
        encoder_width: channels of the trunk (ViT: 384; cnn: channels after the last stage); the
            ResNet-50 has none to choose, its stage 3 gives 1024.
        token_width: width of the branch's output vector and tokens (published: CT 1024, PET 768).
    """

    quantity: Literal["hu", "suv", "suv_bw", "sul", "suv_bsa"]
    window: tuple[float, float]
    view: Literal["axial", "orthogonal"] = "orthogonal"
    field_mm: Annotated[float, Field(gt=0)] = 64.0
    input_px: PositiveInt = 64
    encoder: Literal["resnet50_spp", "vit_small", "cnn"] = "cnn"
    encoder_width: PositiveInt = 64
    token_width: PositiveInt = 64

    @model_validator(mode="after")
    def _consistent(self) -> "ModalityConfig":
        if self.window[0] >= self.window[1]:
            raise ValueError(f"window must rise, found {self.window}")
        if self.encoder == "vit_small" and self.input_px % 16:
            raise ValueError(f"vit_small needs input_px to be a multiple of 16, found {self.input_px}")
        if self.encoder == "vit_small" and self.encoder_width % 64:
            raise ValueError(
                f"vit_small has heads 64 wide: encoder_width {self.encoder_width} is no multiple of 64"
            )
        if self.encoder == "cnn" and (self.input_px < 32 or self.encoder_width % 4):
            raise ValueError("cnn needs input_px of at least 32 and an encoder_width that is a multiple of 4")
        if self.encoder == "resnet50_spp" and self.input_px < 64:
            raise ValueError(f"resnet50_spp needs input_px of at least 64, found {self.input_px}")
        if self.encoder == "resnet50_spp" and self.token_width != 1024:
            raise ValueError("resnet50_spp ends in 1024 channels: token_width must be 1024")
        return self

    @property
    def channels(self) -> int:
        """Planes shown to the encoder."""
        return 1 if self.view == "axial" else 3


class ModelConfig(Settings):
    """Fusion, gate, head and losses.

    Attributes:
        embedding_width: common width D of the projections.
        contrastive_weight: lambda of the NT-Xent term; 0 leaves the term out.
        temperature: tau of the NT-Xent term.
        compensation_weight: weight of predicting a missing embedding from the present one; 0 removes the path.
    """

    classes: Annotated[int, Field(ge=2)] = 2
    embedding_width: PositiveInt = 64
    attention_heads: PositiveInt = 4
    gate_hidden: PositiveInt = 64
    head_hidden: PositiveInt = 64
    dropout: Fraction = 0.1
    contrastive_weight: Annotated[float, Field(ge=0)] = 0.1
    temperature: Annotated[float, Field(gt=0)] = 0.1
    compensation_weight: Annotated[float, Field(ge=0)] = 0.1

    @model_validator(mode="after")
    def _consistent(self) -> "ModelConfig":
        if self.embedding_width % self.attention_heads:
            raise ValueError(
                f"embedding_width {self.embedding_width} must be a multiple of attention_heads {self.attention_heads}"
            )
        return self


class AugmentationConfig(Settings):
    """One random pose a lesion, the same for all its modalities, and modality dropout."""

    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 15.0
    translation_fraction: Fraction = 0.1
    scale: tuple[float, float] = (0.9, 1.1)
    flip: bool = False
    modality_dropout: Fraction = 0.3


class TrainingConfig(Settings):
    """Cross-validation and optimization."""

    folds: Annotated[int, Field(ge=2)] = 5
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    epochs: PositiveInt = 20
    batch_size: Annotated[int, Field(ge=2)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_fraction: Fraction = 0.1
    patience: PositiveInt = 10
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"


ModelName = Literal["dgccl", "late_fusion"]


class ExperimentConfig(Settings):
    """A whole experiment as its TOML file states it."""

    name: str
    seed: Annotated[int, Field(ge=0)] = 0
    models: tuple[ModelName, ...] = ("dgccl", "late_fusion")
    modalities: dict[str, ModalityConfig]
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()

    @property
    def modality_names(self) -> tuple[str, ...]:
        """Names of the modalities in their fixed order."""
        return tuple(self.modalities)


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
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()
        )
        raise ConfigError(
            "config_invalid", f"{path.name}: {problems}.", remedy="Compare with the presets in configs/."
        ) from error
