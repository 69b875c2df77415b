"""A fast index of a DICOM file: where each element lies, without decoding its value.

pydicom builds Python objects for every item of every sequence while it reads, which takes far longer than
the disk. Ingest looks at a dozen elements of each file, so here a file is walked once, sequences of defined
length are stepped over, and values are decoded when asked for. `Elements.to_dataset` hands the same bytes to
pydicom, which decodes them lazily; everything that needs the meaning of an element goes through that.
"""

import io
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Float64
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dgccl.dicom.walk import (
    EXPLICIT,
    IMPLICIT,
    ITEM,
    PIXEL_DATA,
    PIXEL_TAGS,
    UNDEFINED,
    Element,
    Encoding,
    NeedMore,
    item_at,
    truncated,
    walk,
)
from dgccl.errors import DicomError

TRANSFER_SYNTAX_UID = 0x00020010
_SOP_INSTANCE_UID = 0x00080018
_CHUNK = 1 << 16
_ITEM_HEADER = 8
_base_tag = lru_cache(maxsize=8192)(BaseTag)


@dataclass(frozen=True, eq=False)
class Elements:
    """The elements of one data set (a file's, or a sequence item's).

    Attributes:
        data: the bytes that `index` points into.
        index: tag to place of the value.
        explicit: VR is written in the data set.
        little: little endian.
        syntax: transfer syntax UID.
        size: bytes of the whole file, of which `data` may be the first part.
        charset: Python codecs of Specific Character Set.
    """

    data: bytes
    index: dict[int, Element]
    explicit: bool
    little: bool
    syntax: str
    size: int
    charset: tuple[str, ...] = ("iso8859",)

    def __contains__(self, tag: int) -> bool:
        return tag in self.index

    @property
    def pixels_end_early(self) -> bool:
        """The file ends before its pixel data does."""
        place = self.index.get(PIXEL_DATA)
        return place is not None and place[2] > self.size

    def raw(self, tag: int) -> bytes:
        """The value's bytes; empty if the element is absent."""
        found = self.index.get(tag)
        return b"" if found is None else self.data[found[1] : found[2]]

    def text(self, tag: int) -> str:
        """The value as text without padding; empty if the element is absent."""
        raw = self.raw(tag).rstrip(b" \0")
        if raw.isascii() and b"\x1b" not in raw:
            return raw.decode("ascii").strip()
        with warnings.catch_warnings():  # a character that cannot be decoded is replaced, which will do
            warnings.simplefilter("ignore")
            return decode_bytes(raw, list(self.charset), {0x0A, 0x0C, 0x0D}).strip(" \0")

    def texts(self, tag: int) -> tuple[str, ...]:
        """The values of a multi-valued text element."""
        text = self.text(tag)
        return tuple(part.strip() for part in text.split("\\")) if text else ()

    def floats(self, tag: int) -> Float64[np.ndarray, "n"]:
        """The values of a decimal string.

        Raises:
            DicomError: a value is not a number.
        """
        raw = self.raw(tag).strip(b" \0\\")
        try:
            values = np.array(list(map(float, raw.decode("ascii").split("\\"))) if raw else [], float)
        except ValueError as error:
            raise _malformed_number(tag) from error
        if not np.isfinite(values).all():
            raise _malformed_number(tag)
        return values

    def uint16(self, tag: int) -> int | None:
        """The value of an unsigned short; None if the element is absent or empty."""
        raw = self.raw(tag)
        return int.from_bytes(raw[:2], "little" if self.little else "big") if len(raw) >= 2 else None

    def items(self, sequence: int) -> Iterator["Elements"]:
        """The items of a sequence; none if the element is absent."""
        place = self.index.get(sequence)
        if place is None:
            return
        sequence_vr, position, end, _ = place
        # The content of a sequence written as UN is implicit little endian (PS3.5 section 6.2.2).
        encoding = Encoding(self.explicit, self.little)
        if sequence_vr == b"UN":
            encoding = IMPLICIT
        while position + _ITEM_HEADER <= end:
            tag, length = item_at(self.data, position, little=encoding.little)
            position += _ITEM_HEADER
            if tag != ITEM:
                return
            stop = end if length == UNDEFINED else position + length
            if stop > end:
                raise _overrun()
            try:
                index, position = walk(self.data, position, stop, encoding=encoding)
            except NeedMore as error:
                raise truncated() from error
            yield Elements(self.data, index, *encoding, self.syntax, self.size, self.charset)

    def to_dataset(self, *, pixels: bool) -> Dataset:
        """The same elements as a pydicom data set that decodes its values when they are asked for.

        Args:
            pixels: keep the pixel data.
        """
        implicit, little = not self.explicit, self.little
        values: dict[BaseTag, RawDataElement | DataElement] = {}
        for tag, (raw_vr, start, stop, open_length) in self.index.items():
            if not pixels and tag in PIXEL_TAGS:
                continue
            vr = _text_of(raw_vr)
            length, implicit_value = stop - start, implicit
            if open_length and tag == PIXEL_DATA:
                length = UNDEFINED
            elif open_length:
                vr, implicit_value = "SQ", implicit or raw_vr == b"UN"
            base = _base_tag(tag)
            value = self.data[start:stop] if stop > start else _empty(vr)
            values[base] = RawDataElement(base, vr, length, value, start, implicit_value, little)
        dataset = Dataset(values)
        dataset.set_original_encoding(implicit, little, list(self.charset))
        if pixels:  # decoding them needs the transfer syntax
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = UID(self.syntax)
        return dataset


