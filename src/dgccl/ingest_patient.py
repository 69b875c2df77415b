"""One patient on the way into a cohort: its arrays, its rows, and every decision about it.

The outcome is kept in `.ingest/<study code>.json`, so that a later call can tell whether it still holds.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import save as save_tensors

import dgccl
from dgccl.cohort import image_flag
from dgccl.dicom.deidentify import redact
from dgccl.errors import CohortError, DgcclError
from dgccl.files import write_atomically
from dgccl.labels import PatientLabels, PointLesion
from dgccl.lesion import BoxSettings, Lesion, LesionArrays, crop_lesion, group_lesions, measure
from dgccl.load_study import load_study
from dgccl.outlines import outline_agreement
from dgccl.registration import register_study
from dgccl.sources import Decision, OtherImage, PatientSource, identity_words, redact_message
from dgccl.study import Study

RECORD_FORMAT = 4  # of a patient's kept outcome; one of another format is made anew


@dataclass(frozen=True)
class IngestSettings:
    """What decides the content of a cohort.

    Attributes:
        box: the box stored around each lesion.
        roi_pattern: regular expression that outline names must match in part; empty takes all.
        allow_missing_modality: keep patients that lack some of the images, but not all.
        lean_body_mass: formula behind SUL.
        images: what to store beside CT and PET.
        clinical: columns of the label table that the lesion table carries.
        register: `rigid` moves PET onto CT where that is sure (`dgccl.registration`).
    """

    box: BoxSettings = field(default_factory=BoxSettings)
    roi_pattern: str = ""
    allow_missing_modality: bool = False
    lean_body_mass: Literal["janmahasatian", "james"] = "janmahasatian"
    images: tuple[OtherImage, ...] = ()
    clinical: tuple[str, ...] = ()
    register: Literal["none", "rigid"] = "none"

    def stated(self) -> dict[str, Any]:
        """As tables of settings keep it: without a registration that is off, so that folders from before it hold."""
        stated = asdict(self)
        if self.register == "none":
            del stated["register"]
        return stated


@dataclass(frozen=True)
class PatientTask:
    """All that a worker needs for one patient."""

    source: PatientSource
    labels: PatientLabels
    points: tuple[PointLesion, ...]
    settings: IngestSettings
    cohort_dir: Path

    @property
    def record_path(self) -> Path:
        """Where the patient's rows and decisions are kept."""
        return self.cohort_dir / ".ingest" / f"{self.labels.study_code}.json"

    def fingerprint(self) -> str:
        """Changes with the files' names, sizes and times, the labels and the settings."""
        state: list[Any] = [RECORD_FORMAT, dgccl.__version__, self.settings.stated(), asdict(self.labels)]
        state += [[point.name, *point.center_mm, point.diameter_mm] for point in self.points]
        for path in self.source.paths:
            status = path.stat()
            state.append([str(path), status.st_size, status.st_mtime_ns])
        return hashlib.sha256(json.dumps(state).encode()).hexdigest()


def kept_record(task: PatientTask) -> dict[str, Any] | None:
    """The record of an earlier call if its inputs are unchanged and its arrays are there."""
    try:
        record = json.loads(task.record_path.read_text(encoding="utf-8"))
        current = task.fingerprint()
    except (OSError, ValueError):
        return None
    arrays = task.cohort_dir / "arrays"
    complete = all((arrays / f"{row['lesion_id']}.safetensors").exists() for row in record["rows"])
    return record if complete and record["fingerprint"] == current else None


def ingest_patient(task: PatientTask) -> dict[str, Any]:
    """Ingest one patient: write its arrays, return (and keep) its rows and decisions; never raises for bad data."""
    code = task.labels.study_code
    rows: list[dict[str, Any]] = []
    decisions: list[Decision] = []
    fingerprint = content = ""
    phantom = False
    registration: dict[str, Any] | None = None
    try:
        fingerprint, content = task.fingerprint(), _content_hash(task.source.paths)
        study, decisions = load_study(
            task.source,
            study_code=code,
            points=task.points,
            others=task.settings.images,
            allow_missing=task.settings.allow_missing_modality,
            lean_body_mass=task.settings.lean_body_mass,
        )
        phantom = study.phantom
        study = replace(study, site=task.labels.site or study.site)
        words = identity_words(task.source, code)
        labels = task.labels.without(words)
        _check_clinical(labels, words)
        if task.settings.register == "rigid":
            study, note = register_study(study, group_lesions(study.rois, pattern=task.settings.roi_pattern))
            registration = note.values if note else None
            decisions += [Decision(code, "kept", note.code, note.message)] if note else []
        lesions = group_lesions(study.rois, pattern=task.settings.roi_pattern)
        decisions += _disagreements(code, lesions)
        rows = [_ingest_lesion(task, study, lesion, labels) for lesion in lesions]
        decisions.append(Decision(code, "accepted", "ok", f"{len(rows)} lesion(s)."))
    except Exception as error:  # one patient must not stop the others; the type says where to look
        rows = []
        decisions.append(_refusal(task, error))
    record = {
        "fingerprint": fingerprint,
        "input_sha256": content,
        "study_code": code,
        "phantom": phantom,
        "rows": rows,
        "decisions": [asdict(decision) for decision in decisions],
        "registration": registration,
    }
    write_atomically(task.record_path, json.dumps(record))
    return record


