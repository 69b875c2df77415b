"""DG-CCL: encoders, gated fusion and a head, from images to class logits."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn

from dgccl.config import ExperimentConfig, ModelConfig
from dgccl.errors import ConfigError
from dgccl.model.branch import ModalityEncoders
from dgccl.model.fusion import GatedFusion


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """What every model returns for a batch of lesions.

    Attributes:
        logits: (B, C).
        gate_weights: (B, M), rows sum to 1 over what is present and are 0 elsewhere; None without a gate.
        embeddings: (B, M, D), each modality's projected vector before fusion; zero where absent.
        predicted_embeddings: (B, M, D), each modality as predicted from the others that are present; None
            without a compensation path.
        fused: (B, D); None for a model that fuses no features.
        modality_logits: (B, M, C), the verdict of each modality's own head; zero where absent; None for a
            model without such heads.
    """

    logits: Float[Tensor, "batch label"]
    gate_weights: Float[Tensor, "batch modality"] | None
    embeddings: Float[Tensor, "batch modality width"]
    predicted_embeddings: Float[Tensor, "batch modality width"] | None
    fused: Float[Tensor, "batch width"] | None
    modality_logits: Float[Tensor, "batch modality label"] | None

    @property
    def probability(self) -> Float[Tensor, "batch label"]:
        """Softmax of the logits, (B, C)."""
        return self.logits.float().softmax(dim=1)


class DgCcl(nn.Module):
    """Dynamic gated cross-modal contrastive learning.

    Args:
        config: the experiment; the first modality asks, the others are asked.

    Raises:
        ConfigError: there are fewer than two modalities.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        names = config.modality_names
        if len(names) < 2:
            raise ConfigError(
                "too_few_modalities",
                f"dgccl fuses at least two modalities; {config.name} has {len(names)} ({', '.join(names)}).",
                remedy="Add a [modalities.NAME] table, or train late_fusion on the one modality.",
            )
        self.architecture = describe_architecture(config, "dgccl")
        self.encoders = ModalityEncoders(config)
        self.fusion = GatedFusion(config.model, modalities=len(names))
        self.head = build_head(config.model)

    def forward(
        self,
        images: dict[str, Float[Tensor, "batch _channel _height _width"]],
        modality_present: Bool[Tensor, "batch modality"],
    ) -> ModelOutput:
        """Classify lesions.

        Args:
            images: per modality (B, channels, H, W); values of an absent modality are never read.
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


def describe_architecture(config: ExperimentConfig, name: str) -> dict[str, str]:
    """The settings that decide what a model's weights mean, for comparison with a checkpoint's.

    Shapes alone do not tell: another number of attention heads fits the same tensors.

    Args:
        config: the experiment.
        name: the model's name.

    Returns:
        Setting to value, flat, in a fixed order.
    """
    described = {"model": name, "modalities": ",".join(config.modality_names)}
    for modality, settings in config.modalities.items():
        for key in ("encoder", "channels", "input_px", "encoder_width", "token_width"):
            described[f"{modality}.{key}"] = str(getattr(settings, key))
    for key in ("classes", "embedding_width", "attention_heads", "gate_hidden", "head_hidden"):
        described[key] = str(getattr(config.model, key))
    described["compensation"] = str(config.model.compensation_weight > 0)
    return described
