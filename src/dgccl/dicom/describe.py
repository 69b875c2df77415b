"""What grouping and choosing among series needs to know of their files."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dgccl.dicom.elements import Elements, read_elements
from dgccl.dicom.enhanced import PER_FRAME_GROUPS, SHARED_GROUPS
from dgccl.dicom.geometry import SAME_PLANE_MM, slice_normal
from dgccl.dicom.pixels import stored_values
from dgccl.dicom.walk import PIXEL_DATA
from dgccl.errors import DgcclError, DicomError

PointTuple = tuple[float, float, float]

CT_CLASSES = frozenset(
    {"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"}
)
"""CT, Enhanced CT, Legacy Converted Enhanced CT Image Storage."""
PET_CLASSES = frozenset(
    {"1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1"}
)
"""PET, Enhanced PET, Legacy Converted Enhanced PET Image Storage."""
MR_CLASSES = frozenset(
    {"1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4"}
)
"""MR, Enhanced MR, Legacy Converted Enhanced MR Image Storage."""
IMAGE_CLASSES = {"CT": CT_CLASSES, "PT": PET_CLASSES, "MR": MR_CLASSES}
"""SOP classes of the images that can be read, by Modality."""


def references(elements: Elements) -> Iterator[str]:
    """Series Instance UIDs of the images that an RTSTRUCT (PS3.3 C.8.8.5) or SEG (C.12.5) refers to."""
    for frame in elements.items(0x30060010):
        for study in frame.items(0x30060012):
            for series in study.items(0x30060014):
                yield series.text(0x0020000E)
    for series in elements.items(0x00081115):
        yield series.text(0x0020000E)


def attenuation_corrected(first: Elements) -> bool | None:
    """Corrected Image (0028,0051), or Attenuation Corrected (0018,9759) of enhanced PET."""
    if 0x00189759 in first:
        return first.text(0x00189759) == "YES"
    return "ATTN" in first.texts(0x00280051) if 0x00280051 in first else None


def extent(
    first: Elements, found: list[PointTuple]
) -> tuple[int, float | None, tuple[PointTuple, PointTuple] | None]:
    """Number of planes, median distance between them (mm), and the box they fill (LPS mm)."""
    try:
        places = [first, *first.items(SHARED_GROUPS), *itertools.islice(first.items(PER_FRAME_GROUPS), 1)]
        measures = [
            m for place in places for m in (place, *place.items(0x00209116), *place.items(0x00289110))
        ]
        orientation = next((o for m in measures if (o := m.floats(0x00200037)).shape == (6,)), None)
        pixel_mm = next((s for m in measures if (s := m.floats(0x00280030)).shape == (2,)), None)
        normal = None if orientation is None else slice_normal(orientation)
    except DgcclError:  # loading the series says what is wrong with it
        return 0, None, None
    rows, columns = first.uint16(0x00280010), first.uint16(0x00280011)
    if orientation is None or normal is None or pixel_mm is None or not found or not (rows and columns):
        return 0, None, None
    positions = np.array(found)
    along = np.sort(positions @ normal)
    steps = np.diff(along)
    steps = steps[steps >= SAME_PLANE_MM]
    down, right = orientation[3:] * pixel_mm[0] * (rows - 1), orientation[:3] * pixel_mm[1] * (columns - 1)
    corners = (positions[:, None] + np.array([0 * down, down, right, down + right])).reshape(-1, 3)
    low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    box = ((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    return len(steps) + 1, float(np.median(steps)) if len(steps) else None, box


def check_same_instance(earlier: Path, later: Path) -> None:
    """Refuse two files that claim to be one instance but differ in more than encoding or descriptive text."""
    a, b = read_elements(earlier, pixels=True), read_elements(later, pixels=True)
    if a.data == b.data:
        return
    tags = (
        0x00200032,
        0x00200037,
        0x00280030,
        0x00281052,
        0x00281053,
        SHARED_GROUPS,
        PER_FRAME_GROUPS,
        0x30060039,
    )
    same = all(a.raw(tag) == b.raw(tag) for tag in tags)
    if same and PIXEL_DATA in a and PIXEL_DATA in b:
        same = np.array_equal(stored_values(a), stored_values(b))
    if not same or (PIXEL_DATA in a) != (PIXEL_DATA in b):
        raise DicomError(
            "conflicting_instances",
            "Two files carry the same SOP Instance UID but different content.",
            remedy="Keep the one that the PACS holds.",
        )
