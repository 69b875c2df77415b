"""Stored pixel values of a DICOM file, decoded; native 16-bit data without detours."""

import warnings

import numpy as np
from jaxtyping import Shaped
from pydicom.pixels import pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dgccl.dicom.elements import Elements
from dgccl.dicom.walk import PIXEL_DATA
from dgccl.errors import DicomError

_NATIVE_LITTLE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)


def stored_values(elements: Elements, *, palette: bool = False) -> Shaped[np.ndarray, "frames rows columns"]:
    """Stored values of every frame, before any rescale.

    Args:
        elements: a whole image file.
        palette: accept indices into a color palette too, as label maps may have.

    Raises:
        DicomError: codes `missing_pixel_data`, `missing_image_size`, `not_monochrome`, `unsupported_bits`,
            `truncated_file`, `undecodable_pixels`.

    Source:
        DICOM PS3.3 section C.7.6.3, PS3.5 section 8.
    """
    if PIXEL_DATA not in elements:
        raise DicomError(
            "missing_pixel_data", "An image file has no pixel data.", remedy="Export the series again."
        )
    if elements.pixels_end_early:
        raise DicomError(
            "truncated_file",
            "An image file ends before its pixel data does.",
            remedy="Export or copy the file again.",
        )
    photometric = elements.text(0x00280004)
    gray = photometric.startswith("MONOCHROME") or (palette and photometric == "PALETTE COLOR")
    if elements.uint16(0x00280002) not in (None, 1) or not gray:
        raise DicomError(
            "not_monochrome",
            f"The image is {photometric or 'of unknown color'}; one gray channel was expected.",
            remedy="Select the original CT or PET series, not a captured or fused one.",
        )
    frames = elements.text(0x00280008) or "1"
    rows, columns = elements.uint16(0x00280010), elements.uint16(0x00280011)
    if not (rows and columns and frames.isdecimal() and int(frames)):
        raise DicomError(
            "missing_image_size", "Rows, Columns or frames are absent or 0.", remedy="Export again."
        )
    shape = (int(frames), rows, columns)
    if elements.syntax in _NATIVE_LITTLE and elements.uint16(0x00280100) == 16:
        return _native_16_bit(elements, shape)
    return _decoded(elements, shape)


def _native_16_bit(
    elements: Elements, shape: tuple[int, int, int]
) -> Shaped[np.ndarray, "frames rows columns"]:
    _, start, stop, _ = elements.index[PIXEL_DATA]
    count = shape[0] * shape[1] * shape[2]
    if stop - start < 2 * count:
        raise DicomError(
            "truncated_file",
            f"The pixel data holds {stop - start} bytes; {2 * count} were expected.",
            remedy="Export or copy the file again.",
        )
    stored = elements.uint16(0x00280101) or 16
    if not 1 <= stored <= 16 or elements.uint16(0x00280102) not in (None, stored - 1):
        raise DicomError(
            "unsupported_bits",
            "The stored bits do not lie in the low bits of each pixel.",
            remedy="Convert the series with a current DICOM tool, e.g. dcmdjpeg or gdcmconv.",
        )
    signed = elements.uint16(0x00280103) == 1
    values = np.frombuffer(elements.data, "<i2" if signed else "<u2", count, start).reshape(shape)
    if stored == 16:
        return values
    # Bits above the stored ones may hold overlays (retired, PS3.5 section 8.1.1) and are no part of the value.
    return (values << (16 - stored)) >> (16 - stored)


def _decoded(elements: Elements, shape: tuple[int, int, int]) -> Shaped[np.ndarray, "frames rows columns"]:
    name = "an unknown transfer syntax"
    try:
        with warnings.catch_warnings():
            # A header that disagrees with the code stream in harmless ways must not stop the series.
            warnings.simplefilter("ignore")
            name = UID(elements.syntax).name
            return pixel_array(elements.to_dataset(pixels=True), raw=True).reshape(shape)
    except Exception as error:  # decoders of five libraries raise whatever they like
        raise DicomError(
            "undecodable_pixels",
            f"Pixel data in {name} cannot be decoded ({type(error).__name__}).",
            remedy="Install a decoder for it (python-gdcm or pylibjpeg), or decompress the series before.",
        ) from error
