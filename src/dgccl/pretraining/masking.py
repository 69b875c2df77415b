"""What is hidden from the student: blocks of an image, columns of a table, and which tokens look at them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from dgccl.config import ModalityConfig, TableConfig
from dgccl.model.encoder import PYRAMID_BINS, VIT_PATCH_PX

FINEST = max(PYRAMID_BINS)


@dataclass(frozen=True, eq=False)
class Places:
    """The places of one modality that can be masked, and the tokens that look at them.

    An image is a grid of square places, a cube of cubic ones: the patches of a ViT, else the finest bins of the
    pyramid. Planes that an encoder sees one by one have places of their own; planes that are channels of one image
    share theirs, since a token sees all of them. The places of a table are its columns.

    Attributes:
        planes: grids that are masked each by itself; 1 for a table.
        grid: places along each edge of a grid; (columns,) for a table.
        coverage: (token, place), the share of what a token looks at that lies in each place; rows sum to 1.
    """

    planes: int
    grid: tuple[int, ...]
    coverage: Float[Tensor, "token place"]

    @property
    def count(self) -> int:
        """Places of one lesion."""
        return self.coverage.shape[1]


def modality_places(modality: ModalityConfig) -> Places:
    """The places of a modality, in the order of its encoder's tokens.

    Args:
        modality: the modality's settings.
    """
    if isinstance(modality, TableConfig):
        columns = len(modality.columns)
        return Places(1, (columns,), torch.full((1, columns), 1.0 / columns))
    edges = 3 if modality.view == "volume" else 2
    planes = modality.channels if modality.planes == "shared" else 1
    if modality.encoder == "vit_small":
        patches = modality.input_px // VIT_PATCH_PX
        one = torch.eye(patches**edges)
        return Places(planes, (patches,) * edges, torch.block_diag(*[one] * planes))
    levels = PYRAMID_BINS if modality.pooling == "pyramid" else (1,)
    one = torch.cat([_bins(level, edges) for level in levels])
    return Places(planes, (FINEST,) * edges, torch.block_diag(*[one] * planes))


def _bins(bins: int, edges: int) -> Float[Tensor, "token place"]:
    """Coverage of the finest places by a grid of coarser bins."""
    along = torch.zeros(bins, FINEST)
    for place in range(FINEST):
        along[place * bins // FINEST, place] = bins / FINEST
    covered = along
    for _ in range(edges - 1):
        covered = torch.kron(covered, along)
    return covered


def draw_masks(
    places: Places,
    maskable: Bool[Tensor, "batch place"],
    *,
    fraction: float,
    blocks: int,
    generator: Generator,
) -> Bool[Tensor, "batch place"]:
    """Choose the places to mask: a share of each grid, at least one and never all.

    In an image the places nearest to a few random points are taken, so that they form at most that many blocks and
    what is hidden cannot be copied from beside it; in a table columns are drawn. A grid with fewer than two maskable
    places keeps them all: what is left would say nothing.

    Args:
        places: of the modality.
        maskable: (B, place), where there is something to hide; a missing value of a table is not.
        fraction: share of the maskable places.
        blocks: random points a grid.
        generator: source of all randomness, on the CPU.

    Returns:
        True where masked, (B, place).

    Source: blocks after Assran et al. 2023, arXiv:2301.08243.
    """
    batch = len(maskable)
    grids = maskable.reshape(batch * places.planes, -1)
    if len(places.grid) == 1:
        distance = torch.rand(grids.shape, generator=generator)
    else:
        axes = [torch.arange(edge) + 0.5 for edge in places.grid]
        centers = torch.cartesian_prod(*axes)
        size = torch.tensor(places.grid, dtype=torch.float32)
        points = torch.rand(len(grids), blocks, len(places.grid), generator=generator) * size
        distance = (centers[None, None] - points[:, :, None]).abs().amax(dim=3).amin(dim=1)
    rank = distance.masked_fill(~grids, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
    available = grids.sum(dim=1)
    count = (fraction * available).round().long().clamp(min=1).minimum(available - 1)
    return (rank < count[:, None]).reshape(batch, -1)


def maskable_places(places: Places, inputs: Float[Tensor, "batch *shape"]) -> Bool[Tensor, "batch place"]:
    """Where a modality's input has something to hide: everywhere in an image, the known columns of a table.

    Args:
        places: of the modality.
        inputs: (B, *input_shape) of the modality; NaN in tables where missing.
    """
    if len(places.grid) == 1:
        return ~inputs.isnan()
    return torch.ones(len(inputs), places.count, dtype=torch.bool, device=inputs.device)


def hide(
    places: Places, inputs: Float[Tensor, "batch *shape"], masks: Bool[Tensor, "batch place"]
) -> Float[Tensor, "batch *shape"]:
    """Inputs with what is masked hidden, of the same shape.

    A masked pixel gets the mean of the pixels of its plane that stay visible: it tells nothing that they do not, and
    statistics of normalization stay near those of whole images. A masked column is a missing value.

    Args:
        places: of the modality.
        inputs: (B, *input_shape) of the modality.
        masks: (B, place), True where masked.
    """
    if len(places.grid) == 1:
        return inputs.masked_fill(masks, torch.nan)
    hidden = masks.reshape(len(inputs), places.planes, *places.grid)
    for axis, (edge, pixels) in enumerate(zip(places.grid, inputs.shape[2:], strict=True), start=2):
        index = torch.arange(pixels, device=inputs.device) * edge // pixels
        hidden = hidden.index_select(axis, index)
    visible = (~hidden).expand_as(inputs)
    axes = tuple(range(2, inputs.dim()))
    mean = (inputs * visible).sum(dim=axes, keepdim=True) / visible.sum(dim=axes, keepdim=True)
    return torch.where(visible, inputs, mean)


def hidden_share(places: Places, masks: Bool[Tensor, "batch place"]) -> Float[Tensor, "batch token"]:
    """Share of what each token looks at that is masked, (B, T).

    Args:
        places: of the modality.
        masks: (B, place), True where masked.
    """
    return masks.float() @ places.coverage.to(masks.device).T
