"""Plain values of DICOM attributes: text, numbers, private elements, raw bytes for cheap comparison."""

from collections.abc import Sequence
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from dgccl.errors import SuvError


def text(dataset: Dataset, keyword: str) -> str:
    """Value of an attribute as stripped text, empty if absent."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def number(dataset: Dataset, keyword: str) -> float | None:
    """Value of an attribute as a number, None if absent, empty or zero (zero stands for unknown).

    Raises:
        SuvError: `invalid_number`.
    """
    try:
        return as_number(dataset.get(keyword))
    except (ValueError, TypeError, OverflowError) as error:
        raise SuvError(
            "invalid_number", f"{keyword} is not a number.", remedy="Correct the header."
        ) from error


def as_number(value: Any) -> float | None:
    """A raw header value as a finite number, None if empty or zero; ValueError or TypeError otherwise."""
    if isinstance(value, bytes):
        value = value.decode("ascii").strip(" \0")
    if value is None or value == "":
        return None
    result = float(value)
    if result != result or abs(result) == float("inf"):
        raise ValueError("not finite")
    return result or None


def code_text(dataset: Dataset, keyword: str) -> str:
    """Code value and meaning of the first item of a code sequence, upper case, empty if absent."""
    items = dataset.get(keyword) or []
    return f"{text(items[0], 'CodeValue')} {text(items[0], 'CodeMeaning')}".upper().strip() if items else ""


def corrections(header: Dataset) -> frozenset[str]:
    """Corrected Image (0028,0051) as a set of upper-case terms."""
    value = header.get("CorrectedImage")
    values = [value] if isinstance(value, str) else (value or [])
    return frozenset(str(part).strip().upper() for part in values)


def private_value(header: Dataset, group: int, creator: str, *, offset: int) -> Any:
    """Value of a private element by its creator's name, None if absent."""
    try:
        return header.private_block(group, creator)[offset].value
    except KeyError:
        return None


def raw_values(dataset: Dataset, tags: Sequence[BaseTag]) -> tuple[str, ...]:
    """Texts of attributes without converting elements that pydicom has not converted yet."""
    return tuple(_plain(getattr(dataset.get_item(tag), "value", None)) for tag in tags)


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    if isinstance(value, MultiValue):
        return "\\".join(str(part) for part in value)
    return "" if value is None else str(value).strip()
