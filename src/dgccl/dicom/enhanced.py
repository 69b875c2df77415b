"""Enhanced multi-frame CT and PET: one classic header a frame, so that the rest of the house knows one form."""

from pydicom.dataset import Dataset

from dgccl.dicom.elements import Elements
from dgccl.errors import DicomError

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
# Enhanced PET Corrections (PS3.3 C.8.22.6) to the terms of Corrected Image (PS3.3 C.8.9.1).
_CORRECTIONS = {
    "DecayCorrected": "DECY",
    "AttenuationCorrected": "ATTN",
    "ScatterCorrected": "SCAT",
    "DeadTimeCorrected": "DTIM",
    "RandomsCorrected": "RAN",
    "SensitivityCalibrated": "DCAL",
    "DetectorNormalizationCorrection": "NORM",
}
# UCUM codes of Measurement Units (PS3.16 CID 84) to Units (PS3.3 C.8.9.1) and SUV Type.
_UNITS = {
    "Bq/ml": ("BQML", ""),
    "{counts}": ("CNTS", ""),
    "{propcounts}": ("PROPCNTS", ""),
    "g/ml": ("GML", ""),
    "g/ml{SUVbw}": ("GML", "BW"),
    "g/ml{SUVlbm}": ("GML", "LBM"),
    "g/ml{SUVibw}": ("GML", "IBW"),
    "cm2/ml{SUVbsa}": ("CM2ML", "BSA"),
}


def frame_headers(elements: Elements) -> list[Dataset]:
    """A classic header for each frame of an enhanced object, in the order of its frames.

    The first item of each functional group macro is laid over the common header; per-frame groups win over
    shared ones. For PET, Corrected Image, Units, DecayCorrection and the times are put in classic terms.

    Args:
        elements: an enhanced CT or PET file.

    Raises:
        DicomError: the functional groups are absent or do not match the number of frames.

    Source:
        DICOM PS3.3 section C.7.6.16 (functional groups), C.8.15 (enhanced CT), C.8.22 (enhanced PET).
    """
    dataset = elements.to_dataset(pixels=False)
    frames = dataset.get(_GROUPS[1]) or []
    if len(frames) != int(dataset.get("NumberOfFrames") or 0) or not frames:
        raise DicomError(
            "missing_functional_groups",
            f"The file describes {len(frames)} of its {dataset.get('NumberOfFrames')} frames.",
            remedy="Export the enhanced object again, or as single-frame images.",
        )
    shared = dataset.get(_GROUPS[0]) or []
    common = Dataset({element.tag: element for element in dataset if element.keyword not in _GROUPS})
    headers = []
    for frame in frames:
        header = Dataset(dict(common.items()))
        for group in (*shared, frame):
            for macro in group:
                if macro.VR == "SQ" and macro.value:
                    header.update(dict(macro.value[0].items()))
        if dataset.Modality == "PT":
            _classic_pet(header)
        headers.append(header)
    return headers


def _classic_pet(header: Dataset) -> None:
    """Put what SUV needs in the terms of the classic PET module."""
    if any(keyword in header for keyword in _CORRECTIONS):
        header.CorrectedImage = [term for key, term in _CORRECTIONS.items() if header.get(key) == "YES"]
    units = header.get("MeasurementUnitsCodeSequence") or []
    if units and units[0].get("CodeValue") in _UNITS:
        header.Units, suv_type = _UNITS[units[0].CodeValue]
        if suv_type:
            header.SUVType = suv_type
    if header.get("FrameType"):
        header.ImageType = header.FrameType
    if header.get("FrameAcquisitionDuration") is not None:
        header.ActualFrameDuration = round(float(header.FrameAcquisitionDuration))
    acquired = header.get("FrameAcquisitionDateTime") or header.get("AcquisitionDateTime")
    if header.get("DecayCorrected") == "NO":
        header.DecayCorrection = "NONE"
    elif header.get("DecayCorrectionDateTime"):
        acquired = header.DecayCorrectionDateTime
        injection = next(iter(header.get("RadiopharmaceuticalInformationSequence") or []), Dataset())
        at_injection = str(injection.get("RadiopharmaceuticalStartDateTime", ""))[:14] == str(acquired)[:14]
        header.DecayCorrection = "ADMIN" if at_injection else "START"
    if acquired:
        # The time that counts are corrected to stands in every element in which SUV may look for it.
        date, time = str(acquired)[:8], str(acquired)[8:].split("+")[0].split("-")[0]
        header.AcquisitionDate = header.SeriesDate = date
        header.AcquisitionTime = header.SeriesTime = time
