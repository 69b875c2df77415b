"""The tables of the report: rows of finished text, taken from results and cohort."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dgccl.cohort import Cohort
from dgccl.report import text
from dgccl.report.run_files import RunFiles
from dgccl.report.style import Line

PATTERNS_ACROSS = 2
"""More patterns than this do not fit beside the models; they have a table of their own."""


@dataclass(frozen=True)
class Table:
    """A table of finished text; the first cell of a row is its heading.

    Attributes:
        note: how to read it, below the table.
        swatches: a color for the heading of each row, or nothing.
        folded: the table stands behind its title, to be opened by the reader.
        words: the cells are words, which may break anywhere, rather than numbers.
        verbatim: the rows hold names and values as files state them, the same in every language.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    swatches: tuple[str, ...] = ()
    folded: bool = False
    words: bool = False
    verbatim: bool = False


PUBLISHED_WORDS = "Published models: as published, from the cohort's columns, where a lesion has every value."


def called_with_count(run: RunFiles, name: str) -> str:
    """How a model is called at the head of a row; a published one with its lesions where they are not all."""
    n, whole = run.judged[name]["auroc"]["n"], run.results["meta"]["n_lesions"]
    fewer = name in run.comparators and n < whole
    return f"{text.model_name(name)}, {n} of {whole} lesions" if fewer else text.model_name(name)


