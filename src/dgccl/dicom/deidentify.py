"""Keeping a patient's identity out of tables, logs and messages."""

import re
from collections.abc import Iterable
from datetime import date

from pydicom import Dataset
from pydicom.multival import MultiValue

REDACTED = "<redacted>"

_SHORTEST = 3  # shorter pieces of a name, such as initials, occur by chance in any text
_OLDEST_YEARS = 90.0
_DAYS_PER_YEAR = 365.2425
_AGE_UNITS_PER_YEAR = {"D": _DAYS_PER_YEAR, "W": _DAYS_PER_YEAR / 7, "M": 12.0, "Y": 1.0}
_PERSON_NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName")
_NUMBERS = ("PatientID", "OtherPatientIDs", "IssuerOfPatientID", "AccessionNumber", "PatientTelephoneNumbers")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def identifiers_of(dataset: Dataset) -> frozenset[str]:
    """Identity tokens of a header: names and their parts, identifiers, and the birth date in usual spellings.

    Args:
        dataset: any DICOM header.

    Returns:
        tokens of at least three characters, as written; a header without identity gives none.

    Source: DICOM PS3.15 Annex E (basic profile) for the attributes.
    """
    tokens: set[str] = set()
    for keyword in _PERSON_NAMES:
        for name in _values(dataset, keyword):
            parts = re.split(r"[\s^=,]+", name)
            tokens.update(parts)
            tokens.update(piece for part in parts for piece in part.split("-"))
    for keyword in _NUMBERS:
        tokens.update(_values(dataset, keyword))
    for item in dataset.get("OtherPatientIDsSequence") or []:
        tokens.update(_values(item, "PatientID"))
    for value in _values(dataset, "PatientBirthDate"):
        birth = _date(value)
        tokens.update(_spellings(birth) if birth else {value})
    return frozenset(token for token in (token.strip() for token in tokens) if len(token) >= _SHORTEST)


def redact(text: str, identifiers: Iterable[str]) -> str:
    """Replace identity tokens in a text by `<redacted>`.

    Letter case does not matter. A token counts only as a whole: with no letter or digit on either side, so
    that `ann` leaves `scanner` alone while an underscore or a slash separates. Tokens of fewer than three
    characters are left out.

    Args:
        text: a message, log line or path.
        identifiers: tokens as `identifiers_of` gives them.

    Returns:
        the text without the tokens.
    """
    tokens = sorted({token for token in identifiers if len(token) >= _SHORTEST}, key=lambda t: (-len(t), t))
    if not tokens:
        return text
    # Longest first, so that a token within a longer one does not leave the rest of it behind.
    either = "|".join(re.escape(token) for token in tokens)
    return re.sub(rf"(?<![^\W_])(?:{either})(?![^\W_])", REDACTED, text, flags=re.IGNORECASE)


def age_years(dataset: Dataset) -> float | None:
    """Age at the study in years, or None where the header does not tell it.

    Patient Age (such as 063Y or 018M) counts first, then birth date and study date. Ages over 89 are given
    as 90, since the Safe Harbor method allows only one joint category for them.

    Args:
        dataset: any DICOM header with its patient and study attributes.

    Returns:
        years, at most 90; None if absent, not readable, or negative.

    Source: 45 CFR 164.514(b)(2)(i)(C); DICOM PS3.5 section 6.2 (AS).
    """
    years = _stated_age(dataset)
    if years is None:
        days = [
            _date(value) for key in ("PatientBirthDate", "StudyDate") for value in _values(dataset, key)[:1]
        ]
        if len(days) < 2 or days[0] is None or days[1] is None or days[1] < days[0]:
            return None
        years = (days[1] - days[0]).days / _DAYS_PER_YEAR
    return _OLDEST_YEARS if years >= _OLDEST_YEARS else years


def _stated_age(dataset: Dataset) -> float | None:
    for value in _values(dataset, "PatientAge")[:1]:
        if match := re.fullmatch(r"(\d{1,3})([DWMY])", value.upper()):
            return int(match[1]) / _AGE_UNITS_PER_YEAR[match[2]]
    return None


def _values(dataset: Dataset, keyword: str) -> list[str]:
    """Values of an attribute as stripped, non-empty texts; one that is no list counts as one."""
    value = dataset.get(keyword)
    if value is None:
        return []
    several = list(value) if isinstance(value, (MultiValue, list)) else [value]
    return [text for text in (str(item).strip() for item in several) if text]


def _date(value: str) -> date | None:
    digits = re.sub(r"[.\-]", "", value)
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])) if len(digits) == 8 else None
    except ValueError:
        return None


def _spellings(day: date) -> set[str]:
    """A date in the orders and separators that texts and paths use."""
    year, month, number = f"{day.year:04d}", f"{day.month:02d}", f"{day.day:02d}"
    orders = ((year, month, number), (number, month, year), (month, number, year))
    found = {separator.join(order) for order in orders for separator in ("", "-", ".", "/", "_")}
    short = ((str(day.day), str(day.month), year), (str(day.month), str(day.day), year))
    found |= {separator.join(order) for order in short for separator in ("-", ".", "/")}
    name = _MONTHS[day.month - 1]
    for spelled in (number, str(day.day)):
        found |= {f"{spelled} {name} {year}", f"{spelled}-{name}-{year}", f"{name} {spelled}, {year}"}
    return found
