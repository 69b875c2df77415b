"""The command line: one thin function a verb. Heavy imports wait until a verb needs them."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dgccl import __version__
from dgccl.errors import DgcclError

app = typer.Typer(
    name="dgccl",
    help="Benign or malignant from CT + FDG PET: from DICOM to a cross-validated model with its evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, which may hold a patient's identity
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
LeanBodyMassOption = Annotated[
    Literal["janmahasatian", "james"], typer.Option(help="Formula of the lean body mass behind SUL.")
]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes; the default is one for each core.")]


_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
INTERRUPTED = 130  # 128 + SIGINT, as shells count


def main() -> None:
    """Run the command line; whatever fails ends in one message (with --json, one JSON object) and a status.

    The status is 1 for an error, 2 for a wrong command line, 130 after Ctrl-C.
    """
    as_json = "--json" in sys.argv[1:]
    try:
        # Standing alone, typer draws its own box around a wrong command line; for a program it is raised.
        status = app(standalone_mode=not as_json)
    except SystemExit as left:  # how typer, standing alone, ends
        status = left.code
    except DgcclError as error:
        status = _fail(error.code, error.message, error.remedy, as_json=as_json)
    except _UsageError as error:
        remedy = "See dgccl --help, or --help after the verb."
        status = _fail("wrong_command_line", _usage_message(error), remedy, as_json=as_json, status=2)
    except OSError as error:
        remedy = "Check the path, its permissions and the space left on the disk."
        status = _fail("file_system", f"{error.strerror}{_argument_in(error)}.", remedy, as_json=as_json)
    except Exception as error:
        # The message of an exception may hold a patient's identity; where it happened does not.
        traceback.print_tb(error.__traceback__)
        message = f"{type(error).__name__}: a fault of dgccl."
        remedy = "Please report the lines above, which tell where it happened."
        status = _fail("unexpected_error", message, remedy, as_json=as_json)
    if status == INTERRUPTED:
        _fail("interrupted", "Stopped by Ctrl-C.", "The same command goes on.", as_json=as_json)
    sys.exit(status)


def _fail(code: str, message: str, remedy: str, *, as_json: bool, status: int = 1) -> int:
    """Tell what went wrong; returns the exit status."""
    if as_json:
        print(json.dumps({"error": {"code": code, "message": f"{message} {remedy}".strip()}}))
    else:
        print(f"dgccl: {message} [{code}]", file=sys.stderr)
        if remedy:
            print(f"       {remedy}", file=sys.stderr)
    return status


def _usage_message(error: Exception) -> str:
    format_message: Callable[[], str] = getattr(error, "format_message", lambda: str(error))
    return " ".join(format_message().split())


def _argument_in(error: OSError) -> str:
    """The argument below which a file lies; more of its path could tell a patient's name."""
    path = os.path.abspath(os.fsdecode(error.filename or ""))
    given = [word for word in sys.argv[1:] if error.filename and path.startswith(os.path.abspath(word))]
    return f": {max(given, key=len)}" if given else ""


