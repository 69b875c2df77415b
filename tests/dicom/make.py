"""Small synthetic CT and PET series, outlines, and the tools to write them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
PET_CLASS = "1.2.840.10008.5.1.4.1.1.128"
ENHANCED_CT_CLASS = "1.2.840.10008.5.1.4.1.1.2.1"
AXIAL = np.array([1.0, 0, 0, 0, 1, 0])


def uid(*words: object) -> str:
    """A UID that depends on nothing but the words."""
    return generate_uid(entropy_srcs=[str(word) for word in ("dgccl-test", *words)])


def image(
    stored: np.ndarray,
    position_mm: Sequence[float],
    *,
    series: str = "ct",
    modality: str = "CT",
    orientation: np.ndarray = AXIAL,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    slope: float = 1.0,
    intercept: float = -1024.0,
    study: str = "study",
    patient: str = "P1",
    **elements: object,
) -> Dataset:
    """One CT or PET image; `elements` are laid over it (None removes an element)."""
    dataset = Dataset()
    dataset.SOPClassUID = CT_CLASS if modality == "CT" else PET_CLASS
    dataset.SOPInstanceUID = uid(
        patient, series, *np.round(position_mm, 6), elements.get("AcquisitionTime", "")
    )
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyDate = "20200102"
    dataset.Modality = modality
    dataset.PatientName = "Secret^Name"
    dataset.PatientID = patient
    dataset.StudyInstanceUID = uid(patient, study)
    dataset.SeriesInstanceUID = uid(patient, series)
    dataset.FrameOfReferenceUID = uid(patient, study, "frame")
    dataset.ImagePositionPatient = [f"{v:.6g}" for v in position_mm]
    dataset.ImageOrientationPatient = [f"{v:.10f}"[:16] for v in orientation]
    dataset.PixelSpacing = [f"{v:.8g}" for v in spacing_mm]
    dataset.SliceThickness = "1"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = stored.dtype.itemsize * 8
    dataset.BitsStored = dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.RescaleSlope, dataset.RescaleIntercept = f"{slope:.8g}", f"{intercept:.8g}"
    if modality == "PT":
        dataset.CorrectedImage = ["ATTN", "DECY", "SCAT"]
        dataset.Units = "BQML"
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def stack(
    stored: np.ndarray, *, spacing_mm: float = 2.0, origin_mm: Sequence[float] = (0, 0, 0), **more: object
):
    """One image a slice of (z, y, x), axial unless an orientation is given."""
    orientation = np.asarray(more.get("orientation", AXIAL))
    normal = np.cross(orientation[:3], orientation[3:])
    return [
        image(plane, np.asarray(origin_mm) + k * spacing_mm * normal, **more)
        for k, plane in enumerate(stored)
    ]


def ramp(shape: tuple[int, int, int] = (4, 5, 6), *, dtype: str = "<i2") -> np.ndarray:
    """Values of which no two are equal."""
    return (np.arange(np.prod(shape)) * 7 % 4001).reshape(shape).astype(dtype)


def write(
    dataset: Dataset, path: Path, *, syntax: str = ExplicitVRLittleEndian, preamble: bool = True
) -> Path:
    """Write a data set; without preamble it has no file meta information either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not preamble:
        little = syntax != ExplicitVRBigEndian
        dcmwrite(path, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little)
        return path
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta = meta
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write_all(datasets: Sequence[Dataset], folder: Path, *, seed: int = 0, **more: object) -> Path:
    """Write data sets under names that say nothing of their order."""
    for number, k in enumerate(np.random.default_rng(seed).permutation(len(datasets))):
        write(datasets[k], folder / f"{datasets[k].Modality}{number:03d}", **more)
    return folder


def item(**elements: object) -> Dataset:
    """A sequence item."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(
            dataset,
            keyword,
            DicomSequence(value) if isinstance(value, list) and keyword.endswith("Sequence") else value,
        )
    return dataset


def enhanced(
    stored: np.ndarray, order: Sequence[int], *, spacing_mm: float = 2.0, slopes: Sequence[float]
) -> Dataset:
    """An enhanced CT whose frames lie in the given order; one slope a slice."""
    dataset = image(stored[0], (0, 0, 0), SOPClassUID=ENHANCED_CT_CLASS)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(dataset, keyword)
    del dataset.RescaleSlope, dataset.RescaleIntercept
    dataset.NumberOfFrames = len(order)
    dataset.PixelData = stored[list(order)].tobytes()
    dataset.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=["0.5", "0.75"], SliceThickness="2")],
            PlaneOrientationSequence=[item(ImageOrientationPatient=[str(v) for v in AXIAL])],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            FrameContentSequence=[item(FrameAcquisitionDateTime="20200102120000")],
            PlanePositionSequence=[item(ImagePositionPatient=["1", "2", f"{k * spacing_mm:g}"])],
            PixelValueTransformationSequence=[
                item(RescaleSlope=f"{slopes[k]:g}", RescaleIntercept="-1000", RescaleType="HU")
            ],
        )
        for k in order
    ]
    return dataset


def rtstruct(
    regions: dict[str, list[np.ndarray]], series_uid: str, *, kind: str = "CLOSED_PLANAR"
) -> Dataset:
    """A structure set with one ROI for each name, drawn on one series."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", uid("rs", *regions)
    dataset.Modality, dataset.PatientID = "RTSTRUCT", "P1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("P1", "study"), uid("P1", "rs")
    series = item(SeriesInstanceUID=series_uid, ContourImageSequence=[])
    dataset.ReferencedFrameOfReferenceSequence = [
        item(
            FrameOfReferenceUID=uid("f"),
            RTReferencedStudySequence=[item(RTReferencedSeriesSequence=[series])],
        )
    ]
    dataset.StructureSetROISequence = [
        item(ROINumber=n, ROIName=name) for n, name in enumerate(regions, start=1)
    ]
    dataset.ROIContourSequence = [
        item(
            ReferencedROINumber=n,
            ContourSequence=[
                item(
                    ContourGeometricType=kind,
                    NumberOfContourPoints=len(points),
                    ContourData=[f"{v:.6g}" for v in points.ravel()],
                )
                for points in contours
            ],
        )
        for n, contours in enumerate(regions.values(), start=1)
    ]
    return dataset
