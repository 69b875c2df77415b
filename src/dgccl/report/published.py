"""Our figures beside those that the method's authors published on other data."""

from collections.abc import Callable, Mapping
from typing import Any

from dgccl.report import text
from dgccl.report.run_files import RunFiles
from dgccl.report.tables import Table

NOT_MEASURED = "not measured in this run"


Reader = Callable[[Mapping[str, Any]], str | None]
"""Finds our figure in the results; None where this run did not measure it."""


def _model(results: Mapping[str, Any], name: str, part: str) -> Any:
    return results["models"].get(name, {}).get(part)


def _auroc(name: str) -> Reader:
    def read(results: Mapping[str, Any]) -> str | None:
        found = _model(results, name, "auroc")
        return text.estimate(found) if found else None

    return read


def _gate_median(kind: str, modality: str) -> Reader:
    def read(results: Mapping[str, Any]) -> str | None:
        gate = _model(results, "dgccl", "gate")
        if not gate or modality not in gate["by_class"].get(kind, {}):
            return None
        return text.number(gate["by_class"][kind][modality]["median"])

    return read


def _cosine(key: str) -> Reader:
    def read(results: Mapping[str, Any]) -> str | None:
        cosine = _model(results, "dgccl", "cosine")
        return text.number(cosine[key]["mean"]) if cosine and cosine[key] else None

    return read


def _class_distance(*, fused: bool) -> Reader:
    def read(results: Mapping[str, Any]) -> str | None:
        found = [
            (entry["kind"], entry["between"])
            for entry in _model(results, "dgccl", "class_distances") or ()
            if (entry["kind"] == "fused") == fused and entry["between"]
        ]
        if fused:
            return next((text.number(between["mean"]) for _, between in found), None)
        return "; ".join(f"{text.modality_name(kind)} {text.number(b['mean'])}" for kind, b in found) or None

    return read


def _single_modality(results: Mapping[str, Any]) -> str | None:
    patterns = _model(results, "dgccl", "patterns") or {}
    single = {name: entry for name, entry in patterns.items() if "+" not in name}
    said = [
        f"{text.modality_name(name)} only {text.estimate(entry['auroc'])}" for name, entry in single.items()
    ]
    return "; ".join(said) or None


OURS: dict[str, Reader] = {
    "auroc": _auroc("dgccl"),
    "auroc_late_fusion": _auroc("late_fusion"),
    "single_modality_auroc": _single_modality,
    "n_test": lambda results: str(results["meta"]["n_lesions"]),
    "cosine_before": _cosine("paired_untrained"),
    "cosine_after": _cosine("paired"),
    "class_distance_before": _class_distance(fused=False),
    "class_distance_after": _class_distance(fused=True),
    "gate_pet_malignant": _gate_median("malignant", "pet"),
    "gate_ct_benign": _gate_median("benign", "ct"),
}
"""Which of our figures stands beside which published one."""


def published_table(run: RunFiles) -> Table:
    """One row a published figure: ours, theirs, and the words that tell them apart."""
    results = run.results
    rows = tuple(
        (entry["text"], (key in OURS and OURS[key](results)) or NOT_MEASURED, _published(entry))
        for key, entry in results["published"].items()
    )
    header = ("Figure", "This run", "Published, other data set")
    return Table("Beside the published figures", header, rows, results["published_note"])


def _published(entry: Mapping[str, Any]) -> str:
    value = entry["value"]
    if "ci_low" in entry:
        return text.estimate({"estimate": value} | dict(entry))
    return value if isinstance(value, str) else f"{value:g}"
