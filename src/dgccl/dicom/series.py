"""Read the files of one CT, PET or MR series into a volume, refusing what does not form one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Shaped
from pydicom.dataset import Dataset

from dgccl.dicom.describe import IMAGE_CLASSES
from dgccl.dicom.elements import Elements, read_elements
from dgccl.dicom.enhanced import PER_FRAME_GROUPS, frame_elements
from dgccl.dicom.geometry import (
    ORIENTATION_TOLERANCE,
    PIXEL_SPACING_TOLERANCE,
    TILT_NOTICED_DEG,
    same_plane_pairs,
    slice_normal,
    stack_slices,
)
from dgccl.dicom.pixels import stored_values
from dgccl.dicom.scan import SeriesFiles
from dgccl.errors import DicomError, GeometryError
from dgccl.volume import Volume

_RESCALE_TYPE, _SLICE_THICKNESS = 0x00281054, 0x00180050
_EXPORT = "Export the whole series again."
# Rescale Type (PS3.3 C.11.1.1.2): unspecified ones are common on plain CT; any other names another quantity.
_HU_TYPES = ("", "HU", "HU_MOD", "US", "UNSPECIFIED")
# Elements by which images at one position differ when they differ in time: Frame Reference Time, Temporal
# Position Identifier and Index, Trigger Time, Nominal Percentage of Cardiac Phase, acquisition times.
_TIME_TAGS = (0x00541300, 0x00200100, 0x00209128, 0x00181060, 0x00209241, 0x00080032, 0x00189074)


@dataclass(frozen=True, eq=False)
class LoadedSeries:
    """A series as a volume.

    Attributes:
        volume: float32; CT in HU, PET in the units that its header names, MR in arbitrary units; rescaled slice by
            slice.
        headers: one a file without pixel data, in the order of the volume's first axis: one a slice, or the
            single header of an enhanced object.
        warnings: reason codes of what was accepted but is worth knowing: `gantry_tilt`,
            `gaps_between_slices`, `not_attenuation_corrected`, `unspecified_rescale_type`,
            `lossy_compression`, `duplicate_instance`.
    """

    volume: Volume
    headers: tuple[Dataset, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Slice:
    frame: Elements
    header: Dataset
    position_mm: Float64[np.ndarray, "3"]
    orientation: Float64[np.ndarray, "6"]
    pixel_spacing_mm: Float64[np.ndarray, "2"]
    slope: float
    intercept: float
    stored: Shaped[np.ndarray, "rows columns"]


def load_series(files: SeriesFiles) -> LoadedSeries:
    """Read, validate, sort and stack a CT, PET or MR series.

    Args:
        files: one series of `dgccl.dicom.scan.scan`.

    Returns:
        The volume with its headers and warnings.

    Raises:
        DicomError: not a CT, PET or MR image series, a localizer, a defect that the scan found, a dynamic series,
            undecodable pixels, a missing rescale (of CT and PET; MR need not have one), or CT that is not in HU.
        GeometryError: the slices do not form one volume (see `dgccl.dicom.geometry.stack_slices`).

    Source:
        DICOM PS3.3 sections C.7.6.2 (image plane), C.11.1 (rescale), C.8.9.4 (PET image).
    """
    _check_kind(files)
    slices = [piece for path in files.paths for piece in _read_slices(path)]
    first = slices[0]
    _check_alike(slices)
    if files.modality == "CT":
        _check_hounsfield(slices)
    positions = np.array([piece.position_mm for piece in slices])
    _check_time(slices, positions)
    spacing = (float(first.pixel_spacing_mm[0]), float(first.pixel_spacing_mm[1]))
    stack = stack_slices(positions, first.orientation, pixel_spacing_mm=spacing)
    slices = [slices[k] for k in stack.order]
    volume = Volume(_rescaled(slices), stack.affine)
    tilted = ("gantry_tilt",) if stack.tilt_deg > TILT_NOTICED_DEG else ()
    return LoadedSeries(
        volume,
        tuple({id(piece.header): piece.header for piece in slices}.values()),
        (*files.warnings, *tilted, *_warnings(files, slices[0].frame, volume.grid.spacing_mm[0])),
    )


def _check_kind(files: SeriesFiles) -> None:
    """Refuse what cannot be a CT, PET or MR volume before any file is read."""
    expected = IMAGE_CLASSES.get(files.modality)
    if expected is None:
        raise DicomError(
            "wrong_modality",
            f"The series is of modality {files.modality or 'unknown'}; CT, PT or MR was expected.",
            remedy="Select a CT, PET or MR image series.",
        )
    if files.sop_class_uid not in expected:
        raise DicomError(
            "wrong_sop_class",
            f"The series says {files.modality} but is not stored as such an image (e.g. a screen capture).",
            remedy="Select the original image series.",
        )
    if files.localizer:
        raise DicomError("localizer", "The series is a localizer.", remedy="Select the axial series.")
    if files.defects:
        defect = files.defects[0]
        raise DicomError(
            defect.code,
            f"{len(files.defects)} of {len(files.paths)} files of the series are defective: {defect.message}",
            remedy=_EXPORT,
        )


def _read_slices(path: Path) -> Iterator[_Slice]:
    elements = read_elements(path, pixels=True)
    stored = stored_values(elements)
    header = elements.to_dataset(pixels=False)
    if PER_FRAME_GROUPS in elements:
        frames = frame_elements(elements)
    elif len(stored) == 1:
        frames = [elements]
    else:
        raise DicomError(
            "missing_functional_groups",
            "A multi-frame file does not say where its frames lie.",
            remedy="Export it as an enhanced object or as single-frame images.",
        )
    for frame, values in zip(frames, stored, strict=True):
        yield _slice(frame, header, values)


def _slice(frame: Elements, header: Dataset, stored: Shaped[np.ndarray, "rows columns"]) -> _Slice:
    """One image with its place and scale, both of which must be there."""
    position, orientation = frame.floats(0x00200032), frame.floats(0x00200037)
    spacing, slope, intercept = (frame.floats(tag) for tag in (0x00280030, 0x00281053, 0x00281052))
    if len(position) != 3 or len(orientation) != 6 or len(spacing) != 2 or not (spacing > 0).all():
        raise GeometryError(
            "missing_geometry",
            "An image lacks Image Position, Image Orientation or a positive Pixel Spacing.",
            remedy=_EXPORT,
        )
    if not len(slope) and not len(intercept) and frame.text(0x00080060) == "MR":
        # Stored MR values are its arbitrary units; classic MR need not say so (PS3.3 C.8.3.1).
        slope, intercept = np.ones(1), np.zeros(1)
    if len(slope) != 1 or len(intercept) != 1 or slope[0] == 0:
        raise DicomError(
            "missing_rescale",
            "An image lacks Rescale Slope or Intercept, or its slope is 0: stored values mean nothing.",
            remedy="Export the original images.",
        )
    return _Slice(frame, header, position, orientation, spacing, float(slope[0]), float(intercept[0]), stored)


def _check_alike(slices: list[_Slice]) -> None:
    """Refuse images of different size, pixel spacing or orientation."""
    first = slices[0]
    if len({piece.stored.shape for piece in slices}) > 1:
        raise GeometryError(
            "mixed_image_size", "The images of the series differ in Rows or Columns.", remedy=_EXPORT
        )
    spacing = np.array([piece.pixel_spacing_mm for piece in slices])
    if np.abs(spacing / first.pixel_spacing_mm - 1).max() > PIXEL_SPACING_TOLERANCE:
        raise GeometryError(
            "mixed_pixel_spacing", "The images of the series differ in Pixel Spacing.", remedy=_EXPORT
        )
    orientation = np.array([piece.orientation for piece in slices])
    if np.abs(orientation - first.orientation).max() > ORIENTATION_TOLERANCE:
        raise GeometryError(
            "mixed_orientation",
            "The images of the series differ in orientation.",
            remedy="Export one reconstruction a series.",
        )


def _check_time(slices: list[_Slice], positions_mm: Float64[np.ndarray, "n 3"]) -> None:
    """Refuse a series that shows a position at several times."""
    for a, b in same_plane_pairs(positions_mm, slice_normal(slices[0].orientation)):
        one, other = slices[a].frame, slices[b].frame
        if any(one.text(tag) != other.text(tag) for tag in _TIME_TAGS):
            raise DicomError(
                "dynamic_series",
                "The series shows the same positions at several times (dynamic or gated).",
                remedy="Select the static series, or sum the time frames of interest before.",
            )


def _rescaled(slices: list[_Slice]) -> Float32[np.ndarray, "z y x"]:
    volume = np.empty((len(slices), *slices[0].stored.shape), dtype=np.float32)
    for k, piece in enumerate(slices):
        volume[k] = piece.stored
        if piece.slope != 1:
            volume[k] *= np.float32(piece.slope)
        if piece.intercept:
            volume[k] += np.float32(piece.intercept)
    return volume


def _check_hounsfield(slices: list[_Slice]) -> None:
    others = {piece.frame.text(_RESCALE_TYPE) for piece in slices}.difference(_HU_TYPES)
    if others:
        raise DicomError(
            "not_hounsfield",
            f"The CT series is in units {', '.join(sorted(others))}; Hounsfield units were expected.",
            remedy="Select the plain CT series, not a material or effective-number map.",
        )


def _warnings(files: SeriesFiles, frame: Elements, spacing_mm: float) -> Iterator[str]:
    """Reason codes of what a reader of the volume should know."""
    thickness = frame.floats(_SLICE_THICKNESS)
    if thickness.size and 0 < 1.5 * thickness[0] < spacing_mm:
        yield "gaps_between_slices"
    if files.attenuation_corrected is False:
        yield "not_attenuation_corrected"
    if files.modality == "CT" and frame.text(_RESCALE_TYPE) in ("US", "UNSPECIFIED"):
        yield "unspecified_rescale_type"
    if frame.text(0x00282110) == "01":
        yield "lossy_compression"
