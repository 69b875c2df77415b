"""What the tests of `dgccl compare` allow one to say, by fixed rules; many findings of a kind share a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

from dgccl.report import text

TOLD_SINGLY = 2
"""More findings of one kind than this share one sentence; their figures are in the table."""


def verdict(results: Mapping[str, Any]) -> list[str]:
    """Plain sentences on who ranks better, what stays open, and which scores tell nothing.

    Args:
        results: of `ScoreComparison.to_json`.
    """
    tests, alpha = results["delong"], 1.0 - results["meta"]["confidence"]
    shown = [test for test in tests if test["p_holm"] < alpha]
    alike = [test for test in tests if test not in shown and test["ci_low"] == test["ci_high"]]
    open_pairs = [test for test in tests if test not in shown and test not in alike]
    said = [
        *_better(shown),
        *_alike(alike),
        *_open(open_pairs, len(tests)),
        *_chance(results["auroc"]),
    ]
    return said or ["Every score was looked at alone; nothing was compared."]


def _better(tests: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence a pair, or one a better score where there are many pairs."""
    beaten: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for test in tests:
        better, worse = (test["a"], test["b"]) if test["difference"] > 0 else (test["b"], test["a"])
        beaten.setdefault(better, []).append((worse, test))
    if len(tests) <= TOLD_SINGLY:
        return [
            f"{better} ranks better than {worse}: {text.number(abs(test['difference']))} in AUC, "
            f"{text.relation(test['p_holm'])} after Holm."
            for better, others in beaten.items()
            for worse, test in others
        ]
    return [_better_than(better, others) for better, others in beaten.items()]


def _better_than(better: str, others: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    gaps = [abs(test["difference"]) for _, test in others]
    low, high = (text.number(gap) for gap in (min(gaps), max(gaps)))
    gap = low if low == high else f"{low} to {high}"
    p = text.relation(max(test["p_holm"] for _, test in others))
    if len(others) > 1:
        p = p.replace("=", "\u2264")
    return f"{better} ranks better than {text.listing([worse for worse, _ in others])}: {gap} in AUC, {p} after Holm."


def _alike(tests: Sequence[Mapping[str, Any]]) -> list[str]:
    """Scores of one order; to be so is the same for all of a group, whichever pair of it is looked at."""
    groups: list[list[str]] = []
    for test in tests:
        joined = [group for group in groups if test["a"] in group or test["b"] in group]
        names = [*(name for group in joined for name in group), test["a"], test["b"]]
        groups = [group for group in groups if group not in joined] + [list(dict.fromkeys(names))]
    return [f"{text.listing(group)} put these cases in one and the same order." for group in groups]


def _open(tests: Sequence[Mapping[str, Any]], tested: int) -> list[str]:
    """Pairs without a shown difference; of many, their number, since all others are named before."""
    if not tests:
        return []
    if len(tests) <= TOLD_SINGLY:
        pairs = "; ".join(f"{test['a']} and {test['b']}" for test in tests)
        said = f"No difference was shown between {pairs}."
    elif len(tests) == tested:
        said = f"No difference was shown in any of the {tested} tested pairs, after Holm."
    else:
        said = f"In the other {len(tests)} of the {tested} tested pairs no difference was shown, after Holm."
    return [
        f"{said} That is not evidence that they are equal: the intervals say how large a difference these cases leave "
        "possible."
    ]


def _chance(areas: Mapping[str, Mapping[str, Any]]) -> list[str]:
    names = [name for name, area in areas.items() if area["ci_low"] <= 0.5 <= area["ci_high"]]
    if len(names) <= TOLD_SINGLY:
        return [
            f"{name} is not shown to tell the classes apart: its interval includes 0.5." for name in names
        ]
    return [f"{text.listing(names)} are not shown to tell the classes apart: their intervals include 0.5."]
