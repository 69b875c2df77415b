"""From a folder of images and a table of outcomes to a cohort: resumable, parallel, every refusal recorded.

Each patient's rows and decisions are kept in `.ingest/<study code>.json`, so that a run after a kill goes on
with the patients that are not done; the cohort's tables appear at the end, the manifest last.
"""

import csv
import hashlib
import io
import json
import platform
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import dgccl
from dgccl.cohort import LESION_COLUMNS, QC_COLUMNS, image_flag
from dgccl.errors import CohortError
from dgccl.files import write_atomically
from dgccl.ingest_patient import IngestSettings, PatientTask, ingest_patient, kept_record, registrations
from dgccl.labels import PatientLabels, PointLesion, read_labels, read_points
from dgccl.sources import Decision, PatientSource, find_sources
from dgccl.volume import box_grid
from dgccl.workers import map_in_processes

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


@dataclass(frozen=True)
class IngestSummary:
    """What came out of an ingestion.

    Attributes:
        lesions: rows in the lesion table.
        patients: patients with at least one lesion in it.
        refused: how many patients were refused, by reason code.
        up_to_date: patients whose earlier result still held.
        refusals: each refused patient with the reason.
        rejected_files: how many files could not be used, by reason code.
    """

    lesions: int
    patients: int
    refused: dict[str, int]
    up_to_date: int
    refusals: tuple[Decision, ...] = ()
    rejected_files: dict[str, int] = field(default_factory=dict)


