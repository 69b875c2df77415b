"""Writes a phantom cohort as a hospital would deliver it: DICOM series, outlines, a table of outcomes."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from dgccl import __version__
from dgccl.dicom.write import write_ct, write_pet
from dgccl.dicom.write_headers import CtProtocol, PatientHeader, PetProtocol, StudyHeader
from dgccl.dicom.write_roi import write_rtstruct, write_seg
from dgccl.dicom.write_series import WrittenSeries
from dgccl.errors import CohortError
from dgccl.phantom.acquisition import Scanner, sample_acquisitions, scanner_of
from dgccl.phantom.imaging import F18_HALF_LIFE_S, Drawn, draw
from dgccl.phantom.law import LAW_VERSION, VIEWS, LesionLaw, log_likelihood_ratio, sample_lesions
from dgccl.phantom.outline import outline_contours, outline_mask, reader_outline
from dgccl.types import PointMm
from dgccl.volume import Grid
from dgccl.workers import map_in_processes

CT_FIELD_MM = (78.0, 90.0)
PET_VOXELS = 40
SEG_SHARE = 0.2
GE_ADMIN_SHARE = 0.5
EPOCH = datetime(2020, 1, 6)
ROI_NAME = "Lesion_1"
MARK = "phantom.json"  # ingestion knows a phantom by this file
MIN_JOBS_A_WORKER = 4  # starting a process costs about as much as writing this many patients
Progress = Callable[[str, int, int], None]


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


def draw_patient(row: dict, seed: int, index: int) -> tuple[Drawn, PointMm, np.random.Generator]:
    """The images of one patient of a cohort, as the scanner of the site sees them, in memory.

    Args:
        row: of `sample_cohort`.
        seed: of the cohort.
        index: of the patient in the cohort.

    Returns:
        The images, the lesion's center in LPS mm, and the generator of what else is random in the patient.
    """
    place_rng, image_rng, other_rng = np.random.default_rng([seed, 1, index]).spawn(3)
    side = place_rng.choice([-1.0, 1.0])
    center = np.array(
        [side * place_rng.uniform(50, 110), place_rng.uniform(-60, 60), place_rng.uniform(-120, 120)]
    )
    ct_grid, pet_grid = scanner_grids(scanner_of(row["site"]), center, place_rng)
    return draw(row, image_rng, ct_grid=ct_grid, pet_grid=pet_grid, center_mm=center), center, other_rng


def write_phantom(
    out: Path,
    *,
    patients: int,
    seed: int,
    law: LesionLaw | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a phantom cohort: the same files for the same seed, whatever the number of workers.

    Args:
        out: folder; new, empty, or an earlier phantom of the same settings, which is completed.
        patients: how many, one lesion each.
        seed: of everything random.
        law: settings of the lesion's law.
        workers: processes; by default one a core.
        progress: called with ("phantom", patients done, patients) as they finish.

    Returns:
        `out`, holding one folder a patient, `labels.csv`, `truth.csv` and, once all is written, `phantom.json`.

    Raises:
        CohortError: `out` holds something else, or `patients` is not positive.
    """
    law = law or LesionLaw()
    settings = _settings(patients, seed, law)
    if _claim(out, settings):
        return out
    cohort = sample_cohort(patients, seed, law=law)
    rows = cohort.to_dict("records")
    jobs = [(row, seed, index, out / row["patient_id"]) for index, row in enumerate(rows)]
    processes = min(workers or os.cpu_count() or 1, len(jobs) // MIN_JOBS_A_WORKER)
    for done, _ in enumerate(map_in_processes(_write_job, jobs, workers=processes), start=1):
        if progress is not None:
            progress("phantom", done, patients)
    labels = cohort[["patient_id", "label", "site", "sex", "age_years"]]
    labels.insert(1, "lesion", ROI_NAME)
    _write_text(out / "labels.csv", labels.to_csv(index=False))
    _write_text(out / "truth.csv", cohort.assign(law_version=LAW_VERSION).to_csv(index=False))
    _write_text(out / MARK, _stamp(settings, files=_count(out)))
    return out


def write_patient(row: dict, seed: int, index: int, folder: Path) -> None:
    """Write one patient's CT, PET and outline.

    Args:
        row: of `sample_cohort`.
        seed: of the cohort.
        index: of the patient in the cohort.
        folder: of the patient.
    """
    drawn, center, rng = draw_patient(row, seed, index)
    scanner = scanner_of(row["site"])
    start = EPOCH + timedelta(days=int(rng.integers(1200)), minutes=int(rng.integers(8 * 60, 16 * 60)))
    study = StudyHeader(
        patient=PatientHeader(
            row["patient_id"],
            row["sex"],
            int(row["age_years"]),
            float(row["height_m"]),
            float(row["weight_kg"]),
        ),
        vendor=scanner.vendor,
        site=scanner.site,
        start=start,
        uid_seed=f"dgccl-phantom/{seed}/{row['patient_id']}",
    )
    exposure = max(10, round(100 * (15.0 / row["ct_noise_hu"]) ** 2))
    ct = write_ct(
        drawn.ct,
        folder / "CT",
        study=study,
        protocol=CtProtocol(slice_thickness_mm=scanner.ct_slice_thickness_mm, exposure_mas=exposure),
    )
    admin = scanner.vendor == "ge" and rng.random() < GE_ADMIN_SHARE
    write_pet(
        drawn.pet, folder / "PET", study=study, protocol=_pet_protocol(row, scanner, start, admin=admin)
    )
    _write_outline(drawn, center, folder, study, ct, rng)


def _pet_protocol(row: dict, scanner: Scanner, start: datetime, *, admin: bool) -> PetProtocol:
    """PET follows CT by a minute; each vendor states it in its own way."""
    scan_start = start + timedelta(seconds=60)
    return PetProtocol(
        activity_bq=row["activity_mbq"] * 1e6,
        injected_at=scan_start - timedelta(seconds=round(row["uptake_time_min"] * 60)),
        scan_start=scan_start,
        bed_s=scanner.bed_s,
        slices_per_bed=PET_VOXELS // 2 + 3,
        units="CNTS" if scanner.vendor == "philips" else "BQML",
        decay_correction="ADMIN" if admin else "START",
        half_life_s=F18_HALF_LIFE_S,
        slope_per_slice=scanner.vendor != "philips",
        # GE stores a reprocessed series with the time of processing; its private element keeps the scan's start.
        series_delay_s=1500.0 if scanner.vendor == "ge" and not admin else 0.0,
    )


def _write_outline(
    drawn: Drawn,
    center: PointMm,
    folder: Path,
    study: StudyHeader,
    ct: WrittenSeries,
    rng: np.random.Generator,
) -> None:
    """Most readers' systems store RTSTRUCT, some SEG."""
    as_seg = rng.random() < SEG_SHARE
    outline = reader_outline(drawn.anatomy, rng)
    if as_seg:
        mask = outline_mask(outline, drawn.ct.grid, center)
        write_seg({ROI_NAME: mask}, folder / "SEG" / "outline.dcm", study=study, series=ct)
    else:
        contours = outline_contours(outline, drawn.ct.grid, center)
        write_rtstruct({ROI_NAME: contours}, folder / "RTSTRUCT" / "outline.dcm", study=study, series=ct)


def _write_job(job: tuple) -> None:
    write_patient(*job)


def _settings(patients: int, seed: int, law: LesionLaw) -> dict:
    """What phantom.json says before the cohort is complete."""
    return {
        "data_kind": "phantom",
        "patients": patients,
        "seed": seed,
        "law_version": LAW_VERSION,
        "dgccl_version": __version__,
        "law": json.loads(json.dumps(asdict(law))),
    }


def _stamp(settings: dict, *, files: int) -> str:
    """Text of phantom.json; `files` is 0 until the phantom is complete."""
    return json.dumps(settings | {"files": files}, indent=1) + "\n"


def _count(out: Path) -> int:
    """How many DICOM files lie below the folder."""
    return sum(name.endswith(".dcm") for _, _, names in os.walk(out) for name in names)


def _claim(out: Path, settings: dict) -> bool:
    """Make the folder, or check that it is an earlier phantom of the same settings.

    Returns:
        True if it is, and whole: nothing is left to do.
    """
    if settings["patients"] < 1:
        raise CohortError(
            "no_patients",
            f"A phantom of {settings['patients']} patients was asked for, expected at least 1.",
            remedy="Ask for more patients.",
        )
    mark = out / MARK
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        found = _read_mark(mark)
        files = found.pop("files", 0)
        if found != settings:
            kind = "a phantom of other settings" if found else "files that are no phantom"
            raise CohortError(
                "phantom_folder_not_empty",
                f"The output folder {out.name} already holds {kind}.",
                remedy="Choose a new folder, or remove the old one.",
            )
        if files > 0 and files == _count(out):
            return True
    out.mkdir(parents=True, exist_ok=True)
    _write_text(mark, _stamp(settings, files=0))
    return False


def _read_mark(mark: Path) -> dict:
    """What phantom.json says; nothing if it is absent or no file of ours."""
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_text(path: Path, text: str) -> None:
    """Write whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


def _grid(center_mm: PointMm, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[:3, 3] = center_mm - (np.array(shape) - 1)[::-1] / 2 * np.array(spacing)[::-1]
    affine[3, 3] = 1.0
    return Grid(shape, affine)
