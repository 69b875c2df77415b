"""One branch a modality: encoder, reduction, projection; each sees only the rows that have its modality.

A missing modality is a mask: its rows are never computed, so that no value in its place, not even NaN, can
reach an output or the statistics of a normalization layer.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from dgccl.config import ExperimentConfig, ModalityConfig
from dgccl.errors import TrainingError
from dgccl.model.encoder import build_encoder


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
            tokens.append(scatter_rows(present_tokens, rows, len(modality_present)))
            weights.append(scatter_rows(present_weights, rows, len(modality_present)))
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


def scatter_rows(
    values: Shaped[Tensor, "row *shape"], rows: Int[Tensor, "row"], batch: int
) -> Shaped[Tensor, "batch *shape"]:
    """Put rows of `values` at their places `rows` in a batch of size `batch` that is zero elsewhere."""
    return values.new_zeros(batch, *values.shape[1:]).index_copy(0, rows, values)
