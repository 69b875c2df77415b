"""A product of experts: each modality gives a normal belief about one latent vector, and beliefs multiply."""

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from dgccl.config import ExperimentConfig
from dgccl.model.branch import Inputs, ModalityEncoders
from dgccl.model.classifier import ModelOutput, build_head, describe_architecture, need_two

LOG_PRECISION_RANGE = (-6.0, 6.0)  # a belief of no spread would silence all others for good


class ProductOfExperts(nn.Module):
    """Normal experts with a standard normal prior; the product's mean is classified.

    The precision of an expert is its weight: a modality that is unsure of a case counts less in that case, and an
    absent one leaves the product without any further rule. In training the latent vector is drawn from the
    product, so that the precisions mean something.

    Args:
        config: the experiment, of at least two modalities.

    Source: Hinton 2002; Wu and Goodman 2018, Multimodal generative models, arXiv:1802.05335 (the encoder part).
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        need_two(config, "product_of_experts")
        self.architecture = describe_architecture(config, "product_of_experts")
        self.encoders = ModalityEncoders(config)
        width = config.model.embedding_width
        self.log_precision = nn.ModuleList(nn.Linear(width, width) for _ in config.modalities)
        for layer in self.log_precision:
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)  # every expert starts as sure as the prior
            nn.init.zeros_(layer.bias)
        self.head = build_head(config.model)

    def forward(self, images: Inputs, modality_present: Bool[Tensor, "batch modality"]) -> ModelOutput:
        """Classify lesions.

        Args:
            images: per modality; values of an absent modality are never read.
            modality_present: (B, M), in the order of the configuration.

        Returns:
            Logits; as gate weights each expert's share of the experts' precision, averaged over the latent vector;
            embeddings, which are the experts' means; the product's mean as fused vector.

        Raises:
            TrainingError: a row has no modality, or an image is lacking or of another shape than configured.
        """
        means = self.encoders(images, modality_present).embeddings
        log_precisions = [layer(means[:, index]) for index, layer in enumerate(self.log_precision)]
        precision = torch.stack(log_precisions, dim=1).float().clamp(*LOG_PRECISION_RANGE).exp()
        precision = precision * modality_present[..., None]
        total = 1.0 + precision.sum(dim=1)
        mean = ((precision * means).sum(dim=1) / total).to(means.dtype)
        latent = mean + torch.randn_like(mean) * total.rsqrt().to(mean.dtype) if self.training else mean
        share = precision / precision.sum(dim=1, keepdim=True)
        return ModelOutput(
            logits=self.head(latent),
            gate_weights=share.mean(dim=2),
            embeddings=means,
            predicted_embeddings=None,
            fused=mean,
            modality_logits=None,
        )