def ingest(
    source_dir: Path,
    cohort_dir: Path,
    *,
    labels_csv: Path,
    label_column: str = "",
    points_csv: Path | None = None,
    settings: IngestSettings | None = None,
    skip_absent_patients: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> IngestSummary:
    """Turn a folder of CT, PET and other images into a cohort.

    Args:
        source_dir: folder searched for DICOM and NIfTI, whatever the layout and file names.
        cohort_dir: folder to write; new, empty, or made by an earlier call with the same settings.
        labels_csv: table of outcomes (see `dgccl.labels.read_labels`).
        label_column: name of its label column, if it is not plain.
        points_csv: lesions as points and diameters (see `dgccl.labels.read_points`).
        settings: box, choice of outlines, missing modalities, other images, carried columns.
        skip_absent_patients: record patients of the table that have no images instead of stopping.
        workers: processes.
        progress: told of each finished patient.

    Raises:
        DgcclError: a table, a folder or a setting is wrong, or no lesion could be ingested.
    """
    settings = settings or IngestSettings()
    labels = read_labels(labels_csv, column=label_column, clinical=settings.clinical)
    points = read_points(points_csv) if points_csv else {}
    _check_settings(settings)
    ours = _is_ours(cohort_dir, settings)
    found = find_sources(source_dir, others=[image.name for image in settings.images], progress=progress)
    sources, absent = _match(found.patients, labels, points, skip_absent=skip_absent_patients)
    if not ours:
        write_atomically(cohort_dir / ".ingest" / "settings.json", _stated(settings))
    tasks = [
        PatientTask(
            source, labels[source.patient_id], tuple(points.get(source.patient_id, ())), settings, cohort_dir
        )
        for source in sources
    ]
    records, up_to_date = _run(tasks, workers=workers, progress=progress)
    rows = [row for record in records for row in record["rows"]]
    decisions = [Decision(**item) for record in records for item in record["decisions"]]
    decisions += [*absent, *found.decisions]
    _check_unique(rows)
    # A call that brings nothing leaves the tables of an earlier one as they are.
    earlier = (cohort_dir / "manifest.json").exists()
    qc_path = cohort_dir / ("qc.csv" if rows or not earlier else "qc_failed.csv")
    write_atomically(qc_path, _csv(QC_COLUMNS, (asdict(decision) for decision in decisions)))
    if not rows:
        raise _nothing_ingested(decisions, qc_path)
    write_atomically(cohort_dir / "lesions.csv", _csv(_columns(settings), rows))
    phantom = found.data_kind == "phantom" or any(record["phantom"] for record in records)
    outcome = next(iter(labels.values())).outcome
    manifest = _manifest("phantom" if phantom else "real", outcome, settings, labels_csv, points_csv, records)
    write_atomically(cohort_dir / "manifest.json", json.dumps(manifest, indent=2))
    refusals = tuple(decision for decision in decisions if decision.status == "refused")
    return IngestSummary(
        lesions=len(rows),
        patients=len({row["patient_id"] for row in rows}),
        refused=dict(Counter(decision.code for decision in refusals)),
        up_to_date=up_to_date,
        refusals=refusals,
        rejected_files=dict(Counter(d.code for d in decisions if d.status == "rejected")),
    )


def _nothing_ingested(decisions: list[Decision], qc_path: Path) -> CohortError:
    refused = [decision for decision in decisions if decision.status == "refused"]
    counts = Counter(d.code for d in decisions if d.status in ("refused", "rejected"))
    reasons = ", ".join(f"{code} ({count})" for code, count in counts.most_common(5))
    first = f" First: {refused[0].study_code}: {refused[0].message}" if refused else ""
    return CohortError(
        "nothing_ingested",
        f"No lesion could be ingested: {reasons}.{first}",
        remedy=f"{qc_path.name} in the cohort folder has every reason.",
    )


def _check_settings(settings: IngestSettings) -> None:
    """Refuse settings with which no patient could be ingested."""
    box = settings.box
    spacings_mm = (
        box.ct_spacing_mm,
        box.pet_spacing_mm,
        *([box.image_spacing_mm] if settings.images else []),
    )
    for spacing_mm in spacings_mm:
        box_grid(np.zeros(3), box_mm=box.box_mm, spacing_mm=spacing_mm)
    repeated = [name for name, count in Counter(_columns(settings)).items() if count > 1]
    if repeated:
        raise CohortError(
            "column_repeated",
            f"The lesion table would have the column {repeated[0]} twice.",
            remedy="Name every image and every carried column once, and none as another column is called.",
        )
    try:
        re.compile(settings.roi_pattern)
    except re.error as error:
        raise CohortError(
            "bad_roi_pattern",
            f"{settings.roi_pattern!r} is no regular expression: {error}.",
            remedy="Write a backslash before each of . * + ? ( ) [ ] that stands for itself.",
        ) from error


def _columns(settings: IngestSettings) -> tuple[str, ...]:
    """Columns of the lesion table: the usual ones, a flag for each other image, what the label table gives."""
    return (*LESION_COLUMNS, *(image_flag(image.name) for image in settings.images), *settings.clinical)


def _stated(settings: IngestSettings) -> str:
    return json.dumps({"dgccl_version": dgccl.__version__, **settings.stated()}, indent=2)


def _is_ours(cohort_dir: Path, settings: IngestSettings) -> bool:
    """Whether an earlier call with these settings began the cohort; a folder that holds anything else is refused."""
    settings_path = cohort_dir / ".ingest" / "settings.json"
    if settings_path.exists():
        if settings_path.read_text(encoding="utf-8") != _stated(settings):
            raise CohortError(
                "cohort_dir_mismatch",
                f"{cohort_dir} holds a cohort that was made with other settings or another version.",
                remedy="Choose a new folder, or delete this one first.",
            )
        return True
    if cohort_dir.exists() and (not cohort_dir.is_dir() or any(cohort_dir.iterdir())):
        raise CohortError(
            "cohort_dir_not_empty",
            f"{cohort_dir} is not empty and is no cohort.",
            remedy="Choose a new or empty folder.",
        )
    return False


def _match(
    sources: Iterable[PatientSource],
    labels: dict[str, PatientLabels],
    points: dict[str, list[PointLesion]],
    *,
    skip_absent: bool,
) -> tuple[list[PatientSource], list[Decision]]:
    """Pair images with labels; what has no partner is refused, or stops the run."""
    by_id = {source.patient_id: source for source in sources}
    absent = [entry.study_code for patient_id, entry in labels.items() if patient_id not in by_id]
    if absent and not skip_absent:
        raise CohortError(
            "labels_without_images",
            f"{len(absent)} of {len(labels)} patients in the label table have no images: {', '.join(absent[:5])}"
            + (" ..." if len(absent) > 5 else "."),
            remedy="Check that patient_id equals the images' PatientID (or NIfTI folder name), "
            "or go on without them by --skip-absent-patients.",
        )
    stray = sorted(set(points) - set(labels))
    if stray:
        raise CohortError(
            "points_without_labels",
            f"{len(stray)} patients in the table of points have no row in the label table.",
            remedy="Use the same patient_id in both tables.",
        )
    decisions = [
        Decision(code, "refused", "no_images", "The label table names this patient, but no image was found.")
        for code in absent
    ]
    unlisted = sorted(set(by_id) - set(labels))
    decisions += [
        # The images' own PatientID is no study code and must not be written.
        Decision(
            f"unlisted-{n}",
            "refused",
            "no_label",
            "Images were found, but the label table has no such patient.",
        )
        for n, _ in enumerate(unlisted, start=1)
    ]
    return [by_id[patient_id] for patient_id in sorted(set(by_id) & set(labels))], decisions


def _run(
    tasks: list[PatientTask], *, workers: int, progress: Progress | None
) -> tuple[list[dict[str, Any]], int]:
    """Records of all patients in the order of the tasks, and how many of them were up to date already."""
    records: dict[int, dict[str, Any]] = {}
    for index, task in enumerate(tasks):
        record = kept_record(task)
        if record is not None:
            records[index] = record
    up_to_date = len(records)
    todo = [index for index in range(len(tasks)) if index not in records]
    for place, record in map_in_processes(ingest_patient, [tasks[i] for i in todo], workers=workers):
        records[todo[place]] = record
        if progress:
            progress("Ingesting patients", len(records), len(tasks))
    return [records[index] for index in range(len(tasks))], up_to_date


def _check_unique(rows: list[dict[str, Any]]) -> None:
    repeated = [name for name, count in Counter(row["lesion_id"] for row in rows).items() if count > 1]
    if repeated:
        raise CohortError(
            "duplicate_lesion_id",
            f"Two lesions would have the id {repeated[0]!r}.",
            remedy="Study codes and lesion names together must be unique.",
        )


def _csv(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _manifest(
    data_kind: str,
    outcome: str,
    settings: IngestSettings,
    labels_csv: Path,
    points_csv: Path | None,
    records: list[dict[str, Any]],
) -> dict[str, Any]:
    """Versions, settings and hashes: what made this cohort out of what."""
    packages = ("numpy", "scipy", "pydicom", "highdicom", "nibabel", "python-gdcm", "safetensors")
    return {
        "format": 1,
        "data_kind": data_kind,
        "outcome": outcome,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "dgccl_version": dgccl.__version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "settings": settings.stated(),
        "labels_sha256": hashlib.sha256(labels_csv.read_bytes()).hexdigest(),
        "points_sha256": hashlib.sha256(points_csv.read_bytes()).hexdigest() if points_csv else None,
        "inputs_sha256": {record["study_code"]: record["input_sha256"] for record in records},
        **registrations(settings, records),
    }
