"""Fusion of M modalities of which any may be missing: cross-attention, gate, compensation.

A missing modality is a mask: its rows are never computed, so that no value in its place, not even NaN, can
reach an output or the statistics of a normalization layer.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from dgccl.config import ExperimentConfig, ModalityConfig, ModelConfig
from dgccl.errors import TrainingError
from dgccl.model.encoder import build_encoder

COMPENSATION_START = 0.1  # share of a predicted embedding in the fused vector before training


@dataclass(frozen=True, eq=False)
class Encoded:
    """What the encoders saw; rows of an absent modality are zero.

    Attributes:
        tokens: per modality (B, T, D), projected to the common width.
        token_weights: per modality (B, T), the share of each token in the pooled vector, rows sum to 1.
        embeddings: (B, M, D), the pooled tokens of each modality.
    """

    tokens: tuple[Float[Tensor, "batch _token width"], ...]
    token_weights: tuple[Float[Tensor, "batch _token"], ...]
    embeddings: Float[Tensor, "batch modality width"]


@dataclass(frozen=True, eq=False)
class Fused:
    """One vector a lesion, and how it came about.

    Attributes:
        vector: (B, D).
        gate_weights: (B, M), rows sum to 1 over what is present and are 0 elsewhere.
        predicted_embeddings: (B, M, D), each modality as predicted from the others that are present (zero
            where there are none), or None without a compensation path.
    """

    vector: Float[Tensor, "batch width"]
    gate_weights: Float[Tensor, "batch modality"]
    predicted_embeddings: Float[Tensor, "batch modality width"] | None


class ModalityBranch(nn.Module):
    """Encoder, learned reduction of its tokens to one vector, and projection to the common width.

    The reduction is a weighted mean of the tokens; the weights are a softmax over one linear score a token and
    start equal. A weighted mean and a linear projection can change places, so that projecting the tokens and
    pooling them later gives the same as the described order (reduce to one vector, then project).

    Args:
        modality: the modality's settings.
        width: common width D.
    """

    def __init__(self, modality: ModalityConfig, *, width: int) -> None:
        super().__init__()
        self.encoder = build_encoder(modality)
        self.token_score = nn.Linear(modality.token_width, 1, bias=False)  # softmax would cancel a bias
        nn.init.zeros_(self.token_score.weight)
        self.projection = nn.Linear(modality.token_width, width)

    @property
    def token_count(self) -> int:
        """Tokens an image."""
        return self.encoder.token_count

    def forward(
        self, image: Float[Tensor, "batch channel height width"]
    ) -> tuple[Float[Tensor, "batch token common"], Float[Tensor, "batch token"]]:
        """Projected tokens (B, T, D) and their weights (B, T) in the pooled vector."""
        tokens = self.encoder(image)
        weights = self.token_score(tokens).squeeze(2).softmax(dim=1)
        return self.projection(tokens), weights


class ModalityEncoders(nn.Module):
    """One branch a modality, each shown only the rows in which its modality is present.

    Args:
        config: the experiment; its modalities give order and names.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        self.width = config.model.embedding_width
        self.image_shapes = {
            name: (modality.channels, modality.input_px, modality.input_px)
            for name, modality in config.modalities.items()
        }
        self.branches = nn.ModuleDict(
            {name: ModalityBranch(modality, width=self.width) for name, modality in config.modalities.items()}
        )

    def forward(
        self,
        images: dict[str, Float[Tensor, "batch _channel _height _width"]],
        modality_present: Bool[Tensor, "batch modality"],
    ) -> Encoded:
        """Encode what is present.

        Args:
            images: per modality (B, channels, H, W); one that no row has may be left out.
            modality_present: (B, M), in the order of the configuration.

        Returns:
            Tokens, their weights and embeddings, zero where absent.

        Raises:
            TrainingError: a row has no modality, or an image is lacking or of another shape than configured.
        """
        self._check(images, modality_present)
        tokens, weights = [], []
        for index, (name, branch) in enumerate(self.branches.items()):
            assert isinstance(branch, ModalityBranch)
            rows = modality_present[:, index].nonzero().squeeze(1)
            if len(rows):
                present_tokens, present_weights = branch(images[name][rows])
            else:  # no row to encode: BatchNorm must not see an empty batch
                empty = branch.projection.weight.new_empty
                present_tokens = empty((0, branch.token_count, self.width))
                present_weights = empty((0, branch.token_count))
            tokens.append(_scatter(present_tokens, rows, len(modality_present)))
            weights.append(_scatter(present_weights, rows, len(modality_present)))
        pooled = [pool(t, w) for t, w in zip(tokens, weights, strict=True)]
        return Encoded(tuple(tokens), tuple(weights), torch.stack(pooled, dim=1))

    def _check(self, images: dict[str, Tensor], modality_present: Tensor) -> None:
        """Refuse a batch that does not fit the configuration."""
        batch, found = modality_present.shape
        if found != len(self.branches):
            raise TrainingError(
                "modality_count",
                f"modality_present has {found} columns; the model has {len(self.branches)} modalities "
                f"({', '.join(self.branches)}).",
            )
        counts = modality_present.sum(dim=0).tolist()
        if not bool(modality_present.any(dim=1).all()):
            empty = int((~modality_present.any(dim=1)).sum())
            raise TrainingError(
                "no_modality_present",
                f"{empty} of {batch} rows of the batch have no modality at all; each needs at least one.",
                remedy="Leave out lesions without any image, and let modality dropout keep one modality.",
            )
        for (name, shape), count in zip(self.image_shapes.items(), counts, strict=True):
            if count and name not in images:
                raise TrainingError(
                    "image_missing",
                    f"{count} rows are marked as having {name}, but no {name} image was given.",
                )
            if count and tuple(images[name].shape) != (batch, *shape):
                raise TrainingError(
                    "image_shape",
                    f"The {name} images have shape {tuple(images[name].shape)}, expected {(batch, *shape)}.",
                    remedy="Prepare images with the configuration that the model was built from.",
                )


