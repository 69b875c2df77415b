"""What DG-CCL is compared with, under the same interface."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from dgccl.config import ExperimentConfig
from dgccl.model.branch import ModalityEncoders
from dgccl.model.classifier import ModelOutput, build_head, describe_architecture


class LateFusion(nn.Module):
    """One classifier a modality; the probabilities of those present are averaged.

    Args:
        config: the experiment; one modality alone is allowed.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        self.architecture = describe_architecture(config, "late_fusion")
        self.encoders = ModalityEncoders(config)
        self.heads = nn.ModuleList(build_head(config.model) for _ in config.modalities)

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
            Logits, the logarithm of the mean probability, and each modality's own logits and embedding.

        Raises:
            TrainingError: a row has no modality, or an image is lacking or of another shape than configured.
        """
        embeddings = self.encoders(images, modality_present).embeddings
        own = [head(embeddings[:, index]) for index, head in enumerate(self.heads)]
        modality_logits = torch.stack(own, dim=1) * modality_present[..., None]
        return ModelOutput(
            logits=log_mean_probability(modality_logits, modality_present),
            gate_weights=None,
            embeddings=embeddings,
            predicted_embeddings=None,
            fused=None,
            modality_logits=modality_logits,
        )


def log_mean_probability(
    modality_logits: Float[Tensor, "batch modality label"], modality_present: Bool[Tensor, "batch modality"]
) -> Float[Tensor, "batch label"]:
    """Logarithm (B, C) of the probability averaged over the modalities present.

    Args:
        modality_logits: (B, M, C).
        modality_present: (B, M), at least one True a row.

    Returns:
        Log-probabilities, whose softmax is the mean probability.
    """
    log_probability = modality_logits.float().log_softmax(dim=2)
    log_probability = log_probability.masked_fill(~modality_present[..., None], -math.inf)
    return log_probability.logsumexp(dim=1) - modality_present.sum(dim=1, keepdim=True).log()
