"""Do the slices of a PET series agree in what describes the series and the injection?"""

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.tag import Tag

from dgccl.dicom._attributes import corrections, number, private_value, raw_values, text
from dgccl.errors import SuvError

PHILIPS_PET = "Philips PET Private Group"

# Slices that differ in one of these cannot share a factor. Acquisition times may differ: beds do.
_SERIES_TEXTS = (
    "Units",
    "SUVType",
    "DecayCorrection",
    "PatientSex",
    "SeriesDate",
    "SeriesTime",
    "TimezoneOffsetFromUTC",
    "Manufacturer",
)
_SERIES_NUMBERS = ("PatientWeight", "PatientSize")
_INJECTION_TEXTS = ("RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime", "Radiopharmaceutical")
_INJECTION_NUMBERS = ("RadionuclideTotalDose", "RadionuclideHalfLife")
_SERIES_TAGS = tuple(
    Tag(keyword) for keyword in (*_SERIES_TEXTS, *_SERIES_NUMBERS, "CorrectedImage", "SeriesInstanceUID")
)
_INJECTION_TAGS = tuple(Tag(keyword) for keyword in (*_INJECTION_TEXTS, *_INJECTION_NUMBERS))


def require_agreement(headers: Sequence[Dataset]) -> None:
    """Refuse slices of several series, and slices that differ in what one factor needs.

    Raises:
        SuvError: `several_series`, `metadata_differ`, `invalid_number`.
    """
    first = _signature(headers[0])
    for header in headers[1:]:
        if _signature(header) == first:
            continue
        if text(header, "SeriesInstanceUID") != text(headers[0], "SeriesInstanceUID"):
            raise SuvError("several_series", "The headers belong to more than one series; one was expected.")
        expected, found = _described(headers[0]), _described(header)
        if found != expected:  # other texts may still say the same, as 70 and 70.0 do
            names = ", ".join(name for name, value in expected.items() if found[name] != value)
            raise SuvError(
                "metadata_differ",
                f"Slices of the series differ in {names}; one value a series was expected.",
                remedy="Export the series again, or separate what was merged into it.",
            )


def _injections(header: Dataset) -> Sequence[Dataset]:
    return header.get("RadiopharmaceuticalInformationSequence") or [Dataset()]


def _signature(header: Dataset) -> tuple[str, ...]:
    """What must agree, as unconverted texts: a comparison that costs little in a series of hundreds."""
    items = _injections(header)
    raw = (*raw_values(header, _SERIES_TAGS), *raw_values(items[0], _INJECTION_TAGS), str(len(items)))
    if raw[0] != "CNTS":  # Units; the private factors count for CNTS only
        return raw
    return (
        *raw,
        *(str(private_value(header, 0x7053, PHILIPS_PET, offset=offset)) for offset in (0x00, 0x09)),
    )


def _described(header: Dataset) -> dict[str, object]:
    """What must agree, as values by the name to report."""
    items = _injections(header)
    values: dict[str, object] = {keyword: text(header, keyword) for keyword in _SERIES_TEXTS}
    values |= {keyword: number(header, keyword) for keyword in _SERIES_NUMBERS}
    values |= {keyword: text(items[0], keyword) for keyword in _INJECTION_TEXTS}
    values |= {keyword: number(items[0], keyword) for keyword in _INJECTION_NUMBERS}
    values["number of radiopharmaceuticals"] = len(items)
    values["CorrectedImage"] = corrections(header)
    if values["Units"] == "CNTS":
        for name, offset in (("Philips SUV factor", 0x00), ("Philips activity factor", 0x09)):
            values[name] = str(private_value(header, 0x7053, PHILIPS_PET, offset=offset)).strip()
    return values
