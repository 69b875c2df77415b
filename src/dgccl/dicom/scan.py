"""Find the DICOM files below a folder and group them into patients, studies and series."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from dgccl.dicom.describe import (
    IMAGE_CLASSES,
    PET_CLASSES,
    PointTuple,
    attenuation_corrected,
    check_same_instance,
    extent,
    references,
)
from dgccl.dicom.elements import Elements, read_elements
from dgccl.dicom.enhanced import PER_FRAME_GROUPS
from dgccl.dicom.walk import PIXEL_DATA
from dgccl.errors import DgcclError, DicomError

_DIRECTORY_RECORDS = 0x00041220
_SOP_INSTANCE_UID, _MODALITY = 0x00080018, 0x00080060
_REQUIRED = {
    "SOP Class UID": 0x00080016,
    "SOP Instance UID": _SOP_INSTANCE_UID,
    "Modality": _MODALITY,
    "Study Instance UID": 0x0020000D,
    "Series Instance UID": 0x0020000E,
}
_POSITION = 0x00200032
_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})


@dataclass(frozen=True)
class Rejected:
    """A file that cannot be used, and why; the message never names the file, whose name may tell a patient's."""

    path: Path
    code: str
    message: str
    series_uid: str = ""


@dataclass(frozen=True)
class SeriesFiles:
    """The files of one series and what choosing among series needs to know.

    Images of one Series Instance UID that differ in SOP class, or in being a localizer, form separate entries.

    Attributes:
        patient_id: Patient ID, the study code.
        modality: as DICOM says: CT, PT, RTSTRUCT, SEG, ...
        study_date: YYYYMMDD, empty if absent.
        paths: files, sorted.
        referenced_series_uids: images on which an RTSTRUCT or SEG was drawn.
        localizer: a scout view.
        attenuation_corrected: PET: whether Corrected Image lists ATTN; None if the element is absent.
        planes: number of distinct slice positions (0 where there are none).
        frames: number of images.
        slice_spacing_mm: median distance between planes, None where there is only one.
        box_mm: lowest and highest corner of the imaged region, LPS mm, along the patient's axes.
        defects: why the series must not be loaded, e.g. a truncated slice; empty if it may.
        warnings: reason codes of what was put right.
    """

    patient_id: str
    study_uid: str
    series_uid: str
    modality: str
    sop_class_uid: str
    frame_of_reference_uid: str
    study_date: str
    paths: tuple[Path, ...]
    referenced_series_uids: tuple[str, ...] = ()
    localizer: bool = False
    attenuation_corrected: bool | None = None
    planes: int = 0
    frames: int = 0
    slice_spacing_mm: float | None = None
    box_mm: tuple[PointTuple, PointTuple] | None = None
    defects: tuple[Rejected, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """The series of one study."""

    study_uid: str
    study_date: str
    series: tuple[SeriesFiles, ...]


@dataclass(frozen=True)
class Patient:
    """The studies of one patient."""

    patient_id: str
    studies: tuple[Study, ...]

    @property
    def series(self) -> tuple[SeriesFiles, ...]:
        """All series of the patient."""
        return tuple(series for study in self.studies for series in study.series)


@dataclass(frozen=True)
class Scan:
    """What lies below a folder.

    Attributes:
        patients: sorted by Patient ID.
        rejected: files that claim to be DICOM, or are, but cannot be used.
        skipped: number of files that are no DICOM image or outline (other formats, DICOMDIR).
    """

    patients: tuple[Patient, ...]
    rejected: tuple[Rejected, ...]
    skipped: int

    @property
    def series(self) -> tuple[SeriesFiles, ...]:
        """All series of all patients."""
        return tuple(series for patient in self.patients for series in patient.series)


@dataclass(eq=False)
class _Group:
    """A series while its files come in; `first` is the header of an image, None for other objects."""

    frame_of_reference_uid: str
    study_date: str
    first: Elements | None
    paths: dict[str, Path] = field(default_factory=dict)
    positions: list[PointTuple] = field(default_factory=list)
    references: dict[str, None] = field(default_factory=dict)
    defects: list[Rejected] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)
    frames: int = 0


_Key = tuple[str, str, str, str, str, bool]


def scan(folder: Path) -> Scan:
    """Find DICOM files below a folder, whatever their names, and group them.

    Only headers are read, so a folder may be far larger than memory. Symbolic links are followed, each folder
    visited once. Files that are not DICOM are skipped, unless their suffix says otherwise: then they are
    rejected. Copies of an instance are dropped; instances that share a UID but not their pixels make the
    series defective, and so does a truncated slice.

    Args:
        folder: where to look, all levels deep.

    Raises:
        DicomError: the folder does not exist.
    """
    if not folder.is_dir():
        raise DicomError("no_folder", "The DICOM folder does not exist.", remedy="Check the path.")
    groups: dict[_Key, _Group] = {}
    rejected: list[Rejected] = []
    skipped = 0
    for path in files_below(folder):
        claims_dicom = path.suffix.lower() in _SUFFIXES
        try:
            elements = read_elements(path, pixels=False)
            if _DIRECTORY_RECORDS in elements:
                skipped += 1
                continue
            rejected += _add(groups, path, elements)
        except DgcclError as error:
            if error.code in ("not_dicom", "empty_file") and not claims_dicom:
                skipped += 1
            else:
                rejected.append(Rejected(path, error.code, error.message))
    return Scan(_patients(groups), tuple(rejected), skipped)


