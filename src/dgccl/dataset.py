"""Lesions in memory, and what the encoders see of them: planes, cubes, and rows of tables.

Every modality stays on the grid on which it was stored. One trilinear sampling per batch takes a lesion's box
to the planes of its encoders, through the pose of that lesion, so nothing is interpolated twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from dgccl.cohort import Cohort, LesionArrays
from dgccl.config import ImageConfig, ModalityConfig, TableConfig
from dgccl.errors import CohortError
from dgccl.sampling import plane_points_mm, sample_modality
from dgccl.table_values import table_values

SUV_FACTOR_COLUMN = {"sul": "sul_per_suv_bw", "suv_bsa": "suv_bsa_per_suv_bw"}
"""Column of the lesion table that turns SUVbw into the quantity."""


@dataclass(frozen=True, eq=False)
class LesionImages:
    """Lesions in memory.

    Attributes:
        volumes: per image modality (n, z, y, x), in HU (int16), g/mL, cm2/mL for SUVbsa, or the unit that
            `dgccl.intensity` gives an image without a scale of its own (float32). Rows of lesions that lack the
            modality are never shown to an encoder without `modality_present` saying so.
        modality_present: (n, modality), images and tables in the order of the configuration. A lesion has a table
            where at least one of its columns is known.
        box_mm: edge of the physical box that every volume covers, outer face to outer face; NaN without images.
        tables: per table modality (n, column): numbers in their units, then levels by index; NaN where missing.
    """

    volumes: dict[str, Shaped[Tensor, "lesion _ _ _"]]
    modality_present: Bool[Tensor, "lesion modality"]
    box_mm: float
    tables: dict[str, Float[Tensor, "lesion _"]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.modality_present)


def choose_quantities(lesions: pd.DataFrame, modalities: Mapping[str, ModalityConfig]) -> dict[str, str]:
    """Settle which physical quantity each modality shows, one for the whole cohort.

    `suv` becomes `sul` where every lesion that has PET has a SUL factor, else `suv_bw` for all of them.

    Args:
        lesions: lesion table of a cohort.
        modalities: settings per modality.

    Returns:
        `hu`, `suv_bw`, `sul`, `suv_bsa`, `intensity` or `table` per modality.

    Raises:
        CohortError: a quantity was asked for that some lesions cannot give, or a column that the table lacks or
            that holds other values than configured.
    """
    quantities: dict[str, str] = {}
    for name, settings in modalities.items():
        wanted: str = settings.quantity
        if isinstance(settings, TableConfig):
            table_values(lesions, settings, name=name)  # refused here, before a run folder is begun
        elif wanted == "suv":
            factors = lesions.loc[lesions["has_pet"], SUV_FACTOR_COLUMN["sul"]]
            wanted = "sul" if factors.notna().all() else "suv_bw"
        elif wanted in SUV_FACTOR_COLUMN:
            factors = lesions.loc[lesions["has_pet"], SUV_FACTOR_COLUMN[wanted]]
            lacking = int(factors.isna().sum())
            if lacking:
                raise CohortError(
                    "quantity_unavailable",
                    f"Modality {name} is to show {wanted}, but {lacking} of {len(factors)} lesions with PET lack "
                    f"{SUV_FACTOR_COLUMN[wanted]} (weight, height or sex is unknown).",
                    remedy='Set quantity = "suv_bw" in the configuration, or leave these lesions out.',
                )
        quantities[name] = wanted
    return quantities


def load_images(
    cohort: Cohort, modalities: Mapping[str, ModalityConfig], *, quantities: Mapping[str, str]
) -> LesionImages:
    """Read the arrays and tables of a whole cohort into memory, in the order of its lesion table.

    Args:
        cohort: opened cohort.
        modalities: settings per modality, in the fixed order of modalities.
        quantities: quantity per modality, from `choose_quantities`.

    Raises:
        CohortError: no lesion has one of the modalities, the stored grids differ, or a table does not hold what
            was configured.
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
        arrays: one item a row of `lesions`; not read where no modality is an image.
        lesions: table with `box_mm` and the SUV factors, where there are images, and the columns of the tables.
        modalities: settings per modality, in the fixed order of modalities.
        quantities: quantity per modality, from `choose_quantities`.

    Raises:
        CohortError: lesions differ in box or grid, lack the factor of a quantity, there is none, or a table does
            not hold what was configured.
    """
    stacks: dict[str, list[np.ndarray | None]] = {
        name: [] for name, settings in modalities.items() if isinstance(settings, ImageConfig)
    }
    box_mm = float("nan")
    if stacks:
        box_mm = _common_box_mm(lesions)
        for item, (_, row) in zip(arrays, lesions.iterrows(), strict=True):
            for name, stack in stacks.items():
                stack.append(_quantity_array(item, row, name=name, quantity=quantities[name]))
    tables = {
        name: torch.from_numpy(table_values(lesions, settings, name=name))
        for name, settings in modalities.items()
        if isinstance(settings, TableConfig)
    }
    present = [
        ~tables[name].isnan().all(dim=1)
        if name in tables
        else torch.tensor([array is not None for array in stacks[name]], dtype=torch.bool)
        for name in modalities
    ]
    return LesionImages(
        volumes={name: _stack(stack, name) for name, stack in stacks.items()},
        modality_present=torch.stack(present, dim=1),
        box_mm=box_mm,
        tables=tables,
    )


def _common_box_mm(lesions: pd.DataFrame) -> float:
    boxes = lesions["box_mm"].unique()
    if len(boxes) != 1:
        raise CohortError(
            "box_differs",
            f"All lesions must be stored in boxes of one size, found {len(boxes)} sizes in {len(lesions)} lesions.",
            remedy="Ingest them together with one box size.",
        )
    return float(boxes[0])


def _quantity_array(
    arrays: LesionArrays, row: pd.Series, *, name: str, quantity: str
) -> Shaped[np.ndarray, "z y x"] | None:
    """One lesion's array in the wanted quantity; None where the modality was not acquired."""
    if quantity == "hu":
        return arrays.ct_hu
    if quantity == "intensity":
        return arrays.others.get(name)
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


