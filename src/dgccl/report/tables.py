"""The tables of the report: rows of finished text, taken from results and cohort."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dgccl.cohort import Cohort
from dgccl.report import text
from dgccl.report.run_files import RunFiles
from dgccl.report.style import CLASS_NAMES, Line


@dataclass(frozen=True)
class Table:
    """A table of finished text; the first cell of a row is its heading.

    Attributes:
        note: how to read it, below the table.
        swatches: a color for the heading of each row, or nothing.
        folded: the table stands behind its title, to be opened by the reader.
        words: the cells are words, which may break anywhere, rather than numbers.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    swatches: tuple[str, ...] = ()
    folded: bool = False
    words: bool = False


def headline(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    """One row a model: discrimination, operating point, and what a missing modality costs."""
    models = run.results["models"]
    patterns = list(dict.fromkeys(p for name in lines for p in models[name]["patterns"]))
    header = ["Model", "AUC", "Sensitivity", "Specificity"]
    for pattern in patterns:
        words = text.pattern_name(pattern, run.modalities)
        header += [f"AUC, {words}", f"Drop, {words}"]
    rows = []
    for name in lines:
        model = models[name]
        row = [
            text.model_name(name),
            *(text.estimate(model[key]) for key in ("auroc", "sensitivity", "specificity")),
        ]
        for pattern in patterns:
            entry = model["patterns"].get(pattern)
            row += (
                [text.estimate(entry["auroc"]), text.estimate(entry["drop"])] if entry else ["not scored"] * 2
            )
        rows.append(tuple(row))
    note = (
        "Each lesion scored by the one network that never saw its patient. AUC: every test lesion compared with those "
        "of the other class in its own fold. In "
        f"parentheses: {_methods(run)}. Sensitivity and specificity at the threshold chosen on each fold's "
        "validation lesions. Drop: AUC with every modality minus AUC with one missing."
    )
    swatches = tuple(line.color for line in lines.values())
    return Table("All models on the same lesions", tuple(header), tuple(rows), note, swatches)


def _methods(run: RunFiles) -> str:
    """Which method gave the intervals: `95% intervals (AUC: DeLong; sensitivity and specificity: Wilson)`."""
    models = run.results["models"].values()
    aucs = [model["auroc"] for model in models]
    aucs += [pattern["auroc"] for model in models for pattern in model["patterns"].values()]
    rates = [model[key] for model in models for key in ("sensitivity", "specificity")]
    names = [
        text.listing(sorted({text.method_name(entry["method"]) for entry in entries}))
        for entries in (aucs, rates)
    ]
    return f"95% intervals (AUC: {names[0]}; sensitivity and specificity: {names[1]})"


def by_fold(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    """AUC and threshold of every fold."""
    models = run.results["models"]
    folds = max(len(models[name]["auroc_by_fold"]) for name in lines)
    rows = []
    for fold in range(folds):
        row = [f"Fold {fold}"]
        for name in lines:
            row += [
                text.number(models[name]["auroc_by_fold"][fold]),
                text.number(models[name]["threshold_by_fold"][fold]),
            ]
        rows.append(tuple(row))
    pooled = [
        cell for name in lines for cell in (text.number(models[name]["auroc_pooled"]["estimate"]), "none")
    ]
    rows.append(("Scores pooled", *pooled))
    header = ["Fold"]
    for name in lines:
        header += [f"AUC, {text.model_words(name)}", f"Threshold, {text.model_words(name)}"]
    note = (
        "AUC on each test fold, and the threshold (probability of malignancy) chosen on its validation lesions. "
        "Pooled: all scores as if one network had given them."
    )
    if any(text.is_missing(value) for name in lines for value in models[name]["auroc_by_fold"]):
        note += " A test fold with one class only has no AUC."
    return Table("By fold", tuple(header), tuple(rows), note)


def confusion(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    """Counts at the chosen thresholds."""
    counts = {name: run.results["models"][name]["confusion"] for name in lines}
    rows = tuple(
        (text.model_name(name), *(str(counts[name][key]) for key in ("tp", "fn", "tn", "fp")))
        for name in lines
    )
    header = (
        "Model", "Malignant, called malignant", "Malignant, called benign", "Benign, called benign",
        "Benign, called malignant",
    )  # fmt: skip
    swatches = tuple(line.color for line in lines.values())
    note = "Lesions counted at the threshold chosen on each fold's validation lesions."
    return Table("Calls at the chosen threshold", header, rows, note, swatches)


def comparisons(run: RunFiles) -> Table:
    """Every paired comparison with its test and correction."""
    rows = tuple(
        (
            f"{text.model_name(entry['a'])} − {text.model_words(entry['b'])}",
            text.number(entry["difference"]),
            text.interval(entry),
            text.number(entry["z"], digits=2),
            text.p_value(entry["p"]),
            text.p_value(entry["p_holm"]),
        )
        for entry in run.results["delong"]
    )
    header = ("Difference of AUC", "Estimate", "95% interval", "z", "p", "p, Holm")
    note = (
        "Paired DeLong test on the same test lesions; Holm's correction over all comparisons of this table. A "
        "difference whose interval holds zero has not been shown; that is not the same as being equal."
    )
    return Table("Paired comparisons", header, rows, note)


def missing_modality(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    """What each missing modality costs each model, with its test."""
    rows, swatches = [], []
    for name, line in lines.items():
        for pattern, entry in run.results["models"][name]["patterns"].items():
            heading = f"{text.model_name(name)}, {text.pattern_name(pattern, run.modalities)}"
            drop = entry["drop"]
            rows.append(
                (heading, text.estimate(entry["auroc"]), text.estimate(drop), text.p_value(drop["p"]))
            )
            swatches.append(line.color)
    note = "Drop: AUC with every modality minus AUC with one missing, on the same lesions; paired test, uncorrected p."
    return Table(
        "What a missing modality costs", ("Model", "AUC", "Drop", "p"), tuple(rows), note, tuple(swatches)
    )


def gate_weights(run: RunFiles, gates: Mapping[str, Mapping[str, Any]]) -> Table:
    """Quartiles of the gate weights by class, and the test between the classes."""
    rows = []
    for name, gate in gates.items():
        for modality in run.modalities:
            quartiles = (
                "{} [{}, {}]".format(
                    *(text.number(gate["by_class"][kind][modality][key]) for key in ("median", "q1", "q3"))
                )
                for kind in CLASS_NAMES
            )
            rows.append((f"{text.model_name(name)}, {text.modality_name(modality)} weight", *quartiles))
    tests = "; ".join(
        f"{text.model_name(name)}, statistic {text.number(gate['ks']['statistic'])}, {text.relation(gate['ks']['p'])}"
        for name, gate in gates.items()
    )
    note = f"Median [first, third quartile]. Kolmogorov-Smirnov test between the classes: {tests}."
    return Table("Gate weights by true class", ("Weight", "Benign", "Malignant"), tuple(rows), note)


def cohort_by_class(cohort: Cohort) -> Table:
    """Who is in the cohort, by class."""
    lesions = cohort.lesions
    parts = [lesions, *(lesions.loc[lesions["label"] == label] for label in range(len(CLASS_NAMES)))]
    rows: list[tuple[str, ...]] = [
        ("Lesions, n", *(str(len(part)) for part in parts)),
        ("Patients, n", *(str(part["patient_id"].nunique()) for part in parts)),
    ]
    measures = (
        ("age_years", "Age, years", 0), ("diameter_mm", "Diameter, mm", 1), ("suv_max", "SUVmax, g/mL", 1),
        ("mtv_ml", "Metabolic tumor volume, ml", 1), ("uptake_time_min", "Uptake time, min", 0),
        ("ct_slice_spacing_mm", "CT slice spacing, mm", 2), ("pet_slice_spacing_mm", "PET slice spacing, mm", 2),
    )  # fmt: skip
    for column, words, digits in measures:
        rows.append((words, *(text.quartiles(part[column].to_numpy(float), digits=digits) for part in parts)))
    for column, words in (("has_ct", "With CT, n"), ("has_pet", "With PET, n")):
        rows.append((words, *(str(int(part[column].sum())) for part in parts)))
    for column, words in (("sex", "Sex"), ("site", "Site"), ("scanner", "Scanner")):
        values = lesions[column].value_counts().index.tolist()
        for value in sorted(values, key=lambda value: (value == "", value)):
            heading = f"{words}: {value or 'not recorded'}"
            rows.append((heading, *(_share(part[column] == value) for part in parts)))
    note = "Median [first, third quartile], or lesions (% of the column)."
    return Table("The cohort by class", ("Characteristic", "All", "Benign", "Malignant"), tuple(rows), note)


def _share(chosen: pd.Series) -> str:
    return f"{int(chosen.sum())} ({100.0 * chosen.mean():.0f}%)" if len(chosen) else "0"


def provenance(run: RunFiles, cohort: Cohort) -> Table:
    """What made this run, so that it can be made again."""
    meta = run.results["meta"]
    command = run.run["command"]
    rows = (
        ("Configuration", str(meta["config_name"])),
        ("Seed", str(meta["seed"])),
        ("Command", command if isinstance(command, str) else shlex.join(map(str, command))),
        ("DG-CCL version", str(meta["dgccl_version"])),
        ("Started", str(run.run["started"])),
        ("Finished", str(run.run["finished"] or "not finished")),
        ("Cohort", cohort.folder.name),
        ("Cohort hash (SHA-256 of lesions.csv)", str(meta["cohort_sha256"])),
        (
            "Cross-validation",
            f"{text.count(int(meta['folds']), 'fold')}, grouped by patient, stratified by class",
        ),
    )
    return Table("What made this run", ("Item", "Value"), rows, words=True)


def settings(title: str, content: Mapping[str, Any]) -> Table:
    """A nested table of settings, one row a leaf, folded away."""
    return Table(title, ("Setting", "Value"), tuple(_leaves(content, "")), folded=True, words=True)


def _leaves(content: Mapping[str, Any], prefix: str) -> Sequence[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            rows += _leaves(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return rows
