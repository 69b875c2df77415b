"""Lesions in memory, and the planes that the encoders see.

Every modality stays on the grid on which it was stored. One trilinear sampling per batch takes a lesion's box
to the planes of its encoders, through the pose of that lesion, so nothing is interpolated twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor
from torch.nn.functional import grid_sample

from dgccl.cohort import Cohort, LesionArrays
from dgccl.config import ModalityConfig
from dgccl.errors import CohortError

SUV_FACTOR_COLUMN = {"sul": "sul_per_suv_bw", "suv_bsa": "suv_bsa_per_suv_bw"}
"""Column of the lesion table that turns SUVbw into the quantity."""

LEFT, BACK, FEET = (1, 0, 0), (0, 1, 0), (0, 0, -1)
PLANE_AXES = {
    "axial": [(BACK, LEFT)],
    "orthogonal": [(BACK, LEFT), (FEET, LEFT), (FEET, BACK)],
}
"""Directions (x, y, z) in LPS along the rows and along the columns of each plane."""


@dataclass(frozen=True, eq=False)
class LesionImages:
    """Lesions in memory.

    Attributes:
        volumes: per modality (n, z, y, x), in HU (int16) or g/mL, cm2/mL for SUVbsa (float32). Rows of lesions
            that lack the modality are never shown to an encoder without `modality_present` saying so.
        modality_present: (n, modality), in the order of `volumes`.
        box_mm: edge of the physical box that every volume covers, outer face to outer face.
    """

    volumes: dict[str, Shaped[Tensor, "lesion _ _ _"]]
    modality_present: Bool[Tensor, "lesion modality"]
    box_mm: float

    def __len__(self) -> int:
        return len(self.modality_present)


def choose_quantities(lesions: pd.DataFrame, modalities: Mapping[str, ModalityConfig]) -> dict[str, str]:
    """Settle which physical quantity each modality shows, one for the whole cohort.

    `suv` becomes `sul` where every lesion that has PET has a SUL factor, else `suv_bw` for all of them.

    Args:
        lesions: lesion table of a cohort.
        modalities: settings per modality.

    Returns:
        `hu`, `suv_bw`, `sul` or `suv_bsa` per modality.

    Raises:
        CohortError: a quantity was asked for that some lesions cannot give.
    """
    quantities: dict[str, str] = {}
    with_pet = lesions.loc[lesions["has_pet"]]
    for name, settings in modalities.items():
        wanted: str = settings.quantity
        if wanted == "suv":
            wanted = "sul" if with_pet[SUV_FACTOR_COLUMN["sul"]].notna().all() else "suv_bw"
        elif wanted in SUV_FACTOR_COLUMN:
            lacking = int(with_pet[SUV_FACTOR_COLUMN[wanted]].isna().sum())
            if lacking:
                raise CohortError(
                    "quantity_unavailable",
                    f"Modality {name} is to show {wanted}, but {lacking} of {len(with_pet)} lesions with PET lack "
                    f"{SUV_FACTOR_COLUMN[wanted]} (weight, height or sex is unknown).",
                    remedy='Set quantity = "suv_bw" in the configuration, or leave these lesions out.',
                )
        quantities[name] = wanted
    return quantities


def load_images(
    cohort: Cohort, modalities: Mapping[str, ModalityConfig], *, quantities: Mapping[str, str]
) -> LesionImages:
    """Read the arrays of a whole cohort into memory, in the order of its lesion table.

    Args:
        cohort: opened cohort.
        modalities: settings per modality, in the fixed order of modalities.
        quantities: quantity per modality, from `choose_quantities`.

    Raises:
        CohortError: no lesion has one of the modalities, or the stored grids differ.
    """
    arrays = (cohort.arrays(lesion_id) for lesion_id in cohort.lesions["lesion_id"])
    images = stack_images(arrays, cohort.lesions, modalities=modalities, quantities=quantities)
    for name, count in zip(modalities, images.modality_present.sum(0).tolist(), strict=True):
        if not count:
            raise CohortError(
                "modality_absent",
                f"The configuration names the modality {name}, which none of the {len(images)} lesions has.",
                remedy="Remove the modality from the configuration, or ingest data that have it.",
            )
    return images


def stack_images(
    arrays: Iterable[LesionArrays],
    lesions: pd.DataFrame,
    *,
    modalities: Mapping[str, ModalityConfig],
    quantities: Mapping[str, str],
) -> LesionImages:
    """Stack lesions into one tensor a modality.

    Args:
        arrays: one item a row of `lesions`.
        lesions: table with `box_mm` and the SUV factors.
        modalities: settings per modality, in the fixed order of modalities.
        quantities: quantity per modality, from `choose_quantities`.

    Raises:
        CohortError: lesions differ in box or grid, lack the factor of a quantity, or there is none.
    """
    boxes = lesions["box_mm"].unique()
    if len(boxes) != 1:
        raise CohortError(
            "box_differs",
            f"All lesions must be stored in boxes of one size, found {len(boxes)} sizes in {len(lesions)} lesions.",
            remedy="Ingest them together with one box size.",
        )
    stacks: dict[str, list[np.ndarray | None]] = {name: [] for name in modalities}
    for item, (_, row) in zip(arrays, lesions.iterrows(), strict=True):
        for name, stack in stacks.items():
            stack.append(_quantity_array(item, row, quantities[name]))
    present = [[array is not None for array in stack] for stack in stacks.values()]
    return LesionImages(
        volumes={name: _stack(stack, name) for name, stack in stacks.items()},
        modality_present=torch.tensor(present).T.contiguous(),
        box_mm=float(boxes[0]),
    )


def _quantity_array(
    arrays: LesionArrays, row: pd.Series, quantity: str
) -> Shaped[np.ndarray, "z y x"] | None:
    """One lesion's array in the wanted quantity; None where the modality was not acquired."""
    if quantity == "hu":
        return arrays.ct_hu
    if arrays.suv_bw is None or quantity == "suv_bw":
        return arrays.suv_bw
    factor = np.float32(row[SUV_FACTOR_COLUMN[quantity]])
    if not np.isfinite(factor):
        raise CohortError(
            "quantity_unavailable",
            f"A lesion with PET has no {SUV_FACTOR_COLUMN[quantity]}, but {quantity} is to be shown.",
            remedy="Weight, height and sex of the patient must be known for this quantity.",
        )
    return arrays.suv_bw * factor


