"""What an SUV needs from the headers of one PET series, read once and checked for agreement between slices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pydicom import Dataset
from pydicom.tag import Tag

from dgccl.dicom import _clock
from dgccl.dicom._agreement import PHILIPS_PET, require_agreement
from dgccl.dicom._attributes import as_number, code_text, corrections, number, private_value, raw_values, text
from dgccl.errors import SuvError

_FRAME_ATTRIBUTES = (
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "ActualFrameDuration",
    "FrameReferenceTime",
)
_FRAME_TAGS = tuple(Tag(keyword) for keyword in _FRAME_ATTRIBUTES)
_NO_DATE = date(2000, 1, 1)  # any day serves when every date was removed: only differences are used


@dataclass(frozen=True)
class Frame:
    """When one slice or frame was acquired.

    Attributes:
        start: start of its acquisition, local clock.
        duration_s: Actual Frame Duration, s.
        reference_time_s: Frame Reference Time, s after the decay reference of the series.
    """

    start: datetime | None
    duration_s: float | None
    reference_time_s: float | None


@dataclass(frozen=True)
class PetHeader:
    """One PET series as its headers state it; all moments are readings of the scanner's local clock.

    Attributes:
        units: (0054,1001), such as BQML.
        suv_type: (0054,1006), such as BW; empty if absent.
        decay_correction: (0054,1102): NONE, START or ADMIN.
        corrections: (0028,0051).
        sex: M, F, O, or empty.
        dose_bq: injected activity, Bq, as written.
        injection: moment of injection with its date, if a usable one is written.
        injection_clock: time of day of the injection.
        series_start: Series Date and Time.
        stated_reference: moment of decay correction as the vendor states it outright.
        vendor: manufacturer in upper case.
        philips_suv_factor: (7053,xx00), SUVbw per value; None if absent or zero.
        philips_activity_factor: (7053,xx09), Bq/mL per value; None if absent or zero.
        tracer: name of the radiopharmaceutical, upper case.
        nuclide: name and code of the radionuclide, upper case.
        value_scale: physical value in `units` per rescaled pixel value (1 for single-frame PET).
    """

    series_uid: str
    units: str
    suv_type: str
    decay_correction: str
    corrections: frozenset[str]
    weight_kg: float | None
    height_m: float | None
    sex: str
    dose_bq: float | None
    half_life_s: float | None
    injection: datetime | None
    injection_clock: timedelta | None
    series_start: datetime | None
    stated_reference: datetime | None
    frames: tuple[Frame, ...]
    vendor: str
    philips_suv_factor: float | None
    philips_activity_factor: float | None
    tracer: str
    nuclide: str
    value_scale: float
    warnings: tuple[str, ...]


def read_single_frames(headers: Sequence[Dataset]) -> PetHeader:
    """Read a PET series of single-frame instances (PS3.3 C.8.9).

    Raises:
        SuvError: `several_series`, `metadata_differ`, `multiple_radiopharmaceuticals`,
            `injection_times_disagree`, `invalid_time`, `invalid_number`.
    """
    first = headers[0]
    require_agreement(headers)
    item = injection_item(first)
    philips = tuple(private_value(first, 0x7053, PHILIPS_PET, offset=offset) for offset in (0x00, 0x09))
    series_start, anchor, warnings = _series_start(first)
    dated, clock, more = read_injection(item, first, dates_known="dates_missing" not in warnings)
    return PetHeader(
        series_uid=text(first, "SeriesInstanceUID"),
        units=text(first, "Units").upper(),
        suv_type=text(first, "SUVType").upper(),
        decay_correction=text(first, "DecayCorrection").upper(),
        corrections=corrections(first),
        weight_kg=number(first, "PatientWeight"),
        height_m=number(first, "PatientSize"),
        sex=text(first, "PatientSex").upper(),
        dose_bq=number(item, "RadionuclideTotalDose"),
        half_life_s=number(item, "RadionuclideHalfLife"),
        injection=dated,
        injection_clock=clock,
        series_start=series_start,
        stated_reference=_stated_reference(first),
        frames=_frames(headers, anchor),
        vendor=text(first, "Manufacturer").upper(),
        philips_suv_factor=_factor(philips[0], "the Philips SUV factor"),
        philips_activity_factor=_factor(philips[1], "the Philips activity factor"),
        tracer=tracer_name(item),
        nuclide=code_text(item, "RadionuclideCodeSequence"),
        value_scale=1.0,
        warnings=(*warnings, *more),
    )


def injection_item(dataset: Dataset) -> Dataset:
    """The item of the Radiopharmaceutical Information Sequence, empty where the sequence is absent.

    An empty item is no error yet: values that already are SUV need no injection, and what does need it
    finds its dose missing and says so.

    Raises:
        SuvError: `multiple_radiopharmaceuticals`.
    """
    items = dataset.get("RadiopharmaceuticalInformationSequence") or []
    if not items:
        return Dataset()
    if len(items) > 1:
        raise SuvError(
            "multiple_radiopharmaceuticals",
            f"{len(items)} radiopharmaceuticals were injected; an SUV is defined for one.",
        )
    return items[0]


def read_injection(
    item: Dataset, dataset: Dataset, *, dates_known: bool
) -> tuple[datetime | None, timedelta | None, tuple[str, ...]]:
    """Moment of injection on the local clock: (with date if usable, time of day, warnings).

    A DT value with its own offset from UTC is moved to the offset that the other times of the series have
    (0008,0201). Where the series states none, its times are local times of an unknown zone: the plain
    Radiopharmaceutical Start Time, which is local too, is then preferred over the DT.

    Raises:
        SuvError: `invalid_time`, `injection_times_disagree`.
    """
    clock = text(item, "RadiopharmaceuticalStartTime")
    plain = _clock.parse_time_of_day(clock, name="RadiopharmaceuticalStartTime") if clock else None
    stated = text(item, "RadiopharmaceuticalStartDateTime")
    if not stated:
        return None, plain, ()
    dated, offset = _clock.parse_datetime(stated, name="RadiopharmaceuticalStartDateTime")
    zone = text(dataset, "TimezoneOffsetFromUTC")
    warnings: tuple[str, ...] = ()
    if offset is not None and zone:
        dated += _clock.parse_offset(zone, name="TimezoneOffsetFromUTC") - offset
    elif offset is not None:
        warnings = ("time_zone_unknown",)
        if plain is not None:
            return None, plain, warnings
    if plain is not None:
        gap = abs(_clock.nearest(plain, dated) - dated)
        if gap > timedelta(seconds=60):  # DT often keeps fractions or minutes only
            raise SuvError(
                "injection_times_disagree",
                f"The two injection times of the header differ by {gap.total_seconds() / 60:.0f} min.",
                remedy="Find out which of RadiopharmaceuticalStartTime and -StartDateTime is right.",
            )
    return (dated if dates_known else None), _clock.time_of_day(dated), warnings


def tracer_name(item: Dataset) -> str:
    """Every name that the header gives the radiopharmaceutical, upper case."""
    names = (text(item, "Radiopharmaceutical"), code_text(item, "RadiopharmaceuticalCodeSequence"))
    return " ".join(name.upper() for name in names if name)


def _series_start(header: Dataset) -> tuple[datetime | None, datetime, tuple[str, ...]]:
    """Series date and time, a moment from which to date the other times, and warnings."""
    days = [text(header, keyword) for keyword in ("SeriesDate", "AcquisitionDate", "StudyDate")]
    day = next((_clock.parse_date(value, name="SeriesDate") for value in days if value), None)
    warnings = () if day else ("dates_missing",)
    clock = text(header, "SeriesTime")
    if not clock:
        return None, _clock.at(day or _NO_DATE, timedelta(hours=12)), warnings
    start = _clock.at(day or _NO_DATE, _clock.parse_time_of_day(clock, name="SeriesTime"))
    return start, start, warnings


def _frames(headers: Sequence[Dataset], anchor: datetime) -> tuple[Frame, ...]:
    read: dict[tuple[str, ...], Frame] = {}  # slices of one bed share their times
    frames = []
    for header in headers:
        key = raw_values(header, _FRAME_TAGS)
        if key not in read:
            read[key] = _frame(header, anchor)
        frames.append(read[key])
    return tuple(frames)


def _frame(header: Dataset, anchor: datetime) -> Frame:
    day, clock = text(header, "AcquisitionDate"), text(header, "AcquisitionTime")
    start = None
    if clock:
        time = _clock.parse_time_of_day(clock, name="AcquisitionTime")
        start = (
            _clock.at(_clock.parse_date(day, name="AcquisitionDate"), time)
            if day
            else _clock.nearest(time, anchor)
        )
    elif moment := text(header, "AcquisitionDateTime"):
        start = _clock.parse_datetime(moment, name="AcquisitionDateTime")[0]
    duration_ms = number(header, "ActualFrameDuration")
    reference_ms = number(header, "FrameReferenceTime")
    return Frame(
        start=start,
        duration_s=duration_ms / 1000 if duration_ms else None,
        reference_time_s=(reference_ms or 0.0) / 1000 if text(header, "FrameReferenceTime") else None,
    )


def _factor(value: Any, name: str) -> float | None:
    try:
        factor = as_number(value)
    except (ValueError, TypeError) as error:
        raise SuvError("invalid_number", f"{name} is not a number.") from error
    if factor is not None and factor < 0:
        raise SuvError("invalid_number", f"{name} is negative.")
    return factor


def _stated_reference(header: Dataset) -> datetime | None:
    """Moment of decay correction in the vendor's private header.

    Source: GE conformance statements, GEMS_PETD_01 (0009,xx0d) scan date-time; Siemens conformance
    statements, SIEMENS MED PT (0071,xx22) decay correction date-time; both named in the QIBA pseudo-code
    of 2018 and the IBSI SUV chapter.
    """
    for group, creator, offset in ((0x0009, "GEMS_PETD_01", 0x0D), (0x0071, "SIEMENS MED PT", 0x22)):
        value = private_value(header, group, creator, offset=offset)
        stated = value.decode("ascii") if isinstance(value, bytes) else str(value or "")
        if stated.strip(" \0"):
            return _clock.parse_datetime(stated.strip(" \0"), name=f"{creator} date-time")[0]
    return None
