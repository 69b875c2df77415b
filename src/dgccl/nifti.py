"""NIfTI images and masks as volumes in the DICOM patient system, and back (nibabel is imported on use)."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Shaped

from dgccl.errors import DgcclError, DicomError, GeometryError, RoiError
from dgccl.types import Affine
from dgccl.volume import Volume

# NIfTI's x runs to the patient's right and y to the front, DICOM's to the left and the back.
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Two statements of one position may differ by the rounding of float32 headers and quaternions.
_AFFINE_TOLERANCE_MM = 0.05
# More labels than a byte can hold are the gray values of an image, not lesions.
_MOST_LABELS = 255
_MM_PER_UNIT = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}


def read_nifti(path: Path, *, kind: Literal["ct_hu", "suv_bw", "intensity", "mask"]) -> Volume:
    """Read a 3-D NIfTI file as a volume in LPS mm.

    The affine is the sform or, where that is not set, the qform; where both are set and disagree on a corner
    voxel by more than 0.05 mm, neither can be trusted and the file is refused. scl_slope and scl_inter are
    applied. A fourth axis of length one is dropped.

    Args:
        path: a .nii or .nii.gz file.
        kind: `ct_hu` (HU), `suv_bw` (g/mL) and `intensity` (arbitrary units) give float32; `mask`, which holds 0
            and 1, gives bool.

    Returns:
        volume with the array (z, y, x), that is with the file's axes reversed.

    Raises:
        DicomError: `nifti_unreadable`, `nifti_not_3d`, `nifti_not_numeric`, `nan_in_image`.
        GeometryError: `nifti_without_affine`, `nifti_affines_disagree`, `nifti_unknown_units`, `singular_affine`.
        RoiError: `nan_in_mask`, `mask_not_binary`.

    Source: NIfTI-1 standard (nifti1.h), methods 2 and 3.
    """
    data, affine = _read(path)
    if kind == "mask":
        labels = _labels(data, path)
        if not np.isin(labels, (0, 1)).all():
            raise RoiError(
                "mask_not_binary",
                f"{path.name} holds other values than 0 and 1, up to {labels.max()}; a mask was expected.",
                remedy="Read it as labels, or write one file a lesion.",
            )
        return Volume(labels.astype(bool), affine)
    values = data.astype(np.float32)
    if not np.isfinite(values).all():
        bad = int(values.size - np.isfinite(values).sum())
        raise DicomError(
            "nan_in_image",
            f"{path.name} has {bad} voxels that are NaN or infinite; an image was expected.",
            remedy="Replace them by the value of air (-1000 HU, 0 SUV, the darkest of MR) where nothing was scanned.",
        )
    return Volume(values, affine)


def read_nifti_labels(path: Path) -> dict[int, Volume]:
    """Read a NIfTI label map as one mask a label.

    Args:
        path: a .nii or .nii.gz file whose voxels are whole numbers, 0 for background.

    Returns:
        bool masks on the grid of the file by label, in rising order; empty if the file holds background only.

    Raises:
        DicomError, GeometryError: as `read_nifti`.
        RoiError: `nan_in_mask`, `labels_not_whole_numbers`, `too_many_labels` (over 255: an image, no mask).
    """
    data, affine = _read(path)
    labels = _labels(data, path)
    found = [int(label) for label in np.unique(labels) if label != 0]
    if len(found) > _MOST_LABELS:
        raise RoiError(
            "too_many_labels",
            f"{path.name} holds {len(found)} different values; a mask with at most {_MOST_LABELS} labels was expected.",
            remedy="If it is an image, such as an MR, name it with --image; else keep it elsewhere.",
        )
    return {label: Volume(labels == label, affine) for label in found}


def write_nifti(volume: Volume, path: Path) -> None:
    """Write a volume as NIfTI-1, gzipped if the name ends in .gz.

    sform and qform both carry the affine, unless its axes are not orthogonal, which a qform cannot say.

    Args:
        volume: array (z, y, x); bool becomes uint8, float64 float32, int64 int32.
        path: target ending in .nii or .nii.gz.

    Raises:
        DicomError: `nifti_unwritable_type`, `nifti_bad_name`.
        GeometryError: `singular_affine`.
    """
    import nibabel as nib

    if not path.name.endswith((".nii", ".nii.gz")):
        raise DicomError("nifti_bad_name", f"{path.name} was to be written; .nii or .nii.gz was expected.")
    array, grid = volume.array, volume.grid
    if array.dtype.kind not in "biuf":
        raise DicomError("nifti_unwritable_type", f"An array of type {array.dtype} has no place in NIfTI.")
    smaller = {
        "bool": np.uint8,
        "float64": np.float32,
        "float16": np.float32,
        "int64": np.int32,
        "uint64": np.uint32,
    }
    stored = array.astype(smaller.get(array.dtype.name, array.dtype))
    if stored.dtype.kind in "iu" and not np.array_equal(stored, array):
        raise DicomError("nifti_unwritable_type", "The array holds whole numbers beyond 32 bits.")
    affine = _RAS_TO_LPS @ grid.affine[:, [2, 1, 0, 3]]
    image = nib.Nifti1Image(stored.transpose(2, 1, 0), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    orthogonal = np.allclose(directions.T @ directions, np.eye(3), atol=1e-6)
    image.set_qform(affine if orthogonal else None, code="scanner" if orthogonal else 0)
    nib.save(image, path)


def _read(path: Path) -> tuple[Shaped[np.ndarray, "z y x"], Affine]:
    import nibabel as nib

    if not path.is_file():
        raise DicomError("nifti_not_found", f"There is no file {path.name}.")
    try:
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image):  # Nifti2Image is one too
            raise _unreadable(path, f"it is {type(image).__name__}, not NIfTI")
        affine = _lps_affine(image, path)
        data = np.asanyarray(image.dataobj)
    except DgcclError:
        raise
    except Exception as error:  # nibabel, zlib and NumPy each have their own for a damaged file
        raise _unreadable(path, type(error).__name__) from error
    if data.ndim > 3 and all(length == 1 for length in data.shape[3:]):
        data = data.reshape(data.shape[:3])
    if data.ndim != 3:
        raise DicomError(
            "nifti_not_3d",
            f"{path.name} has the shape {data.shape}; one 3-D image was expected.",
            remedy="Choose one frame and write it as its own file.",
        )
    if data.dtype.kind not in "biuf":
        raise DicomError("nifti_not_numeric", f"{path.name} holds {data.dtype}; plain numbers were expected.")
    return np.ascontiguousarray(data.transpose(2, 1, 0)), affine


def _unreadable(path: Path, why: str) -> DicomError:
    return DicomError(
        "nifti_unreadable",
        f"{path.name} cannot be read as NIfTI ({why}).",
        remedy="It may be truncated or of another format: write it again.",
    )


def _labels(data: Shaped[np.ndarray, "z y x"], path: Path) -> Shaped[np.ndarray, "z y x"]:
    """Whole-number labels of a mask or label map."""
    if data.dtype.kind in "bui":
        return data.astype(np.int64)
    if not np.isfinite(data).all():
        raise RoiError(
            "nan_in_mask",
            f"{path.name} has voxels that are NaN or infinite; whole numbers were expected in a mask.",
            remedy="Write the mask again with 0 for background.",
        )
    labels = np.rint(data)
    if np.abs(data - labels).max(initial=0.0) > 1e-3:
        raise RoiError(
            "labels_not_whole_numbers",
            f"{path.name} holds fractions; whole numbers were expected in a mask.",
            remedy="Resample masks with nearest neighbor, or apply a threshold.",
        )
    return labels.astype(np.int64)


def _lps_affine(image: Any, path: Path) -> Affine:
    """Affine from array indices (k, j, i) to LPS mm, by the rule that `read_nifti` states."""
    stated = [matrix for matrix in _stated_affines(image.header) if matrix is not None]
    if not stated:
        raise GeometryError(
            "nifti_without_affine",
            f"{path.name} has neither sform nor qform: where its voxels lie is unknown.",
            remedy="Write it again with the affine of its image.",
        )
    shape = np.array((*image.shape, 1, 1, 1)[:3], dtype=float)
    corners = np.stack(np.meshgrid(*((0.0, n - 1.0) for n in shape), indexing="ij"), axis=-1).reshape(-1, 3)
    corners_mm = [corners @ matrix[:3, :3].T + matrix[:3, 3] for matrix in stated]
    gap_mm = float(np.linalg.norm(corners_mm[0] - corners_mm[-1], axis=1).max())
    if not gap_mm <= _AFFINE_TOLERANCE_MM:
        raise GeometryError(
            "nifti_affines_disagree",
            f"sform and qform of {path.name} place the same voxel up to {gap_mm:.2f} mm apart.",
            remedy="Keep the right one and set the code of the other to 0.",
        )
    affine = _RAS_TO_LPS @ stated[0][:, [2, 1, 0, 3]]
    affine = np.vstack([affine[:3] * _mm_per_unit(image.header, path), [0.0, 0.0, 0.0, 1.0]])
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise GeometryError(
            "singular_affine", f"The affine of {path.name} is singular: at least two of its axes coincide."
        )
    return affine


def _stated_affines(header: Any) -> list[Float64[np.ndarray, "4 4"] | None]:
    return [header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]]


def _mm_per_unit(header: Any, path: Path) -> float:
    try:
        return _MM_PER_UNIT[header.get_xyzt_units()[0]]
    except KeyError as error:
        raise GeometryError(
            "nifti_unknown_units", f"{path.name} states an unknown unit of length; mm was expected."
        ) from error
