"""Two objectives that need no labels: telling pairs apart across modalities, and predicting what a teacher sees.

(a) Symmetric NT-Xent: the CT of a lesion is to find the PET of the same lesion among those of the others. The two are
shown in poses of their own. In one and the same pose a pair could be found by how it is turned, shifted and magnified,
which both images show and which says nothing about the lesion.

(b) Masked-latent prediction: from an image with blocks hidden a student predicts, at the hidden places, the tokens
that a teacher sees in the whole image; the teacher is the moving average of the student and gets no gradient. Across
modalities the masked image predicts the teacher's embedding of the other modality. Targets are standardized over the
lesions of the batch, so that one and the same answer for all lesions is the worst there is: collapse is no solution.
(Normalized over the width, as is usual, a token here is mostly its place: predicting the place alone left 5 % of the
loss, and the spread of the embeddings fell below that of untrained encoders.)

Source: (a) Chen et al. 2020, arXiv:2002.05709, across modalities Radford et al. 2021, arXiv:2103.00020; (b) Assran et
al. 2023, arXiv:2301.08243, and Baevski et al. 2022, arXiv:2202.03555 (normalized targets, smooth L1); batch statistics
against collapse after Grill et al. 2020, arXiv:2006.07733.
"""

from dataclasses import dataclass
from itertools import combinations, permutations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from dgccl.config import ExperimentConfig, PretrainingConfig
from dgccl.errors import ConfigError
from dgccl.model.branch import Encoded
from dgccl.model.loss import contrastive_loss
from dgccl.model.negatives import NegativeQueue
from dgccl.pretraining.masking import modality_places

SMALLEST_SD = 1e-6  # a component that is alike in all lesions becomes 0


@dataclass(frozen=True, eq=False)
class PretrainingTerms:
    """The weighted sum to minimize and its terms before weighting, all scalars; a term that is off is 0.

    Attributes:
        total: what is minimized.
        contrastive: NT-Xent between modalities.
        masked: smooth L1 from predicted to true tokens at hidden places.
        cross: smooth L1 from predicted to true embeddings of the other modalities.
    """

    total: Float[Tensor, ""]
    contrastive: Float[Tensor, ""]
    masked: Float[Tensor, ""]
    cross: Float[Tensor, ""]


class TokenPredictor(nn.Module):
    """What the teacher sees at a place, from the student's token there, its whole embedding, and which place it is.

    Args:
        width: D of tokens and embeddings.
        hidden: width of the hidden layer.
        tokens: number of tokens T.
    """

    def __init__(self, width: int, *, hidden: int, tokens: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.empty(tokens, width))
        nn.init.trunc_normal_(self.place, std=0.02)
        self.layers = build_predictor(2 * width, hidden=hidden, width=width)

    def forward(
        self, tokens: Float[Tensor, "row token width"], embedding: Float[Tensor, "row width"]
    ) -> Float[Tensor, "row token width"]:
        """Predicted tokens of the teacher, standardized."""
        whole = embedding[:, None].expand_as(tokens)
        predicted: Tensor = self.layers(torch.cat([tokens + self.place, whole], dim=2))
        return predicted


def build_predictor(width_in: int, *, hidden: int, width: int) -> nn.Sequential:
    """Multi-layer perceptron of one hidden layer, (..., width_in) to (..., width)."""
    return nn.Sequential(
        nn.Linear(width_in, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, width)
    )


