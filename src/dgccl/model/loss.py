"""Training losses: cross-entropy, symmetric NT-Xent between modalities, compensation."""

from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from dgccl.config import ModelConfig
from dgccl.model.classifier import ModelOutput


@dataclass(frozen=True, eq=False)
class LossTerms:
    """The weighted sum to minimize and its terms before weighting, all scalars."""

    total: Float[Tensor, ""]
    cross_entropy: Float[Tensor, ""]
    contrastive: Float[Tensor, ""]
    compensation: Float[Tensor, ""]


def training_loss(
    output: ModelOutput,
    y_true: Int[Tensor, "batch"],
    modality_present: Bool[Tensor, "batch modality"],
    config: ModelConfig,
) -> LossTerms:
    """Loss of a batch.

    A model whose modalities each have their own head and that fuses no features (late fusion) is trained as the
    separate classifiers that it is: cross-entropy of each present modality, nothing that ties them together.

    Args:
        output: what the model returned.
        y_true: (B,), class indices.
        modality_present: (B, M).
        config: weights and temperature of the terms.

    Returns:
        Total and terms; a term that does not apply is 0.
    """
    if output.fused is None and output.modality_logits is not None:
        labels = y_true[:, None].expand_as(modality_present)
        alone = F.cross_entropy(output.modality_logits[modality_present], labels[modality_present])
        nothing = torch.zeros_like(alone)
        return LossTerms(alone, alone, nothing, nothing)
    cross_entropy = F.cross_entropy(output.logits, y_true)
    contrastive, compensation = torch.zeros_like(cross_entropy), torch.zeros_like(cross_entropy)
    if config.contrastive_weight > 0:
        contrastive = contrastive_loss(output.embeddings, modality_present, temperature=config.temperature)
    if output.predicted_embeddings is not None:
        compensation = compensation_loss(output.predicted_embeddings, output.embeddings, modality_present)
    total = (
        cross_entropy + config.contrastive_weight * contrastive + config.compensation_weight * compensation
    )
    return LossTerms(total, cross_entropy, contrastive, compensation)


def nt_xent(
    z_a: Float[Tensor, "pair width"], z_b: Float[Tensor, "pair width"], *, temperature: float
) -> Float[Tensor, ""]:
    """Symmetric NT-Xent between two modalities: each embedding picks its partner among all of the other modality.

    Negatives are of the other modality only. Both directions are averaged. Fewer than two pairs leave nothing
    to pick from: the loss is 0, with gradients of 0.

    Args:
        z_a: (N, D), embeddings of one modality; any length but zero.
        z_b: (N, D), embeddings of the other, row by row the same lesions.
        temperature: tau, positive.

    Returns:
        Scalar, in float32 or better whatever the precision around it: at a temperature of 0.1 bfloat16 would round
        the similarities to steps of 4 %.

    Source: Sohn 2016; Chen et al. 2020, arXiv:2002.05709; the cross-modal form Radford et al. 2021, arXiv:2103.00020.
    """
    if len(z_a) < 2:
        return (z_a.sum() + z_b.sum()).float() * 0.0
    with torch.autocast(z_a.device.type, enabled=False):
        similarity = _unit(z_a) @ _unit(z_b).T / temperature
        partner = torch.arange(len(z_a), device=z_a.device)
        return (F.cross_entropy(similarity, partner) + F.cross_entropy(similarity.T, partner)) / 2


def _unit(z: Tensor) -> Tensor:
    """Rows scaled to length 1, in float32 or better."""
    return F.normalize(z if z.dtype == torch.float64 else z.float(), dim=-1)


def contrastive_loss(
    embeddings: Float[Tensor, "batch modality width"],
    modality_present: Bool[Tensor, "batch modality"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """NT-Xent averaged over the pairs of modalities that at least two lesions of the batch have both.

    Args:
        embeddings: (B, M, D).
        modality_present: (B, M).
        temperature: tau.

    Returns:
        Scalar; 0, with gradients of 0, where no pair of modalities has two lesions.
    """
    losses, counted = [], 0
    for a, b in combinations(range(embeddings.shape[1]), 2):
        both = modality_present[:, a] & modality_present[:, b]
        losses.append(nt_xent(embeddings[both, a], embeddings[both, b], temperature=temperature))
        counted += int(both.sum() >= 2)
    if not losses:
        return embeddings.sum().float() * 0.0
    return torch.stack(losses).sum() / max(counted, 1)


def compensation_loss(
    predicted: Float[Tensor, "batch modality width"],
    embeddings: Float[Tensor, "batch modality width"],
    modality_present: Bool[Tensor, "batch modality"],
) -> Float[Tensor, ""]:
    """One minus the cosine between predicted and true embeddings, over the modalities that can be checked.

    A prediction can be checked where its modality is present and so is another to predict from. The true
    embedding is a fixed target, so that it does not move towards what is easy to predict.

    Args:
        predicted: (B, M, D).
        embeddings: (B, M, D).
        modality_present: (B, M).

    Returns:
        Scalar between 0 and 2; 0, with gradients of 0, where nothing can be checked.
    """
    checked = modality_present & (modality_present.sum(dim=1, keepdim=True) >= 2)
    if not bool(checked.any()):
        return predicted.sum().float() * 0.0
    with torch.autocast(predicted.device.type, enabled=False):
        cosine = (_unit(predicted[checked]) * _unit(embeddings[checked].detach())).sum(dim=1)
        return (1.0 - cosine).mean()
