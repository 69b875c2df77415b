"""Tables under integrated gradients: the path runs through what the network sees of a row, not through the row.

A category is an index into its levels and a missing value is NaN; neither has a derivative. Standardized numbers,
flags of what is missing, and one value a level have one. So the features take the place of the row within the
encoder, and the attributions of a column's features are added up.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from dgccl.config import ExperimentConfig
from dgccl.model.early import EarlyFusion, JoinedTables
from dgccl.model.table import TableEncoder


@dataclass(frozen=True, eq=False)
class TableFeatures:
    """One table encoder's features of one lesion, and those of a lesion of which nothing is known.

    Attributes:
        encoder: that reads them.
        columns: (modality, place of the column in its table) in the encoder's order, numbers first.
        value: (1, F): standardized numbers, flags of missing numbers, levels.
        baseline: (1, F): every number known and at its training mean, every category of no level; the features of
            an absent table as they are, so that it gets no attribution.
    """

    encoder: TableEncoder
    columns: tuple[tuple[str, int], ...]
    value: Float[Tensor, "1 feature"]
    baseline: Float[Tensor, "1 feature"]

    def by_column(self, attribution: Float[Tensor, "1 feature"]) -> Float64[np.ndarray, "column"]:
        """Attribution of each column: of a number and its flag, or of all levels of a category."""
        numbers = self.encoder.numbers
        parts = attribution[0].double().cpu().split([numbers, numbers, *self.encoder.levels])
        columns = [*(parts[0] + parts[1]), *(levels.sum() for levels in parts[2:])]
        return torch.stack(columns).numpy() if columns else np.zeros(0)


def table_features(
    network: nn.Module, inputs: Mapping[str, Tensor], shown: Sequence[str], *, config: ExperimentConfig
) -> list[TableFeatures]:
    """The features that a network sees of one lesion's tables, one item an encoder; none without tables.

    Args:
        network: any classifier.
        inputs: of one lesion, by modality; a table (1, columns).
        shown: names of the modalities that the lesion has.
        config: the experiment.
    """
    if isinstance(network, EarlyFusion):
        if not isinstance(network.join, JoinedTables):
            return []
        present = torch.tensor([[name in shown for name in config.tables]])
        row = network.join.rows(dict(inputs), present.to(next(network.parameters()).device))
        numbers = [(n, i) for n, t in config.tables.items() for i in range(len(t.numbers))]
        levels = [(n, len(t.numbers) + i) for n, t in config.tables.items() for i in range(len(t.categories))]
        return [_features(network.join.encoder, row, (*numbers, *levels), shown)]
    found = []
    for name, branch in network.encoders.branches.items():  # type: ignore[union-attr, operator]
        if name in shown and name in config.tables:
            columns = tuple((name, index) for index in range(len(config.tables[name].columns)))
            found.append(_features(branch.encoder, inputs[name], columns, shown))
    return found


def _features(
    encoder: TableEncoder, row: Tensor, columns: tuple[tuple[str, int], ...], shown: Sequence[str]
) -> TableFeatures:
    known = torch.tensor([name in shown for name, _ in columns], device=row.device)
    numbers = encoder.numbers
    of_levels = [known[numbers + i].expand(count) for i, count in enumerate(encoder.levels)]
    of_features = torch.cat([known[:numbers], known[:numbers], *of_levels])
    with torch.no_grad():
        value = encoder.features(row)
    return TableFeatures(encoder, columns, value, value.masked_fill(of_features, 0.0))


@contextmanager
def in_place_of_rows(features: Sequence[TableFeatures], values: Sequence[Tensor]) -> Iterator[None]:
    """Let table encoders read these features (B, F) instead of those of the rows they are called with."""
    with ExitStack() as stack:
        for item, value in zip(features, values, strict=True):
            hook = item.encoder.layers.register_forward_pre_hook(lambda *_, value=value: (value,))
            stack.callback(hook.remove)
        yield