def headline(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    """One row a model: discrimination, operating point, and what a missing modality costs."""
    models = run.judged
    patterns = list(dict.fromkeys(p for name in lines for p in models[name]["patterns"]))
    patterns = patterns if len(patterns) <= PATTERNS_ACROSS else []
    binary, area = len(run.class_names) == 2, text.capitalized(text.area_name(len(run.class_names)))
    header = ["Model", area]
    header += ["Sensitivity", "Specificity"] if binary else ["Accuracy"]
    for pattern in patterns:
        words = text.pattern_name(pattern, run.modalities)
        header += [f"{area}, {words}", f"Drop, {words}"]
    rows = []
    for name in lines:
        model = models[name]
        calls = [model["sensitivity"], model["specificity"]] if binary else [model["multiclass"]["accuracy"]]
        row = [called_with_count(run, name), *(text.estimate(figure) for figure in (model["auroc"], *calls))]
        for pattern in patterns:
            entry = model["patterns"].get(pattern)
            if entry:
                row += [text.estimate(entry["auroc"]), text.estimate(entry["drop"])]
            else:
                row += ["reads no image" if name in run.comparators else "not scored"] * 2
        rows.append(tuple(row))
    swatches = tuple(line.color for line in lines.values())
    judged = {name: models[name]["auroc"]["n"] for name in lines}
    title = "All models on the same lesions"
    if len(set(judged.values())) > 1:
        title = "All models, each on the lesions that it can judge"
    return Table(title, tuple(header), tuple(rows), _headline_note(run, bool(patterns)), swatches)


def _headline_note(run: RunFiles, with_drops: bool) -> str:
    binary = len(run.class_names) == 2
    area = (
        "AUC: every test lesion compared with those of the other class in its own fold."
        if binary
        else "Macro AUC: every class's own probability compared with all other lesions of the same fold; mean over the "
        "classes, each weighing alike."
    )
    calls = (
        "Sensitivity and specificity at the threshold chosen on each fold's validation lesions."
        if binary
        else "Accuracy: share of the lesions whose class has the highest probability; no threshold is chosen."
    )
    if run.comparators:
        calls += f" {PUBLISHED_WORDS}"
    drop = " Drop: AUC with every modality minus AUC with one missing." if with_drops else ""
    return (
        f"Each lesion scored by the one network that never saw its patient. {area} In parentheses: {_methods(run)}. "
        f"{calls}{drop}"
    )


def _methods(run: RunFiles) -> str:
    """Which method gave the intervals: `95% intervals (AUC: DeLong; sensitivity and specificity: Wilson)`."""
    binary = len(run.class_names) == 2
    models = run.judged.values()
    aucs = [model["auroc"] for model in models]
    aucs += [pattern["auroc"] for model in models for pattern in model["patterns"].values()]
    rates = [model[key] for model in models for key in ("sensitivity", "specificity")]
    rates = rates if binary else [model["multiclass"]["accuracy"] for model in models]
    names = [
        text.listing(sorted({text.method_name(entry["method"]) for entry in entries}))
        for entries in (aucs, rates)
    ]
    return f"95% intervals (AUC: {names[0]}; {'sensitivity and specificity' if binary else 'accuracy'}: {names[1]})"


def by_fold(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    """AUC of every fold, with the threshold where there are two classes."""
    models, binary = run.judged, len(run.class_names) == 2
    area = text.area_name(len(run.class_names))
    folds = max(len(models[name]["auroc_by_fold"]) for name in lines)
    rows, swatches = [], []
    for name, line in lines.items():
        model, words = models[name], text.model_name(name)
        pooled = text.number(model["auroc_pooled"]["estimate"])
        rows.append((f"{words}, {area}", *map(text.number, model["auroc_by_fold"]), pooled))
        if binary:
            rows.append((f"{words}, threshold", *map(text.number, model["threshold_by_fold"]), "none"))
        swatches += [line.color] * (1 + binary)
    header = ("Model", *(f"Fold {fold}" for fold in range(folds)), "Scores pooled")
    chosen = f", and the threshold (probability of {run.class_names[1]}) chosen on its validation lesions"
    note = (
        f"{text.capitalized(area)} on each test fold{chosen if binary else ''}. Pooled: all scores as if one network "
        "had given them."
    )
    if any(text.is_missing(value) for name in lines for value in models[name]["auroc_by_fold"]):
        note += (
            " A test fold with one class only has no AUC."
            if binary
            else f" A fold that lacks a class has no {area}."
        )
    return Table("By fold", header, tuple(rows), note, tuple(swatches))


def confusion(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    """Counts of two classes at the chosen thresholds."""
    negative, positive = run.class_names
    counts = {name: run.judged[name]["confusion"] for name in lines}
    rows = tuple(
        (text.model_name(name), *(str(counts[name][key]) for key in ("tp", "fn", "tn", "fp")))
        for name in lines
    )
    pairs = ((positive, positive), (positive, negative), (negative, negative), (negative, positive))
    header = ("Model", *(f"{text.capitalized(truth)}, called {call}" for truth, call in pairs))
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
            str(entry["n"]),
        )
        for entry in run.results["delong"]
    )
    area = text.area_name(len(run.class_names))
    header = (f"Difference of {area}", "Estimate", "95% interval", "z", "p", "p, Holm", "Lesions")
    note = (
        "Paired DeLong test on the test lesions that both models judge; Holm's correction over all comparisons of this "
        "table. A difference whose interval holds zero has not been shown; that is not the same as being equal."
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
                (
                    heading,
                    text.estimate(entry["auroc"]),
                    text.estimate(drop),
                    text.p_value(drop["p"]),
                    text.p_value(drop["p_holm"]),
                )
            )
            swatches.append(line.color)
    note = (
        "Drop: AUC with every modality minus AUC with one missing, on the same lesions; paired test, Holm's correction "
        "over this table."
    )
    area = text.capitalized(text.area_name(len(run.class_names)))
    header = ("Model", area, "Drop", "p", "p, Holm")
    return Table("What a missing modality costs", header, tuple(rows), note, tuple(swatches))


def gate_weights(run: RunFiles, gates: Mapping[str, Mapping[str, Any]]) -> Table:
    """Quartiles of the gate weights by class, and the test between the classes."""
    rows = []
    for name, gate in gates.items():
        for modality in run.modalities:
            quartiles = (
                "{} [{}, {}]".format(
                    *(text.number(gate["by_class"][kind][modality][key]) for key in ("median", "q1", "q3"))
                )
                for kind in run.class_names
            )
            rows.append((f"{text.model_name(name)}, {text.modality_name(modality)} weight", *quartiles))
    tests = "; ".join(f"{text.model_name(name)}, {text.gate_test(gate)}" for name, gate in gates.items())
    note = f"Median [first, third quartile]. Test between the classes: {tests}."
    header = ("Weight", *(text.capitalized(name) for name in run.class_names))
    return Table("Gate weights by true class", header, tuple(rows), note)


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
        ("Cross-validation", f"{text.count(int(meta['folds']), 'fold')}, {_fold_rule(run.config)}"),
    )
    return Table("What made this run", ("Item", "Value"), rows, words=True)


def _fold_rule(config: Mapping[str, Any]) -> str:
    if config["training"].get("fold_by", "patient") == "site":
        return "each testing one whole site, grouped by patient"
    return "grouped by patient, stratified by class"


LONGEST_LISTING = 12
"""Entries of one kind, such as the hash of every patient's files, beyond which only their number is shown."""


def settings(title: str, content: Mapping[str, Any]) -> Table:
    """A nested table of settings, one row a leaf, folded away."""
    rows = tuple(_leaves(content, ""))
    return Table(title, ("Setting", "Value"), rows, folded=True, words=True, verbatim=True)


def _leaves(content: Mapping[str, Any], prefix: str) -> Sequence[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, Mapping) and key.endswith("sha256") and len(value) > LONGEST_LISTING:
            rows.append((f"{prefix}{key}", f"{len(value)} hashes, in manifest.json of the cohort"))
        elif isinstance(value, Mapping):
            rows += _leaves(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return rows
