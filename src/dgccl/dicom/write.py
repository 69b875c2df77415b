"""Writes CT and PET as series of single-frame DICOM files.

One template per series is encoded once; per slice only the elements that change are encoded again, so that a
file costs a fraction of a millisecond. Outlines are written by `dgccl.dicom.write_roi`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.sequence import Sequence as DicomSequence

from dgccl.errors import GeometryError
from dgccl.volume import Volume

Vendor = Literal["siemens", "ge", "philips"]
IMPLEMENTATION_UID = "2.25.208914770417310735174836276042171523389"


@dataclass(frozen=True)
class PatientHeader:
    """What the headers say of a patient; the name is made from the study code.

    Args:
        study_code: stands for name and identifier.
        sex: "M" or "F".
        age_years: at the study.
        height_m: body height, m.
        weight_kg: body weight, kg.
    """

    study_code: str
    sex: Literal["M", "F"]
    age_years: int
    height_m: float
    weight_kg: float


@dataclass(frozen=True)
class StudyHeader:
    """One PET/CT study on one scanner.

    Args:
        patient: whose study.
        vendor: whose conventions the headers follow.
        site: institution.
        start: when the study began.
        uid_seed: study, series and instance UIDs are hashes of this.
    """

    patient: PatientHeader
    vendor: Vendor
    site: str
    start: datetime
    uid_seed: str

    def uid(self, *parts: object) -> str:
        """A UID of the 2.25 arc (PS3.5 B.2), the same for the same seed and parts."""
        digest = hashlib.sha256("/".join(map(str, (self.uid_seed, *parts))).encode()).digest()
        # Version and variant bits of a UUID (RFC 4122), as PS3.5 B.2 asks.
        number = int.from_bytes(digest[:16], "big")
        number = number & ~(0xF << 76) & ~(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
        return f"2.25.{number}"

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return self.uid("study")

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID, shared by CT and PET of one study."""
        return self.uid("frame of reference")


@dataclass(frozen=True)
class CtProtocol:
    """How a CT was made: what its headers state beside the image.

    Args:
        slice_thickness_mm: nominal.
        kvp: tube voltage, kV.
        exposure_mas: exposure, mAs.
        kernel: reconstruction kernel.
    """

    slice_thickness_mm: float
    kvp: float = 120.0
    exposure_mas: int = 80
    kernel: str = "STANDARD"


@dataclass(frozen=True)
class PetProtocol:
    """How a PET was made.

    Args:
        activity_bq: administered at `injected_at`, Bq.
        injected_at: date and time of injection.
        scan_start: start of the first bed position, to which START decay correction refers.
        bed_s: duration of a bed position, s.
        slices_per_bed: slices of one bed position before the table moves.
        units: BQML, or CNTS with Philips' private factors.
        decay_correction: START (to `scan_start`) or ADMIN (to the injection).
        half_life_s: of the nuclide, s.
        slope_per_slice: whether every slice has its own rescale slope.
        series_delay_s: how long after `scan_start` the Series Time lies, as for a series stored after processing.
    """

    activity_bq: float
    injected_at: datetime
    scan_start: datetime
    bed_s: float
    slices_per_bed: int
    units: Literal["BQML", "CNTS"] = "BQML"
    decay_correction: Literal["START", "ADMIN"] = "START"
    half_life_s: float = 6586.2
    slope_per_slice: bool = True
    series_delay_s: float = 0.0

    def decay(self, seconds: float) -> float:
        """Share of the activity that is left after some seconds."""
        return float(np.exp2(-seconds / self.half_life_s))


@dataclass(frozen=True, eq=False)
class WrittenSeries:
    """A series on disk.

    Args:
        paths: one file a slice, by slice index of the volume.
        headers: one data set a slice without pixels, by slice index.
        volume: what was written.
    """

    paths: tuple[Path, ...]
    headers: tuple[Dataset, ...] = field(repr=False)
    volume: Volume = field(repr=False)


