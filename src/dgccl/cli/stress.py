"""Verb that makes images worse: stress."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgccl.cli.app import app
from dgccl.cli.options import JsonOption, progress_bars
from dgccl.files import this_command

if TYPE_CHECKING:
    from dgccl.robustness.results import DialResult, Stress, Tolerance


@app.command()
def stress(
    run_dir: Annotated[Path, typer.Argument(help="Run folder that `dgccl train` finished.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Model to test, again for another; the report's first if none is named."),
    ] = None,
    dial: Annotated[
        list[str] | None, typer.Option(help="Dial to turn, again for another; all if none is named.")
    ] = None,
    loss: Annotated[float, typer.Option(help="Fall of the AUC that is no longer tolerated.")] = 0.02,
    seed: Annotated[
        int, typer.Option(min=0, help="Of directions, noise, orders and bootstrap samples.")
    ] = 2026,
    replicates: Annotated[int, typer.Option(help="Bootstrap samples behind a tolerance.")] = 500,
    cohort_dir: Annotated[
        Path | None, typer.Option("--cohort", help="Cohort folder or CSV, if it has moved since training.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Make the test images worse, dial by dial, and see what a run's AUC, calibration and gate make of it.

    PET moved off CT, SUV errors, CT noise, kernel and slice thickness, PET resolution and counts, the outline off
    center, a missing modality at every rate, another scanner. Each dial gets its tolerance: the amount at which the AUC
    has fallen by --loss. Writes stress.json and stress.csv into the run; `dgccl report` draws them.

    Example: `dgccl stress runs/mine --dial misregistration --dial suv_error`
    """
    from dgccl.robustness import STRESS_FILE
    from dgccl.robustness.stress import stress as run_stress
    from dgccl.robustness.turning import StressSettings

    with progress_bars(as_json) as progress:
        found = run_stress(
            run_dir,
            models=model or (),
            dials=dial or (),
            settings=StressSettings(loss=loss, seed=seed, replicates=replicates, device=device),
            cohort_dir=cohort_dir,
            command=this_command(),
            progress=progress,
        )
    if as_json:
        print(json.dumps(found.to_json(), allow_nan=False))
    else:
        _print(found, run_dir / STRESS_FILE)


def _print(found: "Stress", path: Path) -> None:
    """One table a model: the range of each dial, its tolerance, and the AUC at its ends."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 110)
    for name, results in found.models.items():
        title = (
            f"{found.meta.data_kind.upper()} data, {name}: where the AUC has fallen by {found.meta.loss:g}"
        )
        table = Table(title=title, caption="in brackets 95% intervals by patient", show_lines=True)
        for heading in ("dial", "tried", "tolerance", "AUC unchanged", "AUC at the end"):
            table.add_column(heading)
        for result in results:
            table.add_row(*_row(result))
        console.print(table)
    for name, reason in found.not_applicable.items():
        console.print(f"- {name}: {reason}", markup=False)
    for warning in found.warnings:
        console.print(f"! {warning}", markup=False)
    console.print(f"Written: {path}", markup=False)


def _row(result: "DialResult") -> tuple[str, ...]:
    def area(amount: float) -> str:
        figure = next(step.auroc for step in result.steps if step.amount == amount)
        return "not defined" if figure.estimate is None else f"{figure.estimate:.3f}"

    amounts = [step.amount for step in result.steps]
    ends = [amount for amount in (min(amounts), max(amounts)) if amount != 0]
    words = [tolerance_words(found, result.unit) for found in result.tolerances] or ["not defined"]
    at_ends = [f"{amount:g} {result.unit}: {area(amount)}".replace(" :", ":") for amount in ends]
    tried = f"{min(amounts):g} to {max(amounts):g} {result.unit}".rstrip()
    return result.title, tried, "\n".join(words), area(0.0), "\n".join(at_ends)


def tolerance_words(found: "Tolerance", unit: str) -> str:
    """A tolerance in words: `3.2 mm (1.1 to more than 15)`."""
    beyond = "less" if found.direction == "down" else "more"
    largest = f"{beyond} than {found.largest:g}"
    own = largest if found.amount is None else f"{found.amount:.2g}"
    low = largest if found.ci_low is None else f"{found.ci_low:.2g}"
    high = largest if found.ci_high is None else f"{found.ci_high:.2g}"
    interval = "" if low == high else f" ({low} to {high})"
    return f"{own} {unit}".rstrip() + interval
