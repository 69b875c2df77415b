"""The training loss: cross-entropy and, beside it, what ties the modalities together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from dgccl.config import ModelConfig
from dgccl.model.classifier import ModelOutput
from dgccl.model.contrastive import has_negatives, nt_xent
from dgccl.model.invariance import ModalityDiscriminator, invariance_loss
from dgccl.model.negatives import NegativeQueue


@dataclass(frozen=True, eq=False)
class LossTerms:
    """The weighted sum to minimize and its terms before weighting, all scalars; a term that does not apply is 0.

    Attributes:
        total: what is minimized.
        cross_entropy: of the joint logits; of each modality's own for models that are separate classifiers.
        auxiliary: cross-entropy of each present modality's own logits.
        contrastive: NT-Xent between modalities.
        compensation: one minus the cosine of predicted and true embeddings.
        invariance: mutual information between embedding and modality as the discriminator sees it.
        distillation: divergence of each modality's own verdict from the joint one.
    """

    total: Float[Tensor, ""]
    cross_entropy: Float[Tensor, ""]
    auxiliary: Float[Tensor, ""]
    contrastive: Float[Tensor, ""]
    compensation: Float[Tensor, ""]
    invariance: Float[Tensor, ""]
    distillation: Float[Tensor, ""]


class Objective(nn.Module):
    """The training loss with what it has to remember: the discriminator of modalities and the queue of negatives.

    Neither is part of the classifier: a trained network does not need them.

    Args:
        config: weights of the terms.
        modalities: number of modalities M.
        gather: take the negatives of all processes of a distributed training.
    """

    def __init__(self, config: ModelConfig, *, modalities: int, gather: bool = False) -> None:
        super().__init__()
        self.config = config
        self.gather = gather
        width = config.embedding_width
        self.discriminator = (
            ModalityDiscriminator(width, modalities=modalities) if config.invariance_weight > 0 else None
        )
        pairs = list(combinations(range(modalities), 2)) if config.queue_size else []
        self.queues = nn.ModuleList(NegativeQueue(config.queue_size, width) for _ in pairs)

    def forward(
        self,
        output: ModelOutput,
        y_true: Int[Tensor, "batch"],
        modality_present: Bool[Tensor, "batch modality"],
        *,
        lesion_ids: Int[Tensor, "batch"] | None = None,
    ) -> LossTerms:
        """Loss of a batch.

        A model whose modalities each have their own head and that fuses no features (late fusion) is trained as the
        separate classifiers that it is: cross-entropy of each present modality, nothing that ties them together.

        Args:
            output: what the model returned.
            y_true: (B,), class indices.
            modality_present: (B, M).
            lesion_ids: (B,), by which the queue knows a lesion again, so that its past is no negative of it.

        Returns:
            Total and terms.
        """
        config, nothing = self.config, output.logits.sum().float() * 0.0
        auxiliary = nothing
        if output.modality_logits is not None and output.modality_judged is not None:
            auxiliary = _own_cross_entropy(output.modality_logits, output.modality_judged, y_true)
            if output.fused is None:
                return LossTerms(auxiliary, auxiliary, *[nothing] * 5)
        cross_entropy = F.cross_entropy(output.logits.float(), y_true)
        contrastive, compensation, invariance, distillation = [nothing] * 4
        embeddings = output.embeddings
        if embeddings is not None and config.contrastive_weight > 0:
            contrastive = self._contrastive(embeddings, modality_present, lesion_ids)
        if embeddings is not None and output.predicted_embeddings is not None:
            compensation = compensation_loss(output.predicted_embeddings, embeddings, modality_present)
        if embeddings is not None and self.discriminator is not None:
            invariance = invariance_loss(embeddings, modality_present, self.discriminator).loss
        if output.modality_logits is not None and config.distillation_weight > 0:
            distillation = distillation_loss(output.logits, output.modality_logits, modality_present)
        weighted = (
            config.auxiliary_weight * auxiliary
            + config.contrastive_weight * contrastive
            + config.compensation_weight * compensation
            + config.invariance_weight * invariance
            + config.distillation_weight * distillation
        )
        return LossTerms(
            cross_entropy + weighted,
            cross_entropy,
            auxiliary,
            contrastive,
            compensation,
            invariance,
            distillation,
        )

    def _contrastive(
        self,
        embeddings: Float[Tensor, "batch modality width"],
        modality_present: Bool[Tensor, "batch modality"],
        lesion_ids: Int[Tensor, "batch"] | None,
    ) -> Float[Tensor, ""]:
        return contrastive_loss(
            embeddings,
            modality_present,
            temperature=self.config.temperature,
            queues=self.queues,
            fill_queues=self.training,
            lesion_ids=lesion_ids,
            gather=self.gather,
        )


def training_loss(
    output: ModelOutput,
    y_true: Int[Tensor, "batch"],
    modality_present: Bool[Tensor, "batch modality"],
    config: ModelConfig,
) -> LossTerms:
    """Loss of one batch by an objective that remembers nothing: see `Objective`."""
    stateless = config.model_copy(update={"invariance_weight": 0.0, "queue_size": 0})
    return Objective(stateless, modalities=modality_present.shape[1])(output, y_true, modality_present)


def _own_cross_entropy(
    modality_logits: Float[Tensor, "batch modality label"],
    judged: Bool[Tensor, "batch modality"],
    y_true: Int[Tensor, "batch"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the modalities' own verdicts; 0, with gradients of 0, where there is none."""
    if not bool(judged.any()):
        return modality_logits.sum().float() * 0.0
    return F.cross_entropy(modality_logits[judged].float(), y_true[:, None].expand_as(judged)[judged])