_EQUIPMENT: dict[Vendor, tuple[str, str, str, str]] = {
    "siemens": ("SIEMENS", "Biograph-like phantom", "VG80", "B30f"),
    "ge": ("GE MEDICAL SYSTEMS", "Discovery-like phantom", "48.01", "STANDARD"),
    "philips": ("Philips Medical Systems", "Gemini-like phantom", "5.1", "B"),
}


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
    template = _general(study, "CT", series_number=2, start=study.start)
    template.SOPClassUID = uid.CTImageStorage
    template.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    template.SeriesDescription = "CT thorax phantom"
    template.KVP = f"{protocol.kvp:g}"
    template.XRayTubeCurrent = protocol.exposure_mas * 2
    template.ExposureTime = 500
    template.Exposure = protocol.exposure_mas
    template.ConvolutionKernel = protocol.kernel
    template.GantryDetectorTilt = "0"
    template.ReconstructionDiameter = _ds(x * volume.array.shape[2])
    template.AcquisitionNumber = 1
    template.RescaleIntercept, template.RescaleSlope, template.RescaleType = "-1024", "1", "HU"
    template.WindowCenter, template.WindowWidth = "-600", "1500"
    _pixel_module(template, volume, (y, x), bits_stored=16 if ge else 12, signed=ge)
    template.SliceThickness = _ds(protocol.slice_thickness_mm)
    stored = np.clip(np.rint(volume.array) + 1024, 0, 4095).astype("<i2" if ge else "<u2")
    changes = [
        {**_place(study, "CT", volume, k), "PixelData": stored[k].tobytes()} for k in range(len(stored))
    ]
    return _write_series(folder, template, changes, volume)


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
    template = _general(
        study, "PT", series_number=5, start=protocol.scan_start + timedelta(seconds=protocol.series_delay_s)
    )
    _pet_modules(template, protocol, count=volume.array.shape[0])
    _pixel_module(template, volume, (y, x), bits_stored=16, signed=True)
    if study.vendor == "ge":
        block = template.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x0D, "DT", f"{protocol.scan_start:%Y%m%d%H%M%S}.00")
    if protocol.units == "CNTS":
        block = template.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x00, "DS", _ds(1.0 / unit_per_suv))
        block.add_new(0x09, "DS", _ds(bq_per_suv / unit_per_suv))
    values = volume.array.astype(np.float64) * unit_per_suv
    top = values.max(axis=(1, 2)) if protocol.slope_per_slice else np.full(len(values), values.max())
    changes = []
    for k, (plane, peak) in enumerate(zip(values, top, strict=True)):
        slope = _ds(max(peak, 1e-6) / 32767)
        stored = np.clip(np.rint(plane / float(slope)), 0, 32767).astype("<i2")
        times = _bed_times(protocol, k, count=len(values))
        changes.append(
            {**_place(study, "PT", volume, k), **times, "RescaleSlope": slope, "PixelData": stored.tobytes()}
        )
    return _write_series(folder, template, changes, volume)


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
    isotope.RadionuclideTotalDose = _ds(protocol.activity_bq)
    isotope.RadionuclideHalfLife = _ds(protocol.half_life_s)
    isotope.RadionuclidePositronFraction = "0.967"
    isotope.RadionuclideCodeSequence = _code("C-111A1", "SRT", "^18^Fluorine")
    isotope.RadiopharmaceuticalCodeSequence = _code("C-B1031", "SRT", "Fluorodeoxyglucose F^18^")
    template.RadiopharmaceuticalInformationSequence = DicomSequence([isotope])
    orientation = _code("F-10450", "SRT", "recumbent")
    orientation[0].PatientOrientationModifierCodeSequence = _code("F-10340", "SRT", "supine")
    template.PatientOrientationCodeSequence = orientation
    template.PatientGantryRelationshipCodeSequence = _code("F-10470", "SRT", "headfirst")


def _bed_times(protocol: PetProtocol, k: int, *, count: int) -> dict[str, object]:
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
        "FrameReferenceTime": _ds((offset_s + middle_s) * 1000.0),
        "ActualFrameDuration": str(round(protocol.bed_s * 1000)),
        "DecayFactor": _ds(1.0 / protocol.decay(since_s)),
        "ImageIndex": count - k,
    }


