"""What an SUV needs from the header of an enhanced PET multi-frame instance (PS3.3 A.56, C.8.22)."""

from datetime import datetime

from pydicom import Dataset

from dgccl.dicom import _clock
from dgccl.dicom._attributes import code_text, number, text
from dgccl.dicom._pet_header import Frame, PetHeader, injection_item, read_injection, tracer_name
from dgccl.errors import SuvError

ENHANCED_PET_STORAGE = "1.2.840.10008.5.1.4.1.1.130"

# UCUM codes of CID 85 and of activity concentration, braces and letter case aside: (Units, SUV Type).
_UNITS = {
    "bq/ml": ("BQML", ""),
    "g/mlsuvbw": ("GML", "BW"),
    "g/mlsuvlbm": ("GML", "LBM"),
    "g/mlsuvlbm(james128)": ("GML", "LBMJAMES128"),
    "g/mlsuvlbm(janma)": ("GML", "LBMJANMA"),
    "g/mlsuvibw": ("GML", "IBW"),
    "cm2/mlsuvbsa": ("CM2ML", "BSA"),
}


def read_enhanced(header: Dataset) -> PetHeader:
    """Read the header of one enhanced PET instance.

    Raises:
        SuvError: `units_missing`, `metadata_differ`, `enhanced_mapping_not_proportional`,
            `multiple_radiopharmaceuticals`, `invalid_time`, `invalid_number`.
    """
    item = injection_item(header)
    dated, clock, warnings = read_injection(item, header, dates_known=True)
    dose_mbq = number(item, "RadionuclideTotalDose")
    units, suv_type, scale = _mapping(header)
    corrected = text(header, "DecayCorrected").upper() == "YES"
    attenuation = text(header, "AttenuationCorrected").upper() == "YES"
    day, time = text(header, "SeriesDate"), text(header, "SeriesTime")
    return PetHeader(
        series_uid=text(header, "SeriesInstanceUID"),
        units=units,
        suv_type=suv_type,
        decay_correction="START" if corrected else "NONE",
        corrections=frozenset(({"DECY"} if corrected else set()) | ({"ATTN"} if attenuation else set())),
        weight_kg=number(header, "PatientWeight"),
        height_m=number(header, "PatientSize"),
        sex=text(header, "PatientSex").upper(),
        # PS3.3 C.8.22.4: MBq here, where the single-frame PET of C.8.9 has Bq under the same attribute.
        dose_bq=dose_mbq * 1e6 if dose_mbq is not None else None,
        half_life_s=number(item, "RadionuclideHalfLife"),
        injection=dated,
        injection_clock=clock,
        series_start=_clock.at(
            _clock.parse_date(day, name="SeriesDate"), _clock.parse_time_of_day(time, name="SeriesTime")
        )
        if day and time
        else None,
        stated_reference=_moment(header, header, "DecayCorrectionDateTime"),
        frames=tuple(_frame(header, index) for index in range(_frame_count(header))),
        vendor=text(header, "Manufacturer").upper(),
        philips_suv_factor=None,
        philips_activity_factor=None,
        tracer=tracer_name(item),
        nuclide=code_text(item, "RadionuclideCodeSequence"),
        value_scale=scale,
        warnings=warnings,
    )


def _frame_count(header: Dataset) -> int:
    return len(header.get("PerFrameFunctionalGroupsSequence") or [None])


def _group(header: Dataset, index: int, keyword: str) -> list[Dataset]:
    """Items of a functional group of one frame, from the frame's own groups or the shared ones."""
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for groups in (own[index : index + 1], shared[:1]):
        if groups and groups[0].get(keyword):
            return list(groups[0].get(keyword))
    return []


def _mapping(header: Dataset) -> tuple[str, str, float]:
    """Units, SUV type, and physical value per rescaled pixel value: one for all frames."""
    mappings = {_frame_mapping(header, index) for index in range(_frame_count(header))}
    if len({(units, suv_type) for units, suv_type, _ in mappings}) > 1 or len(mappings) > 1:
        raise SuvError(
            "metadata_differ",
            "Frames of the series differ in their real-world value mapping; one was expected.",
        )
    return next(iter(mappings))


def _frame_mapping(header: Dataset, index: int) -> tuple[str, str, float]:
    known = []
    for mapping in _group(header, index, "RealWorldValueMappingSequence"):
        codes = mapping.get("MeasurementUnitsCodeSequence") or [Dataset()]
        # UCUM codes longer than 16 characters stand in Long Code Value (PS3.3 8.8).
        value = text(codes[0], "CodeValue") or text(codes[0], "LongCodeValue")
        code = value.lower().replace("{", "").replace("}", "").replace(" ", "")
        if code in _UNITS:
            known.append(
                (
                    *_UNITS[code],
                    _proportion(mapping, _group(header, index, "PixelValueTransformationSequence")),
                )
            )
    if not known:
        raise SuvError(
            "units_missing",
            "The enhanced PET header maps its pixel values to no unit of activity concentration or SUV.",
            remedy="Export the series with a real-world value mapping in Bq/ml or g/ml{SUVbw}.",
        )
    return min(known, key=lambda item: list(_UNITS.values()).index(item[:2]))


def _proportion(mapping: Dataset, rescale: list[Dataset]) -> float:
    """Mapped value per rescaled value; the mapping and the rescaling both start from the stored value."""
    slope, intercept = number(mapping, "RealWorldValueSlope"), number(mapping, "RealWorldValueIntercept")
    rescale_slope = number(rescale[0], "RescaleSlope") if rescale else 1.0
    rescale_intercept = number(rescale[0], "RescaleIntercept") if rescale else None
    if (
        slope is None
        or rescale_slope is None
        or (intercept or 0.0) * rescale_slope != (rescale_intercept or 0.0) * slope
    ):
        raise SuvError(
            "enhanced_mapping_not_proportional",
            "The real-world value mapping is no multiple of the rescaled pixel value.",
            remedy="Export the series as single-frame PET, or with a rescale intercept of zero.",
        )
    return round(slope / rescale_slope, 12)  # equal slopes written with other digits are one slope


def _frame(header: Dataset, index: int) -> Frame:
    content = (_group(header, index, "FrameContentSequence") or [Dataset()])[0]
    duration_ms = number(content, "FrameAcquisitionDuration")
    return Frame(
        start=_moment(header, content, "FrameAcquisitionDateTime"),
        duration_s=duration_ms / 1000 if duration_ms else None,
        reference_time_s=None,
    )


def _moment(header: Dataset, holder: Dataset, keyword: str) -> datetime | None:
    """A DT value on the local clock of the series."""
    value = text(holder, keyword)
    if not value:
        return None
    moment, offset = _clock.parse_datetime(value, name=keyword)
    zone = text(header, "TimezoneOffsetFromUTC")
    if offset is not None and zone:
        moment += _clock.parse_offset(zone, name="TimezoneOffsetFromUTC") - offset
    return moment
