"""Loads one patient's images and outlines as a study, or says why that cannot be."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from dgccl.dicom.deidentify import age_years, redact
from dgccl.dicom.roi import Modality, read_rtstruct
from dgccl.dicom.scan import SeriesFiles
from dgccl.dicom.seg import read_seg
from dgccl.dicom.select import PairSelection, select_pair
from dgccl.dicom.series import LoadedSeries, load_series
from dgccl.dicom.suv import suv_factors
from dgccl.errors import CohortError, DicomError, RoiError
from dgccl.labels import PointLesion
from dgccl.nifti import read_nifti, read_nifti_labels
from dgccl.other_images import find_others, load_others
from dgccl.roi import Roi, sphere_mask, tighten
from dgccl.sources import Decision, OtherImage, PatientSource, identity_words, nifti_stem
from dgccl.study import PetImage, Study
from dgccl.volume import Grid, Volume


def load_study(
    source: PatientSource,
    *,
    study_code: str,
    points: tuple[PointLesion, ...] = (),
    others: Sequence[OtherImage] = (),
    allow_missing: bool = False,
    lean_body_mass: Literal["janmahasatian", "james"] = "janmahasatian",
) -> tuple[Study, list[Decision]]:
    """Load one patient's CT, PET, other images and outlines.

    Args:
        source: the patient's files.
        study_code: the identifier that leaves ingestion.
        points: lesions given as points and diameters.
        others: images to load beside CT and PET.
        allow_missing: accept a patient that lacks some of CT, PET and `others`, but not all.
        lean_body_mass: formula behind SUL.

    Returns:
        The study, and one decision for each CT, PET and wanted MR series.

    Raises:
        DgcclError: the patient cannot be used; `code` tells why.
    """
    words = identity_words(source, study_code)
    if any(kind in ("ct", "pet") for kind, _ in source.nifti) or not source.series:
        study = _load_nifti_study(source, study_code, points, others, allow_missing)
        return replace(study, rois=_anonymous(study.rois, words)), []
    centers = np.array([point.center_mm for point in points]) if points else None
    selection = select_pair(source.series, lesions_mm=centers)
    frames = {series.frame_of_reference_uid for series in (selection.ct, selection.pet) if series} - {""}
    found = find_others(source, others, study_code=study_code, frames_of_reference=frames)
    decisions = [*_series_decisions(study_code, source.series, selection), *found.decisions]
    there = {"CT": selection.ct, "PET": selection.pet} | {
        image.name: found.files.get(image.name) for image in others
    }
    _check_missing(there, decisions, allow_missing=allow_missing)
    ct = load_series(selection.ct) if selection.ct else None
    pet = load_series(selection.pet) if selection.pet else None
    further = load_others(found)
    images = _image_grids(selection, ct, pet) | {
        uid: (loaded.volume.grid, None) for uid, loaded in further.series.items()
    }
    suv, suv_warnings = _to_suv(pet, lean_body_mass) if pet else (None, ())
    rois, refused = _dicom_outlines(source.series, images)
    decisions += _refused_outlines(refused, study_code, words)
    rois += _masks(source.masks, [(grid, modality) for grid, modality in images.values()])
    rois += _spheres(points, _any_grid(ct.volume if ct else None, suv, further.volumes))
    if refused and not rois:
        raise refused[0][1]
    study = Study(
        patient_id=study_code,
        ct=ct.volume if ct else None,
        pet=suv,
        rois=_anonymous(rois, words),
        others=further.volumes,
        warnings=_warnings(source, selection, [ct, pet], [*further.warnings, *suv_warnings]),
    )
    loaded = [series for series in (pet, ct, *further.series.values()) if series]
    return _with_header(study, loaded), decisions


def _warnings(
    source: PatientSource, selection: PairSelection, loaded: list[LoadedSeries | None], further: list[str]
) -> tuple[str, ...]:
    """Codes of what was handled by a stated rule, each once."""
    codes = [*(code for series in loaded if series for code in series.warnings), *further]
    codes += [d.code for d in selection.decisions if d.kept and d.code != "selected"]
    codes += ["file_rejected_nearby"] if source.rejected_nearby else []
    return tuple(dict.fromkeys(codes))


def _with_header(study: Study, loaded: list[LoadedSeries]) -> Study:
    """The study with what the first header tells of the patient and the scanner, in the order PET, CT, others."""
    if not loaded:  # outlines in DICOM on images in NIfTI
        return replace(study, warnings=(*study.warnings, "no_headers"))
    header = loaded[0].headers[0]
    return replace(
        study,
        sex=str(header.get("PatientSex") or ""),
        age_years=_number(age_years(header)),
        manufacturer=str(header.get("Manufacturer") or "").strip(),
        scanner=str(header.get("ManufacturerModelName") or "").strip(),
        # Quality Control Subject (PS3.3 C.7.1.1); a phantom must not pass for patients wherever its files lie.
        phantom=any(str(series.headers[0].get("QualityControlSubject") or "") == "YES" for series in loaded),
    )


def _check_missing(there: Mapping[str, object], decisions: list[Decision], *, allow_missing: bool) -> None:
    """Refuse a patient that lacks an image, or, where that is allowed, all of them."""
    missing = [name for name, found in there.items() if found is None]
    if missing and (not allow_missing or len(missing) == len(there)):
        raise _no_modality(missing, decisions)


def _anonymous(rois: Iterable[Roi], words: frozenset[str]) -> tuple[Roi, ...]:
    """Outlines whose names, which become lesion ids, do not tell the patient's."""
    return tuple(replace(roi, name=redact(roi.name, words)) for roi in rois)