def _general(study: StudyHeader, modality: str, *, series_number: int, start: datetime) -> Dataset:
    """Patient, study, series, equipment and frame-of-reference modules."""
    patient = study.patient
    maker, model, software, _ = _EQUIPMENT[study.vendor]
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName = f"PHANTOM^{patient.study_code}"
    ds.PatientID = patient.study_code
    ds.PatientBirthDate = ""
    ds.PatientSex = patient.sex
    ds.PatientAge = f"{patient.age_years:03d}Y"
    ds.PatientSize = _ds(patient.height_m)
    ds.PatientWeight = _ds(patient.weight_kg)
    ds.StudyInstanceUID = study.study_uid
    ds.StudyDate, ds.StudyTime = f"{study.start:%Y%m%d}", f"{study.start:%H%M%S}"
    ds.StudyID = "1"
    ds.StudyDescription = "Digital phantom, no patient"
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.Modality = modality
    ds.SeriesInstanceUID = study.uid("series", modality)
    ds.SeriesNumber = series_number
    ds.SeriesDate, ds.SeriesTime = f"{start:%Y%m%d}", f"{start:%H%M%S}"
    ds.AcquisitionDate, ds.AcquisitionTime = ds.SeriesDate, ds.SeriesTime
    ds.ContentDate, ds.ContentTime = ds.SeriesDate, ds.SeriesTime
    ds.BodyPartExamined = "CHEST"
    ds.PatientPosition = "HFS"
    ds.FrameOfReferenceUID = study.frame_of_reference_uid
    ds.PositionReferenceIndicator = ""
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = maker, model, software
    ds.InstitutionName = study.site
    ds.DeviceSerialNumber = "0"
    ds.StationName = "PHANTOM"
    ds.BurnedInAnnotation = "NO"
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    return ds


def _pixel_module(
    ds: Dataset, volume: Volume, spacing_mm: tuple[float, float], *, bits_stored: int, signed: bool
) -> None:
    """Image Pixel and the constant part of Image Plane (PS3.3 C.7.6.2, C.7.6.3)."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = volume.array.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits_stored, bits_stored - 1
    ds.PixelRepresentation = int(signed)
    ds.PixelSpacing = [_ds(spacing) for spacing in spacing_mm]
    ds.SliceThickness = _ds(volume.grid.spacing_mm[0])


def _place(study: StudyHeader, modality: str, volume: Volume, k: int) -> dict[str, object]:
    """Identity and position of slice k; GE numbers its slices from the head."""
    position = volume.affine[:3, 3] + k * volume.affine[:3, 0]
    count = volume.array.shape[0]
    return {
        "SOPInstanceUID": study.uid("instance", modality, k),
        "InstanceNumber": count - k if study.vendor == "ge" else k + 1,
        "ImagePositionPatient": [_ds(value) for value in position],
        "SliceLocation": _ds(position[2]),
    }


def _write_series(
    folder: Path, template: Dataset, changes: Sequence[dict[str, object]], volume: Volume
) -> WrittenSeries:
    """Write one file a slice: the template's bytes with the changed elements put in their places."""
    folder.mkdir(parents=True, exist_ok=True)
    constant = {int(element.tag): _encode(element) for element in template}
    paths, headers = [], []
    for change in changes:
        header = Dataset()
        for keyword, value in change.items():
            setattr(header, keyword, value)
        header["PixelData"].VR = "OW"
        encoded = constant | {int(element.tag): _encode(element) for element in header}
        path = folder / f"{header.InstanceNumber:05d}.dcm"
        body = b"".join(encoded[tag] for tag in sorted(encoded))
        path.write_bytes(file_head(str(template.SOPClassUID), str(header.SOPInstanceUID)) + body)
        del header.PixelData
        merged = Dataset()
        merged.update(template)
        merged.update(header)
        paths.append(path)
        headers.append(merged)
    return WrittenSeries(tuple(paths), tuple(headers), volume)


def file_head(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Preamble and file meta information of an Explicit VR Little Endian file (PS3.10, 7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = uid.UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = uid.UID(sop_instance_uid)
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid.UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "DGCCL"
    stream = DicomBytesIO()
    write_file_meta_info(stream, meta)
    return b"\x00" * 128 + b"DICM" + stream.getvalue()


def _encode(element: DataElement) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_data_element(stream, element, ["latin_1"])
    return stream.getvalue()


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


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2)."""
    text = f"{float(value):.10g}"
    return text if len(text) <= 16 else f"{float(value):.8g}"


def _code(value: str, scheme: str, meaning: str) -> DicomSequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return DicomSequence([item])