def _disagreements(code: str, lesions: Iterable[Lesion]) -> list[Decision]:
    """Lesions whose outlines on CT and PET lie apart, with how far."""
    decisions = []
    for lesion in lesions:
        if (
            lesion.on_ct
            and lesion.on_pet
            and (found := outline_agreement(lesion.on_ct, lesion.on_pet)).disagrees
        ):
            message = (
                f"Lesion {lesion.name}: the outlines on CT and PET have their centers of mass "
                f"{found.distance_mm:.1f} mm apart, Dice {found.dice:.2f} on the CT grid."
            )
            decisions.append(Decision(code, "kept", "outlines_disagree", message))
    return decisions


def _refusal(task: PatientTask, error: Exception) -> Decision:
    """Why a patient is refused, without the patient's identity."""
    if isinstance(error, DgcclError):
        reason, message = error.code, str(error)
    elif isinstance(error, OSError):
        reason, message = "unreadable_file", f"A file cannot be read or written: {error.strerror}."
    else:
        reason, message = "unexpected_error", f"{type(error).__name__}: {error}"
    code = task.labels.study_code
    try:
        return Decision(code, "refused", reason, redact_message(task.source, code, message))
    except (DgcclError, OSError):  # without the header nobody knows which words to keep out
        return Decision(
            code, "refused", reason, "The reason is not told, since the patient's header is unreadable."
        )


def _check_clinical(labels: PatientLabels, words: frozenset[str]) -> None:
    """Refuse a patient whose carried entries, numbers aside, hold a word of its header or its patient ID."""
    for values in labels.clinical.values():
        for column, value in values.items():
            if not _is_number(value) and redact(value, words) != value:
                raise CohortError(
                    "clinical_identifies",
                    f"The entry of the column {column} holds a word of the patient's name or ID.",
                    remedy="Carry only columns that do not tell who a patient is.",
                )


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _ingest_lesion(task: PatientTask, study: Study, lesion: Lesion, labels: PatientLabels) -> dict[str, Any]:
    """Store one lesion's arrays and return its row of the lesion table."""
    label = labels.label_of(lesion.name)
    box = task.settings.box
    arrays, warnings = crop_lesion(study, lesion, box)
    lesion_id = f"{study.patient_id}-{lesion.name}"
    data = _pack(arrays)
    write_atomically(task.cohort_dir / "arrays" / f"{lesion_id}.safetensors", data)
    ct_spacing = study.ct.grid.spacing_mm if study.ct else (float("nan"),) * 3
    pet_spacing = study.pet.spacing_mm if study.pet else (float("nan"),) * 3
    row = {
        "lesion_id": lesion_id,
        "patient_id": study.patient_id,
        "label": label,
        "site": study.site,
        "sex": study.sex,
        "age_years": study.age_years,
        "manufacturer": study.manufacturer,
        "scanner": study.scanner,
        "has_ct": study.ct is not None,
        "has_pet": study.pet is not None,
        "ct_slice_spacing_mm": ct_spacing[0],
        "ct_pixel_spacing_mm": ct_spacing[2],
        "pet_slice_spacing_mm": pet_spacing[0],
        "pet_pixel_spacing_mm": pet_spacing[2],
        "uptake_time_min": study.pet.uptake_time_min if study.pet else float("nan"),
        "sul_per_suv_bw": study.pet.sul_per_suv_bw if study.pet else float("nan"),
        "suv_bsa_per_suv_bw": study.pet.suv_bsa_per_suv_bw if study.pet else float("nan"),
        **asdict(measure(lesion, study.pet)),
        "box_mm": box.box_mm,
        "ct_spacing_mm": box.ct_spacing_mm,
        "pet_spacing_mm": box.pet_spacing_mm,
        "qc": ";".join(sorted({*study.warnings, *warnings})),
        "array_sha256": hashlib.sha256(data).hexdigest(),
        **{image_flag(image.name): image.name in study.others for image in task.settings.images},
        **labels.clinical_of(lesion.name),
    }
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """A table entry: numbers to seven digits (float32 has no more), nothing for what is not known."""
    if not isinstance(value, float):
        return value
    return None if np.isnan(value) else float(f"{value:.7g}")


def _pack(arrays: LesionArrays) -> bytes:
    """The arrays as a safetensors file; an absent modality has no tensors."""
    tensors: dict[str, np.ndarray | None] = {
        **arrays.others,
        "ct_hu": arrays.ct_hu,
        "mask_ct": None if arrays.mask_ct is None else arrays.mask_ct.astype(np.uint8),
        "suv_bw": arrays.suv_bw,
        "mask_pet": None if arrays.mask_pet is None else arrays.mask_pet.astype(np.uint8),
    }
    return save_tensors({name: np.ascontiguousarray(v) for name, v in tensors.items() if v is not None})


def _content_hash(paths: Iterable[Path]) -> str:
    """Hash over the content of a patient's files, whatever their names and order."""
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def registrations(settings: IngestSettings, records: list[dict[str, Any]]) -> dict[str, Any]:
    """For the manifest: what was found of each patient, where PET was to be registered, and by what."""
    if settings.register == "none":
        return {}
    found = {record["study_code"]: record["registration"] for record in records}
    return {"registration_package": {"simpleitk": version("simpleitk")}, "registrations": found}
