"""Lesion outlines from RT structure sets; those from segmentations are read by `dgccl.dicom.seg`."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64
from pydicom.dataset import Dataset

from dgccl.dicom.elements import Elements, open_elements
from dgccl.dicom.geometry import POSITION_TOLERANCE
from dgccl.errors import DicomError, RoiError
from dgccl.roi import Roi, rasterize_contours
from dgccl.volume import Grid

Modality = Literal["ct", "pet"] | None
Images = Mapping[str, tuple[Grid, Modality]]
"""Series Instance UID to the grid of the loaded image and its modality, None for another than CT and PET."""

# Contours of a list differ in length, so their axis has no name (`PointsMm` would bind it to one size).
_Points = Float64[np.ndarray, "_ 3"]
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_PLANAR_SLICES = 0.5


def read_rtstruct(
    source: Path | Dataset, images: Images, *, on_refused: Callable[[str, RoiError], None] | None = None
) -> list[Roi]:
    """Read the regions of an RT structure set, each on the grid of the image that it was drawn on.

    Closed planar contours fill by the even-odd rule, so that inner contours and keyholes cut holes. Contours
    whose planes lie closer or wider than the image's slices each stand for the slices nearest to them.

    Args:
        source: file or data set.
        images: the loaded images by series UID.
        on_refused: called with the region's name and the reason for each region that cannot be read;
            reading then goes on with the next. Without it the first such region raises.

    Returns:
        One entry a region, in the order of the file.

    Raises:
        RoiError: `not_rtstruct`, or a region's: `empty_outline`, `unsupported_contour_type`,
            `malformed_contour`, `no_referenced_series`, `referenced_series_missing`, `contour_not_in_slice`,
            `outline_outside_image`, `outline_crosses_border`.
        DicomError: the file cannot be read.

    Source:
        DICOM PS3.3 sections C.8.8.5 (structure set) and C.8.8.6 (ROI contour).
    """
    elements = open_elements(source)
    if elements.text(0x00080060) != "RTSTRUCT":
        raise RoiError(
            "not_rtstruct", f"An RTSTRUCT was expected, found {elements.text(0x00080060) or 'none'}."
        )
    series_of = _series_of_instances(elements)
    contours = {item.text(0x30060084): item for item in elements.items(0x30060039)}
    rois = []
    for roi in elements.items(0x30060020):
        name = roi.text(0x30060026)
        try:
            rois.append(_contoured(contours.get(roi.text(0x30060022)), series_of, images, name=name))
        except RoiError as error:
            if on_refused is None:
                raise
            on_refused(name, error)
    return rois


def _series_of_instances(elements: Elements) -> dict[str, str]:
    """Series Instance UID of each referenced image; series count even if they list no image."""
    found: dict[str, str] = {}
    for frame in elements.items(0x30060010):
        for study in frame.items(0x30060012):
            for series in study.items(0x30060014):
                uid = series.text(0x0020000E)
                found[f"series {uid}"] = uid
                found |= {image.text(0x00081155): uid for image in series.items(0x30060016)}
    return found


def _contoured(roi_contour: Elements | None, series_of: dict[str, str], images: Images, *, name: str) -> Roi:
    contours = [] if roi_contour is None else list(roi_contour.items(0x30060040))
    if not contours:
        raise RoiError(
            "empty_outline", f"Region {name!r} has no contour.", remedy="Redraw the outline or delete it."
        )
    kinds = {contour.text(0x30060042) for contour in contours}
    if not kinds <= set(_CLOSED):
        raise RoiError(
            "unsupported_contour_type",
            f"Region {name!r} has contours of type {', '.join(sorted(kinds - set(_CLOSED)))}; closed planar "
            "ones were expected.",
            remedy="Export closed contours, or give the lesion as a point and a diameter.",
        )
    grid, modality = _drawn_image(contours, series_of, images, name=name)
    points = [_points(contour, name=name) for contour in contours]
    return Roi(name, rasterize_contours(_on_slices(points, grid, name=name), grid, name=name), modality)


def _points(contour: Elements, *, name: str) -> _Points:
    try:
        values = contour.floats(0x30060050)
        return values.reshape(-1, 3)
    except (DicomError, ValueError) as error:
        raise RoiError(
            "malformed_contour",
            f"A contour of region {name!r} is no list of x, y, z.",
            remedy="Export the structure set again.",
        ) from error


def _drawn_image(
    contours: list[Elements], series_of: dict[str, str], images: Images, *, name: str
) -> tuple[Grid, Modality]:
    """The image that a region's contours refer to, or the only one that the structure set refers to."""
    instances = (image.text(0x00081155) for contour in contours for image in contour.items(0x30060016))
    named = {series_of[uid] for uid in instances if uid in series_of} or set(series_of.values())
    if not named:
        raise RoiError(
            "no_referenced_series",
            f"The structure set does not say on which image region {name!r} was drawn.",
            remedy="Export it with its Referenced Frame of Reference Sequence, or as SEG.",
        )
    present = sorted(uid for uid in named if uid in images)
    if not present:
        raise RoiError(
            "referenced_series_missing",
            f"Region {name!r} was drawn on a series that is not among the images used.",
            remedy="Add that series, or draw the outline on the series that is used.",
        )
    if len(present) > 1:
        raise RoiError(
            "ambiguous_reference",
            f"Region {name!r} refers to {len(present)} images; one was expected.",
            remedy="Export one structure set an image.",
        )
    return images[present[0]]


def _on_slices(contours_mm: list[_Points], grid: Grid, *, name: str) -> list[_Points]:
    """Contours moved onto the slices that they stand for.

    Contours on the image's slices stay. Where planes are denser, each slice takes the plane nearest to it;
    where they are regularly wider, a plane also fills the slices up to half way to its neighbors. So the
    volume stays that of contour area times distance of the planes.
    """
    indices = [grid.to_index(points) for points in contours_mm if len(points) >= 3]
    for index in indices:
        if np.ptp(index[:, 0]) > _PLANAR_SLICES:
            raise RoiError(
                "contour_not_in_slice",
                f"A contour of region {name!r} spans {np.ptp(index[:, 0]):.1f} slices; it must lie in one.",
                remedy="Export the outline as axial contours of the image it was drawn on, or as SEG.",
            )
    if not indices:
        return contours_mm
    planes = _planes(indices)
    depth = np.array(list(planes))
    step = float(np.median(np.diff(depth))) if len(depth) > 1 else 1.0
    reach = max(step, 1.0) / 2
    last = grid.shape[0] - 1
    moved = []
    for k in range(math.floor(depth[0] - reach), math.ceil(depth[-1] + reach) + 1):
        nearest = float(depth[np.abs(depth - k).argmin()])
        # Half-open, so that a slice midway belongs to one plane and the outermost planes reach equally far.
        if not -reach <= nearest - k < reach:
            continue
        if not 0 <= k <= last and -_PLANAR_SLICES <= nearest <= last + _PLANAR_SLICES:
            continue  # a plane within the image does not reach out of it
        for index in planes[nearest]:
            moved.append(grid.to_patient(np.column_stack([np.full(len(index), float(k)), index[:, 1:]])))
    return moved


def _planes(indices: list[_Points]) -> dict[float, list[_Points]]:
    """Contours by the plane they lie on, as a fractional slice index, from low to high."""
    planes: dict[float, list[np.ndarray]] = {}
    current = -np.inf
    for index in sorted(indices, key=lambda index: float(index[:, 0].mean())):
        depth = float(index[:, 0].mean())
        if depth - current > POSITION_TOLERANCE:
            current = depth
        planes.setdefault(current, []).append(index)
    return planes
