"""Fusion of M modalities of which any may be missing: cross-attention, gate, compensation."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from dgccl.config import ModelConfig
from dgccl.model.branch import Encoded, pool, scatter_rows

COMPENSATION_START = 0.1  # share of a predicted embedding in the fused vector before training


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


class StaticGate(nn.Module):
    """One learned weight a modality, the same for every case, over what is present.

    Args:
        modalities: number of modalities M.
        learned: False keeps the weights equal.
    """

    def __init__(self, modalities: int, *, learned: bool) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(modalities), requires_grad=learned)

    def forward(
        self,
        features: Float[Tensor, "batch modality width"],
        modality_present: Bool[Tensor, "batch modality"],
    ) -> Float[Tensor, "batch modality"]:
        """Weights (B, M): rows sum to 1 over what is present, exactly 0 elsewhere."""
        scores = self.scores.expand(len(features), -1)
        return scores.masked_fill(~modality_present, -torch.inf).softmax(dim=1)


def build_gate(config: ModelConfig, *, modalities: int) -> Gate | StaticGate:
    """The gate that the configuration names, for features of the embedding width."""
    if config.gate == "dynamic":
        return Gate(config.embedding_width, modalities=modalities, hidden=config.gate_hidden)
    return StaticGate(modalities, learned=config.gate == "static")


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
        config: the model's settings; `compensation_weight` 0 removes the compensation path, `cross_attention`
            False the attention, and `gate` says how the weights come about.
        modalities: number of modalities M, at least 2.
    """

    def __init__(self, config: ModelConfig, *, modalities: int) -> None:
        super().__init__()
        width = config.embedding_width
        self.attention = (
            CrossAttention(width, heads=config.attention_heads) if config.cross_attention else None
        )
        self.gate = build_gate(config, modalities=modalities)
        self.compensation = (
            Compensation(width, modalities=modalities) if config.compensation_weight > 0 else None
        )

    def forward(self, encoded: Encoded, modality_present: Bool[Tensor, "batch modality"]) -> Fused:
        """Fuse what the encoders saw (B, M, D) into one vector (B, D)."""
        features, predicted = encoded.embeddings, None
        if self.compensation is not None:
            predicted = self.compensation(encoded.embeddings, modality_present)
            features = torch.where(modality_present[..., None], encoded.embeddings, predicted)
        if self.attention is not None:
            attended = self._attend(self.attention, encoded, features[:, 0], modality_present)
            features = torch.cat([(features[:, 0] + attended)[:, None], features[:, 1:]], dim=1)
        gate_weights = self.gate(features, modality_present)
        weights = gate_weights
        if self.compensation is not None:
            weights = weights + ~modality_present * self.compensation.residual_weight
        vector = torch.einsum("bm,bmd->bd", weights.to(features.dtype), features)
        return Fused(vector, gate_weights, predicted)

    def _attend(
        self,
        attention: CrossAttention,
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
        found = attention(asked[rows], torch.cat(encoded.tokens[1:], dim=1)[rows], key_present)
        return scatter_rows(pool(found, weights[rows]), rows, len(modality_present))
