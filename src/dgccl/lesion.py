"""One lesion of a study: which outlines are it, what it measures, and its arrays in one physical box."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int16
from scipy import ndimage

from dgccl.errors import RoiError
from dgccl.outlines import covered, outline_agreement
from dgccl.roi import Roi, longest_diameter_mm
from dgccl.study import PetImage, Study
from dgccl.types import Mask, PointMm, SuvBw
from dgccl.volume import Grid, Volume, box_grid, resample

AIR_HU = -1000.0
SUV_PEAK_RADIUS_MM = 10.0 * (3.0 / (4.0 * np.pi)) ** (1.0 / 3.0)
"""Radius of the 1 ml sphere of SUVpeak (PERCIST 1.0, Wahl et al. 2009): 6.2 mm."""
MTV_THRESHOLD = 0.41
"""Share of SUVmax above which voxels count as metabolic tumor volume (EANM guideline 2.0, Boellaard et al. 2015)."""

PLAUSIBLE_SUV = 100.0
"""No lesion is expected to take up more FDG than this (SUVbw); urine and injection sites do."""

PLAUSIBLE_HU = (-1050.0, 3100.0)
"""From air, with noise, to the end of the 12-bit scale on which CT is stored; metal goes beyond."""


@dataclass(frozen=True)
class BoxSettings:
    """The physical box that is stored around each lesion.

    Attributes:
        box_mm: edge of the box.
        ct_spacing_mm: voxel size of the stored CT.
        pet_spacing_mm: voxel size of the stored PET; finer than about the scanner's voxel adds nothing.
        image_spacing_mm: voxel size of the other stored images, such as MR.
    """

    box_mm: float = 64.0
    ct_spacing_mm: float = 1.0
    pet_spacing_mm: float = 4.0
    image_spacing_mm: float = 1.0


@dataclass(frozen=True, eq=False)
class LesionArrays:
    """The stored arrays of one lesion; a modality that was not acquired is None.

    CT and PET lie on grids of their own that cover one physical box, axes along +z, +y, +x. So do the `others`, by
    the modality's name: images without a scale of their own, such as MR, in the unit of `dgccl.intensity`.
    """

    ct_hu: Int16[np.ndarray, "ct_z ct_y ct_x"] | None
    mask_ct: Bool[np.ndarray, "ct_z ct_y ct_x"] | None
    suv_bw: Float32[np.ndarray, "pet_z pet_y pet_x"] | None
    mask_pet: Bool[np.ndarray, "pet_z pet_y pet_x"] | None
    others: Mapping[str, Float32[np.ndarray, "_ _ _"]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Lesion:
    """The outlines of one lesion: at most one drawn on CT, at most one on PET, at least one in all."""

    name: str
    on_ct: Roi | None
    on_pet: Roi | None

    def outline(self, preferred: Literal["ct", "pet"]) -> Roi:
        """The outline drawn on the preferred modality, else the other one."""
        first, second = (self.on_ct, self.on_pet) if preferred == "ct" else (self.on_pet, self.on_ct)
        roi = first or second
        if roi is None:
            raise RoiError("no_outline", f"Lesion {self.name!r} has no outline.")
        return roi


@dataclass(frozen=True)
class LesionMeasures:
    """Size and uptake of one lesion; uptake is NaN without PET.

    Attributes:
        diameter_mm: longest diameter in an axial slice.
        volume_ml: volume of the outline (the one on CT if there is one).
        suv_max: highest SUVbw within the outline, g/mL.
        suv_peak: highest mean SUVbw of a 1 ml sphere centered within the outline, g/mL.
        mtv_ml: volume within the outline at or above 41 % of SUVmax.
        tlg: mean SUVbw of that volume times the volume, g.
    """

    diameter_mm: float
    volume_ml: float
    suv_max: float
    suv_peak: float
    mtv_ml: float
    tlg: float


def group_lesions(rois: Sequence[Roi], *, pattern: str = "") -> list[Lesion]:
    """Group outlines into lesions: equal names, apart from a word for the modality, are one lesion.

    `GTV_Mass_CT` and `gtv mass PET` are one lesion `GTV_Mass`. An outline that was not drawn on PET counts as
    drawn on CT.

    Args:
        rois: outlines of one study.
        pattern: regular expression that an outline's name must match in part; empty takes all.

    Raises:
        RoiError: no outline matches, or a modality has two outlines of one name.
    """
    chosen = [roi for roi in rois if re.search(pattern, roi.name, flags=re.IGNORECASE)]
    if not chosen:
        raise RoiError(
            "no_outline",
            f"None of the {len(rois)} outlines has a name that matches {pattern!r}."
            if rois
            else "There is no outline.",
            remedy="Give an RTSTRUCT, a SEG, a NIfTI mask, or points and diameters with --points.",
        )
    found: dict[str, dict[str, Roi]] = {}
    names: dict[
        str, str
    ] = {}  # names become file names, and some file systems do not tell letter cases apart
    for roi in chosen:
        slot = "on_pet" if roi.drawn_on == "pet" else "on_ct"
        name = lesion_name(roi.name)
        slots = found.setdefault(names.setdefault(name.lower(), name), {})
        if slot in slots:
            raise RoiError(
                "duplicate_lesion_id",
                f"Two outlines of one image are called {name!r}.",
                remedy="Give every lesion a name of its own, or choose outlines with --roi-pattern.",
            )
        slots[slot] = roi
    return [Lesion(name, slots.get("on_ct"), slots.get("on_pet")) for name, slots in sorted(found.items())]


def lesion_name(roi_name: str) -> str:
    """Name of an outline without a word for its modality, fit for a file name."""
    words = re.split(r"[^0-9A-Za-z]+", roi_name)
    kept = [word for word in words if word and word.lower() not in ("ct", "pet", "pt")]
    return "_".join(kept) or "lesion"


def measure(lesion: Lesion, pet: PetImage | None) -> LesionMeasures:
    """Size and uptake of a lesion on the grids as they were acquired, before any resampling of the images."""
    roi = lesion.outline("ct")
    uptake = (float("nan"),) * 4
    if pet is not None:
        uptake = _uptake(pet.suv_bw, lesion)
    return LesionMeasures(longest_diameter_mm(roi.mask), roi.volume_ml, *uptake)


def _uptake(pet: Volume, lesion: Lesion) -> tuple[float, float, float, float]:
    """(SUVmax, SUVpeak, MTV ml, TLG g) on the PET grid."""
    region = _on_grid_of(pet, lesion.outline("pet"))
    reach = np.ceil(SUV_PEAK_RADIUS_MM / np.array(pet.grid.spacing_mm)).astype(int)
    inside = np.argwhere(region)
    low = np.maximum(inside.min(axis=0) - reach, 0)
    high = np.minimum(inside.max(axis=0) + 1 + reach, region.shape)
    window = tuple(map(slice, low, high))
    suv, mask = pet.array[window], region[window]
    suv_max = float(suv[mask].max())
    # Without uptake there is no metabolic volume: a share of zero or less bounds nothing.
    metabolic = mask & (suv >= MTV_THRESHOLD * suv_max) & (suv_max > 0)
    voxel_ml = pet.grid.voxel_ml
    return (
        suv_max,
        _suv_peak(suv, mask, pet.grid),
        float(metabolic.sum()) * voxel_ml,
        float(suv[metabolic].sum(dtype=np.float64)) * voxel_ml,
    )


def _on_grid_of(pet: Volume, roi: Roi) -> Mask:
    """A region on the PET grid: voxels that it covers at least by half, or else the one that holds its center."""
    region = np.zeros(pet.array.shape, dtype=bool)
    first = pet.grid.to_index(roi.mask.affine[:3, 3][None])[0]
    start = np.round(first).astype(int)
    same_axes = np.allclose(roi.mask.affine[:3, :3], pet.affine[:3, :3], atol=1e-3)
    if same_axes and np.abs(first - start).max() < 0.02:
        stop = start + roi.mask.array.shape
        if (start >= 0).all() and (stop <= region.shape).all():
            region[tuple(map(slice, start, stop))] = roi.mask.array
            return region
    corners = np.array([(k, j, i) for k in (0, 1) for j in (0, 1) for i in (0, 1)], float)
    corners = pet.grid.to_index(roi.mask.grid.to_patient(corners * np.array(roi.mask.array.shape) - 0.5))
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, region.shape)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, region.shape)
    if (low < high).all():
        part = pet.crop(tuple(low.tolist()), tuple(high.tolist())).grid
        region[tuple(map(slice, low, high))] = covered(roi, part)
    if not region.any():
        center = np.round(pet.grid.to_index(roi.centroid_mm[None])[0]).astype(int)
        if ((center < 0) | (center >= region.shape)).any():
            raise RoiError(
                "outline_outside_image",
                f"Region {roi.name!r} lies outside the PET.",
                remedy="Check that CT and PET show the same part of the body in one frame of reference.",
            )
        region[tuple(center)] = True
    return region


def _suv_peak(suv: SuvBw, mask: Mask, grid: Grid) -> float:
    """Highest mean over a 1 ml sphere whose center voxel lies in the mask; voxels count by their covered part."""
    spacing = np.array(grid.spacing_mm)
    reach = np.ceil(SUV_PEAK_RADIUS_MM / spacing).astype(int)
    fine = 5  # sub-samples per voxel edge
    axes = [
        (np.arange((2 * n + 1) * fine) + 0.5) / fine * step - (n + 0.5) * step
        for n, step in zip(reach, spacing, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    covered = (z**2 + y**2 + x**2 <= SUV_PEAK_RADIUS_MM**2).astype(np.float32)
    sphere = covered.reshape(2 * reach[0] + 1, fine, 2 * reach[1] + 1, fine, 2 * reach[2] + 1, fine).mean(
        axis=(1, 3, 5)
    )
    # Where the sphere leaves the image, the mean is over the part inside.
    total = ndimage.convolve(suv, sphere, mode="constant")
    weight = ndimage.convolve(np.ones_like(suv), sphere, mode="constant")
    return float((total / weight)[mask].max())


def crop_lesion(study: Study, lesion: Lesion, settings: BoxSettings) -> tuple[LesionArrays, tuple[str, ...]]:
    """Arrays of a lesion's box, each resampled once from the acquired grid, with warning codes.

    CT outside its image is air (-1000 HU), PET outside its image 0, any other image its darkest value.

    Returns:
        The arrays, and codes of what a reader of the table should know: `lesion_exceeds_box`,
        `box_leaves_ct`, `box_leaves_pet` and so on (more than a tenth of the box outside the image), `suv_implausible`
        (the highest SUVbw in the outline is not above 0, or above 100: units or rescaling may be wrong),
        `hu_implausible` (the median HU in the outline is less than air's or more than bone's), `outlines_disagree`
        (the outline on CT and the one on PET: `dgccl.outlines.OutlineAgreement`).
    """
    center = lesion.outline("ct").centroid_mm
    ct_grid = box_grid(center, box_mm=settings.box_mm, spacing_mm=settings.ct_spacing_mm)
    pet_grid = box_grid(center, box_mm=settings.box_mm, spacing_mm=settings.pet_spacing_mm)
    warnings = []
    if _reaches_beyond(lesion.outline("ct"), center, settings.box_mm / 2):
        warnings.append("lesion_exceeds_box")
    if lesion.on_ct and lesion.on_pet and outline_agreement(lesion.on_ct, lesion.on_pet).disagrees:
        warnings.append("outlines_disagree")
    ct_hu = suv_bw = mask_ct = mask_pet = None
    if study.ct is not None:
        values = resample(study.ct, ct_grid, fill=np.nan).array
        warnings += _leaves(values, "box_leaves_ct")
        ct_hu = np.round(np.nan_to_num(values, nan=AIR_HU)).clip(-32768, 32767).astype(np.int16)
        mask_ct = covered(lesion.outline("ct"), ct_grid)
        if mask_ct.any() and not PLAUSIBLE_HU[0] <= np.median(ct_hu[mask_ct]) <= PLAUSIBLE_HU[1]:
            warnings.append("hu_implausible")
    if study.pet is not None:
        values = resample(study.pet.suv_bw, pet_grid, fill=np.nan).array
        warnings += _leaves(values, "box_leaves_pet")
        suv_bw = np.nan_to_num(values, nan=0.0)
        mask_pet = covered(lesion.outline("pet"), pet_grid)
        if mask_pet.any() and not 0 < suv_bw[mask_pet].max() <= PLAUSIBLE_SUV:
            warnings.append("suv_implausible")
    others, left = _crop_others(study, center, settings)
    return LesionArrays(ct_hu, mask_ct, suv_bw, mask_pet, others), (*warnings, *left)


def _crop_others(
    study: Study, center_mm: PointMm, settings: BoxSettings
) -> tuple[dict[str, Float32[np.ndarray, "z y x"]], list[str]]:
    """The other images in the box, and which of them it leaves."""
    arrays, warnings = {}, []
    for name, image in study.others.items():
        grid = box_grid(center_mm, box_mm=settings.box_mm, spacing_mm=settings.image_spacing_mm)
        values = resample(image, grid, fill=np.nan).array
        warnings += _leaves(values, f"box_leaves_{name}")
        arrays[name] = np.nan_to_num(values, nan=float(image.array.min())).astype(np.float32)
    return arrays, warnings


def _reaches_beyond(roi: Roi, center_mm: PointMm, half_mm: float) -> bool:
    """Whether a region's voxel lies outside the box along any axis, so that the box cuts it."""
    points_mm = roi.mask.grid.to_patient(np.argwhere(roi.mask.array).astype(float))
    return bool(np.abs(points_mm - center_mm).max() > half_mm)


def _leaves(values: np.ndarray, code: str) -> list[str]:
    return [code] if np.isnan(values).mean() > 0.1 else []