class PretrainingObjective(nn.Module):
    """The loss without labels with what it needs beside the encoders: predictors and the queues of negatives.

    Args:
        config: the experiment, with its table `pretraining`.

    Raises:
        ConfigError: `pretraining_not_configured`.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        self.config = pretraining_config(config)
        width, hidden = config.model.embedding_width, self.config.predictor_hidden
        names = config.modality_names
        self.predictors = nn.ModuleList(
            TokenPredictor(width, hidden=hidden, tokens=len(modality_places(modality).coverage))
            for modality in config.modalities.values()
            if self.config.masked_weight
        )
        self.cross_pairs = list(permutations(range(len(names)), 2)) if self.config.cross_weight else []
        self.cross = nn.ModuleList(
            build_predictor(width, hidden=hidden, width=width) for _ in self.cross_pairs
        )
        pairs = list(combinations(names, 2)) if self.config.queue_size else []
        self.queues = nn.ModuleList(NegativeQueue(self.config.queue_size, width) for _ in pairs)

    @property
    def needs_teacher(self) -> bool:
        """Whether anything is predicted, so that masked images and the teacher's view of whole ones are needed."""
        return self.config.masked_weight + self.config.cross_weight > 0

    def forward(
        self,
        whole: Encoded | None,
        masked: Encoded | None,
        teacher: Encoded | None,
        modality_present: Bool[Tensor, "batch modality"],
        *,
        hidden: tuple[Float[Tensor, "batch _token"], ...],
        lesion_ids: Int[Tensor, "batch"],
    ) -> PretrainingTerms:
        """Loss of a batch.

        Args:
            whole: what the student sees of whole images; None where nothing is contrasted.
            masked: what the student sees of masked images; None where nothing is predicted.
            teacher: what the teacher sees of whole images; None where nothing is predicted.
            modality_present: (B, M).
            hidden: per modality (B, T), share of what each token looks at that is masked.
            lesion_ids: (B,), by which the queues know a lesion again.

        Returns:
            Total and terms.
        """
        contrastive = masked_loss = cross = torch.zeros((), device=modality_present.device)
        if whole is not None:
            contrastive = contrastive_loss(
                whole.embeddings,
                modality_present,
                temperature=self.config.temperature,
                queues=self.queues,
                fill_queues=self.training,
                lesion_ids=lesion_ids,
            )
        if masked is not None and teacher is not None:
            if self.config.masked_weight:
                masked_loss = self._masked(masked, teacher, modality_present, hidden)
            if self.config.cross_weight:
                cross = self._cross(masked, teacher, modality_present)
        total = (
            self.config.contrastive_weight * contrastive
            + self.config.masked_weight * masked_loss
            + self.config.cross_weight * cross
        )
        return PretrainingTerms(total, contrastive, masked_loss, cross)

    def _masked(
        self, masked: Encoded, teacher: Encoded, present: Tensor, hidden: tuple[Tensor, ...]
    ) -> Float[Tensor, ""]:
        """Mean over modalities of the distance at hidden places, each token counting by its hidden share."""
        losses = []
        for index, predictor in enumerate(self.predictors):
            weights = hidden[index] * present[:, index, None]
            rows = (weights.sum(dim=1) > 0).nonzero()[:, 0]
            predicted = predictor(masked.tokens[index][rows], masked.embeddings[rows, index])
            distance = latent_distance(predicted, teacher.tokens[index][rows])
            losses.append((distance * weights[rows]).sum() / weights[rows].sum().clamp(min=1e-6))
        return torch.stack(losses).mean()

    def _cross(self, masked: Encoded, teacher: Encoded, present: Tensor) -> Float[Tensor, ""]:
        """Mean over ordered pairs of modalities of the distance between their embeddings, predicted and true."""
        losses, counted = [], 0
        for (source, target), predictor in zip(self.cross_pairs, self.cross, strict=True):
            rows = (present[:, source] & present[:, target]).nonzero()[:, 0]
            predicted = predictor(masked.embeddings[rows, source])
            distance = latent_distance(predicted, teacher.embeddings[rows, target])
            losses.append(distance.sum() / max(len(rows), 1))
            counted += len(rows) > 0
        return torch.stack(losses).sum() / max(counted, 1)


def latent_distance(
    predicted: Float[Tensor, "row *places width"], target: Float[Tensor, "row *places width"]
) -> Float[Tensor, "row *places"]:
    """Smooth L1 from predicted vectors to the teacher's, which are standardized and get no gradient.

    Args:
        predicted: (n, ..., D).
        target: as the teacher gives them; each component is brought to mean 0 and variance 1 over the n lesions.

    Returns:
        Mean over the width, (n, ...); 0, with gradients of 0, where there is but one lesion to standardize over.
    """
    if len(target) < 2:
        return predicted.float().sum(dim=-1) * 0.0
    with torch.autocast(predicted.device.type, enabled=False):
        values = target.detach().float()
        fixed = (values - values.mean(dim=0)) / (values.std(dim=0, correction=0) + SMALLEST_SD)
        return F.smooth_l1_loss(predicted.float(), fixed, reduction="none").mean(dim=-1)


@torch.no_grad()
def embedding_spread(embeddings: Float[Tensor, "row width"]) -> Float[Tensor, ""]:
    """How far embeddings fill their space: 0 if all point the same way (collapse), near 1 if every way alike.

    The standard deviation over lesions of unit embeddings, averaged over the D components, times the root of D.

    Args:
        embeddings: (n, D), at least two.

    Source: Chen & He 2021, arXiv:2011.10566, section 4.1.
    """
    unit = F.normalize(embeddings.float(), dim=1)
    return unit.std(dim=0, correction=0).mean() * unit.shape[1] ** 0.5


def pretraining_config(config: ExperimentConfig) -> PretrainingConfig:
    """The table `pretraining` of an experiment.

    Raises:
        ConfigError: `pretraining_not_configured`: there is none.
    """
    if config.pretraining is None:
        raise ConfigError(
            "pretraining_not_configured",
            f"The configuration {config.name} has no table [pretraining], so nothing says how to pre-train.",
            remedy="Add [pretraining], empty for the defaults; configs/pretrain.toml has one.",
        )
    return config.pretraining
