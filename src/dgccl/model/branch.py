"""One branch a modality: encoder, reduction, projection; each sees only the rows that have its modality.

A missing modality is a mask: its rows are never computed, so that no value in its place, not even NaN, can
reach an output or the statistics of a normalization layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from dgccl.config import ExperimentConfig, ModalityConfig
from dgccl.errors import TrainingError
from dgccl.model.encoder import build_encoder

Inputs = dict[str, Float[Tensor, "batch *_shape"]]
"""What a model reads, by modality: images (B, channels, H, W), cubes (B, 1, D, H, W), tables (B, columns)."""


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
        self.token_score = build_token_score(self.encoder.token_count, modality.token_width)
        self.projection = nn.Linear(modality.token_width, width)

    @property
    def token_count(self) -> int:
        """Tokens an image."""
        return self.encoder.token_count

    def forward(
        self, image: Float[Tensor, "batch *shape"]
    ) -> tuple[Float[Tensor, "batch token common"], Float[Tensor, "batch token"]]:
        """Projected tokens (B, T, D) and their weights (B, T) in the pooled vector."""
        tokens = self.encoder(image)
        return self.projection(tokens), token_weights(tokens, self.token_score)


def build_token_score(token_count: int, width: int) -> nn.Linear | None:
    """Linear score by which tokens are weighed; none where there is but one token to weigh."""
    if token_count == 1:
        return None
    score = nn.Linear(width, 1, bias=False)  # softmax would cancel a bias
    nn.init.zeros_(score.weight)
    return score


def token_weights(
    tokens: Float[Tensor, "batch token width"], score: nn.Linear | None
) -> Float[Tensor, "batch token"]:
    """Weights (B, T) of tokens (B, T, D) in their pooled vector, rows sum to 1; equal without a score."""
    if score is None:
        return tokens.new_full(tokens.shape[:2], 1.0 / tokens.shape[1])
    return score(tokens).squeeze(2).softmax(dim=1)


class ModalityEncoders(nn.Module):
    """One branch a modality, each shown only the rows in which its modality is present.

    Args:
        config: the experiment; its modalities give order and names.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        self.width = config.model.embedding_width
        self.input_shapes = {name: modality.input_shape for name, modality in config.modalities.items()}
        self.branches = nn.ModuleDict(
            {name: ModalityBranch(modality, width=self.width) for name, modality in config.modalities.items()}
        )

    def forward(
        self,
        images: Inputs,
        modality_present: Bool[Tensor, "batch modality"],
    ) -> Encoded:
        """Encode what is present.

        Args:
            images: per modality (B, channels, H, W), (B, 1, D, H, W) or, of a table, (B, columns); one that no
                row has may be left out.
            modality_present: (B, M), in the order of the configuration.

        Returns:
            Tokens, their weights and embeddings, zero where absent.

        Raises:
            TrainingError: a row has no modality, or an image is lacking or of another shape than configured.
        """
        check_inputs(self.input_shapes, images, modality_present)
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
            tokens.append(scatter_rows(present_tokens, rows, len(modality_present)))
            weights.append(scatter_rows(present_weights, rows, len(modality_present)))
        pooled = [pool(t, w) for t, w in zip(tokens, weights, strict=True)]
        return Encoded(tuple(tokens), tuple(weights), torch.stack(pooled, dim=1))


def check_inputs(
    input_shapes: Mapping[str, tuple[int, ...]], images: Mapping[str, Tensor], modality_present: Tensor
) -> None:
    """Refuse a batch that does not fit the configuration.

    Args:
        input_shapes: shape of one lesion's input, per modality.
        images: per modality (B, *shape).
        modality_present: (B, M).

    Raises:
        TrainingError: a row has no modality, or an input is lacking or of another shape.
    """
    batch, found = modality_present.shape
    if found != len(input_shapes):
        raise TrainingError(
            "modality_count",
            f"modality_present has {found} columns; the model has {len(input_shapes)} modalities "
            f"({', '.join(input_shapes)}).",
        )
    counts = modality_present.sum(dim=0).tolist()
    if not bool(modality_present.any(dim=1).all()):
        empty = int((~modality_present.any(dim=1)).sum())
        raise TrainingError(
            "no_modality_present",
            f"{empty} of {batch} rows of the batch have no modality at all; each needs at least one.",
            remedy="Leave out lesions without any image, and let modality dropout keep one modality.",
        )
    for (name, shape), count in zip(input_shapes.items(), counts, strict=True):
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


def scatter_rows(
    values: Shaped[Tensor, "row *shape"], rows: Int[Tensor, "row"], batch: int
) -> Shaped[Tensor, "batch *shape"]:
    """Put rows of `values` at their places `rows` in a batch of size `batch` that is zero elsewhere."""
    return values.new_zeros(batch, *values.shape[1:]).index_copy(0, rows, values)