def _stack(arrays: list[np.ndarray | None], name: str) -> Shaped[Tensor, "lesion _ _ _"]:
    """One tensor of all lesions, zeros where a lesion lacks the modality."""
    found = {(array.shape, array.dtype) for array in arrays if array is not None}
    if len(found) > 1:
        shapes = ", ".join(sorted(str(shape) for shape, _ in found))
        raise CohortError(
            "grid_differs",
            f"All lesions must share one {name} grid, found {shapes}.",
            remedy="Ingest them together with one box size and spacing.",
        )
    shape, dtype = found.pop() if found else ((1, 1, 1), np.dtype(np.int16))
    stacked = np.zeros((len(arrays), *shape), dtype)
    for target, array in zip(stacked, arrays, strict=True):
        if array is not None:
            target[...] = array
    return torch.from_numpy(stacked)


def plane_points_mm(
    settings: ModalityConfig, pose: Float[Tensor, "batch 3 4"]
) -> Float[Tensor, "3 batch channel height width"]:
    """Where the pixels of an encoder's planes lie in the box, mm.

    Axial rows run to the back and columns to the patient's left; coronal rows run to the feet and columns to
    the left; sagittal rows run to the feet and columns to the back: the way radiologists look at them.

    Args:
        settings: view, field and pixels.
        pose: affine maps from plane points to box points, mm, (batch, 3, 4).

    Returns:
        Offsets from the center of the box: x, y and z of every pixel, (3, batch, plane, height, width).
    """
    px = settings.input_px
    step_mm = ((torch.arange(px, dtype=torch.float32) + 0.5) / px - 0.5) * settings.field_mm
    step_mm = step_mm.to(pose.device)
    axes = torch.tensor(PLANE_AXES[settings.view], dtype=torch.float32, device=pose.device)
    # A posed plane is still spanned by two vectors: one sum a pixel, not one matrix product.
    posed = torch.einsum("bij,paj->aibp", pose[:, :, :3], axes)
    down, right = (posed[..., None] * step_mm).unbind(dim=0)
    right = right + pose[:, :, 3].T[:, :, None, None]
    return down[..., :, None] + right[..., None, :]