@lru_cache(maxsize=256)
def _text_of(vr: bytes | None) -> str | None:
    return None if vr is None else vr.decode("ascii")


@lru_cache(maxsize=256)
def _empty(vr: str | None) -> bytes | None:
    """What pydicom takes for a value without bytes."""
    return cast(bytes | None, empty_value_for_VR(vr, raw=True))


def _malformed_number(tag: int) -> DicomError:
    return DicomError(
        "malformed_number",
        f"Element ({tag >> 16:04X},{tag & 0xFFFF:04X}) does not hold finite decimal numbers.",
        remedy="Export the series again.",
    )


def _overrun() -> DicomError:
    return DicomError(
        "malformed_file", "A sequence item is longer than its sequence.", remedy="Export the file again."
    )


def _not_dicom() -> DicomError:
    return DicomError("not_dicom", "The file is not DICOM.", remedy="Remove it, or export it as DICOM.")


def read_elements(path: Path, *, pixels: bool) -> Elements:
    """Index the elements of a DICOM file, with or without its preamble, in any uncompressed or compressed syntax.

    Args:
        path: the file.
        pixels: read the whole file. Otherwise only as much as lies before the pixel data, whose declared
            length is still held against the size of the file.

    Raises:
        DicomError: codes `unreadable_file`, `empty_file`, `not_dicom`, `truncated_file`, `malformed_file`.

    Source:
        DICOM PS3.10 section 7 (file), PS3.5 sections 7 (data set) and A (transfer syntaxes).
    """
    try:
        with open(path, "rb", buffering=0) as file:
            size = file.seek(0, 2)
            file.seek(0)
            amount = size if pixels else min(size, _CHUNK)
            data = file.readall() if amount == size else file.read(amount)
            while True:
                try:
                    return _parse(data, size)
                except NeedMore:
                    if len(data) >= size:
                        raise truncated() from None
                    more = file.read(15 * len(data))
                    if not more:
                        raise truncated() from None
                    data += more
    except RecursionError as error:
        raise DicomError(
            "malformed_file", "Sequences are nested without end.", remedy="Remove the file."
        ) from error
    except OSError as error:
        raise DicomError(
            "unreadable_file",
            f"The file cannot be read ({error.strerror or type(error).__name__}).",
            remedy="Check its permissions and the disk.",
        ) from error


def open_elements(source: Path | Dataset) -> Elements:
    """The elements of a file or of a data set in memory.

    Raises:
        DicomError: as `read_elements`.
    """
    if not isinstance(source, Dataset):
        return read_elements(source, pixels=True)
    buffer = io.BytesIO()
    source.save_as(buffer, implicit_vr=False, little_endian=True)
    data = buffer.getvalue()
    return _parse_from(data, len(data), start=132 if data[128:132] == b"DICM" else 0)


def _parse(data: bytes, size: int) -> Elements:
    if not size:
        raise DicomError("empty_file", "The file holds no bytes.", remedy="Export or copy the file again.")
    if data[128:132] == b"DICM":
        return _parse_from(data, size, start=132)
    if not _looks_like_data_set(data):
        raise _not_dicom()
    try:
        elements = _parse_from(data, size, start=0)
    except DicomError as error:
        raise _not_dicom() from error
    if _SOP_INSTANCE_UID not in elements:
        raise _not_dicom()
    return elements


def _parse_from(data: bytes, size: int, *, start: int) -> Elements:
    syntax = ""
    if data[start : start + 2] == b"\x02\x00":
        meta, start = walk(data, start, len(data), encoding=EXPLICIT, size=size, stop_group=2)
        syntax = Elements(data, meta, *EXPLICIT, "", size).text(TRANSFER_SYNTAX_UID)
    if syntax == DeflatedExplicitVRLittleEndian:
        data, size = _inflate(data[start:], size - start)
        start = 0
    encoding = _encoding(data, start, syntax)
    index, _ = walk(data, start, len(data), encoding=encoding, size=size, top=True)
    elements = Elements(data, index, *encoding, syntax or _implied_syntax(encoding), size)
    if 0x00080005 not in index:
        return elements
    with warnings.catch_warnings():  # an unknown character set is read as ISO 8859-1
        warnings.simplefilter("ignore")
        return replace(elements, charset=tuple(convert_encodings(list(elements.texts(0x00080005)))))


def _looks_like_data_set(data: bytes) -> bool:
    """A file without preamble begins with group 2 (little endian) or 8, and a low element number."""
    return data[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08") and len(data) >= 8 and 0 in data[2:4]


def _encoding(data: bytes, start: int, syntax: str) -> Encoding:
    if syntax == ExplicitVRBigEndian:
        return Encoding(explicit=True, little=False)
    if syntax == ImplicitVRLittleEndian:
        return IMPLICIT
    if syntax:
        return EXPLICIT
    vr = data[start + 4 : start + 6]
    return Encoding(explicit=vr.isalpha() and vr.isupper(), little=data[start : start + 2] != b"\x00\x08")


def _implied_syntax(encoding: Encoding) -> str:
    if not encoding.explicit:
        return str(ImplicitVRLittleEndian)
    return "1.2.840.10008.1.2.1" if encoding.little else str(ExplicitVRBigEndian)


def _inflate(compressed: bytes, size: int) -> tuple[bytes, int]:
    if len(compressed) < size:
        raise NeedMore
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(compressed)
    except zlib.error as error:
        raise DicomError(
            "truncated_file", "A deflated DICOM file cannot be inflated.", remedy="Export the file again."
        ) from error
    if not inflater.eof:
        raise truncated()
    return data, len(data)
