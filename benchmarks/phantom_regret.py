"""Every method of the phantom benchmark against the lower bound, from the two committed results.

The lower bound was trained in a run of its own, beside the recommended method alone. The seeds and the test lesions of
both runs are the same, so that the difference of two areas is exact. For its interval the scores of both networks
would be needed on one table; they are not kept. The half-widths of the differences that lead from one to the other are
added instead: a standard error of a sum is at most the sum of the standard errors, so that such an interval holds at
least the 95 % that it promises and is wider than it need be.

Usage: python benchmarks/phantom_regret.py
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = RESULTS / "phantom_regret.md"
COMMAND = "python benchmarks/phantom_regret.py"
PATTERNS = {"ct+pet": "All modalities", "ct": "CT alone", "pet": "PET alone"}


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Written: {PAGE.name}")


def page() -> str:
    """The page as Markdown, from `phantom.json` and `lower_bound/phantom.json`."""
    found, bound = (
        json.loads((RESULTS / name).read_text(encoding="utf-8"))
        for name in ("phantom.json", "lower_bound/phantom.json")
    )
    check_same_lesions(found, bound)
    parts = [
        "# Phantom benchmark: every method against the lower bound",
        "**PHANTOM** results: they say nothing about patients. Seeds "
        f"{', '.join(map(str, found['meta']['seeds']))}; {found['meta']['data']['test']:,} test lesions each, the same "
        "in both runs.",
        f"Command: `{COMMAND}`, from [all methods](phantom.json) and [the lower bound](lower_bound/phantom.json), "
        "whose pages have the commands that trained them.",
        "The lower bound is the recommended network trained on "
        f"{bound['meta']['data']['large']:,} lesions. Intervals of the recommended method are DeLong's, stratified by "
        "seed. All others add the half-widths of the differences on the way from the method to the bound: at least "
        "95 %, wider than need be, since the scores of both were not at hand together. Where no such difference was "
        "computed there is no interval, nor for methods that were scored in one pose: averaging poses gains about "
        "0.001, and their regret counts that as theirs.",
    ]
    for pattern, title in PATTERNS.items():
        parts += [
            f"## {title}",
            _table(("method", "poses", "AUC", "regret, lower bound"), regrets(found, bound, pattern)),
        ]
    heads = ("method", "left", "measured drop", "unavoidable (lower)", "excess (lower)")
    parts += ["## With a modality missing", _table(heads, excess_drops(found, bound))]
    return "\n\n".join(parts) + "\n"


def check_same_lesions(found: Mapping[str, Any], bound: Mapping[str, Any]) -> None:
    """Refuse two results whose recommended method does not have the same areas: they are not of the same lesions.

    Raises:
        ValueError: seeds, numbers of lesions or an area differ.
    """
    for key in ("law_version", "seeds", "data"):
        if found["meta"][key] != bound["meta"][key]:
            raise ValueError(f"{key} differs: {found['meta'][key]} and {bound['meta'][key]}")
    for pattern in PATTERNS:
        areas = [_area(results, "recommended", pattern) for results in (found, bound)]
        if abs(areas[0] - areas[1]) > 1e-12:
            raise ValueError(
                f"the recommended method's AUC with {pattern} differs: {areas[0]} and {areas[1]}"
            )


def regrets(found: Mapping[str, Any], bound: Mapping[str, Any], pattern: str) -> list[tuple[str, ...]]:
    """Method, poses averaged, AUC, and bound minus AUC: most poses first, then the best method."""
    top = _area(bound, "lower_bound", pattern)
    poses = {method["name"]: method["poses"] for method in found["methods"]}
    rows = sorted(
        (row for row in found["rows"] if row["pattern"] == pattern),
        key=lambda row: (-poses[row["method"]], -row["auroc"]["estimate"]),
    )
    lines = []
    for row in rows:
        area = row["auroc"]["estimate"]
        # The way to a method that was scored in one pose leads over differences in one pose, and the step from its full
        # method in all poses to that in one is not among them.
        averaged = poses[row["method"]] == poses["recommended"]
        half = _half_width(found, bound, row["method"], pattern) if averaged else None
        number = str(poses[row["method"]])
        lines.append((_label(found, row["method"]), number, f"{area:.4f}", _signed(top - area, half)))
    return lines


def _half_width(
    found: Mapping[str, Any], bound: Mapping[str, Any], method: str, pattern: str
) -> float | None:
    """Half the width of the interval of bound minus method, along the differences that were computed."""
    [own] = [r for r in bound["rows"] if (r["method"], r["pattern"]) == ("recommended", pattern)]
    halves = {"recommended": _half(own["regret_lower"])}
    for _ in range(2):  # recommended -> published -> its parts
        for pair in found["comparisons"]:
            if pair["pattern"] == pattern and pair["a"] in halves:
                halves.setdefault(pair["b"], halves[pair["a"]] + _half(pair["difference"]))
    return halves.get(method)


def excess_drops(found: Mapping[str, Any], bound: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Method, what is left, its drop, the bound's, and the difference."""
    of_bound = {
        drop["pattern"]: drop["measured"] for drop in bound["drops"] if drop["method"] == "lower_bound"
    }
    own = {
        drop["pattern"]: drop["excess_lower"] for drop in bound["drops"] if drop["method"] == "recommended"
    }
    lines = []
    for drop in found["drops"]:
        measured, unavoidable = drop["measured"], of_bound[drop["pattern"]]
        half = _half(measured) + _half(unavoidable)
        if drop["method"] == "recommended":
            half = _half(own[drop["pattern"]])
        lines.append(
            (
                _label(found, drop["method"]),
                f"{drop['pattern']} alone",
                _signed(measured["estimate"], _half(measured)),
                f"{unavoidable['estimate']:.4f}",
                _signed(measured["estimate"] - unavoidable["estimate"], half),
            )
        )
    return lines


def _area(results: Mapping[str, Any], method: str, pattern: str) -> float:
    [row] = [r for r in results["rows"] if (r["method"], r["pattern"]) == (method, pattern)]
    return float(row["auroc"]["estimate"])


def _label(results: Mapping[str, Any], method: str) -> str:
    return next(str(entry["label"]) for entry in results["methods"] if entry["name"] == method)


def _half(difference: Mapping[str, Any]) -> float:
    return float(difference["ci_high"] - difference["ci_low"]) / 2


def _signed(value: float, half: float | None) -> str:
    return f"{value:+.4f}" if half is None else f"{value:+.4f} ({value - half:+.4f} to {value + half:+.4f})"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(heads)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