def pool(tokens: Float[Tensor, "batch token width"], weights: Float[Tensor, "batch token"]) -> Tensor:
    """Weighted mean (B, D) of tokens (B, T, D) with weights (B, T)."""
    return torch.einsum("bt,btd->bd", weights.to(tokens.dtype), tokens)


def _scatter(values: Tensor, rows: Tensor, batch: int) -> Tensor:
    """Rows of `values` at their places in a batch that is zero elsewhere."""
    return values.new_zeros(batch, *values.shape[1:]).index_copy(0, rows, values)


class CrossAttention(nn.Module):
    """Query tokens look at key tokens; what they find is to be added to them (residual).

    Args:
        width: common width D.
        heads: attention heads.
    """

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(width)
        self.key_norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(
        self,
        query: Float[Tensor, "batch query width"],
        keys: Float[Tensor, "batch key width"],
        key_present: Bool[Tensor, "batch key"] | None,
    ) -> Float[Tensor, "batch query width"]:
        """What each query token finds.

        Args:
            query: (B, Tq, D).
            keys: (B, Tk, D), keys and values.
            key_present: (B, Tk), at least one True a row; None when all keys are present.

        Returns:
            (B, Tq, D), without the residual.
        """
        keys = self.key_norm(keys)
        absent = None if key_present is None else ~key_present
        found, _ = self.attention(
            self.query_norm(query), keys, keys, key_padding_mask=absent, need_weights=False
        )
        return found


class Gate(nn.Module):
    """Weights of the modalities from their concatenated features, over what is present.

    Args:
        width: common width D.
        modalities: number of modalities M.
        hidden: width of the hidden layer.
    """

    def __init__(self, width: int, *, modalities: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(modalities * width, hidden), nn.ReLU(), nn.Linear(hidden, modalities)
        )

    def forward(
        self,
        features: Float[Tensor, "batch modality width"],
        modality_present: Bool[Tensor, "batch modality"],
    ) -> Float[Tensor, "batch modality"]:
        """Weights (B, M): rows sum to 1 over what is present, exactly 0 elsewhere."""
        seen = features * modality_present[..., None]
        scores = self.layers(seen.flatten(1))
        return scores.masked_fill(~modality_present, -torch.inf).softmax(dim=1)


