"""A whole experiment and its TOML file."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field, ValidationError, model_serializer, model_validator

from dgccl.config.base import Settings
from dgccl.config.modalities import ImageConfig, ModalityConfig, TableConfig
from dgccl.config.model import ModelConfig
from dgccl.config.training import AugmentationConfig, PredictionConfig, PretrainingConfig, TrainingConfig
from dgccl.config.variants import AblationConfig, adjusted, check_shared
from dgccl.errors import ConfigError

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
PUBLISHED_MODELS = ("mayo", "herder", "brock")
"""Nodule models of others that stand beside the run's own in evaluation: no ablation can have their names."""
SINGLE = "single_"


class ExperimentConfig(Settings):
    """A whole experiment as its TOML file states it; without a table `pretraining` there is none.

    Attributes:
        models: what is trained and compared; the first leads the report and is held against the others.
        ablations: by name, further models that each lack a part of one of `models`; reported apart from them.
    """

    name: str
    seed: Annotated[int, Field(ge=0)] = 0
    models: tuple[str, ...] = ("dgccl", "late_fusion")
    modalities: Annotated[dict[str, ModalityConfig], Field(min_length=1)]
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()
    prediction: PredictionConfig = PredictionConfig()
    pretraining: PretrainingConfig | None = None
    ablations: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], AblationConfig] = Field(
        default_factory=dict
    )

    @model_serializer(mode="wrap")
    def _leave_out_what_is_off(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Tables of what there is none of are left out: the hashes by which runs are known stay as they were."""
        dumped: dict[str, Any] = handler(self)
        for table in ("pretraining", "ablations"):
            if not dumped.get(table):
                dumped.pop(table, None)
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

    @model_validator(mode="after")
    def _ablations_fit(self) -> "ExperimentConfig":
        for name, ablation in self.ablations.items():
            if name in {*self.models, *FUSION_MODELS, *PUBLISHED_MODELS} or name.startswith(SINGLE):
                raise ValueError(f"ablations.{name} has the name of a model; give it a name of its own")
            if ablation.model not in self.models or ablation.model.startswith(SINGLE):
                fused = [model for model in self.models if not model.startswith(SINGLE)]
                raise ValueError(
                    f"ablations.{name} is of the model {ablation.model}; it must be one of `models` that reads every "
                    f"modality: {', '.join(fused) or 'there is none'}"
                )
            check_shared(ablation.settings, name=f"ablations.{name}")
            own = self.variant(name)[0]
            if own == self.variant(ablation.model)[0]:
                raise ValueError(f"ablations.{name} changes nothing of {ablation.model}")
        return self

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of all that is trained: the models, then their ablations."""
        return (*self.models, *self.ablations)

    def variant(self, name: str) -> tuple["ExperimentConfig", str]:
        """The experiment as one of `trained` has it, and the model that it builds.

        Args:
            name: a model, for which the experiment is as it stands, or an ablation.

        Raises:
            ValueError: an ablation's settings name an unknown table or key, or a value out of range.
        """
        ablation = self.ablations.get(name)
        plain = self.model_copy(update={"ablations": {}})
        if ablation is None:
            return plain, name
        raw = plain.model_dump(mode="json")
        changed = adjusted(raw, ablation.settings, name=f"ablations.{name}", images=tuple(self.images))
        return ExperimentConfig.model_validate(changed), ablation.model

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
