"""Writes CT and PET as series of single-frame DICOM files.

One template per series is encoded once; per slice only the elements that change are encoded again, so that a
file costs a fraction of a millisecond. Outlines are written by `dgccl.dicom.write_roi`.
"""

import struct
from datetime import timedelta
from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from dgccl.dicom.write_headers import CtProtocol, PetProtocol, StudyHeader, decimal_string, general_modules
from dgccl.dicom.write_series import Changes, WrittenSeries, write_series
from dgccl.errors import GeometryError
from dgccl.volume import Volume


def write_ct(volume: Volume, folder: Path, *, study: StudyHeader, protocol: CtProtocol) -> WrittenSeries:
    """Write a CT in Hounsfield units.

    Args:
        volume: HU, axes along +z, +y, +x of the patient.
        folder: made if absent; one file a slice.
        study: patient, scanner, time.
        protocol: what the headers say of the scan.

    Raises:
        GeometryError: the volume's axes do not run along the patient's.

    Source: DICOM PS3.3 A.3 (CT Image IOD).
    """
    _z, y, x = _check_aligned(volume)
    ge = study.vendor == "ge"
    template = general_modules(study, "CT", series_number=2, start=study.start)
    template.SOPClassUID = uid.CTImageStorage
    template.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    template.SeriesDescription = "CT thorax phantom"
    template.PatientPosition = "HFS"  # PET states it as codes instead (PS3.3 C.7.3.1.1.2)
    template.KVP = f"{protocol.kvp:g}"
    template.XRayTubeCurrent = protocol.exposure_mas * 2
    template.ExposureTime = 500
    template.Exposure = protocol.exposure_mas
    template.ConvolutionKernel = protocol.kernel
    template.GantryDetectorTilt = "0"
    template.ReconstructionDiameter = decimal_string(x * volume.array.shape[2])
    template.AcquisitionNumber = 1
    template.RescaleIntercept, template.RescaleSlope, template.RescaleType = "-1024", "1", "HU"
    template.WindowCenter, template.WindowWidth = "-600", "1500"
    _pixel_module(template, volume, (y, x), bits_stored=16 if ge else 12, signed=ge)
    template.SliceThickness = decimal_string(protocol.slice_thickness_mm)
    stored = np.clip(np.rint(volume.array) + 1024, 0, 4095).astype("<i2" if ge else "<u2")
    changes = [
        {**_place(study, "CT", volume, k), "PixelData": stored[k].tobytes()} for k in range(len(stored))
    ]
    return write_series(folder, template, changes, volume)


def write_pet(volume: Volume, folder: Path, *, study: StudyHeader, protocol: PetProtocol) -> WrittenSeries:
    """Write a PET, given as SUVbw, in the units and by the conventions of its vendor.

    Args:
        volume: SUVbw, g/mL, axes along +z, +y, +x of the patient.
        folder: made if absent; one file a slice.
        study: patient, scanner, time.
        protocol: dose, times, units.

    Raises:
        GeometryError: the volume's axes do not run along the patient's.

    Source: DICOM PS3.3 A.21 (PET Image IOD); Philips and GE conformance statements for the private elements.
    """
    _, y, x = _check_aligned(volume)
    uptake_s = (protocol.scan_start - protocol.injected_at).total_seconds()
    left = protocol.decay(uptake_s) if protocol.decay_correction == "START" else 1.0
    bq_per_suv = protocol.activity_bq * left / (study.patient.weight_kg * 1000.0)
    # An arbitrary count scale, as Philips' images have: 1 count = 1 / 0.37 Bq/mL.
    unit_per_suv = bq_per_suv * (0.37 if protocol.units == "CNTS" else 1.0)
    template = general_modules(
        study, "PT", series_number=5, start=protocol.scan_start + timedelta(seconds=protocol.series_delay_s)
    )
    _pet_modules(template, protocol, count=volume.array.shape[0])
    _pixel_module(template, volume, (y, x), bits_stored=16, signed=True)
    if study.vendor == "ge":
        block = template.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x0D, "DT", f"{protocol.scan_start:%Y%m%d%H%M%S}.00")
    if protocol.units == "CNTS":
        block = template.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x00, "DS", decimal_string(1.0 / unit_per_suv))
        block.add_new(0x09, "DS", decimal_string(bq_per_suv / unit_per_suv))
    values = volume.array.astype(np.float64) * unit_per_suv
    top = values.max(axis=(1, 2)) if protocol.slope_per_slice else np.full(len(values), values.max())
    changes = []
    for k, (plane, peak) in enumerate(zip(values, top, strict=True)):
        slope = decimal_string(max(peak, 1e-6) / 32767)
        stored = np.clip(np.rint(plane / float(slope)), 0, 32767).astype("<i2")
        times = _bed_times(protocol, k, count=len(values))
        changes.append(
            {**_place(study, "PT", volume, k), **times, "RescaleSlope": slope, "PixelData": stored.tobytes()}
        )
    return write_series(folder, template, changes, volume)


