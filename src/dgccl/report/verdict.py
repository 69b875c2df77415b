"""What the numbers allow one to say, by fixed rules, and what they do not."""

from collections.abc import Mapping, Sequence
from typing import Any

from dgccl.report import text
from dgccl.report.run_files import RunFiles

ALLOWED_DROP = 0.05
"""Largest loss of AUC with a modality missing that the method's regulatory bar allows."""

SIGNIFICANCE = 0.05

TOLD_SINGLY = 2
"""More comparisons than this without a difference share one sentence; their figures are in the table."""


def verdict(run: RunFiles) -> list[str]:
    """Plain sentences on discrimination, comparisons and missing modalities of the first model."""
    primary, area = run.models[0], text.area_name(len(run.class_names))
    sentences = [_discrimination(run, primary, area)]
    sentences += _comparisons(
        [entry for entry in run.results["delong"] if primary in (entry["a"], entry["b"])], primary, area
    )
    for pattern, entry in run.results["models"][primary]["patterns"].items():
        sentences.append(_missing(text.pattern_name(pattern, run.modalities), entry["drop"], area))
    if run.results["meta"]["data_kind"] == "phantom":
        sentences.append(
            "All lesions are simulated: this shows that the software works, not how well it does in patients."
        )
    return sentences


def _discrimination(run: RunFiles, name: str, area: str) -> str:
    meta, auroc = run.results["meta"], run.results["models"][name]["auroc"]
    lesions = f"{text.count(meta['n_lesions'], 'test lesion')} of {text.count(meta['n_patients'], 'patient')}"
    if text.is_missing(auroc["estimate"]):
        return f"On {lesions}, the {area} of {text.model_name(name)} is not defined."
    meaning = "" if area == "AUC" else ", the mean over the classes of each against the rest,"
    article = "an" if area == "AUC" else "a"
    said = (
        f"On {lesions}, {text.model_name(name)} reached {article} {area}{meaning} of {text.number(auroc['estimate'])} "
        f"(95% interval {text.interval(auroc)})"
    )
    if text.is_missing(auroc["ci_low"]) or text.is_missing(auroc["ci_high"]):
        return f"{said}; without an interval nothing more can be said."
    if auroc["ci_low"] > 0.5:
        return f"{said}, above chance (0.5)."
    if auroc["ci_high"] < 0.5:
        return f"{said}, below chance (0.5): look for swapped labels or a shift between the folds."
    return f"{said}. The interval includes 0.5, so that this run does not show that it can tell the classes apart."


def _comparisons(entries: Sequence[Mapping[str, Any]], primary: str, area: str) -> list[str]:
    """Each comparison of the first model; many that show nothing are told together."""
    quiet = [entry for entry in entries if entry["ci_low"] <= 0.0 <= entry["ci_high"]]
    if len(quiet) <= TOLD_SINGLY:
        return [_comparison(entry, primary, area) for entry in entries]
    others = text.listing(
        [text.model_words(entry["b"] if entry["a"] == primary else entry["a"]) for entry in quiet]
    )
    together = (
        f"{text.model_name(primary)} against {others}: the interval of the difference of {area} includes zero in all "
        f"{len(quiet)} comparisons. No difference was shown, which does not show that they are equal."
    )
    return [*(_comparison(entry, primary, area) for entry in entries if entry not in quiet), together]


def _comparison(entry: Mapping[str, Any], primary: str, area: str) -> str:
    """The first model against one other, whichever way the pair was stored."""
    other = entry["b"] if entry["a"] == primary else entry["a"]
    sign = 1.0 if entry["a"] == primary else -1.0
    low, high = sorted((sign * entry["ci_low"], sign * entry["ci_high"]))
    pair = f"{text.model_name(primary)} minus {text.model_words(other)}"
    said = (
        f"{pair}: difference of {area} {text.number(sign * entry['difference'], signed=True)} "
        f"(95% interval {text.number(low)} to {text.number(high)}; Holm-corrected {text.relation(entry['p_holm'])})."
    )
    if low <= 0.0 <= high:
        return f"{said} The interval includes zero: no difference was shown, which does not show that they are equal."
    if text.is_missing(entry["p_holm"]) or entry["p_holm"] >= SIGNIFICANCE:
        return f"{said} The interval excludes zero, but the difference does not hold after Holm's correction."
    word = "higher" if low > 0.0 else "lower"
    return f"{said} The {area} of {text.model_name(primary)} is {word} on these lesions."


def _missing(pattern: str, drop: Mapping[str, Any], area: str) -> str:
    """Whether the loss of AUC stays within the allowed one, by the ends of its interval."""
    if text.is_missing(drop["estimate"]):
        return f"With {pattern}, the change of {area} is not defined."
    said = f"With {pattern}, the {area} changes by {text.number(-drop['estimate'], signed=True)}"
    if text.is_missing(drop["ci_low"]) or text.is_missing(drop["ci_high"]):
        return f"{said}; no interval could be computed."
    said += f" (95% interval {text.number(-drop['ci_high'])} to {text.number(-drop['ci_low'])})"
    if drop["ci_high"] <= drop["ci_low"]:
        return f"{said}; an interval without width comes from too few lesions to rank and settles nothing."
    if drop["ci_high"] <= ALLOWED_DROP:
        return f"{said}, within the allowed loss of {ALLOWED_DROP:.2f}."
    if drop["ci_low"] > ALLOWED_DROP:
        return f"{said}, more than the allowed loss of {ALLOWED_DROP:.2f}."
    return f"{said}: whether the loss stays within the allowed {ALLOWED_DROP:.2f} is not settled."


def limitations(run: RunFiles) -> list[str]:
    """What a reader must keep in mind, from the run's own facts."""
    meta = run.results["meta"]
    phantom = meta["data_kind"] == "phantom"
    said = [
        "The data are a digital phantom. Its classes differ by construction; no figure here carries over to patients."
        if phantom
        else "Only this cohort was used. Nothing here was tested on another hospital's patients.",
        f"{text.count(meta['n_lesions'], 'lesion')}, {text.class_counts(meta['n_by_class'])}: the width of the "
        "intervals is the honest measure of what this number of lesions can show.",
        "Cross-validation estimates how well the training procedure does, not one final model; the folds share "
        "training lesions, so that their scatter is no independent repetition.",
        "AUCs and calls use the networks' own probabilities, which rank lesions. The recalibrated ones hold for "
        "lesions like the validation lesions, with their share of each class.",
        "A missing modality was simulated by withholding one that exists. Patients who truly lack it may differ.",
        "Gate weights say how a network mixed its inputs, not which of them holds the truth.",
    ]
    rates = (
        "sensitivity and specificity" if len(run.class_names) == 2 else "accuracy and of each class's rates"
    )
    if meta["n_lesions"] > meta["n_patients"]:
        said.append(
            "Some patients have several lesions. Folds and the intervals of AUCs go by patient; the intervals of "
            f"{rates} take lesions as independent and are therefore too narrow."
        )
    return said
