"""Verbs that learn and judge: train, evaluate, report."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dgccl.cli.app import app
from dgccl.cli.options import DataKindOption, JsonOption, progress_bars

if TYPE_CHECKING:
    import pandas as pd

    from dgccl.cohort import Cohort


@app.command()
def train(
    cohort_dir: Annotated[
        Path,
        typer.Argument(
            metavar="COHORT",
            help="Cohort folder that `dgccl ingest` wrote, or a CSV of values without images: patient_id, label "
            "[, lesion_id, site] and any columns.",
        ),
    ],
    run_dir: Annotated[Path, typer.Argument(help="Run folder to write.")],
    config: Annotated[Path, typer.Option(help="Experiment, e.g. configs/fast.toml.")],
    data_kind: DataKindOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    start: Annotated[
        Path | None,
        typer.Option(help="Folder of `dgccl pretrain`: every model begins with its encoders."),
    ] = None,
    allow_transductive: Annotated[
        bool,
        typer.Option(
            "--allow-transductive",
            help="Accept a start that has learned, without labels, from lesions or patients of this cohort.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Cross-validate the configured models; resumes where a killed run stopped, to the same result.

    Example: `dgccl train cohort/ runs/mine --config configs/fast.toml`
    """
    from dgccl.config import load_config
    from dgccl.run_dir import read_run
    from dgccl.table_cohort import open_data
    from dgccl.training import train as run_train

    experiment = load_config(config)
    cohort = open_data(cohort_dir, data_kind=data_kind)
    if allow_transductive and start is None:
        raise typer.BadParameter("--allow-transductive needs --start: without it nothing was learned before.")
    with progress_bars(as_json) as progress:
        run_train(
            cohort,
            run_dir,
            experiment,
            device=device,
            progress=progress,
            start=start,
            allow_transductive=allow_transductive,
        )
    warning = (read_run(run_dir).get("start") or {}).get("warning")
    if as_json:
        found = {"run_dir": str(run_dir), "models": list(experiment.trained)}
        print(json.dumps(found | ({"warnings": [warning]} if warning else {})))
    else:
        if warning:
            print(f"! {warning}")
        print(
            f"Trained {', '.join(experiment.trained)} ({experiment.training.folds} folds); predictions in {run_dir}"
        )


@app.command()
def evaluate(
    run_dir: Annotated[Path, typer.Argument(help="Run folder that `dgccl train` wrote.")],
    cohort_dir: Annotated[
        Path | None, typer.Option("--cohort", help="Cohort folder or CSV, if it has moved since training.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute every figure from the predictions and write results.json.

    Where the cohort has the columns that they need, the published nodule models (Mayo, Herder, Brock) stand beside.

    Example: `dgccl evaluate runs/mine --json`
    """
    from dgccl.evaluation import evaluate as run_evaluate

    run_evaluate(run_dir, lesions=_lesions_of(run_dir, moved_to=cohort_dir))
    results = json.loads((run_dir / "results.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(results))
    else:
        _print_headline(results)


def _lesions_of(run_dir: Path, *, moved_to: Path | None) -> "pd.DataFrame | None":
    """The lesions of the run's cohort; None, and said so, where it is not at hand or has changed."""
    from dgccl.errors import CohortError, DgcclError

    try:
        cohort = _cohort_of(run_dir, moved_to=moved_to)
        trained = json.loads((run_dir / "run.json").read_text(encoding="utf-8")).get("cohort_sha256")
        if cohort.sha256 == trained:
            return cohort.lesions
        raise CohortError(
            "cohort_changed",
            "The cohort is not the one that the run was trained on.",
            remedy="Give the cohort folder that the run was trained on, unchanged.",
        )
    except DgcclError:
        if moved_to is not None:
            raise
    print(
        "! The run's cohort is not at hand or has changed: no published nodule model is computed (--cohort FOLDER).",
        file=sys.stderr,
    )
    return None


def _print_headline(results: dict[str, Any]) -> None:
    """The headline table and the warnings that belong to it."""
    from rich.console import Console
    from rich.table import Table

    def interval(figure: dict[str, Any] | None) -> str:
        if figure is None:
            return "not scored"
        if figure["estimate"] is None:
            return "not defined"
        ends = [figure["ci_low"], figure["ci_high"]]
        shown = "no interval" if None in ends else f"{ends[0]:.3f} to {ends[1]:.3f}"
        return f"{figure['estimate']:.3f}\n{shown}"

    meta = results["meta"]
    patterns = list(dict.fromkeys(name for model in results["models"].values() for name in model["patterns"]))
    title = f"{meta['data_kind'].upper()} data: {meta['n_lesions']} lesions, {meta['folds']}-fold cross-validation"
    table = Table(title=title, caption=f"second line: {meta['confidence']:.0%} intervals", show_lines=True)
    binary = len(meta["n_by_class"]) == 2
    area, rates = ("AUC", ["sensitivity", "specificity"]) if binary else ("macro AUC", ["accuracy"])
    for heading in ("model", area, *rates, *(f"{area}, {name} only" for name in patterns)):
        table.add_column(heading)
    for name, model in results["models"].items():
        figures = [model["auroc"], *((model if binary else model["multiclass"])[key] for key in rates)]
        figures += [model["patterns"].get(pattern, {}).get("auroc") for pattern in patterns]
        table.add_row(name, *map(interval, figures))
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    for warning in results["warnings"]:
        console.print(f"! {warning}", markup=False)


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="Run folder that `dgccl evaluate` finished.")],
    cohort_dir: Annotated[
        Path | None, typer.Option("--cohort", help="Cohort folder or CSV, if it has moved since training.")
    ] = None,
    language: Annotated[str, typer.Option(help="Language of the report: en or zh.")] = "en",
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Print it to a PDF, too; needs Chromium, Chrome or Edge.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Draw the report: one HTML file that needs nothing else, its figures as SVG with their data as CSV.

    What `dgccl stress` found is part of it where it was called before.

    Example: `dgccl report runs/mine --pdf`
    """
    from dgccl.report import print_pdf, write_report

    path = write_report(run_dir, cohort=_cohort_of(run_dir, moved_to=cohort_dir), language=language)
    written = {"report": str(path)}
    if pdf:
        print_pdf(path, path.with_suffix(".pdf"))
        written["pdf"] = str(path.with_suffix(".pdf"))
    if as_json:
        print(json.dumps(written))
    else:
        print(
            "\n".join(
                f"{name.upper() if name == 'pdf' else name.capitalize()}: {p}" for name, p in written.items()
            )
        )


def _cohort_of(run_dir: Path, *, moved_to: Path | None) -> "Cohort":
    """The cohort that a run was trained on; of a CSV file, the run knows what kind of data it holds."""
    from dgccl.cohort import open_cohort
    from dgccl.errors import TrainingError
    from dgccl.table_cohort import is_table, open_table_cohort

    try:
        run = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
        path, data_kind = moved_to or Path(run["cohort_dir"]), run["data_kind"]
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise TrainingError(
            "not_a_run", f"{run_dir} is no run folder: run.json is missing or damaged.", remedy="Train first."
        ) from error
    return open_table_cohort(path, data_kind=data_kind) if is_table(path) else open_cohort(path)
