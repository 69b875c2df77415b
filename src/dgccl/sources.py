"""Finds each patient's images and outlines below a folder."""

import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from dgccl.dicom.deidentify import identifiers_of, redact
from dgccl.dicom.scan import Patient, Rejected, SeriesFiles, files_below, scan
from dgccl.errors import CohortError

CT_NAMES = ("ct", "ct_hu")
PET_NAMES = ("pet", "pt", "suv", "suv_bw")
PHANTOM_MARK = "phantom.json"


@dataclass(frozen=True)
class Decision:
    """One row of the QC table: what was decided about a patient, a series or a file, and why.

    Attributes:
        study_code: whose; empty where a file's patient is not known.
        status: `accepted` or `refused` (patient), `kept` or `left_out` (series), `rejected` (file).
        code: stable reason code.
        message: the reason in words, without a patient's identity.
    """

    study_code: str
    status: str
    code: str
    message: str


@dataclass(frozen=True)
class OtherImage:
    """An image beside CT and PET that ingestion is to store, such as MR.

    Attributes:
        name: of the modality, which a configuration then uses: small letters, digits and `_`.
        pattern: regular expression for the Series Description of a DICOM series; empty takes any.

    Raises:
        CohortError: `bad_image_name`, `bad_image_pattern`.
    """

    name: str
    pattern: str = ""

    @classmethod
    def parse(cls, text: str) -> "OtherImage":
        """An image as the command line names it: `mr`, or `mr=PATTERN` with a pattern for the description."""
        name, _, pattern = text.partition("=")
        return cls(name, pattern)

    def __post_init__(self) -> None:
        reserved = self.name in (*CT_NAMES, *PET_NAMES) or self.name.startswith("mask")
        if reserved or not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise CohortError(
                "bad_image_name",
                f"{self.name!r} cannot name an image: small letters, digits and '_' were expected, and none of "
                f"{', '.join((*CT_NAMES, *PET_NAMES))} or mask...",
                remedy="Choose a name such as mr or mr_t2, and name NIfTI files after it: mr_t2.nii.gz.",
            )
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise CohortError(
                "bad_image_pattern",
                f"{self.pattern!r} is no regular expression: {error}.",
                remedy="Write a backslash before each of . * + ? ( ) [ ] that stands for itself.",
            ) from error


@dataclass(frozen=True)
class PatientSource:
    """The files of one patient.

    Attributes:
        patient_id: as the images or the folder name it; stays in memory.
        series: DICOM series, outlines included.
        nifti: NIfTI images by modality (`ct`, `pet`, names of other images).
        masks: NIfTI masks.
        rejected_nearby: a damaged DICOM file lies beside the patient's files; it may have been one of them.
    """

    patient_id: str
    series: tuple[SeriesFiles, ...] = ()
    nifti: tuple[tuple[str, Path], ...] = ()
    masks: tuple[Path, ...] = ()
    rejected_nearby: bool = False

    @property
    def paths(self) -> list[Path]:
        """All files of the patient, sorted."""
        paths = [path for series in self.series for path in series.paths]
        return sorted([*paths, *(path for _, path in self.nifti), *self.masks])


@dataclass(frozen=True)
class FoundSources:
    """What lies below a folder: patients, rejected files, and whether it is a phantom's folder or real data."""

    patients: tuple[PatientSource, ...]
    decisions: tuple[Decision, ...]
    data_kind: str


