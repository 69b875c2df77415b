"""DG-CCL: encoders, gated fusion and a head, from images to class logits."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn

from dgccl.config import ExperimentConfig, ModelConfig
from dgccl.errors import ConfigError
from dgccl.model.branch import Inputs, ModalityEncoders
from dgccl.model.fusion import GatedFusion


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """What every model returns for a batch of lesions.

    Attributes:
        logits: (B, C).
        gate_weights: (B, M), rows sum to 1 over what is present and are 0 elsewhere; None without a gate.
        embeddings: (B, M, D), each modality's projected vector before fusion; zero where absent; None for a model
            that has no vector of one modality alone.
        predicted_embeddings: (B, M, D), each modality as predicted from the others that are present; None
            without a compensation path.
        fused: (B, D'), what the head or the residual reads; None for a model that fuses no features.
        modality_logits: (B, M, C), the verdict of each modality's own head; zero where absent; None for a
            model without such heads.
        modality_judged: (B, M), which of `modality_logits` are a verdict; None where they are None.
    """

    logits: Float[Tensor, "batch label"]
    gate_weights: Float[Tensor, "batch modality"] | None
    embeddings: Float[Tensor, "batch modality width"] | None
    predicted_embeddings: Float[Tensor, "batch modality width"] | None
    fused: Float[Tensor, "batch joined"] | None
    modality_logits: Float[Tensor, "batch modality label"] | None
    modality_judged: Bool[Tensor, "batch modality"] | None = None

    @property
    def probability(self) -> Float[Tensor, "batch label"]:
        """Softmax of the logits, (B, C)."""
        return self.logits.float().softmax(dim=1)


class DgCcl(nn.Module):
    """Dynamic gated cross-modal contrastive learning.

    Args:
        config: the experiment; the first modality asks, the others are asked.
        name: the model's name, as its weights will carry it.

    Raises:
        ConfigError: there are fewer than two modalities.
    """

    def __init__(self, config: ExperimentConfig, name: str = "dgccl") -> None:
        super().__init__()
        names = config.modality_names
        need_two(config, name)
        self.architecture = describe_architecture(config, name)
        self.encoders = ModalityEncoders(config)
        self.fusion = GatedFusion(config.model, modalities=len(names))
        self.head = build_head(config.model)

    def forward(
        self,
        images: Inputs,
        modality_present: Bool[Tensor, "batch modality"],
    ) -> ModelOutput:
        """Classify lesions.

        Args:
            images: per modality; values of an absent modality are never read.
            modality_present: (B, M), in the order of the configuration.

        Returns:
            Logits, gate weights and embeddings.

        Raises:
            TrainingError: a row has no modality, or an image is lacking or of another shape than configured.
        """
        encoded = self.encoders(images, modality_present)
        fused = self.fusion(encoded, modality_present)
        return ModelOutput(
            logits=self.head(fused.vector),
            gate_weights=fused.gate_weights,
            embeddings=encoded.embeddings,
            predicted_embeddings=fused.predicted_embeddings,
            fused=fused.vector,
            modality_logits=None,
        )


def build_head(config: ModelConfig) -> nn.Sequential:
    """Classification head, (B, D) to logits (B, C)."""
    return nn.Sequential(
        nn.Linear(config.embedding_width, config.head_hidden),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.head_hidden, config.classes),
    )


def need_two(config: ExperimentConfig, name: str) -> None:
    """Refuse to build a model that fuses where there is nothing to fuse.

    Raises:
        ConfigError: the experiment has fewer than two modalities.
    """
    names = config.modality_names
    if len(names) < 2:
        raise ConfigError(
            "too_few_modalities",
            f"{name} fuses at least two modalities; {config.name} has {len(names)} ({', '.join(names)}).",
            remedy=f"Add a [modalities.NAME] table, or train single_{names[0]}.",
        )


def describe_architecture(config: ExperimentConfig, name: str) -> dict[str, str]:
    """The settings that decide what a model's weights mean, for comparison with a checkpoint's.

    Shapes alone do not tell: another number of attention heads, another window or another order of levels fits
    the same tensors.

    Args:
        config: the experiment.
        name: the model's name.

    Returns:
        Setting to value, flat, in a fixed order.
    """
    described = {"model": name, "modalities": ",".join(config.modality_names)}
    for modality, settings in config.modalities.items():
        for key, value in settings.model_dump(mode="json").items():
            described[f"{modality}.{key}"] = str(value)
    for key in ARCHITECTURE_SETTINGS:
        described[key] = str(getattr(config.model, key))
    described["compensation"] = str(config.model.compensation_weight > 0)
    return described


ARCHITECTURE_SETTINGS = (
    "classes",
    "embedding_width",
    "attention_heads",
    "cross_attention",
    "gate",
    "gate_hidden",
    "head_hidden",
)
"""Settings of the model that its weights depend on; loss weights and rates may differ."""
