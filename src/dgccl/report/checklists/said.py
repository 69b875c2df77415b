"""Sentences that several answers share."""

from collections.abc import Sequence
from typing import Any

from dgccl.report import text
from dgccl.report.run_files import RunFiles
from dgccl.report.text import MINUS


def joined(*sentences: str) -> str | None:
    """Sentences one after the other; those that are empty are left out, and None is what stays of none."""
    return " ".join(sentence for sentence in sentences if sentence) or None


def plain(value: int | float) -> str:
    """A setting as it was written, with a true minus sign: `0.001`, `−1000`, `16`."""
    return f"{value:g}".replace("-", MINUS)


def percent(share: int | float) -> str:
    """A share that was set: `20%`."""
    return f"{100.0 * share:g}%"


def span(values: Sequence[int] | Sequence[float], *, digits: int = 0) -> str:
    """Smallest and largest of some values, or the one that they all are: `25 to 26`, `32`."""
    ends = dict.fromkeys(text.number(float(end), digits=digits) for end in (min(values), max(values)))
    return " to ".join(ends)


def by_site(run: RunFiles) -> bool:
    """Whether each test fold is one whole site."""
    return bool(run.config["training"].get("fold_by", "patient") == "site")


def counts(run: RunFiles) -> str:
    """Lesions, patients and classes that were evaluated."""
    meta = run.results["meta"]
    lesions, patients = text.count(meta["n_lesions"], "lesion"), text.count(meta["n_patients"], "patient")
    return f"{lesions} of {patients}: {text.class_counts(meta['n_by_class'])}."


def simulated(run: RunFiles) -> str:
    """That the lesions are of no patient, where that is so."""
    phantom = run.results["meta"]["data_kind"] == "phantom"
    return "All lesions are simulated, none is of a patient." if phantom else ""


def primary(run: RunFiles) -> tuple[str, dict[str, Any]]:
    """The first model, by its name within a sentence and with its results."""
    return text.model_words(run.models[0]), run.results["models"][run.models[0]]


def is_binary(run: RunFiles) -> bool:
    """Whether there are two classes."""
    return len(run.class_names) == 2
