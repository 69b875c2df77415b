"""What the benchmark found: every figure of its page, computed, with the settings and the command behind it."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from dgccl import __version__, stats
from dgccl.benchmark.compute import (
    Comparison,
    Drop,
    Row,
    comparisons,
    contrast,
    dropout_curve,
    drops,
    is_single,
    method_rows,
    recommended_name,
)
from dgccl.benchmark.scores import BenchmarkScores, meaning_of_gate
from dgccl.benchmark.settings import Method, method_experiment
from dgccl.explain.gate_meaning import GateMeaning
from dgccl.model import model_config
from dgccl.phantom.law import LAW_VERSION

CURVES = ("either", "ct", "pet")


@dataclass(frozen=True)
class Target:
    """Something that is to be reached.

    Attributes:
        what: in words.
        found: the figure.
        limit: what it must not pass.
        reached: whether it holds.
        detail: how the figure came about.
    """

    what: str
    found: float
    limit: float
    reached: bool
    detail: str


@dataclass(frozen=True)
class MethodCost:
    """Cost of one method: its means over seeds where they differ.

    Attributes:
        method: its name.
        parameters: trainable numbers.
        flops: of one lesion's forward pass in one pose.
        flops_by_part: where they go.
        training_s: mean time of a training, on `device`.
        device: where it was trained, with how many threads.
    """

    method: str
    parameters: int
    flops: int
    flops_by_part: dict[str, int]
    training_s: float
    device: str


@dataclass(frozen=True)
class BenchmarkResults:
    """All figures of the benchmark."""

    meta: dict[str, Any]
    methods: list[dict[str, Any]]
    rows: list[Row]
    drops: list[Drop]
    comparisons: list[Comparison]
    ideal: dict[str, stats.Estimate]
    surviving: dict[str, stats.Estimate]
    gates: dict[str, GateMeaning]
    curves: dict[str, dict[str, list[tuple[float, float]]]]
    costs: list[MethodCost]
    targets: list[Target]

    def to_json(self) -> str:
        """One JSON object, indented."""
        return json.dumps(asdict(self), indent=1) + "\n"


def compute_results(
    scores: BenchmarkScores, *, command: str, left_out: Sequence[Method] = ()
) -> BenchmarkResults:
    """Every table of the benchmark.

    Args:
        scores: of all jobs.
        command: what was called.
        left_out: methods of the benchmark that were not asked for.
    """
    config = scores.config
    rows, lost, compared = method_rows(scores), drops(scores), comparisons(scores)
    costs = [_cost(method.name, scores) for method in config.methods]
    meta = {
        "data_kind": "phantom",
        "law_version": LAW_VERSION,
        "dgccl_version": __version__,
        "command": command,
        "seeds": list(config.seeds),
        "data": config.data.model_dump(mode="json"),
        "margins": config.margins.model_dump(mode="json"),
        "left_out": [method.model_dump(mode="json") for method in left_out],
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    gates = {method.name: meaning_of_gate(scores, method.name) for method in config.methods}
    return BenchmarkResults(
        meta,
        [method.model_dump(mode="json") for method in config.methods],
        rows,
        lost,
        compared,
        {pattern: _area(scores, scores.ideal(pattern)) for pattern in scores.patterns},
        {pattern: _area(scores, scores.surviving(pattern)) for pattern in scores.patterns},
        {name: meaning for name, meaning in gates.items() if meaning is not None},
        {method.name: _curves(scores, method.name) for method in config.methods if not is_single(method)},
        costs,
        _targets(scores, rows, lost, compared, costs),
    )


def _area(scores: BenchmarkScores, score: Float64[np.ndarray, "n"]) -> stats.Estimate:
    return stats.auroc_delong(scores.label, score, stratum=scores.seed)


def _curves(scores: BenchmarkScores, method: str) -> dict[str, list[tuple[float, float]]]:
    return {missing: dropout_curve(scores, method, missing=missing) for missing in CURVES}


def _cost(method: str, scores: BenchmarkScores) -> MethodCost:
    facts = scores.facts[method]
    first = facts[0]
    return MethodCost(
        method,
        first["parameters"],
        first["flops"],
        first["flops_by_part"],
        round(float(np.mean([fact["training_s"] for fact in facts])), 1),
        f"{first['device']}, {first['threads']} threads",
    )


def _targets(
    scores: BenchmarkScores,
    rows: list[Row],
    lost: list[Drop],
    compared: list[Comparison],
    costs: list[MethodCost],
) -> list[Target]:
    """What the issue of the benchmark asks for, each held against its figure."""
    margins, best = scores.config.margins, recommended_name(scores)
    whole = scores.patterns[0]
    row = next(row for row in rows if row.method == best and row.pattern == whole)
    found = []
    for bound, regret, limit in (
        ("lower", row.regret_lower, margins.regret_lower),
        ("upper", row.regret_upper, margins.regret_upper),
    ):
        if regret is not None:
            detail = f"95 % interval {regret.ci_low:.4f} to {regret.ci_high:.4f}"
            found.append(
                Target(
                    f"regret against the {bound} bound",
                    regret.estimate,
                    limit,
                    regret.estimate <= limit,
                    detail,
                )
            )
    for test in compared:
        if test.family == "recommended against rivals":
            assert test.p_holm is not None
            above = test.difference.estimate > 0 and test.p_holm < 0.05
            detail = f"difference {test.difference.estimate:+.4f}"
            found.append(Target(f"above {test.b}: p after Holm", test.p_holm, 0.05, above, detail))
    for drop in lost:
        if drop.method != best:
            continue
        for bound, excess in (("upper", drop.excess_upper), ("lower", drop.excess_lower)):
            if excess is not None:
                detail = f"95 % interval {excess.ci_low:+.4f} to {excess.ci_high:+.4f}"
                what = f"{drop.pattern} alone: drop beyond the unavoidable one ({bound} bound)"
                held = excess.estimate <= margins.excess_drop
                found.append(Target(what, excess.estimate, margins.excess_drop, held, detail))
    for test in compared:
        if test.family.endswith(" alone"):
            margin = -margins.single_non_inferiority
            detail = (
                f"difference {test.difference.estimate:+.4f}; its lower 95 % limit is held against the margin"
            )
            held = test.difference.ci_low > margin
            found.append(
                Target(
                    f"{test.pattern} alone, not below {test.b}", test.difference.ci_low, margin, held, detail
                )
            )
    return [*found, *_fusion_targets(scores, costs)]


def _gate_hidden(scores: BenchmarkScores) -> int:
    method = next(method for method in scores.config.methods if method.name == "gate_only")
    return model_config(method_experiment(scores.config, method, seed=0), method.model).model.gate_hidden


def _fusion_targets(scores: BenchmarkScores, costs: list[MethodCost]) -> list[Target]:
    """The gate against a fully connected fusion of equal width: operations saved, at no loss of AUC."""
    names = {method.name for method in scores.config.methods}
    if not {"gate_only", "concatenation_full"} <= names:
        return []
    whole = scores.patterns[0]
    by_name = {cost.method: cost for cost in costs}
    gate, full = (by_name[name].flops_by_part["fusion"] for name in ("gate_only", "concatenation_full"))
    saving = 1.0 - gate / full
    test = contrast(
        scores, [scores.scores["gate_only"][whole], scores.scores["concatenation_full"][whole]], [1, -1]
    )
    margin = -scores.config.margins.flops_non_inferiority
    return [
        Target(
            "fusion operations saved by the gate",
            saving,
            0.37,
            saving >= 0.37,
            f"{gate} against {full} FLOPs; the gate alone, of {_gate_hidden(scores)} hidden units",
        ),
        Target(
            "gate, not below the fully connected fusion",
            test.ci_low,
            margin,
            test.ci_low > margin,
            f"difference {test.estimate:+.4f}; its lower 95 % limit is held against the margin",
        ),
    ]
