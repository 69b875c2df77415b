"""Verb that says whether a run may be used: accept."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgccl.cli.app import app
from dgccl.cli.options import JsonOption
from dgccl.files import this_command

if TYPE_CHECKING:
    from dgccl.acceptance.results import Acceptance, GateResult, Part

GATE_FAILED = 4
"""Exit status if any gate fails; 1 is an error, 2 a wrong command line, 3 what `ingest` says of refused patients."""


@app.command()
def accept(
    run_dir: Annotated[Path, typer.Argument(help="Run folder that `dgccl train` finished.")],
    gates: Annotated[Path, typer.Option(help="File of gates, e.g. configs/gates/clinical.toml.")],
    cohort_dir: Annotated[
        Path | None, typer.Option("--cohort", help="Cohort folder or CSV, if it has moved since training.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a run against gates, each with its rule, figure and interval; writes acceptance.json into the run.

    Exits with 4 if any gate fails, so that it can stand in a pipeline. A gate that cannot be assessed fails.

    Example: `dgccl accept runs/mine --gates configs/gates/clinical.toml`
    """
    from dgccl.acceptance import ACCEPTANCE_FILE
    from dgccl.acceptance import accept as run_accept

    command = this_command()
    found = run_accept(run_dir, gates, cohort_dir=cohort_dir, command=command)
    if as_json:
        print(json.dumps(found.to_json(), allow_nan=False))
    else:
        _print(found, run_dir / ACCEPTANCE_FILE)
    if not found.passed:
        raise typer.Exit(GATE_FAILED)


def _print(found: "Acceptance", path: Path) -> None:
    """A row for each gate, with its parts; those that counted no fault are not told."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = f"{found.data_kind.upper()} data, {found.model or 'no model'}, gates {found.gates_file['name']}"
    table = Table(title=title, caption="figures with 95 % intervals", show_lines=True)
    for heading in ("gate", "figure", "verdict", "why"):
        table.add_column(heading)
    for gate in found.gates:
        parts = "".join(
            f"\n{_part_line(part)}" for part in gate.parts if part.method != "count" or part.figure
        )
        verdict = Text("pass", style="green") if gate.passed else Text("FAIL", style="bold red")
        # As `Text`, since reasons hold codes in brackets, which rich would take for its own.
        table.add_row(Text(gate.title), Text(_figure_text(gate)), verdict, Text(gate.reason + parts))
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    for warning in found.warnings:
        console.print(f"! {warning}", markup=False)
    if found.notice:
        console.print(found.notice, markup=False)
    passed = len(found.gates) - len(found.failed)
    console.print(
        f"{found.verdict.upper()}: {passed} of {len(found.gates)} gates passed. {path}", markup=False
    )


def _figure_text(found: "GateResult | Part") -> str:
    if found.figure is None:
        return "not defined"
    if found.ci_low is None or found.ci_high is None:
        return f"{found.figure:g}\nn = {found.n}"
    return f"{found.figure:.3f}\n{found.ci_low:.3f} to {found.ci_high:.3f}\nn = {found.n}"


def _part_line(part: "Part") -> str:
    mark = "-" if part.passed is None else "pass" if part.passed else "FAIL"
    figure = _figure_text(part).replace("\n", ", ") if part.figure is not None else "no figure"
    return f"  {mark} {part.name}: {figure}; {part.reason}"
