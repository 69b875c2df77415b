"""SUV factors of a PET series from its headers: body weight, lean body mass, body surface area."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydicom import Dataset

from dgccl.dicom._decay import decay_time_s, uptake_min
from dgccl.dicom._enhanced_pet import ENHANCED_PET_STORAGE, read_enhanced
from dgccl.dicom._pet_header import PetHeader, read_single_frames
from dgccl.dicom.body_size import (
    LeanBodyMassFormula,
    body_surface_area_m2,
    ideal_body_weight_kg,
    lean_body_mass_kg,
)
from dgccl.errors import SuvError

__all__ = ["SuvFactors", "body_surface_area_m2", "lean_body_mass_kg", "suv_factors"]

# Ranges outside which a value is another unit or a slip of the pen, not a patient (grams, centimeters, MBq).
_WEIGHT_KG = (2.0, 400.0)
_HEIGHT_M = (0.4, 2.5)
_DOSE_BQ = (1e6, 1e10)
F18_HALF_LIFE_S = 6586.2  # 109.77 min, NIST; vendors write 6582 to 6588
_F18_NAMES = ("18^F", "F^18", "^18^", "F-18", "18F", "F18", "FLUORINE", "C-111A1", "77004003")
_FDG_NAMES = ("FDG", "FLUORODEOXYGLUCOSE", "FLUDEOXYGLUCOSE", "C-B1031", "35321007", "422975006")


@dataclass(frozen=True)
class SuvFactors:
    """Factors of one PET series; each multiplies the rescaled pixel value.

    Attributes:
        series_uid: Series Instance UID.
        units: Units (0054,1001) of the rescaled values.
        decay_correction: NONE, START or ADMIN.
        suv_bw_factor: to body-weight SUV, g/mL per rescaled unit.
        sul_factor: to lean-body-mass SUV, g/mL per rescaled unit; None if sex or height do not allow it.
        suv_bsa_factor: to SUV by Du Bois body surface area, cm2/mL per rescaled unit; None likewise.
        uptake_time_min: injection to start of scan, minutes; None if the header does not tell.
        sex: M, F, O, or None.
        weight_kg: body weight, kg.
        height_m: body height, m.
        warnings: stable codes of what was doubtful, each once.
    """

    series_uid: str
    units: str
    decay_correction: str
    suv_bw_factor: float
    sul_factor: float | None
    suv_bsa_factor: float | None
    uptake_time_min: float | None
    sex: str | None
    weight_kg: float | None
    height_m: float | None
    warnings: tuple[str, ...]


def suv_factors(
    headers: Sequence[Dataset], *, lean_body_mass_formula: Literal["janmahasatian", "james"] = "janmahasatian"
) -> SuvFactors:
    """SUV factors of one PET series.

    Args:
        headers: every single-frame instance of the series in any order, or one enhanced multi-frame
            instance; pixel data is not needed.
        lean_body_mass_formula: formula behind `sul_factor`.

    Raises:
        SuvError: the series has no SUV; `code` tells why.

    Source: QIBA FDG-PET profile 1.13 and vendor-neutral pseudo-code (2018); DICOM PS3.3 C.8.9.
    """
    header = _read(headers)
    _check_corrections(header)
    factor, warnings = _suv_bw_factor(header)
    uptake, uptake_warnings = uptake_min(header)
    sul_per_bw, bsa_per_bw, size_warnings = _per_suv_bw(header, lean_body_mass_formula)
    every = (*header.warnings, *warnings, *uptake_warnings, *_tracer_warnings(header), *size_warnings)
    return SuvFactors(
        series_uid=header.series_uid,
        units=header.units,
        decay_correction=header.decay_correction,
        suv_bw_factor=factor,
        sul_factor=factor * sul_per_bw if sul_per_bw is not None else None,
        suv_bsa_factor=factor * bsa_per_bw if bsa_per_bw is not None else None,
        uptake_time_min=uptake,
        sex=header.sex or None,
        weight_kg=header.weight_kg,
        height_m=header.height_m,
        warnings=tuple(dict.fromkeys(every)),
    )


def _read(headers: Sequence[Dataset]) -> PetHeader:
    if not headers:
        raise SuvError("no_headers", "No PET header was given; at least one instance was expected.")
    modalities = {str(header.get("Modality") or "PT") for header in headers}
    if modalities != {"PT"}:
        found = ", ".join(sorted(modalities))
        raise SuvError(
            "not_pet", f"The modality is {found}; PT was expected.", remedy="Choose the PET series."
        )
    if any(str(header.get("SOPClassUID")) == ENHANCED_PET_STORAGE for header in headers):
        if len(headers) > 1:
            raise SuvError(
                "enhanced_several_instances",
                f"The series holds {len(headers)} enhanced PET instances; one was expected.",
                remedy="Join the concatenation to one instance.",
            )
        return read_enhanced(headers[0])
    return read_single_frames(headers)


def _check_corrections(header: PetHeader) -> None:
    """Refuse values that are no quantitative uptake, and headers that contradict themselves."""
    if not header.units:
        raise SuvError("units_missing", "Units (0054,1001) is missing.", remedy="Export the series again.")
    if header.decay_correction not in ("NONE", "START", "ADMIN"):
        found = header.decay_correction or "nothing"
        raise SuvError(
            "decay_correction_unknown", f"DecayCorrection holds {found}; NONE, START or ADMIN was expected."
        )
    if "ATTN" not in header.corrections:
        raise SuvError(
            "not_attenuation_corrected",
            "CorrectedImage does not name ATTN: the series is not attenuation corrected.",
            remedy="Choose the attenuation-corrected series of the study.",
        )
    if ("DECY" in header.corrections) != (header.decay_correction != "NONE"):
        if header.decay_correction == "NONE":
            raise SuvError(
                "decay_correction_contradictory", "CorrectedImage names DECY but DecayCorrection is NONE."
            )
        raise SuvError(
            "not_decay_corrected",
            f"CorrectedImage does not name DECY although DecayCorrection is {header.decay_correction}.",
            remedy="Choose the decay-corrected series of the study.",
        )


def _suv_bw_factor(header: PetHeader) -> tuple[float, tuple[str, ...]]:
    """Body-weight SUV per rescaled unit, g/mL, and warnings."""
    if header.units == "BQML":
        factor, warnings = _per_bq_ml(header)
        return header.value_scale * factor, warnings
    if header.units in ("GML", "CM2ML"):
        factor, warnings = _from_stated_suv(header)
        return header.value_scale * factor, warnings
    if header.units != "CNTS":
        raise SuvError(
            "unsupported_units",
            f"Units are {header.units}; BQML, CNTS (Philips), GML or CM2ML was expected.",
            remedy="Reconstruct the series in Bq/mL.",
        )
    if header.philips_suv_factor is not None:
        _require_decay_corrected(header)
        return header.philips_suv_factor, ()
    if header.philips_activity_factor is not None:
        factor, warnings = _per_bq_ml(header)
        return header.philips_activity_factor * factor, warnings
    raise SuvError(
        "philips_factors_missing",
        "Units are CNTS, and the Philips private factors (7053,xx00) and (7053,xx09) are absent or zero.",
        remedy="Export the series with its private attributes, or reconstruct it in Bq/mL.",
    )


def _per_bq_ml(header: PetHeader) -> tuple[float, tuple[str, ...]]:
    weight_g = 1000.0 * _require_weight_kg(header)
    dose_bq = header.dose_bq
    if dose_bq is None:
        raise SuvError(
            "dose_missing",
            "RadionuclideTotalDose is missing or zero.",
            remedy="Add the injected activity from the patient's record.",
        )
    if not _DOSE_BQ[0] <= dose_bq <= _DOSE_BQ[1]:
        raise SuvError(
            "dose_implausible",
            f"The injected dose reads {dose_bq:g} Bq; 1e6 to 1e10 Bq were expected.",
            remedy="The value may be in MBq or mCi: correct RadionuclideTotalDose to Bq.",
        )
    _check_half_life(header)
    seconds, warnings = decay_time_s(header)
    decay = 2.0 ** (-seconds / header.half_life_s) if seconds and header.half_life_s else 1.0
    return weight_g / (dose_bq * decay), warnings


def _from_stated_suv(header: PetHeader) -> tuple[float, tuple[str, ...]]:
    """Body-weight SUV per stated SUV, for values that are SUV already.

    Source: DICOM PS3.3 C.8.9.1 (SUV Type; an absent type means BW for GML), PS3.16 CID 85.
    """
    _require_decay_corrected(header)
    suv_type = header.suv_type or ("BW" if header.units == "GML" else "BSA")
    if suv_type == "BW":
        if header.units == "CM2ML":
            raise SuvError("suv_type_contradictory", "SUVType is BW but Units are CM2ML.")
        return 1.0, ()
    warnings = ("suv_type_contradicts_units",) if (suv_type == "BSA") != (header.units == "CM2ML") else ()
    weight_kg, height_m = _require_weight_kg(header), header.height_m
    if height_m is None or not _HEIGHT_M[0] <= height_m <= _HEIGHT_M[1]:
        raise _not_convertible(suv_type, "height")
    if suv_type == "BSA":
        return weight_kg * 1e3 / (body_surface_area_m2(weight_kg, height_m) * 1e4), warnings
    masses: dict[str, Callable[[Literal["M", "F"]], float]] = {
        "LBM": lambda sex: lean_body_mass_kg(weight_kg, height_m, sex=sex, formula="james"),
        "LBMJAMES128": lambda sex: lean_body_mass_kg(weight_kg, height_m, sex=sex, formula="james128"),
        "LBMJANMA": lambda sex: lean_body_mass_kg(weight_kg, height_m, sex=sex),
        "IBW": lambda sex: ideal_body_weight_kg(height_m, sex=sex),
    }
    if suv_type not in masses:
        raise SuvError("unsupported_suv_type", f"SUVType {suv_type} is not known.")
    if header.sex not in ("M", "F"):
        raise _not_convertible(suv_type, "sex")
    if suv_type == "LBM" and header.sex == "M":
        warnings = (*warnings, "lean_body_mass_formula_assumed_james")
    return weight_kg / masses[suv_type]("M" if header.sex == "M" else "F"), warnings


def _not_convertible(suv_type: str, what: str) -> SuvError:
    return SuvError(
        "suv_type_not_convertible",
        f"The values are SUV of type {suv_type}, and a usable {what} to convert them to body weight is missing.",
        remedy="Add it to the header, or reconstruct the series in Bq/mL.",
    )


def _require_weight_kg(header: PetHeader) -> float:
    if header.weight_kg is None:
        raise SuvError(
            "weight_missing",
            "PatientWeight is missing or zero; kilograms were expected.",
            remedy="Add the weight from the patient's record.",
        )
    if not _plausible(header.weight_kg, _WEIGHT_KG):
        raise SuvError(
            "weight_implausible",
            f"PatientWeight reads {header.weight_kg:g} kg; 2 to 400 kg were expected.",
            remedy="The value may be in grams or pounds: correct it to kilograms.",
        )
    return header.weight_kg


def _require_decay_corrected(header: PetHeader) -> None:
    if header.decay_correction == "NONE":
        raise SuvError(
            "not_decay_corrected",
            "The values are stated to be SUV but are not decay corrected.",
            remedy="Choose the decay-corrected series of the study.",
        )


def _check_half_life(header: PetHeader) -> None:
    if header.half_life_s is not None and _names_f18(header) and not _is_f18_half_life(header.half_life_s):
        raise SuvError(
            "half_life_mismatch",
            f"The radionuclide is F-18 but its half-life reads {header.half_life_s:g} s; 6586 s +- 1 % was expected.",
            remedy="Correct RadionuclideHalfLife; it is in seconds.",
        )


def _names_f18(header: PetHeader) -> bool:
    return any(name in header.nuclide for name in _F18_NAMES) or any(
        name in header.tracer for name in _FDG_NAMES
    )


def _is_f18_half_life(half_life_s: float) -> bool:
    return abs(half_life_s / F18_HALF_LIFE_S - 1.0) <= 0.01


def _tracer_warnings(header: PetHeader) -> tuple[str, ...]:
    """Codes for tracers other than FDG: their SUV is right, but not what the models were made for."""
    found = []
    if header.tracer and not any(name in header.tracer for name in _FDG_NAMES):
        found.append("tracer_not_fdg")
    if header.half_life_s is not None and not _is_f18_half_life(header.half_life_s):
        found.append("half_life_not_f18")
    return tuple(found)


def _plausible(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _per_suv_bw(
    header: PetHeader, formula: LeanBodyMassFormula
) -> tuple[float | None, float | None, tuple[str, ...]]:
    """SUL per SUVbw and SUVbsa per SUVbw (cm2/g), with the reasons where they cannot be had."""
    reasons = []
    for name, value, limits in (
        ("weight", header.weight_kg, _WEIGHT_KG),
        ("height", header.height_m, _HEIGHT_M),
    ):
        if value is None:
            reasons.append(f"{name}_missing")
        elif not _plausible(value, limits):
            reasons.append(f"{name}_implausible")
    sex_reasons = (
        [] if header.sex in ("M", "F") else ["sex_missing" if not header.sex else "sex_neither_m_nor_f"]
    )
    weight_kg, height_m = header.weight_kg, header.height_m
    if reasons or weight_kg is None or height_m is None:
        return None, None, (*reasons, *sex_reasons)
    bsa_per_bw = body_surface_area_m2(weight_kg, height_m) * 1e4 / (weight_kg * 1e3)
    if sex_reasons:
        return None, bsa_per_bw, tuple(sex_reasons)
    try:
        lean_kg = lean_body_mass_kg(
            weight_kg, height_m, sex="M" if header.sex == "M" else "F", formula=formula
        )
    except SuvError as error:
        return None, bsa_per_bw, (error.code,)
    return lean_kg / weight_kg, bsa_per_bw, ()
