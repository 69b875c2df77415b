"""Our figures beside those that the method's authors published on other data."""

from collections.abc import Callable, Mapping
from typing import Any

from dgccl.report import text
from dgccl.report.run_files import RunFiles
from dgccl.report.tables import Table

NOT_MEASURED = "not measured in this run"


def _auroc(name: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda models: text.estimate(models[name]["auroc"]) if name in models else None


def _gate_median(kind: str, modality: str) -> Callable[[Mapping[str, Any]], str | None]:
    def read(models: Mapping[str, Any]) -> str | None:
        gate = models.get("dgccl", {}).get("gate")
        return text.number(gate["by_class"][kind][modality]["median"]) if gate else None

    return read


def _cosine(key: str) -> Callable[[Mapping[str, Any]], str | None]:
    def read(models: Mapping[str, Any]) -> str | None:
        cosine = models.get("dgccl", {}).get("cosine")
        return text.number(cosine[key]["mean"]) if cosine and cosine.get(key) else None

    return read


def _single_modality(models: Mapping[str, Any]) -> str | None:
    """AUC with each modality missing."""
    patterns = models.get("dgccl", {}).get("patterns")
    if not patterns:
        return None
    return "; ".join(
        f"{text.modality_name(pattern)} only {text.estimate(entry['auroc'])}"
        for pattern, entry in patterns.items()
    )


OURS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "auroc": _auroc("dgccl"),
    "auroc_late_fusion": _auroc("late_fusion"),
    "single_modality_auroc": _single_modality,
    "cosine_before": _cosine("paired_untrained"),
    "cosine_after": _cosine("paired"),
    "gate_pet_malignant": _gate_median("malignant", "pet"),
    "gate_ct_benign": _gate_median("benign", "ct"),
}
"""Which of our figures stands beside which published one."""


def published_table(run: RunFiles) -> Table:
    """One row a published figure: ours, theirs, and the words that tell them apart."""
    models = run.results["models"]
    rows = []
    for key, entry in run.results["published"].items():
        ours = OURS[key](models) if key in OURS else None
        theirs = _published(entry)
        rows.append((entry["text"], ours or NOT_MEASURED, theirs))
    caption = (
        "Another data set: the published figures come from patients whom nobody here has seen, with another case mix, "
        "other scanners and other sample sizes. They stand here for orientation; the difference between the columns "
        "is no measure of anything."
    )
    return Table(caption, ("Figure", "This run", "Published, other data set"), tuple(rows))


def _published(entry: Mapping[str, Any]) -> str:
    value = entry["value"]
    words = f"{value:g}" if isinstance(value, int | float) else str(value)
    return f"{words} ({entry['ci_low']:g} to {entry['ci_high']:g})" if "ci_low" in entry else words