def files_below(folder: Path) -> Iterator[Path]:
    """Regular files below a folder in a stable order; a folder that links lead to twice is visited once."""
    visited: set[tuple[int, int]] = set()
    waiting = [str(folder)]
    while waiting:
        current = waiting.pop()
        try:
            status = os.stat(current)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(current) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            yield Path(current)  # reading it as a file then rejects it with the reason
            continue
        folders = []
        for entry in entries:
            if entry.is_dir():
                folders.append(entry.path)
            elif entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):
                yield Path(entry.path)  # a dead link is rejected when it is read
        waiting += reversed(folders)


def _add(groups: dict[_Key, _Group], path: Path, elements: Elements) -> list[Rejected]:
    """Put a file into its series; returns what is wrong with it."""
    missing = [name for name, tag in _REQUIRED.items() if tag not in elements]
    if missing:
        raise DicomError("incomplete_header", f"The file lacks {', '.join(missing)}.", remedy="Export again.")
    sop_class, instance, modality, study, series = (elements.text(tag) for tag in _REQUIRED.values())
    is_image = any(sop_class in classes for classes in IMAGE_CLASSES.values())
    localizer = is_image and "LOCALIZER" in elements.texts(0x00080008)
    key = (elements.text(0x00100020), study, series, modality, sop_class, localizer)
    group = groups.get(key)
    if group is None:
        # Outlines and pixels are not kept, so that memory stays small however large the folder.
        first = _without_pixels(elements) if is_image else None
        group = groups[key] = _Group(elements.text(0x00200052), elements.text(0x00080020), first)
    try:
        earlier = group.paths.get(instance)
        if earlier is not None:
            check_same_instance(earlier, path)
            group.warnings["duplicate_instance"] = None
            return []
        group.paths[instance] = path
        if is_image:
            _add_image(group, elements)
        elif modality in ("RTSTRUCT", "SEG"):
            group.references.update(dict.fromkeys(references(elements)))
    except DgcclError as error:
        defect = Rejected(path, error.code, error.message, series_uid=series)
        group.defects.append(defect)
        return [defect]
    return []


def _without_pixels(elements: Elements) -> Elements:
    place = elements.index.get(PIXEL_DATA)
    return elements if place is None else replace(elements, data=elements.data[: place[1]])


def _add_image(group: _Group, elements: Elements) -> None:
    """Take position and orientation of an image's frames into its series."""
    group.frames += 1
    if PIXEL_DATA not in elements:
        raise DicomError("missing_pixel_data", "An image file has no pixel data.", remedy="Export again.")
    if elements.pixels_end_early:
        raise DicomError(
            "truncated_file",
            "An image file ends before its pixel data does.",
            remedy="Export or copy the file again.",
        )
    places = [elements]
    if PER_FRAME_GROUPS in elements:  # multi-frame: position and orientation stand in functional groups
        frames = list(elements.items(PER_FRAME_GROUPS))
        group.frames += len(frames) - 1
        places = [plane for frame in frames for plane in frame.items(0x00209113)]
    for place in places:
        position = place.floats(_POSITION)
        if position.shape == (3,):
            group.positions.append(tuple(position.tolist()))


def _patients(groups: dict[_Key, _Group]) -> tuple[Patient, ...]:
    studies: dict[str, dict[str, list[SeriesFiles]]] = {}
    for key in sorted(groups):
        series = _series_files(key, groups[key])
        studies.setdefault(key[0], {}).setdefault(key[1], []).append(series)
    return tuple(
        Patient(
            patient_id,
            tuple(Study(uid, series[0].study_date, tuple(series)) for uid, series in by_study.items()),
        )
        for patient_id, by_study in studies.items()
    )


def _series_files(key: _Key, group: _Group) -> SeriesFiles:
    patient_id, study_uid, series_uid, modality, sop_class, localizer = key
    first = group.first
    planes, spacing, box = (0, None, None) if first is None else extent(first, group.positions)
    return SeriesFiles(
        patient_id=patient_id,
        study_uid=study_uid,
        series_uid=series_uid,
        modality=modality,
        sop_class_uid=sop_class,
        frame_of_reference_uid=group.frame_of_reference_uid,
        study_date=group.study_date,
        paths=tuple(sorted(group.paths.values())),
        referenced_series_uids=tuple(group.references),
        localizer=localizer,
        attenuation_corrected=attenuation_corrected(first) if first and sop_class in PET_CLASSES else None,
        planes=planes,
        frames=group.frames,
        slice_spacing_mm=spacing,
        box_mm=box,
        defects=tuple(group.defects),
        warnings=tuple(group.warnings),
    )
