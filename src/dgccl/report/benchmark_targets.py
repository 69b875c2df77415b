"""What the benchmark was to reach: the table of its targets, and what must be said of them."""

from collections.abc import Mapping
from typing import Any

from dgccl.report import markdown

SIGNIFICANCE = 0.05


def targets(results: Mapping[str, Any]) -> str:
    """The targets of the benchmark, what was found, and what the two must be read with."""
    rows = [
        (
            t["what"],
            markdown.p_value(t["found"]) if t["what"].endswith("p after Holm") else f"{t['found']:.4f}",
            f"{t['limit']:.4f}",
            "yes" if t["reached"] else "**no**",
            t["detail"],
        )
        for t in results["targets"]
    ]
    return (
        markdown.table(("target", "found", "limit", "reached", "detail"), rows)
        + _trainings_note(results)
        + _fusion_note(results)
    )


def _trainings_note(results: Mapping[str, Any]) -> str:
    """Rivals that the recommended method is above as trained here, and not beyond what training anew would change."""
    labels = {method["name"]: method["label"] for method in results["methods"]}
    unsure = [
        f"{labels[test['b']]} {markdown.p_value(test['difference']['p_seeds'])}"
        for test in results["comparisons"]
        if test["family"] == "recommended against rivals"
        and test["difference"]["estimate"] > 0.0
        and test["p_holm"] < SIGNIFICANCE
        and test["difference"]["p_seeds"] is not None
        and test["difference"]["p_seeds"] >= SIGNIFICANCE
    ]
    if not unsure:
        return ""
    return (
        "\n\nHolm's p is of these trained networks. Above by it, but not beyond what the seeds differ by, so that "
        "other trainings of the same methods may fall the other way (p of the paired t test over seeds): "
        f"{'; '.join(unsure)}."
    )


def _fusion_note(results: Mapping[str, Any]) -> str:
    """What the saving of the gate rests on: the width of that gate, and what the other methods spend on fusion."""
    costs = {cost["method"]: cost for cost in results["costs"]}
    settings = {method["name"]: method["settings"].get("model", {}) for method in results["methods"]}
    if not {"gate_only", "concatenation_full"} <= set(costs):
        return ""
    others = "; ".join(
        f"{method['label']} {costs[method['name']]['flops_by_part']['fusion']:,}"
        for method in results["methods"]
        if method["group"] in ("recommended", "published") and method["name"] in costs
    )
    hidden, full = settings["gate_only"].get("gate_hidden", "the usual"), costs["concatenation_full"]
    return (
        f"\n\nThe gate that saves operations is the gate alone, of {hidden} hidden units. Whole methods join more than "
        f"that and spend more on it (FLOPs of the fusion: {others}; fully connected "
        f"{full['flops_by_part']['fusion']:,}), of {full['flops']:,} in all: the encoders decide what a lesion costs."
    )
