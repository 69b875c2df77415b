"""Tables of more than two classes."""

from collections.abc import Mapping

from dgccl.report import text
from dgccl.report.run_files import RunFiles
from dgccl.report.style import Line
from dgccl.report.tables import Table

MODELS_AT_SIGHT = 3
"""With more models than this, tables of a row a model and class stand behind their titles."""


def area_by_class(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    """AUC of every class against the rest, one row a model."""
    models = run.results["models"]
    rows = tuple(
        (
            text.model_name(name),
            *(text.estimate(entry["auroc"]) for entry in models[name]["multiclass"]["by_class"].values()),
            text.estimate(models[name]["auroc"]),
        )
        for name in lines
    )
    header = ("Model", *(text.capitalized(name) for name in run.class_names), "Macro AUC")
    note = (
        "Every class's own probability, its lesions against all others in the same fold. The macro AUC is the mean "
        "over the classes, each weighing alike; its interval takes into account that they share their lesions."
    )
    swatches = tuple(line.color for line in lines.values())
    return Table("AUC of each class against the rest", header, rows, note, swatches)


def rates_by_class(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    """Sensitivity and specificity of every class, one row a model and class."""
    rows, swatches = [], []
    for name, line in lines.items():
        for kind, entry in run.results["models"][name]["multiclass"]["by_class"].items():
            rates = (text.estimate(entry[key]) for key in ("sensitivity", "specificity"))
            rows.append((f"{text.model_name(name)}, {kind}", *rates))
            swatches.append(line.color)
    note = (
        "A lesion is called the class of its highest probability; no threshold is chosen. Sensitivity: share of the "
        "class's lesions that are called so. Specificity: share of the other lesions that are not. Wilson intervals."
    )
    header = ("Model and class", "Sensitivity", "Specificity")
    folded = len(lines) > MODELS_AT_SIGHT
    return Table("Calls of each class", header, tuple(rows), note, tuple(swatches), folded=folded)


def confusion(run: RunFiles, lines: Mapping[str, Line]) -> Table:
    """Counts by truth and call, one row a model and true class."""
    rows, swatches = [], []
    for name, line in lines.items():
        counts = run.results["models"][name]["multiclass"]["confusion"]
        for kind, row in zip(run.class_names, counts, strict=True):
            rows.append((f"{text.model_name(name)}, {kind}", *map(str, row), str(sum(row))))
            swatches.append(line.color)
    header = ("Model and true class", *(f"Called {name}" for name in run.class_names), "All")
    note = "Test lesions, each called the class of its highest probability."
    folded = len(lines) > MODELS_AT_SIGHT
    return Table("Calls by true class", header, tuple(rows), note, tuple(swatches), folded=folded)
