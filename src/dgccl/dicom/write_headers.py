"""What the headers of a written study say of patient, study, scanner and scan."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset

Vendor = Literal["siemens", "ge", "philips"]


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


_EQUIPMENT: dict[Vendor, tuple[str, str, str, str]] = {
    "siemens": ("SIEMENS", "Biograph-like phantom", "VG80", "B30f"),
    "ge": ("GE MEDICAL SYSTEMS", "Discovery-like phantom", "48.01", "STANDARD"),
    "philips": ("Philips Medical Systems", "Gemini-like phantom", "5.1", "B"),
}


def general_modules(study: StudyHeader, modality: str, *, series_number: int, start: datetime) -> Dataset:
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
    ds.QualityControlSubject = "YES"
    ds.PatientSize = decimal_string(patient.height_m)
    ds.PatientWeight = decimal_string(patient.weight_kg)
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
    ds.FrameOfReferenceUID = study.frame_of_reference_uid
    ds.PositionReferenceIndicator = ""
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = maker, model, software
    ds.InstitutionName = study.site
    ds.DeviceSerialNumber = "0"
    ds.StationName = "PHANTOM"
    ds.BurnedInAnnotation = "NO"
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    return ds


def decimal_string(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2)."""
    text = f"{float(value):.10g}"
    return text if len(text) <= 16 else f"{float(value):.8g}"
