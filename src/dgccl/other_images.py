"""Images of a patient beside CT and PET, such as MR: found as NIfTI or DICOM, read, and brought to one scale."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dgccl.dicom.scan import SeriesFiles
from dgccl.dicom.select import Decision as SeriesDecision
from dgccl.dicom.select_mr import select_mr
from dgccl.dicom.series import LoadedSeries, load_series
from dgccl.errors import CohortError
from dgccl.intensity import normalize_intensity
from dgccl.nifti import read_nifti
from dgccl.sources import Decision, OtherImage, PatientSource
from dgccl.volume import Volume


@dataclass(frozen=True, eq=False)
class FoundImages:
    """Where each of the wanted images is.

    Attributes:
        files: a NIfTI file or a DICOM series by name, only of images that are there.
        decisions: one for each MR series.
    """

    files: dict[str, Path | SeriesFiles]
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True, eq=False)
class OtherImages:
    """Images beside CT and PET.

    Attributes:
        volumes: by name, in the unit of `dgccl.intensity`.
        series: what DICOM gave, by Series Instance UID, with the headers.
        warnings: codes of what was accepted but is worth knowing.
    """

    volumes: dict[str, Volume] = field(default_factory=dict)
    series: dict[str, LoadedSeries] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def find_others(
    source: PatientSource,
    wanted: Sequence[OtherImage],
    *,
    study_code: str,
    frames_of_reference: Collection[str],
) -> FoundImages:
    """Find the wanted images of one patient: a NIfTI file of that name, else the one DICOM series of MR.

    Args:
        source: the patient's files.
        wanted: images to find.
        study_code: for the decisions.
        frames_of_reference: of the CT and PET in use; a DICOM series must share one of them.

    Raises:
        CohortError: `several_images`, two NIfTI files bear one name.
        DicomError: `several_series`, the pattern leaves several MR series.
    """
    files: dict[str, Path | SeriesFiles] = {}
    decisions: list[Decision] = []
    for image in wanted:
        paths = [path for kind, path in source.nifti if kind == image.name]
        if len(paths) > 1:
            raise CohortError(
                "several_images",
                f"There are {len(paths)} NIfTI files of the image {image.name!r}, expected one.",
            )
        if paths:
            files[image.name] = paths[0]
            continue
        chosen, found = select_mr(
            source.series,
            name=image.name,
            pattern=image.pattern,
            frames_of_reference=frames_of_reference,
        )
        decisions += _decisions(found, image.name, study_code)
        if chosen:
            files[image.name] = chosen
    return FoundImages(files, tuple(decisions))


def _decisions(found: Sequence[SeriesDecision], name: str, study_code: str) -> list[Decision]:
    """QC rows of MR series, which are counted and not named, since a UID identifies."""
    return [
        Decision(
            study_code,
            "kept" if decision.kept else "left_out",
            decision.code,
            f"MR series {number} of {len(found)} for the image {name}: {decision.message}",
        )
        for number, decision in enumerate(found, start=1)
    ]


def load_others(found: FoundImages) -> OtherImages:
    """Read the images and bring each to its robust scale, over the whole image as acquired.

    Raises:
        DgcclError: a file cannot be read, the slices form no volume, or an image has no contrast.
    """
    volumes: dict[str, Volume] = {}
    series: dict[str, LoadedSeries] = {}
    warnings: list[str] = []
    for name, files in found.files.items():
        if isinstance(files, SeriesFiles):
            loaded = series[files.series_uid] = load_series(files)
            warnings += loaded.warnings
            image = loaded.volume
        else:
            image = read_nifti(files, kind="intensity")
        volumes[name] = normalize_intensity(image, name=name)
    return OtherImages(volumes, series, tuple(warnings))