def _no_modality(missing: list[str], decisions: list[Decision]) -> DicomError:
    reasons = "; ".join(f"{d.code}: {d.message}" for d in decisions if d.status == "left_out")
    return DicomError(
        f"no_{missing[0].lower()}",
        f"No usable {' and no usable '.join(missing)} series." + (f" {reasons}" if reasons else ""),
        remedy="Add the series, or keep such patients by --allow-missing-modality.",
    )


def _series_decisions(
    study_code: str, series: tuple[SeriesFiles, ...], selection: PairSelection
) -> list[Decision]:
    """QC rows of CT and PET series, which are counted and not named, since a UID identifies."""
    images = [entry for entry in series if entry.modality in ("CT", "PT")]
    return [
        Decision(
            study_code,
            "kept" if decision.kept else "left_out",
            decision.code,
            f"{entry.modality} series {number} of {len(images)} ({entry.frames} images): {decision.message}",
        )
        for number, (entry, decision) in enumerate(zip(images, selection.decisions, strict=True), start=1)
    ]


def _image_grids(
    selection: PairSelection, ct: LoadedSeries | None, pet: LoadedSeries | None
) -> dict[str, tuple[Grid, Modality]]:
    """Grid and modality of the chosen series, by series UID, as outlines refer to them."""
    chosen: tuple[tuple[SeriesFiles | None, LoadedSeries | None, Modality], ...] = (
        (selection.ct, ct, "ct"),
        (selection.pet, pet, "pet"),
    )
    return {
        files.series_uid: (loaded.volume.grid, name) for files, loaded, name in chosen if files and loaded
    }


def _to_suv(
    pet: LoadedSeries, lean_body_mass: Literal["janmahasatian", "james"]
) -> tuple[PetImage, tuple[str, ...]]:
    factors = suv_factors(pet.headers, lean_body_mass_formula=lean_body_mass)
    image = PetImage(
        suv_bw=Volume(pet.volume.array * np.float32(factors.suv_bw_factor), pet.volume.affine),
        sul_per_suv_bw=_number(factors.sul_factor, per=factors.suv_bw_factor),
        suv_bsa_per_suv_bw=_number(factors.suv_bsa_factor, per=factors.suv_bw_factor),
        uptake_time_min=_number(factors.uptake_time_min),
    )
    return image, factors.warnings


def _number(value: float | None, *, per: float = 1.0) -> float:
    return float("nan") if value is None else float(value) / per


def _dicom_outlines(
    series: tuple[SeriesFiles, ...], images: dict[str, tuple[Grid, Modality]]
) -> tuple[list[Roi], list[tuple[str, RoiError]]]:
    """Outlines of all RTSTRUCT and SEG objects that refer to the chosen images, and those that cannot be read.

    One outline that cannot be read (the body, say) does not cost the others.
    """
    rois: list[Roi] = []
    refused: list[tuple[str, RoiError]] = []
    for entry in series:
        if entry.modality not in ("RTSTRUCT", "SEG"):
            continue
        if entry.referenced_series_uids and not set(entry.referenced_series_uids) & set(images):
            refused.append((entry.modality, _drawn_on_another_image(entry.modality)))
            continue
        reader = read_rtstruct if entry.modality == "RTSTRUCT" else read_seg
        for path in entry.paths:
            rois += reader(path, images, on_refused=lambda name, error: refused.append((name, error)))
    return rois, refused


