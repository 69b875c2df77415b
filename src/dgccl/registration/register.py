"""A study with its PET registered, and what is to be told of it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dgccl.lesion import Lesion
from dgccl.registration.decide import Reason, Registration, register_pet
from dgccl.registration.move import moved_study
from dgccl.study import Study

SEED = 2026

_WHY: dict[Reason, str] = {
    "registered": "PET was moved onto CT",
    "in_place": "PET stays: it lies where it belongs, as far as the search can tell",
    "field_too_small": "CT and PET have less than 150 mm of field in common along an axis",
    "search_failed": "most searches lost the overlap of the images",
    "starts_disagree": "searches from different starts end in different places",
    "parts_disagree": "parts of the body would be moved differently",
    "halves_disagree": "the upper or the lower half alone would be moved differently, as after another breath",
    "moves_too_far": "the move is larger than can happen within one examination",
    "little_overlap": "the move would leave too much of the body without PET",
    "no_gain": "the move does not make the images more alike",
    "lesion_loses": "the move does not make the images more alike around a lesion",
}


@dataclass(frozen=True)
class RegistrationNote:
    """What ingestion keeps of a registration.

    Attributes:
        code: `registered`, `registration_in_place` or `registration_refused`.
        message: in words, with what was measured.
        values: the same as numbers, None where nothing was measured.
    """

    code: str
    message: str
    values: dict[str, Any]


def register_study(study: Study, lesions: list[Lesion]) -> tuple[Study, RegistrationNote | None]:
    """Register a study's PET onto its CT, or leave it where it lies.

    Args:
        study: what was loaded.
        lesions: of the study; a move must suit the surroundings of each.

    Returns:
        The study, its warnings saying `registered` or `registration_refused`, and the note; the study as it was and
        None where CT or PET is missing.
    """
    if study.ct is None or study.pet is None:
        return study, None
    centers = np.array([lesion.outline("ct").centroid_mm for lesion in lesions])
    found = register_pet(study.ct, study.pet.suv_bw, lesions_mm=centers, seed=SEED)
    note = registration_note(found)
    if found.reason == "in_place":
        return study, note
    moved = moved_study(study, found.move) if found.reason == "registered" else study
    return replace(moved, warnings=(*study.warnings, note.code)), note


def registration_note(found: Registration) -> RegistrationNote:
    """A registration in words and numbers."""
    codes = {"registered": "registered", "in_place": "registration_in_place"}
    code = codes.get(found.reason, "registration_refused")
    message = f"{_WHY[found.reason]} [{found.reason}]"
    if found.refused:
        message = f"PET stays where its headers put it: {message}"
    if np.isfinite(found.distance_mm):
        x, y, z = found.translation_mm
        turned = ", ".join(f"{angle:+.1f}" for angle in found.rotation_deg)
        message += (
            f"; found: {found.distance_mm:.1f} mm at most within the body, x {x:+.1f}, y {y:+.1f}, z {z:+.1f} mm at "
            f"the middle of the CT, turned {turned} degrees about x, y, z; searches agree within "
            f"{found.disagreement_mm:.1f} mm, standard error {found.error_mm:.1f} mm, halves {found.halves_mm:.1f} mm"
        )
    return RegistrationNote(code, message + ".", _values(found))


def _values(found: Registration) -> dict[str, Any]:
    numbers = {
        "distance_mm": found.distance_mm,
        "disagreement_mm": found.disagreement_mm,
        "error_mm": found.error_mm,
        "halves_mm": found.halves_mm,
        "information": found.information,
        "information_found": found.information_found,
    }
    return {
        "reason": found.reason,
        "translation_mm": [_rounded(value) for value in found.translation_mm],
        "rotation_deg": [_rounded(value) for value in found.rotation_deg],
        **{name: _rounded(value) for name, value in numbers.items()},
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