class Compensation(nn.Module):
    """Predicts each modality's embedding from those of the others that are present.

    One layer reads each source and one writes each target, so that the size grows with M, not with its square.

    Args:
        width: common width D.
        modalities: number of modalities M.
    """

    def __init__(self, width: int, *, modalities: int) -> None:
        super().__init__()
        self.read = nn.ModuleList(nn.Linear(width, width) for _ in range(modalities))
        self.write = nn.ModuleList(nn.Linear(width, width) for _ in range(modalities))
        self.residual_weight = nn.Parameter(torch.full((modalities,), COMPENSATION_START))

    def forward(
        self,
        embeddings: Float[Tensor, "batch modality width"],
        modality_present: Bool[Tensor, "batch modality"],
    ) -> Float[Tensor, "batch modality width"]:
        """Predicted embeddings (B, M, D); zero where no other modality is present."""
        reads = [layer(embeddings[:, index]) for index, layer in enumerate(self.read)]
        modalities = len(reads)
        others = ~torch.eye(modalities, dtype=torch.bool, device=embeddings.device)
        # (B, target, source): the mean over the sources present; a target never reads itself.
        share = (others & modality_present[:, None, :]).to(embeddings.dtype)
        share = share / share.sum(dim=2, keepdim=True).clamp(min=1)
        hidden = F.relu(torch.einsum("bts,bsd->btd", share, torch.stack(reads, dim=1).to(share.dtype)))
        writes = [layer(hidden[:, index]) for index, layer in enumerate(self.write)]
        return torch.stack(writes, dim=1) * (share.sum(dim=2, keepdim=True) > 0)


class GatedFusion(nn.Module):
    """Cross-attention from the first modality to the others, then the gated sum.

    The fused vector is the sum of the features of the present modalities, weighted by the gate, and of the
    predicted features of the absent ones, weighted by learned scalars (compensation path). An absent first
    modality asks with its predicted embedding.

    Args:
        config: the model's settings; `compensation_weight` 0 removes the compensation path.
        modalities: number of modalities M, at least 2.
    """

    def __init__(self, config: ModelConfig, *, modalities: int) -> None:
        super().__init__()
        width = config.embedding_width
        self.attention = CrossAttention(width, heads=config.attention_heads)
        self.gate = Gate(width, modalities=modalities, hidden=config.gate_hidden)
        self.compensation = (
            Compensation(width, modalities=modalities) if config.compensation_weight > 0 else None
        )

    def forward(self, encoded: Encoded, modality_present: Bool[Tensor, "batch modality"]) -> Fused:
        """Fuse what the encoders saw (B, M, D) into one vector (B, D)."""
        features, predicted = encoded.embeddings, None
        if self.compensation is not None:
            predicted = self.compensation(encoded.embeddings, modality_present)
            features = torch.where(modality_present[..., None], encoded.embeddings, predicted)
        attended = self._attend(encoded, features[:, 0], modality_present)
        features = torch.cat([(features[:, 0] + attended)[:, None], features[:, 1:]], dim=1)
        gate_weights = self.gate(features, modality_present)
        weights = gate_weights
        if self.compensation is not None:
            weights = weights + ~modality_present * self.compensation.residual_weight
        vector = torch.einsum("bm,bmd->bd", weights.to(features.dtype), features)
        return Fused(vector, gate_weights, predicted)

    def _attend(
        self,
        encoded: Encoded,
        query_feature: Float[Tensor, "batch width"],
        modality_present: Bool[Tensor, "batch modality"],
    ) -> Float[Tensor, "batch width"]:
        """What the first modality finds in the others, pooled (B, D); zero where there is nothing to look at."""
        queries = encoded.tokens[0]
        first_present = modality_present[:, :1]
        active = modality_present[:, 1:].any(dim=1)
        if self.compensation is None:
            active = active & first_present[:, 0]
        rows = active.nonzero().squeeze(1)
        if not len(rows):
            return torch.zeros_like(query_feature)
        asked = torch.where(first_present[..., None], queries, query_feature[:, None].to(queries.dtype))
        weights = torch.where(first_present, encoded.token_weights[0], 1.0 / queries.shape[1])
        key_present = None  # with two modalities every active row has all keys
        if modality_present.shape[1] > 2:
            columns = [
                modality_present[:, index, None].expand(-1, tokens.shape[1])
                for index, tokens in enumerate(encoded.tokens[1:], start=1)
            ]
            key_present = torch.cat(columns, dim=1)[rows]
        found = self.attention(asked[rows], torch.cat(encoded.tokens[1:], dim=1)[rows], key_present)
        return _scatter(pool(found, weights[rows]), rows, len(modality_present))