def sample_planes(
    images: LesionImages,
    rows: Int64[Tensor, "batch"],
    *,
    modalities: Mapping[str, ModalityConfig],
    pose: Float[Tensor, "batch 3 4"] | None = None,
    shown: Bool[Tensor, "batch modality"] | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Float[Tensor, "batch _ _ _"]]:
    """Sample the planes of the encoders, windowed to [0, 1].

    A point of a plane is moved by the lesion's pose and then looked up by one trilinear interpolation, in every
    modality at the same physical place. Within half a voxel of the box's outer face the border value is
    repeated; a point outside the box gets the window's low end (air in CT, no uptake in PET).

    Args:
        images: lesions in memory.
        rows: which of them, (batch,).
        modalities: settings per modality.
        pose: affine map from plane points to box points, mm, (batch, 3, 4); None leaves the lesions as they lie.
        shown: which modalities of which lesions to sample, (batch, modality) in the order of `modalities`; all
            if None. What is not shown costs nothing and stays zero; the networks do not read it.
        device: where to sample.

    Returns:
        Per modality (batch, plane, height, width), float32.
    """
    if pose is None:
        pose = torch.eye(3, 4).repeat(len(rows), 1, 1)
    if shown is None:
        shown = torch.ones(len(rows), len(modalities), dtype=torch.bool)
    planes = {}
    # Positions need full precision: bfloat16 would misplace them by tenths of a millimetre.
    with torch.autocast(torch.device(device).type, enabled=False):
        for (name, settings), of_modality in zip(modalities.items(), shown.T, strict=True):
            chosen = of_modality.nonzero()[:, 0]
            sampled = _sample_modality(
                images.volumes[name].index_select(0, rows[chosen]).to(device, non_blocking=True),
                plane_points_mm(settings, pose[chosen].to(device)) * (2.0 / images.box_mm),
                window=settings.window,
            )
            planes[name] = sampled.new_zeros(len(rows), *sampled.shape[1:])
            planes[name][chosen.to(device)] = sampled
    return planes


def _sample_modality(
    volumes: Shaped[Tensor, "batch _ _ _"],
    points: Float[Tensor, "3 batch channel height width"],
    *,
    window: tuple[float, float],
) -> Float[Tensor, "batch channel height width"]:
    """Planes of one modality, windowed to [0, 1]; the outer faces of the box lie at points of +-1."""
    low, high = window
    inside = points.abs().amax(dim=0) <= 1.0
    values = _trilinear(volumes.float(), points.flatten(2, 3)).view_as(inside)
    return values.sub_(low).mul_(1.0 / (high - low)).clamp_(0.0, 1.0).mul_(inside)


def _trilinear(
    volumes: Float[Tensor, "batch z y x"], points: Float[Tensor, "3 batch height width"]
) -> Float[Tensor, "batch height width"]:
    """Interpolate as `grid_sample` does on volumes, by two of its calls on images, which take half the time.

    Torch samples images with vector instructions, volumes point by point. So the slices of a volume are laid one
    below the other as one tall image; each of the two slices around a point gives a bilinear value, and what lies
    between them is linear.
    """
    depth, height = volumes.shape[1:3]
    x, y, z = points
    slice_index = z.add(1.0).mul_(depth / 2).sub_(0.5).clamp_(0, depth - 1)
    below = slice_index.floor().clamp_(max=max(depth - 2, 0))
    row = y.add(1.0).mul_(height / 2).clamp_(0.5, height - 0.5)  # a clamped row stays in its slice
    down = row.add_(below, alpha=height).mul_(2.0 / (depth * height)).sub_(1.0)
    place = torch.stack([x, down])
    tall = volumes.flatten(1, 2)[:, None]
    lower = grid_sample(tall, place.permute(1, 2, 3, 0), padding_mode="border", align_corners=False)
    place[1] += 2.0 / depth
    upper = grid_sample(tall, place.permute(1, 2, 3, 0), padding_mode="border", align_corners=False)
    return torch.lerp(lower[:, 0], upper[:, 0], slice_index - below)
