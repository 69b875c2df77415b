"""The SUV factors of every PET series below a folder, as a table that a program can read."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydicom import Dataset

from dgccl.dicom.describe import PET_CLASSES
from dgccl.dicom.elements import read_elements
from dgccl.dicom.enhanced import PER_FRAME_GROUPS, frame_elements
from dgccl.dicom.pixels import stored_values
from dgccl.dicom.scan import SeriesFiles, scan
from dgccl.dicom.suv import suv_factors
from dgccl.errors import DgcclError, DicomError

_PIXEL_DATA, _RESCALE_SLOPE, _RESCALE_INTERCEPT = 0x7FE00010, 0x00281053, 0x00281052


def suv_table(
    folder: Path, *, lean_body_mass: Literal["janmahasatian", "james"] = "janmahasatian"
) -> list[dict[str, Any]]:
    """One entry for each PET series below a folder.

    Args:
        folder: searched at all levels.
        lean_body_mass: formula behind `sul_factor`.

    Returns:
        Entries with `series_uid`, `units`, `decay_correction`, `suv_bw_factor` (g/mL per rescaled unit),
        `sul_factor`, `suv_bsa_factor` (cm2/mL; both None where sex, height or weight is not known),
        `suv_bw_max` (g/mL, None for a series without pixels), `uptake_time_min`, `warnings`; or `series_uid`
        and `error` with `code` and `message` for a series that cannot be converted.

    Raises:
        DicomError: the folder does not exist or holds no PET series.
    """
    found = scan(folder)
    series = [
        entry for entry in found.series if entry.modality == "PT" and entry.sop_class_uid in PET_CLASSES
    ]
    if not series:
        others = sorted({entry.modality for entry in found.series})
        raise DicomError(
            "no_pet",
            f"No PET series was found below {folder}; modalities there: {', '.join(others) or 'none'}, "
            f"{len(found.rejected)} files rejected"
            + (f" (first: {found.rejected[0].code})." if found.rejected else "."),
            remedy="Give the folder that holds the PET series.",
        )
    return [_entry(files, lean_body_mass) for files in series]


def _entry(files: SeriesFiles, lean_body_mass: Literal["janmahasatian", "james"]) -> dict[str, Any]:
    try:
        if files.defects:
            raise DicomError(files.defects[0].code, files.defects[0].message)
        headers: list[Dataset] = []
        highest: list[float] = []
        for path in files.paths:
            _read(path, headers, highest)
        factors = suv_factors(headers, lean_body_mass_formula=lean_body_mass)
        return {
            "series_uid": files.series_uid,
            "units": factors.units,
            "decay_correction": factors.decay_correction,
            "suv_bw_factor": factors.suv_bw_factor,
            "sul_factor": factors.sul_factor,
            "suv_bsa_factor": factors.suv_bsa_factor,
            "suv_bw_max": max(highest) * factors.suv_bw_factor if highest else None,
            "uptake_time_min": factors.uptake_time_min,
            "warnings": list(factors.warnings),
        }
    except DgcclError as error:
        return {"series_uid": files.series_uid, "error": {"code": error.code, "message": str(error)}}


def _read(path: Path, headers: list[Dataset], highest: list[float]) -> None:
    """Add a file's header, and the highest rescaled value of each of its frames."""
    elements = read_elements(path, pixels=True)
    headers.append(elements.to_dataset(pixels=False))
    if _PIXEL_DATA not in elements:
        return
    stored = stored_values(elements)
    frames = frame_elements(elements) if PER_FRAME_GROUPS in elements else [elements] * len(stored)
    for frame, values in zip(frames, stored, strict=True):
        slope, intercept = frame.floats(_RESCALE_SLOPE), frame.floats(_RESCALE_INTERCEPT)
        if len(slope) != 1 or len(intercept) != 1 or slope[0] == 0:
            raise DicomError(
                "missing_rescale",
                "An image lacks Rescale Slope or Intercept, or its slope is 0: stored values mean nothing.",
                remedy="Export the original images.",
            )
        ends = np.array([values.min(), values.max()], dtype=float) * slope[0] + intercept[0]
        highest.append(float(ends.max()))
