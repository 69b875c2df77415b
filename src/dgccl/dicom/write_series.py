"""Encodes a series of single-frame files: one template, and per slice only the elements that change."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydicom import uid
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from dgccl.volume import Volume

Changes = dict[str, str | list[str] | bytes]
"""Keyword and value, already as DICOM's text, of the elements that differ between the slices of a series."""

IMPLEMENTATION_UID = "2.25.208914770417310735174836276042171523389"


@dataclass(frozen=True, eq=False)
class WrittenSeries:
    """A series on disk.

    Args:
        paths: one file a slice, by slice index of the volume.
        template: the elements that all slices share.
        changes: by slice index, keyword and value of those that they do not, pixels left out.
        volume: what was written.
    """

    paths: tuple[Path, ...]
    template: Dataset = field(repr=False)
    changes: tuple[Mapping[str, str | list[str] | bytes], ...] = field(repr=False)
    volume: Volume = field(repr=False)

    def header(self, k: int) -> Dataset:
        """The data set of slice k without its pixels."""
        merged = Dataset()
        merged.update(self.template)
        for keyword, value in self.changes[k].items():
            setattr(merged, keyword, value)
        return merged


def write_series(
    folder: Path, template: Dataset, changes: Sequence[Changes], volume: Volume
) -> WrittenSeries:
    """Write one file a slice: the template's bytes with the changed elements put in their places."""
    folder.mkdir(parents=True, exist_ok=True)
    constant = {int(element.tag): _encode(element) for element in template}
    paths = []
    for change in changes:
        encoded = constant | dict(_encode_change(keyword, value) for keyword, value in change.items())
        path = folder / f"{int(str(change['InstanceNumber'])):05d}.dcm"
        body = b"".join(encoded[tag] for tag in sorted(encoded))
        path.write_bytes(file_head(str(template.SOPClassUID), str(change["SOPInstanceUID"])) + body)
        paths.append(path)
    text = [{k: v for k, v in change.items() if not isinstance(v, bytes)} for change in changes]
    return WrittenSeries(tuple(paths), template, tuple(text), volume)


def file_head(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Preamble and file meta information of an Explicit VR Little Endian file.

    Source: DICOM PS3.10, 7.1.
    """
    body = b"".join(
        (
            _element(0x00020001, "OB", b"\x00\x01"),
            _element(0x00020002, "UI", sop_class_uid.encode()),
            _element(0x00020003, "UI", sop_instance_uid.encode()),
            _element(0x00020010, "UI", uid.ExplicitVRLittleEndian.encode()),
            _element(0x00020012, "UI", IMPLEMENTATION_UID.encode()),
            _element(0x00020013, "SH", b"DGCCL"),
        )
    )
    return bytes(128) + b"DICM" + _element(0x00020000, "UL", struct.pack("<I", len(body))) + body


@cache
def _tag_and_vr(keyword: str) -> tuple[int, str]:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return tag, "OW" if keyword == "PixelData" else dictionary_VR(tag)


def _encode_change(keyword: str, value: str | list[str] | bytes) -> tuple[int, bytes]:
    """Tag and bytes of one changed element."""
    tag, vr = _tag_and_vr(keyword)
    if isinstance(value, list):
        value = "\\".join(value)
    return tag, _element(tag, vr, value if isinstance(value, bytes) else value.encode("latin-1"))


def _element(tag: int, vr: str, value: bytes) -> bytes:
    """One element in Explicit VR Little Endian, padded to even length (PS3.5 7.1.2)."""
    if len(value) % 2:
        value += b"\x00" if vr in ("UI", "OB") else b" "
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    long_form = vr in ("OB", "OW", "SQ", "UN", "UT")
    return head + (struct.pack("<HI", 0, len(value)) if long_form else struct.pack("<H", len(value))) + value


def _encode(element: DataElement) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_data_element(stream, element, ["latin_1"])
    return stream.getvalue()
