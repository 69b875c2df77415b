"""The page of `dgccl compare`: one HTML file, every figure also as SVG and PNG, its data as CSV."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dgccl.evaluation.scores.results import ScoreComparison
from dgccl.files import write_atomically
from dgccl.report import probability_figures, score_figures, score_tables, score_verdict, style, text
from dgccl.report.section import Section, render_template
from dgccl.report.sketch import Sketch, write_sketch
from dgccl.report.style import Line
from dgccl.report.tables import Table


def write_comparison(found: ScoreComparison, folder: Path) -> Path:
    """Write `comparison.html`, `comparison.json`, and every figure with its data.

    Args:
        found: what was compared.
        folder: made if need be; files of an earlier comparison there are replaced.

    Returns:
        Path of the page.
    """
    results = found.to_json()
    lines = style.model_lines(list(results["auroc"]))
    sketches = _sketches(found, results, lines)
    for sketch in sketches.values():
        write_sketch(folder, sketch)
    write_atomically(folder / "comparison.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    page = folder / "comparison.html"
    write_atomically(page, _page(results, sketches, lines))
    return page


def _sketches(
    found: ScoreComparison, results: Mapping[str, Any], lines: Mapping[str, Line]
) -> dict[str, Sketch]:
    percent, called = score_tables.percent(results), text.shortened(list(lines)).__getitem__
    sketches = [score_figures.roc(found.roc, results["auroc"], lines, percent=percent, called=called)]
    if results["delong"]:
        sketches.append(score_figures.differences(results["delong"], percent=percent, called=called))
    if any(any(row["auroc"].values()) for row in results["by_site"]):
        sketches.append(score_figures.sites(results["by_site"], lines, percent=percent, called=called))
    if results["probabilities"]:
        sketches += _probability_sketches(results, lines, percent, called)
    return {sketch.name: sketch for sketch in sketches}


def _probability_sketches(
    results: Mapping[str, Any], lines: Mapping[str, Line], percent: str, called: Callable[[str], str]
) -> list[Sketch]:
    found, meta = results["probabilities"], results["meta"]
    facts = {
        name: {
            "bins": one["curve"],
            "smooth": one["smooth"],
            "slope": one["logistic"]["slope"] if one["logistic"] else None,
        }
        for name, one in found["scores"].items()
    }
    curve = found["decision"]
    benefits = {name: one["net_benefit"] for name, one in curve["models"].items()}
    curve = curve | {"models": benefits, "treat_all": curve["treat_all"]["net_benefit"]}
    return [
        probability_figures.calibration(facts, lines, percent=percent, called=called),
        probability_figures.decision(
            curve,
            lines,
            called=called,
            share_of_cases=None if meta["prevalence"] is None else meta["n_positive"] / meta["n"],
        ),
    ]


def _page(results: Mapping[str, Any], sketches: Mapping[str, Sketch], lines: Mapping[str, Line]) -> str:
    meta = results["meta"]

    def chosen(*names: str) -> tuple[Sketch, ...]:
        return tuple(sketches[name] for name in names if name in sketches)

    tests = score_tables.tests(results, "delong", "Paired differences") if results["delong"] else None
    lacking = ("Nothing was compared: there is one score, or no test is defined.",)
    sections = [
        Section(
            "comparisons",
            "Comparisons",
            sketches=chosen("roc", "differences"),
            tables=(tests,) if tests else (),
            notes=() if tests else lacking,
        )
    ]
    if results["calls"]:
        sections.append(Section("calls", "Calls", tables=tuple(score_tables.calls(results))))
    if results["probabilities"]:
        shown = chosen("calibration", "decision")
        sections.append(
            Section("calibration", "Calibration", sketches=shown, tables=(score_tables.calibration(results),))
        )
    if meta["site"] is not None:
        tables = tuple(score_tables.sites(results, lines))
        sections.append(Section("sites", "Sites", sketches=chosen("sites"), tables=tables))
    sections.append(Section("provenance", "Provenance", tables=(_provenance(meta),)))
    return render_template(
        "comparison.html.j2",
        meta=meta,
        size=_size(meta),
        warnings=results["warnings"],
        headline=score_tables.headline(results, lines),
        verdict=score_verdict.verdict(results),
        sections=sections,
    )


def _size(meta: Mapping[str, Any]) -> str:
    words = (
        f"{text.count(meta['n'], 'case')} ({meta['n_positive']} of class 1, {meta['n_negative']} of class 0)"
    )
    if meta["cluster"] is not None:
        words += f" in {text.count(meta['n_clusters'], 'cluster')} by {meta['cluster']}"
    if meta["site"] is not None:
        words += f", {text.count(meta['n_sites'], 'site')} by {meta['site']}"
    return words


def _provenance(meta: Mapping[str, Any]) -> Table:
    rows = (
        ("Table", meta["table"]),
        ("SHA-256 of the table", meta["sha256"]),
        ("Label", f"{meta['label']}, class 1 being {meta['positive']}"),
        ("Cases left out", str(meta["dropped"])),
        ("Command", meta["command"]),
        ("DG-CCL version", meta["dgccl_version"]),
    )
    return Table("What this page was made from", ("Item", "Value"), rows, words=True)
