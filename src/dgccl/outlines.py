"""Outlines on a grid, and how far the outline of a lesion on CT and its outline on PET agree."""

from dataclasses import dataclass

import numpy as np

from dgccl.roi import Roi
from dgccl.types import Mask
from dgccl.volume import Grid, Volume, resample

FARTHEST_MM = 8.0
"""Between the centers of mass: two PET voxels of 4 mm. A choice, wider than the 5 mm that TG-132 allows a landmark at
most (as Latifi et al., J Appl Clin Med Phys 19(4) (2018) 125-133 sum it up), since readers differ, too."""
LEAST_DICE = 0.5
"""Outlines that share less than half are no two views of one lesion: as balls of one size they are off by a third of
their diameter or more."""


@dataclass(frozen=True)
class OutlineAgreement:
    """How two outlines of one lesion lie to each other.

    Attributes:
        distance_mm: between their centers of mass.
        dice: twice the volume that they share over the sum of their volumes, on the grid of the first.
    """

    distance_mm: float
    dice: float

    @property
    def disagrees(self) -> bool:
        """Whether a reader should look before anything is made of the pair."""
        return self.distance_mm > FARTHEST_MM or self.dice < LEAST_DICE


def outline_agreement(on_ct: Roi, on_pet: Roi) -> OutlineAgreement:
    """Compare the outline on CT with the one on PET, on the voxels of the former.

    Args:
        on_ct: drawn on CT, or on an image with voxels as fine.
        on_pet: drawn on PET.
    """
    grid = _around(on_ct, on_pet)
    first, second = covered(on_ct, grid), covered(on_pet, grid)
    both = float(first.sum() + second.sum())
    dice = 2.0 * float((first & second).sum()) / both if both else 0.0
    distance_mm = float(np.linalg.norm(on_ct.centroid_mm - on_pet.centroid_mm))
    return OutlineAgreement(distance_mm, dice)


def covered(roi: Roi, grid: Grid) -> Mask:
    """Voxels of a grid that a region covers at least by half."""
    return resample(_padded(roi), grid, fill=0.0).array >= 0.5


def _padded(roi: Roi) -> Volume:
    """A region with an empty voxel all around, so that it ends where it is cut out."""
    grid = roi.mask.grid
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_patient(np.full((1, 3), -1.0))[0]
    return Volume(np.pad(roi.mask.array, 1), affine)


def _around(on_ct: Roi, on_pet: Roi) -> Grid:
    """The voxels of the first outline, as many as hold both."""
    own = on_ct.mask.grid
    ends = np.array([(k, j, i) for k in (0, 1) for j in (0, 1) for i in (0, 1)], dtype=np.float64)
    corners = [
        own.to_index(mask.grid.to_patient(ends * np.array(mask.array.shape) - 0.5))
        for mask in (on_ct.mask, on_pet.mask)
    ]
    low = np.floor(np.concatenate(corners).min(axis=0)).astype(int) - 1
    high = np.ceil(np.concatenate(corners).max(axis=0)).astype(int) + 2
    affine = own.affine.copy()
    affine[:3, 3] = own.to_patient(low[None].astype(np.float64))[0]
    z, y, x = (high - low).tolist()
    return Grid((z, y, x), affine)
