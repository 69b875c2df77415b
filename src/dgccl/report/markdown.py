"""Pieces of a Markdown page: tables, and figures as they stand in them."""

from collections.abc import Iterable, Mapping
from typing import Any


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Rows below their headings, as Markdown."""
    head = list(headings)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def estimate(entry: Mapping[str, Any]) -> str:
    """An estimate with its interval: `0.8955 (0.8912 to 0.8998)`."""
    if entry["estimate"] is None:
        return "not defined"
    if entry["ci_low"] is None:
        return f"{entry['estimate']:.4f}"
    return f"{entry['estimate']:.4f} ({entry['ci_low']:.4f} to {entry['ci_high']:.4f})"


def contrast(entry: Mapping[str, Any]) -> str:
    """A difference with its interval, signed."""
    return f"{entry['estimate']:+.4f} ({entry['ci_low']:+.4f} to {entry['ci_high']:+.4f})"


def p_value(value: float | None) -> str:
    """A p value with four decimals; nothing where there is none."""
    if value is None:
        return ""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
