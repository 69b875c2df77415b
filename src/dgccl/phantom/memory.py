"""The phantom drawn straight into memory: what `dgccl ingest` would store of a cohort, without its files.

Every lesion goes through the functions by which ingestion makes a lesion's box, from the voxels as DICOM would have
stored them: HU as whole numbers. PET's rounding, a 32,767th of the highest value of a slice or series, is left out.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context

import numpy as np
import pandas as pd
from jaxtyping import Int64

from dgccl.dicom.body_size import body_surface_area_m2, lean_body_mass_kg
from dgccl.errors import DgcclError
from dgccl.lesion import BoxSettings, Lesion, LesionArrays, crop_lesion, lesion_name
from dgccl.phantom.anatomy import build_anatomy
from dgccl.phantom.canvas import Box
from dgccl.phantom.imaging import Scan, image_rngs
from dgccl.phantom.outline import outline_contours, outline_mask
from dgccl.phantom.patient import ROI_NAME, Choices, Placed, draw_choices, place_patient
from dgccl.roi import Roi, rasterize_contours, tighten
from dgccl.study import PetImage, Study
from dgccl.types import PointMm
from dgccl.volume import Grid, box_grid
from dgccl.workers import end_with_parent, interrupts_ignored, keep_freed_memory

HU_RANGE = (-1024.0, 3071.0)
"""What 12 stored bits hold above the rescale intercept of -1024 HU."""
CONTOUR_DECIMALS = 3
MARGIN_VOXELS = 2
AHEAD = 4  # lesions a worker may be ahead of the reader, so that unread boxes do not pile up


def draw_lesion(row: dict, seed: int, index: int, *, box: BoxSettings | None = None) -> LesionArrays:
    """Draw one lesion of a cohort as ingestion would store it.

    Args:
        row: of `sample_cohort`.
        seed: of the cohort.
        index: of the patient in the cohort.
        box: the box around the lesion; the default of ingestion if omitted.

    Returns:
        CT (HU), PET (SUVbw, g/mL) and the reader's outline on both, on the grids of the box.
    """
    box = box or BoxSettings()
    placed = place_patient(row, seed, index)
    anatomy_rng, ct_rng, pet_rng = image_rngs(placed.image_rng)
    scan = Scan(build_anatomy(row, anatomy_rng), row, placed.center_mm)
    roi = stored_outline(placed, draw_choices(row, scan.anatomy, placed.other_rng))
    center = roi.centroid_mm
    ct_part = _part_read(placed.ct_grid, center, box.box_mm, box.ct_spacing_mm)
    pet_part = _part_read(placed.pet_grid, center, box.box_mm, box.pet_spacing_mm)
    ct = scan.ct(placed.ct_grid, ct_rng, part=ct_part)
    np.rint(ct.array, out=ct.array).clip(*HU_RANGE, out=ct.array)
    study = Study(
        patient_id=str(row["patient_id"]),
        ct=ct,
        pet=PetImage(scan.pet(placed.pet_grid, pet_rng, part=pet_part)),
        rois=(roi,),
        phantom=True,
    )
    arrays, _ = crop_lesion(study, Lesion(lesion_name(ROI_NAME), roi, None), box)
    return arrays


def stored_outline(placed: Placed, choices: Choices) -> Roi:
    """A reader's outline as ingestion finds it: a segmentation's mask, or contours filled on the CT grid.

    Args:
        placed: the patient.
        choices: the outline, and whether it is stored as a segmentation.
    """
    grid, center = placed.ct_grid, placed.center_mm
    if choices.as_seg:
        mask = tighten(outline_mask(choices.outline, grid, center), grid, name=ROI_NAME)
    else:
        contours = outline_contours(choices.outline, grid, center)
        mask = rasterize_contours([c.round(CONTOUR_DECIMALS) for c in contours], grid, name=ROI_NAME)
    return Roi(ROI_NAME, mask, "ct")


def lesion_table(cohort: pd.DataFrame, *, box: BoxSettings | None = None) -> pd.DataFrame:
    """What ingestion's lesion table says of these lesions, as far as reading their arrays needs it.

    Args:
        cohort: of `sample_cohort`.
        box: the box around each lesion; the default of ingestion if omitted.

    Returns:
        One row a lesion, in the order and on the index of `cohort`: `lesion_id`, `patient_id`, `label`, `site`,
        `sex`, `age_years`, `has_ct`, `has_pet`, `sul_per_suv_bw`, `suv_bsa_per_suv_bw` (cm2/g), `box_mm`,
        `ct_spacing_mm`, `pet_spacing_mm`.

    Source: `dgccl.dicom.suv` for the factors, with Janmahasatian's lean body mass as ingestion's default.
    """
    box = box or BoxSettings()
    sizes = list(zip(cohort["weight_kg"], cohort["height_m"], cohort["sex"], strict=True))
    sul = [lean_body_mass_kg(weight, height, sex=sex) / weight for weight, height, sex in sizes]
    bsa = [body_surface_area_m2(weight, height) * 1e4 / (weight * 1e3) for weight, height, _ in sizes]
    return pd.DataFrame(
        {
            "lesion_id": cohort["patient_id"] + "-" + lesion_name(ROI_NAME),
            "patient_id": cohort["patient_id"],
            "label": cohort["label"].astype("int64"),
            "site": cohort["site"],
            "sex": cohort["sex"],
            "age_years": cohort["age_years"].astype("float64"),
            "has_ct": True,
            "has_pet": True,
            "sul_per_suv_bw": np.array(sul),
            "suv_bsa_per_suv_bw": np.array(bsa),
            "box_mm": box.box_mm,
            "ct_spacing_mm": box.ct_spacing_mm,
            "pet_spacing_mm": box.pet_spacing_mm,
        },
        index=cohort.index,
    )


def draw_lesions(
    cohort: pd.DataFrame,
    seed: int,
    indices: Sequence[int] | Int64[np.ndarray, "lesions"],
    *,
    box: BoxSettings | None = None,
    workers: int = 1,
) -> Iterator[LesionArrays]:
    """Draw lesions of a cohort, in the order asked for, whatever the number of workers.

    Args:
        cohort: of `sample_cohort`, whole: `indices` are positions in it.
        seed: of the cohort.
        indices: which lesions.
        box: the box around each lesion; the default of ingestion if omitted.
        workers: processes; with one, none other is started.

    Yields:
        The arrays of each lesion, as `draw_lesion` draws them.

    Raises:
        DgcclError: `worker_died`: a worker was ended from outside.
    """
    chosen = [int(index) for index in indices]
    rows = cohort.iloc[chosen].to_dict("records")
    jobs = ((row, seed, index, box) for row, index in zip(rows, chosen, strict=True))
    if workers <= 1 or len(rows) <= 1:
        yield from map(_draw_job, jobs)
        return
    # Unlike `map_in_processes`, in order and with little ahead: 100,000 boxes would not fit into memory.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        with interrupts_ignored():
            waiting = deque(pool.submit(_draw_job, job) for job in islice(jobs, AHEAD * workers))
        while waiting:
            arrays = waiting.popleft().result()
            waiting.extend(pool.submit(_draw_job, job) for job in islice(jobs, 1))
            yield arrays
    except BrokenProcessPool as error:
        raise DgcclError(
            "worker_died",
            "A worker process was ended from outside, perhaps because memory ran out.",
            remedy="Draw with fewer workers.",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    end_with_parent()
    keep_freed_memory()


def _draw_job(job: tuple) -> LesionArrays:
    row, seed, index, box = job
    return draw_lesion(row, seed, index, box=box)


def _part_read(grid: Grid, center_mm: PointMm, box_mm: float, spacing_mm: float) -> Box:
    """The part of a grid that resampling onto a box reads: the box, half an averaging width and a voxel around it."""
    target = box_grid(center_mm, box_mm=box_mm, spacing_mm=spacing_mm)
    ends = grid.to_index(target.to_patient(np.array([[0.0] * 3, [n - 1.0 for n in target.shape]])))
    edges = []
    for low, high, size, step in zip(*ends, grid.shape, grid.spacing_mm, strict=True):
        around = spacing_mm / step / 2 + MARGIN_VOXELS
        start = int(np.clip(np.floor(low - around), 0, size - 1))
        edges.append(slice(start, int(np.clip(np.ceil(high + around) + 1, start + 1, size))))
    z, y, x = edges
    return z, y, x