def find_sources(
    folder: Path,
    *,
    others: Collection[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> FoundSources:
    """Find the patients below a folder: DICOM by its headers, NIfTI by file and folder names.

    A NIfTI patient is a folder with `ct.nii[.gz]` and `pet.nii[.gz]`, named by the patient; any other NIfTI
    file there is a mask, unless it bears the name of another image. Beside DICOM, a NIfTI file is a mask (or other
    image) of the patient whose ID is the name of a folder above it or the start of its own name.

    Args:
        folder: searched at all levels.
        others: names of other images, such as `mr` for `mr.nii.gz`.
        progress: told when the headers are read.

    Raises:
        CohortError: no image was found at all.
    """
    if progress:
        progress("Reading headers", 0, 1)
    found = scan(folder)
    patients = {
        patient.patient_id: PatientSource(patient.patient_id, patient.series)
        for patient in found.patients
        if patient.patient_id
    }
    # What is no file, such as a link that leads nowhere, stands among the rejected already.
    nifti = [p for p in files_below(folder) if p.name.lower().endswith((".nii", ".nii.gz")) and p.is_file()]
    for path in sorted(
        nifti, key=lambda p: (not _kind(p, others), p)
    ):  # masks last, when all patients are known
        _place_nifti(patients, folder, path, kind=_kind(path, others))
    if not patients:
        raise CohortError(
            "no_images",
            f"No DICOM or NIfTI image was found below {folder}: {found.skipped} other files, "
            f"{len(found.rejected)} rejected"
            + (f" (first: {found.rejected[0].message})." if found.rejected else "."),
            remedy="Give the folder that holds the CT and PET series.",
        )
    if progress:
        progress("Reading headers", 1, 1)
    decisions = [_rejected_file(folder, found.patients, entry) for entry in found.rejected]
    nameless = sum(len(series.paths) for p in found.patients if not p.patient_id for series in p.series)
    if nameless:
        message = f"{nameless} files have no PatientID, so that nobody's label goes with them."
        decisions.append(Decision("", "rejected", "no_patient_id", message))
    # A text file called .dcm was no slice; a truncated one may have been the first or last, which no gap shows.
    damaged = {entry.path.parent for entry in found.rejected if entry.code != "not_dicom"}
    sources = (
        replace(source, rejected_nearby=any(path.parent in damaged for path in source.paths))
        for source in patients.values()
    )
    return FoundSources(tuple(sources), tuple(decisions), _data_kind(folder))


def _data_kind(folder: Path) -> str:
    """`phantom` where `dgccl phantom` left its mark, else `real`."""
    mark = folder / PHANTOM_MARK
    if not mark.is_file():
        return "real"
    try:
        return str(json.loads(mark.read_text(encoding="utf-8"))["data_kind"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CohortError(
            "phantom_mark_damaged",
            f"{PHANTOM_MARK} in the folder of images cannot be read: is this a phantom, or are these patients?",
            remedy="Call `dgccl phantom` again for a phantom; remove the file from a folder of patients.",
        ) from error


def nifti_stem(path: Path) -> str:
    """File name without .nii or .nii.gz, in small letters."""
    return path.name.lower().removesuffix(".gz").removesuffix(".nii")


def _kind(path: Path, others: Collection[str]) -> str:
    """`ct`, `pet` or another image's name where the name of a NIfTI file says so, else nothing: a mask."""
    stem = nifti_stem(path)
    if stem in others:
        return stem
    return "ct" if stem in CT_NAMES else "pet" if stem in PET_NAMES else ""


def _place_nifti(patients: dict[str, PatientSource], root: Path, path: Path, *, kind: str) -> None:
    """Add a NIfTI file to the patient it belongs to: by the nearest folder's name, else by the file's."""
    above = [name for name in reversed(path.relative_to(root).parts[:-1]) if name in patients]
    named = sorted((name for name in patients if _begins_with(path.name, name)), key=len, reverse=True)
    owner = next(iter([*above, *named]), path.parent.name)
    known = patients.get(owner, PatientSource(owner))
    if kind:
        patients[owner] = replace(known, nifti=(*known.nifti, (kind, path)))
    else:
        patients[owner] = replace(known, masks=(*known.masks, path))


def _begins_with(name: str, patient_id: str) -> bool:
    """Whether a file's name begins with a patient's whole ID: `10_mass.nii` is not patient 1's."""
    rest = name[len(patient_id) :]
    return bool(patient_id) and name.startswith(patient_id) and not rest[:1].isalnum()


def _rejected_file(root: Path, patients: Iterable[Patient], entry: Rejected) -> Decision:
    """A rejected file's row; its path is named only where the neighbors tell which words to keep out."""
    neighbors = [
        series
        for patient in patients
        for series in patient.series
        if any(path.parent == entry.path.parent for path in series.paths)
    ]
    if not neighbors:
        return Decision("", "rejected", entry.code, entry.message)
    words = {patient.patient_id for patient in patients} | _identity(neighbors[0])
    where = redact(str(entry.path.relative_to(root)), words)
    return Decision("", "rejected", entry.code, f"{entry.message} File: {where}")


def _identity(series: SeriesFiles) -> frozenset[str]:
    from dgccl.dicom.elements import read_elements

    return identifiers_of(read_elements(series.paths[0], pixels=False).to_dataset(pixels=False))


def identity_words(source: PatientSource, study_code: str) -> frozenset[str]:
    """Words that tell who a patient is: from a header, and the patient ID with its parts; the study code may stay."""
    words = _identity(source.series[0]) if source.series else frozenset()
    if source.patient_id != study_code:
        words |= {source.patient_id, *re.split(r"[^0-9A-Za-z]+", source.patient_id)}
    allowed = {study_code.lower(), *re.split(r"[^0-9a-z]+", study_code.lower())}
    return frozenset(word for word in words if word.lower() not in allowed)


def redact_message(source: PatientSource, study_code: str, message: str) -> str:
    """A message without the patient's identity; the study code may stay."""
    return redact(message, identity_words(source, study_code))