def _refused_outlines(
    refused: list[tuple[str, RoiError]], study_code: str, words: frozenset[str]
) -> list[Decision]:
    return [
        Decision(study_code, "left_out", error.code, redact(f"Outline {name!r}: {error}", words))
        for name, error in refused
    ]


def _drawn_on_another_image(modality: str) -> RoiError:
    return RoiError(
        "outline_of_another_image",
        f"The {modality} was drawn on a series that is not there or was left out.",
        remedy="Add the series on which it was drawn, or give masks or points instead.",
    )


def _masks(paths: tuple[Path, ...], images: list[tuple[Grid, Modality]]) -> list[Roi]:
    """Outlines from NIfTI masks; a file with several labels holds several lesions."""
    rois = []
    for path in paths:
        labels = read_nifti_labels(path)
        for value, mask in labels.items():
            name = nifti_stem(path) if len(labels) == 1 else f"{nifti_stem(path)}_{value}"
            drawn_on = next((modality for grid, modality in images if _same_grid(mask.grid, grid)), None)
            rois.append(Roi(name, tighten(mask.array.astype(bool), mask.grid, name=name), drawn_on))
    return rois


def _same_grid(a: Grid, b: Grid) -> bool:
    """The same voxels, whatever the order of the axes."""
    ends = []
    for grid in (a, b):
        index = np.array([[0.0, 0.0, 0.0], [n - 1.0 for n in grid.shape]])
        ends.append(np.sort(grid.to_patient(index), axis=0))
    spacing_alike = np.allclose(np.sort(a.spacing_mm), np.sort(b.spacing_mm), rtol=1e-3)
    return bool(spacing_alike and np.allclose(ends[0], ends[1], atol=0.1))


def _any_grid(ct: Volume | None, pet: PetImage | None, others: Mapping[str, Volume]) -> Grid:
    """Grid of the first image that is there: CT, PET, others."""
    return next(image.grid for image in (ct, pet.suv_bw if pet else None, *others.values()) if image)


def _spheres(points: tuple[PointLesion, ...], grid: Grid) -> list[Roi]:
    return [Roi(p.name, sphere_mask(p.center_mm, p.diameter_mm, grid), None) for p in points]


def _load_nifti_study(
    source: PatientSource,
    study_code: str,
    points: tuple[PointLesion, ...],
    others: Sequence[OtherImage],
    allow_missing: bool,
) -> Study:
    """A study from NIfTI: CT in HU, PET in SUVbw, others in any unit; what only headers tell stays unknown."""
    kinds = [kind for kind, _ in source.nifti if kind in ("ct", "pet")]
    if len(set(kinds)) < len(kinds):
        raise CohortError(
            "several_images", f"The folder holds several NIfTI files of one modality ({', '.join(kinds)})."
        )
    files = dict(source.nifti)
    names = {"CT": "ct", "PET": "pet"} | {image.name: image.name for image in others}
    _check_missing({words: files.get(kind) for words, kind in names.items()}, [], allow_missing=allow_missing)
    ct = read_nifti(files["ct"], kind="ct_hu") if "ct" in files else None
    pet = PetImage(read_nifti(files["pet"], kind="suv_bw")) if "pet" in files else None
    # Where a DICOM series lies relative to NIfTI images nobody can tell: it has no frame of reference to share.
    found = find_others(replace(source, series=()), others, study_code=study_code, frames_of_reference=())
    further = load_others(found)
    images: list[tuple[Grid, Modality]] = [(ct.grid, "ct")] if ct else []
    images += [(pet.suv_bw.grid, "pet")] if pet else []
    rois = _masks(source.masks, images) + _spheres(points, _any_grid(ct, pet, further.volumes))
    return Study(
        patient_id=study_code,
        ct=ct,
        pet=pet,
        rois=tuple(rois),
        others=further.volumes,
        warnings=("no_headers", *further.warnings),
    )
