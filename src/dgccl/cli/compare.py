"""Verb that compares anyone's predictions: compare."""

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dgccl.cli.app import app
from dgccl.cli.options import JsonOption
from dgccl.files import this_command


@app.command()
def compare(
    table: Annotated[Path, typer.Argument(help="CSV or Parquet file, one row a case.")],
    label: Annotated[str, typer.Option(help="Column of the true classes, 0 and 1.")],
    score: Annotated[list[str], typer.Option(help="Column of a score, higher for class 1; repeatable.")],
    cluster: Annotated[
        str | None, typer.Option(help="Column of the patient; cases of one patient then count as one sample.")
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="Column of the site; figures within sites stand beside the others.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="What stands in the label's column for class 1, if not 1.")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            help="Call class 1 at score >= this; a number for every score, or SCORE=NUMBER; repeatable."
        ),
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(
            help="Share of class 1 where the scores are to be used, if not that of the table; for predictive values "
            "(they need a threshold) and decision curves (they need probabilities)."
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Nominal coverage of the intervals.")] = 0.95,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out cases that lack the label or a score.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of the page, its figures and its data.")] = Path(
        "comparison"
    ),
    as_json: JsonOption = False,
) -> None:
    """Compare the scores of any models on the same cases, and draw it: areas, tests, calls, calibration, sites.

    Needs no run of dgccl. Areas and paired tests are DeLong's, by patient with --cluster (Obuchowski); p values are
    corrected by Holm over all pairs. Scores from 0 to 1 are taken as probabilities: they get a calibration and a
    decision curve too. A --threshold must come from other cases than those of the table.

    Example: `dgccl compare predictions.csv --label y --score model_a --score model_b --cluster patient_id`
    """
    from dgccl.evaluation.scores.comparison import compare_scores
    from dgccl.evaluation.scores.table import read_score_table
    from dgccl.report.score_comparison import write_comparison

    cases = read_score_table(
        table,
        label=label,
        scores=score,
        cluster=cluster,
        site=site,
        positive=positive,
        drop_missing=drop_missing,
    )
    command = this_command()
    found = compare_scores(
        cases,
        command=command,
        confidence=confidence,
        thresholds=_thresholds(threshold or [], score),
        prevalence=prevalence,
    )
    page = write_comparison(found, out)
    results = found.to_json()
    print(json.dumps(results, allow_nan=False)) if as_json else _print(results, page)


def _thresholds(given: list[str], scores: list[str]) -> dict[str, float]:
    """Thresholds by score; one that names its score goes before one for all."""
    found: dict[str, float] = {}
    for word in sorted(given, key=lambda word: "=" in word):
        name, _, number = word.rpartition("=")
        if name and name not in scores:
            raise typer.BadParameter(f"--threshold {word}: {name} is none of the scores.")
        try:
            value = float(number)
        except ValueError:
            raise typer.BadParameter(f"--threshold {word}: expected a number, or SCORE=NUMBER.") from None
        if not math.isfinite(value):
            raise typer.BadParameter(f"--threshold {word}: expected a finite number.")
        found |= dict.fromkeys([name] if name else scores, value)
    return {name: found[name] for name in scores if name in found}


def _print(results: dict[str, Any], page: Path) -> None:
    """The areas and the tests, and where the rest is."""
    from rich.console import Console
    from rich.table import Table

    meta = results["meta"]
    percent = f"{100 * meta['confidence']:g}%"
    console = Console(width=None if sys.stdout.isatty() else 110)
    areas = Table(
        title=f"{meta['n']} cases, {meta['n_positive']} of class 1", title_justify="left", title_style="bold"
    )
    for heading in ("score", "AUC", f"{percent} interval", "method"):
        areas.add_column(heading)
    for name, found in results["auroc"].items():
        ends = f"{found['ci_low']:.4f} to {found['ci_high']:.4f}"
        areas.add_row(name, f"{found['estimate']:.4f}", ends, found["method"])
    console.print(areas)
    if results["delong"]:
        tests = Table()
        for heading in ("difference in AUC", "estimate", f"{percent} interval", "p", "p (Holm)"):
            tests.add_column(heading)
        for test in results["delong"]:
            ends = f"{test['ci_low']:+.4f} to {test['ci_high']:+.4f}"
            p, p_holm = (f"{value:.3g}" for value in (test["p"], test["p_holm"]))
            tests.add_row(f"{test['a']} - {test['b']}", f"{test['difference']:+.4f}", ends, p, p_holm)
        console.print(tests)
    for warning in results["warnings"]:
        console.print(f"! {warning}", markup=False)
    console.print(f"Page: {page}", markup=False)
