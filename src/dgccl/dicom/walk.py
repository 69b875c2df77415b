"""Where the elements of a DICOM byte stream lie (PS3.5 section 7), found without decoding them."""

from struct import Struct
from typing import NamedTuple

from dgccl.errors import DicomError

PIXEL_DATA = 0x7FE00010
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, PIXEL_DATA)
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
_ITEM_END_ELEMENT = ITEM_END & 0xFFFF
# VRs whose explicit length takes four bytes after two reserved ones (PS3.5 section 7.1.2).
_LONG_VR = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT = {True: Struct("<HH2sH").unpack_from, False: Struct(">HH2sH").unpack_from}
_LONG = {True: Struct("<HHL").unpack_from, False: Struct(">HHL").unpack_from}
_LENGTH = {True: Struct("<L").unpack_from, False: Struct(">L").unpack_from}


Element = tuple[bytes | None, int, int, bool]
"""Where a value lies: its VR (None where implicit), first byte, end, and whether its length was open.

A plain tuple: tens of thousands are made for each patient, and a named one takes five times as long.
"""


class Encoding(NamedTuple):
    """How a data set is written."""

    explicit: bool
    little: bool


IMPLICIT = Encoding(explicit=False, little=True)
EXPLICIT = Encoding(explicit=True, little=True)


class NeedMore(Exception):
    """The walk ran past the bytes at hand."""


def truncated() -> DicomError:
    """The error of a file that ends too early."""
    return DicomError(
        "truncated_file",
        "A DICOM file ends in the middle of an element.",
        remedy="Export or copy the file again.",
    )


def item_at(data: bytes, position: int, *, little: bool) -> tuple[int, int]:
    """Tag and length of the item or delimiter at a position."""
    group, element, length = _LONG[little](data, position)
    return group << 16 | element, length


def walk(
    data: bytes,
    position: int,
    end: int,
    *,
    encoding: Encoding,
    size: int = 0,
    stop_group: int = 0,
    top: bool = False,
) -> tuple[dict[int, Element], int]:
    """Index the elements from `position`, up to `end`, the item's end, or the last element of `stop_group`.

    Args:
        size: bytes of the whole file, of which `data` may hold only the first part. 0: `data` is all there is.
        top: this is the file's own data set, whose pixel data may lie beyond `data`.

    Returns:
        The index, and the position after what was read.
    """
    index: dict[int, Element] = {}
    explicit, little = encoding
    short, long, more = _SHORT[little], _LONG[little], _LENGTH[little]
    size = size or end
    while position + 8 <= end:
        if explicit:
            group, element, vr, length = short(data, position)
            value = position + 8
            if vr in _LONG_VR:
                if value + 4 > end:
                    raise NeedMore
                (length,) = more(data, value)
                value += 4
            elif group == 0xFFFE or not vr.isalpha():  # item tags, and items that turn implicit, have no VR
                vr, (length,) = None, more(data, position + 4)
        else:
            group, element, length = long(data, position)
            vr, value = None, position + 8
        tag = group << 16 | element
        if stop_group and group != stop_group:
            return index, position
        if tag == ITEM_END:
            return index, value
        if length == UNDEFINED:
            beyond = top and tag in PIXEL_TAGS
            stop, position = _skip_open(data, value, end, encoding=encoding, vr=vr, size=size, beyond=beyond)
            index[tag] = (vr, value, stop, True)
            continue
        position = value + length
        if position > end:
            if not (top and tag in PIXEL_TAGS):
                raise truncated() if position > size else NeedMore
            index[tag] = (vr, value, position, False)
            return index, position
        index[tag] = (vr, value, position, False)
    if (position < end and data[position:end].strip(b"\0")) or end < size:
        raise NeedMore
    return index, position


def _skip_open(
    data: bytes,
    position: int,
    end: int,
    *,
    encoding: Encoding,
    vr: bytes | None,
    size: int,
    beyond: bool,
) -> tuple[int, int]:
    """End of a value of open length, and the position after its delimiter; `beyond`: it may end past `data`."""
    if vr == b"UN":
        encoding = IMPLICIT
    while position + 8 <= end:
        inner, length = item_at(data, position, little=encoding.little)
        if inner == SEQUENCE_END:
            return position, position + 8
        if inner != ITEM:
            raise DicomError(
                "malformed_file",
                "A DICOM sequence holds something that is no item.",
                remedy="Export the file again.",
            )
        position += 8
        if length == UNDEFINED:
            position = _skip_item(data, position, end, encoding=encoding, size=size)
        else:
            position += length
    if beyond:  # compressed frames that go on after the bytes at hand, or should
        return (end if end < size else end + 1), end
    raise NeedMore


def _skip_item(data: bytes, position: int, end: int, *, encoding: Encoding, size: int) -> int:
    """The position after an item of open length; `walk` without keeping what it passes."""
    explicit, little = encoding
    short, long, more = _SHORT[little], _LONG[little], _LENGTH[little]
    while position + 8 <= end:
        if explicit:
            group, element, vr, length = short(data, position)
            value = position + 8
            if vr in _LONG_VR:
                if value + 4 > end:
                    raise NeedMore
                (length,) = more(data, value)
                value += 4
            elif group == 0xFFFE or not vr.isalpha():
                vr, (length,) = None, more(data, position + 4)
        else:
            group, element, length = long(data, position)
            vr, value = None, position + 8
        if group == 0xFFFE and element == _ITEM_END_ELEMENT:
            return value
        if length == UNDEFINED:
            _, position = _skip_open(data, value, end, encoding=encoding, vr=vr, size=size, beyond=False)
        else:
            position = value + length
    raise NeedMore