def _pet_modules(template: Dataset, protocol: PetProtocol, *, count: int) -> None:
    """PET Series, PET Isotope and PET Image modules (PS3.3 C.8.9)."""
    template.SOPClassUID = uid.PositronEmissionTomographyImageStorage
    template.ImageType = ["ORIGINAL", "PRIMARY"]
    template.SeriesDescription = "PET AC phantom"
    template.SeriesType = ["WHOLE BODY", "IMAGE"]
    template.Units = protocol.units
    template.CountsSource = "EMISSION"
    template.NumberOfSlices = count
    template.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
    template.RandomsCorrectionMethod = "DLYD"
    template.AttenuationCorrectionMethod = "CTAC"
    template.ScatterCorrectionMethod = "Model-based"
    template.ReconstructionMethod = "OSEM phantom"
    template.DecayCorrection = protocol.decay_correction
    template.CollimatorType = "NONE"
    template.RescaleIntercept = "0"
    template.DeadTimeFactor = "1"
    template.DoseCalibrationFactor = "1"
    isotope = Dataset()
    isotope.Radiopharmaceutical = "Fluorodeoxyglucose"
    isotope.RadiopharmaceuticalRoute = "Intravenous route"
    isotope.RadiopharmaceuticalStartTime = f"{protocol.injected_at:%H%M%S}.00"
    isotope.RadiopharmaceuticalStartDateTime = f"{protocol.injected_at:%Y%m%d%H%M%S}.00"
    isotope.RadionuclideTotalDose = decimal_string(protocol.activity_bq)
    isotope.RadionuclideHalfLife = decimal_string(protocol.half_life_s)
    isotope.RadionuclidePositronFraction = "0.967"
    isotope.RadionuclideCodeSequence = _code("C-111A1", "SRT", "^18^Fluorine")
    isotope.RadiopharmaceuticalCodeSequence = _code("C-B1031", "SRT", "Fluorodeoxyglucose F^18^")
    template.RadiopharmaceuticalInformationSequence = DicomSequence([isotope])
    orientation = _code("F-10450", "SRT", "recumbent")
    orientation[0].PatientOrientationModifierCodeSequence = _code("F-10340", "SRT", "supine")
    template.PatientOrientationCodeSequence = orientation
    template.PatientGantryRelationshipCodeSequence = _code("F-10470", "SRT", "headfirst")


def _bed_times(protocol: PetProtocol, k: int, *, count: int) -> Changes:
    """Acquisition time, frame time and decay factor of a slice; beds go from the head downwards."""
    bed = (count - 1 - k) // protocol.slices_per_bed
    offset_s = bed * (protocol.bed_s + 3.0)  # 3 s for the table to move
    began = protocol.scan_start + timedelta(seconds=offset_s)
    decay = np.log(2) / protocol.half_life_s
    within = decay * protocol.bed_s
    # Time at which the decaying activity has its mean over the frame (PS3.3 C.8.9.4, Frame Reference Time).
    middle_s = np.log(within / -np.expm1(-within)) / decay
    since_s = offset_s + middle_s
    if protocol.decay_correction == "ADMIN":
        since_s += (protocol.scan_start - protocol.injected_at).total_seconds()
    return {
        "AcquisitionDate": f"{began:%Y%m%d}",
        "AcquisitionTime": f"{began:%H%M%S.%f}",
        "FrameReferenceTime": decimal_string((offset_s + middle_s) * 1000.0),
        "ActualFrameDuration": str(round(protocol.bed_s * 1000)),
        "DecayFactor": decimal_string(1.0 / protocol.decay(since_s)),
        "ImageIndex": struct.pack("<H", count - k),
    }


def _pixel_module(
    ds: Dataset, volume: Volume, spacing_mm: tuple[float, float], *, bits_stored: int, signed: bool
) -> None:
    """Image Pixel and the constant part of Image Plane (PS3.3 C.7.6.2, C.7.6.3)."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = volume.array.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits_stored, bits_stored - 1
    ds.PixelRepresentation = int(signed)
    ds.PixelSpacing = [decimal_string(spacing) for spacing in spacing_mm]
    ds.SliceThickness = decimal_string(volume.grid.spacing_mm[0])


def _place(study: StudyHeader, modality: str, volume: Volume, k: int) -> Changes:
    """Identity and position of slice k; GE numbers its slices from the head."""
    position = volume.affine[:3, 3] + k * volume.affine[:3, 0]
    count = volume.array.shape[0]
    return {
        "SOPInstanceUID": study.uid("instance", modality, k),
        "InstanceNumber": str(count - k if study.vendor == "ge" else k + 1),
        "ImagePositionPatient": [decimal_string(value) for value in position],
        "SliceLocation": decimal_string(position[2]),
    }


def _check_aligned(volume: Volume) -> tuple[float, float, float]:
    """Spacing (z, y, x), mm, of a volume whose axes run along +z, +y, +x."""
    permuted = volume.affine[:3, :3][::-1]
    if np.abs(permuted - np.diag(np.diag(permuted))).max() > 1e-6 or (np.diag(permuted) <= 0).any():
        raise GeometryError(
            "volume_not_axial",
            "The volume to be written does not run along +z, +y, +x of the patient.",
            remedy="Resample it onto an axial grid first.",
        )
    return volume.grid.spacing_mm


def _code(value: str, scheme: str, meaning: str) -> DicomSequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return DicomSequence([item])
