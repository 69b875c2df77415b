"""DICOM dates, times and date-times as Python values (PS3.5 section 6.2: DA, TM, DT)."""

import re
from datetime import date, datetime, timedelta

from dgccl.errors import SuvError

# PS3.5 keeps the ACR-NEMA forms with separators readable, so both spellings are accepted.
_DA = re.compile(r"(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})")
_TM = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(\.\d+)?)?)?")
_DT = re.compile(r"(\d{8})(\d{2}\d{0,4}(?:\.\d+)?)([+-]\d{4})?")
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")

DAY = timedelta(days=1)


def parse_date(text: str, *, name: str) -> date:
    """Calendar day of a DA value; `name` is the attribute's keyword for the message.

    Raises:
        SuvError: `invalid_time`.
    """
    match = _DA.fullmatch(text.strip())
    try:
        if match:
            return date(*(int(part) for part in match.groups()))
    except ValueError:
        pass
    raise _invalid(name, "a date YYYYMMDD")


def parse_time_of_day(text: str, *, name: str) -> timedelta:
    """Time since midnight of a TM value.

    Raises:
        SuvError: `invalid_time`.
    """
    match = _TM.fullmatch(text.strip())
    if match:
        hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
        if hours < 24 and minutes < 60 and seconds <= 60:  # 60: a leap second
            return timedelta(hours=hours, minutes=minutes, seconds=seconds + float(match[4] or 0))
    raise _invalid(name, "a time HHMMSS.FFFFFF")


def parse_datetime(text: str, *, name: str) -> tuple[datetime, timedelta | None]:
    """Clock reading of a DT value, and its offset from UTC if it carries one.

    A DT without an hour says too little for decay and is refused.

    Raises:
        SuvError: `invalid_time`.
    """
    match = _DT.fullmatch(text.strip())
    if match is None:
        raise _invalid(name, "a date-time YYYYMMDDHHMMSS.FFFFFF&ZZXX")
    clock = at(parse_date(match[1], name=name), parse_time_of_day(match[2], name=name))
    return clock, parse_offset(match[3], name=name) if match[3] else None


def parse_offset(text: str, *, name: str) -> timedelta:
    """Offset from UTC of a value such as +0100.

    Raises:
        SuvError: `invalid_time`.
    """
    match = _OFFSET.fullmatch(text.strip())
    if match is None:
        raise _invalid(name, "an offset from UTC such as +0100")
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -offset if match[1] == "-" else offset


def at(day: date, time_of_day: timedelta) -> datetime:
    """The moment `time_of_day` after midnight of `day`."""
    return datetime(day.year, day.month, day.day) + time_of_day


def time_of_day(moment: datetime) -> timedelta:
    """Time since midnight of a moment."""
    return moment - datetime(moment.year, moment.month, moment.day)


def nearest(clock: timedelta, anchor: datetime) -> datetime:
    """The moment that reads `clock` and lies nearest to `anchor`."""
    same_day = at(anchor.date(), clock)
    return min((same_day - DAY, same_day, same_day + DAY), key=lambda moment: abs(moment - anchor))


def latest_until(clock: timedelta, end: datetime) -> datetime:
    """The last moment not after `end` that reads `clock`."""
    same_day = at(end.date(), clock)
    return same_day if same_day <= end else same_day - DAY


def _invalid(name: str, expected: str) -> SuvError:
    # The value itself stays out of the message: a date may be a birth date under another name.
    return SuvError(
        "invalid_time", f"{name} is not {expected}.", remedy="Correct the header or export the series again."
    )
