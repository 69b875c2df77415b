"""The page of `dgccl compare`: one HTML file, every figure also as SVG and PNG, its data as CSV."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgccl.evaluation.score_comparison import ScoreComparison
from dgccl.files import write_atomically
from dgccl.report import score_figures, style, text
from dgccl.report.section import Section, render_template
from dgccl.report.sketch import Sketch, drawn, write_sketch
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
    percent = _percent(results)
    sketches = {"roc": score_figures.roc(found.roc, results["auroc"], lines)}
    if results["delong"]:
        sketches["differences"] = score_figures.differences(results["delong"], percent=percent)
    if any(any(row["auroc"].values()) for row in results["by_site"]):
        sketches["sites"] = score_figures.sites(results["by_site"], lines, percent=percent)
    return sketches


def _page(results: Mapping[str, Any], sketches: Mapping[str, Sketch], lines: Mapping[str, Line]) -> str:
    meta = results["meta"]
    figures = {name: drawn(sketch) for name, sketch in sketches.items()}
    sections = [
        Section(
            "comparisons",
            "Comparisons",
            drawings=tuple(figures[name] for name in ("roc", "differences") if name in figures),
            tables=(_tests(results, "delong", "Paired differences"),) if results["delong"] else (),
            notes=()
            if results["delong"]
            else ("Nothing was compared: there is one score, or no test is defined.",),
        )
    ]
    if meta["site"] is not None:
        sections.append(_site_section(results, figures, lines))
    sections.append(Section("provenance", "Provenance", tables=(_provenance(meta),)))
    return render_template(
        "comparison.html.j2",
        meta=meta,
        size=_size(meta),
        warnings=results["warnings"],
        headline=_headline(results, lines),
        verdict=_verdict(results),
        sections=sections,
    )


def _percent(results: Mapping[str, Any]) -> str:
    return f"{100 * results['meta']['confidence']:g}%"


def _size(meta: Mapping[str, Any]) -> str:
    words = (
        f"{text.count(meta['n'], 'case')} ({meta['n_positive']} of class 1, {meta['n_negative']} of class 0)"
    )
    if meta["cluster"] is not None:
        words += f" in {text.count(meta['n_clusters'], 'cluster')} by {meta['cluster']}"
    if meta["site"] is not None:
        words += f", {text.count(meta['n_sites'], 'site')} by {meta['site']}"
    return words


def _headline(results: Mapping[str, Any], lines: Mapping[str, Line]) -> Table:
    rows = [
        (name, text.estimate(results["auroc"][name]), text.estimate(results["auroc_logit"][name]))
        for name in lines
    ]
    methods = text.listing(sorted({text.method_name(area["method"]) for area in results["auroc"].values()}))
    note = (
        f"{_percent(results)} intervals. AUC: {methods}, as R's pROC gives it where cases are independent. The "
        "interval on the logit scale stays within 0 and 1 and is the better one at high AUC or with few cases."
    )
    return Table(
        "Area under the ROC curve",
        ("Score", "AUC", "AUC, interval on the logit scale"),
        tuple(rows),
        note,
        tuple(line.color for line in lines.values()),
    )


def _tests(results: Mapping[str, Any], key: str, title: str) -> Table:
    rows = [
        (
            f"{test['a']} {text.MINUS} {test['b']}",
            f"{text.number(test['difference'], signed=True, digits=4)} ({text.interval(test, digits=4)})",
            text.number(test["z"], signed=True),
            text.p_value(test["p"]),
            text.p_value(test["p_holm"]),
        )
        for test in results[key]
    ]
    header = ("Scores", "Difference in AUC", "z", "p", "p after Holm")
    method = text.method_name(results[key][0]["method"])
    return Table(
        title,
        header,
        tuple(rows),
        f"Test: {method}, two-sided. Holm's correction is over the rows of this table.",
    )


def _site_section(
    results: Mapping[str, Any], figures: Mapping[str, Any], lines: Mapping[str, Line]
) -> Section:
    rows = [
        (
            row["site"],
            f"{row['n_positive']} of {row['n']}",
            *(text.estimate(row["auroc"][name]) for name in lines),
        )
        for row in results["by_site"]
    ]
    tables = [
        Table(
            "By site", ("Site", "Class 1", *(f"AUC, {name}" for name in lines)), tuple(rows), "Logit DeLong."
        )
    ]
    if results["auroc_within_site"]:
        within = [
            (name, text.estimate(results["auroc"][name]), text.estimate(results["auroc_within_site"][name]))
            for name in lines
        ]
        note = (
            "Within sites only cases of one site are compared. Where the AUC of all cases is much higher, part of it "
            "comes from telling sites apart that differ in how often class 1 occurs."
        )
        tables.append(
            Table(
                "All cases, and within sites", ("Score", "AUC, all", "AUC, within sites"), tuple(within), note
            )
        )
    if results["delong_within_site"]:
        tables.append(_tests(results, "delong_within_site", "Paired differences within sites"))
    drawings = (figures["sites"],) if "sites" in figures else ()
    return Section("sites", "Sites", drawings=drawings, tables=tuple(tables))


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


def _verdict(results: Mapping[str, Any]) -> list[str]:
    """What the tests say, by fixed rules."""
    alpha = 1.0 - results["meta"]["confidence"]
    said, open_pairs = [], []
    for test in results["delong"]:
        if test["p_holm"] < alpha:
            better, worse = (test["a"], test["b"]) if test["difference"] > 0 else (test["b"], test["a"])
            said.append(
                f"{better} ranks better than {worse}: {text.number(abs(test['difference']))} in AUC, "
                f"{text.relation(test['p_holm'])} after Holm."
            )
        else:
            open_pairs.append(f"{test['a']} and {test['b']}")
    if open_pairs:
        said.append(
            f"No difference was shown between {'; '.join(open_pairs)}. That is not evidence that they are equal: the "
            "intervals say how large a difference these cases leave possible."
        )
    for name, area in results["auroc"].items():
        if area["ci_low"] <= 0.5 <= area["ci_high"]:
            said.append(f"{name} is not shown to tell the classes apart: its interval includes 0.5.")
    return said or ["Every score was looked at alone; nothing was compared."]