def distillation_loss(
    logits: Float[Tensor, "batch label"],
    modality_logits: Float[Tensor, "batch modality label"],
    modality_present: Bool[Tensor, "batch modality"],
) -> Float[Tensor, ""]:
    """Kullback-Leibler divergence of each modality's own verdict from the joint one, over complete cases.

    The joint verdict is a fixed target: the complete case teaches the incomplete one, not the reverse.

    Args:
        logits: (B, C).
        modality_logits: (B, M, C).
        modality_present: (B, M); cases of fewer than two modalities teach nothing.

    Returns:
        Scalar, in nats; 0, with gradients of 0, where no case has two modalities.

    Source: Hinton, Vinyals, Dean 2015, arXiv:1503.02531.
    """
    taught = modality_present & (modality_present.sum(dim=1, keepdim=True) >= 2)
    if not bool(taught.any()):
        return modality_logits.sum().float() * 0.0
    target = logits.detach().float().log_softmax(dim=1)[:, None].expand_as(modality_logits)[taught]
    return F.kl_div(
        modality_logits[taught].float().log_softmax(dim=1), target, log_target=True, reduction="batchmean"
    )


def contrastive_loss(
    embeddings: Float[Tensor, "batch modality width"],
    modality_present: Bool[Tensor, "batch modality"],
    *,
    temperature: float,
    queues: Sequence[NegativeQueue] | nn.ModuleList = (),
    fill_queues: bool = True,
    lesion_ids: Int[Tensor, "batch"] | None = None,
    gather: bool = False,
) -> Float[Tensor, ""]:
    """NT-Xent averaged over the pairs of modalities that have anything to be told apart from.

    Args:
        embeddings: (B, M, D).
        modality_present: (B, M).
        temperature: tau.
        queues: earlier embeddings as further negatives, one queue a pair of modalities.
        fill_queues: add this batch to the queues.
        lesion_ids: (B,), by which the queues know a lesion again.
        gather: take the negatives of all processes.

    Returns:
        Scalar; 0, with gradients of 0, where no pair of modalities has two lesions.
    """
    losses, counted = [], 0
    for index, (a, b) in enumerate(combinations(range(embeddings.shape[1]), 2)):
        both = modality_present[:, a] & modality_present[:, b]
        queue = queues[index] if len(queues) else None
        assert queue is None or isinstance(queue, NegativeQueue)
        z_a, z_b = embeddings[both, a], embeddings[both, b]
        ids = None if lesion_ids is None else lesion_ids[both]
        counted += has_negatives(len(z_a), device=z_a.device, queue=queue, gather=gather)
        losses.append(nt_xent(z_a, z_b, temperature=temperature, queue=queue, lesion_ids=ids, gather=gather))
        if queue is not None and fill_queues:
            queue.update(z_a, z_b, lesion_ids=ids, gather=gather)
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


def _unit(z: Tensor) -> Tensor:
    """Rows scaled to length 1, in float32 or better."""
    return F.normalize(z if z.dtype == torch.float64 else z.float(), dim=-1)
