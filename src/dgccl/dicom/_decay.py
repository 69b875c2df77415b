"""From injection to the moment that the voxel values of a PET series refer to."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from dgccl.dicom import _clock
from dgccl.dicom._pet_header import Frame, PetHeader
from dgccl.errors import SuvError

# After four half-lives a sixteenth of the dose is left; FDG protocols scan after one hour (EANM guideline 2.0).
_MAX_HALF_LIVES = 4.0
# A time without a date is placed on the last day that fits, but never further back than this.
_MAX_UNDATED = timedelta(hours=12)
# Times that should be one moment may differ by rounding and by the gap between series and first bed.
_SAME_MOMENT = timedelta(seconds=60)


def decay_time_s(header: PetHeader) -> tuple[float, tuple[str, ...]]:
    """Seconds over which the injected dose has decayed at the moment the voxel values refer to, with warnings.

    START: from injection to the decay reference of the series, one for all beds (`scan_reference`).
    ADMIN: zero, the scanner has corrected to the injection.
    NONE: to the time of mean count rate in the frame. Beds of different times would need a factor each, so
    this holds for a series of one bed only.

    Raises:
        SuvError: `half_life_missing`, `no_decay_correction_multi_bed`, `frame_times_missing`, and those of
            `scan_reference` and `injection_before`.

    Source: DICOM PS3.3 C.8.9.1.1.6; QIBA FDG-PET profile with its vendor-neutral pseudo-code (2018); IBSI SUV chapter.
    """
    if header.decay_correction == "ADMIN":
        return 0.0, ()
    half_life_s = require_half_life(header)
    warnings: tuple[str, ...] = ()
    if header.decay_correction == "NONE":
        reference = _single_bed_reference(header.frames, half_life_s)
    else:
        reference, warnings = scan_reference(header)
    injected, more = injection_before(header, reference)
    return (reference - injected).total_seconds(), (*warnings, *more)


def uptake_min(header: PetHeader) -> tuple[float | None, tuple[str, ...]]:
    """Minutes from injection to the start of the scan; None with a warning where the header does not tell."""
    try:
        start, warnings = scan_reference(header)
        injected, more = injection_before(header, start)
    except SuvError as error:
        return None, (f"uptake_time_unknown_{error.code}",)
    return (start - injected).total_seconds() / 60.0, (*warnings, *more)


def require_half_life(header: PetHeader) -> float:
    """Half-life of the radionuclide, s.

    Raises:
        SuvError: `half_life_missing`.
    """
    if header.half_life_s is None or header.half_life_s < 0:
        raise SuvError(
            "half_life_missing",
            "RadionuclideHalfLife is missing, zero or negative; seconds were expected.",
            remedy="Take the half-life from the radionuclide (F-18: 6586.2 s) and correct the header.",
        )
    return header.half_life_s


def scan_reference(header: PetHeader) -> tuple[datetime, tuple[str, ...]]:
    """The moment to which a START-corrected series is corrected, and warnings.

    1. What the vendor states outright (GE, Siemens private; enhanced PET), if within a day of the scan.
    2. Series time, unless it is later than the earliest acquisition.
    3. A later series time belongs to a post-processed series. GE and Siemens frames then give it back:
       acquisition start less Frame Reference Time (plus the time of mean count rate, Siemens), if all frames agree.
    4. Else the earliest acquisition.

    Raises:
        SuvError: `acquisition_time_missing`, `series_time_missing`.

    Source: QIBA vendor-neutral pseudo-code (2018), which ranks 1 behind 2; the IBSI SUV chapter ranks it first,
        as does the vendors' definition of the attribute. Where 1 and 2 differ, a warning says so.
    """
    starts = [frame.start for frame in header.frames if frame.start is not None]
    if len(starts) < len(header.frames):
        missing = len(header.frames) - len(starts)
        raise SuvError(
            "acquisition_time_missing",
            f"AcquisitionTime is missing in {missing} of {len(header.frames)} slices.",
            remedy="Without it a post-processed series cannot be told from an original one; export it again.",
        )
    earliest = min(starts)
    stated = header.stated_reference
    if stated is not None and abs(stated - earliest) < _clock.DAY:
        start = header.series_start
        differs = start is not None and start <= earliest and abs(start - stated) > _SAME_MOMENT
        return stated, ("series_time_differs_from_decay_reference",) if differs else ()
    ignored = ("private_decay_reference_ignored",) if stated is not None else ()
    if header.series_start is None:
        raise SuvError(
            "series_time_missing", "SeriesTime is missing.", remedy="Export the series with its times again."
        )
    if header.series_start <= earliest:
        return header.series_start, ignored
    warnings = (*ignored, "series_time_after_acquisition")
    derived = _reference_from_frames(header, earliest)
    return (derived, warnings) if derived is not None else (earliest, warnings)


def injection_before(header: PetHeader, reference: datetime) -> tuple[datetime, tuple[str, ...]]:
    """The moment of injection before a moment of the scan, and warnings.

    A dated injection counts if the scan follows within four half-lives. One that does not (de-identification
    shifts dates unevenly; some systems write the scan's day past midnight) is read as a time of day. A time
    of day lies on the last day on which it precedes the scan, at most 12 h and four half-lives earlier.

    Raises:
        SuvError: `injection_time_missing`, `injection_after_scan`, `uptake_time_implausible`.
    """
    if header.injection_clock is None:
        raise SuvError(
            "injection_time_missing",
            "RadiopharmaceuticalStartTime and RadiopharmaceuticalStartDateTime are missing.",
            remedy="Add the time of injection from the patient's record.",
        )
    longest = timedelta(seconds=_MAX_HALF_LIVES * (header.half_life_s or 6586.2))
    dated = header.injection
    if dated is not None and timedelta(0) <= reference - dated <= longest:
        return dated, ()
    undated = _clock.latest_until(header.injection_clock, reference)
    if reference - undated <= min(longest, _MAX_UNDATED):
        return undated, ("injection_date_inconsistent",) if dated is not None else ()
    earlier = dated or undated
    if earlier <= reference and (dated is not None or undated.date() == reference.date()):
        raise SuvError(
            "uptake_time_implausible",
            f"The scan lies {(reference - earlier).total_seconds() / 3600:.1f} h after the injection; "
            f"at most {longest.total_seconds() / 3600:.1f} h (four half-lives) are plausible.",
            remedy="Check the date and time of injection.",
        )
    raise SuvError(
        "injection_after_scan",
        "The injection lies after the scan by the header's times.",
        remedy="Check the times of injection and scan, and the clocks of dose calibrator and scanner.",
    )


def mean_count_rate_time_s(duration_s: float, half_life_s: float) -> float:
    """Time after the start of a frame at which activity equals its mean over the frame, s.

    Source: DICOM PS3.3 C.8.9.4.1.5 (Frame Reference Time, example 2).
    """
    rate = math.log(2.0) / half_life_s
    return math.log(rate * duration_s / -math.expm1(-rate * duration_s)) / rate


def _single_bed_reference(frames: Sequence[Frame], half_life_s: float) -> datetime:
    times = {(frame.start, frame.duration_s) for frame in frames}
    if len(times) > 1:
        raise SuvError(
            "no_decay_correction_multi_bed",
            f"The series is not decay corrected and its slices have {len(times)} acquisition times, so that no "
            "one factor holds for it.",
            remedy="Reconstruct the series with decay correction to the start of the scan.",
        )
    start, duration_s = next(iter(times))
    if start is None or duration_s is None or duration_s < 0:
        raise SuvError(
            "frame_times_missing",
            "The series is not decay corrected, and AcquisitionTime or ActualFrameDuration is missing.",
            remedy="Reconstruct the series with decay correction to the start of the scan.",
        )
    return start + timedelta(seconds=mean_count_rate_time_s(duration_s, half_life_s))


def _reference_from_frames(header: PetHeader, earliest: datetime) -> datetime | None:
    """Decay reference as each frame gives it back, if the vendor's frames can and all agree."""
    siemens = any(name in header.vendor for name in ("SIEMENS", "CPS", "CTI"))
    if not (siemens or header.vendor.startswith("GE")) or header.half_life_s is None:
        return None
    derived: list[datetime] = []
    for frame in header.frames:
        if frame.start is None or frame.reference_time_s is None or frame.duration_s is None:
            return None
        within_s = mean_count_rate_time_s(frame.duration_s, header.half_life_s) if siemens else 0.0
        derived.append(frame.start + timedelta(seconds=within_s - frame.reference_time_s))
    agree = max(derived) - min(derived) <= _SAME_MOMENT and max(derived) <= earliest + _SAME_MOMENT
    return min(derived) if agree else None
