"""Writes lesion outlines on a CT series: RTSTRUCT contours or a DICOM segmentation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.codedict import codes
from pydicom.tag import Tag

from dgccl.dicom.write_headers import StudyHeader
from dgccl.dicom.write_series import WrittenSeries, file_head
from dgccl.errors import RoiError
from dgccl.types import Mask, PointsMm

MANUFACTURER = "DG-CCL"
CONTOUR_DATA = Tag(0x3006, 0x0050)


def write_rtstruct(
    contours_mm: Mapping[str, Sequence[PointsMm]], path: Path, *, study: StudyHeader, series: WrittenSeries
) -> Path:
    """Write closed planar contours as an RT Structure Set.

    Args:
        contours_mm: ROI name to contours, each in one slice of `series`, (x, y, z) in LPS mm.
        path: file to write.
        study: of the series.
        series: the images on which the outlines were drawn.

    Raises:
        RoiError: an ROI has no contour.

    Source: DICOM PS3.3 A.19 (RT Structure Set IOD).
    """
    _refuse_empty({name: len(contours) for name, contours in contours_mm.items()})
    ds = _roi_header(study, series, modality="RTSTRUCT", series_number=20)
    ds.SOPClassUID = uid.RTStructureSetStorage
    ds.SOPInstanceUID = study.uid("instance", "RTSTRUCT")
    ds.StructureSetLabel = "LESION"
    ds.StructureSetDate, ds.StructureSetTime = ds.StudyDate, ds.StudyTime
    ds.ApprovalStatus = "UNAPPROVED"
    ds.ReferencedFrameOfReferenceSequence = _referenced_frame(study, series)
    ds.StructureSetROISequence, ds.ROIContourSequence, ds.RTROIObservationsSequence = [], [], []
    for number, (name, contours) in enumerate(contours_mm.items(), start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, name, "MANUAL"
        roi.ReferencedFrameOfReferenceUID = study.frame_of_reference_uid
        ds.StructureSetROISequence.append(roi)
        drawn = Dataset()
        drawn.ReferencedROINumber, drawn.ROIDisplayColor = number, [255, 80, 40]
        drawn.ContourSequence = DicomSequence([_contour(points, series) for points in contours])
        ds.ROIContourSequence.append(drawn)
        seen = Dataset()
        seen.ObservationNumber = seen.ReferencedROINumber = number
        seen.RTROIInterpretedType, seen.ROIInterpreter = "", ""
        ds.RTROIObservationsSequence.append(seen)
    return _save(ds, path)


def write_seg(masks: Mapping[str, Mask], path: Path, *, study: StudyHeader, series: WrittenSeries) -> Path:
    """Write masks as a binary DICOM segmentation, one segment each.

    Args:
        masks: segment label to a mask on the grid of `series`, (z, y, x).
        path: file to write.
        study: of the series.
        series: the images on which the masks were drawn.

    Raises:
        RoiError: a mask is empty.

    Source: DICOM PS3.3 A.51 (Segmentation IOD), through highdicom.
    """
    _refuse_empty({name: int(mask.sum()) for name, mask in masks.items()})
    stacked = np.stack(list(masks.values()), axis=-1)
    used = np.flatnonzero(stacked.any(axis=(1, 2, 3)))
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, name in enumerate(masks, start=1)
    ]
    ds = hd.seg.Segmentation(
        source_images=[series.header(int(k)) for k in used],
        pixel_array=stacked[used].astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=study.uid("series", "SEG"),
        series_number=21,
        sop_instance_uid=study.uid("instance", "SEG"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name="phantom",
        software_versions="1",
        device_serial_number="0",
        content_label="LESION",
        series_description="Outline of the lesion",
    )
    _make_repeatable(ds, study)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def _make_repeatable(ds: Dataset, study: StudyHeader) -> None:
    """Replace what highdicom takes from the clock and from chance: equal seeds must give equal files."""
    for part in ("Content", "Series", "InstanceCreation"):
        if f"{part}Date" in ds:
            setattr(ds, f"{part}Date", f"{study.start:%Y%m%d}")
            setattr(ds, f"{part}Time", f"{study.start:%H%M%S}")
    for item in ds.get("ContributingEquipmentSequence", []):
        item.ContributionDateTime = f"{study.start:%Y%m%d%H%M%S}"
    organization = study.uid("dimension organization", "SEG")
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization


def _refuse_empty(sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        if size == 0:
            raise RoiError(
                "empty_roi",
                f"The outline {name} has nothing in it.",
                remedy="Leave it out, or draw it.",
            )


def _roi_header(study: StudyHeader, series: WrittenSeries, *, modality: str, series_number: int) -> Dataset:
    """Patient, study and series modules, copied from the images."""
    ds = Dataset()
    source = series.template
    for keyword in (
        "SpecificCharacterSet",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientAge",
        "PatientSize",
        "PatientWeight",
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "StudyDescription",
        "AccessionNumber",
        "ReferringPhysicianName",
        "InstitutionName",
    ):
        setattr(ds, keyword, source[keyword].value)
    ds.Modality = modality
    ds.SeriesInstanceUID = study.uid("series", modality)
    ds.SeriesNumber = series_number
    ds.SeriesDescription = "Outline of the lesion"
    ds.OperatorsName = ""
    ds.InstanceNumber = 1
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = "phantom"
    ds.FrameOfReferenceUID = study.frame_of_reference_uid
    ds.PositionReferenceIndicator = ""
    return ds


def _referenced_frame(study: StudyHeader, series: WrittenSeries) -> DicomSequence:
    """Frame of reference > study > series > images."""
    images = [_image_reference(series, k) for k in range(len(series.paths))]
    of_series = Dataset()
    of_series.SeriesInstanceUID = series.template.SeriesInstanceUID
    of_series.ContourImageSequence = DicomSequence(images)
    of_study = Dataset()
    of_study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"  # as every vendor writes it
    of_study.ReferencedSOPInstanceUID = study.study_uid
    of_study.RTReferencedSeriesSequence = DicomSequence([of_series])
    frame = Dataset()
    frame.FrameOfReferenceUID = study.frame_of_reference_uid
    frame.RTReferencedStudySequence = DicomSequence([of_study])
    return DicomSequence([frame])


def _image_reference(series: WrittenSeries, k: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = series.template.SOPClassUID
    item.ReferencedSOPInstanceUID = series.changes[k]["SOPInstanceUID"]
    return item


def _contour(points_mm: PointsMm, series: WrittenSeries) -> Dataset:
    """One closed contour, with a reference to the slice nearest to it."""
    item = Dataset()
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points_mm)
    # As bytes: pydicom would turn thousands of strings into numbers and back.
    data = "\\".join(f"{value:.3f}" for value in points_mm.ravel().tolist()).encode()
    data += b" " * (len(data) % 2)
    item[CONTOUR_DATA] = RawDataElement(CONTOUR_DATA, "DS", len(data), data, 0, False, True)
    k = round(float(series.volume.grid.to_index(points_mm[:1])[0, 0]))
    item.ContourImageSequence = DicomSequence([_image_reference(series, k)])
    return item


def _save(ds: Dataset, path: Path) -> Path:
    """Write a data set as Explicit VR Little Endian."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.write(file_head(str(ds.SOPClassUID), str(ds.SOPInstanceUID)))
        dcmwrite(stream, ds, implicit_vr=False, little_endian=True)
    return path
