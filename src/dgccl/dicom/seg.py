"""Lesion masks from DICOM segmentations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from pydicom.dataset import Dataset

from dgccl.dicom.describe import references
from dgccl.dicom.elements import Elements, open_elements
from dgccl.dicom.enhanced import frame_elements
from dgccl.dicom.geometry import ORIENTATION_TOLERANCE, POSITION_TOLERANCE, SAME_PLANE_MM, slice_normal
from dgccl.dicom.pixels import stored_values
from dgccl.dicom.roi import Images, Modality
from dgccl.errors import RoiError
from dgccl.roi import Roi, tighten
from dgccl.types import PointMm
from dgccl.volume import Grid, Volume

_FRACTION_INSIDE = 0.5
_SEGMENT_NUMBER, _SEGMENT_LABEL, _REFERENCED_SEGMENT = 0x00620004, 0x00620005, 0x0062000B
_BACKGROUND = "125040"  # (125040, DCM, "Background"): the label map's zero, no region
_EXPORT = "Export the segmentation again."


def read_seg(
    source: Path | Dataset, images: Images, *, on_refused: Callable[[str, RoiError], None] | None = None
) -> list[Roi]:
    """Read the segments of a segmentation, each on the segmentation's own grid.

    Binary segments are taken as they are, fractional ones from half of the maximum value on, label maps by
    label. Frames that the file leaves out are empty.

    Args:
        source: file or data set.
        images: the loaded images by series UID.
        on_refused: called with the segment's label and the reason for each segment that cannot be used;
            reading then goes on with the next. Without it the first such segment raises.

    Returns:
        One entry a segment other than the background, in the order of the file.

    Raises:
        RoiError: `not_seg`, `referenced_series_missing`, `seg_geometry`, or a segment's: `empty_outline`,
            `outline_outside_image`.
        DicomError: the file cannot be read or decoded.

    Source:
        DICOM PS3.3 section C.8.20 (segmentation).
    """
    elements = open_elements(source)
    if elements.text(0x00080060) != "SEG":
        raise RoiError("not_seg", f"A SEG was expected, found {elements.text(0x00080060) or 'none'}.")
    grid_of, drawn_on = _drawn_image(elements, images)
    frames = frame_elements(elements)
    values = stored_values(elements, palette=True)
    grid, slices = _frame_grid(frames, values.shape[1:])
    rois = []
    for segment in elements.items(0x00620002):
        if any(code.text(0x00080100) == _BACKGROUND for code in segment.items(0x0062000F)):
            continue
        name = segment.text(_SEGMENT_LABEL)
        try:
            mask = _segment_mask(elements, frames, values, slices, number=segment.uint16(_SEGMENT_NUMBER))
            volume = _placed(mask, grid, name=name)
            _check_inside(volume, grid_of, name=name)
            rois.append(Roi(name, volume, drawn_on))
        except RoiError as error:
            if on_refused is None:
                raise
            on_refused(name, error)
    return rois


def _drawn_image(elements: Elements, images: Images) -> tuple[list[Grid], Modality]:
    """Grids of the referenced images that are there, and the modality if it is one."""
    named = set(references(elements))
    present = [images[uid] for uid in sorted(named) if uid in images]
    if named and not present:
        raise RoiError(
            "referenced_series_missing",
            "The segmentation was drawn on a series that is not among the images used.",
            remedy="Add that series, or segment the series that is used.",
        )
    modalities = {modality for _, modality in present}
    return [grid for grid, _ in present], modalities.pop() if len(modalities) == 1 else None


def _frame_grid(frames: list[Elements], shape: tuple[int, int]) -> tuple[Grid, list[int]]:
    """The grid that all frames lie on, and the slice of each frame.

    Raises:
        RoiError: `seg_geometry`, the frames lack a place or do not lie on one grid.
    """
    try:
        positions = np.array([frame.floats(0x00200032) for frame in frames]).reshape(-1, 3)
        orientations = np.array([frame.floats(0x00200037) for frame in frames]).reshape(-1, 6)
        spacings = np.array([frame.floats(0x00280030) for frame in frames]).reshape(-1, 2)
    except ValueError as error:
        raise _bad_geometry("lack a position, orientation or pixel spacing") from error
    if not len(positions) == len(orientations) == len(spacings) == len(frames):
        raise _bad_geometry("lack a position, orientation or pixel spacing")
    if np.ptp(orientations, axis=0).max() > ORIENTATION_TOLERANCE or np.ptp(spacings, axis=0).max() > 1e-3:
        raise _bad_geometry("differ in orientation or pixel spacing")
    normal = slice_normal(orientations[0])
    spacing_mm = _slice_spacing_mm(frames[0], positions @ normal)
    along = positions @ normal
    index = (along - along.min()) / spacing_mm
    slices = np.round(index)
    step, origin = _line(positions, slices, normal * spacing_mm)
    off = np.linalg.norm(positions - origin - slices[:, None] * step, axis=1)
    if off.max() > POSITION_TOLERANCE * spacing_mm:
        raise _bad_geometry("do not lie at even steps on a straight line")
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 3] = step, origin
    affine[:3, 1] = orientations[0, 3:] * spacings[0, 0]
    affine[:3, 2] = orientations[0, :3] * spacings[0, 1]
    return Grid((int(slices.max()) + 1, *shape), affine), [int(k) for k in slices]


def _line(
    positions_mm: Float64[np.ndarray, "n 3"], slices: Float64[np.ndarray, "n"], usual_step: PointMm
) -> tuple[PointMm, PointMm]:
    """Step and origin of the straight line of slices that fits the positions best."""
    centered = slices - slices.mean()
    if not centered.any():
        return usual_step, positions_mm.mean(axis=0)
    step = centered @ positions_mm / (centered @ centered)
    return step, positions_mm.mean(axis=0) - slices.mean() * step


def _slice_spacing_mm(frame: Elements, along_mm: Float64[np.ndarray, "n"]) -> float:
    """Distance of neighboring slices: Spacing Between Slices, else the least found, else Slice Thickness."""
    stated = frame.floats(0x00180088)
    if stated.size and stated[0] > 0:
        return float(stated[0])
    steps = np.diff(np.sort(along_mm))
    steps = steps[steps > SAME_PLANE_MM]
    if steps.size:
        return float(steps.min())
    thickness = frame.floats(0x00180050)
    if thickness.size and thickness[0] > 0:
        return float(thickness[0])
    raise _bad_geometry("state no slice spacing")


def _bad_geometry(what: str) -> RoiError:
    return RoiError("seg_geometry", f"The frames of the segmentation {what}.", remedy=_EXPORT)


def _segment_mask(
    elements: Elements,
    frames: list[Elements],
    values: Shaped[np.ndarray, "frames rows columns"],
    slices: list[int],
    *,
    number: int | None,
) -> dict[int, Bool[np.ndarray, "rows columns"]]:
    """The slices of one segment that hold any of it."""
    kind = elements.text(0x00620001)
    threshold = _FRACTION_INSIDE * (elements.uint16(0x0062000E) or 255) if kind == "FRACTIONAL" else 1
    found: dict[int, np.ndarray] = {}
    for frame, image, k in zip(frames, values, slices, strict=True):
        if kind == "LABELMAP":
            inside = image == number
        elif frame.uint16(_REFERENCED_SEGMENT) == number:
            inside = image >= threshold
        else:
            continue
        if inside.any():
            found[k] = found[k] | inside if k in found else inside
    return found


def _placed(slices: dict[int, Bool[np.ndarray, "rows columns"]], grid: Grid, *, name: str) -> Volume:
    low, high = (min(slices), max(slices) + 1) if slices else (0, 1)
    mask = np.zeros((high - low, *grid.shape[1:]), dtype=bool)
    for k, image in slices.items():
        mask[k - low] = image
    return tighten(mask, grid, start=(low, 0, 0), name=name)


def _check_inside(mask: Volume, grids: list[Grid], *, name: str) -> None:
    """Refuse a segment whose center lies in none of the images it was drawn on."""
    center = mask.grid.to_patient((np.array([mask.array.shape], float) - 1) / 2)
    for grid in grids:
        index = grid.to_index(center)[0]
        if ((index > -0.5) & (index < np.array(grid.shape) - 0.5)).all():
            return
    if grids:
        raise RoiError(
            "outline_outside_image",
            f"Region {name!r} lies outside its image.",
            remedy="Check that segmentation and image belong to the same study and frame of reference.",
        )
