"""Gated residual fusion: the modalities' own verdicts, weighed case by case, plus what only their union can tell.

If the modalities are independent given the class, the sum of their log odds is all that can be known, and late fusion
by summed logits is optimal. What it cannot know is their interaction: that glass on CT explains a cold PET. This
model starts as the sum and learns the interaction on top, so that it can fall back to late fusion where there is
none, and to the one modality's own network where the other is missing.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from dgccl.config import ExperimentConfig, ModelConfig
from dgccl.model.branch import Inputs, ModalityEncoders
from dgccl.model.classifier import ModelOutput, build_head, describe_architecture, need_two
from dgccl.model.fusion import build_gate


class GatedResidual(nn.Module):
    """Summed unimodal logits, weighed by a gate, plus a joint residual.

    logits = m * sum over present modalities of (gate weight * own logits) + joint residual, m being the number of
    modalities present. A gate of equal weights gives the plain sum. With one modality present the gate weight is 1
    and the residual is left out: the answer is exactly that modality's own.

    Args:
        config: the experiment, of at least two modalities.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        need_two(config, "gated_residual")
        self.architecture = describe_architecture(config, "gated_residual")
        modalities = len(config.modality_names)
        self.encoders = ModalityEncoders(config)
        self.heads = nn.ModuleList(build_head(config.model) for _ in config.modalities)
        self.gate = build_gate(config.model, modalities=modalities)
        self.residual = JointResidual(config.model, modalities=modalities)

    def forward(self, images: Inputs, modality_present: Bool[Tensor, "batch modality"]) -> ModelOutput:
        """Classify lesions.

        Args:
            images: per modality; values of an absent modality are never read.
            modality_present: (B, M), in the order of the configuration.

        Returns:
            Logits, gate weights, each modality's own logits and embedding, and the vector behind the residual.

        Raises:
            TrainingError: a row has no modality, or an image is lacking or of another shape than configured.
        """
        embeddings = self.encoders(images, modality_present).embeddings
        own = [head(embeddings[:, index]) for index, head in enumerate(self.heads)]
        modality_logits = torch.stack(own, dim=1) * modality_present[..., None]
        gate_weights = self.gate(embeddings, modality_present)
        count = modality_present.sum(dim=1, keepdim=True)
        weighed = torch.einsum("bm,bmc->bc", count * gate_weights, modality_logits.to(gate_weights.dtype))
        fused, residual = self.residual(embeddings, modality_present)
        return ModelOutput(
            logits=weighed + residual * (count >= 2),
            gate_weights=gate_weights,
            embeddings=embeddings,
            predicted_embeddings=None,
            fused=fused,
            modality_logits=modality_logits,
            modality_judged=modality_present,
        )


class JointResidual(nn.Module):
    """What the union of the modalities tells beyond the sum of their verdicts; 0 before training.

    Args:
        config: widths, classes, dropout.
        modalities: number of modalities M.
    """

    def __init__(self, config: ModelConfig, *, modalities: int) -> None:
        super().__init__()
        self.join = nn.Sequential(
            nn.Linear(modalities * (config.embedding_width + 1), config.head_hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.output = nn.Linear(config.head_hidden, config.classes)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(
        self,
        embeddings: Float[Tensor, "batch modality width"],
        modality_present: Bool[Tensor, "batch modality"],
    ) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch label"]]:
        """The hidden vector (B, H) and the residual logits (B, C)."""
        joined = torch.cat([embeddings.flatten(1), modality_present.to(embeddings.dtype)], dim=1)
        fused = self.join(joined)
        return fused, self.output(fused)
