"""Writes a phantom cohort as a hospital would deliver it: DICOM series, outlines, a table of outcomes."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from dgccl import __version__
from dgccl.dicom.write import write_ct, write_pet
from dgccl.dicom.write_headers import CtProtocol, PatientHeader, PetProtocol, StudyHeader
from dgccl.dicom.write_roi import write_rtstruct, write_seg
from dgccl.dicom.write_series import WrittenSeries
from dgccl.errors import CohortError
from dgccl.phantom.acquisition import Scanner, scanner_of
from dgccl.phantom.imaging import F18_HALF_LIFE_S
from dgccl.phantom.law import LAW_VERSION, LesionLaw
from dgccl.phantom.outline import outline_contours, outline_mask
from dgccl.phantom.patient import (
    PET_VOXELS,
    ROI_NAME,
    Choices,
    draw_choices,
    draw_patient,
    sample_cohort,
)
from dgccl.types import PointMm
from dgccl.volume import Grid
from dgccl.workers import map_in_processes

MARK = "phantom.json"  # ingestion knows a phantom by this file
MIN_JOBS_A_WORKER = 4  # starting a process costs about as much as writing this many patients
Progress = Callable[[str, int, int], None]


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
    choices = draw_choices(row, drawn.anatomy, rng)
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
        start=choices.start,
        uid_seed=f"dgccl-phantom/{seed}/{row['patient_id']}",
    )
    exposure = max(10, round(100 * (15.0 / row["ct_noise_hu"]) ** 2))
    ct = write_ct(
        drawn.ct,
        folder / "CT",
        study=study,
        protocol=CtProtocol(slice_thickness_mm=scanner.ct_slice_thickness_mm, exposure_mas=exposure),
    )
    write_pet(drawn.pet, folder / "PET", study=study, protocol=_pet_protocol(row, scanner, choices))
    _write_outline(choices, drawn.ct.grid, center, folder, study, ct)


def _pet_protocol(row: dict, scanner: Scanner, choices: Choices) -> PetProtocol:
    """PET follows CT by a minute; each vendor states it in its own way."""
    scan_start = choices.start + timedelta(seconds=60)
    return PetProtocol(
        activity_bq=row["activity_mbq"] * 1e6,
        injected_at=scan_start - timedelta(seconds=round(row["uptake_time_min"] * 60)),
        scan_start=scan_start,
        bed_s=scanner.bed_s,
        slices_per_bed=PET_VOXELS // 2 + 3,
        units="CNTS" if scanner.vendor == "philips" else "BQML",
        decay_correction="ADMIN" if choices.admin else "START",
        half_life_s=F18_HALF_LIFE_S,
        slope_per_slice=scanner.vendor != "philips",
        # GE stores a reprocessed series with the time of processing; its private element keeps the scan's start.
        series_delay_s=1500.0 if scanner.vendor == "ge" and not choices.admin else 0.0,
    )


def _write_outline(
    choices: Choices, grid: Grid, center: PointMm, folder: Path, study: StudyHeader, ct: WrittenSeries
) -> None:
    """Most readers' systems store RTSTRUCT, some SEG."""
    if choices.as_seg:
        mask = outline_mask(choices.outline, grid, center)
        write_seg({ROI_NAME: mask}, folder / "SEG" / "outline.dcm", study=study, series=ct)
    else:
        contours = outline_contours(choices.outline, grid, center)
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