def sample_planes(
    images: LesionImages,
    rows: Int64[Tensor, "batch"],
    *,
    modalities: Mapping[str, ImageConfig],
    pose: Float[Tensor, "batch 3 4"] | None = None,
    shown: Bool[Tensor, "batch modality"] | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Float[Tensor, "batch *_shape"]]:
    """Sample the planes or cubes of the image encoders, windowed to [0, 1].

    A point of a plane is moved by the lesion's pose and then looked up by one trilinear interpolation, in every
    modality at the same physical place. Within half a voxel of the box's outer face the border value is
    repeated; a point outside the box gets the window's low end (air in CT, no uptake in PET).

    Args:
        images: lesions in memory.
        rows: which of them, (batch,).
        modalities: settings per image modality.
        pose: affine map from plane points to box points, mm, (batch, 3, 4); None leaves the lesions as they lie.
        shown: which modalities of which lesions to sample, (batch, modality) in the order of `modalities`; all
            if None. What is not shown costs nothing and stays zero; the networks do not read it.
        device: where to sample.

    Returns:
        Per modality (batch, plane, height, width), or (batch, 1, depth, height, width) of a cube, float32; see
        `dgccl.sampling.plane_points_mm` for the directions.
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
            sampled = sample_modality(
                images.volumes[name].index_select(0, rows[chosen]).to(device, non_blocking=True),
                plane_points_mm(settings, pose[chosen].to(device)) * (2.0 / images.box_mm),
                window=settings.window,
            )
            of_all = sampled.new_zeros(len(rows), *sampled.shape[1:])
            of_all[chosen.to(device)] = sampled
            planes[name] = of_all[:, None] if settings.view == "volume" else of_all
    return planes


def model_inputs(
    images: LesionImages,
    rows: Int64[Tensor, "batch"],
    *,
    modalities: Mapping[str, ModalityConfig],
    pose: Float[Tensor, "batch 3 4"] | None = None,
    shown: Bool[Tensor, "batch modality"] | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Float[Tensor, "batch *_shape"]]:
    """What a model reads of some lesions: sampled images, and rows of tables as they stand.

    Args:
        images: lesions in memory.
        rows: which of them, (batch,).
        modalities: settings per modality of either kind, in the order of `images.modality_present`.
        pose: as of `sample_planes`; tables have none.
        shown: which modalities of which lesions to sample, (batch, modality); all if None. A table is not blanked
            where it is not shown: the networks do not read it.
        device: where the inputs are to lie.

    Returns:
        Per modality (batch, *input_shape), float32, in the order of `modalities`; NaN in tables where missing.
    """
    pictures = {name: m for name, m in modalities.items() if isinstance(m, ImageConfig)}
    of_pictures = torch.tensor([name in pictures for name in modalities])
    planes = sample_planes(
        images,
        rows,
        modalities=pictures,
        pose=pose,
        shown=None if shown is None else shown[:, of_pictures],
        device=device,
    )
    return {
        name: planes[name]
        if name in planes
        else images.tables[name].index_select(0, rows).to(device, non_blocking=True)
        for name in modalities
    }
