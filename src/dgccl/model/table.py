"""Encoder of a table: numbers and categories of which any may be missing become one token."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dgccl.config import TableConfig

MIN_SD = 1e-6  # a column that is constant in training tells nothing; its values become 0


class TableEncoder(nn.Module):
    """Standardized numbers, one-hot categories and what is missing, through a network of one hidden layer.

    A missing value is 0 after standardization (the training mean) beside a flag that says so; a missing category
    sets none of its levels. Mean and standard deviation are buffers, so that they travel with the weights.

    Args:
        config: columns and widths.
    """

    token_count = 1

    def __init__(self, config: TableConfig) -> None:
        super().__init__()
        self.numbers = len(config.numbers)
        self.levels = [len(levels) for levels in config.categories.values()]
        self.mean: Tensor
        self.sd: Tensor
        self.register_buffer("mean", torch.zeros(self.numbers))
        self.register_buffer("sd", torch.ones(self.numbers))
        self.layers = nn.Sequential(
            nn.Linear(2 * self.numbers + sum(self.levels), config.encoder_width),
            nn.LayerNorm(config.encoder_width),
            nn.ReLU(),
            nn.Linear(config.encoder_width, config.token_width),
        )

    def fit(self, table: Float[Tensor, "row column"]) -> None:
        """Take mean and standard deviation of the numbers from training rows; NaN is left out."""
        values = table[:, : self.numbers].double()
        known = ~values.isnan()
        count = known.sum(dim=0).clamp(min=1)
        mean = values.nan_to_num(0.0).sum(dim=0) / count
        sd = (((values - mean).nan_to_num(0.0) ** 2).sum(dim=0) / count).sqrt()
        self.mean.copy_(mean)
        self.sd.copy_(torch.where(sd > MIN_SD, sd, torch.inf))

    def features(self, table: Float[Tensor, "row column"]) -> Float[Tensor, "row feature"]:
        """What the network sees of rows (B, columns): numbers, flags of missing numbers, levels.

        Args:
            table: numbers, then categories as the index of their level; NaN where missing.
        """
        values = (table[:, : self.numbers] - self.mean) / self.sd
        missing = values.isnan()
        parts = [values.nan_to_num(0.0), missing.to(values.dtype)]
        for column, levels in enumerate(self.levels, start=self.numbers):
            index = table[:, column]
            known = ~index.isnan()
            one_hot = F.one_hot(index.nan_to_num(0.0).long(), levels)
            parts.append(one_hot.to(values.dtype) * known[:, None])
        return torch.cat(parts, dim=1)

    def forward(self, table: Float[Tensor, "row column"]) -> Float[Tensor, "row 1 token_width"]:
        """One token (B, 1, token_width) of rows (B, columns)."""
        return self.layers(self.features(table))[:, None]
