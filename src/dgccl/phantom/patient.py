"""One patient of a phantom cohort: where it lies, who scans it, and how its reader outlines the lesion.

Both ways to a cohort draw from here, through files (`phantom.dicom`) and in memory (`phantom.memory`), in one order
of random numbers, so that they show the same patients.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from dgccl.phantom.acquisition import Scanner, sample_acquisitions, scanner_of
from dgccl.phantom.anatomy import Anatomy, Blob
from dgccl.phantom.imaging import Drawn, draw
from dgccl.phantom.law import VIEWS, LesionLaw, log_likelihood_ratio, sample_lesions
from dgccl.phantom.outline import reader_outline
from dgccl.types import PointMm
from dgccl.volume import Grid

CT_FIELD_MM = (78.0, 90.0)
PET_VOXELS = 40
SEG_SHARE = 0.2
GE_ADMIN_SHARE = 0.5
EPOCH = datetime(2020, 1, 6)
ROI_NAME = "Lesion_1"


@dataclass(frozen=True, eq=False)
class Placed:
    """A patient before the images are drawn.

    Args:
        center_mm: of the lesion, LPS mm.
        ct_grid: of the site's CT.
        pet_grid: of the site's PET.
        image_rng: generator of the images.
        other_rng: generator of what else is random in the patient (`draw_choices`).
    """

    center_mm: PointMm
    ct_grid: Grid
    pet_grid: Grid
    image_rng: np.random.Generator
    other_rng: np.random.Generator


@dataclass(frozen=True, eq=False)
class Choices:
    """What a patient's images do not decide.

    Args:
        start: of the examination.
        admin: PET is decay corrected to the time of injection, as GE's can be.
        as_seg: the outline is stored as a segmentation, else as contours.
        outline: as the reader draws it, relative to the lesion's center.
    """

    start: datetime
    admin: bool
    as_seg: bool
    outline: Blob


def sample_cohort(patients: int, seed: int, *, law: LesionLaw | None = None) -> pd.DataFrame:
    """Latents and acquisitions of a cohort, one lesion a patient.

    Args:
        patients: how many.
        seed: of the cohort.
        law: settings of the lesion's law.

    Returns:
        `patient_id`, the columns of `sample_lesions` and `sample_acquisitions`, and the exact log likelihood
        ratios `llr_ct`, `llr_pet`, `llr_both`.
    """
    law = law or LesionLaw()
    lesion_rng, acquisition_rng = np.random.default_rng([seed, 0]).spawn(2)
    lesions = sample_lesions(lesion_rng, patients, law=law)
    ratios = {f"llr_{view}": log_likelihood_ratio(lesions, view, law=law) for view in VIEWS}
    names = pd.Series([f"PHANTOM-{i + 1:04d}" for i in range(patients)], name="patient_id")
    acquisitions = sample_acquisitions(acquisition_rng, patients)
    return pd.concat([names, lesions, acquisitions, pd.DataFrame(ratios)], axis=1)


def scanner_grids(scanner: Scanner, center_mm: PointMm, rng: np.random.Generator) -> tuple[Grid, Grid]:
    """CT and PET grids of a site around a lesion: each with its own offset, PET with the larger field of view."""
    ct_z, ct_xy = scanner.ct_spacing_mm
    ct_shape = (round(CT_FIELD_MM[0] / ct_z), round(CT_FIELD_MM[1] / ct_xy), round(CT_FIELD_MM[1] / ct_xy))
    pet_z, pet_xy = scanner.pet_spacing_mm
    return (
        _grid(center_mm + rng.uniform(-3.0, 3.0, 3), ct_shape, (ct_z, ct_xy, ct_xy)),
        _grid(center_mm + rng.uniform(-8.0, 8.0, 3), (PET_VOXELS,) * 3, (pet_z, pet_xy, pet_xy)),
    )


def place_patient(row: dict, seed: int, index: int) -> Placed:
    """Where a patient's lesion lies, and the grids on which the scanner of the site will show it.

    Args:
        row: of `sample_cohort`.
        seed: of the cohort.
        index: of the patient in the cohort.
    """
    place_rng, image_rng, other_rng = np.random.default_rng([seed, 1, index]).spawn(3)
    side = place_rng.choice([-1.0, 1.0])
    center = np.array(
        [side * place_rng.uniform(50, 110), place_rng.uniform(-60, 60), place_rng.uniform(-120, 120)]
    )
    ct_grid, pet_grid = scanner_grids(scanner_of(row["site"]), center, place_rng)
    return Placed(center, ct_grid, pet_grid, image_rng, other_rng)


def draw_patient(row: dict, seed: int, index: int) -> tuple[Drawn, PointMm, np.random.Generator]:
    """The images of one patient of a cohort, as the scanner of the site sees them, in memory.

    Args:
        row: of `sample_cohort`.
        seed: of the cohort.
        index: of the patient in the cohort.

    Returns:
        The images, the lesion's center in LPS mm, and the generator of what else is random in the patient.
    """
    placed = place_patient(row, seed, index)
    drawn = draw(
        row,
        placed.image_rng,
        ct_grid=placed.ct_grid,
        pet_grid=placed.pet_grid,
        center_mm=placed.center_mm,
    )
    return drawn, placed.center_mm, placed.other_rng


def draw_choices(row: dict, anatomy: Anatomy, rng: np.random.Generator) -> Choices:
    """Draw what the images leave open; the order of the draws decides the bytes of a cohort's files.

    Args:
        row: of `sample_cohort`.
        anatomy: what was imaged.
        rng: `Placed.other_rng`.
    """
    start = EPOCH + timedelta(days=int(rng.integers(1200)), minutes=int(rng.integers(8 * 60, 16 * 60)))
    admin = scanner_of(row["site"]).vendor == "ge" and rng.random() < GE_ADMIN_SHARE
    as_seg = rng.random() < SEG_SHARE
    return Choices(start, bool(admin), bool(as_seg), reader_outline(anatomy, rng))


def _grid(center_mm: PointMm, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[:3, 3] = center_mm - (np.array(shape) - 1)[::-1] / 2 * np.array(spacing)[::-1]
    affine[3, 3] = 1.0
    return Grid(shape, affine)
