"""What is compared: CT and PET on grids fit for PET, their edges, and the body."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from dgccl.types import Array3d, Mask
from dgccl.volume import Grid, Volume, resample

SPACING_MM = 3.0
"""Voxels of the compared CT: PET shows nothing finer."""
CT_WINDOW_HU, AIR_HU = (-1000.0, 300.0), -1000.0
SUV_WINDOW = (0.0, 6.0)
"""Above these, bone, metal, bladder and lesions would take the bins of what CT and PET both show."""
CT_FWHM_MM = 5.0
CT_EDGE_SD_MM, PET_EDGE_SD_MM = 5.0, 4.0
"""Scales of the edges: PET is blurred by its scanner already."""
EDGE_QUANTILE = 0.995
BODY_HU, SKIN_MM = -500.0, 12.0
PAD_MM = 30.0


@dataclass(frozen=True, eq=False)
class Compared:
    """A pair of images as the searches see them.

    Attributes:
        ct, pet: intensities.
        ct_edges, pet_edges: lengths of their gradients.
        body: CT's body and the skin's surroundings on the grid of `ct`.
        grid: of `ct`.
    """

    ct: sitk.Image
    pet: sitk.Image
    ct_edges: sitk.Image
    pet_edges: sitk.Image
    body: Mask
    grid: Grid


def compared(ct: Volume, suv_bw: Volume) -> Compared:
    """Make a pair comparable.

    Args:
        ct: HU.
        suv_bw: SUVbw.
    """
    grid = coarser_grid(ct.grid)
    coarse = resample(ct, grid, fill=AIR_HU).array.clip(*CT_WINDOW_HU)
    smooth = ndimage.gaussian_filter(coarse, CT_FWHM_MM / 2.355 / SPACING_MM, mode="nearest")
    fixed = as_image(Volume(smooth, grid.affine))
    moving = as_image(_padded(suv_bw))
    return Compared(
        fixed, moving, _edges(fixed, CT_EDGE_SD_MM), _edges(moving, PET_EDGE_SD_MM), _body(coarse), grid
    )


def coarser_grid(grid: Grid) -> Grid:
    """A grid with the axes and the place of another, its voxels cubes of `SPACING_MM`."""
    spacing = np.array(grid.spacing_mm)
    size_mm = spacing * np.array(grid.shape)
    count = np.maximum(np.floor(size_mm / SPACING_MM + 1e-6).astype(int), 1)
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, :3] / spacing * SPACING_MM
    middle = grid.to_patient(((np.array(grid.shape) - 1) / 2)[None])[0]
    affine[:3, 3] = middle - affine[:3, :3] @ ((count - 1) / 2)
    return Grid((int(count[0]), int(count[1]), int(count[2])), affine)


def as_image(volume: Volume) -> sitk.Image:
    """A volume as SimpleITK has it, which uses LPS too but names axes in the order x, y, z."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array, dtype=np.float32))
    columns = volume.affine[:3, [2, 1, 0]]
    spacing = np.linalg.norm(columns, axis=0)
    image.SetSpacing([float(value) for value in spacing])
    image.SetDirection([float(value) for value in (columns / spacing).ravel()])
    image.SetOrigin([float(value) for value in volume.affine[:3, 3]])
    return image


def mask_image(mask: Mask, like: sitk.Image) -> sitk.Image:
    """A mask on the grid of an image."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.CopyInformation(like)
    return image


def _padded(suv_bw: Volume) -> Volume:
    """PET with its border carried on: where fewer voxels overlap, mutual information would rise for that alone."""
    margin = np.ceil(PAD_MM / np.array(suv_bw.grid.spacing_mm)).astype(int)
    affine = suv_bw.affine.copy()
    affine[:3, 3] = suv_bw.grid.to_patient(-margin[None].astype(np.float64))[0]
    values = np.pad(suv_bw.array.clip(*SUV_WINDOW), [(int(n), int(n)) for n in margin], mode="edge")
    return Volume(values, affine)


def _edges(image: sitk.Image, sd_mm: float) -> sitk.Image:
    """Length of the gradient; the steepest edges are alike, so that they do not take the bins of the others."""
    edges = sitk.GradientMagnitudeRecursiveGaussian(image, sd_mm)
    steepest = float(np.quantile(sitk.GetArrayViewFromImage(edges)[::2, ::2, ::2], EDGE_QUANTILE))
    return sitk.Clamp(edges, lowerBound=0.0, upperBound=steepest)


def _body(hu: Array3d) -> Mask:
    """The largest connected part that is not air, lungs filled in, and the skin's surroundings.

    Where no part is dense the whole field counts.
    """
    parts, count = ndimage.label(ndimage.binary_opening(hu > BODY_HU))
    if count == 0:
        return np.ones(hu.shape, dtype=bool)
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in largest])
    reached = ndimage.distance_transform_edt(~filled, sampling=SPACING_MM) <= SKIN_MM
    return np.asarray(reached, dtype=bool)
