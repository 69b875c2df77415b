"""What DG-CCL is compared with, under the same interface: one modality, late fusion, concatenation."""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from dgccl.config import SINGLE, ExperimentConfig
from dgccl.model.branch import Inputs, ModalityEncoders
from dgccl.model.classifier import ModelOutput, build_head, describe_architecture, need_two


class SingleModality(nn.Module):
    """The dedicated network of one modality; it never looks at another.

    Of a lesion without its modality it says nothing: its logits are 0, every class alike.

    Args:
        config: the experiment.
        modality: name of the modality.
    """

    def __init__(self, config: ExperimentConfig, modality: str) -> None:
        super().__init__()
        self.architecture = describe_architecture(config, f"{SINGLE}{modality}")
        self.modality = modality
        self.index = config.modality_names.index(modality)
        own = {modality: config.modalities[modality]}
        self.encoders = ModalityEncoders(config.model_copy(update={"modalities": own}))
        self.head = build_head(config.model)
        self.classes = config.model.classes

    def forward(self, images: Inputs, modality_present: Bool[Tensor, "batch modality"]) -> ModelOutput:
        """Classify lesions by one modality.

        Args:
            images: per modality; only the model's own is read, where it is present.
            modality_present: (B, M), in the order of the configuration.

        Returns:
            Logits (0 where the modality is absent) and the embedding, zero for every other modality.

        Raises:
            TrainingError: an image is lacking or of another shape than configured.
        """
        judged = torch.zeros_like(modality_present)
        judged[:, self.index] = modality_present[:, self.index]
        rows = judged[:, self.index].nonzero().squeeze(1)
        width = self.encoders.width
        embeddings = next(self.parameters()).new_zeros((*modality_present.shape, width))
        logits = embeddings.new_zeros(len(modality_present), self.classes)
        if len(rows):
            seen = self.encoders({self.modality: images[self.modality][rows]}, judged[rows][:, [self.index]])
            embeddings = embeddings.to(seen.embeddings.dtype)
            embeddings[rows, self.index] = seen.embeddings[:, 0]
            own = self.head(seen.embeddings[:, 0])
            logits = logits.to(own.dtype).index_copy(0, rows, own)
        modality_logits = logits.new_zeros(*modality_present.shape, logits.shape[1])
        modality_logits[:, self.index] = logits
        return ModelOutput(
            logits=logits,
            gate_weights=None,
            embeddings=embeddings,
            predicted_embeddings=None,
            fused=None,
            modality_logits=modality_logits,
            modality_judged=judged,
        )


class LateFusion(nn.Module):
    """One classifier a modality; the verdicts of those present are combined, nothing else is shared.

    Args:
        config: the experiment; one modality alone is allowed.
        summed: False averages the probabilities. True sums the log odds, which is right where the modalities are
            independent given the class; the class prior, which each classifier has in it, then counts once.
    """

    def __init__(self, config: ExperimentConfig, *, summed: bool = False) -> None:
        super().__init__()
        self.architecture = describe_architecture(config, "summed_logits" if summed else "late_fusion")
        self.summed = summed
        self.encoders = ModalityEncoders(config)
        self.heads = nn.ModuleList(build_head(config.model) for _ in config.modalities)
        self.log_prior: Tensor
        self.register_buffer("log_prior", torch.zeros(config.model.classes))

    def fit_prior(self, y_true: Int64[Tensor, "row"]) -> None:
        """Take the class prior from the labels of the training lesions, each class counted once more than seen."""
        counts = torch.bincount(y_true, minlength=len(self.log_prior)).double() + 1.0
        self.log_prior.copy_((counts / counts.sum()).log())

    def forward(self, images: Inputs, modality_present: Bool[Tensor, "batch modality"]) -> ModelOutput:
        """Classify lesions.

        Args:
            images: per modality; values of an absent modality are never read.
            modality_present: (B, M), in the order of the configuration.

        Returns:
            Logits, and each modality's own logits and embedding.

        Raises:
            TrainingError: a row has no modality, or an image is lacking or of another shape than configured.
        """
        embeddings = self.encoders(images, modality_present).embeddings
        own = [head(embeddings[:, index]) for index, head in enumerate(self.heads)]
        modality_logits = torch.stack(own, dim=1) * modality_present[..., None]
        if self.summed:
            again = modality_present.sum(dim=1, keepdim=True) - 1
            logits = modality_logits.sum(dim=1) - again * self.log_prior
        else:
            logits = log_mean_probability(modality_logits, modality_present)
        return ModelOutput(
            logits=logits,
            gate_weights=None,
            embeddings=embeddings,
            predicted_embeddings=None,
            fused=None,
            modality_logits=modality_logits,
            modality_judged=modality_present,
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


class Concatenation(nn.Module):
    """All embeddings side by side into one head; absent ones are zero, and flags say which are present.

    Args:
        config: the experiment, of at least two modalities.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        need_two(config, "concatenation")
        self.architecture = describe_architecture(config, "concatenation")
        self.encoders = ModalityEncoders(config)
        modalities = len(config.modality_names)
        self.join = nn.Sequential(
            nn.Linear(modalities * (config.model.embedding_width + 1), config.model.embedding_width),
            nn.ReLU(),
        )
        self.head = build_head(config.model)

    def forward(self, images: Inputs, modality_present: Bool[Tensor, "batch modality"]) -> ModelOutput:
        """Classify lesions.

        Args:
            images: per modality; values of an absent modality are never read.
            modality_present: (B, M), in the order of the configuration.

        Returns:
            Logits, embeddings and the fused vector.

        Raises:
            TrainingError: a row has no modality, or an image is lacking or of another shape than configured.
        """
        embeddings = self.encoders(images, modality_present).embeddings
        joined = torch.cat([embeddings.flatten(1), modality_present.to(embeddings.dtype)], dim=1)
        fused = self.join(joined)
        return ModelOutput(
            logits=self.head(fused),
            gate_weights=None,
            embeddings=embeddings,
            predicted_embeddings=None,
            fused=fused,
            modality_logits=None,
        )
