"""Verbs that make data ready: phantom, ingest, suv."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dgccl.cli.app import app
from dgccl.cli.options import JsonOption, LeanBodyMassOption, WorkersOption, cores, progress_bars


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 160,
    seed: Annotated[int, typer.Option(min=0, help="Seed; the same seed writes the same files.")] = 2026,
    workers: WorkersOption = cores(),
    as_json: JsonOption = False,
) -> None:
    """Write a phantom cohort as a scanner would: CT and PET series, outlines, labels.

    Example: `dgccl phantom runs/demo/dicom --patients 160 --seed 2026`
    """
    from dgccl.phantom.dicom import write_phantom

    with progress_bars(as_json) as progress:
        write_phantom(out, patients=patients, seed=seed, workers=workers, progress=progress)
    if as_json:
        print(json.dumps({"folder": str(out), "patients": patients, "seed": seed}))
    else:
        print(f"Phantom cohort of {patients} patients (seed {seed}) in {out}")


@app.command()
def ingest(
    source_dir: Annotated[Path, typer.Argument(help="Folder with DICOM (or NIfTI), whatever its layout.")],
    cohort_dir: Annotated[Path, typer.Argument(help="Cohort folder to write.")],
    labels: Annotated[
        Path, typer.Option(help="CSV: patient_id, label [, lesion, site, study_code, --clinical].")
    ],
    label_column: Annotated[str, typer.Option(help="Name of the label column, if it is not `label`.")] = "",
    points: Annotated[
        Path | None, typer.Option(help="CSV: patient_id, x_mm, y_mm, z_mm (LPS), diameter_mm [, lesion].")
    ] = None,
    box_mm: Annotated[float, typer.Option(min=1, help="Edge of the box stored around a lesion, mm.")] = 64.0,
    ct_spacing_mm: Annotated[float, typer.Option(min=0.1, help="Voxel size of the stored CT, mm.")] = 1.0,
    pet_spacing_mm: Annotated[float, typer.Option(min=0.1, help="Voxel size of the stored PET, mm.")] = 4.0,
    image: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=PATTERN]",
            help="Store another image, such as mr: NAME.nii.gz, else the patient's MR series in the frame of reference "
            "of CT and PET whose description matches PATTERN. May be given several times.",
        ),
    ] = None,
    image_spacing_mm: Annotated[float, typer.Option(min=0.1, help="Voxel size of stored --image, mm.")] = 1.0,
    clinical: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Carry this column of the label table into the cohort, as it stands. May be given several times.",
        ),
    ] = None,
    roi_pattern: Annotated[str, typer.Option(help="Take outlines whose name matches this expression.")] = "",
    allow_missing_modality: Annotated[
        bool, typer.Option(help="Keep patients that lack some of CT, PET and --image, but not all.")
    ] = False,
    skip_absent_patients: Annotated[
        bool, typer.Option(help="Record labeled patients without images instead of stopping.")
    ] = False,
    lean_body_mass: LeanBodyMassOption = "janmahasatian",
    register: Annotated[
        Literal["none", "rigid"],
        typer.Option(
            help="rigid: move PET onto CT by mutual information, where that is sure (docs/registration.md)."
        ),
    ] = "none",
    accept_refused: Annotated[
        bool, typer.Option(help="Exit with 0 even if patients were refused or files rejected.")
    ] = False,
    workers: WorkersOption = cores(),
    as_json: JsonOption = False,
) -> None:
    """Turn images, outlines and outcomes into a cohort; resumes where a killed run stopped.

    Exits with 3 if the cohort was written but patients were refused or files rejected, so that nobody overlooks it.

    Example: `dgccl ingest dicom/ cohort/ --labels labels.csv`
    """
    from dataclasses import asdict

    from dgccl.ingest import IngestSettings
    from dgccl.ingest import ingest as run_ingest
    from dgccl.lesion import BoxSettings
    from dgccl.sources import OtherImage

    settings = IngestSettings(
        box=BoxSettings(box_mm, ct_spacing_mm, pet_spacing_mm, image_spacing_mm),
        roi_pattern=roi_pattern,
        allow_missing_modality=allow_missing_modality,
        lean_body_mass=lean_body_mass,
        images=tuple(OtherImage.parse(text) for text in image or ()),
        clinical=tuple(clinical or ()),
        register=register,
    )
    with progress_bars(as_json) as progress:
        summary = run_ingest(
            source_dir,
            cohort_dir,
            labels_csv=labels,
            label_column=label_column,
            points_csv=points,
            settings=settings,
            skip_absent_patients=skip_absent_patients,
            workers=workers,
            progress=progress,
        )
    if as_json:
        print(json.dumps(asdict(summary)))
    else:
        _print_ingested(summary, cohort_dir)
    # Patients that the label table does not name were not asked for.
    overlooked = [refusal for refusal in summary.refusals if refusal.code != "no_label"]
    if (overlooked or summary.rejected_files) and not accept_refused:
        raise typer.Exit(3)


def _print_ingested(summary: Any, cohort_dir: Path) -> None:
    """What came out of an ingestion, each refused patient by name up to ten."""
    print(f"{summary.lesions} lesions of {summary.patients} patients in {cohort_dir}")
    shown = 10
    for refusal in summary.refusals[:shown]:
        print(f"  refused: {refusal.study_code}: {refusal.message} [{refusal.code}]")
    if len(summary.refusals) > shown:
        print(f"  refused: {len(summary.refusals) - shown} more")
    for code, count in sorted(summary.rejected_files.items()):
        print(f"  rejected files: {count} [{code}]")
    if summary.refusals or summary.rejected_files:
        print(f"  Every decision stands in {cohort_dir / 'qc.csv'}")


@app.command()
def suv(
    folder: Annotated[Path, typer.Argument(help="Folder searched for PET series.")],
    lean_body_mass: LeanBodyMassOption = "janmahasatian",
    as_json: JsonOption = False,
) -> None:
    """Show the SUV factors of every PET series below a folder; exits with 1 if one cannot be converted.

    Example: `dgccl suv dicom/patient-1 --json`
    """
    from dgccl.dicom.suv_table import suv_table

    entries = suv_table(folder, lean_body_mass=lean_body_mass)
    print(json.dumps(entries, indent=2) if as_json else _suv_text(entries))
    if any("error" in entry for entry in entries):
        raise typer.Exit(1)


def _suv_text(entries: list[dict[str, Any]]) -> str:
    """One block a series; factors are g/mL (SUVbw, SUL) or cm2/mL (SUVbsa) per rescaled unit."""
    lines = []
    for entry in entries:
        lines.append(f"series {entry['series_uid']}")
        for name, value in entry.items():
            if name != "series_uid":
                shown = f"{value['message']} [{value['code']}]" if name == "error" else value
                lines.append(f"  {name:<17} {shown}")
    return "\n".join(lines)