def _cores() -> int:
    return os.cpu_count() or 1


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    """A callback (description, done, total) that draws progress bars on standard error."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bars: dict[str, Any] = {}
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def report(description: str, done: int, total: int) -> None:
            if description not in bars:
                bars[description] = progress.add_task(description, total=total)
            progress.update(bars[description], completed=done, total=total)

        yield report


def _version(value: bool) -> bool:
    if value:
        print(f"dgccl {__version__}")
        raise typer.Exit
    return value


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 160,
    seed: Annotated[int, typer.Option(min=0, help="Seed; the same seed writes the same files.")] = 2026,
    workers: WorkersOption = _cores(),
    as_json: JsonOption = False,
) -> None:
    """Write a phantom cohort as a scanner would: CT and PET series, outlines, labels.

    Example: `dgccl phantom runs/demo/dicom --patients 160 --seed 2026`
    """
    from dgccl.phantom.dicom import write_phantom

    with _progress(as_json) as progress:
        write_phantom(out, patients=patients, seed=seed, workers=workers, progress=progress)
    if as_json:
        print(json.dumps({"folder": str(out), "patients": patients, "seed": seed}))
    else:
        print(f"Phantom cohort of {patients} patients (seed {seed}) in {out}")


@app.command()
def ingest(
    source_dir: Annotated[Path, typer.Argument(help="Folder with DICOM (or NIfTI), whatever its layout.")],
    cohort_dir: Annotated[Path, typer.Argument(help="Cohort folder to write.")],
    labels: Annotated[Path, typer.Option(help="CSV: patient_id, label [, lesion, site, study_code].")],
    label_column: Annotated[str, typer.Option(help="Name of the label column, if it is not `label`.")] = "",
    points: Annotated[
        Path | None, typer.Option(help="CSV: patient_id, x_mm, y_mm, z_mm (LPS), diameter_mm [, lesion].")
    ] = None,
    box_mm: Annotated[float, typer.Option(min=1, help="Edge of the box stored around a lesion, mm.")] = 64.0,
    ct_spacing_mm: Annotated[float, typer.Option(min=0.1, help="Voxel size of the stored CT, mm.")] = 1.0,
    pet_spacing_mm: Annotated[float, typer.Option(min=0.1, help="Voxel size of the stored PET, mm.")] = 4.0,
    roi_pattern: Annotated[str, typer.Option(help="Take outlines whose name matches this expression.")] = "",
    allow_missing_modality: Annotated[
        bool, typer.Option(help="Keep patients that have only CT or only PET.")
    ] = False,
    skip_absent_patients: Annotated[
        bool, typer.Option(help="Record labeled patients without images instead of stopping.")
    ] = False,
    lean_body_mass: LeanBodyMassOption = "janmahasatian",
    accept_refused: Annotated[
        bool, typer.Option(help="Exit with 0 even if patients were refused or files rejected.")
    ] = False,
    workers: WorkersOption = _cores(),
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

    settings = IngestSettings(
        box=BoxSettings(box_mm, ct_spacing_mm, pet_spacing_mm),
        roi_pattern=roi_pattern,
        allow_missing_modality=allow_missing_modality,
        lean_body_mass=lean_body_mass,
    )
    with _progress(as_json) as progress:
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


@app.command()
def train(
    cohort_dir: Annotated[Path, typer.Argument(help="Cohort folder that `dgccl ingest` wrote.")],
    run_dir: Annotated[Path, typer.Argument(help="Run folder to write.")],
    config: Annotated[Path, typer.Option(help="Experiment, e.g. configs/fast.toml.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Cross-validate the configured models; resumes where a killed run stopped, to the same result.

    Example: `dgccl train cohort/ runs/mine --config configs/fast.toml`
    """
    from dgccl.cohort import open_cohort
    from dgccl.config import load_config
    from dgccl.training import train as run_train

    experiment = load_config(config)
    cohort = open_cohort(cohort_dir)
    with _progress(as_json) as progress:
        run_train(cohort, run_dir, experiment, device=device, progress=progress)
    if as_json:
        print(json.dumps({"run_dir": str(run_dir), "models": list(experiment.models)}))
    else:
        print(
            f"Trained {', '.join(experiment.models)} ({experiment.training.folds} folds); predictions in {run_dir}"
        )


@app.command()
def evaluate(
    run_dir: Annotated[Path, typer.Argument(help="Run folder that `dgccl train` wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Compute every figure from the predictions and write results.json.

    Example: `dgccl evaluate runs/mine --json`
    """
    from dgccl.evaluation import evaluate as run_evaluate

    run_evaluate(run_dir)
    results = json.loads((run_dir / "results.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(results))
    else:
        _print_headline(results)


def _print_headline(results: dict[str, Any]) -> None:
    """The headline table and the warnings that belong to it."""
    from rich.console import Console
    from rich.table import Table

    def interval(figure: dict[str, Any]) -> str:
        if figure["estimate"] is None:
            return "not defined"
        ends = [figure["ci_low"], figure["ci_high"]]
        shown = "no interval" if None in ends else f"{ends[0]:.3f} to {ends[1]:.3f}"
        return f"{figure['estimate']:.3f}\n{shown}"

    meta = results["meta"]
    patterns = list(dict.fromkeys(name for model in results["models"].values() for name in model["patterns"]))
    title = f"{meta['data_kind'].upper()} data: {meta['n_lesions']} lesions, {meta['folds']}-fold cross-validation"
    table = Table(title=title, caption=f"second line: {meta['confidence']:.0%} intervals", show_lines=True)
    for heading in (
        "model",
        "AUC",
        "sensitivity",
        "specificity",
        *(f"AUC, {name} only" for name in patterns),
    ):
        table.add_column(heading)
    for name, model in results["models"].items():
        figures = [model[key] for key in ("auroc", "sensitivity", "specificity")]
        figures += [model["patterns"][pattern]["auroc"] for pattern in patterns]
        table.add_row(name, *map(interval, figures))
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    for warning in results["warnings"]:
        console.print(f"! {warning}", markup=False)


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="Run folder that `dgccl evaluate` finished.")],
    cohort_dir: Annotated[
        Path | None, typer.Option("--cohort", help="Cohort folder, if it has moved since training.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the report: one HTML file that needs nothing else.

    Example: `dgccl report runs/mine`
    """
    from dgccl.cohort import open_cohort
    from dgccl.report import write_report

    if cohort_dir is None:
        cohort_dir = _cohort_of(run_dir)
    path = write_report(run_dir, cohort=open_cohort(cohort_dir))
    print(json.dumps({"report": str(path)}) if as_json else f"Report: {path}")


def _cohort_of(run_dir: Path) -> Path:
    """The cohort folder that a run was trained on."""
    from dgccl.errors import TrainingError

    try:
        return Path(json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["cohort_dir"])
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise TrainingError(
            "not_a_run", f"{run_dir} is no run folder: run.json is missing or damaged.", remedy="Train first."
        ) from error
