"""How the report writes numbers: one function a kind of number, so that a figure looks the same everywhere."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dgccl.clinical import COMPARATORS
from dgccl.errors import TrainingError

NOT_DEFINED = "not defined"
MINUS = "\u2212"

MODEL_NAMES = {
    "dgccl": "DG-CCL",
    "gated_residual": "gated residual fusion",
    "early_fusion": "early fusion",
    "late_fusion": "late fusion",
    "summed_logits": "summed logits",
    "concatenation": "concatenation",
    "cross_attention": "cross-attention",
    "product_of_experts": "product of experts",
    **{comparator.name: comparator.title for comparator in COMPARATORS},
}
SINGLE = "single_"
"""What the name of a model of one modality begins with."""
MODALITY_NAMES = {"ct": "CT", "pet": "PET"}
METHOD_NAMES = {
    "logit_delong": "logit DeLong",
    "delong": "DeLong",
    "newcombe_score": "Newcombe's score interval",
    "wilson": "Wilson",
    "clopper_pearson": "Clopper-Pearson",
}
"""Interval methods by the end of their name; what stands before it says how clusters and strata were treated."""


def is_missing(value: float | None) -> bool:
    """Whether a number is absent (None) or not a number."""
    return value is None or not math.isfinite(value)


def number(value: float | None, *, digits: int = 3, signed: bool = False) -> str:
    """A number with a fixed count of decimals and a true minus sign; absent numbers are said to be so."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    text = f"{value:.{digits}f}"
    if float(text) == 0.0:
        text = text.lstrip("-")
    elif signed and value > 0:
        text = f"+{text}"
    return text.replace("-", MINUS)


def compact(value: float) -> str:
    """A number with two significant digits, whole from 10 on, and a true minus sign: `0.72`, `4.5`, `15`."""
    return (f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}").replace("-", MINUS)


def interval(entry: Mapping[str, Any], *, digits: int = 3) -> str:
    """The two ends of an interval: `0.902 to 0.930`."""
    if is_missing(entry.get("ci_low")) or is_missing(entry.get("ci_high")):
        return "no interval"
    return f"{number(entry['ci_low'], digits=digits)} to {number(entry['ci_high'], digits=digits)}"


def estimate(entry: Mapping[str, Any] | None, *, digits: int = 3) -> str:
    """An estimate with its interval: `0.916 (0.902 to 0.930)`."""
    if entry is None or is_missing(entry.get("estimate")):
        return NOT_DEFINED
    return f"{number(entry['estimate'], digits=digits)} ({interval(entry, digits=digits)})"


def spread(entry: Mapping[str, Any]) -> str:
    """A mean with its standard deviation, where that is defined: `0.712 ± 0.120`."""
    mean = number(entry["mean"])
    return mean if is_missing(entry["sd"]) else f"{mean} ± {number(entry['sd'])}"


def gate_test(gate: Mapping[str, Any]) -> str:
    """The test of gate weights between the classes, in words, with what it tests where that is one of several."""
    kind, test = "Kolmogorov-Smirnov statistic", gate["ks"]
    if test is None:
        kind, test = "Kruskal-Wallis statistic", gate["kruskal_wallis"]
    return f"{kind} of the {modality_name(test['modality'])} weight {number(test['statistic'])}, {relation(test['p'])}"


def p_value(value: float | None) -> str:
    """A p value with three decimals, or `< 0.001`."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    return "< 0.001" if value < 0.001 else number(value)


def relation(p: float | None) -> str:
    """A p value as it stands in a sentence, not to be broken over lines: `p = 0.012`, `p < 0.001`."""
    words = p_value(p)
    return f"p {words if words.startswith(('<', 'not')) else f'= {words}'}".replace(" ", "\u00a0")


def quartiles(values: Sequence[float] | np.ndarray, *, digits: int) -> str:
    """Median with first and third quartile, and how many values are missing: `62 [55, 70] (2 missing)`."""
    array = np.asarray(values, dtype=float)
    known = array[np.isfinite(array)]
    if known.size == 0:
        return "not recorded"
    q1, median, q3 = np.percentile(known, [25, 50, 75])
    text = f"{number(median, digits=digits)} [{number(q1, digits=digits)}, {number(q3, digits=digits)}]"
    return text if known.size == array.size else f"{text} ({array.size - known.size} missing)"


def count(n: int, noun: str, *, plural: str = "") -> str:
    """A count with its noun in the right number: `1 lesion`, `24 lesions`."""
    return f"{n} {noun}" if n == 1 else f"{n} {plural or noun + 's'}"


def shortened(names: Sequence[str], *, characters: int = 28) -> dict[str, str]:
    """Names as they fit into a figure: the middle of a long one left out, with a number where two would look alike."""
    found: dict[str, str] = {}
    for name in names:
        half = (characters - 1) // 2
        short = name if len(name) <= characters else f"{name[:half]}\u2026{name[-half:]}"
        while short in found.values():
            short = f"{short[: characters - 4]} ({len(found) + 1})"
        found[name] = short
    return found


def listing(items: Sequence[str]) -> str:
    """Items as an English list: `a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def model_words(name: str) -> str:
    """How a model is called within a sentence: a known name, `CT-only network` for `single_ct`, else its own words."""
    if name.startswith(SINGLE):
        return f"{modality_name(name.removeprefix(SINGLE))}-only network"
    return MODEL_NAMES.get(name, name.replace("_", " "))


def model_name(name: str) -> str:
    """How a model is called at the head of a row, a legend or a sentence."""
    return capitalized(model_words(name))


def with_model_names(sentence: str, models: Sequence[str]) -> str:
    """A sentence of the results with models called as in the report, at its head with a capital letter."""
    for name in sorted(models, key=len, reverse=True):
        # Behind a backtick stands a command.
        sentence = re.sub(rf"(?<![\w`-]){re.escape(name)}(?![\w-])", model_words(name), sentence)
    return capitalized(sentence)


def capitalized(words: str) -> str:
    """Words with a capital letter at their beginning, the rest as it is."""
    return words[:1].upper() + words[1:]


def area_name(classes: int) -> str:
    """What the area under the curve is called: with more than two classes it is the mean over them."""
    return "AUC" if classes == 2 else "macro AUC"


def class_counts(counts: Mapping[str, int]) -> str:
    """Lesions by class, in words: `40 benign and 20 malignant`."""
    return listing([f"{n} {name}" for name, n in counts.items()])


def modality_name(name: str) -> str:
    """How a modality is called in the report: a known name, else the lowercase name in capitals."""
    return MODALITY_NAMES.get(name, name.upper())


def method_name(name: str) -> str:
    """How the method behind an interval is called in the report: `clustered DeLong`."""
    for end, words in METHOD_NAMES.items():
        if name.endswith(end):
            return f"{name.removesuffix(end)}{words}".replace("_", " ")
    return name.replace("_", " ")


def pattern_name(pattern: str, modalities: Sequence[str]) -> str:
    """What a modality pattern means: `CT + PET`, or `PET missing` for the pattern `ct` of CT and PET.

    Raises:
        TrainingError: the pattern names a modality that the run does not have.
    """
    present = pattern.split("+")
    unknown = sorted(set(present) - set(modalities))
    if unknown:
        raise TrainingError(
            "unknown_modality",
            f"The pattern {pattern!r} names {listing(unknown)}, expected only {listing(list(modalities))}.",
            remedy="Run `dgccl evaluate` again on this run.",
        )
    absent = [modality_name(name) for name in modalities if name not in present]
    return f"{listing(absent)} missing" if absent else " + ".join(modality_name(name) for name in modalities)
